//! The target's row in the jobs table: how it is read, and how it changes.

use mysql_async::prelude::Queryable;
use strum::{EnumString, IntoStaticStr};

use super::index::Index;
use crate::error::{Error, ErrorKind, Result};
use crate::ledger::control::ResultSets;
use crate::ledger::handle::Ledger;
use crate::ledger::identity::{RunId, literal};
use crate::mysql::{Phase, Session, classify};
use crate::policy::Mode;

/// How far a job has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub(super) enum JobState {
    /// The table is still to be emptied, the shadow still to be made.
    Begun,
    Emptied,
    /// The one state in which the job's objects can be loaded.
    Loading,
    /// The shadow is complete; whether it has taken the target's place, its marker tells.
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

/// The job that a target has, or had last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct JobRow {
    /// The highest there was so far: numbers are never used again.
    pub(super) generation: u32,
    /// Of the rows that readers see.
    pub(super) table_generation: u32,
    pub(super) mode: Mode,
    pub(super) state: JobState,
    pub(super) source_fingerprint: Vec<u8>,
    /// The table that a swap kept last, so that the next one may replace it; empty where there is
    /// none.
    pub(super) old_table: String,
    /// The run that began it.
    pub(super) run_id: String,
    /// What is to be added before it ends: of the target for a truncate, of the shadow for a swap.
    pub(super) deferred_indexes: Vec<Index>,
}

impl JobRow {
    pub(super) fn is_unfinished(&self) -> bool {
        !matches!(self.state, JobState::Done | JobState::Swapped)
    }

    /// A truncate job has not come to load yet.
    pub(super) fn is_to_be_emptied(&self) -> bool {
        self.mode == Mode::Truncate && matches!(self.state, JobState::Begun | JobState::Emptied)
    }

    pub(super) fn with_state(&self, state: JobState) -> Self {
        Self { state, ..self.clone() }
    }

    /// A new job in place of `row`.
    pub(super) fn new_generation(
        row: &Self,
        mode: Mode,
        source_fingerprint: &[u8],
        run: &RunId,
    ) -> Self {
        let generation = row.generation + 1;
        Self {
            generation,
            // What is in a table that is about to be emptied counts for nobody; what a swap will
            // replace does, until then.
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
            // Those of an abandoned shadow go with it; those of the target are missing there.
            deferred_indexes: match (row.mode, mode) {
                (Mode::Truncate, Mode::Truncate) => row.deferred_indexes.clone(),
                _ => Vec::new(),
            },
        }
    }
}

/// The columns, in the order of [`JobRow`].
type JobColumns = (u32, u32, String, String, Vec<u8>, String, String, Option<Vec<u8>>);

impl Ledger {
    /// The target's row, made where there is none.
    ///
    /// # Errors
    /// `TargetRefused` where there must have been one: which generation the table holds, only that
    /// row tells.
    pub(super) async fn job_row(&self, session: &mut Session) -> Result<JobRow> {
        let answers = ResultSets::to(&mut session.conn, &self.job_row_sql())
            .await
            .map_err(|error| self.job_failed(&error))?;
        if let Some(row) = self.read_job_row(answers)? {
            return Ok(row);
        }
        let made = ResultSets::to(&mut session.conn, &self.first_job_row_sql()).await;
        self.first_job_row(made.map_err(|error| self.job_failed(&error))?)
    }

    /// The same on the run's own connection.
    pub(super) async fn job_row_on_own(&self) -> Result<JobRow> {
        if let Some(row) = self.read_job_row(self.query_all(&self.job_row_sql()).await?)? {
            return Ok(row);
        }
        self.first_job_row(self.query_all(&self.first_job_row_sql()).await?)
    }

    /// The question after the row, and after the highest generation that an object is recorded for,
    /// 0 where there is none. Once more after the row: another run may make it just then, and begin
    /// the second generation.
    fn job_row_sql(&self) -> String {
        let newest = format!(
            "SELECT COALESCE(MAX(generation), 0) FROM {} WHERE target = {}",
            self.tables.objects,
            self.target.literal()
        );
        [self.find_job_row_sql(), newest, self.find_job_row_sql()].join("; ")
    }

