//! Prints the summary on a terminal: one sentence and a small table.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use indicatif::{HumanBytes, HumanCount};

use super::causes::counted;
use super::checked::CheckReport;
use super::run_end::{CheckEnd, LoadReport, RunEnd};
use crate::error::ErrorKind;
use crate::ledger::JobTotals;
use crate::printable::{printable, shortened};
use crate::source::SkippedKeys;
use crate::terminal::Paint;

/// The width of the narrowest terminal that a table must fit.
const WIDTH_CHARACTERS: usize = 80;

/// A table of three columns: a label, a figure and a remark.
#[derive(Default)]
pub(super) struct SummaryTable {
    rows: Vec<Row>,
}

struct Row {
    label: &'static str,
    figure: String,
    remark: String,
    is_bad: bool,
}

/// Returns the summary of a load.
pub(super) fn load(report: &LoadReport<'_>, paint: Paint) -> String {
    let mut text = format!("{}\n\n", paint.bold(&load_sentence(report)));
    load_counts(report).write(&mut text, paint);
    let unverified = report.end.verified.map_or(&[][..], |verified| &verified.unverified);
    for column in unverified {
        let line = format!("  not verified: {}: {}", column.column, column.reason);
        push(&mut text, format_args!("{}\n", printable(&line)));
    }
    text
}

/// Returns the table in the summary of a load.
pub(super) fn load_counts(report: &LoadReport<'_>) -> SummaryTable {
    let LoadReport { totals, end } = report;
    let mut table = SummaryTable::default();
    if let Some(created) = end.created_table {
        table.add("table created", "", counted(created.columns as u64, "column"));
    }
    table.count("objects loaded", totals.objects_loaded, "");
    table.count_any("loaded again", totals.objects_loaded_again, end.loaded_again_remark());
    table.count_any("already loaded", totals.objects_already_loaded, "");
    table.count_any("changed, skipped", totals.objects_skipped_changed, "");
    table.count_any("acknowledged", totals.objects_acknowledged, "skipped until they change");
    let is_new = totals.objects_failed_new == totals.objects_failed;
    let new = format!("{} new", HumanCount(totals.objects_failed_new));
    table.bad("objects failed", totals.objects_failed, if is_new { "" } else { &new });
    table.not_reached(totals.objects_not_reached, end);
    table.skipped_keys(end.skipped_keys);
    if let Some(job) = end.job_end {
        let JobTotals { objects, rows } = job.totals;
        let resumed = if job.is_resumed { ", resumed" } else { "" };
        let (rows, objects) = (counted(rows, "row"), counted(objects, "object"));
        table.add("job", job.word(), format!("{rows} of {objects} in all{resumed}"));
    }
    if totals.objects_loaded > 0 {
        table.count("rows loaded", totals.rows_loaded(), "");
    }
    table.count_any("rows skipped", totals.rows_skipped, "");
    table.count_any("rows replaced", totals.rows_deleted, "");
    if totals.rows_updated + totals.rows_unchanged > 0 {
        table.count("rows updated", totals.rows_updated, "");
        table.count("rows unchanged", totals.rows_unchanged, "");
    }
    let duplicates = match totals.rejected_duplicates {
        0 => String::new(),
        duplicates => format!("{} of them duplicates", HumanCount(duplicates)),
    };
    table.count_any("rows rejected", totals.rows_rejected, &duplicates);
    table.count_any("rows with notes", totals.note_rows, "loaded with a small loss");
    table.count_any("rows changed", totals.changed_rows, "accepted although they are bad");
    table.count_any("warnings", totals.warnings, &warnings(&totals.warnings_by_code));
    if totals.objects_loaded > 0 {
        table.size(totals.bytes_loaded);
    }
    table.time(end.elapsed);
    if totals.objects_loaded > 0 {
        table.rate(totals.bytes_loaded, totals.rows, end.elapsed);
    }
    if end.ledger.is_none() {
        table.add("ledger", "none", "the same command loads the same objects again");
    }
    if let Some(verified) = end.verified {
        let columns = verified.columns.len();
        let all = columns + verified.unverified.len();
        let each = if verified.are_rows_whole { "" } else { ", each by itself" };
        table.count("rows verified", verified.rows, &format!("{columns} of {all} columns{each}"));
    }
    table
}

