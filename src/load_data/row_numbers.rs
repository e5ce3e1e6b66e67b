//! Finds which row of an object a warning is about.
//!
//! Some kinds of warnings name their row in their text: those about too few or too many fields, and
//! those about values that do not fit. No warning names a skipped row (duplicate key, no parent
//! row, no partition, CHECK). The number counts, from 1, the rows that the server read from the
//! bytes that were sent. These have no header lines, so the number is that of [`crate::split`]. It
//! includes duplicates and rows without a partition. This is exact on both servers, with these
//! exceptions:
//!
//! - The number does not advance for a row that a CHECK or a view's CHECK OPTION refused. On MySQL
//!   it does not advance for a row without a parent row either. Warnings come in the order of the
//!   rows, so those before the first such refusal have the right number in any case. The numbers
//!   after it are corrected by the number of refusals before them, but only if the counts prove
//!   that every such row has exactly one such warning: all warnings are shown, and `Records:` lacks
//!   as many rows as there were refusals. Otherwise the row's number is unknown.
//! - If the numbers decrease down the list, or one is greater than the number of rows, something
//!   else made them, and the whole list is distrusted. No such case is known. The statements of a
//!   trigger number their own rows, but their warnings do not get into the list.
//! - Under REPLACE the first bad row ends the statement with an error, and so does a row that a
//!   constraint refuses. The number in that error is always right.
//!
//! A wrong line number is worse than none.

use super::diagnostic::{Diagnostic, ServerCounts};
use super::message::without_row;
use crate::mysql::codes;

/// Returns the warning's message without the row's number in the statement, or with the number in
/// the object if the message begins with it.
pub(crate) fn renumbered(warning: &Diagnostic, row: u64) -> String {
    renumbered_text(warning.code, &warning.message, row)
}

/// Does the same as [`renumbered`] for an error of which only the code and the text are left.
pub(crate) fn renumbered_text(code: u16, message: &str, row: u64) -> String {
    if matches!(code, codes::TOO_FEW_FIELDS | codes::TOO_MANY_FIELDS) {
        let after = message
            .strip_prefix("Row ")
            .and_then(|rest| rest.split_once(' '))
            .map(|(_, after)| after);
        return after.map_or_else(|| message.to_owned(), |after| format!("Row {row} {after}"));
    }
    without_row(code, message).to_owned()
}

