//! What is known when a run has ended, as the report and the screen show it.

use std::time::Duration;

use super::document::LoadTotals;
use crate::error::Error;
use crate::ledger::{Job, RunId};
use crate::source::SkippedKeys;
use crate::verify::TableVerification;

/// What is wrong with an object, and what can be done about it.
#[derive(Debug)]
pub(crate) struct Finding {
    /// A headline, and further lines about rows.
    pub(crate) text: String,
    pub(crate) hint: Option<String>,
    /// The object failed, or would fail.
    pub(crate) is_failure: bool,
}

/// All that the summary of a load is made from.
pub(crate) struct LoadReport<'a> {
    pub(crate) totals: &'a LoadTotals,
    /// The first objects in which something is wrong.
    pub(crate) findings: &'a [Finding],
    pub(crate) end: RunEnd<'a>,
}

/// What there is to say of a run when all of its outcomes are in.
#[derive(Clone, Copy, Debug, Default)]
pub struct RunEnd<'a> {
    pub skipped_keys: SkippedKeys,
    /// Every object has an outcome, not only those that were listed until the run was stopped.
    pub is_listing_complete: bool,
    pub elapsed: Duration,
    /// What kept the run from beginning, or ended it.
    pub errors: &'a [Error],
    /// The run and the job in the ledger, if there is one.
    pub ledger: Option<(&'a RunId, &'a Job)>,
    /// The run got as far as its objects.
    pub did_begin: bool,
    /// What was compared at the end of the job.
    pub verified: Option<&'a TableVerification>,
}

/// The number of objects with a problem that the summary names; the report has them all.
pub(crate) const FINDINGS_NAMED: usize = 10;
