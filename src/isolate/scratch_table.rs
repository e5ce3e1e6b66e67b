//! Makes the scratch table, which is a TEMPORARY table with the target's columns and numbered rows.
//!
//! It has no key, CHECK, foreign key, partition or trigger that could refuse a row. Every row of
//! the statement is stored, and the k-th row has the k-th number, which counting proves. From there
//! [`ScratchTable::insert_into`] inserts the rows into the target and reports which of them the
//! target refused.
//!
//! CREATE and DROP TEMPORARY TABLE do not commit an open transaction (TRUNCATE and ALTER would).
//! The rows of the table are part of the transaction: ROLLBACK to a savepoint from before the load
//! removes them. The table itself lives until it is dropped or the session ends.

use std::collections::HashSet;

use mysql_async::Error as Driver;

use crate::dialect::{ColumnOrVariable, check_statement};
use crate::error::{Error, ErrorKind, Result};
use crate::mysql::{ColumnSchema, Conn, Phase, TableSchema, classify, codes};
use crate::sql_text::{TableName, quote_identifier, same_name};

/// The definition of a scratch table. It needs the CREATE TEMPORARY TABLES privilege on the
/// target's database and SELECT on the target.
#[derive(Clone, Debug)]
pub struct ScratchTable {
    pub(crate) target: TableName,
    table: TableName,
    /// The `AUTO_INCREMENT` column that numbers the rows. The target has no column with this name.
    number: String,
    /// The rest of CREATE TEMPORARY TABLE after the name.
    definition: String,
    load_columns: Vec<ColumnOrVariable>,
    insert_columns: Vec<String>,
}

/// The numbers of the rows of one statement: `first`, `first + step` and so on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Numbers {
    pub(crate) first: u64,
    pub(crate) step: u64,
    pub(crate) rows: u64,
}

/// An `sql_mode` that accepts any default: it is not strict, and accepts zero dates.
const LENIENT: &str = "NO_ENGINE_SUBSTITUTION,NO_AUTO_VALUE_ON_ZERO";

impl ScratchTable {
    /// Defines a scratch table for `target`, whose rows are read according to `loaded` and `set`.
    /// `schema` is that of the target, or of the table that the target is a copy of.
    #[must_use]
    pub fn new(
        target: &TableName,
        schema: &TableSchema,
        loaded: &[ColumnOrVariable],
        set: &[(String, String)],
    ) -> Self {
        let generated = |name: &str| schema.column(name).is_some_and(|column| column.is_generated);
        let load_columns: Vec<ColumnOrVariable> = loaded
            .iter()
            .map(|item| match item {
                // The target ignores the field, but in the scratch table this would be an ordinary
                // column.
                ColumnOrVariable::Column(name) if generated(name) => {
                    ColumnOrVariable::Variable(format!("s3_to_mysql_generated_{name}"))
                }
                other => other.clone(),
            })
            .collect();
        let mut insert_columns: Vec<String> = Vec::new();
        let listed = load_columns.iter().filter_map(|item| match item {
            ColumnOrVariable::Column(name) => Some(name),
            ColumnOrVariable::Variable(_) => None,
        });
        for name in listed.chain(set.iter().map(|(name, _)| name)) {
            if !generated(name) && !insert_columns.iter().any(|known| same_name(known, name)) {
                insert_columns.push(name.clone());
            }
        }

        let taken: HashSet<String> =
            schema.columns.iter().map(|column| column.name.to_lowercase()).collect();
        let number = unlike("_row", |name| taken.contains(name));
        // Under the name of either table it would hide that table.
        let table = unlike("s3_to_mysql_rows", |name| {
            same_name(name, &target.table) || same_name(name, &schema.table)
        });
        let mut declared = vec![format!(
            "{} BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY",
            quote_identifier(&number)
        )];
        declared.extend(
            schema
                .columns
                .iter()
                .filter(|column| {
                    // In the target, NULL becomes a number, or the trigger replaces it.
                    column.is_auto_increment
                        || schema.has_before_insert_trigger() && !column.is_nullable
                })
                .map(nullable),
        );
        let names: Vec<String> =
            schema.columns.iter().map(|column| quote_identifier(&column.name)).collect();
        let definition = format!(
            " ({}) ENGINE=InnoDB SELECT {} FROM {target} LIMIT 0",
            declared.join(", "),
            // Without any column, the statement's own error explains the problem with the target.
            if names.is_empty() { "*".to_owned() } else { names.join(", ") },
        );
        Self {
            target: target.clone(),
            table: TableName { database: target.database.clone(), table },
            number,
            definition,
            load_columns,
            insert_columns,
        }
    }

