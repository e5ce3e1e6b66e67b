//! The counts of rows that went from the scratch table into the target.

use crate::load_data::Diagnostic;

/// The result of an insertion.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InsertStats {
    /// The number of rows in the scratch table.
    pub rows: u64,
    pub inserted: u64,
    /// The existing rows of the target that changed. A row counts once for each row that changed
    /// it.
    pub updated: u64,
    /// The rows of the scratch table that were not stored, one entry each, ordered by row. Rows are
    /// numbered from 1 within the statement that filled the scratch table.
    pub rejected: Vec<Diagnostic>,
    /// All other warnings about rows: values of generated columns that do not fit, NULL in NOT NULL
    /// columns.
    pub warnings: Vec<Diagnostic>,
}

impl InsertStats {
    /// Returns the number of rows whose values the target had already.
    #[must_use]
    pub fn unchanged(&self) -> u64 {
        self.rows.saturating_sub(self.inserted + self.updated + self.rejected.len() as u64)
    }
}

/// The treatment of a row whose key exists already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnConflict<'a> {
    /// The row is not stored.
    Skip,
    /// These columns of the existing row get the new values. An empty list changes nothing.
    Update(&'a [String]),
}

/// The row numbers of one statement: the first and the last, both included.
pub(crate) type RowNumberRange = (u64, u64);
