//! What a check found: a line per object for machines, and the summary for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use super::{FAILURES_NAMED, row, verified_word};
use crate::check::{Checked, Prediction};
use crate::object::Object;
use crate::source::SkippedKeys;
use crate::staging::Integrity;

/// The sums over a check.
#[derive(Clone, Debug, Default)]
pub struct CheckSummary {
    pub objects_checked: u64,
    /// Of the objects that were checked.
    pub would_load: u64,
    pub would_fail: u64,
    /// Of those that would load, those that would not load with all of their rows.
    pub would_lose_rows: u64,
    /// Objects that could not be checked, and can't be loaded either.
    pub objects_failed: u64,
    pub objects_not_reached: u64,
    pub rows: u64,
    pub bad_rows: u64,
    pub duplicates: u64,
    /// Of the objects that would load.
    pub rows_rejected: u64,
    pub notes: u64,
    pub warnings_by_code: BTreeMap<u16, u64>,
    /// Of the objects as they are listed.
    pub bytes: u64,
}

/// What the summary has beside the sums.
pub(super) struct Telling<'a> {
    /// The first objects in which something is wrong.
    pub(super) findings: &'a [String],
    pub(super) not_checked: &'a [String],
    pub(super) sample: Option<u64>,
    pub(super) skipped_keys: SkippedKeys,
    pub(super) is_listing_complete: bool,
    pub(super) elapsed: Duration,
}

impl CheckSummary {
    #[must_use]
    pub fn would_everything_load(&self) -> bool {
        self.would_fail == 0 && self.objects_failed == 0 && self.objects_not_reached == 0
    }

    pub(super) fn add(&mut self, object: &Object, checked: &Checked) {
        self.objects_checked += 1;
        self.bytes += object.size_bytes;
        self.rows += checked.rows;
        self.bad_rows += checked.bad_rows;
        self.duplicates += checked.duplicates;
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

    /// The last line of the report.
    pub(super) fn line(&self, telling: &Telling<'_>) -> Value {
        let skipped_keys = telling.skipped_keys;
        json!({
            "type": "summary", "objects_checked": self.objects_checked, "would_load": self.would_load,
            "would_fail": self.would_fail, "would_lose_rows": self.would_lose_rows,
            "objects_failed": self.objects_failed, "objects_not_reached": self.objects_not_reached,
            "listing_complete": telling.is_listing_complete, "sample": telling.sample,
            "rows": self.rows, "bad_rows": self.bad_rows, "duplicates": self.duplicates,
            "would_be_rejected": self.rows_rejected, "notes": self.notes, "warnings_by_code": self.warnings_by_code,
            "bytes": self.bytes, "seconds": telling.elapsed.as_secs_f64(),
            "passed_over": {
                "folder_markers": skipped_keys.folder_markers, "hidden": skipped_keys.hidden,
                "filtered_out": skipped_keys.filtered_out,
            },
            "not_seen": telling.not_checked,
        })
    }

    /// The summary as people read it.
    pub(super) fn text(&self, telling: &Telling<'_>) -> String {
        let mut text = String::new();
        let mut line = |label: &str, value: String| {
            // Writing to a String can't fail.
            let _ = writeln!(text, "{label:<18} {value}");
        };
        line("objects checked", self.objects_checked.to_string());
        if let Some(rows) = telling.sample {
            line("of each", format!("the first {rows} rows"));
        }
        line("would load", self.would_load.to_string());
        if self.would_lose_rows > 0 {
            line(
                "not all of it",
                format!("{} ({} rows would be rejected)", self.would_lose_rows, self.rows_rejected),
            );
        }
        line("would fail", (self.would_fail + self.objects_failed).to_string());
        if !telling.is_listing_complete {
            line(
                "objects not reached",
                format!("{} and what was not listed yet", self.objects_not_reached),
            );
        } else if self.objects_not_reached > 0 {
            line("objects not reached", self.objects_not_reached.to_string());
        }
        line("rows", self.rows.to_string());
        line("bad rows", self.bad_rows.to_string());
        line("duplicates", self.duplicates.to_string());
        line("notes", self.notes.to_string());
        if !self.warnings_by_code.is_empty() {
            let kinds =
                self.warnings_by_code.iter().map(|(code, count)| format!("{count} x {code}"));
            line("warnings by code", kinds.collect::<Vec<_>>().join(", "));
        }
        line("seconds", format!("{:.2}", telling.elapsed.as_secs_f64()));
        for finding in telling.findings {
            let _ = writeln!(text, "{}", finding.replace('\n', "\n  "));
        }
        if telling.findings.len() == FAILURES_NAMED {
            text.push_str("there may be more; --report FILE has all objects\n");
        }
        if !telling.not_checked.is_empty() {
            text.push_str("a check does not see:\n");
            for not_checked in telling.not_checked {
                let _ = writeln!(text, "  {not_checked}");
            }
        }
        text
    }
}

/// An object's line of the report.
pub(super) fn line(
    object: &Object,
    checked: &Checked,
    verified: Integrity,
    attempts: u32,
    elapsed: Duration,
) -> Value {
    let (would, rejected, error) = match &checked.prediction {
        Prediction::Loads => ("load", 0, None),
        Prediction::Rejects(rows) => ("load", *rows, None),
        Prediction::Fails(error) => ("fail", 0, Some(error)),
    };
    json!({
        "type": "object", "status": "checked", "would": would,
        "bucket": object.bucket, "key": object.key, "etag": object.etag, "size_bytes": object.size_bytes,
        "rows": checked.rows, "bad_rows": checked.bad_rows, "duplicates": checked.duplicates,
        "would_be_rejected": rejected, "notes": checked.notes, "warnings_by_code": checked.warnings_by_code,
        "verified": verified_word(verified), "attempts": attempts, "seconds": elapsed.as_secs_f64(),
        "first_rows": checked.shown.iter().map(row).collect::<Vec<_>>(),
        "error": error.map(|error| json!({
            "code": error.kind.code(), "message": error.message(), "hint": error.hint(),
        })),
    })
}

/// What the summary says of an object in which something is wrong.
pub(super) fn finding(object: &Object, checked: &Checked) -> Option<String> {
    let Checked { rows, bad_rows, duplicates, .. } = checked;
    if bad_rows + duplicates == 0 && !matches!(checked.prediction, Prediction::Fails(_)) {
        return None;
    }
    let headline = match &checked.prediction {
        Prediction::Fails(error) => format!("would fail: {}", error.message()),
        Prediction::Rejects(rejected) => {
            format!("would lose rows: {object}: {rejected} of {rows} rows would be rejected")
        }
        Prediction::Loads => {
            format!(
                "would load: {object}: {rows} rows, of them {bad_rows} bad rows and {duplicates} duplicates"
            )
        }
    };
    Some(checked.bad_rows().below(&headline))
}
