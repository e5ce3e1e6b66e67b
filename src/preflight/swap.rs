//! Finds the reasons not to swap or empty a table: everything that stays with the old table when
//! another takes its name, and everything that refers to it.
//!
//! `information_schema` shows an account only what it has privileges for. If something may be
//! hidden, a warning says so. The server still refuses anything that would break a constraint.

use super::options::PreflightOptions;
use crate::error::{Error, ErrorKind, Result};
use crate::mysql::{Conn, Phase, classify};
use crate::policy::Mode;

#[derive(Debug, Default)]
pub(crate) struct SwapFindings {
    pub(crate) problems: Vec<Error>,
    pub(crate) warnings: Vec<String>,
}

/// Checks the target for what the mode would do to it.
///
/// # Errors
/// The error of a query. Problems of the target are in the findings.
pub(crate) async fn check(conn: &mut Conn, options: &PreflightOptions<'_>) -> Result<SwapFindings> {
    let mut findings = SwapFindings::default();
    let mode = options.load.mode;
    let table = &options.target.table;
    // Without a database there is no table. Another check reports that.
    let Some(database) = table.database.as_deref().or(options.target.database.as_deref()) else {
        return Ok(findings);
    };
    if mode == Mode::Append {
        return Ok(findings);
    }
    let mut target =
        SwapTarget { conn, database, table: &table.table, what: format!("table {table}") };
    let verb = if mode == Mode::Swap { "swapped" } else { "emptied" };
    let mut refuse = |problem: String, hint: &str| {
        findings.problems.push(Error::new(ErrorKind::TargetRefused, problem).with_hint(hint));
    };

    let what = target.what.clone();
    let table_type = target.table_type().await?;
    if table_type.contains("VIEW") {
        refuse(
            format!("{what} is a view, which cannot be {verb}"),
            "name the view's base table, or use --mode append",
        );
        return Ok(findings);
    }
    if table_type.contains("SYSTEM VERSIONED") {
        let problem = if mode == Mode::Swap {
            format!("{what} is system-versioned: a swap would lose its history")
        } else {
            format!("{what} is system-versioned, and the server cannot truncate such tables")
        };
        refuse(problem, "use --mode append, or ALTER TABLE ... DROP SYSTEM VERSIONING first");
    }
    for (constraint, child) in target.foreign_keys_to_it().await? {
        let (problem, hint) = if mode == Mode::Swap {
            (
                format!(
                    "{what}: foreign key {constraint} of {child} refers to it and would stay with \
                     the old table"
                ),
                "drop the foreign key first and add it again afterwards, or use --mode append",
            )
        } else {
            (
                format!(
                    "{what}: foreign key {constraint} of {child} refers to it, so it cannot be \
                     truncated"
                ),
                "drop the foreign key first, or empty the table yourself and use --mode append",
            )
        };
        refuse(problem, hint);
    }
    if mode == Mode::Swap {
        for constraint in target.foreign_keys_of_it().await? {
            refuse(
                format!(
                    "{what}: its foreign key {constraint} would be lost: CREATE TABLE ... LIKE \
                     does not copy it"
                ),
                "drop the foreign key first and add it again afterwards, or use --mode truncate",
            );
        }
        let triggers = target.triggers().await?;
        for trigger in &triggers {
            refuse(
                format!("{what}: its trigger {trigger} would be lost: it stays with the old table"),
                "drop the trigger first and create it again afterwards, or use --mode truncate",
            );
        }
        if triggers.is_empty() && !target.shows_triggers().await? {
            findings.warnings.push(format!(
                "{what}: without the TRIGGER privilege its triggers are not visible; a swap would \
                 lose them"
            ));
        }
    }
    Ok(findings)
}

/// The table to check.
struct SwapTarget<'a> {
    conn: &'a mut Conn,
    database: &'a str,
    table: &'a str,
    what: String,
}

impl SwapTarget<'_> {
    async fn table_type(&mut self) -> Result<String> {
        let sql = "SELECT TABLE_TYPE FROM information_schema.TABLES \
                   WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?";
        Ok(self.ask::<String>(sql).await?.into_iter().next().unwrap_or_default())
    }

    async fn foreign_keys_of_it(&mut self) -> Result<Vec<String>> {
        self.ask(
            "SELECT CONSTRAINT_NAME FROM information_schema.TABLE_CONSTRAINTS \
             WHERE CONSTRAINT_TYPE = 'FOREIGN KEY' AND TABLE_SCHEMA = ? AND TABLE_NAME = ? \
             ORDER BY CONSTRAINT_NAME",
        )
        .await
    }

    /// Returns the foreign keys that refer to the table, and the tables that have them. A table
    /// that refers to itself is left out: it can still be truncated, and for a swap the foreign key
    /// is one of its own.
    async fn foreign_keys_to_it(&mut self) -> Result<Vec<(String, String)>> {
        let found: Vec<(String, String, String)> = self
            .ask(
                "SELECT DISTINCT CONSTRAINT_NAME, TABLE_SCHEMA, TABLE_NAME \
                 FROM information_schema.KEY_COLUMN_USAGE \
                 WHERE REFERENCED_TABLE_SCHEMA = ? AND REFERENCED_TABLE_NAME = ? \
                 ORDER BY TABLE_SCHEMA, TABLE_NAME, CONSTRAINT_NAME",
            )
            .await?;
        let others = found
            .into_iter()
            .filter(|(_, schema, table)| schema != self.database || table != self.table);
        Ok(others
            .map(|(constraint, schema, table)| (constraint, format!("{schema}.{table}")))
            .collect())
    }

    async fn triggers(&mut self) -> Result<Vec<String>> {
        self.ask(
            "SELECT TRIGGER_NAME FROM information_schema.TRIGGERS \
             WHERE EVENT_OBJECT_SCHEMA = ? AND EVENT_OBJECT_TABLE = ? ORDER BY TRIGGER_NAME",
        )
        .await
    }

    /// Returns true if the account is known to have the TRIGGER privilege. Without it there seem to
    /// be no triggers. A privilege by a role is not seen.
    async fn shows_triggers(&mut self) -> Result<bool> {
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
             AND ? LIKE granted.in_schema AND ? LIKE granted.in_table"
        );
        Ok(self.ask::<u64>(&sql).await?.into_iter().next().unwrap_or(0) > 0)
    }

    /// Runs a query with bound values, because the quoting of a literal depends on the account's
    /// `sql_mode`.
    async fn ask<T>(&mut self, sql: &str) -> Result<Vec<T>>
    where
        T: mysql_async::prelude::FromRow,
    {
        self.conn
            .exec(sql, (self.database, self.table))
            .await
            .map_err(|error| classify(Phase::Connect, &self.what, &error))
    }
}
