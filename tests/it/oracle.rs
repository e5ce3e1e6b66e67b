//! The server as the oracle: random objects in random dialects, read by the server's own LOAD DATA.
//!
//! [`compare_row_counts`] asks it only for the number of rows, which is cheap and must equal the
//! splitter's. It sends exactly what a load would send: the object from `data_start` on, and the
//! line terminator that the last row lacks. [`contents`] loads each object twice, by this program's
//! load and by the server from the object's own bytes, and compares the rows. [`fields`] compares
//! what the library reads in single rows with what the server stores of them.
//!
//! Objects that the splitter refuses cannot be compared. They are counted, so that a splitter that
//! refuses everything does not pass. The same seed makes the same cases.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test: the harness reports the panic")]

mod contents;
mod fields;
mod plain;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context as _, Result, anyhow};
use bytes::Bytes;
use fastrand::Rng;
use futures_util::{StreamExt, stream};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use s3_to_mysql::dialect::{Charset, Dialect, LineTerminator};
use s3_to_mysql::split::{Malformed, MalformedKind, RowReader, Scan};

use crate::registry::{apply, load_test};
use crate::support::program::TestEnv;

/// The number of the cases' character sets.
const CHARSETS: usize = 3;

/// The columns of the table that takes the rows, and the most fields that a case reads.
const COLUMNS: usize = 4;

/// The result of a series of cases.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Objects that were loaded and whose rows agreed.
    pub(crate) agreed: u64,
    /// The number of rows in them.
    pub(crate) rows: u64,
    /// Objects that the splitter refused, by reason.
    pub(crate) refused: BTreeMap<&'static str, u64>,
}

impl Tally {
    /// Fails if too few objects agreed: a splitter that refuses everything would never differ.
    pub(crate) fn ensure_most_agreed(&self) -> anyhow::Result<()> {
        let refused: u64 = self.refused.values().sum();
        if refused + self.agreed == 1 {
            // A case that is played again.
            return Ok(());
        }
        anyhow::ensure!(
            refused < self.agreed,
            "more than half of the cases were refused: {self:?}"
        );
        Ok(())
    }
}

/// Returns the number of cases and the first seed of a property-based comparison with the server:
/// `cases`, unless `S3_TO_MYSQL_TEST_ORACLE_CASES` says otherwise.
pub(crate) fn cases_and_seed(cases: u64) -> Result<(u64, u64)> {
    let number = |name: &str, default: u64| match std::env::var(name) {
        Ok(text) => text.parse().with_context(|| format!("{name} is not a number")),
        Err(_) => Ok(default),
    };
    Ok((
        number("S3_TO_MYSQL_TEST_ORACLE_CASES", cases)?,
        number("S3_TO_MYSQL_TEST_ORACLE_SEED", 1)?,
    ))
}

#[apply(load_test)]
async fn row_counts_equal_the_servers_own(env: TestEnv) -> Result<()> {
    let (cases, seed) = cases_and_seed(1000)?;
    let mut conn = env.schema.user_conn().await?;
    let tally = compare_row_counts(&mut conn, cases, seed)
        .await
        .map_err(|difference| anyhow!(difference))?;
    tally.ensure_most_agreed()
}

#[apply(load_test)]
async fn rows_equal_the_servers_own(env: TestEnv) -> Result<()> {
    let (cases, seed) = cases_and_seed(2500)?;
    Box::pin(contents::compare_rows(&env.schema, cases, seed)).await?.ensure_most_agreed()
}

#[apply(load_test)]
async fn values_of_fields_equal_the_servers_own(env: TestEnv) -> Result<()> {
    let (_, seed) = cases_and_seed(0)?;
    fields::compare_values(&env.schema, seed).await
}

#[apply(load_test)]
async fn texts_of_values_equal_the_servers_own(env: TestEnv) -> Result<()> {
    let (_, seed) = cases_and_seed(0)?;
    plain::compare_plain_values(&env.schema, seed).await
}

