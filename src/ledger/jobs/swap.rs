//! The swap: a shadow table, made like the target and loaded beside it, takes the target's place in
//! one RENAME.
//!
//! The same atomic statement renames a marker table. After a crash the marker shows if the swap has
//! happened. The marker's comment has the generation of the job, so that a marker left behind by an
//! earlier swap is not mistaken for a new one. All tables that a swap needs are in the target's
//! database, and are named after the ledger and the target's hash.

use std::collections::HashMap;

use super::index::Index;
use super::row::{JobRow, JobState};
use crate::error::{Error, ErrorKind, Result};
use crate::ledger::handle::Ledger;
use crate::ledger::job::Job;
use crate::ledger::options::JobOptions;
use crate::ledger::verification::TableCheck;
use crate::mysql::{Phase, Session, classify};
use crate::object::TableName;
use crate::policy::Mode;
use crate::retry::Attempts;

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
        if row.old_table != kept.table
            && self.comments(session, [&kept]).await?.contains_key(&kept.table)
        {
            return refused(
                "a table that no swap has made",
                "rename or drop it, or swap without --swap-keep-old".to_owned(),
            );
        }
        Ok(())
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
        let SwapNames { shadow, pending, done, old } = self.swap_names()?;
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
        let SwapNames { shadow, pending, done, old } = self.swap_names()?;
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
            self.verify(session, &row, &shadow).await?;
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

    /// Checks that the shadow has the number of rows that the ledger says.
    async fn verify(&self, session: &mut Session, row: &JobRow, shadow: &TableName) -> Result<()> {
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
        if rows != expected_rows {
            return refused(format!("{shadow} has {rows} rows, the ledger says {expected_rows}"));
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
        let SwapNames { pending, done, old, .. } = self.swap_names()?;
        let kept = self.kept_name();
        let found = self.comments(session, [&pending, &done, &old, &kept]).await?;
        let Some(marker) = found.get(&done.table) else { return Ok(row) };
        let keeps = marker.ends_with(KEEPS_OLD);
        if found.contains_key(&old.table) && keeps {
            if found.contains_key(&kept.table) && row.old_table != kept.table {
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
                self.ddl(
                    session,
                    attempts,
                    "RENAME TABLE",
                    &format!("RENAME TABLE {old} TO {kept}"),
                )
                .await?;
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
            let comment: Option<String> = session
                .conn
                .exec_first(
                    "SELECT TABLE_COMMENT \
                     FROM information_schema.TABLES \
                     WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?",
                    (&self.target.database, &table.table),
                )
                .await
                .map_err(|error| classify(Phase::Transaction, &self.what(), &error))?;
            if let Some(comment) = comment {
                found.insert(table.table.clone(), comment);
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
