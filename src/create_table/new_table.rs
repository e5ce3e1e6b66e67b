//! A guessed table, and the statement that creates it.

use std::fmt::Write as _;

use indicatif::HumanCount;

use super::column_guess::SqlType;
use crate::error::{Error, ErrorKind, Result};
use crate::printable::printable;
use crate::sql_text::{TableName, quote_identifier, same_name};
use crate::values::Server;

/// The most bytes of a row, without what long texts take outside of it.
const ROW_BYTES: usize = 65_535;
/// The bytes of a character in utf8mb4.
const CHARACTER_BYTES: usize = 4;
/// The bytes of a long text, or of JSON, in its row.
const POINTER_BYTES: usize = 12;
/// The bytes for the marks of NULL, at one bit for each column, and some to spare.
const SPARE_BYTES: usize = 256;
/// The widest place for types, so that remarks stand below each other.
const WIDEST_DEFINITION: usize = 40;

/// A column of a guessed table.
#[derive(Clone, Debug)]
pub(super) struct NewColumn {
    pub(super) name: String,
    pub(super) sql_type: SqlType,
    pub(super) remark: String,
    pub(super) is_key: bool,
    /// The type for the case that rows are too long with [`Self::sql_type`].
    pub(super) long_text: SqlType,
}

impl NewColumn {
    /// Returns the bytes that the column takes of the longest row.
    fn row_bytes(&self) -> usize {
        match self.sql_type {
            SqlType::BigInt | SqlType::Double | SqlType::Date | SqlType::DateTime { .. } => 8,
            SqlType::Decimal { precision, .. } => precision / 2 + 2,
            SqlType::Json | SqlType::Text(_) => POINTER_BYTES,
            SqlType::Varchar(characters) => characters * CHARACTER_BYTES + 2,
        }
    }
}

/// A guessed table.
#[derive(Clone, Debug)]
pub(crate) struct NewTable {
    columns: Vec<NewColumn>,
    primary_key: Vec<String>,
    rows: u64,
    objects: Vec<String>,
}

impl NewTable {
    /// Creates the table. The widest texts become long texts if rows would be too long.
    ///
    /// # Errors
    /// `Usage` if a column of the primary key has a type that no key takes.
    pub(super) fn new(
        mut columns: Vec<NewColumn>,
        primary_key: &[String],
        rows: u64,
        objects: Vec<String>,
    ) -> Result<Self> {
        let spelled = |key: &String| {
            let column = columns.iter().find(|column| same_name(&column.name, key));
            column.map_or_else(|| key.clone(), |column| column.name.clone())
        };
        let primary_key = primary_key.iter().map(spelled).collect();
        for column in columns.iter().filter(|column| column.is_key) {
            if matches!(column.sql_type, SqlType::Json | SqlType::Text(_) | SqlType::Varchar(1024))
            {
                let message = format!(
                    "--primary-key: column {} has values that are too long for a key, or have \
                     parts ({}: {})",
                    printable(&column.name),
                    column.sql_type,
                    column.remark
                );
                return Err(Error::new(ErrorKind::Usage, message)
                    .with_hint("choose other columns, or leave out --primary-key"));
            }
        }
        let mut row_bytes: usize = columns.iter().map(NewColumn::row_bytes).sum();
        while row_bytes + SPARE_BYTES > ROW_BYTES {
            let widest = columns
                .iter_mut()
                .filter(|column| !column.is_key && matches!(column.sql_type, SqlType::Varchar(_)))
                .max_by_key(|column| column.row_bytes());
            let Some(widest) = widest else { break };
            row_bytes -= widest.row_bytes();
            widest.sql_type = widest.long_text.clone();
            widest.remark.push_str("; not VARCHAR, because a row has at most 65,535 bytes");
            row_bytes += widest.row_bytes();
        }
        Ok(Self { columns, primary_key, rows, objects })
    }

    /// Returns the number of columns.
    pub(crate) fn column_count(&self) -> usize {
        self.columns.len()
    }

    /// Returns the statement that creates the table, without its semicolon.
    pub(crate) fn sql(&self, table: &TableName, server: Server) -> String {
        let collation = match server {
            Server::MySql => "utf8mb4_0900_bin",
            Server::MariaDb => "utf8mb4_nopad_bin",
        };
        let (rows, objects) = (HumanCount(self.rows), self.objects.len());
        let (row, object) = (
            if self.rows == 1 { "row" } else { "rows" },
            if objects == 1 { "object" } else { "objects" },
        );
        let mut sql = format!("-- Guessed from {rows} {row} of {objects} {object}:\n");
        for object in &self.objects {
            push(&mut sql, format_args!("--   {}\n", printable(object)));
        }
        sql.push_str("-- Texts are compared byte for byte: 'a', 'A' and 'a ' are three values.\n");
        push(&mut sql, format_args!("CREATE TABLE {table} (\n"));
        let definitions: Vec<String> = self.columns.iter().map(definition).collect();
        let width = definitions.iter().map(|definition| definition.chars().count()).max();
        let width = width.unwrap_or(0).min(WIDEST_DEFINITION) + 1;
        let last = self.columns.len() - 1;
        for (index, (column, definition)) in self.columns.iter().zip(&definitions).enumerate() {
            let comma = if index < last || !self.primary_key.is_empty() { "," } else { "" };
            let definition = format!("{definition}{comma}");
            push(
                &mut sql,
                format_args!("  {definition:width$} -- {}\n", printable(&column.remark)),
            );
        }
        if !self.primary_key.is_empty() {
            let keys: Vec<String> =
                self.primary_key.iter().map(|name| quote_identifier(name)).collect();
            push(&mut sql, format_args!("  PRIMARY KEY ({})\n", keys.join(", ")));
        }
        push(&mut sql, format_args!(") ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE={collation}"));
        sql
    }
}

fn definition(column: &NewColumn) -> String {
    let null = if column.is_key { " NOT NULL" } else { "" };
    format!("{} {}{null}", quote_identifier(&column.name), column.sql_type)
}

/// Appends text to a String, which cannot fail.
fn push(sql: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = sql.write_fmt(text);
}
