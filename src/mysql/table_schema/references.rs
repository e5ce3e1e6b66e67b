//! The foreign keys that refer to a table, and the account's view of its triggers. Only a job that
//! empties or swaps the table needs them: on some servers the search takes long.

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};

use super::{TableSchema, number, text};
use crate::sql_text::text_literal;

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
    /// The driver's.
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
        let rows: Vec<Row> = conn.query(sql).await?;
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

    /// Returns true if the account is known to have the TRIGGER privilege. Without it there seem to
    /// be no triggers. A privilege by a role is not seen.
    ///
    /// # Errors
    /// The driver's.
    pub(crate) async fn shows_triggers(&self, conn: &mut Conn) -> mysql_async::Result<bool> {
        // The quote is X'27', because a server may read double quotes as names.
        let grantee = "CONCAT(X'27', SUBSTRING(CURRENT_USER(), 1, CHAR_LENGTH(CURRENT_USER()) \
                       - CHAR_LENGTH(SUBSTRING_INDEX(CURRENT_USER(), '@', -1)) - 1), X'274027', \
                       SUBSTRING_INDEX(CURRENT_USER(), '@', -1), X'27')";
        let sql = format!(
            "SELECT COUNT(*) FROM (SELECT GRANTEE, '%' AS in_schema, '%' AS in_table \
             FROM information_schema.USER_PRIVILEGES WHERE PRIVILEGE_TYPE = 'TRIGGER' \
             UNION ALL SELECT GRANTEE, TABLE_SCHEMA, '%' \
             FROM information_schema.SCHEMA_PRIVILEGES WHERE PRIVILEGE_TYPE = 'TRIGGER' \
             UNION ALL SELECT GRANTEE, TABLE_SCHEMA, TABLE_NAME \
             FROM information_schema.TABLE_PRIVILEGES WHERE PRIVILEGE_TYPE = 'TRIGGER') AS granted \
             WHERE granted.GRANTEE = {grantee} \
             AND {} LIKE granted.in_schema AND {} LIKE granted.in_table",
            text_literal(&self.database),
            text_literal(&self.table)
        );
        let rows: Vec<Row> = conn.query(sql).await?;
        Ok(rows.first().is_some_and(|row| number(row, 0) > 0))
    }
}
