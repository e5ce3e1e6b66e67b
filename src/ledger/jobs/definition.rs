//! Compares the definition of the shadow with that of the target.
//!
//! A swap replaces the target's definition with the shadow's. A change to the target since the
//! shadow was made (a column, an index, a partition, a trigger) would be silently undone.

use mysql_async::{Row, Value};

use super::index::Index;
use crate::error::Result;
use crate::ledger::handle::Ledger;
use crate::mysql::{Phase, Session, classify};
use crate::object::TableName;

/// The parts of a definition that are compared, each with its name and its query. Messages show the
/// first column of the query. Names that CREATE TABLE ... LIKE does not copy, such as those of
/// constraints, are left out.
const PARTS: [(&str, &str); 6] = [
    (
        "column",
        "SELECT COLUMN_NAME, ORDINAL_POSITION, COLUMN_DEFAULT, IS_NULLABLE, COLUMN_TYPE, \
         COLLATION_NAME, EXTRA, GENERATION_EXPRESSION \
         FROM information_schema.COLUMNS \
         WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? \
         ORDER BY ORDINAL_POSITION",
    ),
    (
        "index",
        "SELECT INDEX_NAME, SEQ_IN_INDEX, NON_UNIQUE, COLUMN_NAME, SUB_PART, INDEX_TYPE \
         FROM information_schema.STATISTICS \
         WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? \
         ORDER BY INDEX_NAME, SEQ_IN_INDEX",
    ),
    (
        "partition",
        "SELECT PARTITION_NAME, SUBPARTITION_NAME, PARTITION_METHOD, PARTITION_EXPRESSION, \
         PARTITION_DESCRIPTION \
         FROM information_schema.PARTITIONS \
         WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? \
         ORDER BY PARTITION_ORDINAL_POSITION, SUBPARTITION_ORDINAL_POSITION",
    ),
    (
        "a constraint",
        "SELECT CONSTRAINT_TYPE, COUNT(*) \
         FROM information_schema.TABLE_CONSTRAINTS \
         WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? \
         GROUP BY CONSTRAINT_TYPE \
         ORDER BY CONSTRAINT_TYPE",
    ),
    (
        "trigger",
        "SELECT TRIGGER_NAME \
         FROM information_schema.TRIGGERS \
         WHERE EVENT_OBJECT_SCHEMA = ? AND EVENT_OBJECT_TABLE = ? \
         ORDER BY TRIGGER_NAME",
    ),
    (
        "a table option",
        "SELECT CREATE_OPTIONS, ENGINE, TABLE_COLLATION, TABLE_COMMENT \
         FROM information_schema.TABLES \
         WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?",
    ),
];

impl Ledger {
    /// Returns the first difference between the target and `shadow`, if there is one. `deferred`
    /// are indexes that the shadow does not have yet.
    pub(super) async fn difference(
        &self,
        session: &mut Session,
        shadow: &TableName,
        deferred: &[Index],
    ) -> Result<Option<String>> {
        if let Some(changed) = self.changed_in_target(session, deferred).await? {
            return Ok(Some(format!("index {changed}")));
        }
        for (part, sql) in PARTS {
            let mut target = self.rows(session, sql, &self.target.table).await?;
            let mut shadow = self.rows(session, sql, &shadow.table).await?;
            if part == "index" {
                // A run that died may have added some of them.
                for rows in [&mut target, &mut shadow] {
                    rows.retain(|row| !deferred.iter().any(|index| is_named(row, &index.name)));
                }
            }
            if target != shadow {
                let only_here = target.iter().find(|row| !shadow.contains(row));
                let differs = only_here.or_else(|| shadow.iter().find(|row| !target.contains(row)));
                return Ok(Some(match differs.and_then(|row| row.first()) {
                    Some(Value::Bytes(name)) => format!("{part} {}", String::from_utf8_lossy(name)),
                    _ => part.to_owned(),
                }));
            }
        }
        Ok(None)
    }

    async fn rows(&self, session: &mut Session, sql: &str, table: &str) -> Result<Vec<Vec<Value>>> {
        let rows: Vec<Row> = session
            .conn
            .exec(sql, (&self.target.database, table))
            .await
            .map_err(|error| classify(Phase::Transaction, &self.what(), &error))?;
        Ok(rows.into_iter().map(Row::unwrap).collect())
    }
}

/// Returns true if the first column is `name`.
fn is_named(row: &[Value], name: &str) -> bool {
    matches!(row.first(), Some(Value::Bytes(bytes)) if bytes == name.as_bytes())
}
