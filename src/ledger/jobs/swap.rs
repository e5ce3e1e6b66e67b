//! The swap: a shadow table, made like the target and loaded beside it, takes the target's place in
//! one RENAME.
//!
//! The same atomic statement renames a marker table. After a crash the marker shows if the swap has
//! happened. The marker's comment has the generation of the job, so that a marker left behind by an
//! earlier swap is not mistaken for a new one. All tables that a swap needs are in the target's
//! database, and are named after the ledger and the target's hash.

use std::collections::HashMap;

use mysql_async::prelude::Queryable;

use super::row::{JobRow, JobState};
use crate::error::{Error, ErrorKind, Result};
use crate::ledger::handle::Ledger;
use crate::ledger::job::Job;
use crate::ledger::options::JobOptions;
use crate::ledger::verification::TableCheck;
use crate::mysql::{Index, Phase, Session, classify, describe_tables};
use crate::policy::{Mode, OnDuplicate};
use crate::retry::Attempts;
use crate::sql_text::TableName;

/// The longest name that MySQL and MariaDB allow, in characters.
const NAME_LIMIT: usize = 64;
/// The marker's comment before the generation.
const MARKER_COMMENT: &str = "s3-to-mysql swap, generation ";
/// The marker's comment after the generation, if the old table is kept.
const KEEPS_OLD: &str = ", old table kept";

/// The tables that exist beside the target for a while.
pub(super) struct SwapNames {
    pub(super) shadow: TableName,
    /// The marker before the swap.
    pending: TableName,
    /// The marker after the swap.
    done: TableName,
    /// The replaced table after the swap, until it is dropped or renamed to the name under which it
    /// is kept.
    old: TableName,
    /// The marker after its work is done, which shows that the kept table is one that a swap has
    /// replaced. The job's row alone would not do: many accounts may write it, and the table is
    /// dropped for the next one.
    kept: TableName,
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

    /// Returns the name under which `--swap-keep-old` keeps the old table.
    fn kept_name(&self) -> TableName {
        TableName {
            database: Some(self.target.database.clone()),
            table: format!("{}_old", self.target.table),
        }
    }

    /// Returns an error if the old table cannot be kept.
    ///
    /// # Errors
    /// `TargetRefused` if the name under which it would be kept is too long, or is the name of a
    /// table that no swap has made.
    pub(super) async fn ensure_kept_name_is_free(
        &self,
        session: &mut Session,
        row: &JobRow,
    ) -> Result<()> {
        let kept = self.kept_name();
        let refused = |problem: &str, hint: String| {
            let message = format!(
                "{}: --swap-keep-old would keep its rows as {kept}, {problem}",
                self.what()
            );
            Err(Error::new(ErrorKind::TargetRefused, message).with_hint(hint))
        };
        if kept.table.chars().count() > NAME_LIMIT {
            return refused(
                "a name that is too long",
                format!("names have at most {NAME_LIMIT} characters"),
            );
        }
        let marker = self.swap_names()?.kept;
        let found = self.comments(session, [&kept, &marker]).await?;
        if found.contains_key(&kept.table) && !self.is_kept_by_a_swap(row, &found)? {
            return refused(
                "a table that no swap has made",
                "rename or drop it, or swap without --swap-keep-old".to_owned(),
            );
        }
        Ok(())
    }

