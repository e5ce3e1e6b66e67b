//! The server's counts and warnings for one statement.

use super::message::{self, without_row};
use crate::error::BadRow;
use crate::mysql::codes;
use crate::values::RowFault;

/// A warning, note or error of the server about a row or a statement: one row of SHOW WARNINGS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    pub level: String,
    pub code: u16,
    pub message: String,
    /// The row that it is about, from 1. The number of a warning about LOAD DATA is the server's
    /// own until `correct_row_numbers` has run.
    pub row: Option<u64>,
    /// True if the server gave a number that does not match the row.
    pub is_misnumbered: bool,
    pub column: Option<String>,
}

impl Diagnostic {
    pub(crate) fn new(level: String, code: u16, message: String) -> Self {
        let (row, column) = message::named(code, &message);
        Self { level, code, message, row, is_misnumbered: false, column }
    }

    /// Returns what our own rules say of a value.
    pub(crate) fn by_value(fault: RowFault) -> Self {
        Self {
            level: String::new(),
            code: fault.code,
            message: fault.text,
            row: None,
            is_misnumbered: false,
            column: fault.column,
        }
    }

    /// Returns true if the row was not stored because of its key. The codes are those for a
    /// duplicate entry, also as reported for a foreign key or a named index.
    pub(crate) fn is_duplicate(&self) -> bool {
        codes::is_duplicate(self.code)
    }

    /// Returns true if the server changed a value without harm, in its own view, or read a date in
    /// a deprecated notation.
    pub(crate) fn is_note(&self) -> bool {
        self.level.eq_ignore_ascii_case("Note") || codes::is_deprecated_date(self.code)
    }

    /// Returns true if the row is not stored, and the server counts it as skipped or not at all.
    pub(crate) fn is_skip(&self) -> bool {
        self.is_duplicate()
            || self.is_uncounted_refusal()
            || codes::is_refused_by_partition(self.code)
    }

    /// Returns true if a CHECK, a view's CHECK OPTION or a foreign key refused the row. Some
    /// servers leave such rows out of every count.
    pub(crate) fn is_uncounted_refusal(&self) -> bool {
        self.is_refused_by_constraint() || self.is_refused_by_foreign_key()
    }

    pub(crate) fn is_refused_by_constraint(&self) -> bool {
        codes::is_refused_by_constraint(self.code)
    }

    pub(crate) fn is_refused_by_foreign_key(&self) -> bool {
        self.code == codes::NO_PARENT_ROW
    }

    pub(crate) fn bad_row(&self) -> BadRow {
        BadRow {
            line: None,
            row: self.row,
            is_misnumbered: self.is_misnumbered,
            column: self.column.clone(),
            level: self.level.clone(),
            code: self.code,
            reason: without_row(self.code, &self.message).to_owned(),
            raw: None,
        }
    }
}

/// The counts from the info text of the OK packet. The packet's own warning count has only 16 bits
/// and is not used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ServerCounts {
    pub(crate) records: u64,
    pub(crate) deleted: u64,
    pub(crate) skipped: u64,
    pub(crate) warnings: u64,
}

impl ServerCounts {
    /// Parses `Records: 9  Deleted: 0  Skipped: 2  Warnings: 8`. The text is English because the
    /// session pins `lc_messages`.
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

    /// Returns true if the table gained exactly `rows` rows, and nothing was replaced, skipped or
    /// warned about.
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
