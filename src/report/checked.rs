//! The findings of a check: its totals, and their form in the report and the summary.

use super::causes::{Finding, Verdict};
use super::document::{
    CheckSummary, CheckTotals, CheckedFields, ErrorFields, SetNullFields, Would, whole,
};
use super::run_end::CheckEnd;
use super::run_facts::RunFacts;
use crate::check::{Checked, Prediction, SetNull};
use crate::object::Object;
use crate::staging::Integrity;

/// The data that the summary of a check is made from.
pub(super) struct CheckReport<'a> {
    pub(super) run: &'a RunFacts,
    pub(super) totals: &'a CheckTotals,
    pub(super) end: CheckEnd<'a>,
}

impl<'a> CheckReport<'a> {
    /// Returns the last line of the report.
    pub(super) fn summary(&self) -> CheckSummary<'a> {
        CheckSummary {
            run: self.run.fields(&self.end.run),
            totals: self.totals,
            listing_complete: self.end.run.is_listing_complete,
            sample: self.end.sample,
            seconds: self.end.run.elapsed.as_secs_f64(),
            skipped_keys: self.end.run.skipped_keys,
            not_seen: self.end.not_checked,
            error: self.end.run.errors.first().map(ErrorFields::new),
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

/// Returns what is wrong with the object, if anything is.
pub(super) fn finding(object: &Object, checked: &Checked) -> Option<Finding> {
    let Checked { rows, bad_rows, duplicates, .. } = checked;
    let are_all_rows_good = bad_rows + duplicates == 0;
    let object = object.to_string();
    let (verdict, message, hint) = match &checked.prediction {
        Prediction::Fails(error) => {
            (Verdict::WouldFail, error.line_without(&object), error.hint().map(str::to_owned))
        }
        Prediction::Rejects(rejected) => {
            let message = format!("{rejected} of {rows} rows would be rejected");
            (Verdict::WouldLoseRows, message, None)
        }
        Prediction::Loads if are_all_rows_good && checked.set_nulls.is_empty() => return None,
        Prediction::Loads if are_all_rows_good => {
            let message = format!("{rows} rows, with NULL for fields that are not empty");
            (Verdict::WouldLoad, message, None)
        }
        Prediction::Loads => {
            let message =
                format!("{rows} rows, including {bad_rows} bad rows and {duplicates} duplicates");
            (Verdict::WouldLoad, message, None)
        }
    };
    let details = checked.set_nulls.iter().map(|null| {
        let SetNullFields { column, rows, example } = set_null(null);
        format!(
            "column {column}: --set makes it NULL in {rows} rows whose fields are not empty, such \
             as '{example}'"
        )
    });
    let details = details.collect();
    Some(Finding { verdict, object, message, rows: checked.bad_rows(), details, hint })
}
