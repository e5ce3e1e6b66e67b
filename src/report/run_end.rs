//! The data of a run that has ended, for the report and the summary.

use std::time::Duration;

use super::document::LoadTotals;
use crate::error::{BadRows, Error};
use crate::ledger::{Job, RunId};
use crate::source::SkippedKeys;
use crate::verify::TableVerification;

/// A problem with an object, and its remedy.
#[derive(Debug)]
pub(crate) struct Finding {
    /// A headline, and further lines about rows.
    pub(crate) text: String,
    pub(crate) hint: Option<String>,
    /// True if the object failed or would fail.
    pub(crate) is_failure: bool,
}

/// The data that the summary of a load is made from.
pub(crate) struct LoadReport<'a> {
    pub(crate) totals: &'a LoadTotals,
    /// The first objects that are loaded with other values than they have.
    pub(crate) notes: &'a Notes,
    /// The first objects in which something is wrong.
    pub(crate) findings: &'a [Finding],
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
    /// True if the run got as far as its objects.
    pub did_begin: bool,
    /// The verification of the table at the end of the job.
    pub verified: Option<&'a TableVerification>,
}

/// The objects whose rows have notes.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// The first of them.
    pub(crate) findings: Vec<Finding>,
    /// The number of the others.
    pub(crate) more: u64,
}

impl Notes {
    /// Adds an object.
    pub(crate) fn add(&mut self, headline: &str, rows: &BadRows) {
        if self.findings.len() < NOTES_NAMED {
            let text = rows.below(headline);
            self.findings.push(Finding { text, hint: None, is_failure: false });
        } else {
            self.more += 1;
        }
    }

    /// Returns the line about the objects that are not shown, if there are any.
    pub(crate) fn more(&self) -> Option<String> {
        let more = self.more;
        (more > 0).then(|| format!("with notes: and {more} more objects; --report FILE has them"))
    }
}

/// The maximum number of objects with notes that the summary names.
const NOTES_NAMED: usize = 3;

/// The maximum number of objects with problems that the summary names. The report has all of them.
pub(crate) const FINDINGS_NAMED: usize = 10;
