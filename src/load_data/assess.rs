//! What the policies make of what a server says of a LOAD DATA.
//!
//! | | a value that does not fit, too few or too many fields | refused by CHECK, a foreign key, the partitions, a view | its unique key is there |
//! |---|---|---|---|
//! | the server, under IGNORE | stores something else, warns | skips the row, warns; some count it nowhere | skips the row, warns |
//! | the server, under REPLACE in a strict mode | ends the statement | ends the statement | deletes the other row |
//! | belongs to | `on-bad-row` | `on-bad-row` | `on-duplicate` |
//!
//! Whether a warning is about a duplicate is told by its code. A warning that the policy does not
//! accept is an *offence*.

use std::time::Duration;

use super::diagnostic::{Diagnostic, ServerCounts};
use crate::error::{Error, ErrorKind};
use crate::policy::{MaxRejects, OnBadRow, OnDuplicate};

/// What is acceptable in a transaction, and how long it may stand still.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    pub on_bad_row: OnBadRow,
    pub on_duplicate: OnDuplicate,
    pub notes_as_bad: bool,
    pub show_bad_rows: usize,
    pub max_rejects: Option<MaxRejects>,
    /// Nothing but a duplicate key can make the target skip a row: it has no partitions and no
    /// foreign keys.
    pub skips_only_duplicates: bool,
    /// The target's engine takes back what a transaction did.
    pub rolls_back: bool,
    pub stall_timeout: Duration,
}

/// What an offence is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RowErrorKind {
    BadRow,
    Duplicate,
}

impl Policy {
    /// Whether objects are loaded piece by piece from the start: what has to be held back is found
    /// on the way.
    pub(crate) fn isolates_rows(&self) -> bool {
        self.on_bad_row == OnBadRow::Reject
            || matches!(self.on_duplicate, OnDuplicate::Reject | OnDuplicate::Update)
    }

    /// Whether a note that is about a loss is to be told from one that is not. Where the engine
    /// does not roll back, it is too late.
    pub(crate) fn checks_decimal_truncation(&self) -> bool {
        self.on_bad_row != OnBadRow::Accept && !self.notes_as_bad && self.rolls_back
    }

    /// `None`: acceptable.
    pub(crate) fn row_error(&self, warning: &Diagnostic) -> Option<RowErrorKind> {
        // An update that meets another row's key is one that the table does not take.
        if warning.is_duplicate() && self.on_duplicate != OnDuplicate::Update {
            return (self.on_duplicate != OnDuplicate::Ignore).then_some(RowErrorKind::Duplicate);
        }
        let is_acceptable =
            self.on_bad_row == OnBadRow::Accept || warning.is_note() && !self.notes_as_bad;
        (!is_acceptable).then_some(RowErrorKind::BadRow)
    }

    /// Whether a row of this class is held back and written out; otherwise it costs the object.
    pub(crate) fn rejects(&self, class: RowErrorKind) -> bool {
        match class {
            RowErrorKind::BadRow => self.on_bad_row == OnBadRow::Reject,
            RowErrorKind::Duplicate => self.on_duplicate == OnDuplicate::Reject,
        }
    }
}

/// What was said of the rows that one statement was sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Assessment<'w> {
    Clean,
    /// There are more warnings than the server shows, and it matters what they say.
    TruncatedWarnings,
    /// What the policy does not accept, in order.
    RowErrors(Vec<(RowErrorKind, &'w Diagnostic)>),
    /// So many rows were skipped of which no warning tells.
    UnexplainedSkips(u64),
    /// The server did not read the rows that were sent.
    CountMismatch,
}

/// Judges a statement that was sent `rows` rows.
pub(crate) fn assess<'w>(
    rows: u64,
    counts: ServerCounts,
    shown: &'w [Diagnostic],
    policy: &Policy,
) -> Assessment<'w> {
    let row_errors: Vec<_> = shown
        .iter()
        .filter_map(|warning| policy.row_error(warning).map(|class| (class, warning)))
        .collect();
    // Warnings past max_error_count are counted but can't be read.
    let hidden = counts.warnings.saturating_sub(shown.len() as u64);
    if hidden > 0 && !are_all_duplicates(counts, shown, policy) {
        return if row_errors.is_empty() {
            Assessment::TruncatedWarnings
        } else {
            Assessment::RowErrors(row_errors)
        };
    }
    if !row_errors.is_empty() {
        return Assessment::RowErrors(row_errors);
    }
    let told = shown.iter().filter(|warning| warning.is_skip()).count() as u64 + hidden;
    if policy.on_bad_row != OnBadRow::Accept && counts.skipped > told {
        return Assessment::UnexplainedSkips(counts.skipped - told);
    }
    // Rows refused by a CHECK or a foreign key are in no count of some servers.
    let uncounted = shown.iter().filter(|warning| warning.is_uncounted_refusal()).count() as u64;
    if counts.records > rows || rows - counts.records > uncounted {
        return Assessment::CountMismatch;
    }
    Assessment::Clean
}

/// Whether the warnings that are not shown can be about nothing but duplicates that may be ignored.
/// A skipped row makes one warning or more: where there are as many warnings as skipped rows, none
/// is about a value.
pub(crate) fn are_all_duplicates(
    counts: ServerCounts,
    shown: &[Diagnostic],
    policy: &Policy,
) -> bool {
    policy.on_duplicate == OnDuplicate::Ignore
        && policy.skips_only_duplicates
        && counts.warnings == counts.skipped
        && shown.iter().all(Diagnostic::is_duplicate)
}

