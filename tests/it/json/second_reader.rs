//! The table holds what Python's reader of JSON makes of the same lines. It has decimals instead of
//! floating point, and shares nothing with this project.
//!
//! The long form has more readers: `DuckDB` and orjson. Their decimals are floating point, so they
//! are compared to 13 digits. A Python with both packages runs them:
//!
//! ```text
//! export S3_TO_MYSQL_TEST_JSON_CASES=100000 S3_TO_MYSQL_TEST_JSON_SEED=7
//! export S3_TO_MYSQL_TEST_JSON_PYTHON=venv/bin/python    # with duckdb and orjson from PyPI
//! cargo test --test it -- second_reader:: --nocapture
//! ```

use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use super::load;
use crate::registry::{apply, load_test};
use crate::support::program::TestEnv;

const ROWS: usize = 400;

/// Reads lines of JSON as Python's own module does.
const PYTHON: &str = r#"
def records():
    for line in sys.stdin.buffer.read().split(b"\n"):
        if line.strip():
            yield json.loads(line, parse_float=decimal.Decimal)
"#;

/// Reads them as orjson does. No reader but Python's takes half of a surrogate pair.
const ORJSON: &str = r#"
import orjson
def records():
    for line in sys.stdin.buffer.read().replace(b'"\\ud800"', b'"x"').split(b"\n"):
        if line.strip():
            # It has no numbers beyond those of floating point.
            yield orjson.loads(line.replace(b"1e999", b"1"))
"#;

/// Reads them as `DuckDB` does.
const DUCKDB: &str = r#"
import duckdb, tempfile
def records():
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        file.write(sys.stdin.buffer.read().replace(b'"\\ud800"', b'"x"'))
        file.flush()
        rows = duckdb.sql(f"""
            SELECT id, i, d, s, flag FROM read_json('{file.name}', format='newline_delimited',
            columns={{id: 'INTEGER', i: 'BIGINT', d: 'JSON', s: 'VARCHAR', flag: 'JSON'}})
            ORDER BY id""").fetchall()
    value = lambda text: None if text is None else json.loads(text, parse_float=decimal.Decimal)
    for id, i, d, s, flag in rows:
        yield {"id": id, "i": i, "d": value(d), "s": s, "flag": value(flag)}
"#;

/// Writes a line for each record: its values, with decimals in full, and texts in hexadecimal
/// digits.
const WRITER: &str = r#"
for record in records():
    fields = []
    for key in ("id", "i", "d", "s", "flag"):
        value = record.get(key)
        if value is None:
            fields.append("NULL")
        elif key == "s":
            fields.append(value.encode().hex().upper())
        elif key == "d":
            text = format(decimal.Decimal(value), "f")
            text = text.rstrip("0").rstrip(".") if "." in text else text
            fields.append(text if value else "0")
        else:
            fields.append(str(int(value)))
    print("|".join(fields))
"#;

/// Writes random records in the ways in which they may be written.
struct Writer(fastrand::Rng);

impl Writer {
    fn blank(&mut self) -> &'static str {
        self.0.choice(["", "", "", " ", "\t", "\r"]).unwrap_or("")
    }

    fn digits(&mut self, most: usize) -> String {
        let count = self.0.usize(1..=most);
        (0..count).map(|_| char::from(b'0' + self.0.u8(0..10))).collect()
    }

    fn whole(&mut self, most: usize) -> String {
        let digits = self.digits(most);
        let digits = digits.trim_start_matches('0');
        let sign = if self.0.bool() { "-" } else { "" };
        format!("{sign}{}", if digits.is_empty() { "0" } else { digits })
    }

    fn decimal(&mut self) -> String {
        let mut text = self.whole(20);
        if self.0.bool() {
            text = format!("{text}.{}", self.digits(15));
        }
        if self.0.u8(0..3) == 0 {
            let sign = self.0.choice(["", "+", "-"]).unwrap_or("");
            let e = self.0.choice(['e', 'E']).unwrap_or('e');
            text = format!("{text}{e}{sign}{}", self.0.u8(0..9));
        }
        text
    }

    fn string(&mut self) -> String {
        let mut text = String::from("\"");
        for _ in 0..self.0.usize(0..12) {
            let character = match self.0.u8(0..6) {
                0 => *self
                    .0
                    .choice(&['"', '\\', '/', '\n', '\t', '\r', '\0', '\u{8}', '\u{7f}'])
                    .unwrap_or(&'x'),
                1 => self.0.char('\u{80}'..='\u{d7ff}'),
                2 => self.0.char('\u{1f300}'..='\u{1f5ff}'),
                _ => self.0.char(' '..='~'),
            };
            let short = match character {
                '"' => Some("\\\""),
                '\\' => Some("\\\\"),
                '/' => Some("\\/"),
                '\n' => Some("\\n"),
                '\t' => Some("\\t"),
                '\r' => Some("\\r"),
                '\u{8}' => Some("\\b"),
                _ => None,
            };
            let must_escape = character < ' ' || matches!(character, '"' | '\\');
            match short {
                Some(short) if self.0.bool() => text += short,
                _ if must_escape || self.0.u8(0..5) == 0 => {
                    for unit in character.encode_utf16(&mut [0; 2]) {
                        text = format!("{text}\\u{unit:04x}");
                    }
                }
                _ => text.push(character),
            }
        }
        text + "\""
    }

    fn record(&mut self, id: usize) -> String {
        let word = |rng: &mut fastrand::Rng, words: &[&'static str]| {
            (*rng.choice(words).unwrap_or(&"null")).to_owned()
        };
        let mut members = vec![
            ("id", id.to_string()),
            ("i", self.whole(18)),
            ("d", self.decimal()),
            ("s", self.string()),
            ("flag", word(&mut self.0, &["true", "false", "null", "1", "0"])),
            (
                "other",
                word(&mut self.0, &["[]", "{\"i\":[1,{\"d\":null}]}", "1e999", "\"\\ud800\""]),
            ),
        ];
        members[1..].iter_mut().for_each(|(_, value)| {
            if self.0.u8(0..8) == 0 {
                "null".clone_into(value);
            }
        });
        self.0.shuffle(&mut members);
        members.retain(|(key, _)| *key == "id" || self.0.u8(0..8) > 0);
        let mut line = format!("{}{{", self.blank());
        for (index, (key, value)) in members.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            let [before, after, behind] = [self.blank(), self.blank(), self.blank()];
            line = format!("{line}{comma}{before}\"{key}\"{after}:{behind}{value}");
        }
        line + self.blank() + "}" + self.blank()
    }
}

