//! The counts of rows that went from the scratch table into the target.

use crate::load_data::Diagnostic;

/// A warning or an error about one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DryRunRow {
    /// The row's number, from 1, within the statement that filled the scratch table.
    pub row: u64,
    pub code: u16,
    pub level: String,
    /// The server's own text.
    pub reason: String,
    pub column: Option<String>,
}

/// The result of an insertion.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InsertStats {
    /// The number of rows in the scratch table.
    pub rows: u64,
    pub inserted: u64,
    /// The existing rows of the target that changed. A row counts once for each row that changed
    /// it.
    pub updated: u64,
    /// The rows of the scratch table that were not stored, one entry each, ordered by row.
    pub rejected: Vec<DryRunRow>,
    /// All other warnings about rows: values of generated columns that do not fit, NULL in NOT NULL
    /// columns.
    pub warnings: Vec<DryRunRow>,
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

impl From<&DryRunRow> for Diagnostic {
    fn from(dry_run: &DryRunRow) -> Self {
        let DryRunRow { row, code, level, reason, column } = dry_run.clone();
        Self { level, code, message: reason, row: Some(row), is_misnumbered: false, column }
    }
}