#[cfg(test)]
pub(crate) const STRICT: Policy = Policy {
    on_bad_row: OnBadRow::Fail,
    on_duplicate: OnDuplicate::Error,
    notes_as_bad: false,
    show_bad_rows: 10,
    max_rejects: None,
    skips_only_duplicates: true,
    rolls_back: true,
    stall_timeout: Duration::from_secs(60),
};

pub(crate) fn miscounted(what: &str, rows: u64, counts: ServerCounts) -> Error {
    let message = format!(
        "{what}: {rows} rows were sent, the server counted Records: {}; rolled back",
        counts.records
    );
    Error::new(ErrorKind::CountMismatch, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(records: u64, skipped: u64, warnings: u64) -> ServerCounts {
        ServerCounts { records, deleted: 0, skipped, warnings }
    }

    fn warnings(code: u16, count: usize) -> Vec<Diagnostic> {
        vec![Diagnostic::new("Warning".into(), code, "m".into()); count]
    }

    /// The verdict on ten rows, in a word.
    fn verdict(counts: ServerCounts, shown: &[Diagnostic], policy: Policy) -> &'static str {
        match assess(10, counts, shown, &policy) {
            Assessment::Clean => "fine",
            Assessment::TruncatedWarnings => "hidden",
            Assessment::RowErrors(row_errors)
                if row_errors.iter().all(|(class, _)| *class == RowErrorKind::Duplicate) =>
            {
                "duplicates"
            }
            Assessment::RowErrors(_) => "bad",
            Assessment::UnexplainedSkips(_) => "unexplained",
            Assessment::CountMismatch => "miscounted",
        }
    }

    #[test]
    fn equal_counts_without_a_warning_pass() {
        assert_eq!(verdict(counts(10, 0, 0), &[], STRICT), "fine");
    }

    #[test]
    fn a_row_more_or_less_than_counted_is_refused() {
        assert_eq!(verdict(counts(9, 0, 0), &[], STRICT), "miscounted");
        assert_eq!(verdict(counts(11, 0, 0), &[], STRICT), "miscounted");
        let accept = Policy { on_bad_row: OnBadRow::Accept, ..STRICT };
        assert_eq!(verdict(counts(9, 0, 1), &warnings(1265, 1), accept), "miscounted");
    }

    #[test]
    fn any_warning_is_an_offence_unless_it_is_accepted() {
        assert_eq!(verdict(counts(10, 0, 1), &warnings(1265, 1), STRICT), "bad");
        assert_eq!(
            verdict(
                counts(10, 0, 1),
                &warnings(1265, 1),
                Policy { on_bad_row: OnBadRow::Reject, ..STRICT }
            ),
            "bad"
        );
        let accept = Policy { on_bad_row: OnBadRow::Accept, ..STRICT };
        assert_eq!(verdict(counts(10, 0, 1), &warnings(1265, 1), accept), "fine");
    }

    #[test]
    fn a_note_is_an_offence_only_where_that_is_asked_for() {
        let note = [Diagnostic::new("Note".into(), 1265, "m".into())];
        assert_eq!(verdict(counts(10, 0, 1), &note, STRICT), "fine");
        assert_eq!(
            verdict(counts(10, 0, 1), &note, Policy { notes_as_bad: true, ..STRICT }),
            "bad"
        );
        let accept = Policy { notes_as_bad: true, on_bad_row: OnBadRow::Accept, ..STRICT };
        assert_eq!(verdict(counts(10, 0, 1), &note, accept), "fine");
    }

    #[test]
    fn a_skipped_row_is_an_offence_unless_duplicates_are_ignored() {
        assert_eq!(verdict(counts(10, 2, 2), &warnings(1062, 2), STRICT), "duplicates");
        let ignore = Policy { on_duplicate: OnDuplicate::Ignore, ..STRICT };
        assert_eq!(verdict(counts(10, 2, 2), &warnings(1062, 2), ignore), "fine");
    }

    #[test]
    fn ignoring_duplicates_does_not_let_other_skips_through() {
        let ignore = Policy { on_duplicate: OnDuplicate::Ignore, ..STRICT };
        assert_eq!(verdict(counts(10, 1, 1), &warnings(1526, 1), ignore), "bad");
        assert_eq!(verdict(counts(10, 1, 0), &[], ignore), "unexplained");
    }

    #[test]
    fn duplicates_past_what_the_server_shows_pass_only_where_nothing_else_can_hide_there() {
        let ignore = Policy { on_duplicate: OnDuplicate::Ignore, ..STRICT };
        assert_eq!(verdict(counts(10, 8, 8), &warnings(1062, 2), ignore), "fine");
        assert_eq!(verdict(counts(10, 7, 8), &warnings(1062, 2), ignore), "hidden");
        let partitioned = Policy { skips_only_duplicates: false, ..ignore };
        assert_eq!(verdict(counts(10, 8, 8), &warnings(1062, 2), partitioned), "hidden");
    }

    #[test]
    fn what_is_accepted_is_still_to_be_counted_by_kind() {
        let accept = Policy { on_bad_row: OnBadRow::Accept, ..STRICT };
        assert_eq!(verdict(counts(10, 0, 8), &warnings(1265, 2), accept), "hidden");
    }

    #[test]
    fn rows_that_a_check_refused_explain_a_smaller_count_when_they_are_accepted() {
        let accept = Policy { on_bad_row: OnBadRow::Accept, ..STRICT };
        assert_eq!(verdict(counts(8, 0, 2), &warnings(3819, 2), accept), "fine");
        assert_eq!(verdict(counts(7, 0, 2), &warnings(3819, 2), accept), "miscounted");
    }
}
