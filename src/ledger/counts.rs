//! The row counts that a ledger row keeps.

/// The counts of what one transaction put into the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoadCounts {
    /// Rows of the object, as this program counted them.
    pub rows: u64,
    /// Rows that were not stored, because of their keys or for another reason that the policy
    /// accepts.
    pub skipped: u64,
    /// Rows of the table that rows of the object displaced: those that REPLACE deleted, and in the
    /// ledger also those that an update found.
    pub deleted: u64,
    /// Rows that were flagged and written to a reject file.
    pub rejected: u64,
    pub warnings: u64,
}
