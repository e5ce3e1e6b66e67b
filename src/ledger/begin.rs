//! What all ledger rows have in common when their transaction begins.

use super::job::Job;
use crate::error::{Error, ErrorKind};
use crate::policy::Mode;

/// How a transaction got in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BeginOutcome {
    /// The row is there and locked; the load may begin.
    Yes,
    /// Another run has loaded the object; the transaction has been rolled back.
    AlreadyLoaded,
}

/// The error number of a row whose primary key is there.
pub(crate) const DUPLICATE_ENTRY: u16 = 1062;

/// The states of the job's row in which its objects can be loaded, as a condition.
pub(crate) fn open_for_loads(job: &Job) -> String {
    let generation = job.generation;
    match job.mode {
        Mode::Append | Mode::Truncate => {
            // While a swap is under way nobody knows whose rows they would be.
            format!(
                "jobs.table_generation = {generation} AND (jobs.mode <> 'truncate' OR jobs.state IN ('loading', 'done')) AND jobs.state <> 'swapping'"
            )
        }
        Mode::Swap => format!(
            "jobs.generation = {generation} AND jobs.mode = 'swap' AND jobs.state = 'loading'"
        ),
    }
}

/// The transaction has no ledger row any more.
pub(crate) fn ledger_row_lost(what: &str) -> Error {
    let message = format!(
        "{what}: the transaction has lost its ledger row, so the server has ended it by itself; whether the object's rows stayed is not known"
    );
    Error::new(ErrorKind::LedgerRowLost, message)
        .with_hint("look whether its rows are in the table before you load it again; is autocommit changed by --init-sql, or the load split by a cluster?")
}

/// The job is not the one any more for which this run loads.
pub(crate) fn superseded(what: &str) -> Error {
    Error::new(
        ErrorKind::Superseded,
        format!("{what}: another run has emptied or replaced the table since this one began"),
    )
}
