//! What a run reports, and where.

use std::path::PathBuf;

use crate::choices::{LogFormat, ProgressMode, SummaryForm};

/// What the run tells, and where.
#[derive(Clone, Debug)]
pub struct OutputConfig {
    /// JSON Lines, one per object and a last summary.
    pub report: Option<PathBuf>,
    /// The keys that failed, in the form that `--keys-from` reads.
    pub failed_keys: Option<PathBuf>,
    pub summary: SummaryForm,
    pub log_format: LogFormat,
    /// 0 is the default; each `-v` adds one, each `-q` takes one away.
    pub verbosity: i8,
    pub progress: ProgressMode,
}
