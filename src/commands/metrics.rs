//! Writes and pushes the metrics of a load.
//!
//! Metrics are for whoever watches many runs. What goes wrong with them is a warning, and never
//! changes the exit code.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use strum::IntoEnumIterator as _;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::exit_code;
use crate::ledger::Ledger;
use crate::metrics::{self, EndMetrics, Label, ObjectCounts, RunMetrics};
use crate::progress::ListingProgress;
use crate::report::LoadTotals;
use crate::shutdown::Shutdown;
use crate::small_file;
use crate::throttle::{PauseLog, PauseReason, Pauses};

/// The time that the ledger gets to say when a run last ended well.
const LEDGER_LIMIT: Duration = Duration::from_secs(5);

/// The time between two writings of the file while the run goes on. Prometheus usually looks at it
/// as often.
const REWRITE_INTERVAL: Duration = Duration::from_secs(15);

/// A run that has ended, or one up to now, as far as its metrics go.
#[derive(Clone, Debug)]
pub(super) struct EndedRun {
    pub(super) started_at: Timestamp,
    pub(super) elapsed: Duration,
    pub(super) exit_code: u8,
    pub(super) totals: LoadTotals,
    pub(super) objects_listed: u64,
    pub(super) is_listing_complete: bool,
    pub(super) newest_object: Option<Timestamp>,
    pub(super) pauses: Pauses,
}

impl EndedRun {
    /// Returns a run that ended before it listed anything.
    pub(super) fn before_it_began(started_at: Timestamp, exit_code: u8) -> Self {
        Self {
            started_at,
            elapsed: Timestamp::now().duration_since(started_at).unsigned_abs(),
            exit_code,
            totals: LoadTotals::default(),
            objects_listed: 0,
            is_listing_complete: false,
            newest_object: None,
            pauses: Pauses::default(),
        }
    }

    fn end_seconds(&self) -> f64 {
        self.started_at.as_duration().as_secs_f64() + self.elapsed.as_secs_f64()
    }

    /// Returns true if every object is in the table.
    fn is_success(&self) -> bool {
        [exit_code::ALL_LOADED, exit_code::ROWS_REJECTED].contains(&self.exit_code)
            && self.totals.objects_failed == 0
    }
}

/// Returns the last modification of the newest object that was listed.
pub(super) fn newest_object(listed: &ListingProgress) -> Option<Timestamp> {
    let second = listed.newest_second.load(Ordering::Relaxed);
    (second > 0).then(|| Timestamp::from_second(second).ok()).flatten()
}

/// Writes and pushes the metrics, if the run has a target and somebody wants them. Takes some
/// fifteen seconds at most, and less if the run is abandoned.
pub(super) async fn publish(
    config: &Config,
    ended: &EndedRun,
    ledger: Option<&Ledger>,
    shutdown: Option<&Shutdown>,
) {
    if !config.metrics.is_wanted() {
        return;
    }
    let publishing = publish_now(config, ended, ledger);
    match shutdown {
        Some(shutdown) => {
            // A run that is abandoned has no metrics, as one that is killed.
            let _ = shutdown.abandoning.run_until_cancelled(publishing).await;
        }
        None => publishing.await,
    }
}

async fn publish_now(config: &Config, ended: &EndedRun, ledger: Option<&Ledger>) {
    let Some(target) = target(config) else {
        tracing::debug!("no metrics: no database is named");
        return;
    };
    let last_success_seconds = last_success(config, &target, ended, ledger).await;
    let run = RunMetrics {
        ended: EndMetrics {
            last_success_seconds,
            end_seconds: Some(ended.end_seconds()),
            exit_code: Some(ended.exit_code),
        },
        ..run_metrics(target.clone(), ended)
    };
    let labels = &config.metrics.labels;
    let Ok(text) = run.text(labels) else { return };
    if let Some(path) = &config.metrics.file
        && let Err(error) = small_file::replace(path, &text)
    {
        tracing::warn!("--metrics-file {} cannot be written: {error}", path.display());
    }
    if let Some(to) = &config.metrics.push {
        // What the gateway knows of the last success is better than nothing.
        let keeps_others = last_success_seconds.is_none();
        if let Err(error) = metrics::push(to, &target, labels, keeps_others, text).await {
            tracing::warn!("{}", error.one_line());
        }
    }
}

/// Returns the table as `database.table`, if the database is known.
fn target(config: &Config) -> Option<String> {
    let mut table = config.target.table.clone();
    table.database = table.database.or_else(|| config.target.database.clone());
    table.database.is_some().then(|| table.plain())
}

