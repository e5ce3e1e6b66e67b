//! The progress of a run: bars on a terminal, a log line every few seconds elsewhere.
//!
//! The run reports events to this module. Nothing here can slow it down or make it fail.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};

use crate::choices::ProgressMode;
use crate::report::Outcome;
use crate::terminal::{FOR_PEOPLE, FOR_PROGRAMS, Terminal};

/// The interval of log lines: short enough to show that a cron job is alive, long enough for its
/// mail.
const LOG_EVERY: Duration = Duration::from_secs(5);
/// The number of in-flight objects named below the bars. More do not fit into a line.
const IN_FLIGHT_NAMED: usize = 3;

/// The totals that the listing has found so far, shared with the listing task.
#[derive(Debug, Default)]
pub struct ListingProgress {
    pub objects: AtomicU64,
    pub bytes: AtomicU64,
    pub complete: AtomicBool,
    /// The time of the last modification of the newest object, in seconds since 1970; 0 if none is
    /// known.
    pub newest_second: AtomicI64,
}

/// The progress of one run.
#[derive(Debug)]
pub struct Progress {
    found: Arc<ListingProgress>,
    started: Instant,
    in_flight: BTreeSet<String>,
    objects: u64,
    failed: u64,
    bytes: u64,
    rows: u64,
    logs: bool,
    bars: Option<Bars>,
}

#[derive(Debug)]
struct Bars {
    objects: ProgressBar,
    bytes: ProgressBar,
    in_flight: ProgressBar,
}

impl Progress {
    #[must_use]
    pub fn new(terminal: &Terminal, mode: ProgressMode, found: Arc<ListingProgress>) -> Self {
        let bars = terminal.bars.as_ref().map(|multi| {
            let bar = |template: &str| {
                let style = ProgressStyle::with_template(template)
                    .unwrap_or_else(|_| ProgressStyle::default_bar());
                multi.add(ProgressBar::new(0).with_style(style))
            };
            Bars {
                objects: bar("{bar:32} {pos}/{len} objects  {msg}"),
                bytes: bar("{bar:32} {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left"),
                in_flight: bar("{msg}"),
            }
        });
        Self {
            found,
            started: Instant::now(),
            in_flight: BTreeSet::new(),
            objects: 0,
            failed: 0,
            bytes: 0,
            rows: 0,
            logs: bars.is_none() && mode != ProgressMode::Off,
            bars,
        }
    }

    /// Returns the interval at which to call [`Progress::tick`].
    #[must_use]
    pub fn interval(&self) -> Duration {
        if self.bars.is_some() { Duration::from_millis(250) } else { LOG_EVERY }
    }

    pub fn began(&mut self, object: String) {
        self.in_flight.insert(object);
    }

    pub fn ended(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Loaded { object, stats, .. } => {
                self.in_flight.remove(&object.to_string());
                self.objects += 1;
                self.bytes = self.bytes.saturating_add(object.size_bytes);
                self.rows += stats.loaded.rows;
            }
            Outcome::Checked { object, checked, .. } => {
                self.in_flight.remove(&object.to_string());
                self.objects += 1;
                self.bytes = self.bytes.saturating_add(object.size_bytes);
                self.rows += checked.rows;
            }
            Outcome::AlreadyLoaded { object } | Outcome::SkippedChanged { object } => {
                self.in_flight.remove(&object.to_string());
                self.objects += 1;
                self.bytes = self.bytes.saturating_add(object.size_bytes);
            }
            Outcome::Failed { object, .. } => {
                self.failed += 1;
                if let Some(object) = object {
                    self.in_flight.remove(&object.to_string());
                    self.bytes = self.bytes.saturating_add(object.size_bytes);
                }
            }
            Outcome::NotReached { object } => {
                self.in_flight.remove(&object.to_string());
            }
        }
    }

    /// Shows the current progress.
    pub fn tick(&self) {
        let objects_found = self.found.objects.load(Ordering::Relaxed);
        let bytes_found = self.found.bytes.load(Ordering::Relaxed);
        let more = if self.found.complete.load(Ordering::Relaxed) { "" } else { "+" };
        let seconds = self.started.elapsed().as_secs_f64().max(1e-9);
        #[allow(clippy::cast_precision_loss, reason = "a rate for people")]
        let rows_per_second = self.rows as f64 / seconds;
        if let Some(bars) = &self.bars {
            bars.objects.set_length(objects_found);
            bars.objects.set_position(self.objects + self.failed);
            let failed =
                if self.failed > 0 { format!("  {} failed", self.failed) } else { String::new() };
            bars.objects
                .set_message(format!("{} rows  {rows_per_second:.0} rows/s{failed}", self.rows));
            bars.bytes.set_length(bytes_found);
            bars.bytes.set_position(self.bytes);
            let named: Vec<&str> =
                self.in_flight.iter().take(IN_FLIGHT_NAMED).map(String::as_str).collect();
            let others = self.in_flight.len().saturating_sub(IN_FLIGHT_NAMED);
            let others = if others > 0 { format!(" and {others} more") } else { String::new() };
            bars.in_flight.set_message(format!("{}{others}", named.join("  ")));
        }
        if self.logs {
            tracing::info!(
                target: FOR_PROGRAMS,
                objects = self.objects,
                objects_listed = objects_found,
                objects_failed = self.failed,
                objects_in_flight = self.in_flight.len(),
                bytes = self.bytes,
                bytes_listed = bytes_found,
                is_listing_complete = more.is_empty(),
                rows = self.rows,
                seconds,
                "progress"
            );
            tracing::info!(
                target: FOR_PEOPLE,
                "{} of {objects_found}{more} objects, {} of {}{more}, {} rows, \
                 {rows_per_second:.0} rows/s, {} in flight, {} failed{}",
                self.objects,
                HumanBytes(self.bytes),
                HumanBytes(bytes_found),
                self.rows,
                self.in_flight.len(),
                self.failed,
                self.time_left(bytes_found, seconds)
            );
        }
    }

    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an estimate for people"
    )]
    fn time_left(&self, bytes_found: u64, seconds: f64) -> String {
        let left = bytes_found.saturating_sub(self.bytes) as f64;
        if self.bytes == 0 || left == 0.0 || !self.found.complete.load(Ordering::Relaxed) {
            return String::new();
        }
        let seconds_left = (left * seconds / self.bytes as f64).min(1e9) as u64;
        format!(", {} left", indicatif::HumanDuration(Duration::from_secs(seconds_left)))
    }

    /// Removes the bars, so that the summary stands alone.
    pub fn finish(self) {
        if let Some(bars) = self.bars {
            for bar in [bars.objects, bars.bytes, bars.in_flight] {
                bar.finish_and_clear();
            }
        }
    }
}
