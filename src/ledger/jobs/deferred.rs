//! Deferred secondary indexes: a job's table is loaded without them, and gets them again before the
//! job ends.
//!
//! The job's row lists the indexes, as data, before anything is dropped. They leave the row only
//! after a check has found every index in the table. What the row says is never executed: an index
//! is written as SQL from its parts, with every name quoted. In between it does not
//! matter who dies: dropping drops the indexes that are there, adding adds those that are missing,
//! and one ALTER TABLE does all of its work or nothing. For a swap the indexes belong to the
//! shadow, which goes with its job. For a truncate they belong to the target: a job that is given
//! up hands them on to the next one.

use std::time::Instant;

use mysql_async::Row;

use super::index::{deferrable, secondary};
use super::row::JobRow;
use crate::error::{Error, ErrorKind, Result};
use crate::ledger::handle::Ledger;
use crate::mysql::{CreateTable, Index, IndexKind, Phase, Session, classify};
use crate::policy::Mode;
use crate::retry::Attempts;
use crate::sql_text::{TableName, quote_identifier};

/// Makes SHOW CREATE TABLE quote with backticks. Lets ALTER TABLE accept defaults that a strict
/// mode refuses, such as a zero date, and run for as long as it takes.
const ALTER_MODE: &str = "SET @s3_to_mysql_sql_mode = @@SESSION.sql_mode, SESSION sql_mode = \
                          'NO_ENGINE_SUBSTITUTION', SESSION sql_quote_show_create = 1 /*M!100100 , \
                          SESSION max_statement_time = 0 */";
const USUAL_MODE: &str = "SET SESSION sql_mode = @s3_to_mysql_sql_mode";

impl Ledger {
    /// Returns the job's indexes and those of `table` that a load can do without, in the table's
    /// order.
    pub(super) async fn to_be_deferred(
        &self,
        session: &mut Session,
        row: &JobRow,
        table: &TableName,
    ) -> Result<Vec<Index>> {
        let shown = self.create_table(session, table).await?;
        let found = deferrable(&shown).ok_or_else(|| self.unreadable(table))?;
        let mut indexes = row.deferred_indexes.clone();
        indexes.extend(
            found
                .into_iter()
                .filter(|new| row.deferred_indexes.iter().all(|known| known.name != new.name)),
        );
        Ok(indexes)
    }

    /// Drops the indexes that exist, in one statement.
    pub(super) async fn drop_indexes(
        &self,
        session: &mut Session,
        attempts: &mut Attempts,
        table: &TableName,
        indexes: &[Index],
    ) -> Result<()> {
        let there = self.secondary_indexes(session, table).await?;
        let drops: Vec<String> = indexes
            .iter()
            .filter(|index| there.iter().any(|found| found.name == index.name))
            .map(|index| format!("DROP KEY {}", quote_identifier(&index.name)))
            .collect();
        if drops.is_empty() {
            return Ok(());
        }
        tracing::info!(
            "{}: loading without {} secondary indexes, which will be added at the end",
            self.what(),
            drops.len()
        );
        let sql = format!("ALTER TABLE {table} {}", drops.join(", "));
        self.alter(session, attempts, "ALTER TABLE ... DROP KEY", &sql).await
    }

    /// Adds the job's missing indexes and removes all of them from the job's row.
    pub(super) async fn add_indexes(
        &self,
        session: &mut Session,
        attempts: &mut Attempts,
        row: JobRow,
        table: &TableName,
    ) -> Result<JobRow> {
        if row.deferred_indexes.is_empty() {
            return Ok(row);
        }
        let there = self.secondary_indexes(session, table).await?;
        let is_missing = |index: &&Index| there.iter().all(|found| found.name != index.name);
        let missing: Vec<&Index> = row.deferred_indexes.iter().filter(is_missing).collect();
        for index in &row.deferred_indexes {
            if let Some(other) =
                there.iter().find(|found| found.name == index.name && *found != index)
            {
                tracing::warn!("{table}: somebody has added {other}, which was {index}");
            }
        }
        for indexes in statements(&missing) {
            let began = Instant::now();
            let names: Vec<String> =
                indexes.iter().map(|index| quote_identifier(&index.name)).collect();
            let names = names.join(", ");
            tracing::info!("{table}: adding {} secondary indexes: {names}", indexes.len());
            let adds: Vec<String> = indexes.iter().map(|index| format!("ADD {index}")).collect();
            let sql = format!("ALTER TABLE {table} {}", adds.join(", "));
            let what = format!("adding the secondary indexes {names} of {table}");
            self.alter(session, attempts, &what, &sql)
                .await
                .map_err(|error| resumable(error, &row))?;
            tracing::info!(
                "{table}: added {} secondary indexes in {:.1} s",
                indexes.len(),
                began.elapsed().as_secs_f64()
            );
        }
        self.change(session, &row, &JobRow { deferred_indexes: Vec::new(), ..row.clone() }).await
    }