    /// Creates the empty table. Drops an older one first.
    ///
    /// # Errors
    /// `TargetRefused` if the account lacks the privilege, so that nothing that needs the table is
    /// possible. Otherwise the errors of the connection.
    pub async fn create(&self, conn: &mut Conn) -> Result<()> {
        // A transaction that does not allow DROP does not allow CREATE either.
        self.drop(conn).await.map_err(unavailable)?;
        let sql = format!("CREATE TEMPORARY TABLE {}{}", self.table, self.definition);
        ensure_one_statement(&self.target, &sql)?;
        define(conn, &sql).await.map_err(|error| {
            let is_denied = matches!(
                &error,
                Driver::Server(server) if server.code == codes::DATABASE_ACCESS_DENIED
            );
            if is_denied {
                let message = format!(
                    "the scratch copy of table {}: the account cannot create temporary tables",
                    self.target
                );
                return Error::new(ErrorKind::TargetRefused, message).caused_by(error).with_hint(
                    "the account needs the CREATE TEMPORARY TABLES privilege on the database; an \
                     administrator must GRANT it",
                );
            }
            unavailable(self.failed(&error))
        })
    }

    /// Drops the table, if it exists.
    ///
    /// # Errors
    /// The errors of the connection.
    pub async fn drop(&self, conn: &mut Conn) -> Result<()> {
        conn.query_drop(format!("DROP TEMPORARY TABLE IF EXISTS {}", self.table))
            .await
            .map_err(|error| self.failed(&error))
    }

    /// Returns its name, for LOAD DATA.
    #[must_use]
    pub fn table(&self) -> &TableName {
        &self.table
    }

    /// Returns the column list to load it with: the target's, but with variables for generated
    /// columns.
    #[must_use]
    pub fn load_columns(&self) -> &[ColumnOrVariable] {
        &self.load_columns
    }

    /// Returns the columns whose values go to the target: those that are loaded or set, without
    /// generated ones.
    #[must_use]
    pub fn insert_columns(&self) -> &[String] {
        &self.insert_columns
    }

    pub(crate) fn number(&self) -> String {
        quote_identifier(&self.number)
    }

    pub(crate) fn failed(&self, error: &Driver) -> Error {
        classify(Phase::Transaction, &format!("the scratch copy of table {}", self.target), error)
    }

    /// Returns the numbers of the rows, after one LOAD DATA has filled the table.
    ///
    /// # Errors
    /// `CountMismatch` if it is not proven that the k-th row has the k-th number.
    pub(crate) async fn numbers(&self, conn: &mut Conn) -> Result<Numbers> {
        let number = self.number();
        let sql = format!(
            "SELECT COUNT(*), COALESCE(MIN({number}), 0), COALESCE(MAX({number}), 0), \
             @@SESSION.auto_increment_increment FROM {}",
            self.table
        );
        let counted: Option<(u64, u64, u64, u64)> =
            conn.query_first(sql).await.map_err(|error| self.failed(&error))?;
        let (rows, first, last, step) = counted.unwrap_or_default();
        Numbers::proven(rows, first, last, step).ok_or_else(|| {
            let message = format!(
                "the scratch copy of table {}: {rows} rows have the numbers {first} to {last} in \
                 steps of {step}",
                self.target
            );
            Error::new(ErrorKind::CountMismatch, message)
        })
    }
}

