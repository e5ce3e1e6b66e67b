//! The data of a run that has ended, for the report and the summary.

use std::time::Duration;

use super::document::LoadTotals;
use crate::error::Error;
use crate::ledger::{Job, JobTotals, RunId};
use crate::policy::Mode;
use crate::source::SkippedKeys;
use crate::verify::TableVerification;

/// The data that the summary of a load is made from.
pub(crate) struct LoadReport<'a> {
    pub(crate) totals: &'a LoadTotals,
    pub(crate) end: RunEnd<'a>,
}

/// The end of a run, when all outcomes are recorded.
#[derive(Clone, Copy, Debug, Default)]
pub struct RunEnd<'a> {
    pub skipped_keys: SkippedKeys,
    /// True if every object has an outcome, and not only those listed before the run was stopped.
    pub is_listing_complete: bool,
    pub elapsed: Duration,
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
}

/// The end of a run's part in a job that empties or replaces the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobEnd {
    pub mode: Mode,
    /// True if an earlier run began the job.
    pub is_resumed: bool,
    /// True if every object is loaded, and the table has been swapped if it was to be.
    pub is_finished: bool,
    /// The totals of all runs of the job.
    pub totals: JobTotals,
}

impl JobEnd {
    /// Returns what became of the table.
    pub(super) fn word(&self) -> &'static str {
        match (self.mode, self.is_finished) {
            (Mode::Swap, true) => "swapped",
            (Mode::Swap, false) => "not swapped yet",
            (_, true) => "emptied and loaded",
            (_, false) => "emptied, not all loaded",
        }
    }
}
