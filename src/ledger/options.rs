//! What the ledger is called, and how a run treats what it says.

use std::time::Duration;

use crate::dialect::FormatConfig;
use crate::mysql::TargetConfig;
use crate::object::TableName;
use crate::policy::{Mode, OnChanged};
use crate::source::SourceConfig;

/// What the ledger is called, and what is made of what it says.
#[derive(Clone, Debug)]
pub struct LedgerConfig {
    /// What the names of the ledger's tables begin with, and the database that they are in where it
    /// is not the target's. `None`: no ledger, at least once.
    pub table: Option<TableName>,
    pub on_changed: OnChanged,
    /// Load what the ledger says is loaded, too.
    pub force: bool,
    /// Try what an earlier run failed to load.
    pub retry_failed: bool,
}

/// What the commands that read the ledger by itself need to reach it.
#[derive(Clone, Copy, Debug)]
pub struct AdminOptions<'a> {
    pub target: &'a TargetConfig,
    pub ledger: &'a LedgerConfig,
    pub connect_timeout: Duration,
    pub stall_timeout: Duration,
}

/// The settings that make a job what it is.
#[derive(Clone, Copy, Debug)]
pub struct JobOptions<'a> {
    pub source: &'a SourceConfig,
    pub format: &'a FormatConfig,
    pub mode: Mode,
    /// Keep the table that a swap replaces.
    pub swap_keep_old: bool,
    /// Add secondary indexes at the end of the job.
    pub defer_indexes: bool,
    /// Begin the job anew.
    pub force: bool,
}