/// Returns the summary of a check.
pub(super) fn check(report: &CheckReport<'_>, paint: Paint) -> String {
    let not_checked = report.end.not_checked;
    let mut text = format!("{}\n\n", paint.bold(&check_sentence(report)));
    check_counts(report).write(&mut text, paint);
    if !not_checked.is_empty() {
        text.push_str("\na check does not see:\n");
        for not_checked in not_checked {
            push(&mut text, format_args!("  {}\n", printable(not_checked)));
        }
    }
    text
}

/// Returns the table in the summary of a check.
pub(super) fn check_counts(report: &CheckReport<'_>) -> SummaryTable {
    let CheckReport { totals, end: CheckEnd { run: end, sample, .. }, .. } = report;
    let mut table = SummaryTable::default();
    let each = sample
        .map_or_else(String::new, |rows| format!("the first {} of each", counted(rows, "row")));
    // An object that could not be checked would not load either, so it counts here.
    table.count("objects checked", totals.objects_checked + totals.objects_failed, &each);
    table.count("would load", totals.would_load, "");
    let lost = format!("{} would be rejected", counted(totals.rows_rejected, "row"));
    table.count_any("not all of it", totals.would_lose_rows, &lost);
    table.bad("would fail", totals.would_fail + totals.objects_failed, "");
    table.not_reached(totals.objects_not_reached, end);
    table.skipped_keys(end.skipped_keys);
    table.count("rows", totals.rows, "");
    table.count_any("bad rows", totals.bad_rows, "");
    table.count_any("duplicates", totals.duplicates, "");
    table.count_any("rows with notes", totals.note_rows, "");
    table.count_any("notes", totals.notes, "");
    let warned: u64 = totals.warnings_by_code.values().sum();
    table.count_any("warnings", warned, &warnings(&totals.warnings_by_code));
    if sample.is_none() {
        table.size(totals.bytes);
    }
    table.time(end.elapsed);
    if sample.is_none() {
        table.rate(totals.bytes, totals.rows, end.elapsed);
    }
    table
}

pub(super) fn load_sentence(report: &LoadReport<'_>) -> String {
    let LoadReport { totals, end, .. } = report;
    let time = duration(end.elapsed);
    let loaded = counted(totals.objects_loaded, "object");
    let left_out = totals.objects_already_loaded
        + totals.objects_skipped_changed
        + totals.objects_acknowledged;
    if let Some(error) = end.errors.first() {
        let ended = if error.kind == ErrorKind::Interrupted { "was stopped" } else { "failed" };
        format!("The run {ended} after it loaded {loaded} in {time}.")
    } else if totals.objects_failed > 0 {
        format!("Loaded {loaded} in {time}, but {} failed.", HumanCount(totals.objects_failed))
    } else if totals.objects_loaded == 0 && left_out == 0 {
        "No object matched, and nothing was loaded.".to_owned()
    } else if totals.objects_loaded == 0 {
        "Nothing was left to load.".to_owned()
    } else if totals.rows_rejected > 0 {
        let rejected = counted(totals.rows_rejected, "row");
        format!("Loaded {loaded} in {time}, but rejected {rejected}.")
    } else {
        format!("Loaded {loaded} in {time}.")
    }
}

pub(super) fn check_sentence(report: &CheckReport<'_>) -> String {
    let CheckReport { totals, end: CheckEnd { run: end, .. }, .. } = report;
    let time = duration(end.elapsed);
    let checked = counted(totals.objects_checked + totals.objects_failed, "object");
    let failing = totals.would_fail + totals.objects_failed;
    if let Some(error) = end.errors.first() {
        let ended = if error.kind == ErrorKind::Interrupted { "was stopped" } else { "failed" };
        return format!("The check {ended} after {checked} in {time}.");
    }
    let found = if failing > 0 {
        format!("{} would fail", HumanCount(failing))
    } else if totals.rows_rejected > 0 {
        format!("{} would be rejected", counted(totals.rows_rejected, "row"))
    } else {
        "all would load".to_owned()
    };
    format!("Checked {checked} in {time}: {found}.")
}

