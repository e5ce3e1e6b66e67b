//! Holds the settings of the output.

use std::path::PathBuf;

use crate::choices::{FailOn, LogFormat, ProgressMode, SummaryForm};
use crate::dialect::ObjectFormat;

/// The settings of the report, the summary, the log and the progress.
#[derive(Clone, Debug)]
pub struct OutputConfig {
    /// The format of the objects.
    pub format: ObjectFormat,
    /// The file for JSON Lines: one line for each object, then a summary.
    pub report: Option<PathBuf>,
    /// The file for the keys that failed, in the format that `--keys-from` reads.
    pub failed_keys: Option<PathBuf>,
    /// The failures that make the run fail.
    pub fail_on: FailOn,
    pub summary: SummaryForm,
    pub log_format: LogFormat,
    /// The amount of logging. The default is 0; each `-v` adds one, and each `-q` subtracts one.
    pub verbosity: i8,
    pub progress: ProgressMode,
}
