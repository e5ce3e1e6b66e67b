//! What the server says about a statement: its counts and its warnings.

use super::message;
use crate::error::BadRow;

/// One row of SHOW WARNINGS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Diagnostic {
    pub(crate) level: String,
    pub(crate) code: u16,
    pub(crate) message: String,
    /// The row that it is about, counted as the server does until [`row_numbers::correct_row_numbers`].
    pub(crate) row: Option<u64>,
    /// The server gave a number, but it is not that of the row.
    pub(crate) is_misnumbered: bool,
    pub(crate) column: Option<String>,
}

impl Diagnostic {
    pub(crate) fn new(level: String, code: u16, message: String) -> Self {
        let (row, column) = message::named(code, &message);
        Self { level, code, message, row, is_misnumbered: false, column }
    }

    /// A row that was not stored because of its key: duplicate entry, duplicate entry in a foreign
    /// key's or index' wording.
    pub(crate) fn is_duplicate(&self) -> bool {
        matches!(self.code, 1062 | 1586 | 1761 | 1762)
    }

    /// Of a value that the server changed without harm, as it sees it, or of a date in a notation
    /// that it does not like.
    pub(crate) fn is_note(&self) -> bool {
        self.level.eq_ignore_ascii_case("Note") || matches!(self.code, 4095 | 4096)
    }

    /// A row that is not stored, and that the server counts as skipped or nowhere.
    pub(crate) fn is_skip(&self) -> bool {
        self.is_duplicate()
            || self.is_uncounted_refusal()
            || matches!(self.code, 1526 | 1591 | 1748)
    }

    /// A row refused by CHECK, by a view's CHECK OPTION or by a foreign key, which some servers
    /// count nowhere.
    pub(crate) fn is_uncounted_refusal(&self) -> bool {
        self.is_refused_by_constraint() || self.is_refused_by_foreign_key()
    }

    pub(crate) fn is_refused_by_constraint(&self) -> bool {
        matches!(self.code, 3819 | 4025 | 1369)
    }

    pub(crate) fn is_refused_by_foreign_key(&self) -> bool {
        self.code == 1452
    }

    pub(crate) fn bad_row(&self) -> BadRow {
        BadRow {
            line: None,
            row: self.row,
            is_misnumbered: self.is_misnumbered,
            column: self.column.clone(),
            level: self.level.clone(),
            code: self.code,
            reason: self.message.clone(),
            raw: None,
        }
    }
}

/// The counts in the OK packet's info text. The packet's own warning count has 16 bits and is not
/// used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ServerCounts {
    pub(crate) records: u64,
    pub(crate) deleted: u64,
    pub(crate) skipped: u64,
    pub(crate) warnings: u64,
}

impl ServerCounts {
    /// `Records: 9  Deleted: 0  Skipped: 2  Warnings: 8`, in English because `lc_messages` is
    /// pinned.
    pub(crate) fn parse(info: &str) -> Option<Self> {
        let mut counts = Self::default();
        let mut words = info.split_ascii_whitespace();
        for (label, count) in [
            ("Records:", &mut counts.records),
            ("Deleted:", &mut counts.deleted),
            ("Skipped:", &mut counts.skipped),
            ("Warnings:", &mut counts.warnings),
        ] {
            if words.next() != Some(label) {
                return None;
            }
            *count = words.next()?.parse().ok()?;
        }
        words.next().is_none().then_some(counts)
    }

    /// Whether so many rows are in the table now, beside those that were there, and there is no
    /// more to be said.
    pub(crate) fn is_all_of(self, rows: u64) -> bool {
        self == Self { records: rows, ..Self::default() }
    }
}

impl std::fmt::Display for ServerCounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { records, deleted, skipped, warnings } = self;
        write!(
            f,
            "Records: {records}  Deleted: {deleted}  Skipped: {skipped}  Warnings: {warnings}"
        )
    }
}
