//! What became of every object: the summary for people, JSON Lines for machines, and the keys to
//! try again.
//!
//! Both files are opened before the run, so that a path that can't be written is a usage error and
//! not a surprise at the end, and written as objects finish, so that they are right up to the
//! moment at which the process dies.

mod checked;

pub use checked::CheckSummary;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::check::{Checked, Prediction};
use crate::config::{OutputConfig, key_line};
use crate::error::{BadRow, Error, ErrorKind, RawRow, Result};
use crate::ledger::{Job, RunId};
use crate::load_data::LoadStats;
use crate::object::Object;
use crate::source::SkippedKeys;
use crate::staging;
use crate::verify::TableVerification;
use checked::Telling;

/// How many failures the summary names; the report has them all.
const FAILURES_NAMED: usize = 10;

/// What became of one object.
#[derive(Debug)]
pub enum Outcome {
    Loaded {
        object: Object,
        stats: Box<LoadStats>,
        verified: staging::Integrity,
        /// The ledger said that it was loaded, and it was forced.
        again: bool,
        attempts: u32,
        elapsed: Duration,
    },
    /// By `check`, which loads nothing.
    Checked {
        object: Object,
        checked: Box<Checked>,
        verified: staging::Integrity,
        attempts: u32,
        elapsed: Duration,
    },
    /// By an earlier run, or by another one meanwhile.
    AlreadyLoaded { object: Object },
    /// Loaded with another content, which is to stay.
    SkippedChanged { object: Object },
    Failed {
        bucket: String,
        key: String,
        object: Option<Object>,
        error: Error,
        attempts: u32,
        elapsed: Duration,
    },
    /// Listed, but the run ended first.
    NotReached { object: Object },
}

/// The sums over a run.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    pub objects_loaded: u64,
    pub objects_loaded_again: u64,
    pub objects_already_loaded: u64,
    pub objects_skipped_changed: u64,
    pub objects_failed: u64,
    pub objects_not_reached: u64,
    pub bytes_loaded: u64,
    pub rows: u64,
    pub rows_skipped: u64,
    pub rows_deleted: u64,
    pub rows_updated: u64,
    pub rows_unchanged: u64,
    pub rows_rejected: u64,
    pub rejected_duplicates: u64,
    pub warnings: u64,
    pub notes: u64,
    pub warnings_by_code: BTreeMap<u16, u64>,
    pub skipped_keys: SkippedKeys,
    pub elapsed: Duration,
}

impl Summary {
    fn add(&mut self, stats: &LoadStats) {
        let loaded = &stats.loaded;
        self.rows += loaded.rows;
        self.rows_skipped += loaded.skipped;
        self.rows_deleted += loaded.deleted;
        self.rows_updated += stats.updated;
        self.rows_unchanged += stats.unchanged;
        self.rows_rejected += loaded.rejected;
        self.rejected_duplicates += stats.rejected_duplicates;
        self.warnings += loaded.warnings;
        self.notes += stats.notes;
        for (code, count) in &stats.warnings_by_code {
            *self.warnings_by_code.entry(*code).or_default() += count;
        }
    }

    /// Rows that are in the table now: all but those that were rejected or skipped.
    #[must_use]
    pub fn rows_loaded(&self) -> u64 {
        self.rows - self.rows_rejected - self.rows_skipped
    }

    /// Every object that was listed is in the table, or left out on purpose.
    #[must_use]
    pub fn is_everything_loaded(&self) -> bool {
        self.objects_failed == 0 && self.objects_not_reached == 0
    }
}

/// Collects outcomes, and writes them out.
#[derive(Debug)]
pub struct Report {
    lines: Sink,
    failed_keys: Sink,
    summary: Summary,
    checked: CheckSummary,
    /// The first few, for the summary.
    failures: Vec<String>,
}

/// What is left to say when all outcomes are in.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ending<'a> {
    pub skipped_keys: SkippedKeys,
    /// Every object has an outcome, not only those that were listed until the run was stopped.
    pub is_listing_complete: bool,
    pub elapsed: Duration,
    /// What kept the run from beginning, or ended it.
    pub error: Option<&'a Error>,
    /// The run and the job in the ledger, where there is one.
    pub ledger: Option<(&'a RunId, &'a Job)>,
    /// The run got as far as its objects.
    pub did_begin: bool,
    /// What was compared at the end of the job.
    pub verified: Option<&'a TableVerification>,
}

/// A file that lines are added to, each whole; none where it was not asked for, or can be written
/// no longer.
#[derive(Debug)]
struct Sink {
    /// The flag and the path, for messages.
    name: String,
    file: Option<File>,
}

