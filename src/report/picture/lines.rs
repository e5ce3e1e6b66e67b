//! Reads the lines of a report back. Fields that a picture does not need are passed over, and so
//! are those that another version of the program adds.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::super::document::{CheckTotals, LoadTotals};
use crate::source::SkippedKeys;

/// A line of a report.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum ReportLine {
    Object(Box<WorkLine>),
    Part(Box<WorkLine>),
    Summary(Box<SummaryLine>),
    /// The end of several jobs, each of which has a summary of its own.
    Jobs(IgnoredAny),
}

/// The line of an object or a part.
#[derive(Debug, Deserialize)]
pub(super) struct WorkLine {
    pub(super) job_name: Option<String>,
    pub(super) status: String,
    pub(super) bucket: String,
    pub(super) key: String,
    pub(super) part: Option<u32>,
    pub(super) size_bytes: Option<u64>,
    pub(super) rows: Option<u64>,
    pub(super) attempts: Option<u32>,
    pub(super) seconds: Option<f64>,
    pub(super) started_at: Option<String>,
    pub(super) download_seconds: Option<f64>,
    pub(super) wait_seconds: Option<f64>,
    pub(super) load_seconds: Option<f64>,
    pub(super) commit_seconds: Option<f64>,
    pub(super) connection: Option<u32>,
    pub(super) objects_in_transaction: Option<u32>,
    pub(super) error: Option<ErrorLine>,
    /// The fields of a check.
    pub(super) bad_rows: Option<u64>,
    pub(super) duplicates: Option<u64>,
    pub(super) would_be_rejected: Option<u64>,
    pub(super) first_rows: Option<Vec<RowLine>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ErrorLine {
    pub(super) code: String,
    pub(super) message: String,
    pub(super) hint: Option<String>,
    pub(super) rows: Option<Vec<RowLine>>,
    pub(super) row_count: Option<u64>,
}

#[derive(Debug, Deserialize)]
pub(super) struct RowLine {
    pub(super) line: Option<u64>,
    pub(super) row: Option<u64>,
    pub(super) column: Option<String>,
    #[serde(default)]
    pub(super) code: u16,
    pub(super) reason: String,
    pub(super) raw: Option<String>,
    pub(super) raw_is_cut: Option<bool>,
}

/// The last line of a run.
#[derive(Debug, Deserialize)]
pub(super) struct SummaryLine {
    pub(super) job_name: Option<String>,
    pub(super) run_id: String,
    pub(super) table: String,
    pub(super) server: Option<String>,
    pub(super) server_version: Option<String>,
    #[serde(default)]
    pub(super) sources: Vec<String>,
    pub(super) keys_from: Option<String>,
    pub(super) started_at: String,
    pub(super) ended_at: String,
    pub(super) exit_code: u8,
    pub(super) version: String,
    pub(super) seconds: f64,
    #[serde(default)]
    pub(super) listing_complete: bool,
    #[serde(default, rename = "passed_over")]
    pub(super) skipped_keys: SkippedKeys,
    pub(super) error: Option<ErrorLine>,
    /// The number of checked objects, which only a check has.
    pub(super) objects_checked: Option<u64>,
    pub(super) sample: Option<u64>,
    pub(super) generation: Option<u32>,
    #[serde(default)]
    pub(super) settings: BTreeMap<String, SettingLine>,
    #[serde(default)]
    pub(super) pauses: Vec<PauseLine>,
    #[serde(default)]
    pub(super) paused_seconds: BTreeMap<String, f64>,
}

#[derive(Debug, Deserialize)]
pub(super) struct SettingLine {
    pub(super) value: String,
    pub(super) from: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct PauseLine {
    pub(super) started_at: String,
    pub(super) seconds: f64,
    pub(super) message: String,
}

/// The totals of a run.
#[derive(Debug)]
pub(super) enum RunCounts {
    Load(LoadTotals),
    Check(CheckTotals),
}

/// A line that is not one of a report, and why.
#[derive(Debug, thiserror::Error)]
pub(super) enum BadLine {
    #[error("it is not a line of a report: {}", without_line(.0))]
    Json(#[from] serde_json::Error),
    #[error("it is not a line of a report: '{0}' is not a time")]
    Time(String),
    #[error("it is not a line of a report: {0} is not a number of seconds")]
    Seconds(f64),
}

/// Returns the message of an error in one line, without the number of that line.
fn without_line(error: &serde_json::Error) -> String {
    error.to_string().replace(" at line 1 column ", " at column ")
}

impl ReportLine {
    pub(super) fn parse(text: &str) -> Result<Self, BadLine> {
        Ok(serde_json::from_str(text)?)
    }

    /// Returns the name of the job among several that the line belongs to.
    pub(super) fn job_name(&self) -> Option<&str> {
        match self {
            Self::Object(line) | Self::Part(line) => line.job_name.as_deref(),
            Self::Summary(line) => line.job_name.as_deref(),
            Self::Jobs(_) => None,
        }
    }
}

impl RunCounts {
    /// Reads the totals from the line of a summary.
    pub(super) fn parse(text: &str, summary: &SummaryLine) -> Result<Self, BadLine> {
        Ok(match summary.objects_checked {
            Some(_) => Self::Check(serde_json::from_str(text)?),
            None => Self::Load(serde_json::from_str(text)?),
        })
    }
}

/// Returns the seconds since 1970 of a time in a report.
pub(super) fn unix_seconds(text: &str) -> Result<f64, BadLine> {
    let time: Timestamp = text.parse().map_err(|_| BadLine::Time(text.to_owned()))?;
    Ok(time.as_duration().as_secs_f64())
}

/// Returns the seconds that a stage took. They are in no order, but never negative.
pub(super) fn duration_seconds(seconds: Option<f64>) -> Result<f64, BadLine> {
    match seconds {
        // A thousand years.
        Some(seconds) if !(0.0..3.2e10).contains(&seconds) => Err(BadLine::Seconds(seconds)),
        seconds => Ok(seconds.unwrap_or_default()),
    }
}
