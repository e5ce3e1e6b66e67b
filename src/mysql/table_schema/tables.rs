//! The tables of a database, by name: which exist, and what marks them.

use super::{optional_text, text};
use crate::error::{Error, ErrorKind};
use crate::mysql::codes;
use crate::mysql::conn::Conn;
use crate::nearest::nearest;
use crate::sql_text::{TableName, text_literal};

/// A table that exists.
#[derive(Clone, Debug)]
pub(crate) struct TableDescription {
    /// The database, in the server's spelling.
    pub(crate) database: String,
    /// The table, in the server's spelling.
    pub(crate) table: String,
    pub(crate) comment: String,
    /// The storage engine; `None` for a view.
    pub(crate) engine: Option<String>,
}

/// Returns those of the tables that exist. The server may spell their names differently.
///
/// # Errors
/// The errors of the driver.
pub(crate) async fn describe_tables<Name: AsRef<str>>(
    conn: &mut Conn,
    database: &str,
    tables: impl IntoIterator<Item = Name>,
) -> mysql_async::Result<Vec<TableDescription>> {
    let names: Vec<String> = tables.into_iter().map(|table| text_literal(table.as_ref())).collect();
    // Not a prepared statement: that would take another round trip.
    let sql = format!(
        "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_COMMENT, ENGINE \
         FROM information_schema.TABLES \
         WHERE TABLE_SCHEMA = {} AND TABLE_NAME IN ({})",
        text_literal(database),
        names.join(", ")
    );
    let rows = conn.query_sets(&sql).await?.next_rows_of(4)?;
    Ok(rows
        .iter()
        .map(|row| TableDescription {
            database: text(row, 0),
            table: text(row, 1),
            comment: text(row, 2),
            engine: optional_text(row, 3),
        })
        .collect())
}

/// Returns the names of all tables of a database that begin with `prefix`.
///
/// # Errors
/// The errors of the driver.
pub(crate) async fn table_names(
    conn: &mut Conn,
    database: &str,
    prefix: &str,
) -> mysql_async::Result<Vec<String>> {
    let sql = format!(
        "SELECT TABLE_NAME \
         FROM information_schema.TABLES \
         WHERE TABLE_SCHEMA = {} AND LEFT(TABLE_NAME, {}) = {}",
        text_literal(database),
        prefix.chars().count(),
        text_literal(prefix)
    );
    let rows = conn.query_sets(&sql).await?.next_rows_of(1)?;
    Ok(rows.iter().map(|row| text(row, 0)).collect())
}

/// Runs a CREATE TABLE statement. Returns false if the table exists by now.
///
/// # Errors
/// The errors of the driver.
pub(crate) async fn create_if_missing(conn: &mut Conn, sql: &str) -> mysql_async::Result<bool> {
    match conn.query_drop(sql).await {
        Ok(()) => Ok(true),
        Err(mysql_async::Error::Server(error)) if error.code == codes::TABLE_EXISTS => Ok(false),
        Err(error) => Err(error),
    }
}

/// Returns true if the server takes no table without a primary key.
pub(crate) fn needs_primary_key(error: &mysql_async::Error) -> bool {
    matches!(
        error,
        mysql_async::Error::Server(error) if error.code == codes::PRIMARY_KEY_REQUIRED
    )
}

/// Returns the error about a table that does not exist, with the remedy.
pub(crate) async fn missing_table(conn: &mut Conn, table: &TableName, database: &str) -> Error {
    let error = Error::new(
        ErrorKind::TargetRefused,
        format!("table {table} does not exist, or the account cannot see it"),
    );
    let names = table_names(conn, database, "").await.unwrap_or_default();
    match nearest(&table.table, names.iter().map(String::as_str)) {
        Some(name) => error.with_hint(format!("did you mean {name:?}?")),
        None => error.with_hint(format!(
            "create the table first, or check --table, or have --create-table create it; \
             database {database:?} has {} tables that the account can see",
            names.len()
        )),
    }
}
