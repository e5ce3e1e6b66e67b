//! A table as `information_schema` shows it, read once for each run.
//!
//! `information_schema` shows an account only what it has privileges for. What may be hidden is
//! said at each field.

mod comparison;
mod references;
mod tables;
mod unique_keys;

pub(crate) use comparison::TableDefinition;
pub(crate) use references::{ReferringKey, is_in_foreign_key};
pub(crate) use tables::{
    TableDescription, create_if_missing, describe_tables, missing_table, needs_primary_key,
    table_names,
};
pub(crate) use unique_keys::UniqueKey;

use std::time::Duration;

use mysql_async::Row;

use super::conn::Conn;
use crate::sql_text::{TableName, quote_identifier, same_name, text_literal};

/// The number of looks at a table that is listed without columns, and the pause between them:
/// together the seconds in which a server creates any table.
const LOOKS: u32 = 50;
const PAUSE: Duration = Duration::from_millis(100);

/// A table or view, with its columns and with everything that refers to it.
#[derive(Clone, Debug, Default)]
pub struct TableSchema {
    /// The database, in the server's spelling.
    pub(crate) database: String,
    /// The table, in the server's spelling.
    pub(crate) table: String,
    pub(crate) kind: TableKind,
    /// The storage engine; `None` for a view.
    pub(crate) engine: Option<String>,
    pub(crate) is_partitioned: bool,
    pub(crate) columns: Vec<ColumnSchema>,
    /// The columns of the PRIMARY KEY and of all UNIQUE keys, each once, in the server's spelling.
    /// Functional key parts are left out. Empty for a view.
    pub(crate) unique_key_columns: Vec<String>,
    /// The names of the table's own foreign keys.
    pub(crate) foreign_keys: Vec<String>,
    /// The other tables that these refer to, with their databases.
    pub(crate) parents: Vec<(String, String)>,
    /// The triggers of the table. An account without the TRIGGER privilege sees none.
    pub(crate) triggers: Vec<Trigger>,
}

/// The kind of a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum TableKind {
    #[default]
    Base,
    View,
    /// A MariaDB table that keeps the history of its rows.
    SystemVersioned,
}

/// One column, and how it is declared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "these are independent facts")]
pub struct ColumnSchema {
    pub name: String,
    /// The type without length, such as `decimal`.
    pub data_type: String,
    /// The type as in CREATE TABLE, such as `int(10) unsigned` or `enum('a','b')`, without
    /// character set and collation.
    pub column_type: String,
    /// The character set of a text column.
    pub charset: Option<String>,
    /// The collation of a text column.
    pub collation: Option<String>,
    pub is_nullable: bool,
    /// True if a row without a value for the column gets one from its definition: a constant, an
    /// expression, or NULL in a nullable column. The first label of an ENUM is not in its
    /// definition, so it does not count.
    pub has_default: bool,
    /// True if the server computes the column from others.
    pub is_generated: bool,
    pub is_auto_increment: bool,
    /// True for a JSON column, which MariaDB has as a text with a CHECK.
    pub is_json: bool,
    /// True if `SELECT *` leaves the column out.
    pub is_invisible: bool,
    pub numeric_scale: u64,
    /// The digits after the second.
    pub datetime_precision: u64,
    /// The longest value of a text or binary column, in bytes.
    pub octet_length: u64,
}

/// A trigger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trigger {
    pub(crate) name: String,
    /// `BEFORE` or `AFTER`.
    pub(crate) timing: String,
    /// `INSERT`, `UPDATE` or `DELETE`.
    pub(crate) event: String,
}

impl TableSchema {
    pub(crate) fn has_auto_increment(&self) -> bool {
        self.columns.iter().any(|column| column.is_auto_increment)
    }

