//! Reads the foreign keys that refer to a table, and what the account sees of its triggers. Only a
//! job that empties or swaps the table needs them: on some servers the search takes long.

use mysql_async::Error as Driver;

use super::{TableSchema, text};
use crate::mysql::conn::Conn;
use crate::mysql::server::Flavor;
use crate::mysql::{codes, grants};
use crate::sql_text::{TableName, text_literal};

/// A foreign key of another table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReferringKey {
    pub(crate) constraint: String,
    /// The table that has the foreign key, as `database.table`.
    pub(crate) child: String,
}

impl TableSchema {
    /// Returns the foreign keys that refer to the table. A table that refers to itself is left out:
    /// it can still be truncated, and for a swap the foreign key is one of its own.
    ///
    /// # Errors
    /// The errors of the driver.
    pub(crate) async fn referring_keys(
        &self,
        conn: &mut Conn,
    ) -> mysql_async::Result<Vec<ReferringKey>> {
        let sql = format!(
            "SELECT DISTINCT CONSTRAINT_NAME, TABLE_SCHEMA, TABLE_NAME \
             FROM information_schema.KEY_COLUMN_USAGE \
             WHERE REFERENCED_TABLE_SCHEMA = {} AND REFERENCED_TABLE_NAME = {} \
             ORDER BY TABLE_SCHEMA, TABLE_NAME, CONSTRAINT_NAME",
            text_literal(&self.database),
            text_literal(&self.table)
        );
        let rows = conn.query_sets(&sql).await?.next_rows_of(3)?;
        Ok(rows
            .iter()
            .map(|row| (text(row, 0), text(row, 1), text(row, 2)))
            .filter(|(_, database, table)| *database != self.database || *table != self.table)
            .map(|(constraint, database, table)| ReferringKey {
                constraint,
                child: format!("{database}.{table}"),
            })
            .collect())
    }

    /// Returns true if the account sees all triggers of the table. On MySQL that takes the TRIGGER
    /// privilege: without it the table seems to have no triggers. MariaDB names them to everybody
    /// who sees the table.
    ///
    /// The session's `sql_mode` must not hold `ANSI_QUOTES`.
    ///
    /// # Errors
    /// The errors of the driver.
    pub(crate) async fn shows_triggers(
        &self,
        conn: &mut Conn,
        flavor: Flavor,
    ) -> mysql_async::Result<bool> {
        if flavor == Flavor::Mariadb {
            return Ok(true);
        }
        let lines: Vec<String> = conn.query("SHOW GRANTS").await?;
        Ok(grants::give(&lines, "TRIGGER", &self.database, &self.table))
    }
}

/// Returns true if the table is on either side of a foreign key, also where the account does not
/// see that foreign key.
///
/// Nothing that an ordinary account may read tells this. But the server does not change the engine
/// of such a table, and refuses that before it looks at the rest of the statement. The rest is
/// always an error, because it adds two columns with one name. So nothing is ever altered, and the
/// error tells. The statement needs the ALTER, CREATE and INSERT privileges, and waits for
/// statements that alter the table.
///
/// # Errors
/// The errors of the driver, also if the server's error tells nothing.
pub(crate) async fn is_in_foreign_key(
    conn: &mut Conn,
    table: &TableName,
) -> mysql_async::Result<bool> {
    let sql = format!(
        "ALTER TABLE {table} ENGINE=MEMORY, ADD COLUMN s3_to_mysql_twice INT, ADD COLUMN \
         s3_to_mysql_twice INT"
    );
    match conn.query_drop(sql).await {
        Err(Driver::Server(error)) if codes::is_kept_by_foreign_key(error.code) => Ok(true),
        Err(Driver::Server(error)) if codes::is_impossible_alter(error.code) => Ok(false),
        Err(error) => Err(error),
        // No server accepts the statement.
        Ok(()) => Ok(true),
    }
}