/// Loads `cases` random objects through `conn`, whose default database must be empty and stays so
/// but for one table. The same seed makes the same cases. The error is the first difference, with
/// its case reduced as far as possible.
pub(crate) async fn compare_row_counts(
    conn: &mut Conn,
    cases: u64,
    seed: u64,
) -> Result<Tally, String> {
    let columns: Vec<String> = (1..=COLUMNS).map(|n| format!("c{n} LONGTEXT")).collect();
    let create =
        format!("CREATE TABLE oracle ({}) CHARACTER SET utf8mb4 ENGINE=InnoDB", columns.join(", "));
    conn.query_drop(create).await.map_err(|error| error.to_string())?;
    let mut tally = Tally::default();
    for number in 0..cases {
        let case = Case::random(&mut Rng::with_seed(seed.wrapping_add(number)));
        match case.judge(conn).await {
            Verdict::Agreed { rows } => {
                tally.agreed += 1;
                tally.rows += rows;
            }
            Verdict::Refused(reason) => *tally.refused.entry(reason).or_default() += 1,
            Verdict::Differs(_) => {
                let (case, difference) = case.shrink(conn).await;
                return Err(format!(
                    "{}: {difference}\n{case:#?}",
                    play_again(seed.wrapping_add(number))
                ));
            }
        }
    }
    Ok(tally)
}

fn play_again(seed: u64) -> String {
    format!("S3_TO_MYSQL_TEST_ORACLE_CASES=1 S3_TO_MYSQL_TEST_ORACLE_SEED={seed}")
}

enum Verdict {
    Agreed { rows: u64 },
    Refused(&'static str),
    Differs(String),
}

#[derive(Clone, Debug)]
struct Case {
    dialect: Dialect,
    charset: Charset,
    /// Items of the column list. A field for a variable is read like any other.
    items: Vec<String>,
    ignore_lines: u64,
    /// A word that means NULL besides the dialect's own. Only [`contents`] uses it.
    null_string: Option<&'static str>,
    pieces: Vec<Piece>,
}

#[derive(Clone)]
struct Piece(Vec<u8>);

impl std::fmt::Debug for Piece {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "b\"{}\"", self.0.escape_ascii())
    }
}

impl Case {
    fn random(rng: &mut Rng) -> Self {
        let charset =
            *rng.choice(&["utf8mb4", "utf8mb4", "utf8mb4", "latin1", "latin1", "binary"]).unwrap();
        let charset = Charset::new(charset).unwrap();
        let dialect = loop {
            let dialect = random_dialect(rng);
            if dialect.validate(&charset).is_empty() {
                break dialect;
            }
        };
        let mut columns: Vec<usize> = (1..=COLUMNS).collect();
        rng.shuffle(&mut columns);
        columns.truncate(rng.usize(1..=COLUMNS));
        let item = |n| if rng.u8(..5) == 0 { format!("@v{n}") } else { format!("c{n}") };
        let items = columns.into_iter().map(item).collect();
        let ignore_lines = if rng.u8(..4) == 0 { rng.u64(1..4) } else { 0 };
        let strays_percent = *rng.choice(&[0, 0, 2, 15]).unwrap();
        let count = if rng.bool() { rng.usize(..8) } else { rng.usize(8..120) };
        let mut pieces: Vec<Piece> =
            (0..count).map(|_| random_piece(rng, &dialect, &charset, strays_percent)).collect();
        if rng.u8(..10) == 0 {
            pieces.insert(0, Piece(b"\xEF\xBB\xBF".to_vec()));
        }
        // Otherwise most objects would end within a row.
        if rng.u8(..3) > 0 {
            pieces.push(Piece(line_of(&dialect).to_vec()));
        }
        let null_string =
            *rng.choice(&[None, None, None, Some("x"), Some("NULL"), Some("-1.7")]).unwrap();
        Self { dialect, charset, items, ignore_lines, null_string, pieces }
    }

    fn object(&self) -> Vec<u8> {
        self.pieces.iter().flat_map(|piece| &piece.0).copied().collect()
    }

    fn scan(&self, object: &[u8]) -> Result<Scan, Malformed> {
        let mut reader =
            RowReader::new(&self.dialect, &self.charset, self.items.len(), self.ignore_lines);
        reader.feed(object)?;
        reader.finish()
    }

