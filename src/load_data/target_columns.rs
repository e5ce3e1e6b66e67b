//! The target's columns according to `information_schema`, for all code that writes to the target
//! by another statement than LOAD DATA.

use crate::error::Result;
use crate::mysql::{Conn, Phase, classify};
use crate::object::TableName;

/// The columns of one table or view, and which of them are in unique keys.
#[derive(Clone, Debug)]
pub struct TargetColumns {
    pub(crate) columns: Vec<TargetColumn>,
    /// The columns of the PRIMARY KEY and of all UNIQUE keys, each once. Functional key parts are
    /// left out. Empty for a view.
    unique_key_columns: Vec<String>,
    /// True if the account can see such a trigger. Without the TRIGGER privilege it sees none.
    pub(crate) has_before_insert_trigger: bool,
}

/// One column, and how it is declared.
#[derive(Clone, Debug)]
pub(crate) struct TargetColumn {
    pub(crate) name: String,
    /// The type as in CREATE TABLE, such as `int(10) unsigned` or `enum('a','b')`, without
    /// character set and collation.
    pub(crate) column_type: String,
    /// The character set and the collation of a text column.
    pub(crate) text: Option<(String, String)>,
    pub(crate) is_nullable: bool,
    pub(crate) is_generated: bool,
    pub(crate) is_auto_increment: bool,
}

impl TargetColumns {
    /// Reads the columns from the server.
    ///
    /// # Errors
    /// Those of the connection. A table that does not exist has no columns.
    pub async fn read(conn: &mut Conn, table: &TableName) -> Result<Self> {
        let what = format!("table {table}");
        let failed = |error: mysql_async::Error| classify(Phase::Transaction, &what, &error);
        // Bound, because a literal's quoting would depend on the account's sql_mode.
        let place = (table.database.as_deref(), &table.table);
        let columns: Vec<(String, String, Option<String>, Option<String>, String, String)> = conn
            .exec(
                "SELECT COLUMN_NAME, COLUMN_TYPE, CHARACTER_SET_NAME, COLLATION_NAME, IS_NULLABLE, \
                 EXTRA FROM information_schema.COLUMNS \
                 WHERE TABLE_SCHEMA = COALESCE(?, DATABASE()) AND TABLE_NAME = ? \
                 ORDER BY ORDINAL_POSITION",
                place,
            )
            .await
            .map_err(failed)?;
        let columns = columns
            .into_iter()
            .map(|(name, column_type, charset, collation, nullable, extra)| {
                let extra = extra.to_ascii_uppercase();
                TargetColumn {
                    name,
                    column_type,
                    text: charset.zip(collation),
                    is_nullable: nullable == "YES",
                    // MySQL reports DEFAULT_GENERATED for a default that is an expression.
                    is_generated: ["VIRTUAL", "STORED", "PERSISTENT"]
                        .iter()
                        .any(|kind| extra.contains(kind)),
                    is_auto_increment: extra.contains("AUTO_INCREMENT"),
                }
            })
            .collect();
        let unique_key_columns = conn
            .exec(
                "SELECT DISTINCT COLUMN_NAME FROM information_schema.STATISTICS \
                 WHERE NON_UNIQUE = 0 AND COLUMN_NAME IS NOT NULL \
                 AND TABLE_SCHEMA = COALESCE(?, DATABASE()) AND TABLE_NAME = ?",
                place,
            )
            .await
            .map_err(failed)?;
        let triggers: Option<u64> = conn
            .exec_first(
                "SELECT COUNT(*) FROM information_schema.TRIGGERS \
                 WHERE EVENT_MANIPULATION = 'INSERT' AND ACTION_TIMING = 'BEFORE' \
                 AND EVENT_OBJECT_SCHEMA = COALESCE(?, DATABASE()) AND EVENT_OBJECT_TABLE = ?",
                place,
            )
            .await
            .map_err(failed)?;
        Ok(Self {
            columns,
            unique_key_columns,
            has_before_insert_trigger: triggers.unwrap_or(0) > 0,
        })
    }

    /// Returns the names of all columns in a PRIMARY or UNIQUE key, in the server's own spelling.
    #[must_use]
    pub fn unique_key_columns(&self) -> &[String] {
        &self.unique_key_columns
    }

    /// Returns the column with this name. Both servers compare names without case.
    pub(crate) fn named(&self, name: &str) -> Option<&TargetColumn> {
        self.columns.iter().find(|column| same_name(&column.name, name))
    }
}

pub(crate) fn same_name(left: &str, right: &str) -> bool {
    left.eq_ignore_ascii_case(right) || left.to_lowercase() == right.to_lowercase()
}
