//! One run: the sole owner of its tasks.
//!
//! ```text
//! listing --(objects)--> choice --(wanted)--> dispatcher --(spawns)--> downloads --(objects, parts)--> queue --(batches)--> load workers
//!                           \______________________________________________\__________(events)_______/--> here: report, progress, ending
//! ```
//!
//! Every channel is bounded. The choice asks the ledger what is left of what was listed, and claims
//! it a little ahead of the work. The dispatcher alone waits for staging permits, one object at a
//! time and in order; a download holds all of its permits from the start and waits for nothing but
//! its turn to hand over; load workers wait for no permit at all. So what is held is always held by
//! somebody who can go on, and the pools can't wait for each other. An object that is split has a
//! task of its own (`parts`), which waits for the permits of one part at a time and holds none
//! meanwhile.
//!
//! A run ends when the listing is through and every object has an outcome; or when a signal or a
//! failure that concerns every object stops the dispatcher, and what is loading has been finished.

mod attempt;
mod bad_row_lines;
mod batcher;
mod check_worker;
mod context;
mod download;
mod events;
mod load_worker;
mod options;
mod prepared;
mod row_digest;
mod sample;
mod select;
pub(crate) mod split_object;
mod work;

pub(crate) use context::Checking;
pub(crate) use options::PipelineOptions;
pub(crate) use prepared::Prepared;
pub(crate) use select::{Decision, Disposition, decide};
pub(crate) use work::{LISTED_AHEAD, ObjectStream};

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::dialect::FormatConfig;
use crate::error::{Consequence, Error, ErrorKind};
use crate::isolate::Plan;
use crate::ledger::{Claims, Job, Ledger};
use crate::mysql::SqlMode;
use crate::progress::Progress;
use crate::report::{Outcome, Report};
use crate::shutdown::Shutdown;
use crate::source::SkippedKeys;
use crate::split::{RowLocator, RowReader};
use crate::staging::StagingFiles;
use crate::throttle::ConcurrencyLimiter;
use batcher::Batcher;
use check_worker::check_staged;
use context::{Context, Purpose};
use download::dispatch;
use events::Event;
use load_worker::load_staged;
use select::{Limits, Selector, choose};

/// Events that wait for the report: more would only hide that it is the slow part.
const EVENTS: usize = 256;

/// Batches that load, gather and download, at most: more would only be more to remember.
const BATCHES_IN_HAND: usize = 6;

/// What is left to tell of a run whose tasks have all ended.
pub(crate) struct PipelineResult {
    pub(crate) skipped_keys: SkippedKeys,
    pub(crate) is_listing_complete: bool,
    /// What ended it early.
    pub(crate) errors: Vec<Error>,
}