    /// The answer; `None` where the row is to be made.
    fn read_job_row(&self, mut answers: ResultSets) -> Result<Option<JobRow>> {
        let before: Vec<JobColumns> = answers.next_rows();
        let newest: Vec<u32> = answers.next_rows();
        if let Some(columns) = before.into_iter().chain(answers.next_rows()).next() {
            return self.read_columns(columns).map(Some);
        }
        if newest.first().is_none_or(|newest| *newest <= 1) {
            return Ok(None);
        }
        let message = format!(
            "{}: its row in {} has been removed, so that nothing tells which of the objects in the ledger are in the table",
            self.what(),
            self.tables.jobs
        );
        Err(Error::new(ErrorKind::TargetRefused, message).with_hint(
            "restore the row, or empty the table and load it with another --ledger-table",
        ))
    }

    /// Makes the row of the first generation, unless there is one by now, and asks for it.
    fn first_job_row_sql(&self) -> String {
        let make = format!(
            "INSERT IGNORE INTO {} (target, generation, table_generation, mode, state, source_fingerprint, run_id, tool_version, begun_at, changed_at) VALUES ({}, 1, 1, 'append', 'done', {}, {}, {}, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6))",
            self.tables.jobs,
            self.target.literal(),
            literal(&[0; 32]),
            literal(self.run.id.as_bytes()),
            literal(env!("CARGO_PKG_VERSION").as_bytes()),
        );
        [make, self.find_job_row_sql()].join("; ")
    }

    fn first_job_row(&self, answers: ResultSets) -> Result<JobRow> {
        let made: Vec<JobColumns> = answers.skip(1).next_rows();
        let Some(columns) = made.into_iter().next() else {
            let message =
                format!("{}: its row in {} can't be read back", self.what(), self.tables.jobs);
            return Err(Error::new(ErrorKind::TargetRefused, message));
        };
        self.read_columns(columns)
    }

    fn find_job_row_sql(&self) -> String {
        format!(
            "SELECT generation, table_generation, mode, state, source_fingerprint, CONVERT(old_table USING utf8mb4), CONVERT(run_id USING utf8mb4), deferred_indexes FROM {} WHERE target = {}",
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
        let deferred_indexes = self.read_indexes(indexes.as_deref())?;
        Ok(JobRow {
            generation,
            table_generation,
            mode,
            state,
            source_fingerprint,
            old_table,
            run_id,
            deferred_indexes,
        })
    }

    /// From a JSON array of the definitions.
    fn read_indexes(&self, stored: Option<&[u8]>) -> Result<Vec<Index>> {
        let Some(stored) = stored else { return Ok(Vec::new()) };
        let definitions: Option<Vec<String>> = serde_json::from_slice(stored).ok();
        let indexes: Option<Vec<Index>> = definitions.and_then(|all| {
            all.iter().map(|definition| Index::from_definition(definition)).collect()
        });
        indexes.ok_or_else(|| {
            let message = format!(
                "{}: the indexes that its job is to add can't be read from the ledger",
                self.what()
            );
            Error::new(ErrorKind::TargetRefused, message)
        })
    }

    /// Turns `from` into `to`. Waits for the transactions in flight that have read the row.
    pub(super) async fn change(
        &self,
        session: &mut Session,
        from: &JobRow,
        to: &JobRow,
    ) -> Result<JobRow> {
        let begun_at =
            if from.generation == to.generation { "begun_at" } else { "UTC_TIMESTAMP(6)" };
        let sql = format!(
            "UPDATE {} SET generation = {}, table_generation = {}, mode = '{}', state = '{}', source_fingerprint = {}, old_table = {}, run_id = {}, tool_version = {}, begun_at = {begun_at}, changed_at = UTC_TIMESTAMP(6), deferred_indexes = {} WHERE target = {} AND generation = {} AND mode = '{}' AND state = '{}'",
            self.tables.jobs,
            to.generation,
            to.table_generation,
            to.mode.word(),
            to.state.word(),
            literal(&to.source_fingerprint),
            literal(to.old_table.as_bytes()),
            literal(to.run_id.as_bytes()),
            literal(env!("CARGO_PKG_VERSION").as_bytes()),
            stored(&to.deferred_indexes),
            self.target.literal(),
            from.generation,
            from.mode.word(),
            from.state.word(),
        );
        session.conn.query_drop(sql).await.map_err(|error| self.job_failed(&error))?;
        if session.conn.affected_rows() != 1 {
            // Under the advisory lock only somebody who does not take it can have changed the row.
            let message = format!("{}: its job was changed by somebody else", self.what());
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

/// As the column has them: NULL where there are none.
fn stored(indexes: &[Index]) -> String {
    if indexes.is_empty() {
        return "NULL".to_owned();
    }
    let definitions: Vec<&str> = indexes.iter().map(|index| index.definition.as_str()).collect();
    literal(serde_json::Value::from(definitions).to_string().as_bytes())
}