    /// Returns true if a swap has made the table under the kept name. `found` has the comments of
    /// that table and of its marker.
    fn is_kept_by_a_swap(&self, row: &JobRow, found: &HashMap<String, String>) -> Result<bool> {
        let marker = self.swap_names()?.kept;
        Ok(row.old_table == self.kept_name().table
            && found.get(&marker.table).is_some_and(|comment| generation_of(comment).is_some()))
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
                "{}: {shadow}, which was being loaded, has gone; beginning anew",
                self.what()
            );
            return Ok(false);
        }
        if let Some(difference) = self.difference(session, &shadow, &row.deferred_indexes).await? {
            tracing::warn!(
                "{}: altered since the job began ({difference}); beginning anew",
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
        if let Some(difference) = self.difference(session, &shadow, &[]).await? {
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
        let found = self.comments(session, [&shadow, &pending, &done, &old]).await?;
        for table in [&shadow, &pending, &done, &old] {
            if found.contains_key(&table.table) {
                self.ddl(
                    session,
                    attempts,
                    &format!("DROP TABLE {table}"),
                    &format!("DROP TABLE {table}"),
                )
                .await?;
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
        let settled =
            if marker.is_some_and(|comment| generation_of(&comment) == Some(row.generation)) {
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
            let found = self.comments(session, [&pending, &done, &old]).await?;
            for table in [&pending, &done, &old] {
                if found.contains_key(&table.table) {
                    self.ddl(
                        session,
                        attempts,
                        &format!("DROP TABLE {table}"),
                        &format!("DROP TABLE {table}"),
                    )
                    .await?;
                }
            }
            let keeps = if options.swap_keep_old { KEEPS_OLD } else { "" };
            let sql = format!(
                "CREATE TABLE {pending} (generation INT UNSIGNED NOT NULL PRIMARY KEY) \
                 ENGINE=InnoDB COMMENT='{MARKER_COMMENT}{}{keeps}'",
                row.generation
            );
            self.ddl(session, attempts, &format!("CREATE TABLE {pending}"), &sql).await?;
            let target = self.target.name();
            let sql = format!(
                "RENAME TABLE {target} TO {old}, {shadow} TO {target}, {pending} TO \
                 {done}"
            );
            self.ddl(session, attempts, "RENAME TABLE", &sql).await
        }
        .await;
        match renamed {
            // The next run must check the outcome.
            Err(error) if error.kind == ErrorKind::ConnectionLost => return Err(error),
            renamed => {
                let row = self.look_what_became_of_the_swap(session, &row).await?;
                if row.state != JobState::Swapped {
                    // A RENAME that was answered with OK always leaves a marker.
                    renamed?;
                    let message = format!("{}: its swap has left no marker", self.what());
                    return Err(Error::new(ErrorKind::Bug, message));
                }
                self.tidy_up(session, attempts, row).await?;
            }
        }
        Ok(())
    }

    async fn ensure_like_target(
        &self,
        session: &mut Session,
        shadow: &TableName,
        deferred: &[Index],
    ) -> Result<()> {
        let Some(difference) = self.difference(session, shadow, deferred).await? else {
            return Ok(());
        };
        let message =
            format!("{}: not swapped: altered since the job began ({difference})", self.what());
        Err(Error::new(ErrorKind::Superseded, message)
            .with_hint("run again: the job begins anew, with a table like the current one"))
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
                "inspect {shadow}; after you drop it, the next run begins the job anew"
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

    /// Drops the old table, or renames it to the name under which it is kept, and then drops the
    /// marker. Readers no longer depend on any of these tables.
    async fn tidy_up(
        &self,
        session: &mut Session,
        attempts: &mut Attempts,
        mut row: JobRow,
    ) -> Result<JobRow> {
        let SwapNames { done, old, kept: kept_marker, .. } = self.swap_names()?;
        let kept = self.kept_name();
        let found = self.comments(session, [&done, &old, &kept, &kept_marker]).await?;
        let Some(marker) = found.get(&done.table) else { return Ok(row) };
        let keeps = marker.ends_with(KEEPS_OLD);
        if found.contains_key(&old.table) && keeps {
            if found.contains_key(&kept.table) && !self.is_kept_by_a_swap(&row, &found)? {
                // The table appeared after the last check. No foreign table is dropped to make
                // room.
                let message = format!(
                    "{}: swapped, but its old table is still {old}, because a table {kept} exists \
                     now",
                    self.what()
                );
                return Err(Error::new(ErrorKind::TargetRefused, message)
                    .with_hint("rename that table, and run again"));
            }
            if !found.contains_key(&kept.table) || self.drop_old(session, attempts, &kept).await? {
                let recorded = JobRow { old_table: kept.table.clone(), ..row.clone() };
                row = self.change(session, &row, &recorded).await?;
                if found.contains_key(&kept_marker.table) {
                    let sql = format!("DROP TABLE {kept_marker}");
                    self.ddl(session, attempts, &sql, &sql).await?;
                }
                let sql = format!("RENAME TABLE {old} TO {kept}, {done} TO {kept_marker}");
                self.ddl(session, attempts, "RENAME TABLE", &sql).await?;
                return Ok(row);
            }
        } else if found.contains_key(&old.table) {
            self.drop_old(session, attempts, &old).await?;
        }
        // Last, because the marker says what remains to be done.
        self.ddl(session, attempts, &format!("DROP TABLE {done}"), &format!("DROP TABLE {done}"))
            .await?;
        Ok(row)
    }

    /// Drops the old table. Returns false if foreign keys refer to it, so that it cannot be
    /// dropped: it stays then, which hurts no reader.
    async fn drop_old(
        &self,
        session: &mut Session,
        attempts: &mut Attempts,
        old: &TableName,
    ) -> Result<bool> {
        match self
            .ddl(session, attempts, &format!("DROP TABLE {old}"), &format!("DROP TABLE {old}"))
            .await
        {
            Ok(()) => Ok(true),
            Err(error) if error.kind == ErrorKind::TargetRefused => {
                tracing::warn!(
                    "{}: swapped, but the old table stays as {old}: {}; foreign keys that referred \
                     to the target now refer to that table",
                    self.what(),
                    error.one_line()
                );
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Returns those of the tables that exist, with their comments.
    async fn comments<const N: usize>(
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

/// Returns the generation that a marker's comment names.
fn generation_of(comment: &str) -> Option<u32> {
    let rest = comment.strip_prefix(MARKER_COMMENT)?;
    rest.strip_suffix(KEEPS_OLD).unwrap_or(rest).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_tells_its_generation_and_no_other() {
        assert_eq!(generation_of("s3-to-mysql swap, generation 12"), Some(12));
        assert_eq!(generation_of("s3-to-mysql swap, generation 12, old table kept"), Some(12));
        assert_eq!(generation_of("s3-to-mysql swap, generation 12x"), None);
        assert_eq!(generation_of(""), None);
    }
}
