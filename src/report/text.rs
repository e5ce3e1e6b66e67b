//! Prints the summary as `key value` lines, for scripts.

use std::fmt::Write as _;

use super::causes::counted;
use super::checked::CheckReport;
use super::run_end::{CheckEnd, LoadReport};
use crate::ledger::JobTotals;
use crate::printable::printable;
use crate::source::SkippedKeys;

/// Returns the summary of a load. It omits lines that would say nothing.
pub(super) fn load(report: &LoadReport<'_>) -> String {
    let LoadReport { totals, end } = report;
    let seconds = end.elapsed.as_secs_f64();
    #[allow(clippy::cast_precision_loss, reason = "a rate for people needs only three digits")]
    let megabytes_per_second = totals.bytes_loaded as f64 / 1e6 / seconds.max(1e-9);
    let mut text = String::new();
    let mut line = |label: &str, value: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{label:<18} {}", printable(&value));
    };
    if let Some(table) = end.created_table {
        line("table created", counted(table.columns as u64, "column"));
    }
    line("objects loaded", totals.objects_loaded.to_string());
    if totals.objects_loaded_again > 0 {
        let value = format!("{} ({})", totals.objects_loaded_again, end.loaded_again_remark());
        line("loaded again", value);
    }
    if totals.objects_already_loaded > 0 {
        line("already loaded", totals.objects_already_loaded.to_string());
    }
    if totals.objects_skipped_changed > 0 {
        line("changed, skipped", totals.objects_skipped_changed.to_string());
    }
    if totals.objects_acknowledged > 0 {
        line("objects acknowledged", totals.objects_acknowledged.to_string());
    }
    let new = totals.objects_failed_new;
    let remark = if new < totals.objects_failed { format!(" ({new} new)") } else { String::new() };
    line("objects failed", format!("{}{remark}", totals.objects_failed));
    if let Some(value) = not_reached(totals.objects_not_reached, end.is_listing_complete) {
        line("objects not reached", value);
    }
    let SkippedKeys { folder_markers, hidden, filtered_out } = end.skipped_keys;
    if folder_markers + hidden + filtered_out > 0 {
        let value = format!(
            "{} ({folder_markers} folder markers, {hidden} hidden, {filtered_out} filtered out)",
            folder_markers + hidden + filtered_out
        );
        line("keys skipped", value);
    }
    if let Some(job) = end.job_end {
        let JobTotals { objects, rows } = job.totals;
        let (rows, objects) = (counted(rows, "row"), counted(objects, "object"));
        let resumed = if job.is_resumed { ", resumed" } else { "" };
        line("job", format!("{}: {rows} of {objects} in all{resumed}", job.word()));
    }
    line("rows", totals.rows.to_string());
    line("rows skipped", totals.rows_skipped.to_string());
    if totals.rows_deleted > 0 {
        line("rows replaced", totals.rows_deleted.to_string());
    }
    if totals.rows_updated + totals.rows_unchanged > 0 {
        line("rows updated", totals.rows_updated.to_string());
        line("rows unchanged", totals.rows_unchanged.to_string());
    }
    if totals.rows_rejected > 0 {
        line("rows rejected", totals.rows_rejected.to_string());
    }
    if totals.rejected_duplicates > 0 {
        line("duplicates among them", totals.rejected_duplicates.to_string());
    }
    if totals.note_rows > 0 {
        line("rows with notes", totals.note_rows.to_string());
    }
    if totals.changed_rows > 0 {
        line("rows changed", totals.changed_rows.to_string());
    }
    line("warnings", totals.warnings.to_string());
    if totals.notes > 0 {
        line("notes among them", totals.notes.to_string());
    }
    if !totals.warnings_by_code.is_empty() {
        let kinds = totals.warnings_by_code.iter().map(|(code, count)| format!("{count} x {code}"));
        line("warnings by code", kinds.collect::<Vec<_>>().join(", "));
    }
    line("bytes", totals.bytes_loaded.to_string());
    line("seconds", format!("{seconds:.2}"));
    line("MB/s", format!("{megabytes_per_second:.1}"));
    if end.ledger.is_none() {
        line(
            "ledger",
            "none (at least once): the same command loads the same objects again".to_owned(),
        );
    }
    if let Some(verified) = end.verified {
        line("verified", verified.to_string());
        for column in &verified.unverified {
            line("not verified", format!("{}: {}", column.column, column.reason));
        }
    }
    text
}

/// Returns the summary of a check. It omits lines that would say nothing.
pub(super) fn check(report: &CheckReport<'_>) -> String {
    let CheckReport { totals, end: CheckEnd { run: end, not_checked, sample }, .. } = report;
    let mut text = String::new();
    let mut line = |label: &str, value: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{label:<18} {}", printable(&value));
    };
    // An object that could not be checked would not load either, so it counts here.
    line("objects checked", (totals.objects_checked + totals.objects_failed).to_string());
    if let Some(rows) = *sample {
        line("of each", format!("the first {rows} rows"));
    }
    line("would load", totals.would_load.to_string());
    if totals.would_lose_rows > 0 {
        line(
            "not all of it",
            format!("{} ({} rows would be rejected)", totals.would_lose_rows, totals.rows_rejected),
        );
    }
    line("would fail", (totals.would_fail + totals.objects_failed).to_string());
    if let Some(value) = not_reached(totals.objects_not_reached, end.is_listing_complete) {
        line("objects not reached", value);
    }
    line("rows", totals.rows.to_string());
    line("bad rows", totals.bad_rows.to_string());
    line("duplicates", totals.duplicates.to_string());
    if totals.note_rows > 0 {
        line("rows with notes", totals.note_rows.to_string());
    }
    line("notes", totals.notes.to_string());
    if !totals.warnings_by_code.is_empty() {
        let kinds = totals.warnings_by_code.iter().map(|(code, count)| format!("{count} x {code}"));
        line("warnings by code", kinds.collect::<Vec<_>>().join(", "));
    }
    line("seconds", format!("{:.2}", end.elapsed.as_secs_f64()));
    if !not_checked.is_empty() {
        text.push_str("a check does not see:\n");
        for not_checked in *not_checked {
            let _ = writeln!(text, "  {}", printable(not_checked));
        }
    }
    text
}

/// Returns the number of objects that the run did not reach, unless it reached all of them.
fn not_reached(objects: u64, is_listing_complete: bool) -> Option<String> {
    if !is_listing_complete {
        return Some(format!("{objects} and what was not listed yet"));
    }
    (objects > 0).then(|| objects.to_string())
}
