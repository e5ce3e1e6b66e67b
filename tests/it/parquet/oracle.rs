//! Values of a table, written by pyarrow in many ways, come back equal.
//!
//! The long form needs a Python that has pyarrow: `python3 -m venv DIR; DIR/bin/pip install
//! pyarrow; export S3_TO_MYSQL_TEST_PYTHON=DIR/bin/python3`. Without it, nothing runs. The table is
//! compared with itself by the server, so nothing here says what a value should be.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use mysql_async::{Row, Value};

use super::load;
use crate::registry::{apply, load_test};
use crate::support::program::TestEnv;

/// The script that reads and writes by pyarrow.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/parquet/oracle.py");

/// The columns: name, kind in the script, type, how the server shows it to the script, and values
/// with bars between them.
const COLUMNS: &[(&str, &str, &str, &str, &str)] = &[
    ("b", "bool", "BOOLEAN", "b", "0|1|NULL"),
    ("i8", "int8", "TINYINT", "i8", "-128|127|NULL|0"),
    ("u8", "uint8", "TINYINT UNSIGNED", "u8", "0|255|128"),
    ("i16", "int16", "SMALLINT", "i16", "-32768|32767"),
    ("u16", "uint16", "SMALLINT UNSIGNED", "u16", "65535|32768"),
    ("i32", "int32", "INT", "i32", "-2147483648|2147483647|NULL|7"),
    ("u32", "uint32", "INT UNSIGNED", "u32", "4294967295|2147483648|0"),
    ("i64", "int64", "BIGINT", "i64", "-9223372036854775808|9223372036854775807|9007199254740993"),
    ("u64", "uint64", "BIGINT UNSIGNED", "u64", "18446744073709551615|9223372036854775808|1"),
    ("f", "float", "FLOAT", "f + 0e0", "1.5|-0.1|3.4028234663852886e38|1e-38|NULL"),
    ("d", "double", "DOUBLE", "d", "0.1|-1.7976931348623157e308|2.2250738585072014e-308|1e15"),
    ("n9", "decimal9", "DECIMAL(9,2)", "n9", "-9999999.99|0.01|NULL"),
    ("n18", "decimal18", "DECIMAL(18,4)", "n18", "99999999999999.9999|-0.0001|0"),
    ("n38", "decimal38", "DECIMAL(38,10)", "n38", "-9999999999999999999999999999.9999999999|1"),
    (
        "n65",
        "decimal65",
        "DECIMAL(65,30)",
        "n65",
        "99999999999999999999999999999999999.999999999999999999999999999999|-1|NULL",
    ),
    ("day", "date", "DATE", "day", "'0001-01-01'|'9999-12-31'|'1582-10-10'|'1970-01-01'|NULL"),
    ("tm", "time", "TIME(6)", "tm", "'00:00:00'|'23:59:59.999999'|'12:00:00.5'"),
    (
        "dt",
        "clock",
        "DATETIME(6)",
        "dt",
        "'0001-01-01 00:00:00'|'9999-12-31 23:59:59.999999'|'1969-12-31 23:59:59.5'|NULL",
    ),
    (
        "ts",
        "instant",
        "TIMESTAMP(6) NULL",
        "CONVERT_TZ(ts, @@session.time_zone, '+00:00')",
        "'1970-01-01 00:00:01'|'2038-01-19 03:14:07.999999'|'2026-10-25 01:30:00'|NULL",
    ),
    (
        "txt",
        "string",
        "VARCHAR(60) CHARACTER SET utf8mb4",
        "txt",
        "''|'a\\tb'|'\\\\N'|'NULL'|'\u{1f642}é'|'\\n\\r\\\\'|NULL",
    ),
    ("bin", "binary", "VARBINARY(60)", "HEX(bin)", "X''|X'00FF0A095C4E'|X'5C4E'|NULL"),
];

/// Returns the path of a Python with pyarrow, if one is given.
pub(super) fn python() -> Option<String> {
    let python = std::env::var("S3_TO_MYSQL_TEST_PYTHON").ok();
    if python.is_none() {
        println!("S3_TO_MYSQL_TEST_PYTHON is not set: nothing is compared with pyarrow");
    }
    python
}

/// Runs the script, and returns what it prints.
pub(super) fn script(python: &str, args: &[&str], input: &str) -> Result<String> {
    let mut child = Command::new(python)
        .arg(SCRIPT)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    child.stdin.take().context("no standard input")?.write_all(input.as_bytes())?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "the script failed: {}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}

/// Returns the rows of a query as lines of JSON arrays.
async fn json_rows(env: &TestEnv, sql: &str) -> Result<Vec<String>> {
    let rows: Vec<Row> = env.schema.query(sql).await?;
    let line = |row: Row| {
        let values = row.unwrap().into_iter().map(|value| match value {
            Value::Bytes(bytes) => serde_json::Value::from(String::from_utf8_lossy(&bytes)),
            _ => serde_json::Value::Null,
        });
        serde_json::Value::from(values.collect::<Vec<_>>()).to_string()
    };
    Ok(rows.into_iter().map(line).collect())
}

#[apply(load_test)]
async fn what_pyarrow_writes_of_a_table_comes_back_equal(env: TestEnv) -> Result<()> {
    let Some(python) = python() else { return Ok(()) };
    let types: Vec<String> =
        COLUMNS.iter().map(|(name, _, sql_type, ..)| format!("{name} {sql_type}")).collect();
    let types = types.join(", ");
    for table in ["origin", "t"] {
        let sql = format!("CREATE TABLE {table} (id INT NOT NULL, {types})");
        env.schema.exec(&sql).await?;
    }
    for row in 0..60 {
        let values: Vec<&str> = COLUMNS
            .iter()
            .map(|(.., values)| {
                let values: Vec<&str> = values.split('|').collect();
                values[row % values.len()]
            })
            .collect();
        let sql = format!(
            "SET time_zone = '+00:00'; INSERT INTO origin VALUES ({row}, {})",
            values.join(", ")
        );
        env.schema.exec(&sql).await?;
    }
    let shown: Vec<&str> = COLUMNS.iter().map(|(_, _, _, shown, _)| *shown).collect();
    let rows = json_rows(&env, &format!("SELECT id, {} FROM origin", shown.join(", "))).await?;
    let head: Vec<String> =
        COLUMNS.iter().map(|(name, kind, ..)| format!("{name}:{kind}")).collect();
    let input = format!("id:int32\t{}\n{}\n", head.join("\t"), rows.join("\n"));
    let dir = env.path("written");
    std::fs::create_dir(&dir)?;
    let files: usize =
        script(&python, &["write", &dir.display().to_string()], &input)?.trim().parse()?;
    ensure!(files >= 12, "{files}");
    for file in 0..files {
        compare(&env, &dir.join(file.to_string()), file).await?;
    }
    Ok(())
}

async fn compare(env: &TestEnv, path: &Path, file: usize) -> Result<()> {
    env.put("a", std::fs::read(path)?)?;
    load(env, 0, &[]).await?;
    let is_int96 = file >= 10;
    let equal = COLUMNS.iter().filter(|(_, kind, ..)| !is_int96 || *kind != "clock");
    let equal: Vec<String> =
        equal.map(|(name, ..)| format!("origin.{name} <=> t.{name}")).collect();
    let sql = format!(
        "SELECT COUNT(*) FROM origin JOIN t ON origin.id = t.id AND {}",
        equal.join(" AND ")
    );
    let found: u64 = env.schema.query_one(&sql).await?;
    ensure!(found == 60 && env.count("t").await? == 60, "file {file}: {found} rows are equal");
    env.start_afresh("t").await
}