impl Report {
    /// # Errors
    /// `Usage` for a file that can't be written, or that has another use: `--keys-from k
    /// --failed-keys k` would empty the list before it is read.
    pub fn open(config: &OutputConfig, keys_from: Option<&Path>) -> Result<Self> {
        let report = config.report.as_deref();
        Ok(Self {
            lines: Sink::create("--report", report, &[("--keys-from", keys_from)])?,
            failed_keys: Sink::create(
                "--failed-keys",
                config.failed_keys.as_deref(),
                &[("--keys-from", keys_from), ("--report", report)],
            )?,
            summary: Summary::default(),
            checked: CheckSummary::default(),
            failures: Vec::new(),
        })
    }

    /// Takes in what became of one object.
    ///
    /// # Errors
    /// `Usage` for a file that can be written no longer; once for each file, which is left alone
    /// from then on.
    pub fn record(&mut self, outcome: &Outcome) -> Result<()> {
        let mut kept = Ok(());
        let line = match outcome {
            Outcome::Loaded { object, stats, verified, again, attempts, elapsed } => {
                self.summary.objects_loaded += 1;
                self.summary.objects_loaded_again += u64::from(*again);
                self.summary.bytes_loaded += object.size_bytes;
                self.summary.add(stats);
                if self.lines.file.is_none() {
                    return Ok(());
                }
                let loaded = &stats.loaded;
                json!({
                    "type": "object", "status": "loaded",
                    "bucket": object.bucket, "key": object.key, "etag": object.etag, "size_bytes": object.size_bytes,
                    "loaded_again": again, "rows": loaded.rows, "loaded": stats.rows_loaded(),
                    "skipped": loaded.skipped, "deleted": loaded.deleted,
                    "updated": stats.updated, "unchanged": stats.unchanged,
                    "rejected": loaded.rejected, "rejected_duplicates": stats.rejected_duplicates,
                    "reject_file": stats.rejects.first().map(|(data, _)| data),
                    "reject_reasons": stats.rejects.first().map(|(_, sidecar)| sidecar),
                    "more_reject_files": stats.rejects.iter().skip(1).map(|(data, _)| data).collect::<Vec<_>>(),
                    "warnings": loaded.warnings, "notes": stats.notes, "warnings_by_code": stats.warnings_by_code,
                    "verified": verified_word(*verified),
                    "attempts": attempts, "seconds": elapsed.as_secs_f64(), "error": null,
                })
            }
            Outcome::Checked { object, checked, verified, attempts, elapsed } => {
                self.checked.add(object, checked);
                if let Some(finding) = checked::finding(object, checked)
                    && self.failures.len() < FAILURES_NAMED
                {
                    self.failures.push(finding);
                }
                if matches!(checked.prediction, Prediction::Fails(_)) {
                    kept = self.failed_keys.add(&key_line(&object.bucket, &object.key));
                }
                checked::line(object, checked, *verified, *attempts, *elapsed)
            }
            Outcome::Failed { bucket, key, object, error, attempts, elapsed } => {
                self.summary.objects_failed += 1;
                if self.failures.len() < FAILURES_NAMED {
                    self.failures.push(format!("failed: {}", error.one_line()));
                }
                kept = self.failed_keys.add(&key_line(bucket, key));
                json!({
                    "type": "object", "status": "failed",
                    "bucket": bucket, "key": key,
                    "etag": object.as_ref().map(|object| &object.etag),
                    "size_bytes": object.as_ref().map(|object| object.size_bytes),
                    "rows": null, "attempts": attempts, "seconds": elapsed.as_secs_f64(),
                    "error": {
                        "code": error.kind.code(), "message": error.one_line(), "hint": error.hint(),
                        "rows": error.bad_rows().iter().map(row).collect::<Vec<_>>(),
                    },
                })
            }
            Outcome::AlreadyLoaded { object } => {
                self.summary.objects_already_loaded += 1;
                untouched("already_loaded", object)
            }
            Outcome::SkippedChanged { object } => {
                self.summary.objects_skipped_changed += 1;
                untouched("skipped_changed", object)
            }
            Outcome::NotReached { object } => {
                self.summary.objects_not_reached += 1;
                untouched("not_reached", object)
            }
        };
        self.lines.add(&line.to_string()).and(kept)
    }

