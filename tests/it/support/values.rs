//! The content of a table, in a form that reads as the expected value in a test.

use anyhow::{Result, ensure};
use mysql_async::{Row, Value};

use super::servers::Schema;

/// The character that represents NULL. No test loads it.
pub const NULL: &str = "\u{2205}";

/// Returns the rows of a query, one string each: values separated by `|`, NULL as [`NULL`], control
/// characters and quotes escaped as in Rust.
pub async fn values(schema: &Schema<'_>, sql: &str) -> Result<Vec<String>> {
    let rows: Vec<Row> = schema.query(sql).await?;
    Ok(rows.into_iter().map(show).collect())
}

fn show(row: Row) -> String {
    let shown = row.unwrap().into_iter().map(|value| match value {
        Value::NULL => NULL.to_owned(),
        Value::Bytes(bytes) => match String::from_utf8(bytes) {
            Ok(text) => text.escape_debug().to_string(),
            Err(error) => format!("{:02X?}", error.as_bytes()),
        },
        // The text protocol has no other kinds.
        other => format!("{other:?}"),
    });
    shown.collect::<Vec<_>>().join("|")
}

/// Requires exactly these rows from the query, in the form of [`values`].
pub async fn ensure_values(schema: &Schema<'_>, sql: &str, expected: &[&str]) -> Result<()> {
    let found = values(schema, sql).await?;
    ensure!(found == expected, "{sql}\nexpected {expected:#?}\nfound {found:#?}");
    Ok(())
}
