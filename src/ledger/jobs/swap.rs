//! The swap: a shadow table, made like the target and loaded beside it, takes the target's place in
//! one RENAME.
//!
//! The same atomic statement renames a marker table. After a crash the marker shows if the swap has
//! happened. All tables that a swap needs are in the target's database, and are named after the
//! ledger and the target's hash.
//!
//! Loading and verifying may take hours, in which people alter the target. So the target is
//! compared with the shadow at once, again right before the RENAME, and a third time after it: then
//! nobody can alter the old table under the target's name any more. If it was altered between the
//! last look and the RENAME, or if another table has come to refer to it, a second RENAME puts it
//! back. If that fails, or the process dies before it, the old table stays and the job says so
//! (`old_table`).

use std::collections::HashMap;

use super::definition::fingerprint_of;
use super::marker::Marker;
use super::row::{JobRow, JobState};
use crate::error::{Error, ErrorKind, Result};
use crate::ledger::handle::Ledger;
use crate::ledger::job::Job;
use crate::ledger::options::JobOptions;
use crate::ledger::verification::TableCheck;
use crate::mysql::{Index, Phase, Session, TableDefinition, classify, describe_tables};
use crate::policy::{Mode, OnDuplicate};
use crate::retry::Attempts;
use crate::sql_text::TableName;

/// The longest name that MySQL and MariaDB allow, in characters.
pub(super) const NAME_LIMIT: usize = 64;
/// The change of a table to which another table has come to refer.
pub(super) const REFERRING_KEY: &str = "a foreign key that refers to it";
/// The tables that exist beside the target for a while.
pub(super) struct SwapNames {
    pub(super) shadow: TableName,
    /// The marker before the swap.
    pub(super) pending: TableName,
    /// The marker after the swap.
    pub(super) done: TableName,
    /// The replaced table after the swap, until it is dropped or renamed to the name under which it
    /// is kept.
    pub(super) old: TableName,
    /// The marker after its work is done, which shows that the kept table is one that a swap has
    /// replaced. The job's row alone would not do: many accounts may write it, and the table is
    /// dropped for the next one.
    pub(super) kept: TableName,
}

impl Ledger {
    pub(super) fn swap_names(&self) -> Result<SwapNames> {
        let name = |what: &str| {
            let table = format!("{}_{what}_{}", self.tables.stem, self.target.hash());
            TableName { database: Some(self.target.database.clone()), table }
        };
        let names = SwapNames {
            shadow: name("shadow"),
            pending: name("swap"),
            done: name("done"),
            old: name("old"),
            kept: name("kept"),
        };
        let longest = &names.shadow.table;
        if longest.chars().count() > NAME_LIMIT {
            let message =
                format!("{}: a swap needs a table named {longest}, which is too long", self.what());
            return Err(Error::new(ErrorKind::TargetRefused, message).with_hint(format!(
                "names have at most {NAME_LIMIT} characters: use a shorter --ledger-table"
            )));
        }
        Ok(names)
    }

    /// Returns true if the work of an unfinished job is usable. For a swap, the shadow must exist
    /// and be like the target.
    pub(super) async fn can_go_on(&self, session: &mut Session, row: &JobRow) -> Result<bool> {
        if row.mode != Mode::Swap || row.state == JobState::Begun {
            return Ok(true);
        }
        let shadow = self.swap_names()?.shadow;
        if !self.comments(session, [&shadow]).await?.contains_key(&shadow.table) {
            tracing::warn!(
                "{}: {shadow}, which was being loaded, no longer exists; starting over",
                self.what()
            );
            return Ok(false);
        }
        let (_, difference) =
            self.compare_definitions(session, &shadow, &row.deferred_indexes).await?;
        if let Some(difference) = difference {
            tracing::warn!(
                "{}: altered since the job began ({difference}); starting over",
                self.what()
            );
            return Ok(false);
        }
        Ok(true)
    }

    /// Makes the shadow, unless that is done.
    pub(super) async fn make_shadow(
        &self,
        session: &mut Session,
        attempts: &mut Attempts,
        row: JobRow,
        defers_indexes: bool,
    ) -> Result<JobRow> {
        if row.state != JobState::Begun {
            return Ok(row);
        }
        self.drop_leftovers(session, attempts).await?;
        let shadow = self.swap_names()?.shadow;
        let sql = format!("CREATE TABLE {shadow} LIKE {}", self.target.name());
        self.alter(session, attempts, &format!("CREATE TABLE {shadow}"), &sql).await?;
        let (_, difference) = self.compare_definitions(session, &shadow, &[]).await?;
        if let Some(difference) = difference {
            let message = format!(
                "{}: a table created LIKE it is not the same ({difference}): a swap would change \
                 it",
                self.what()
            );
            return Err(
                Error::new(ErrorKind::TargetRefused, message).with_hint("use --mode truncate")
            );
        }
        let mut loading = row.with_state(JobState::Loading);
        if defers_indexes {
            // No job resumes with a shadow before the state is `loading`.
            loading.deferred_indexes = self.to_be_deferred(session, &row, &shadow).await?;
            self.drop_indexes(session, attempts, &shadow, &loading.deferred_indexes).await?;
        }
        self.change(session, &row, &loading).await
    }