    /// The sums so far.
    #[must_use]
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Writes the last line of the report and gives the sums, the text for standard output, and the
    /// error where that line can't be written: what was loaded is told all the same.
    #[must_use]
    pub fn finish(mut self, ending: Ending<'_>) -> (Summary, String, Option<Error>) {
        let Ending {
            skipped_keys,
            is_listing_complete,
            elapsed,
            error,
            ledger,
            did_begin,
            verified: table,
        } = ending;
        self.summary.skipped_keys = skipped_keys;
        self.summary.elapsed = elapsed;
        let summary = &self.summary;
        let line = json!({
            "type": "summary",
            "run_id": ledger.map(|(run, _)| &run.id), "generation": ledger.map(|(_, job)| job.generation),
            "objects_loaded": summary.objects_loaded, "objects_loaded_again": summary.objects_loaded_again,
            "objects_already_loaded": summary.objects_already_loaded,
            "objects_skipped_changed": summary.objects_skipped_changed, "objects_failed": summary.objects_failed,
            "objects_not_reached": summary.objects_not_reached, "listing_complete": is_listing_complete,
            "rows": summary.rows, "loaded": summary.rows_loaded(), "skipped": summary.rows_skipped,
            "deleted": summary.rows_deleted, "updated": summary.rows_updated, "unchanged": summary.rows_unchanged,
            "rejected": summary.rows_rejected, "rejected_duplicates": summary.rejected_duplicates,
            "warnings": summary.warnings, "notes": summary.notes, "warnings_by_code": summary.warnings_by_code,
            "bytes": summary.bytes_loaded, "seconds": elapsed.as_secs_f64(),
            "passed_over": {
                "folder_markers": skipped_keys.folder_markers, "hidden": skipped_keys.hidden,
                "filtered_out": skipped_keys.filtered_out,
            },
            "verified_rows": table.map(|table| table.rows), "verified_columns": table.map(|table| &table.columns),
            "verified_as": table.map(|table| if table.are_rows_whole { "rows" } else { "columns" }),
            "unverified_columns": table.map(|table| table.unverified.iter().map(|column| json!({
                "column": column.column, "reason": column.reason,
            })).collect::<Vec<_>>()),
            "error": error.map(|error| json!({
                "code": error.kind.code(), "message": error.one_line(), "hint": error.hint(),
            })),
        });
        let unwritten = self.lines.add(&line.to_string()).err();
        let has_no_ledger = did_begin && ledger.is_none();
        let text = text(&self.summary, &self.failures, is_listing_complete, has_no_ledger, table);
        (self.summary, text, unwritten)
    }
}

impl Report {
    /// As [`Self::finish`], of a check.
    #[must_use]
    pub fn finish_check(
        mut self,
        ending: Ending<'_>,
        not_checked: &[String],
        sample: Option<u64>,
    ) -> (CheckSummary, String, Option<Error>) {
        let Ending { skipped_keys, is_listing_complete, elapsed, error, .. } = ending;
        let findings = &self.failures;
        let telling =
            Telling { findings, not_checked, sample, skipped_keys, is_listing_complete, elapsed };
        self.checked.objects_failed = self.summary.objects_failed;
        self.checked.objects_not_reached = self.summary.objects_not_reached;
        let mut line = self.checked.line(&telling);
        line["error"] = json!(error.map(|error| json!({
            "code": error.kind.code(), "message": error.one_line(), "hint": error.hint(),
        })));
        let unwritten = self.lines.add(&line.to_string()).err();
        let text = self.checked.text(&telling);
        (self.checked, text, unwritten)
    }
}

fn verified_word(verified: staging::Integrity) -> Option<&'static str> {
    match verified {
        staging::Integrity::Checksum => Some("checksum"),
        staging::Integrity::Length => Some("length"),
        staging::Integrity::Part => None,
    }
}

/// What is said of a row. What is not known is null; nothing in it is guessed.
fn row(bad: &BadRow) -> serde_json::Value {
    json!({
        "line": bad.line, "row": bad.row, "column": bad.column, "code": bad.code, "reason": bad.reason,
        "raw": bad.raw.as_ref().map(RawRow::text), "raw_is_cut": bad.raw.as_ref().map(|raw| raw.is_cut),
    })
}

/// The line of an object with which nothing was done.
fn untouched(status: &str, object: &Object) -> serde_json::Value {
    json!({
        "type": "object", "status": status,
        "bucket": object.bucket, "key": object.key, "etag": object.etag, "size_bytes": object.size_bytes,
        "rows": null, "attempts": 0, "seconds": null, "error": null,
    })
}

impl Sink {
    fn create(
        flag: &str,
        path: Option<&Path>,
        other_uses: &[(&str, Option<&Path>)],
    ) -> Result<Self> {
        let Some(path) = path else { return Ok(Self { name: String::new(), file: None }) };
        let name = format!("{flag} {}", path.display());
        for (other_flag, other_path) in other_uses {
            if other_path.is_some_and(|other_path| is_same_file(path, other_path)) {
                let message =
                    format!("{name} is the file of {other_flag} too, and would overwrite it");
                return Err(
                    Error::new(ErrorKind::Usage, message).with_hint("give each its own file")
                );
            }
        }
        let file = File::create(path).map_err(|error| {
            Error::new(ErrorKind::Usage, format!("{name} can't be written")).caused_by(error)
        })?;
        Ok(Self { name, file: Some(file) })
    }

