//! Holds the settings of the output.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::Timestamp;

use super::destination::{ReportTo, fill_path};
use super::given_setting::GivenSetting;
use crate::choices::{FailOn, LogFormat, ProgressMode, ReportOnly, SummaryForm};
use crate::dialect::ObjectFormat;

/// The settings of the report, the summary, the log and the progress.
#[derive(Clone, Debug)]
pub struct OutputConfig {
    /// The format of the objects.
    pub format: ObjectFormat,
    /// The place for JSON Lines: one line for each object, then a summary.
    pub report: Option<ReportTo>,
    pub report_only: ReportOnly,
    /// The file for the keys that failed, in the format that `--keys-from` reads. It may have
    /// placeholders.
    pub failed_keys: Option<PathBuf>,
    /// The file for a page about the run. It may have placeholders.
    pub html: Option<PathBuf>,
    /// The file for the end of the run as Markdown.
    pub summary_file: Option<PathBuf>,
    /// The file of GitHub Actions that the same Markdown is appended to.
    pub step_summary: Option<PathBuf>,
    /// True if GitHub Actions runs the program, and shows its failures as annotations.
    pub has_annotations: bool,
    /// The failures that make the run fail.
    pub fail_on: FailOn,
    pub summary: SummaryForm,
    pub log_format: LogFormat,
    /// The amount of logging. The default is 0; each `-v` adds one, and each `-q` subtracts one.
    pub verbosity: i8,
    pub progress: ProgressMode,
    /// The settings of the run that were given, for the report.
    pub settings: BTreeMap<String, GivenSetting>,
}

impl OutputConfig {
    /// Returns the file for the page about a run, with its placeholders filled in.
    #[must_use]
    pub fn html_of(&self, run_id: &str, started_at: Timestamp) -> Option<PathBuf> {
        self.html.as_ref().map(|path| fill_path(path, run_id, started_at))
    }
}
