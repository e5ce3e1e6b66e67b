//! The end of a job that empties or replaces the table.

use crate::ledger::JobTotals;
use crate::policy::Mode;

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