/// Corrects the row numbers in the warnings of a LOAD DATA statement, or removes them. `rows` is
/// our own count.
pub(crate) fn correct_row_numbers(shown: &mut [Diagnostic], rows: u64, counts: ServerCounts) {
    let (mut constraints, mut foreign_keys) = (0, 0);
    for warning in shown.iter() {
        constraints += u64::from(warning.is_refused_by_constraint());
        foreign_keys += u64::from(warning.is_refused_by_foreign_key());
    }
    let are_all_shown = counts.warnings == shown.len() as u64;
    let uncounted = rows.saturating_sub(counts.records);
    let shifts_by_foreign_keys = uncounted == constraints + foreign_keys;
    let is_proven = are_all_shown && (shifts_by_foreign_keys || uncounted == constraints);

    let mut last = 0;
    let mut shift = Some(0);
    let mut is_believed = true;
    for warning in shown.iter_mut() {
        if let Some(number) = warning.row {
            is_believed &= number >= last;
            last = number;
            warning.row = shift.map(|shift| number + shift);
            warning.is_misnumbered = warning.row.is_none();
            is_believed &= warning.row.is_none_or(|row| (1..=rows).contains(&row));
        }
        let by_foreign_key = warning.is_refused_by_foreign_key();
        if warning.is_refused_by_constraint() || by_foreign_key {
            let advance = u64::from(!by_foreign_key || shifts_by_foreign_keys);
            shift = shift.filter(|_| is_proven).map(|shift| shift + advance);
        }
    }
    if !is_believed {
        for warning in shown {
            warning.is_misnumbered |= warning.row.take().is_some();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::{named, unquoted};
    use super::*;

    fn warning(code: u16, message: &str) -> Diagnostic {
        Diagnostic::new("Warning".into(), code, message.into())
    }

    #[test]
    fn row_and_column_are_found_in_the_words_of_both_servers() {
        let cases: [(u16, &str, Option<u64>, Option<&str>); 16] = [
            (1265, "Data truncated for column 's' at row 3001", Some(3001), Some("s")),
            (1264, "Out of range value for column 'a' at row 2", Some(2), Some("a")),
            (1366, "Incorrect integer value: 'x' for column 'a' at row 2", Some(2), Some("a")),
            (
                1366,
                "Incorrect integer value: 'x' for column `d`.`t`.`a` at row 2",
                Some(2),
                Some("a"),
            ),
            (
                1366,
                "Incorrect integer value: 'x' for column `d.e`.`t``u`.`a``.b` at row 2",
                Some(2),
                Some("a`.b"),
            ),
            (
                1366,
                "Incorrect integer value: 'for column 'b' at row 7' for column 'a' at row 2",
                Some(2),
                Some("a"),
            ),
            (
                1366,
                "Incorrect integer value: 'x' for column 'my column' at row 2",
                Some(2),
                Some("my column"),
            ),
            (1299, "Invalid TIMESTAMP value in column 's' at row 2", Some(2), Some("s")),
            (
                1263,
                "Column set to default value; NULL supplied to NOT NULL column 'x' at row 9",
                Some(9),
                Some("x"),
            ),
            (1261, "Row 12 doesn't contain data for all columns", Some(12), None),
            (
                1262,
                "Row 3 was truncated; it contained more data than there were input columns",
                Some(3),
                None,
            ),
            (1048, "Column 'x' cannot be null", None, Some("x")),
            (
                4095,
                "Delimiter '/' in position 4 in datetime value '2026/01/01 at row 7' at row 2 is \
                 deprecated. Prefer the standard '-'.",
                Some(2),
                None,
            ),
            (1062, "Duplicate entry 'x at row 3' for key 't.PRIMARY'", None, None),
            (1292, "Truncated incorrect DOUBLE value: 'x at row 3'", None, None),
            (1644, "what a trigger says at row 3", None, None),
        ];
        for (code, message, row, column) in cases {
            assert_eq!(named(code, message), (row, column.map(ToOwned::to_owned)), "{message}");
        }
    }

    #[test]
    fn a_message_has_no_number_of_the_statement_and_may_begin_with_that_of_the_object() {
        for (code, message, expected) in [
            (1265, "Data truncated for column 's' at row 3", "Data truncated for column 's'"),
            (
                1366,
                "Incorrect value: 'at row 5' for column 's' at row 3",
                "Incorrect value: 'at row 5' for column 's'",
            ),
            (
                1261,
                "Row 3 doesn't contain data for all columns",
                "Row 70 doesn't contain data for all columns",
            ),
            (1644, "what a trigger says at row 3", "what a trigger says at row 3"),
            (
                1062,
                "Duplicate entry '3' for key 'PRIMARY'",
                "Duplicate entry '3' for key 'PRIMARY'",
            ),
            (
                1062,
                "Duplicate entry 'x at row y' for key 'PRIMARY'",
                "Duplicate entry 'x at row y' for key 'PRIMARY'",
            ),
        ] {
            assert_eq!(renumbered(&warning(code, message), 70), expected);
        }
    }

    #[test]
    fn what_is_not_a_name_is_no_column() {
        for name in ["", "'a", "`a", "`a`.", "`a`b", "a", "`a``"] {
            assert_eq!(unquoted(name), None, "{name}");
        }
    }

    /// Returns the corrected row numbers of `list`: bad values with the server's numbers, and
    /// refusals (a code) between them.
    fn numbers(
        list: &[Result<u64, u16>],
        rows: u64,
        records: u64,
        hidden: u64,
    ) -> Vec<Option<u64>> {
        let mut shown: Vec<Diagnostic> = list
            .iter()
            .map(|item| match item {
                Ok(row) => warning(1265, &format!("Data truncated for column 's' at row {row}")),
                Err(code) => warning(*code, "no number"),
            })
            .collect();
        let warnings = shown.len() as u64 + hidden;
        correct_row_numbers(
            &mut shown,
            rows,
            ServerCounts { records, deleted: 0, skipped: 0, warnings },
        );
        assert!(shown.iter().all(|warning| !(warning.is_misnumbered && warning.row.is_some())));
        shown.iter().filter(|warning| warning.code == 1265).map(|warning| warning.row).collect()
    }

    #[test]
    fn numbers_are_taken_as_they_are_where_nothing_shifts_them() {
        assert_eq!(
            numbers(&[Ok(2), Err(1062), Ok(5), Ok(5), Err(1526)], 9, 9, 0),
            [Some(2), Some(5), Some(5)]
        );
        assert_eq!(numbers(&[Ok(2), Ok(7)], 9, 9, 1000), [Some(2), Some(7)]);
    }

    #[test]
    fn refusals_shift_what_comes_after_them_where_the_counts_prove_it() {
        for code in [3819, 4025, 1369, 1452] {
            assert_eq!(
                numbers(&[Ok(2), Err(code), Ok(2), Err(code), Ok(5)], 9, 7, 0),
                [Some(2), Some(3), Some(7)]
            );
        }
        // MariaDB counts a row without a parent row.
        assert_eq!(numbers(&[Ok(2), Err(1452), Ok(4)], 9, 9, 0), [Some(2), Some(4)]);
        assert_eq!(numbers(&[Err(4025), Ok(2), Err(1452), Ok(4)], 9, 8, 0), [Some(3), Some(5)]);
    }

    #[test]
    fn without_proof_there_is_no_number_after_a_refusal() {
        assert_eq!(numbers(&[Ok(2), Err(3819), Ok(2)], 9, 7, 0), [Some(2), None]);
        assert_eq!(numbers(&[Ok(2), Err(3819), Ok(2)], 9, 8, 1), [Some(2), None]);
    }

    #[test]
    fn numbers_that_are_not_those_of_rows_are_not_believed() {
        assert_eq!(numbers(&[Ok(4), Ok(1), Ok(5)], 9, 9, 0), [None; 3]);
        assert_eq!(numbers(&[Ok(4), Ok(10)], 9, 9, 0), [None; 2]);
        assert_eq!(numbers(&[Ok(0)], 9, 9, 0), [None]);
    }
}
