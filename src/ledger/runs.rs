//! The record of the runs: who ran, when, and with what result.

use super::control::get_locks;
use super::handle::Ledger;
use super::job::Job;
use crate::error::Result;
use crate::policy::Mode;
use crate::sql_text::bytes_literal;

/// The number of days for which ended runs are kept.
const KEPT_DAYS: u32 = 90;
/// The length of the column `source`.
const SOURCE_LIMIT_BYTES: usize = 2000;

/// The totals of a run at its end.
#[derive(Clone, Copy, Debug, Default)]
pub struct RunTotals {
    pub exit_code: u8,
    pub objects_loaded: u64,
    pub objects_already_loaded: u64,
    pub objects_failed: u64,
    pub rows: u64,
    pub bytes: u64,
}

/// The objects of a job that are loaded, by whichever run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JobTotals {
    pub objects: u64,
    /// Their rows that are in the table.
    pub rows: u64,
}

impl Mode {
    /// Returns the word of the option, which is also the one in the ledger.
    pub(super) fn word(self) -> &'static str {
        self.into()
    }
}

impl Ledger {
    /// Returns the totals of the job so far.
    ///
    /// # Errors
    /// Any error of the connection. There is no retry, because a run's end must not wait.
    pub async fn job_totals(&self, job: &Job) -> Result<JobTotals> {
        let sql = format!(
            "SELECT COUNT(*), \
             CAST(COALESCE(SUM(row_count - skipped_count - rejected_count), 0) AS UNSIGNED) \
             FROM {} \
             WHERE target = {} AND generation = {} AND state = 'loaded'",
            self.tables.objects,
            self.target.literal(),
            job.generation
        );
        let rows = self.query_unless_unreachable(&sql).await?.next_rows::<(u64, u64)>();
        let totals = rows.map_err(|error| self.unexpected_answer(&error))?.pop();
        Ok(totals.map(|(objects, rows)| JobTotals { objects, rows }).unwrap_or_default())
    }

    /// Returns the end of the last run after which every object was in the table, in seconds since
    /// 1970.
    ///
    /// # Errors
    /// Any error of the connection. There is no retry, because a run's end must not wait.
    pub async fn last_success(&self) -> Result<Option<f64>> {
        let sql = format!(
            "SELECT CAST(TIMESTAMPDIFF(MICROSECOND, '1970-01-01', ended_at) AS SIGNED) \
             FROM {} \
             WHERE target = {} AND exit_code IN (0, 7) AND objects_failed = 0 \
             AND ended_at IS NOT NULL \
             ORDER BY ended_at DESC LIMIT 1",
            self.tables.runs,
            self.target.literal()
        );
        let rows = self.query_unless_unreachable(&sql).await?.next_rows::<i64>();
        let microseconds = rows.map_err(|error| self.unexpected_answer(&error))?.pop();
        Ok(microseconds.map(|time| jiff::SignedDuration::from_micros(time).as_secs_f64()))
    }

    /// Records that the run begins, with its sources for people to read, and takes the lock that
    /// shows that the run is alive.
    ///
    /// # Errors
    /// Any error of the connection that outlasts the retry bounds.
    pub async fn begin_run(&self, mode: Mode, source: &str) -> Result<()> {
        let mut source = source.to_owned();
        while source.len() > SOURCE_LIMIT_BYTES {
            source.pop();
        }
        let sql = format!(
            "INSERT IGNORE INTO {runs} (run_id, target, generation, mode, source, worker, \
             tool_version, started_at) \
             VALUES ({run_id}, {target}, 0, '{mode}', {source}, {worker}, {tool_version}, \
             UTC_TIMESTAMP(6))",
            runs = self.tables.runs,
            run_id = bytes_literal(self.run.id.as_bytes()),
            target = self.target.literal(),
            mode = mode.word(),
            source = bytes_literal(source.as_bytes()),
            worker = bytes_literal(self.run.worker.as_bytes()),
            tool_version = bytes_literal(env!("CARGO_PKG_VERSION").as_bytes()),
        );
        // In this order: whoever finds the row must find the lock of a live run.
        self.execute(&format!("{}; {sql}", get_locks(&[&self.run.lock_name()]))).await
    }

    /// Returns the statement that records which job the run works on.
    pub(super) fn joining(&self, job: &Job) -> String {
        format!(
            "UPDATE {} SET generation = {} WHERE run_id = {}",
            self.tables.runs,
            job.generation,
            bytes_literal(self.run.id.as_bytes())
        )
    }

    /// Records how the run ended, and deletes the records of runs that ended long ago.
    ///
    /// # Errors
    /// Any error of the connection. There is no retry, because nothing depends on this record.
    pub async fn end_run(&self, totals: RunTotals) -> Result<()> {
        let RunTotals {
            exit_code,
            objects_loaded,
            objects_already_loaded,
            objects_failed,
            rows,
            bytes,
        } = totals;
        let sql = format!(
            "UPDATE {runs} \
             SET ended_at = UTC_TIMESTAMP(6), exit_code = {exit_code}, objects_loaded = \
             {objects_loaded}, objects_already_loaded = {objects_already_loaded}, objects_failed = \
             {objects_failed}, row_count = {rows}, loaded_bytes = {bytes} \
             WHERE run_id = {run_id}; \
             DELETE FROM {runs} \
             WHERE target = {target} AND started_at < UTC_TIMESTAMP(6) - INTERVAL {KEPT_DAYS} DAY \
             LIMIT 1000",
            runs = self.tables.runs,
            run_id = bytes_literal(self.run.id.as_bytes()),
            target = self.target.literal(),
        );
        self.query_unless_unreachable(&sql).await.map(|_| ())
    }
}
