//! Assesses the server's answer to a LOAD DATA statement under the policies.
//!
//! The kind of a problem row determines what the server does with it, and which policy decides
//! about it:
//!
//! - A value does not fit, or the row has too few or too many fields. Under IGNORE the server
//!   stores something else and warns. Under REPLACE in a strict mode it ends the statement.
//!   `on-bad-row` decides.
//! - A CHECK, a foreign key, the partitions or a view refuse the row. Under IGNORE the server skips
//!   the row and warns, and some servers leave the row out of every count. Under REPLACE in a
//!   strict mode it ends the statement. `on-bad-row` decides.
//! - The row's unique key exists already. Under IGNORE the server skips the row and warns. Under
//!   REPLACE it deletes the other row. `on-duplicate` decides.
//!
//! The code of a warning shows if it is about a duplicate. A warning that the policy does not
//! accept is a *row error*.

use super::diagnostic::{Diagnostic, ServerCounts};
use crate::error::{Error, ErrorKind};
use crate::policy::{MaxRejects, OnBadRow, OnDuplicate};

/// The rules for a transaction: what is acceptable, and how long it may stall.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    pub on_bad_row: OnBadRow,
    pub on_duplicate: OnDuplicate,
    pub notes_as_bad: bool,
    pub show_bad_rows: usize,
    pub max_rejects: Option<MaxRejects>,
    /// True if only a duplicate key can make the target skip a row: it has no partitions and no
    /// foreign keys.
    pub skips_only_duplicates: bool,
    /// True if the target's engine can roll back a transaction.
    pub rolls_back: bool,
}

/// The kind of a row error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RowErrorKind {
    BadRow,
    Duplicate,
}

impl Policy {
    /// Returns true if row isolation starts with the first statement: the policy flags rows, or
    /// updates.
    pub(crate) fn isolates_rows(&self) -> bool {
        self.on_bad_row == OnBadRow::Reject
            || matches!(self.on_duplicate, OnDuplicate::Reject | OnDuplicate::Update)
    }

    /// Returns the kind of row error that the warning is, or `None` if the policy accepts it.
    pub(crate) fn row_error(&self, warning: &Diagnostic) -> Option<RowErrorKind> {
        // Under `update`, a duplicate error means that the update hit another row's key: the table
        // refuses the row, so it is a bad row.
        if warning.is_duplicate() && self.on_duplicate != OnDuplicate::Update {
            return (self.on_duplicate != OnDuplicate::Ignore).then_some(RowErrorKind::Duplicate);
        }
        let is_acceptable =
            self.on_bad_row == OnBadRow::Accept || warning.is_note() && !self.notes_as_bad;
        (!is_acceptable).then_some(RowErrorKind::BadRow)
    }

    /// Returns true if the policy rejects rows of this kind and writes them out. Otherwise such a
    /// row fails the object.
    pub(crate) fn rejects(&self, kind: RowErrorKind) -> bool {
        match kind {
            RowErrorKind::BadRow => self.on_bad_row == OnBadRow::Reject,
            RowErrorKind::Duplicate => self.on_duplicate == OnDuplicate::Reject,
        }
    }
}

/// The assessment of one statement's rows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Assessment<'w> {
    Clean,
    /// The server has more warnings than it shows, and their content matters.
    TruncatedWarnings,
    /// The row errors, in the server's order.
    RowErrors(Vec<(RowErrorKind, &'w Diagnostic)>),
    /// The number of skipped rows that no warning explains.
    UnexplainedSkips(u64),
    /// The server's row count does not match the rows that were sent.
    CountMismatch,
}

/// Assesses the answer to a statement that was sent `rows` rows.
pub(crate) fn assess<'w>(
    rows: u64,
    counts: ServerCounts,
    shown: &'w [Diagnostic],
    policy: &Policy,
) -> Assessment<'w> {
    let row_errors: Vec<_> = shown
        .iter()
        .filter_map(|warning| policy.row_error(warning).map(|kind| (kind, warning)))
        .collect();
    // The server counts warnings past max_error_count, but does not return them.
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
    let explained = shown.iter().filter(|warning| warning.is_skip()).count() as u64 + hidden;
    if policy.on_bad_row != OnBadRow::Accept && counts.skipped > explained {
        return Assessment::UnexplainedSkips(counts.skipped - explained);
    }
    // Some servers leave rows that a CHECK or a foreign key refused out of every count.
    let uncounted = shown.iter().filter(|warning| warning.is_uncounted_refusal()).count() as u64;
    if counts.records > rows || rows - counts.records > uncounted {
        return Assessment::CountMismatch;
    }
    Assessment::Clean
}