    async fn judge(&self, conn: &mut Conn) -> Verdict {
        let object = self.object();
        let scan = match self.scan(&object) {
            Ok(scan) => scan,
            Err(malformed) => return Verdict::Refused(reason(&malformed.kind)),
        };
        let mut sent = object[usize::try_from(scan.data_start).unwrap()..].to_vec();
        if scan.needs_terminator {
            sent.extend_from_slice(&scan.lines_terminated_by);
        }
        match self.load(conn, &scan, sent).await {
            Ok(records) if records == scan.rows => Verdict::Agreed { rows: records },
            Ok(records) => Verdict::Differs(format!(
                "the server has {records} records, the splitter: {scan:?}"
            )),
            Err(error) => {
                Verdict::Differs(format!("the server says {error}, the splitter: {scan:?}"))
            }
        }
    }

    /// Returns the server's `Records:`.
    async fn load(&self, conn: &mut Conn, scan: &Scan, sent: Vec<u8>) -> mysql_async::Result<u64> {
        let statement = self.statement(
            "LOCAL INFILE 'oracle' INTO TABLE oracle",
            &self.items,
            &scan.lines_terminated_by,
            0,
        );
        conn.query_drop("START TRANSACTION").await?;
        conn.set_infile_handler(async move { Ok(stream::iter([Ok(Bytes::from(sent))]).boxed()) });
        let loaded = conn.query_drop(statement).await;
        let info = conn.info().into_owned();
        conn.query_drop("ROLLBACK").await?;
        loaded?;
        Ok(count(&info, "Records: "))
    }

    /// Returns the LOAD DATA statement. `source` comes between LOAD DATA and the dialect. This is
    /// written independently of the program's own statement, which it is compared with.
    fn statement(
        &self,
        source: &str,
        items: &[String],
        lines_terminated_by: &[u8],
        ignore_lines: u64,
    ) -> String {
        let dialect = &self.dialect;
        let hex = |bytes: &[u8]| {
            let mut literal = bytes.iter().fold("X'".to_owned(), |mut literal, byte| {
                write!(literal, "{byte:02X}").unwrap();
                literal
            });
            literal.push('\'');
            literal
        };
        format!(
            "LOAD DATA {source} CHARACTER SET {} \
             FIELDS TERMINATED BY {} {}ENCLOSED BY {} ESCAPED BY {} \
             LINES TERMINATED BY {} IGNORE {ignore_lines} LINES ({})",
            self.charset,
            hex(&dialect.fields_terminated_by),
            if dialect.fields_optionally_enclosed { "OPTIONALLY " } else { "" },
            hex(dialect.fields_enclosed_by.as_slice()),
            hex(dialect.fields_escaped_by.as_slice()),
            hex(lines_terminated_by),
            items.join(", "),
        )
    }

    /// Removes pieces as long as a difference remains.
    async fn shrink(mut self, conn: &mut Conn) -> (Self, String) {
        let mut difference = String::new();
        let mut at = 0;
        while at <= self.pieces.len() {
            let mut smaller = self.clone();
            if at < self.pieces.len() {
                smaller.pieces.remove(at);
            }
            if let Verdict::Differs(found) = smaller.judge(conn).await {
                difference = found;
                if at == self.pieces.len() {
                    break;
                }
                self = smaller;
            } else {
                at += 1;
            }
        }
        (self, difference)
    }
}

/// Returns the number after a label of `Records: 9  Deleted: 0  Skipped: 2  Warnings: 8`.
fn count(info: &str, label: &str) -> u64 {
    let number = info.split_once(label).and_then(|(_, rest)| rest.split_whitespace().next());
    number
        .and_then(|number| number.parse().ok())
        .unwrap_or_else(|| panic!("no {label:?} in {info:?}"))
}

