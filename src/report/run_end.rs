//! The data of a run that has ended, for the report and the summary.

use std::collections::BTreeMap;
use std::time::Duration;

use super::document::LoadTotals;
use super::job_end::JobEnd;
use crate::error::Error;
use crate::ledger::{Job, RunId};
use crate::source::SkippedKeys;
use crate::throttle::Pauses;
use crate::verify::TableVerification;

/// The data that the summary of a load is made from.
pub(crate) struct LoadReport<'a> {
    pub(crate) totals: &'a LoadTotals,
    pub(crate) end: RunEnd<'a>,
}

/// A table that the run created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatedTable {
    pub statement: String,
    pub columns: usize,
}

/// The end of a run, when all outcomes are recorded.
#[derive(Clone, Copy, Debug, Default)]
pub struct RunEnd<'a> {
    pub skipped_keys: SkippedKeys,
    /// True if every object has an outcome, and not only those listed before the run was stopped.
    pub is_listing_complete: bool,
    pub elapsed: Duration,
    pub exit_code: u8,
    /// The number of objects that the listing has found.
    pub objects_listed: u64,
    /// The errors that prevented or ended the run.
    pub errors: &'a [Error],
    /// The run and the job in the ledger, if there is one.
    pub ledger: Option<(&'a RunId, &'a Job)>,
    /// The end of a job that empties or replaces the table.
    pub job_end: Option<&'a JobEnd>,
    /// True if the run got as far as its objects.
    pub did_begin: bool,
    /// The verification of the table at the end of the job.
    pub verified: Option<&'a TableVerification>,
    /// The table that the run created, if it did.
    pub created_table: Option<&'a CreatedTable>,
    /// The pauses of a run that could have some.
    pub pauses: Option<&'a Pauses>,
}

impl RunEnd<'_> {
    /// Returns the seconds of the pauses for each reason.
    pub(super) fn paused_seconds(&self) -> BTreeMap<&'static str, f64> {
        let sums = self.pauses.iter().flat_map(|pauses| &pauses.sums);
        sums.map(|(&reason, time)| (reason.into(), time.as_secs_f64())).collect()
    }

    /// Returns what is said of objects that `--force` loaded again.
    pub(super) fn loaded_again_remark(&self) -> &'static str {
        if self.ledger.is_some_and(|(_, job)| job.was_emptied) {
            "into a table that was empty"
        } else {
            "their rows were in the table already"
        }
    }
}

/// The end of a check.
#[derive(Clone, Copy, Debug, Default)]
pub struct CheckEnd<'a> {
    pub run: RunEnd<'a>,
    /// Sentences about what a check cannot see for this table.
    pub not_checked: &'a [String],
    /// The maximum number of rows checked in each object.
    pub sample: Option<u64>,
}