    /// In one write, so that a line is there as a whole or not at all.
    fn add(&mut self, line: &str) -> Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        file.write_all(format!("{line}\n").as_bytes()).map_err(|error| {
            // More after half a line would make both unreadable.
            self.file = None;
            Error::new(ErrorKind::Usage, format!("{} can't be written", self.name))
                .with_hint("what was loaded stays in the table; the summary counts it")
                .caused_by(error)
        })
    }
}

fn is_same_file(left: &Path, right: &Path) -> bool {
    match (left.metadata(), right.metadata()) {
        (Ok(left), Ok(right)) => {
            left.is_file() && (left.dev(), left.ino()) == (right.dev(), right.ino())
        }
        _ => false,
    }
}

/// The summary as people read it; lines that would say nothing are left out.
fn text(
    summary: &Summary,
    failures: &[String],
    is_listing_complete: bool,
    has_no_ledger: bool,
    verified: Option<&TableVerification>,
) -> String {
    let seconds = summary.elapsed.as_secs_f64();
    #[allow(clippy::cast_precision_loss, reason = "a rate for people, three digits of it")]
    let megabytes_per_second = summary.bytes_loaded as f64 / 1e6 / seconds.max(1e-9);
    let mut text = String::new();
    let mut line = |label: &str, value: String| {
        // Writing to a String can't fail.
        let _ = writeln!(text, "{label:<18} {value}");
    };
    line("objects loaded", summary.objects_loaded.to_string());
    if summary.objects_loaded_again > 0 {
        let value =
            format!("{} (their rows were in the table already)", summary.objects_loaded_again);
        line("loaded again", value);
    }
    if summary.objects_already_loaded > 0 {
        line("already loaded", summary.objects_already_loaded.to_string());
    }
    if summary.objects_skipped_changed > 0 {
        line("changed, skipped", summary.objects_skipped_changed.to_string());
    }
    line("objects failed", summary.objects_failed.to_string());
    if !is_listing_complete {
        line(
            "objects not reached",
            format!("{} and what was not listed yet", summary.objects_not_reached),
        );
    } else if summary.objects_not_reached > 0 {
        line("objects not reached", summary.objects_not_reached.to_string());
    }
    let SkippedKeys { folder_markers, hidden, filtered_out } = summary.skipped_keys;
    if folder_markers + hidden + filtered_out > 0 {
        let value = format!(
            "{} ({folder_markers} folder markers, {hidden} hidden, {filtered_out} filtered out)",
            folder_markers + hidden + filtered_out
        );
        line("keys passed over", value);
    }
    line("rows", summary.rows.to_string());
    line("rows skipped", summary.rows_skipped.to_string());
    if summary.rows_deleted > 0 {
        line("rows replaced", summary.rows_deleted.to_string());
    }
    if summary.rows_updated + summary.rows_unchanged > 0 {
        line("rows updated", summary.rows_updated.to_string());
        line("rows unchanged", summary.rows_unchanged.to_string());
    }
    if summary.rows_rejected > 0 {
        line("rows rejected", summary.rows_rejected.to_string());
    }
    if summary.rejected_duplicates > 0 {
        line("duplicates among them", summary.rejected_duplicates.to_string());
    }
    line("warnings", summary.warnings.to_string());
    if summary.notes > 0 {
        line("notes among them", summary.notes.to_string());
    }
    if !summary.warnings_by_code.is_empty() {
        let kinds =
            summary.warnings_by_code.iter().map(|(code, count)| format!("{count} x {code}"));
        line("warnings by code", kinds.collect::<Vec<_>>().join(", "));
    }
    line("bytes", summary.bytes_loaded.to_string());
    line("seconds", format!("{seconds:.2}"));
    line("MB/s", format!("{megabytes_per_second:.1}"));
    if has_no_ledger {
        line(
            "ledger",
            "none: at least once; the same command again loads the same objects again".to_owned(),
        );
    }
    if let Some(verified) = verified {
        line("verified", verified.to_string());
        for column in &verified.unverified {
            line("not verified", format!("{}: {}", column.column, column.reason));
        }
    }
    for failure in failures {
        let _ = writeln!(text, "{}", failure.replace('\n', "\n  "));
    }
    let more = summary.objects_failed.saturating_sub(failures.len() as u64);
    if more > 0 {
        let _ = writeln!(text, "failed: and {more} more; --report FILE has them all");
    }
    text
}