/// Runs the tasks to their end and takes in their events. With `checking` there is no ledger, and
/// nothing is loaded.
pub(crate) async fn run(
    options: &PipelineOptions,
    prepared: Prepared,
    ledger: Option<(Ledger, Job)>,
    checking: Option<Checking>,
    shutdown: &Shutdown,
    report: &mut Report,
    mut progress: Progress,
) -> PipelineResult {
    let Prepared { s3, budget, connector, preflight, rejects, throttle, listing, objects, .. } =
        prepared;
    let load_concurrency = preflight.load_concurrency;
    let sql_mode = SqlMode::of(preflight.policy.on_bad_row);
    let sessions = connector.pool(&preflight.server, sql_mode, load_concurrency);
    let purpose = if let Some(checking) = checking {
        Purpose::Check(checking)
    } else {
        let load_into = match &ledger {
            Some((_, job)) => job.load_into.clone(),
            None => preflight.target.name(),
        };
        let plan = Plan::new(
            load_into,
            preflight.columns.clone(),
            preflight.decimals.clone(),
            &options.format,
            &options.load,
            preflight.policy,
            rejects,
        );
        Purpose::Load(Box::new(plan))
    };
    // A small part of the budget, as a shared file's space comes back only when all of its objects
    // are loaded.
    let shared_bytes = options.throughput.batch.bytes.min(budget.total().bytes() / 8);
    let FormatConfig { dialect, charset, ignore_lines, .. } = &options.format;
    let fields_per_row = preflight.fields_per_row;
    let context = Arc::new(Context {
        reader: RowReader::new(dialect, charset, fields_per_row, *ignore_lines),
        locator: RowLocator::every(dialect, charset, fields_per_row, *ignore_lines),
        options: options.clone(),
        s3,
        staging_files: StagingFiles::new(options.staging.dir.clone(), shared_bytes),
        budget,
        preflight,
        purpose,
        ledger: ledger.clone(),
        sessions: sessions.clone(),
        limiter: ConcurrencyLimiter::new(load_concurrency),
        shutdown: shutdown.clone(),
    });

    let ended = CancellationToken::new();
    let watching = throttle.map(|throttle| {
        context.limiter.pause(true);
        tokio::spawn(throttle.watch(Arc::clone(&context.limiter), ended.clone()))
    });
    let (events, mut happened) = mpsc::channel(EVENTS);
    let mut batch = options.throughput.batch;
    // Nothing can be taken back where the table's engine does not roll back.
    if matches!(context.purpose, Purpose::Check(_))
        || !context.preflight.policy.rolls_back
        || !options.format.charset.is_self_contained()
    {
        batch.objects = 1;
    }
    // What waits is bounded by what is in hand.
    let (staged, to_load) = mpsc::channel(load_concurrency.max(batch.objects));
    let to_load = Arc::new(Batcher::new(to_load, batch));
    // Not one ahead: what waits here is claimed, and could be another run's.
    let (selected, to_download) = mpsc::channel(1);
    let batches_in_hand = BATCHES_IN_HAND.min(load_concurrency + 2);
    let selector = Selector {
        ledger,
        config: options.ledger.clone(),
        claims: Arc::new(Claims::default()),
        shutdown: shutdown.clone(),
        in_hand: Limits {
            objects: options.staging.download_concurrency + 2 * load_concurrency,
            // Those that load, and two that gather and download.
            small_bytes: batch.bytes.saturating_mul(batches_in_hand as u64),
            small_objects: batch.objects.saturating_mul(batches_in_hand),
        },
        in_hand_shared: Limits {
            objects: 2 * load_concurrency,
            small_bytes: batch.bytes,
            small_objects: batch.objects,
        },
        selected,
        events: events.clone(),
    };
    let mut tasks = JoinSet::new();
    tasks.spawn(choose(selector, objects));
    tasks.spawn(dispatch(Arc::clone(&context), to_download, staged, events.clone()));
    for _ in 0..load_concurrency {
        match &context.purpose {
            Purpose::Load(_) => {
                tasks.spawn(load_staged(Arc::clone(&context), Arc::clone(&to_load), events.clone()))
            }
            Purpose::Check(_) => tasks.spawn(check_staged(
                Arc::clone(&context),
                Arc::clone(&to_load),
                events.clone(),
            )),
        };
    }
    drop((events, to_load));

    let mut errors: Vec<Error> = Vec::new();
    let mut is_listing_complete = true;
    let mut ticks = tokio::time::interval(progress.interval());
    ticks.tick().await;
    loop {
        let event = tokio::select! {
            event = happened.recv() => event,
            _ = ticks.tick() => {
                progress.tick();
                continue;
            }
        };
        match event {
            Some(Event::Began(object)) => progress.began(object),
            Some(Event::ListingCut) => is_listing_complete = false,
            Some(Event::Broken(error)) => {
                errors.push(error);
                shutdown.draining.cancel();
            }
            Some(Event::Ended(outcome)) => {
                progress.ended(&outcome);
                if let Err(error) = report.record(&outcome) {
                    // Going on would load objects that no report tells of.
                    errors.push(error);
                    shutdown.draining.cancel();
                }
                if let Some(error) = ends_the_run(&outcome)
                    && errors.is_empty()
                {
                    errors.push(error);
                    shutdown.draining.cancel();
                }
            }
            None => break,
        }
    }
    progress.tick();
    progress.finish();
    ended.cancel();
    if let Some(watching) = watching {
        // It ends by itself; everything that it could hold back has ended.
        let _ = watching.await;
    }

    while let Some(joined) = tasks.join_next().await {
        if let Err(error) = joined {
            errors.insert(0, Error::new(ErrorKind::Bug, "a task of the run died").caused_by(error));
        }
    }
    if shutdown.draining.is_cancelled() {
        // A page of it may be a long time coming.
        listing.abort();
    }
    let mut skipped_keys = SkippedKeys::default();
    match listing.await {
        Ok(Ok(seen)) => skipped_keys = seen,
        Ok(Err(error)) => {
            is_listing_complete = false;
            errors.push(error);
        }
        Err(error) if error.is_cancelled() => {}
        Err(error) => {
            errors.insert(0, Error::new(ErrorKind::Bug, "the listing died").caused_by(error));
        }
    }
    sessions.close().await;
    PipelineResult { skipped_keys, is_listing_complete, errors }
}

/// The error that ends the run, where this outcome's is one that every other object would meet too.
fn ends_the_run(outcome: &Outcome) -> Option<Error> {
    let Outcome::Failed { error, .. } = outcome else { return None };
    match error.kind.consequence() {
        Consequence::AbortRun | Consequence::RetryThenAbort
            if error.kind != ErrorKind::Interrupted =>
        {
            let ended =
                Error::new(error.kind, format!("the run was ended by this: {}", error.one_line()));
            Some(match error.hint() {
                Some(hint) => ended.with_hint(hint),
                None => ended,
            })
        }
        _ => None,
    }
}
