//! What became of an object's rows.

use std::collections::BTreeMap;

use super::diagnostic::{Diagnostic, ServerCounts};
use crate::ledger::LoadCounts;

/// The account of one object, complete before its COMMIT.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadStats {
    /// What the ledger keeps of it.
    pub loaded: LoadCounts,
    /// Of the rejected rows, those whose unique key was there.
    pub rejected_duplicates: u64,
    /// Rows of the table that `--on-duplicate update` found and gave other values, and those that
    /// had these values.
    pub updated: u64,
    pub unchanged: u64,
    /// Of the warnings, those that the server calls notes.
    pub notes: u64,
    /// How often the server warned of each error number, notes included.
    pub warnings_by_code: BTreeMap<u16, u64>,
    /// Where the rejected rows are, and the reasons; a pair for each part that has some.
    pub rejects: Vec<(String, String)>,
}

impl LoadStats {
    /// Rows that are in the table now: all but those that were rejected or skipped.
    #[must_use]
    pub fn rows_loaded(&self) -> u64 {
        self.loaded.rows - self.loaded.rejected - self.loaded.skipped
    }
}

impl LoadStats {
    /// That of an object of which every row is in the table, and nothing else is to be said.
    #[must_use]
    pub fn clean(rows: u64) -> Self {
        let mut stats = Self::default();
        stats.loaded.rows = rows;
        stats
    }

    /// Whether it is such an account.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        *self == Self::clean(self.loaded.rows)
    }

    /// That of a statement which is fine.
    pub(crate) fn of(rows: u64, counts: ServerCounts, shown: &[Diagnostic]) -> Self {
        let mut stats = Self::default();
        stats.loaded.rows = rows;
        stats.loaded.skipped = counts.skipped + rows.saturating_sub(counts.records);
        stats.loaded.deleted = counts.deleted;
        stats.count(shown);
        // Where it is fine, what is not shown is about duplicates; or of a kind that the server
        // tells nobody.
        let hidden = counts.warnings.saturating_sub(shown.len() as u64);
        if hidden > 0 {
            stats.loaded.warnings += hidden;
            let code = if counts.warnings == counts.skipped {
                shown.first().map_or(0, |first| first.code)
            } else {
                0
            };
            *stats.warnings_by_code.entry(code).or_default() += hidden;
        }
        stats
    }

    /// Counts warnings that are acceptable.
    pub(crate) fn count(&mut self, shown: &[Diagnostic]) {
        for warning in shown {
            self.loaded.warnings += 1;
            self.notes += u64::from(warning.is_note());
            *self.warnings_by_code.entry(warning.code).or_default() += 1;
        }
    }

    /// Adds what became of a part's rows.
    pub fn add_part(&mut self, more: Self) {
        self.loaded.rows += more.loaded.rows;
        self.loaded.rejected += more.loaded.rejected;
        self.rejected_duplicates += more.rejected_duplicates;
        self.rejects.extend(more.rejects.iter().cloned());
        self.add(more);
    }

    pub(crate) fn add(&mut self, more: Self) {
        self.loaded.skipped += more.loaded.skipped;
        self.loaded.deleted += more.loaded.deleted;
        self.loaded.warnings += more.loaded.warnings;
        self.updated += more.updated;
        self.unchanged += more.unchanged;
        self.notes += more.notes;
        for (code, count) in more.warnings_by_code {
            *self.warnings_by_code.entry(code).or_default() += count;
        }
    }
}