    /// Drops the tables that an abandoned swap has left.
    pub(super) async fn drop_leftovers(
        &self,
        session: &mut Session,
        attempts: &mut Attempts,
    ) -> Result<()> {
        let SwapNames { shadow, pending, done, old, .. } = self.swap_names()?;
        self.drop_if_present(session, attempts, [&shadow, &pending, &done, &old]).await
    }

    async fn drop_if_present<const N: usize>(
        &self,
        session: &mut Session,
        attempts: &mut Attempts,
        tables: [&TableName; N],
    ) -> Result<()> {
        let found = self.comments(session, tables).await?;
        for table in tables {
            if found.contains_key(&table.table) {
                let drop = format!("DROP TABLE {table}");
                self.ddl(session, attempts, &drop, &drop).await?;
            }
        }
        Ok(())
    }

    /// Checks the outcome of a swap during which a run died, and cleans up if the swap happened.
    pub(super) async fn recover(
        &self,
        session: &mut Session,
        attempts: &mut Attempts,
        mut row: JobRow,
    ) -> Result<JobRow> {
        if row.state == JobState::Swapping {
            row = self.look_what_became_of_the_swap(session, &row).await?;
            if row.state == JobState::Swapped {
                tracing::info!(
                    "{}: the swap of generation {} has already happened",
                    self.what(),
                    row.generation
                );
            }
        }
        if row.state == JobState::Swapped {
            row = self.tidy_up(session, attempts, row).await?;
        }
        Ok(row)
    }

    /// Checks by the marker if the RENAME has happened, and changes the state to `swapped` or back
    /// to `loading`.
    async fn look_what_became_of_the_swap(
        &self,
        session: &mut Session,
        row: &JobRow,
    ) -> Result<JobRow> {
        let done = self.swap_names()?.done;
        let marker = self.comments(session, [&done]).await?.remove(&done.table);
        let marker = marker.and_then(|comment| Marker::parse(&comment));
        let settled = if marker.is_some_and(|marker| marker.generation == row.generation) {
            // Readers see this job's rows.
            JobRow { table_generation: row.generation, ..row.with_state(JobState::Swapped) }
        } else {
            row.with_state(JobState::Loading)
        };
        self.change(session, row, &settled).await
    }

