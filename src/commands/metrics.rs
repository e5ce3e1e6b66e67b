//! Writes and pushes the metrics of a load.
//!
//! Metrics are for whoever watches many runs. What goes wrong with them is a warning, and never
//! changes the exit code.

use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;

use crate::config::Config;
use crate::exit_code;
use crate::ledger::Ledger;
use crate::metrics::{self, ObjectCounts, RunMetrics};
use crate::progress::ListingProgress;
use crate::report::LoadTotals;
use crate::shutdown::Shutdown;
use crate::small_file;

/// The time that the ledger gets to say when a run last ended well.
const LEDGER_LIMIT: Duration = Duration::from_secs(5);

/// A run that has ended, as far as its metrics go.
#[derive(Clone, Debug)]
pub(super) struct EndedRun {
    pub(super) started_at: Timestamp,
    pub(super) elapsed: Duration,
    pub(super) exit_code: u8,
    pub(super) totals: LoadTotals,
    pub(super) is_listing_complete: bool,
    pub(super) newest_object: Option<Timestamp>,
}

impl EndedRun {
    /// Returns a run that ended before it listed anything.
    pub(super) fn before_it_began(started_at: Timestamp, exit_code: u8) -> Self {
        Self {
            started_at,
            elapsed: Timestamp::now().duration_since(started_at).unsigned_abs(),
            exit_code,
            totals: LoadTotals::default(),
            is_listing_complete: false,
            newest_object: None,
        }
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
    let mut table = config.target.table.clone();
    table.database = table.database.or_else(|| config.target.database.clone());
    if table.database.is_none() {
        tracing::debug!("no metrics: no database is named");
        return;
    }
    let target = table.plain();
    let last_success_seconds = last_success(config, &target, ended, ledger).await;
    let totals = &ended.totals;
    let run = RunMetrics {
        target: target.clone(),
        started_at: ended.started_at,
        elapsed: ended.elapsed,
        last_success_seconds,
        exit_code: ended.exit_code,
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
        is_listing_complete: ended.is_listing_complete,
        newest_object: ended.newest_object,
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

/// Returns the end of the last run that ended well: this one, or the last one in the ledger, or the
/// one that the file knows.
async fn last_success(
    config: &Config,
    target: &str,
    ended: &EndedRun,
    ledger: Option<&Ledger>,
) -> Option<f64> {
    if ended.is_success() {
        let ended_at = ended.started_at.as_duration().as_secs_f64() + ended.elapsed.as_secs_f64();
        return Some(ended_at);
    }
    if let Some(ledger) = ledger {
        match tokio::time::timeout(LEDGER_LIMIT, ledger.last_success()).await {
            Ok(Ok(known)) => return known,
            Ok(Err(error)) => tracing::debug!("the last success: {}", error.one_line()),
            Err(_) => tracing::debug!("the ledger does not say when a run last ended well"),
        }
    }
    let file = config.metrics.file.as_ref()?;
    metrics::last_success(&small_file::read_text(file).ok()?, target)
}