/// Returns an error if the text of a table's definition, as the server shows it, would make more
/// than one statement of `sql`.
pub(crate) fn ensure_one_statement(target: &TableName, sql: &str) -> Result<()> {
    check_statement(sql).map_err(|error| {
        let message =
            format!("table {target}: a copy of it is not made, because its definition is unclear");
        Error::new(ErrorKind::TargetRefused, message).caused_by(error)
    })
}

/// Runs a CREATE TEMPORARY TABLE whose defaults may be invalid under the session's `sql_mode`.
pub(crate) async fn define(conn: &mut Conn, sql: &str) -> std::result::Result<(), Driver> {
    match conn.query_drop(sql).await {
        Err(Driver::Server(error)) if error.code == codes::INVALID_DEFAULT => {
            // The target was created under another mode. If this future is dropped here, the
            // session is destroyed, so the mode does not outlive it.
            conn.query_drop(format!(
                "SET @s3_to_mysql_sql_mode = @@SESSION.sql_mode, SESSION sql_mode = '{LENIENT}'"
            ))
            .await?;
            let defined = conn.query_drop(sql).await;
            conn.query_drop("SET SESSION sql_mode = @s3_to_mysql_sql_mode").await?;
            defined
        }
        other => other,
    }
}

impl Numbers {
    /// Returns the numbers if the counts prove them. Every number is the first plus some steps, and
    /// no two are equal. If exactly `rows` numbers fit between the first and the last, none is
    /// missing. The server assigns them in the order of the rows.
    fn proven(rows: u64, first: u64, last: u64, step: u64) -> Option<Self> {
        let numbers = Self { first, step: step.max(1), rows };
        (rows == 0 || numbers.of(rows) == Some(last)).then_some(numbers)
    }

    /// Returns the number of a row, which is counted from 1.
    pub(crate) fn of(self, row: u64) -> Option<u64> {
        row.checked_sub(1)?.checked_mul(self.step)?.checked_add(self.first)
    }

    /// Returns the row with this number.
    pub(crate) fn row(self, number: u64) -> Option<u64> {
        let distance = number.checked_sub(self.first)?;
        (distance % self.step == 0)
            .then(|| distance / self.step + 1)
            .filter(|row| *row <= self.rows)
    }
}

/// Turns an error into `TargetRefused`, unless it is temporary: any other problem is the same for
/// every scratch table of the run.
pub(crate) fn unavailable(error: Error) -> Error {
    match error.kind {
        ErrorKind::LockConflict | ErrorKind::ConnectionLost | ErrorKind::TargetBusy => error,
        _ => error.as_kind(ErrorKind::TargetRefused),
    }
}

/// Declares `column` with the same type, but nullable.
fn nullable(column: &ColumnSchema) -> String {
    let text = column
        .charset
        .as_ref()
        .zip(column.collation.as_ref())
        .map(|(charset, collation)| format!(" CHARACTER SET {charset} COLLATE {collation}"))
        .unwrap_or_default();
    format!("{} {}{text} NULL DEFAULT NULL", quote_identifier(&column.name), column.column_type)
}

/// Returns `name`, with underscores appended until it is not taken.
pub(crate) fn unlike(name: &str, is_taken: impl Fn(&str) -> bool) -> String {
    let mut name = name.to_owned();
    while is_taken(&name) {
        name.push('_');
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_numbered_in_the_sessions_own_steps_or_not_at_all() {
        // Group replication counts in sevens.
        let numbers = Numbers::proven(3, 5, 19, 7).unwrap();
        assert_eq!([1, 2, 3].map(|row| numbers.of(row)), [Some(5), Some(12), Some(19)]);
        assert_eq!(
            [5, 12, 19, 6, 26].map(|number| numbers.row(number)),
            [Some(1), Some(2), Some(3), None, None]
        );
        assert!(Numbers::proven(0, 0, 0, 1).is_some());
        assert!(Numbers::proven(3, 1, 4, 1).is_none());
        assert!(Numbers::proven(3, 1, 3, 7).is_none());
    }

    #[test]
    fn a_name_that_the_target_has_is_not_used_for_the_numbers() {
        assert_eq!(unlike("_row", |name| ["_row", "_row_"].contains(&name)), "_row__");
    }
}
