//! The job that a run works on.

use crate::policy::Mode;
use crate::sql_text::TableName;

/// The job that a run works on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    pub mode: Mode,
    /// The generation of the ledger rows that count for this run.
    pub generation: u32,
    /// The table that LOAD DATA names: the target, or for a swap the shadow table that will take
    /// its place.
    pub load_into: TableName,
    /// True if an earlier run began the job, or another run shares it.
    pub is_resumed: bool,
    /// True if some objects were loaded only in part when this run joined the job, and until that
    /// has been checked.
    pub was_partial: bool,
    /// True if `--force` loads again into a table that is known to be empty.
    pub was_emptied: bool,
}
