//! The job that a run works on.

use crate::object::TableName;
use crate::policy::Mode;

/// The job that a run works on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    pub mode: Mode,
    /// Of the ledger rows that count for this run.
    pub generation: u32,
    /// The table that LOAD DATA names: the target, or for a swap the table that will take its
    /// place.
    pub load_into: TableName,
    /// An earlier run began it, or another one shares it.
    pub is_resumed: bool,
    /// Parts of some objects were loaded, and others not, when this run joined it; true until that
    /// has been looked at.
    pub was_partial: bool,
}
