//! The counts of an object's rows.

use std::collections::BTreeMap;

use super::diagnostic::{Diagnostic, ServerCounts};
use crate::error::BadRows;
use crate::ledger::LoadCounts;
use crate::policy::OnBadRow;
use crate::values::ValueCounts;

/// The counts of one object's rows, complete before its COMMIT.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadStats {
    /// The counts that the ledger keeps.
    pub loaded: LoadCounts,
    /// The rejected rows whose unique key existed already.
    pub rejected_duplicates: u64,
    /// The rows of the table that `--on-duplicate update` changed, and (`unchanged`) those that had
    /// the new values already.
    pub updated: u64,
    pub unchanged: u64,
    /// The rows with a value that lost something that is only noted.
    pub note_rows: u64,
    /// The bad rows that were accepted and stored with other values.
    pub changed_rows: u64,
    /// The first of both.
    pub first_inexact: BadRows,
    /// The warnings that the server calls notes.
    pub notes: u64,
    /// The number of warnings per error number, notes included.
    pub warnings_by_code: BTreeMap<u16, u64>,
    /// The reject file and the file with the reasons, a pair for each part that has rejected rows.
    pub rejects: Vec<(String, String)>,
}

impl LoadStats {
    /// Returns the number of rows that are in the table now: all except rejected and skipped ones.
    #[must_use]
    pub fn rows_loaded(&self) -> u64 {
        self.loaded.rows - self.loaded.rejected - self.loaded.skipped
    }
}

impl LoadStats {
    /// Returns the counts of an object of which every row is in the table, with nothing else to
    /// report.
    #[must_use]
    pub fn clean(rows: u64) -> Self {
        let mut stats = Self::default();
        stats.loaded.rows = rows;
        stats
    }

    /// Returns true if every row is in the table, and the server had nothing to say.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        let clean = Self::clean(self.loaded.rows);
        let first_inexact = self.first_inexact.clone();
        let (note_rows, changed_rows) = (self.note_rows, self.changed_rows);
        *self == Self { note_rows, changed_rows, first_inexact, ..clean }
    }

    /// Sets the counts of rows that are loaded although their values are not exact.
    #[must_use]
    pub fn with_values(mut self, values: &ValueCounts, on_bad_row: OnBadRow) -> Self {
        self.note_rows = values.noted_rows;
        if on_bad_row == OnBadRow::Accept {
            self.changed_rows = values.bad_rows;
        }
        self
    }

    /// Returns the counts of a statement that was assessed as clean.
    pub(crate) fn of(rows: u64, counts: ServerCounts, shown: &[Diagnostic]) -> Self {
        let mut stats = Self::default();
        stats.loaded.rows = rows;
        stats.loaded.skipped = counts.skipped + rows.saturating_sub(counts.records);
        stats.loaded.deleted = counts.deleted;
        stats.count(shown);
        // In a clean statement, hidden warnings are about duplicates, or of an accepted kind that
        // the server does not show.
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

    /// Adds accepted warnings to the counts.
    pub(crate) fn count(&mut self, shown: &[Diagnostic]) {
        for warning in shown {
            self.loaded.warnings += 1;
            self.notes += u64::from(warning.is_note());
            *self.warnings_by_code.entry(warning.code).or_default() += 1;
        }
    }

    /// Adds the counts of a part, and its first rows up to `shown_rows` in all.
    pub fn add_part(&mut self, mut more: Self, shown_rows: usize) {
        self.first_inexact.add_part(std::mem::take(&mut more.first_inexact), shown_rows);
        self.loaded.rows += more.loaded.rows;
        self.loaded.rejected += more.loaded.rejected;
        self.rejected_duplicates += more.rejected_duplicates;
        self.note_rows += more.note_rows;
        self.changed_rows += more.changed_rows;
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