impl SummaryTable {
    /// Returns the label, the figure and the remark of each row.
    pub(super) fn cells(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.rows.iter().map(|row| (row.label, row.figure.as_str(), row.remark.as_str()))
    }

    fn add(&mut self, label: &'static str, figure: impl Into<String>, remark: impl Into<String>) {
        let (figure, remark) = (figure.into(), remark.into());
        self.rows.push(Row { label, figure, remark, is_bad: false });
    }

    fn count(&mut self, label: &'static str, count: u64, remark: &str) {
        self.add(label, HumanCount(count).to_string(), remark);
    }

    /// Adds a count unless it is 0.
    fn count_any(&mut self, label: &'static str, count: u64, remark: &str) {
        if count > 0 {
            self.count(label, count, remark);
        }
    }

    fn bad(&mut self, label: &'static str, count: u64, remark: &str) {
        if count > 0 {
            let figure = HumanCount(count).to_string();
            self.rows.push(Row { label, figure, remark: remark.to_owned(), is_bad: true });
        }
    }

    fn not_reached(&mut self, count: u64, end: &RunEnd<'_>) {
        if end.is_listing_complete {
            self.count_any("not reached", count, "");
        } else {
            self.count("not reached", count, "and what was not listed yet");
        }
    }

    fn skipped_keys(&mut self, keys: SkippedKeys) {
        let SkippedKeys { folder_markers, hidden, filtered_out } = keys;
        let reasons: Vec<String> = [
            (folder_markers, if folder_markers == 1 { "folder marker" } else { "folder markers" }),
            (hidden, "hidden"),
            (filtered_out, "filtered out"),
        ]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, reason)| format!("{} {reason}", HumanCount(count)))
        .collect();
        self.count_any("keys skipped", folder_markers + hidden + filtered_out, &reasons.join(", "));
    }

    fn size(&mut self, bytes: u64) {
        self.add("size", HumanBytes(bytes).to_string(), "");
    }

    fn time(&mut self, elapsed: Duration) {
        self.add("time", duration(elapsed), "");
    }

    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate for people needs only three digits"
    )]
    fn rate(&mut self, bytes: u64, rows: u64, elapsed: Duration) {
        let each_second = |count: u64| (count as f64 / elapsed.as_secs_f64().max(1e-3)) as u64;
        let figure = format!("{}/s", HumanBytes(each_second(bytes)));
        self.add("rate", figure, format!("{} rows/s", HumanCount(each_second(rows))));
    }

    fn write(&self, text: &mut String, paint: Paint) {
        let width = |cell: fn(&Row) -> &str| {
            self.rows.iter().map(|row| cell(row).chars().count()).max().unwrap_or(0)
        };
        let (labels, figures) = (width(|row| row.label), width(|row| &row.figure));
        for Row { label, figure, remark, is_bad } in &self.rows {
            let line = format!("  {label:<labels$}  {figure:>figures$}  {remark}");
            let line = shortened(line.trim_end(), WIDTH_CHARACTERS);
            let line = if *is_bad { paint.red(&line) } else { line };
            push(text, format_args!("{line}\n"));
        }
    }
}

/// Returns the number of warnings for each error number, as a remark.
fn warnings(by_code: &BTreeMap<u16, u64>) -> String {
    let kinds = by_code.iter().map(|(code, count)| format!("{} x {code}", HumanCount(*count)));
    kinds.collect::<Vec<_>>().join(", ")
}

/// Returns `31.2 s`, `12 min 5 s` or `3 h 2 min`.
pub(super) fn duration(elapsed: Duration) -> String {
    let tenths = (elapsed.as_millis() + 50) / 100;
    if tenths < 600 {
        return format!("{}.{} s", tenths / 10, tenths % 10);
    }
    // Rounded, so that 59.96 s is 1 min 0 s.
    let whole = (elapsed.as_millis() + 500) / 1000;
    match whole {
        ..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole / 60 % 60),
    }
}

/// Appends to a text, which cannot fail.
fn push(text: &mut String, more: std::fmt::Arguments<'_>) {
    let _ = text.write_fmt(more);
}