fn read_by(python: &str, reader: &str, lines: &str) -> Result<Vec<String>> {
    let program = format!("import decimal, json, sys\n{reader}\n{WRITER}");
    let mut child = Command::new(python)
        .args(["-c", &program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("{python} is missing"))?;
    let mut input = child.stdin.take().context("no standard input")?;
    let lines = lines.to_owned();
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()));
    let output = child.wait_with_output()?;
    writer.join().map_err(|_| anyhow::anyhow!("the writer panicked"))??;
    ensure!(output.status.success());
    Ok(String::from_utf8(output.stdout)?.lines().map(str::to_owned).collect())
}

#[apply(load_test)]
async fn the_table_holds_what_another_reader_reads(env: TestEnv) -> Result<()> {
    env.schema
        .exec(
            "CREATE TABLE t (id INT, i BIGINT, d DECIMAL(65,30), s LONGTEXT, flag TINYINT) \
             CHARSET utf8mb4",
        )
        .await?;
    let number = |name: &str| -> Result<Option<u64>> {
        let text = std::env::var(format!("S3_TO_MYSQL_TEST_JSON_{name}")).ok();
        text.map(|text| text.parse().with_context(|| format!("{name}: {text}"))).transpose()
    };
    let seed = number("SEED")?.unwrap_or_else(|| fastrand::u64(..));
    let cases = usize::try_from(number("CASES")?.unwrap_or(ROWS as u64))?;
    println!("seed {seed}");
    let mut writer = Writer(fastrand::Rng::with_seed(seed));
    let lines: Vec<String> = (0..cases).map(|id| writer.record(id)).collect();
    let object = lines.join("\n");
    env.put("a", object.clone())?;
    load(&env, 0, &["--extra-columns", "ignore"]).await?;
    let sql = format!(
        "SELECT CONCAT_WS('|', {}) FROM t ORDER BY id",
        [
            "id",
            "COALESCE(i, 'NULL')",
            "COALESCE(IF(d = 0, '0', TRIM(TRAILING '.' FROM TRIM(TRAILING '0' FROM d))), 'NULL')",
            "COALESCE(HEX(s), 'NULL')",
            "COALESCE(flag, 'NULL')",
        ]
        .join(", ")
    );
    let found: Vec<String> = env.schema.query(&sql).await?;
    ensure!(found.len() == cases, "{} rows", found.len());
    let mut readers = vec![("python3".to_owned(), PYTHON)];
    if let Ok(python) = std::env::var("S3_TO_MYSQL_TEST_JSON_PYTHON") {
        readers.extend([(python.clone(), DUCKDB), (python, ORJSON)]);
    }
    for (python, reader) in readers {
        let expected = read_by(&python, reader, &object)?;
        ensure!(expected.len() == cases, "{} rows", expected.len());
        let is_equal = |field: usize, found: &str, expected: &str| {
            found == expected || field == 2 && reader != PYTHON && are_close(found, expected)
        };
        for ((line, found), expected) in lines.iter().zip(&found).zip(&expected) {
            let mut fields = found.split('|').zip(expected.split('|')).enumerate();
            let are_equal = fields.all(|(at, (found, expected))| is_equal(at, found, expected));
            ensure!(are_equal, "seed {seed}:{reader}\n{line}\nis {found}\nnot {expected}");
        }
    }
    Ok(())
}

/// Returns true for two numbers that are the same in floating point.
fn are_close(one: &str, other: &str) -> bool {
    match (one.parse::<f64>(), other.parse::<f64>()) {
        (Ok(one), Ok(other)) => (one - other).abs() <= 1e-13 * one.abs(),
        _ => false,
    }
}
