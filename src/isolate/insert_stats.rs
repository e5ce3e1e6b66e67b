//! What came of rows that went from the scratch table into the target.

use crate::load_data::Diagnostic;

/// What a server said of one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DryRunRow {
    /// From 1, within the statement that filled the private table.
    pub row: u64,
    pub code: u16,
    pub level: String,
    /// As the server words it.
    pub reason: String,
    pub column: Option<String>,
}

/// What an insertion did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InsertStats {
    /// Rows of the private table.
    pub rows: u64,
    pub inserted: u64,
    /// Rows of the target that were there and have changed; a row may count again for each row that
    /// changed it.
    pub updated: u64,
    /// Rows of the private table that were not stored, one entry each, by row.
    pub rejected: Vec<DryRunRow>,
    /// What else the server said of rows: values of generated columns that do not fit, NULL in NOT
    /// NULL columns.
    pub warnings: Vec<DryRunRow>,
}

impl InsertStats {
    /// Rows that found what they would have changed as they would have it.
    #[must_use]
    pub fn unchanged(&self) -> u64 {
        self.rows.saturating_sub(self.inserted + self.updated + self.rejected.len() as u64)
    }
}

/// What becomes of a row whose key is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnConflict<'a> {
    /// It is not stored.
    Skip,
    /// These columns of the row that is there get its values; without one, nothing changes.
    Update(&'a [String]),
}

/// The row numbers of one statement: from the first to the last, both included.
pub(crate) type RowNumberRange = (u64, u64);

impl From<&DryRunRow> for Diagnostic {
    fn from(dry_run: &DryRunRow) -> Self {
        let DryRunRow { row, code, level, reason, column } = dry_run.clone();
        Self { level, code, message: reason, row: Some(row), is_misnumbered: false, column }
    }
}
