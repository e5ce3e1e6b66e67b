//! What the server says of a LOAD DATA statement that it calls OK.

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::row_numbers;
use crate::error::{BadRow, BadRows};
use crate::isolate::DryRunRow;

/// How many warnings an error quotes at most of each of its rows, taken together.
const QUOTED_PER_ROW: usize = 3;

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
        let (row, column) = row_numbers::named(code, &message);
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

impl From<&DryRunRow> for Diagnostic {
    fn from(dry_run: &DryRunRow) -> Self {
        let DryRunRow { row, code, level, reason, column } = dry_run.clone();
        Self { level, code, message: reason, row: Some(row), is_misnumbered: false, column }
    }
}

/// The first of `count` warnings: those of the first `limit` rows, one that names no row being
/// counted as one.
pub(crate) fn quote<'a>(
    count: u64,
    limit: usize,
    shown: impl IntoIterator<Item = &'a Diagnostic>,
) -> BadRows {
    let mut quoted: Vec<BadRow> = Vec::new();
    let mut rows = 0;
    for warning in shown {
        let is_same_row =
            quoted.last().is_some_and(|last| last.row.is_some() && last.row == warning.row);
        rows += usize::from(!is_same_row);
        if rows > limit || quoted.len() == limit * QUOTED_PER_ROW {
            break;
        }
        quoted.push(warning.bad_row());
    }
    BadRows { more: count.saturating_sub(quoted.len() as u64), shown: quoted }
}

/// The warnings of the last statement, as far as `max_error_count` kept them.
pub(crate) async fn show(conn: &mut Conn) -> mysql_async::Result<Vec<Diagnostic>> {
    conn.query_map("SHOW WARNINGS", |(level, code, message): (String, u16, Vec<u8>)| {
        // It quotes the data, which may be anything.
        Diagnostic::new(level, code, String::from_utf8_lossy(&message).into_owned())
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_info_text_is_read_beyond_sixteen_bits() {
        let counts =
            ServerCounts::parse("Records: 200000  Deleted: 1  Skipped: 2  Warnings: 100000");
        assert_eq!(
            counts,
            Some(ServerCounts { records: 200_000, deleted: 1, skipped: 2, warnings: 100_000 })
        );
    }

    #[test]
    fn a_text_in_another_form_is_not_guessed_at() {
        for text in [
            "",
            "Records: 1",
            "Datensaetze: 1  Deleted: 0  Skipped: 0  Warnings: 0",
            "Records: x  Deleted: 0  Skipped: 0  Warnings: 0",
        ] {
            assert_eq!(ServerCounts::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_warnings_of_ten_rows_are_quoted_and_the_rest_is_counted() {
        let warning = |row| {
            Diagnostic::new(
                "Warning".into(),
                1265,
                format!("Data truncated for column 's' at row {row}"),
            )
        };
        let rows =
            |quoted: &BadRows| quoted.shown.iter().filter_map(|bad| bad.row).collect::<Vec<_>>();
        let pairs: Vec<Diagnostic> = (0..40).map(|index| warning(1 + index / 2)).collect();
        let quoted = quote(100, 10, &pairs);
        assert_eq!(
            (rows(&quoted), quoted.more),
            ((0..20).map(|index| 1 + index / 2).collect(), 80)
        );
        let wide: Vec<Diagnostic> = (0..40).map(|_| warning(7)).collect();
        assert_eq!((quote(40, 10, &wide).shown.len(), quote(40, 10, &wide).more), (30, 10));
        let unnumbered: Vec<Diagnostic> =
            (0..40).map(|_| Diagnostic::new("Warning".into(), 1062, "m".into())).collect();
        assert_eq!(
            (quote(40, 10, &unnumbered).shown.len(), quote(40, 10, &unnumbered).more),
            (10, 30)
        );
    }
}