/// Returns true if every hidden warning must be about a duplicate that the policy ignores. A
/// skipped row makes at least one warning. If there are as many warnings as skipped rows, no
/// warning is about a value.
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

    /// Returns the assessment of ten rows in words.
    fn named(counts: ServerCounts, shown: &[Diagnostic], policy: Policy) -> &'static str {
        match assess(10, counts, shown, &policy) {
            Assessment::Clean => "clean",
            Assessment::TruncatedWarnings => "truncated warnings",
            Assessment::RowErrors(row_errors)
                if row_errors.iter().all(|(kind, _)| *kind == RowErrorKind::Duplicate) =>
            {
                "duplicates"
            }
            Assessment::RowErrors(_) => "bad rows",
            Assessment::UnexplainedSkips(_) => "unexplained skips",
            Assessment::CountMismatch => "count mismatch",
        }
    }

    #[test]
    fn equal_counts_without_a_warning_pass() {
        assert_eq!(named(counts(10, 0, 0), &[], STRICT), "clean");
    }

    #[test]
    fn a_row_more_or_less_than_counted_is_refused() {
        assert_eq!(named(counts(9, 0, 0), &[], STRICT), "count mismatch");
        assert_eq!(named(counts(11, 0, 0), &[], STRICT), "count mismatch");
        let accept = Policy { on_bad_row: OnBadRow::Accept, ..STRICT };
        assert_eq!(named(counts(9, 0, 1), &warnings(1265, 1), accept), "count mismatch");
    }

    #[test]
    fn any_warning_is_a_row_error_unless_it_is_accepted() {
        assert_eq!(named(counts(10, 0, 1), &warnings(1265, 1), STRICT), "bad rows");
        assert_eq!(
            named(
                counts(10, 0, 1),
                &warnings(1265, 1),
                Policy { on_bad_row: OnBadRow::Reject, ..STRICT }
            ),
            "bad rows"
        );
        let accept = Policy { on_bad_row: OnBadRow::Accept, ..STRICT };
        assert_eq!(named(counts(10, 0, 1), &warnings(1265, 1), accept), "clean");
    }

    #[test]
    fn a_note_is_a_row_error_only_where_that_is_asked_for() {
        let note = [Diagnostic::new("Note".into(), 1265, "m".into())];
        assert_eq!(named(counts(10, 0, 1), &note, STRICT), "clean");
        assert_eq!(
            named(counts(10, 0, 1), &note, Policy { notes_as_bad: true, ..STRICT }),
            "bad rows"
        );
        let accept = Policy { notes_as_bad: true, on_bad_row: OnBadRow::Accept, ..STRICT };
        assert_eq!(named(counts(10, 0, 1), &note, accept), "clean");
    }

    #[test]
    fn a_skipped_row_is_an_offence_unless_duplicates_are_ignored() {
        assert_eq!(named(counts(10, 2, 2), &warnings(1062, 2), STRICT), "duplicates");
        let ignore = Policy { on_duplicate: OnDuplicate::Ignore, ..STRICT };
        assert_eq!(named(counts(10, 2, 2), &warnings(1062, 2), ignore), "clean");
    }

    #[test]
    fn ignoring_duplicates_does_not_let_other_skips_through() {
        let ignore = Policy { on_duplicate: OnDuplicate::Ignore, ..STRICT };
        assert_eq!(named(counts(10, 1, 1), &warnings(1526, 1), ignore), "bad rows");
        assert_eq!(named(counts(10, 1, 0), &[], ignore), "unexplained skips");
    }

    #[test]
    fn duplicates_past_what_the_server_shows_pass_only_where_nothing_else_can_hide_there() {
        let ignore = Policy { on_duplicate: OnDuplicate::Ignore, ..STRICT };
        assert_eq!(named(counts(10, 8, 8), &warnings(1062, 2), ignore), "clean");
        assert_eq!(named(counts(10, 7, 8), &warnings(1062, 2), ignore), "truncated warnings");
        let partitioned = Policy { skips_only_duplicates: false, ..ignore };
        assert_eq!(named(counts(10, 8, 8), &warnings(1062, 2), partitioned), "truncated warnings");
    }

    #[test]
    fn what_is_accepted_is_still_to_be_counted_by_kind() {
        let accept = Policy { on_bad_row: OnBadRow::Accept, ..STRICT };
        assert_eq!(named(counts(10, 0, 8), &warnings(1265, 2), accept), "truncated warnings");
    }

    #[test]
    fn rows_that_a_check_refused_explain_a_smaller_count_when_they_are_accepted() {
        let accept = Policy { on_bad_row: OnBadRow::Accept, ..STRICT };
        assert_eq!(named(counts(8, 0, 2), &warnings(3819, 2), accept), "clean");
        assert_eq!(named(counts(7, 0, 2), &warnings(3819, 2), accept), "count mismatch");
    }
}
