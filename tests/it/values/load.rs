//! Loads values, one row for each, and reads them back.

use anyhow::{Context as _, Result};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Value, from_value_opt};

use super::kinds::Kind;

/// The value that a row has after the load.
#[derive(Debug, Default)]
pub(super) struct Stored {
    /// `None` if the row is not there, or is NULL.
    pub(super) value: Option<String>,
    pub(super) warnings: Vec<String>,
}

/// Loads the values into the empty table in one statement. `assigned` is the expression over `@v`
/// that the column gets.
pub(super) async fn load(
    conn: &mut Conn,
    table: &str,
    kind: &Kind,
    assigned: Option<&str>,
    texts: &[&str],
) -> Result<Vec<Stored>> {
    conn.query_drop(format!("TRUNCATE {table}")).await?;
    let rows: String =
        texts.iter().enumerate().map(|(at, text)| format!("{at}\t{}\n", escaped(text))).collect();
    conn.set_infile_handler(async move { Ok(stream::iter([Ok(Bytes::from(rows))]).boxed()) });
    let columns = match assigned {
        None => "(id, v)".to_owned(),
        Some(expression) => format!("(id, @v) SET v = {expression}"),
    };
    let loaded = conn
        .query_drop(format!(
            "LOAD DATA LOCAL INFILE 'values' IGNORE INTO TABLE {table} CHARACTER SET utf8mb4 \
             {columns}"
        ))
        .await;
    // A handler that the server did not use would be the next statement's.
    conn.set_infile_handler(async { Ok(stream::empty().boxed()) });
    loaded?;
    let mut stored: Vec<Stored> = texts.iter().map(|_| Stored::default()).collect();
    for (level, code, message) in conn.query::<(String, u32, String), _>("SHOW WARNINGS").await? {
        let row = message
            .rsplit_once("row ")
            .map(|(_, row)| row.chars().take_while(char::is_ascii_digit).collect::<String>());
        let row: Option<usize> = row.and_then(|row| row.parse().ok());
        // A warning without a row is of an expression, or of a row that is not stored.
        let line = format!("{level} {code}");
        match row.and_then(|row| stored.get_mut(row.checked_sub(1)?)) {
            Some(stored) => stored.warnings.push(line),
            None if matches!(code, 4025 | 4036..=4040) => {}
            None => anyhow::bail!("a warning about no row: {line} {message}"),
        }
    }
    // The text of a DOUBLE would have at most 22 characters, which is not all of every value.
    let read: Vec<(usize, Value)> =
        conn.exec(format!("SELECT id, {} FROM {table}", kind.read), ()).await.context(kind.read)?;
    for (at, value) in read {
        let value = match value {
            Value::NULL => None,
            Value::Double(value) => Some(format!("{value:e}")),
            value => Some(from_value_opt(value)?),
        };
        let value = value.map(|value| (kind.canonical)(&value));
        stored.get_mut(at).context("a row that was not loaded")?.value = value;
    }
    Ok(stored)
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\\n").replace('\t', "\\\t")
}
