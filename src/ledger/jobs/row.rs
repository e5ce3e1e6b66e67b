//! The target's row in the jobs table: how it is read and changed.

use strum::{EnumString, IntoStaticStr};

use crate::error::{Error, ErrorKind, Result};
use crate::ledger::handle::Ledger;
use crate::ledger::identity::RunId;
use crate::mysql::{Index, Phase, ResultSets, Session, classify};
use crate::policy::Mode;
use crate::sql_text::bytes_literal;

/// The progress of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub(super) enum JobState {
    /// The table is not yet emptied, or the shadow not yet made.
    Begun,
    Emptied,
    /// The only state in which the job's objects can be loaded.
    Loading,
    /// The shadow is complete. Its marker shows if it has taken the target's place.
    Swapping,
    Done,
    Swapped,
}

impl JobState {
    /// Returns the word that the column holds.
    pub(super) fn word(self) -> &'static str {
        self.into()
    }
}

/// The current or last job of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct JobRow {
    /// The highest generation so far: numbers are never reused.
    pub(super) generation: u32,
    /// The generation of the rows that readers see.
    pub(super) table_generation: u32,
    pub(super) mode: Mode,
    pub(super) state: JobState,
    pub(super) source_fingerprint: Vec<u8>,
    /// The table that the last swap kept, which the next swap may replace. Empty if there is no
    /// such table.
    pub(super) old_table: String,
    /// The run that began the job.
    pub(super) run_id: String,
    /// The indexes to add before the job ends: to the target for a truncate, to the shadow for a
    /// swap.
    pub(super) deferred_indexes: Vec<Index>,
}

impl JobRow {
    pub(super) fn is_unfinished(&self) -> bool {
        !matches!(self.state, JobState::Done | JobState::Swapped)
    }

    /// Returns true for a truncate job that has not reached the state `loading`.
    pub(super) fn is_to_be_emptied(&self) -> bool {
        self.mode == Mode::Truncate && matches!(self.state, JobState::Begun | JobState::Emptied)
    }

    pub(super) fn with_state(&self, state: JobState) -> Self {
        Self { state, ..self.clone() }
    }

    /// Makes a new job in place of `row`.
    pub(super) fn new_generation(
        row: &Self,
        mode: Mode,
        source_fingerprint: &[u8],
        run: &RunId,
    ) -> Self {
        let generation = row.generation + 1;
        Self {
            generation,
            // Rows of a table that is about to be emptied no longer count. Rows that a swap will
            // replace count until it does.
            table_generation: if mode == Mode::Truncate {
                generation
            } else {
                row.table_generation
            },
            mode,
            state: JobState::Begun,
            source_fingerprint: source_fingerprint.to_vec(),
            old_table: row.old_table.clone(),
            run_id: run.id.clone(),
            // The indexes of an abandoned shadow go with it. The indexes of the target are missing
            // there until they are added.
            deferred_indexes: match (row.mode, mode) {
                (Mode::Truncate, Mode::Truncate) => row.deferred_indexes.clone(),
                _ => Vec::new(),
            },
        }
    }
}

/// The columns, in the order of the fields of [`JobRow`].
type JobColumns = (u32, u32, String, String, Vec<u8>, Vec<u8>, Vec<u8>, Option<Vec<u8>>);

impl Ledger {
    /// Returns the target's row. Makes it if it does not exist.
    ///
    /// # Errors
    /// `TargetRefused` if the row existed and was removed: nothing else says which generation the
    /// table holds.
    pub(super) async fn job_row(&self, session: &mut Session) -> Result<JobRow> {
        let answers = session.conn.query_sets(&self.job_row_sql()).await;
        let answers = answers.map_err(|error| self.job_failed(&error))?;
        if let Some(row) = self.read_job_row(answers)? {
            return Ok(row);
        }
        let made = session.conn.query_sets(&self.first_job_row_sql()).await;
        self.first_job_row(made.map_err(|error| self.job_failed(&error))?)
    }

    /// Does the same as [`Ledger::job_row`] on the run's own connection.
    pub(super) async fn job_row_on_own(&self) -> Result<JobRow> {
        if let Some(row) = self.read_job_row(self.query_all(&self.job_row_sql()).await?)? {
            return Ok(row);
        }
        self.first_job_row(self.query_all(&self.first_job_row_sql()).await?)
    }

    /// Returns the query for the row and for the highest generation of a recorded object, which is
    /// 0 without objects. It asks for the row again after that: another run may make the row in
    /// between, and begin the second generation.
    fn job_row_sql(&self) -> String {
        let newest = format!(
            "SELECT COALESCE(MAX(generation), 0) FROM {} WHERE target = {}",
            self.tables.objects,
            self.target.literal()
        );
        [self.find_job_row_sql(), newest, self.find_job_row_sql()].join("; ")
    }

    /// Reads the answer. Returns `None` if the row must be made.
    fn read_job_row(&self, mut answers: ResultSets) -> Result<Option<JobRow>> {
        let failed = |error| self.job_failed(&error);
        let before: Vec<JobColumns> = answers.next_rows().map_err(failed)?;
        let newest: Vec<u32> = answers.next_rows().map_err(failed)?;
        let again = answers.next_rows().map_err(failed)?;
        if let Some(columns) = before.into_iter().chain(again).next() {
            return self.read_columns(columns).map(Some);
        }
        if newest.first().is_none_or(|newest| *newest <= 1) {
            return Ok(None);
        }
        let message = format!(
            "{}: its row in {} has been removed, so it is not known which objects of the ledger \
             are in the table",
            self.what(),
            self.tables.jobs
        );
        Err(Error::new(ErrorKind::TargetRefused, message).with_hint(
            "restore the row, or empty the table and load it with another --ledger-table",
        ))
    }