    /// Verifies the shadow and puts it in the target's place.
    pub(super) async fn swap(
        &self,
        session: &mut Session,
        attempts: &mut Attempts,
        row: JobRow,
        options: &JobOptions<'_>,
        (job, check): (&Job, &TableCheck<'_>),
    ) -> Result<()> {
        let SwapNames { shadow, pending, done, old, .. } = self.swap_names()?;
        if options.swap_keep_old {
            self.ensure_kept_name_is_free(session, &row).await?;
        }
        if !row.deferred_indexes.is_empty() {
            // First, because adding indexes may take long, and appends to the target fail while the
            // swap is in progress.
            self.ensure_like_target(session, &shadow, &row.deferred_indexes).await?;
        }
        let row = self.add_indexes(session, attempts, row, &shadow).await?;
        // From here on no row is loaded, neither into the shadow nor into the table that it will
        // replace.
        let row = self.change(session, &row, &row.with_state(JobState::Swapping)).await?;
        let renamed = async {
            self.ensure_like_target(session, &shadow, &[]).await?;
            self.verify(session, &row, &shadow, options.on_duplicate).await?;
            self.verify_contents(session, job, check).await?;
            // All of these tables would block the RENAME, and none of them belongs to this job.
            self.drop_if_present(session, attempts, [&pending, &done, &old]).await?;
            // Verifying may have taken long.
            let definition = self.ensure_like_target(session, &shadow, &[]).await?;
            let target = self.target.name();
            if self.is_in_foreign_key(session, attempts, &target).await? {
                return Err(self.altered(REFERRING_KEY));
            }
            let marker = Marker {
                generation: row.generation,
                definition: Some(fingerprint_of(&definition)),
                keeps_old: options.swap_keep_old,
            };
            let sql = format!(
                "CREATE TABLE {pending} (generation INT UNSIGNED NOT NULL PRIMARY KEY) \
                 ENGINE=InnoDB COMMENT='{}'",
                marker.comment()
            );
            self.ddl(session, attempts, &format!("CREATE TABLE {pending}"), &sql).await?;
            let sql = format!(
                "RENAME TABLE {target} TO {old}, {shadow} TO {target}, {pending} TO \
                 {done}"
            );
            self.ddl(session, attempts, "RENAME TABLE", &sql).await?;
            self.put_back_if_changed(session, attempts, &marker, &definition).await
        }
        .await;
        match renamed {
            // The next run must check the outcome.
            Err(error) if error.kind == ErrorKind::ConnectionLost => return Err(error),
            renamed => {
                let row = self.look_what_became_of_the_swap(session, &row).await?;
                if row.state != JobState::Swapped {
                    // A RENAME that was answered with OK and not undone always leaves a marker.
                    renamed?;
                    let message = format!("{}: its swap has left no marker", self.what());
                    return Err(Error::new(ErrorKind::Bug, message));
                }
                self.tidy_up(session, attempts, row).await?;
            }
        }
        Ok(())
    }

    /// Returns the definition of the target, which must be like that of the shadow.
    async fn ensure_like_target(
        &self,
        session: &mut Session,
        shadow: &TableName,
        deferred: &[Index],
    ) -> Result<TableDefinition> {
        let (definition, difference) = self.compare_definitions(session, shadow, deferred).await?;
        difference.map_or(Ok(definition), |difference| Err(self.altered(&difference)))
    }

    fn altered(&self, change: &str) -> Error {
        let message =
            format!("{}: not swapped: altered since the job began ({change})", self.what());
        Error::new(ErrorKind::Superseded, message)
            .with_hint("run again: the job starts over, with a table like the current one")
    }

    /// Undoes the RENAME if the table that it has replaced was changed since the last look.
    async fn put_back_if_changed(
        &self,
        session: &mut Session,
        attempts: &mut Attempts,
        marker: &Marker,
        definition: &TableDefinition,
    ) -> Result<()> {
        let Some(change) = self.change_of_old(session, attempts, marker).await? else {
            return Ok(());
        };
        let SwapNames { shadow, pending, done, old, .. } = self.swap_names()?;
        let target = self.target.name();
        let sql =
            format!("RENAME TABLE {target} TO {shadow}, {old} TO {target}, {done} TO {pending}");
        self.ddl(session, attempts, "RENAME TABLE", &sql).await?;
        let error = self.altered(&change);
        // Whoever altered the shadow meant the target, and must know that the next run drops it.
        let shadow_now = self.definition_of(session, &shadow).await?;
        Err(match definition.difference(&shadow_now, &[]) {
            None => error,
            Some(change) => error.with_hint(format!(
                "the table's new version, which is {shadow} now, was altered too ({change}): make \
                 that change to the table, and run again"
            )),
        })
    }

    /// Checks that the shadow has the number of rows that the ledger says, or that it has some and
    /// not more if the ledger's counts are upper bounds.
    async fn verify(
        &self,
        session: &mut Session,
        row: &JobRow,
        shadow: &TableName,
        on_duplicate: OnDuplicate,
    ) -> Result<()> {
        // REPLACE deletes no row that is equal to the new one. The server then counts the new one
        // as added.
        let are_upper_bounds = on_duplicate == OnDuplicate::Replace;
        let failed = |error: mysql_async::Error| {
            let error = classify(
                Phase::Transaction,
                &format!("{}: counting the rows of {shadow}", self.what()),
                &error,
            );
            if error.kind == ErrorKind::StatementFailed {
                error.as_kind(ErrorKind::TargetRefused)
            } else {
                error
            }
        };
        let expected: Option<(i64, u64)> = session
            .conn
            .query_first(format!(
                "SELECT CAST(COALESCE(SUM(CAST(row_count AS SIGNED) - CAST(skipped_count AS \
                 SIGNED) - CAST(deleted_count AS SIGNED) - CAST(rejected_count AS SIGNED)), 0) AS \
                 SIGNED), COUNT(CASE WHEN state <> 'loaded' THEN 1 END) \
                 FROM {} \
                 WHERE target = {} AND generation = {}",
                self.tables.objects,
                self.target.literal(),
                row.generation
            ))
            .await
            .map_err(failed)?;
        let (expected_rows, incomplete_objects) = expected.unwrap_or_default();
        let rows: Option<i64> = session
            .conn
            .query_first(format!("SELECT COUNT(*) FROM {shadow}"))
            .await
            .map_err(failed)?;
        let rows = rows.unwrap_or_default();
        let refused = |problem: String| {
            Err(Error::new(
                ErrorKind::CountMismatch,
                format!("{}: not swapped: {problem}", self.what()),
            )
            .with_hint(format!(
                "inspect {shadow}; after you drop it, the next run starts the job over"
            )))
        };
        if incomplete_objects > 0 {
            return refused(format!("{incomplete_objects} objects are not loaded completely"));
        }
        let is_possible = are_upper_bounds && rows < expected_rows && rows > 0;
        if rows != expected_rows && !is_possible {
            let limit = if are_upper_bounds { "at most " } else { "" };
            return refused(format!(
                "{shadow} has {rows} rows, the ledger says {limit}{expected_rows}"
            ));
        }
        Ok(())
    }

    /// Returns those of the tables that exist, with their comments.
    pub(super) async fn comments<const N: usize>(
        &self,
        session: &mut Session,
        tables: [&TableName; N],
    ) -> Result<HashMap<String, String>> {
        let mut found = HashMap::new();
        for table in tables {
            // One query per table, stored under the requested name: the server may spell the name
            // differently.
            let known = describe_tables(&mut session.conn, &self.target.database, [&table.table])
                .await
                .map_err(|error| classify(Phase::Transaction, &self.what(), &error))?;
            if let Some(known) = known.into_iter().next() {
                found.insert(table.table.clone(), known.comment);
            }
        }
        Ok(found)
    }
}
