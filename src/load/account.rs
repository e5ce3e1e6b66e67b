//! What became of an object's rows.

use std::collections::BTreeMap;

use crate::ledger::Loaded;

/// The account of one object, complete before its COMMIT.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// What the ledger keeps of it.
    pub loaded: Loaded,
    /// Of the rejected rows, those whose unique key was there.
    pub rejected_duplicates: u64,
    /// Rows of the table that `--on-duplicate update` found and gave other values, and those that had these values.
    pub updated: u64,
    pub unchanged: u64,
    /// Of the warnings, those that the server calls notes.
    pub notes: u64,
    /// How often the server warned of each error number, notes included.
    pub warnings_by_code: BTreeMap<u16, u64>,
    /// Where the rejected rows are, and the reasons.
    pub rejects: Option<(String, String)>,
}

impl Account {
    /// Rows that are in the table now: all but those that were rejected or skipped.
    #[must_use]
    pub fn rows_loaded(&self) -> u64 {
        self.loaded.rows - self.loaded.rejected - self.loaded.skipped
    }
}
