//! The parts of beginning a transaction that all kinds of ledger rows share.

use super::job::Job;
use crate::error::{Error, ErrorKind};
use crate::policy::Mode;

/// The outcome of beginning a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BeginOutcome {
    /// The row is inserted and locked. The load may begin.
    Yes,
    /// Another run has loaded the object. The transaction has been rolled back.
    AlreadyLoaded,
}

/// Returns the condition for the states of the job's row in which its objects can be loaded.
pub(crate) fn open_for_loads(job: &Job) -> String {
    let generation = job.generation;
    match job.mode {
        Mode::Append | Mode::Truncate => {
            // During a swap it is not known which table would get the rows.
            format!(
                "jobs.table_generation = {generation} AND (jobs.mode <> 'truncate' OR jobs.state \
                 IN ('loading', 'done')) AND jobs.state <> 'swapping'"
            )
        }
        Mode::Swap => format!(
            "jobs.generation = {generation} AND jobs.mode = 'swap' AND jobs.state = 'loading'"
        ),
    }
}

/// Returns the error for a transaction that has lost its ledger row.
pub(crate) fn ledger_row_lost(what: &str) -> Error {
    let message = format!(
        "{what}: the transaction has lost its ledger row, so the server has ended it by itself; it \
         is not known if the object's rows stayed"
    );
    Error::new(ErrorKind::LedgerRowLost, message).with_hint(
        "check if its rows are in the table before you load it again; possible causes: --init-sql \
         changes autocommit, or a cluster splits the load",
    )
}

/// Returns the error for a run whose job another one has replaced.
pub(crate) fn superseded(what: &str) -> Error {
    Error::new(
        ErrorKind::Superseded,
        format!("{what}: another run has emptied or replaced the table since this one began"),
    )
}
