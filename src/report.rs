//! What became of every object: the summary for people, JSON Lines for machines, and the keys to try again.
//!
//! Both files are opened before the run, so that a path that can't be written is a usage error and not a surprise at the
//! end, and written as objects finish, so that they are right up to the moment at which the process dies.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::config::{OutputConfig, key_line};
use crate::error::{Error, Kind, Result};
use crate::load::Loaded;
use crate::object::Object;
use crate::source::PassedOver;
use crate::staging::Verified;

/// How many failures the summary names; the report has them all.
const FAILURES_NAMED: usize = 10;

/// What became of one object.
#[derive(Debug)]
pub enum Outcome {
    Loaded {
        object: Object,
        loaded: Loaded,
        verified: Verified,
        attempts: u32,
        elapsed: Duration,
    },
    Failed {
        bucket: String,
        key: String,
        object: Option<Object>,
        error: Error,
        attempts: u32,
        elapsed: Duration,
    },
    /// Listed, but the run ended first.
    NotReached {
        object: Object,
    },
}

/// The sums over a run.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    pub objects_loaded: u64,
    pub objects_failed: u64,
    pub objects_not_reached: u64,
    pub bytes_loaded: u64,
    pub rows: u64,
    pub rows_skipped: u64,
    pub rows_deleted: u64,
    pub warnings: u64,
    pub passed_over: PassedOver,
    pub elapsed: Duration,
}

/// Collects outcomes, and writes them out.
#[derive(Debug)]
pub struct Report {
    lines: Option<BufWriter<File>>,
    failed_keys: Option<BufWriter<File>>,
    summary: Summary,
    /// The first few, for the summary.
    failures: Vec<String>,
}

impl Report {
    /// # Errors
    /// `Usage` for a file that can't be written.
    pub fn open(config: &OutputConfig) -> Result<Self> {
        let open =
            |flag: &str, path: &Option<std::path::PathBuf>| path.as_deref().map(|path| create(flag, path)).transpose();
        Ok(Self {
            lines: open("--report", &config.report)?,
            failed_keys: open("--failed-keys", &config.failed_keys)?,
            summary: Summary::default(),
            failures: Vec::new(),
        })
    }

    /// Takes in what became of one object.
    ///
    /// # Errors
    /// The file system's, for a file that can be written no longer.
    pub fn record(&mut self, outcome: &Outcome) -> io::Result<()> {
        let line = match outcome {
            Outcome::Loaded { object, loaded, verified, attempts, elapsed } => {
                self.summary.objects_loaded += 1;
                self.summary.bytes_loaded += object.size_bytes;
                self.summary.rows += loaded.rows;
                self.summary.rows_skipped += loaded.skipped;
                self.summary.rows_deleted += loaded.deleted;
                self.summary.warnings += loaded.warnings;
                json!({
                    "type": "object", "status": "loaded",
                    "bucket": object.bucket, "key": object.key, "etag": object.etag, "size_bytes": object.size_bytes,
                    "rows": loaded.rows, "skipped": loaded.skipped, "deleted": loaded.deleted, "warnings": loaded.warnings,
                    "verified": match verified { Verified::Checksum => "checksum", Verified::Length => "length" },
                    "attempts": attempts, "seconds": elapsed.as_secs_f64(),
                })
            }
            Outcome::Failed { bucket, key, object, error, attempts, elapsed } => {
                self.summary.objects_failed += 1;
                if self.failures.len() < FAILURES_NAMED {
                    self.failures.push(error.one_line());
                }
                if let Some(failed_keys) = &mut self.failed_keys {
                    writeln!(failed_keys, "{}", key_line(bucket, key))?;
                    failed_keys.flush()?;
                }
                json!({
                    "type": "object", "status": "failed",
                    "bucket": bucket, "key": key,
                    "etag": object.as_ref().map(|object| &object.etag),
                    "size_bytes": object.as_ref().map(|object| object.size_bytes),
                    "attempts": attempts, "seconds": elapsed.as_secs_f64(),
                    "error": { "code": error.kind.code(), "message": error.one_line(), "hint": error.hint() },
                })
            }
            Outcome::NotReached { object } => {
                self.summary.objects_not_reached += 1;
                json!({
                    "type": "object", "status": "not_reached",
                    "bucket": object.bucket, "key": object.key, "etag": object.etag, "size_bytes": object.size_bytes,
                })
            }
        };
        if let Some(lines) = &mut self.lines {
            writeln!(lines, "{line}")?;
            lines.flush()?;
        }
        Ok(())
    }

    /// Writes the last line of the report and gives the sums and the text for standard output.
    ///
    /// # Errors
    /// The file system's.
    pub fn finish(
        mut self,
        passed_over: PassedOver,
        elapsed: Duration,
        ended_by: Option<&Error>,
    ) -> io::Result<(Summary, String)> {
        self.summary.passed_over = passed_over;
        self.summary.elapsed = elapsed;
        let summary = &self.summary;
        if let Some(lines) = &mut self.lines {
            let line = json!({
                "type": "summary",
                "objects_loaded": summary.objects_loaded, "objects_failed": summary.objects_failed,
                "objects_not_reached": summary.objects_not_reached,
                "rows": summary.rows, "skipped": summary.rows_skipped, "deleted": summary.rows_deleted,
                "warnings": summary.warnings, "bytes": summary.bytes_loaded, "seconds": elapsed.as_secs_f64(),
                "passed_over": {
                    "folder_markers": passed_over.folder_markers, "hidden": passed_over.hidden,
                    "filtered_out": passed_over.filtered_out,
                },
                "error": ended_by.map(|error| json!({
                    "code": error.kind.code(), "message": error.one_line(), "hint": error.hint(),
                })),
            });
            writeln!(lines, "{line}")?;
            lines.flush()?;
        }
        let text = text(&self.summary, &self.failures);
        Ok((self.summary, text))
    }
}

fn create(flag: &str, path: &Path) -> Result<BufWriter<File>> {
    File::create(path).map(BufWriter::new).map_err(|error| {
        Error::new(Kind::Usage, format!("{flag} {} can't be written", path.display())).caused_by(error)
    })
}

/// The summary as people read it; lines that would say nothing are left out.
fn text(summary: &Summary, failures: &[String]) -> String {
    let seconds = summary.elapsed.as_secs_f64();
    #[allow(clippy::cast_precision_loss, reason = "a rate for people, three digits of it")]
    let megabytes_per_second = summary.bytes_loaded as f64 / 1e6 / seconds.max(1e-9);
    let mut text = String::new();
    let mut line = |label: &str, value: String| {
        // Writing to a String can't fail.
        let _ = writeln!(text, "{label:<18} {value}");
    };
    line("objects loaded", summary.objects_loaded.to_string());
    line("objects failed", summary.objects_failed.to_string());
    if summary.objects_not_reached > 0 {
        line("objects not reached", summary.objects_not_reached.to_string());
    }
    let PassedOver { folder_markers, hidden, filtered_out } = summary.passed_over;
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
    line("warnings", summary.warnings.to_string());
    line("bytes", summary.bytes_loaded.to_string());
    line("seconds", format!("{seconds:.2}"));
    line("MB/s", format!("{megabytes_per_second:.1}"));
    for failure in failures {
        let _ = writeln!(text, "failed: {}", failure.replace('\n', "\n  "));
    }
    let more = summary.objects_failed.saturating_sub(failures.len() as u64);
    if more > 0 {
        let _ = writeln!(text, "failed: and {more} more; --report FILE has them all");
    }
    text
}