fn reason(kind: &MalformedKind) -> &'static str {
    match kind {
        MalformedKind::UnclosedQuote => "unclosed quote",
        MalformedKind::EscapeAtEnd => "escape at the end",
        MalformedKind::TextAfterClosingQuote => "text after a closing quote",
        MalformedKind::WrongLineEnding { .. } => "wrong line ending",
        MalformedKind::MixedLineEndings { .. } => "mixed line endings",
        MalformedKind::LoneCarriageReturn => "lone carriage return",
        MalformedKind::InvalidUtf8 { .. } => "invalid UTF-8",
        MalformedKind::FourByteCharacter { .. } => "four-byte character",
        MalformedKind::TruncatedTerminator { .. } => "truncated terminator",
    }
}

fn random_delimiter(rng: &mut Rng) -> Vec<u8> {
    const USUAL: [&[u8]; 10] =
        [b",", b"\t", b"\x01", b"||", b"/", b"##", b"''", b"aab", b";\n", b"\0"];
    if rng.u8(..5) > 0 {
        return rng.choice(USUAL).unwrap().to_vec();
    }
    (0..rng.usize(1..=3)).map(|_| *rng.choice(b"ab|,\"\\\r\n").unwrap()).collect()
}

fn random_dialect(rng: &mut Rng) -> Dialect {
    let quotes = [None, None, Some(b'"'), Some(b'"'), Some(b'"'), Some(b'\'')];
    let escapes = [None, None, Some(b'\\'), Some(b'\\'), Some(b'\\'), Some(b'"')];
    let exact = |line: &[u8]| LineTerminator::Exact(line.to_vec());
    Dialect {
        fields_terminated_by: if rng.bool() { b",".to_vec() } else { random_delimiter(rng) },
        fields_enclosed_by: *rng.choice(&quotes).unwrap(),
        fields_optionally_enclosed: rng.bool(),
        fields_escaped_by: *rng.choice(&escapes).unwrap(),
        lines_terminated_by: match rng.u8(..14) {
            0..4 => exact(b"\n"),
            4..7 => exact(b"\r\n"),
            7..10 => LineTerminator::Detect,
            10 => exact(b"|\n"),
            _ => LineTerminator::Exact(random_delimiter(rng)),
        },
    }
}

fn line_of(dialect: &Dialect) -> &[u8] {
    match &dialect.lines_terminated_by {
        LineTerminator::Exact(line) => line,
        LineTerminator::Detect => b"\r\n",
    }
}

/// Returns mostly whole constructs of the dialect, so that objects grow long before they are
/// refused, and sometimes a stray byte.
fn random_piece(rng: &mut Rng, dialect: &Dialect, charset: &Charset, strays_percent: u8) -> Piece {
    let line = line_of(dialect);
    let field = dialect.fields_terminated_by.as_slice();
    let quote = dialect.fields_enclosed_by.as_slice();
    let escape = dialect.fields_escaped_by.as_slice();
    if rng.u8(..100) < strays_percent {
        let mut strays: Vec<&[u8]> = vec![
            b"\r",
            b"\n",
            b"\r\n",
            b"\0",
            b"\x1A",
            if charset.is_utf8() { b"x" } else { b"\xE4" },
        ];
        strays.extend([field, line, quote, escape].into_iter().flat_map(|bytes| bytes.chunks(1)));
        return Piece(rng.choice(strays).unwrap().to_vec());
    }
    let binary: &[u8] = if charset.is_utf8() { b"\0\x1A\x7F" } else { b"\xFF\0\x80\xE4" };
    let usual = [
        &b""[..],
        b"x",
        b"17",
        "ä€😀".as_bytes(),
        b"a longer stretch of words",
        b"NULL",
        b"-1.7",
        b" 9 z",
        binary,
    ];
    let text: &[u8] = rng.choice(usual).unwrap();
    Piece(match rng.u8(..16) {
        0..4 => [text, field].concat(),
        4..6 => [quote, text, quote, field].concat(),
        6 => [quote, text, field, line, text, quote, field].concat(),
        7 => [quote, text, quote, quote, quote, line].concat(),
        8 => [quote, text, escape, quote, text, quote, field].concat(),
        9 => [quote, text, quote, line].concat(),
        10..13 => [text, line].concat(),
        13 => [escape, line, text, field].concat(),
        14 => [escape, b"N", field].concat(),
        _ => [text, field, text, line].concat(),
    })
}
