//! Holds the settings of the ledger and of a job.

use crate::dialect::FormatConfig;
use crate::mysql::{TargetConfig, Timeouts};
use crate::policy::{Mode, OnChanged, OnDuplicate};
use crate::source::SourceConfig;
use crate::sql_text::TableName;

/// The names of the ledger's tables, and how a run treats what they say.
#[derive(Clone, Debug)]
pub struct LedgerConfig {
    /// The prefix of the ledger's table names, and their database if it is not the target's. `None`
    /// means no ledger: loading is at least once.
    pub table: Option<TableName>,
    pub on_changed: OnChanged,
    /// True to load also what the ledger says is loaded.
    pub force: bool,
    /// True to retry what an earlier run failed to load.
    pub retry_failed: bool,
}

/// The settings with which the commands that read only the ledger reach it.
#[derive(Clone, Copy, Debug)]
pub struct AdminOptions<'a> {
    pub target: &'a TargetConfig,
    pub ledger: &'a LedgerConfig,
    pub timeouts: Timeouts,
}

/// The settings that define a job, and how its runs load.
#[derive(Clone, Copy, Debug)]
pub struct JobOptions<'a> {
    pub source: &'a SourceConfig,
    pub format: &'a FormatConfig,
    pub mode: Mode,
    /// True to keep the table that a swap replaces.
    pub swap_keep_old: bool,
    /// True to add secondary indexes at the end of the job.
    pub defer_indexes: bool,
    /// True to start the job over.
    pub force: bool,
    pub on_duplicate: OnDuplicate,
}
