//! Describes the status of one target, as the ledger records it.

mod query;
mod runs;

use serde::Serialize;
use strum::IntoStaticStr;

use crate::sql_text::TableName;

/// The number of hashes in one query.
const BATCH: usize = 500;

/// The status of one target, as its ledger records it.
#[derive(Clone, Debug)]
pub struct Status {
    pub target: TableName,
    pub ledger: TableName,
    /// The target's job. `None` if nothing has been loaded with this ledger.
    pub job: Option<JobStatus>,
    /// The contents of the table that readers see.
    pub table: Sums,
    /// The contents of the table that a swap in progress will put in its place.
    pub shadow: Option<Sums>,
    pub partial: Vec<Partial>,
    pub in_flight: Vec<InFlight>,
    /// The failed objects, or the first of them if not all were requested.
    pub failed: Vec<FailedObject>,
    pub objects_failed: u64,
    /// The failures that somebody has acknowledged, or the first of them if not all were
    /// requested. They do not count as failed.
    pub acknowledged: Vec<AcknowledgedObject>,
    pub objects_acknowledged: u64,
    /// The end of the last run after which every object was in the table. RFC 3339, in UTC.
    pub last_success_at: Option<String>,
    /// The seconds since then, by the server's clock.
    pub last_success_age_seconds: Option<u64>,
    /// The first failure of the object that failed first of all. RFC 3339, in UTC.
    pub oldest_failure_at: Option<String>,
    /// The latest runs, newest first, then any older runs that are alive.
    pub runs: Vec<Run>,
}

/// The job that all runs on the target share.
#[derive(Clone, Debug, Serialize)]
pub struct JobStatus {
    /// The generation of the rows that the job loads.
    pub generation: u32,
    /// The generation of the rows that readers see.
    pub table_generation: u32,
    /// `append`, `truncate` or `swap`.
    pub mode: String,
    /// The state of the job.
    pub state: String,
    /// The table that the last swap kept. `null` if it kept no table.
    pub old_table: Option<String>,
    /// The run that began the job.
    pub run_id: String,
    /// The version of the program that began it.
    pub tool_version: String,
    /// RFC 3339, in UTC.
    pub begun_at: String,
    /// RFC 3339, in UTC.
    pub changed_at: String,
    /// The definitions of the secondary indexes that the job must still add: to the table itself
    /// for a truncate, to the table that will take its place for a swap.
    pub deferred_indexes: Vec<String>,
}

/// The sums over one generation of the table's rows.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Sums {
    pub generation: u32,
    /// Objects whose rows are all in the table.
    pub objects_loaded: u64,
    /// Objects of which some parts are in the table.
    pub objects_partial: u64,
    /// Data rows in these objects and parts.
    pub rows: u64,
    /// Rows that the server did not store, because of their keys or for a reason that the policy
    /// accepts.
    pub skipped: u64,
    /// Rows of the table that `--on-duplicate replace` deleted, or `update` found.
    pub deleted: u64,
    /// Rows that were written to reject files instead of the table.
    pub rejected: u64,
    /// Warnings that the server gave.
    pub warnings: u64,
    /// Bytes of the loaded objects.
    pub bytes: u64,
}

/// An object with some, but not all, of its parts loaded.
#[derive(Clone, Debug, Serialize)]
pub struct Partial {
    pub generation: u32,
    pub bucket: String,
    pub key: String,
    pub etag: String,
    pub size_bytes: u64,
    pub part_size_bytes: u64,
    /// The number of parts that the object has.
    pub parts: u64,
    /// The number of parts that are loaded.
    pub parts_loaded: u64,
}

/// An object whose transaction is open: it has inserted its ledger row, but nothing counts that row
/// yet.
#[derive(Clone, Debug, Serialize)]
pub struct InFlight {
    pub generation: u32,
    pub bucket: String,
    pub key: String,
    pub etag: String,
    pub size_bytes: u64,
    /// The host that loads it.
    pub worker: String,
    /// The run that loads it.
    pub run_id: String,
    /// RFC 3339, in UTC.
    pub since: String,
}

/// An object that could not be loaded.
#[derive(Clone, Debug, Serialize)]
pub struct FailedObject {
    pub generation: u32,
    pub bucket: String,
    pub key: String,
    pub etag: String,
    /// The reason for the last failure.
    pub error: FailureReason,
    /// The number of attempts, over all runs.
    pub attempts: u64,
    /// RFC 3339, in UTC.
    pub first_failed_at: String,
    /// RFC 3339, in UTC.
    pub last_failed_at: String,
    /// The host that tried it last.
    pub worker: String,
    /// The run that tried it last.
    pub run_id: String,
}

/// An object that could not be loaded, and that no run tries again until it changes.
#[derive(Clone, Debug, Serialize)]
pub struct AcknowledgedObject {
    pub bucket: String,
    pub key: String,
    pub etag: String,
    /// The reason for the last failure.
    pub error: FailureReason,
    /// The number of attempts, over all runs.
    pub attempts: u64,
    /// RFC 3339, in UTC.
    pub first_failed_at: String,
    /// RFC 3339, in UTC.
    pub last_failed_at: String,
    /// The reason that was given for the acknowledgement.
    pub reason: String,
    /// The database user that acknowledged it, and the host of its connection.
    pub acknowledged_by: String,
    /// RFC 3339, in UTC.
    pub acknowledged_at: String,
}

/// The reason why an object could not be loaded.
#[derive(Clone, Debug, Serialize)]
pub struct FailureReason {
    /// The stable name of the kind of error.
    pub code: String,
    pub message: String,
}

/// One execution of the program.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    pub run_id: String,
    /// 0 if the run ended before it knew its generation.
    pub generation: u32,
    /// `append`, `truncate` or `swap`.
    pub mode: String,
    /// The URIs and the file of keys that it was given.
    pub source: String,
    /// The host that it ran on.
    pub worker: String,
    pub tool_version: String,
    /// RFC 3339, in UTC.
    pub started_at: String,
    /// RFC 3339, in UTC. `null` if the run has not ended, or died.
    pub ended_at: Option<String>,
    pub state: RunState,
    /// `null` if the run has not ended, or died.
    pub exit_code: Option<u64>,
    pub objects_loaded: u64,
    pub objects_already_loaded: u64,
    pub objects_failed: u64,
    pub rows: u64,
    pub bytes: u64,
}

/// The state of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, Serialize)]
#[serde(into = "&'static str")]
#[strum(serialize_all = "snake_case")]
pub enum RunState {
    /// Its connection holds its advisory lock.
    Running,
    Ended,
    /// The run never recorded its end, and its lock is free.
    Died,
}

impl RunState {
    /// Returns the state's word, which never changes once released.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}
