//! Assigns warnings to rows by the row markers between them.

use super::insert_stats::{OnConflict, RowNumberRange};
use super::scratch_table::Numbers;
use crate::load_data::Diagnostic;
use crate::mysql::codes;

/// The beginning of a mark. No real value begins like this.
const MARK: &str = "s3-to-mysql row ";

/// Returns an SQL condition that is true for every row, and gives a warning that names the row. It
/// compares with 0 because no optimizer knows the result of the cast.
pub(crate) fn condition(number: &str) -> String {
    format!("CAST(CONCAT('{MARK}', {number}) AS SIGNED) = 0")
}

/// Returns true if the server skips a row with this code: for its key, a CHECK, the view, its
/// parent row or its partition.
fn is_refusal(code: u16) -> bool {
    codes::is_duplicate(code)
        || codes::is_refused_by_constraint(code)
        || matches!(code, codes::NO_PARENT_ROW | codes::NO_PARENT_ROW_UNNAMED)
        || codes::is_refused_by_partition(code)
}

/// The counts from `Records: 5  Duplicates: 1  Warnings: 14`, and the affected rows. Rows that a
/// CHECK refused are not among the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InsertCounts {
    records: u64,
    /// Under IGNORE, the records that changed nothing.
    duplicates: u64,
    pub(crate) warnings: u64,
    affected: u64,
}

impl InsertCounts {
    pub(crate) fn parse(info: &str, affected: u64) -> Option<Self> {
        let mut words = info.split_ascii_whitespace();
        let mut count =
            |label| (words.next() == Some(label)).then(|| words.next()?.parse().ok()).flatten();
        let (records, duplicates, warnings) =
            (count("Records:")?, count("Duplicates:")?, count("Warnings:")?);
        Some(Self { records, duplicates, warnings, affected })
    }

    /// Returns the numbers of new and of changed rows. A new row affects one row, a change two.
    pub(crate) fn stored(self, on_conflict: OnConflict<'_>) -> (u64, u64) {
        match on_conflict {
            OnConflict::Skip => (self.affected, 0),
            OnConflict::Update(_) => {
                let stored = self.records.saturating_sub(self.duplicates);
                let changed = self.affected.saturating_sub(stored);
                (stored.saturating_sub(changed), changed)
            }
        }
    }

    /// Returns true if `rejected` refusals among `rows` rows explain the counts. A row that an
    /// update leaves unchanged is in no count.
    pub(crate) fn agree(self, on_conflict: OnConflict<'_>, rows: u64, rejected: u64) -> bool {
        let (new, changed) = self.stored(on_conflict);
        let explained = new + changed + rejected;
        match on_conflict {
            OnConflict::Skip => explained == rows,
            OnConflict::Update(_) => explained <= rows,
        }
    }
}

/// A list of warnings, assigned to rows.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Marked {
    /// The first refusal of each refused row.
    pub(crate) rejected: Vec<Diagnostic>,
    pub(crate) warnings: Vec<Diagnostic>,
    /// True if every row has its mark, the marks are in order, and no refusal comes before the
    /// first mark.
    pub(crate) is_whole: bool,
}

impl Marked {
    pub(crate) fn read(
        shown: Vec<Diagnostic>,
        numbers: Numbers,
        (first, last): RowNumberRange,
    ) -> Self {
        let mut marked = Self { is_whole: true, ..Self::default() };
        // A single row needs no mark.
        let mut row = if first == last { first } else { 0 };
        let mut next = first;
        for warning in shown {
            if let Some(number) = mark(&warning) {
                match numbers.row(number) {
                    Some(found) if found == next => {
                        row = found;
                        next += 1;
                    }
                    // The server may evaluate the condition twice.
                    Some(found) if found == row => {}
                    _ => marked.is_whole = false,
                }
                continue;
            }
            if codes::is_about_the_statement(warning.code) {
                continue;
            }
            let is_refused = is_refusal(warning.code);
            if row < first {
                // No row has been read yet, so the warning is about no row.
                marked.is_whole &= !is_refused;
                continue;
            }
            let warning = Diagnostic { row: Some(row), is_misnumbered: false, ..warning };
            if is_refused && marked.rejected.last().is_none_or(|before| before.row != Some(row)) {
                marked.rejected.push(warning);
            } else {
                marked.warnings.push(warning);
            }
        }
        marked.is_whole &= next == last + 1;
        marked
    }
}

