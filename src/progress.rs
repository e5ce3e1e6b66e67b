//! The progress of a run: bars on a terminal, a log line every few seconds elsewhere.
//!
//! The run reports events to this module. Nothing here can slow it down or make it fail.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};

use crate::choices::ProgressMode;
use crate::report::Outcome;
use crate::terminal::{FOR_PEOPLE, FOR_PROGRAMS, Terminal};

/// The interval of log lines: short enough to show that a cron job is alive, long enough for its
/// mail.
const LOG_EVERY: Duration = Duration::from_secs(5);
/// The number of in-flight objects named above the bars. More do not fit into a line.
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
    /// The bytes among them that this run has loaded or checked.
    own_bytes: u64,
    /// The bytes of large objects that are on their way to the server.
    sent_bytes: Arc<AtomicU64>,
    /// The maximum number of bytes that the run reads in a second.
    max_rate: Option<u64>,
    rows: u64,
    /// The beginning of each line: the name of the job, if there are several.
    prefix: String,
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
            // A line that wraps would leave a stale one behind. So the last line is short, and the
            // others are cut to the width.
            Bars {
                in_flight: bar("{wide_msg}"),
                objects: bar("{bar:20} {human_pos}/{human_len} objects  {wide_msg}"),
                bytes: bar("{bar:20} {bytes}/{total_bytes}  {msg}"),
            }
        });
        Self {
            found,
            started: Instant::now(),
            in_flight: BTreeSet::new(),
            objects: 0,
            failed: 0,
            bytes: 0,
            own_bytes: 0,
            sent_bytes: Arc::default(),
            max_rate: None,
            rows: 0,
            prefix: String::new(),
            logs: bars.is_none() && mode != ProgressMode::Off,
            bars,
        }
    }

    /// Makes the progress of one job among several. The bars of all would not fit on a screen, so
    /// it is always told in lines.
    #[must_use]
    pub(crate) fn of_job(
        terminal: &Terminal,
        mode: ProgressMode,
        found: Arc<ListingProgress>,
        name: &str,
    ) -> Self {
        let mut without_bars = terminal.clone();
        without_bars.bars = None;
        let prefix = format!("{name}: ");
        Self { prefix, ..Self::new(&without_bars, mode, found) }
    }

    /// Sets the limit that the run keeps, for the estimate of the time left.
    #[must_use]
    pub fn with_max_rate(self, max_rate: Option<u64>) -> Self {
        Self { max_rate, ..self }
    }

    /// Returns the count of the bytes of large objects that are on their way to the server.
    pub(crate) fn sent_bytes(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.sent_bytes)
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
                self.own_bytes = self.own_bytes.saturating_add(object.size_bytes);
                self.rows += stats.loaded.rows;
            }
            Outcome::Checked { object, checked, .. } => {
                self.in_flight.remove(&object.to_string());
                self.objects += 1;
                self.bytes = self.bytes.saturating_add(object.size_bytes);
                self.own_bytes = self.own_bytes.saturating_add(object.size_bytes);
                self.rows += checked.rows;
            }
            Outcome::AlreadyLoaded { object }
            | Outcome::SkippedChanged { object }
            | Outcome::Acknowledged { object } => {
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
        let sent = self.sent_bytes.load(Ordering::Relaxed);
        let bytes = self.bytes.saturating_add(sent);
        let own_bytes = self.own_bytes.saturating_add(sent);
        let more = if self.found.complete.load(Ordering::Relaxed) { "" } else { "+" };
        let seconds = self.started.elapsed().as_secs_f64().max(1e-9);
        #[allow(clippy::cast_precision_loss, reason = "a rate for people")]
        let rows_per_second = self.rows as f64 / seconds;
        let left = if more.is_empty() {
            time_left(bytes_found.saturating_sub(bytes), own_bytes, seconds, self.max_rate)
        } else {
            None
        };
        let left = left.map(|left| format!("{} left", indicatif::HumanDuration(left)));
        if let Some(bars) = &self.bars {
            bars.objects.set_length(objects_found);
            bars.objects.set_position(self.objects + self.failed);
            let failed =
                if self.failed > 0 { format!("  {} failed", self.failed) } else { String::new() };
            let rows = HumanCount(self.rows);
            bars.objects.set_message(format!("{rows} rows  {rows_per_second:.0} rows/s{failed}"));
            bars.bytes.set_length(bytes_found);
            bars.bytes.set_position(bytes);
            #[allow(
                clippy::cast_precision_loss,
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a rate for people"
            )]
            let rate = HumanBytes((own_bytes as f64 / seconds) as u64);
            let left = left.as_deref().unwrap_or_default();
            bars.bytes.set_message(format!("{rate}/s  {left}").trim_end().to_owned());
            let named: Vec<&str> =
                self.in_flight.iter().take(IN_FLIGHT_NAMED).map(String::as_str).collect();
            bars.in_flight.set_message(match self.in_flight.len() {
                0 => String::new(),
                count => format!("{count} in flight: {}", named.join("  ")),
            });
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
                "{}{} of {objects_found}{more} objects, {} of {}{more}, {} rows, \
                 {rows_per_second:.0} rows/s, {} in flight, {} failed{}",
                self.prefix,
                self.objects,
                HumanBytes(bytes),
                HumanBytes(bytes_found),
                self.rows,
                self.in_flight.len(),
                self.failed,
                left.map(|left| format!(", {left}")).unwrap_or_default()
            );
        }
    }

    /// Removes the bars, so that the summary stands alone.
    pub fn finish(self) {
        if let Some(bars) = self.bars {
            for bar in [bars.in_flight, bars.objects, bars.bytes] {
                bar.finish_and_clear();
            }
        }
    }
}

/// Estimates the time that `left_bytes` take at the rate of the bytes that this run has moved
/// itself, and at most at `max_rate`. Returns `None` if there is nothing to estimate it from, or if
/// it is less than a second: then the end is what the estimate does not know.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an estimate for people"
)]
fn time_left(
    left_bytes: u64,
    own_bytes: u64,
    seconds: f64,
    max_rate: Option<u64>,
) -> Option<Duration> {
    let own_rate = (own_bytes > 0).then(|| own_bytes as f64 / seconds);
    let max_rate = max_rate.map(|rate| rate as f64);
    let rate = match (own_rate, max_rate) {
        (Some(own), Some(max)) => own.min(max),
        (Some(rate), None) | (None, Some(rate)) => rate,
        (None, None) => return None,
    };
    let seconds_left = (left_bytes as f64 / rate).min(1e9) as u64;
    (seconds_left > 0).then(|| Duration::from_secs(seconds_left))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_goes_by_what_the_run_itself_moves_and_by_its_limit() {
        let seconds =
            |left, own, max_rate| time_left(left, own, 10.0, max_rate).map(|left| left.as_secs());
        assert_eq!(seconds(300, 100, None), Some(30));
        // Most objects are loaded already, and the two that are left trickle in.
        assert_eq!(seconds(20_000, 0, Some(5)), Some(4000));
        assert_eq!(seconds(20_000, 1_000_000, Some(5)), Some(4000));
        assert_eq!(seconds(20_000, 0, None), None);
        // "0 seconds left" would stand there for as long as the commit takes.
        assert_eq!(seconds(3, 100, None), None);
        assert_eq!(seconds(0, 100, Some(5)), None);
    }
}