    /// Returns the statements that make the row of the first generation, unless it exists by now,
    /// and read it.
    fn first_job_row_sql(&self) -> String {
        let make = format!(
            "INSERT IGNORE INTO {} (target, generation, table_generation, mode, state, \
             source_fingerprint, run_id, tool_version, begun_at, changed_at) \
             VALUES ({}, 1, 1, 'append', 'done', {}, {}, {}, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6))",
            self.tables.jobs,
            self.target.literal(),
            bytes_literal(&[0; 32]),
            bytes_literal(self.run.id.as_bytes()),
            bytes_literal(env!("CARGO_PKG_VERSION").as_bytes()),
        );
        [make, self.find_job_row_sql()].join("; ")
    }

    fn first_job_row(&self, answers: ResultSets) -> Result<JobRow> {
        let made: Vec<JobColumns> =
            answers.skip(1).next_rows().map_err(|error| self.job_failed(&error))?;
        let Some(columns) = made.into_iter().next() else {
            let message =
                format!("{}: its row in {} cannot be read back", self.what(), self.tables.jobs);
            return Err(Error::new(ErrorKind::TargetRefused, message));
        };
        self.read_columns(columns)
    }

    fn find_job_row_sql(&self) -> String {
        format!(
            "SELECT generation, table_generation, mode, state, source_fingerprint, old_table, \
             run_id, deferred_indexes \
             FROM {} \
             WHERE target = {}",
            self.tables.jobs,
            self.target.literal()
        )
    }

    fn read_columns(&self, columns: JobColumns) -> Result<JobRow> {
        let (
            generation,
            table_generation,
            mode,
            state,
            source_fingerprint,
            old_table,
            run_id,
            indexes,
        ) = columns;
        let (Ok(mode), Ok(state)) = (mode.parse(), state.parse()) else {
            let message = format!(
                "{}: its job has mode {mode:?} and state {state:?}, which are unknown",
                self.what()
            );
            return Err(Error::new(ErrorKind::TargetRefused, message));
        };
        if generation == u32::MAX {
            // The next generation would have no number.
            let message = format!(
                "{}: its job in {} has generation {generation}, which this program never wrote",
                self.what(),
                self.tables.jobs
            );
            return Err(Error::new(ErrorKind::TargetRefused, message)
                .with_hint("restore the row, or load with another --ledger-table"));
        }
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let deferred_indexes = self.read_indexes(indexes.as_deref())?;
        Ok(JobRow {
            generation,
            table_generation,
            mode,
            state,
            source_fingerprint,
            old_table: text(old_table),
            run_id: text(run_id),
            deferred_indexes,
        })
    }

    /// Reads the indexes from their JSON array.
    fn read_indexes(&self, stored: Option<&[u8]>) -> Result<Vec<Index>> {
        let Some(stored) = stored else { return Ok(Vec::new()) };
        serde_json::from_slice(stored).map_err(|error| {
            let message = format!(
                "{}: the ledger's list of indexes to add for its job cannot be read: {error}",
                self.what()
            );
            Error::new(ErrorKind::TargetRefused, message).with_hint(format!(
                "somebody or an older s3-to-mysql has written deferred_indexes in {}; add the \
                 table's missing indexes yourself, and set the column to NULL",
                self.tables.jobs
            ))
        })
    }

    /// Changes the row from `from` to `to`. Waits for the transactions in flight that have read it.
    pub(super) async fn change(
        &self,
        session: &mut Session,
        from: &JobRow,
        to: &JobRow,
    ) -> Result<JobRow> {
        let begun_at =
            if from.generation == to.generation { "begun_at" } else { "UTC_TIMESTAMP(6)" };
        let sql = format!(
            "UPDATE {} \
             SET generation = {}, table_generation = {}, mode = '{}', state = '{}', \
             source_fingerprint = {}, old_table = {}, run_id = {}, tool_version = {}, begun_at = \
             {begun_at}, changed_at = UTC_TIMESTAMP(6), deferred_indexes = {} \
             WHERE target = {} AND generation = {} AND mode = '{}' AND state = '{}'",
            self.tables.jobs,
            to.generation,
            to.table_generation,
            to.mode.word(),
            to.state.word(),
            bytes_literal(&to.source_fingerprint),
            bytes_literal(to.old_table.as_bytes()),
            bytes_literal(to.run_id.as_bytes()),
            bytes_literal(env!("CARGO_PKG_VERSION").as_bytes()),
            stored(&to.deferred_indexes),
            self.target.literal(),
            from.generation,
            from.mode.word(),
            from.state.word(),
        );
        session.conn.query_drop(sql).await.map_err(|error| self.job_failed(&error))?;
        if session.conn.affected_rows() != 1 {
            // Under the advisory lock, only somebody who does not take that lock can have changed
            // the row.
            let message = format!("{}: somebody else has changed its job", self.what());
            return Err(Error::new(ErrorKind::LockConflict, message));
        }
        Ok(to.clone())
    }

    fn job_failed(&self, error: &mysql_async::Error) -> Error {
        classify(
            Phase::Transaction,
            &format!("{}: its job in {}", self.what(), self.tables.jobs),
            error,
        )
    }
}

/// Returns the literal that the column stores: NULL if there are no indexes.
fn stored(indexes: &[Index]) -> String {
    if indexes.is_empty() {
        return "NULL".to_owned();
    }
    let json = serde_json::to_vec(indexes).unwrap_or_default();
    bytes_literal(&json)
}