    /// Reads the table from the server, in one round trip. Returns `None` if the table does not
    /// exist, or the account cannot see it.
    ///
    /// MariaDB lists a table that is still being created without columns, so this looks again at
    /// such a table for a while.
    ///
    /// # Errors
    /// The errors of the driver.
    pub async fn read(
        conn: &mut Conn,
        database: &str,
        table: &str,
    ) -> mysql_async::Result<Option<Self>> {
        let mut looks = 1;
        loop {
            let found = Self::read_once(conn, database, table).await?;
            let is_complete = found.as_ref().is_none_or(|table| !table.columns.is_empty());
            if is_complete || looks == LOOKS {
                return Ok(found);
            }
            looks += 1;
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn read_once(
        conn: &mut Conn,
        database: &str,
        table: &str,
    ) -> mysql_async::Result<Option<Self>> {
        let (database, table) = (text_literal(database), text_literal(table));
        let place = format!("TABLE_SCHEMA = {database} AND TABLE_NAME = {table}");
        let queries = [
            format!(
                "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE, ENGINE, CREATE_OPTIONS \
                 FROM information_schema.TABLES \
                 WHERE {place}"
            ),
            format!(
                "SELECT COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, CHARACTER_SET_NAME, COLLATION_NAME, \
                 IS_NULLABLE, EXTRA, NUMERIC_SCALE, DATETIME_PRECISION, CHARACTER_OCTET_LENGTH, \
                 COLUMN_DEFAULT \
                 FROM information_schema.COLUMNS \
                 WHERE {place} \
                 ORDER BY ORDINAL_POSITION"
            ),
            format!(
                "SELECT DISTINCT COLUMN_NAME \
                 FROM information_schema.STATISTICS \
                 WHERE NON_UNIQUE = 0 AND COLUMN_NAME IS NOT NULL AND {place}"
            ),
            format!(
                "SELECT CONSTRAINT_NAME \
                 FROM information_schema.TABLE_CONSTRAINTS \
                 WHERE CONSTRAINT_TYPE = 'FOREIGN KEY' AND {place} \
                 ORDER BY CONSTRAINT_NAME"
            ),
            format!(
                "SELECT DISTINCT REFERENCED_TABLE_SCHEMA, REFERENCED_TABLE_NAME \
                 FROM information_schema.KEY_COLUMN_USAGE \
                 WHERE REFERENCED_TABLE_NAME IS NOT NULL AND {place}"
            ),
            format!(
                "SELECT TRIGGER_NAME, ACTION_TIMING, EVENT_MANIPULATION \
                 FROM information_schema.TRIGGERS \
                 WHERE EVENT_OBJECT_SCHEMA = {database} AND EVENT_OBJECT_TABLE = {table} \
                 ORDER BY TRIGGER_NAME"
            ),
            // MariaDB alone has checks instead of a type for JSON, and reads such a comment.
            format!(
                "SELECT NULL, NULL FROM DUAL WHERE FALSE \
                 /*M! UNION ALL SELECT CONSTRAINT_NAME, CHECK_CLAUSE \
                 FROM information_schema.CHECK_CONSTRAINTS \
                 WHERE CONSTRAINT_SCHEMA = {database} AND TABLE_NAME = {table} */"
            ),
        ];
        // In one packet, because every round trip costs time on a long path. Literals instead of
        // bound values for the same reason.
        let mut results = conn.query_sets(&queries.join("; ")).await?;
        let tables = results.next_rows_of(5)?;
        let columns = results.next_rows_of(11)?;
        let unique_key_columns = results.next_rows_of(1)?;
        let foreign_keys = results.next_rows_of(1)?;
        let parents = results.next_rows_of(2)?;
        let triggers = results.next_rows_of(3)?;
        let checks = results.next_rows_of(2)?;
        let checks: Vec<_> = checks.iter().map(|row| (text(row, 0), text(row, 1))).collect();
        let Some(found) = tables.first() else { return Ok(None) };
        let table_type = text(found, 2);
        let first = |row: &Row| text(row, 0);
        Ok(Some(Self {
            database: text(found, 0),
            table: text(found, 1),
            kind: if table_type.contains("VIEW") {
                TableKind::View
            } else if table_type.contains("SYSTEM VERSIONED") {
                TableKind::SystemVersioned
            } else {
                TableKind::Base
            },
            engine: optional_text(found, 3),
            is_partitioned: text(found, 4).contains("partitioned"),
            columns: columns.iter().map(|row| ColumnSchema::from_row(row, &checks)).collect(),
            unique_key_columns: unique_key_columns.iter().map(first).collect(),
            foreign_keys: foreign_keys.iter().map(first).collect(),
            parents: parents
                .iter()
                .map(|row| (text(row, 0), text(row, 1)))
                .filter(|(database, table)| *database != text(found, 0) || *table != text(found, 1))
                .collect(),
            triggers: triggers
                .iter()
                .map(|row| Trigger {
                    name: text(row, 0),
                    timing: text(row, 1),
                    event: text(row, 2),
                })
                .collect(),
        }))
    }

    /// Returns the quoted name, with the database.
    #[must_use]
    pub fn name(&self) -> TableName {
        TableName { database: Some(self.database.clone()), table: self.table.clone() }
    }

    pub(crate) fn is_view(&self) -> bool {
        self.kind == TableKind::View
    }

    /// Returns the column with this name.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&ColumnSchema> {
        self.columns.iter().find(|column| same_name(&column.name, name))
    }

    /// Returns true if a trigger may change a row before it is inserted.
    pub(crate) fn has_before_insert_trigger(&self) -> bool {
        self.triggers.iter().any(|trigger| trigger.timing == "BEFORE" && trigger.event == "INSERT")
    }
}

impl ColumnSchema {
    /// `checks` has the name and the expression of each CHECK.
    fn from_row(row: &Row, checks: &[(String, String)]) -> Self {
        let extra = text(row, 6).to_ascii_uppercase();
        let is_nullable = text(row, 5) == "YES";
        let (name, data_type) = (text(row, 0), text(row, 1));
        // The CHECK of a column has the column's name.
        let json_valid = format!("json_valid({})", quote_identifier(&name));
        let is_json = data_type.eq_ignore_ascii_case("json")
            || checks.iter().any(|(of, check)| *of == name && *check == json_valid);
        Self {
            name,
            data_type,
            is_json,
            column_type: text(row, 2),
            charset: optional_text(row, 3),
            collation: optional_text(row, 4),
            is_nullable,
            // For NULL as the default, MariaDB shows the text NULL, and MySQL nothing.
            has_default: is_nullable || optional_text(row, 10).is_some(),
            // MySQL reports DEFAULT_GENERATED for a default that is an expression.
            is_generated: ["VIRTUAL", "STORED", "PERSISTENT"]
                .iter()
                .any(|word| extra.contains(word)),
            is_auto_increment: extra.contains("AUTO_INCREMENT"),
            is_invisible: extra.contains("INVISIBLE"),
            numeric_scale: number(row, 7),
            datetime_precision: number(row, 8),
            octet_length: number(row, 9),
        }
    }
}

/// Returns a text of an answer, whatever its bytes are; the empty text for NULL.
fn text(row: &Row, at: usize) -> String {
    optional_text(row, at).unwrap_or_default()
}

fn optional_text(row: &Row, at: usize) -> Option<String> {
    let bytes = row.get_opt::<Option<Vec<u8>>, _>(at)?.ok()??;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn number(row: &Row, at: usize) -> u64 {
    row.get_opt::<Option<u64>, _>(at).and_then(Result::ok).flatten().unwrap_or_default()
}