fn mark(warning: &Diagnostic) -> Option<u64> {
    let text = warning
        .message
        .split_once(MARK)
        .filter(|_| warning.code == codes::TRUNCATED_WRONG_VALUE)?
        .1;
    text.strip_suffix('\'')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NUMBERS: Numbers = Numbers { first: 5, step: 7, rows: 4 };

    fn warning(code: u16, message: &str) -> Diagnostic {
        Diagnostic::new("Warning".into(), code, message.into())
    }

    fn marked(number: u64) -> Diagnostic {
        warning(1292, &format!("Truncated incorrect INTEGER value: 's3-to-mysql row {number}'"))
    }

    fn rows(dry_run: &[Diagnostic]) -> Vec<(u64, u16)> {
        dry_run.iter().map(|one| (one.row.unwrap(), one.code)).collect()
    }

    #[test]
    fn a_refusal_is_about_the_row_that_is_marked_before_it() {
        let shown = vec![
            warning(1287, "'VALUES function' is deprecated"),
            marked(5),
            marked(12),
            warning(1062, "Duplicate entry '1' for key 'PRIMARY'"),
            marked(19),
            warning(1265, "Data truncated for column 'g' at row 3"),
            warning(4038, "Syntax error in JSON text"),
            warning(4025, "CONSTRAINT `c` failed for `d`.`t`"),
            marked(26),
            warning(1592, "Unsafe statement written to the binary log"),
        ];
        let read = Marked::read(shown, NUMBERS, (1, 4));
        assert!(read.is_whole);
        assert_eq!(rows(&read.rejected), [(2, 1062), (3, 4025)]);
        assert_eq!(rows(&read.warnings), [(3, 1265), (3, 4038)]);
        assert_eq!(read.warnings[0].column.as_deref(), Some("g"));
    }

    #[test]
    fn a_list_without_the_mark_of_every_row_in_order_proves_nothing() {
        for numbers in
            [&[5, 12, 19][..], &[5, 12, 26, 19], &[12, 19, 26], &[5, 12, 13, 19, 26], &[]]
        {
            let shown = numbers.iter().map(|number| marked(*number)).collect();
            assert!(!Marked::read(shown, NUMBERS, (1, 4)).is_whole, "{numbers:?}");
        }
        let refused_before =
            vec![warning(1062, "Duplicate entry"), marked(5), marked(12), marked(19), marked(26)];
        assert!(!Marked::read(refused_before, NUMBERS, (1, 4)).is_whole);
    }

    #[test]
    fn a_value_that_is_written_like_a_mark_is_none() {
        assert_eq!(
            mark(&warning(
                1366,
                "Incorrect integer value: 's3-to-mysql row 3' for column 'a' at row 1"
            )),
            None
        );
        assert_eq!(
            mark(&warning(1292, "Truncated incorrect INTEGER value: 's3-to-mysql row 3x'")),
            None
        );
        assert_eq!(mark(&marked(3)), Some(3));
    }

    #[test]
    fn an_update_counts_new_rows_and_changed_ones_apart() {
        // Two new, two changed, one left as it is, and of four refused one or two are counted.
        let mysql = InsertCounts::parse("Records: 5  Duplicates: 1  Warnings: 14", 6).unwrap();
        let mariadb = InsertCounts::parse("Records: 7  Duplicates: 3  Warnings: 13", 6).unwrap();
        let update = OnConflict::Update(&[]);
        assert_eq!((mysql.stored(update), mariadb.stored(update)), ((2, 2), (2, 2)));
        assert!(mysql.agree(update, 9, 4) && !mysql.agree(update, 9, 6));
    }

    #[test]
    fn rows_that_are_not_stored_must_be_as_many_as_are_refused() {
        let counts = InsertCounts::parse("Records: 5  Duplicates: 3  Warnings: 16", 2).unwrap();
        assert!(counts.agree(OnConflict::Skip, 9, 7));
        assert!(!counts.agree(OnConflict::Skip, 9, 6) && !counts.agree(OnConflict::Skip, 9, 8));
    }

    #[test]
    fn counts_in_another_form_are_not_guessed_at() {
        for info in ["", "Records: 1", "Records: x  Duplicates: 0  Warnings: 0"] {
            assert_eq!(InsertCounts::parse(info, 0), None, "{info}");
        }
    }
}