    /// Returns the name of an index that the shadow is going to get, but that the target lacks or
    /// defines differently.
    pub(super) async fn changed_in_target(
        &self,
        session: &mut Session,
        deferred: &[Index],
    ) -> Result<Option<String>> {
        if deferred.is_empty() {
            return Ok(None);
        }
        let there = self.secondary_indexes(session, &self.target.name()).await?;
        Ok(deferred.iter().find(|index| !there.contains(index)).map(|index| index.name.clone()))
    }

    /// Returns true if the target's job has indexes to add.
    pub(super) async fn adds_indexes(&self, session: &mut Session) -> Result<bool> {
        let sql = format!(
            "SELECT COUNT(*) FROM {} WHERE target = {} AND deferred_indexes IS NOT NULL",
            self.tables.jobs,
            self.target.literal()
        );
        let jobs: Option<u64> = session
            .conn
            .query_first(sql)
            .await
            .map_err(|error| classify(Phase::Transaction, &self.what(), &error))?;
        Ok(jobs.unwrap_or_default() > 0)
    }

    /// Runs an ALTER TABLE or a CREATE TABLE ... LIKE in an SQL mode that accepts every default of
    /// the table.
    pub(super) async fn alter(
        &self,
        session: &mut Session,
        attempts: &mut Attempts,
        what: &str,
        sql: &str,
    ) -> Result<()> {
        self.in_mode(session, ALTER_MODE).await?;
        self.ddl(session, attempts, what, sql).await?;
        self.in_mode(session, USUAL_MODE).await
    }

    async fn in_mode(&self, session: &mut Session, sql: &str) -> Result<()> {
        session
            .conn
            .query_drop(sql)
            .await
            .map_err(|error| classify(Phase::Transaction, &self.what(), &error))
    }

    async fn secondary_indexes(
        &self,
        session: &mut Session,
        table: &TableName,
    ) -> Result<Vec<Index>> {
        Ok(secondary(&self.create_table(session, table).await?))
    }

    /// Reads SHOW CREATE TABLE in a session that quotes in a known way.
    pub(super) async fn create_table(
        &self,
        session: &mut Session,
        table: &TableName,
    ) -> Result<CreateTable> {
        self.in_mode(session, ALTER_MODE).await?;
        let shown: Option<Row> = session
            .conn
            .query_first(format!("SHOW CREATE TABLE {table}"))
            .await
            .map_err(|error| self.ddl_failed("SHOW CREATE TABLE", &error))?;
        self.in_mode(session, USUAL_MODE).await?;
        // For a system view the answer has more columns. The text is always the second.
        let text =
            shown.and_then(|row| row.get_opt::<String, _>(1)).and_then(std::result::Result::ok);
        text.and_then(|text| CreateTable::parse(&text)).ok_or_else(|| self.unreadable(table))
    }

    fn unreadable(&self, table: &TableName) -> Error {
        let message = format!(
            "{}: the definition cannot be read from the output of SHOW CREATE TABLE {table}",
            self.what()
        );
        Error::new(ErrorKind::TargetRefused, message)
            .with_hint("use --mode truncate, without --defer-indexes")
    }
}

/// Returns the indexes that each ALTER TABLE adds. InnoDB builds one FULLTEXT index at a time.
fn statements<'index>(indexes: &[&'index Index]) -> Vec<Vec<&'index Index>> {
    let is_fulltext = |index: &Index| index.kind == IndexKind::Fulltext;
    let mut statements: Vec<Vec<&Index>> = Vec::new();
    for index in indexes {
        match statements.last_mut() {
            Some(last) if !(is_fulltext(index) && last.iter().any(|other| is_fulltext(other))) => {
                last.push(index);
            }
            _ => statements.push(vec![index]),
        }
    }
    statements
}

/// Adds the hint that the rows are loaded and need no second load, which is what the operator wants
/// to know.
fn resumable(error: Error, row: &JobRow) -> Error {
    let readers =
        if row.mode == Mode::Truncate { "; until then queries run without them" } else { "" };
    let hint = error.hint().map(|hint| format!("{hint}; ")).unwrap_or_default();
    error.with_hint(format!("{hint}the same command goes on with the job and adds them{readers}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_added_at_once_but_for_further_fulltext_indexes() {
        let index = |definition: &str| Index::parse(definition).unwrap();
        let all = [
            index("KEY `a` (`a`)"),
            index("SPATIAL KEY `s` (`s`)"),
            index("FULLTEXT KEY `f` (`a`)"),
            index("FULLTEXT KEY `g` (`b`)"),
            index("FULLTEXT KEY `h` (`b`)"),
        ];
        let all: Vec<&Index> = all.iter().collect();
        let sizes: Vec<usize> = statements(&all).iter().map(Vec::len).collect();
        assert_eq!(sizes, [3, 1, 1]);
        assert!(statements(&[]).is_empty());
    }
}
