//! The findings of a check: its totals, and their form in the report and the summary.

use std::fmt::Write as _;

use super::document::{
    CheckSummary, CheckTotals, CheckedFields, ErrorFields, SetNullFields, Would, whole,
};
use super::run_end::{Finding, Notes, RunEnd};
use crate::check::{Checked, Prediction, SetNull};
use crate::object::Object;
use crate::printable::printable;
use crate::staging::Integrity;

/// The data that the summary of a check is made from.
pub(super) struct CheckReport<'a> {
    pub(super) totals: &'a CheckTotals,
    /// The first objects that would be loaded with other values than they have.
    pub(super) notes: &'a Notes,
    /// The first objects in which something is wrong.
    pub(super) findings: &'a [Finding],
    /// Sentences about what a check cannot see for this table.
    pub(super) not_checked: &'a [String],
    /// The maximum number of rows checked in each object.
    pub(super) sample: Option<u64>,
    pub(super) end: RunEnd<'a>,
}

impl<'a> CheckReport<'a> {
    /// Returns the last line of the report.
    pub(super) fn summary(&self) -> CheckSummary<'a> {
        CheckSummary {
            totals: self.totals,
            listing_complete: self.end.is_listing_complete,
            sample: self.sample,
            seconds: self.end.elapsed.as_secs_f64(),
            skipped_keys: self.end.skipped_keys,
            not_seen: self.not_checked,
            error: self.end.errors.first().map(ErrorFields::new),
        }
    }
}

impl CheckTotals {
    /// Returns true if every listed object would load.
    #[must_use]
    pub fn would_everything_load(&self) -> bool {
        self.would_fail == 0 && self.objects_failed == 0 && self.objects_not_reached == 0
    }

    pub(super) fn add(&mut self, object: &Object, checked: &Checked) {
        self.objects_checked += 1;
        self.bytes = self.bytes.saturating_add(object.size_bytes);
        self.rows += checked.rows;
        self.bad_rows += checked.bad_rows;
        self.duplicates += checked.duplicates;
        self.note_rows += checked.note_rows;
        self.notes += checked.notes;
        for (code, count) in &checked.warnings_by_code {
            *self.warnings_by_code.entry(*code).or_default() += count;
        }
        match &checked.prediction {
            Prediction::Loads => self.would_load += 1,
            Prediction::Rejects(rows) => {
                self.would_load += 1;
                self.would_lose_rows += 1;
                self.rows_rejected += rows;
            }
            Prediction::Fails(_) => self.would_fail += 1,
        }
    }
}

/// Returns the fields that only checked objects have in their line.
pub(super) fn fields(checked: &Checked, verified: Integrity) -> CheckedFields<'_> {
    let (would, would_be_rejected) = match &checked.prediction {
        Prediction::Loads => (Would::Load, 0),
        Prediction::Rejects(rows) => (Would::Load, *rows),
        Prediction::Fails(_) => (Would::Fail, 0),
    };
    CheckedFields {
        would,
        bad_rows: checked.bad_rows,
        duplicates: checked.duplicates,
        would_be_rejected,
        note_rows: checked.note_rows,
        first_notes: checked.first_notes.shown.iter().map(Into::into).collect(),
        notes: checked.notes,
        set_nulls: checked.set_nulls.iter().map(set_null).collect(),
        warnings_by_code: &checked.warnings_by_code,
        verified: whole(verified),
        first_rows: checked.shown.iter().map(Into::into).collect(),
    }
}

fn set_null(null: &SetNull) -> SetNullFields<'_> {
    let example = String::from_utf8_lossy(&null.example).into_owned();
    SetNullFields { column: &null.column, rows: null.rows, example }
}

/// Returns the reason why the object would fail, without rows, which are in [`fields`].
pub(super) fn error(checked: &Checked) -> Option<ErrorFields<'_>> {
    let Prediction::Fails(error) = &checked.prediction else { return None };
    Some(ErrorFields { message: error.message().to_owned(), ..ErrorFields::new(error) })
}

/// Returns the text for the summary if the object has a problem.
pub(super) fn finding(object: &Object, checked: &Checked) -> Option<Finding> {
    let Checked { rows, bad_rows, duplicates, .. } = checked;
    let are_all_rows_good = bad_rows + duplicates == 0;
    let fails = matches!(checked.prediction, Prediction::Fails(_));
    if are_all_rows_good && !fails && checked.set_nulls.is_empty() {
        return None;
    }
    let headline = match &checked.prediction {
        Prediction::Fails(error) => format!("would fail: {}", error.message()),
        Prediction::Rejects(rejected) => {
            format!("would lose rows: {object}: {rejected} of {rows} rows would be rejected")
        }
        Prediction::Loads if are_all_rows_good => {
            format!("would load: {object}: {rows} rows, with NULL for fields that are not empty")
        }
        Prediction::Loads => {
            format!(
                "would load: {object}: {rows} rows, including {bad_rows} bad rows and \
                 {duplicates} duplicates"
            )
        }
    };
    let failure = match &checked.prediction {
        Prediction::Fails(error) => Some(error),
        Prediction::Loads | Prediction::Rejects(_) => None,
    };
    let mut text = checked.bad_rows().below(&headline);
    for null in &checked.set_nulls {
        let SetNullFields { column, rows, example } = set_null(null);
        let _ = write!(
            text,
            "\n  column {}: --set makes it NULL in {rows} rows whose fields are not empty, such \
             as '{}'",
            printable(column),
            printable(&example)
        );
    }
    Some(Finding {
        text,
        hint: failure.and_then(|error| error.hint()).map(str::to_owned),
        is_failure: failure.is_some(),
    })
}