/// Returns the metrics of a run, without those of its end.
fn run_metrics(target: String, run: &EndedRun) -> RunMetrics {
    let totals = &run.totals;
    let paused_seconds = PauseReason::iter().map(|reason| {
        let time = run.pauses.sums.get(&reason).copied().unwrap_or_default();
        (reason.into(), time.as_secs_f64())
    });
    RunMetrics {
        target,
        started_at: run.started_at,
        elapsed: run.elapsed,
        is_running: false,
        ended: EndMetrics::default(),
        objects_listed: run.objects_listed,
        objects: ObjectCounts {
            loaded: totals.objects_loaded,
            already_loaded: totals.objects_already_loaded,
            skipped_changed: totals.objects_skipped_changed,
            acknowledged: totals.objects_acknowledged,
            failed: totals.objects_failed,
            failed_new: totals.objects_failed_new,
            not_reached: totals.objects_not_reached,
        },
        rows_loaded: totals.rows_loaded(),
        rows_rejected: totals.rows_rejected,
        rows_skipped: totals.rows_skipped,
        rows_deleted: totals.rows_deleted,
        bytes: totals.bytes_loaded,
        is_listing_complete: run.is_listing_complete,
        newest_object: run.newest_object,
        paused_seconds: paused_seconds.collect(),
    }
}

/// Returns the end of the last run that ended well: this one, or the last one in the ledger, or the
/// one that the file knows.
async fn last_success(
    config: &Config,
    target: &str,
    ended: &EndedRun,
    ledger: Option<&Ledger>,
) -> Option<f64> {
    if ended.is_success() {
        return Some(ended.end_seconds());
    }
    if let Some(ledger) = ledger
        && let Some(known) = last_success_in(ledger).await
    {
        return known;
    }
    earlier_end(config.metrics.file.as_ref()?, target).last_success_seconds
}

/// Returns what the ledger knows of the last success, if it answers.
async fn last_success_in(ledger: &Ledger) -> Option<Option<f64>> {
    match tokio::time::timeout(LEDGER_LIMIT, ledger.last_success()).await {
        Ok(Ok(known)) => return Some(known),
        Ok(Err(error)) => tracing::debug!("the last success: {}", error.one_line()),
        Err(_) => tracing::debug!("the ledger does not say when a run last ended well"),
    }
    None
}

/// Returns what the file tells about the run before.
fn earlier_end(file: &Path, target: &str) -> EndMetrics {
    let text = small_file::read_text(file).unwrap_or_default();
    metrics::earlier_end(&text, target)
}

/// The sources of the metrics of a run that goes on.
pub(super) struct Watched {
    pub(super) totals: Arc<Mutex<LoadTotals>>,
    pub(super) listed: Arc<ListingProgress>,
    pub(super) pauses: Arc<PauseLog>,
}

/// The task that writes the file while the run goes on.
pub(super) struct LiveMetrics {
    task: JoinHandle<()>,
    ended: CancellationToken,
}

impl LiveMetrics {
    /// Starts to write the file, if there is to be one.
    pub(super) fn start(
        config: &Config,
        started_at: Timestamp,
        ledger: Option<&Ledger>,
        watched: impl FnOnce() -> Watched,
    ) -> Option<Self> {
        let (file, target) = (config.metrics.file.clone()?, target(config)?);
        let ended = CancellationToken::new();
        let (labels, ledger) = (config.metrics.labels.clone(), ledger.cloned());
        let writer = LiveWriter { file, target, labels, started_at, watched: watched() };
        let task = tokio::spawn(writer.write_until(ledger, ended.clone()));
        Some(Self { task, ended })
    }

    /// Ends the task. Nothing is written after that.
    pub(super) async fn end(self) {
        self.ended.cancel();
        // A panic in it does not matter any more.
        let _ = self.task.await;
    }
}

struct LiveWriter {
    file: PathBuf,
    target: String,
    labels: Vec<Label>,
    started_at: Timestamp,
    watched: Watched,
}

impl LiveWriter {
    async fn write_until(self, ledger: Option<Ledger>, ended: CancellationToken) {
        let began = Instant::now();
        let mut before = earlier_end(&self.file, &self.target);
        if let Some(ledger) = &ledger
            && let Some(Some(known)) = ended.run_until_cancelled(last_success_in(ledger)).await
        {
            before.last_success_seconds = known;
        }
        let mut times = tokio::time::interval(REWRITE_INTERVAL);
        while ended.run_until_cancelled(times.tick()).await.is_some() {
            if let Err(error) = self.write(before, began.elapsed()) {
                // The end of the run says it again, and louder.
                tracing::debug!("--metrics-file {}: {error}", self.file.display());
            }
        }
    }

    fn write(&self, before: EndMetrics, elapsed: Duration) -> std::io::Result<()> {
        let Watched { totals, listed, pauses } = &self.watched;
        let so_far = EndedRun {
            started_at: self.started_at,
            elapsed,
            exit_code: exit_code::ALL_LOADED,
            totals: totals.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            objects_listed: listed.objects.load(Ordering::Relaxed),
            // What is left is known at the end.
            is_listing_complete: false,
            newest_object: newest_object(listed),
            pauses: pauses.so_far(),
        };
        let run = RunMetrics {
            is_running: true,
            ended: before,
            ..run_metrics(self.target.clone(), &so_far)
        };
        let text = run.text(&self.labels).map_err(std::io::Error::other)?;
        small_file::replace(&self.file, &text)
    }
}
