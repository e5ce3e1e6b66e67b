//! The row counts that a ledger row keeps.

/// What one transaction put into the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoadCounts {
    /// Rows of the object, by our own count.
    pub rows: u64,
    /// Rows that were not stored, because of their keys or where the policy accepts it for other
    /// reasons.
    pub skipped: u64,
    /// Rows of the table whose place those of the object took: that REPLACE deleted; in the ledger
    /// also those that an update found.
    pub deleted: u64,
    /// Rows that were held back and written to a reject file.
    pub rejected: u64,
    pub warnings: u64,
}
