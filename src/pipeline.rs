//! Runs one load or check, and owns every task of it.
//!
//! ```text
//!           objects            selected             spawns
//! listing ----------> select ------------> dispatch --------> download, split_object
//!                       |                     |                  |            |
//!                       |                     |                  | events     | objects, parts
//!                       | events              | events           |            v
//!                       |                     |                  |         batcher
//!                       |                     |                  |            | batches
//!                       v                     v                  v            v
//!                     pipeline: report, progress, end <------- load_worker, check_worker
//!                                                      events
//! ```
//!
//! The channels along the arrows are bounded.
//!
//! - `select` asks the ledger which of the listed objects are left to load, and claims them a
//!   little ahead of the work.
//! - The dispatcher (`dispatch` in `download`) alone waits for staging permits, one object at a
//!   time and in order.
//! - A download holds all of its permits from the start. It waits only for room in the channel to
//!   the batcher.
//! - A split object has a task of its own (`split_object`). It waits for the permits of one part at
//!   a time and holds none meanwhile.
//! - Load workers wait for no permit at all.
//!
//! Whoever holds a permit can therefore always go on, and the pools cannot wait for each other in a
//! circle.
//!
//! A run ends when the listing is complete and every object has an outcome. It also ends when a
//! signal, or a failure that concerns every object, stops the dispatcher; what is loading is
//! finished first.

mod attempt;
mod backlog;
mod bad_row_lines;
mod batcher;
mod check_worker;
mod context;
mod decision;
mod download;
mod events;
mod header;
mod load_worker;
mod options;
mod prepared;
mod row_digest;
mod sample;
mod select;
mod split_load;
pub(crate) mod split_object;
mod stage_parts;
mod value_pass;
mod work;

pub(crate) use context::Checking;
pub(crate) use decision::{Decision, Disposition, decide};
pub(crate) use options::PipelineOptions;
pub(crate) use prepared::Prepared;
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
use header::HeaderCheck;
use load_worker::load_staged;
use select::{Limits, Selector, choose};

/// The number of events that may wait for the report. More would only hide that the report is the
/// slow part.
const EVENTS: usize = 256;

/// The maximum number of batches that load, fill up and download. More would only cost memory.
const BATCHES_IN_HAND: usize = 6;

/// The result of a run, apart from the outcomes that its report holds.
pub(crate) struct PipelineResult {
    pub(crate) skipped_keys: SkippedKeys,
    pub(crate) is_listing_complete: bool,
    /// The errors that ended the run early.
    pub(crate) errors: Vec<Error>,
}

/// Runs the tasks to their end and records their events. With `checking` there is no ledger, and
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
            Arc::clone(&preflight.schema),
            preflight.columns.clone(),
            &options.format,
            &options.load,
            preflight.policy,
            Arc::clone(&preflight.values),
        )
        .on(preflight.server.flavor)
        .rejecting_to(rejects);
        Purpose::Load(Box::new(plan))
    };
    // A small part of the budget, because a shared file frees its space only when all of its
    // objects are loaded.
    let shared_bytes = options.throughput.batch.bytes.min(budget.total().bytes() / 8);
    let FormatConfig { dialect, charset, ignore_lines, .. } = &options.format;
    let fields_per_row = preflight.fields_per_row;
    let context = Arc::new(Context {
        reader: RowReader::new(dialect, charset, fields_per_row, *ignore_lines),
        locator: RowLocator::every(dialect, charset, fields_per_row, *ignore_lines),
        header: HeaderCheck::new(&options.format, &preflight),
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
    // A batch relies on rollback to load its objects one by one after a failure, which needs an
    // engine that rolls back.
    if matches!(context.purpose, Purpose::Check(_))
        || !context.preflight.policy.rolls_back
        || !options.format.charset.is_self_contained()
    {
        batch.objects = 1;
    }
    // The limits on objects in hand bound what waits here.
    let (staged, to_load) = mpsc::channel(load_concurrency.max(batch.objects));
    let to_load = Arc::new(Batcher::new(to_load, batch));
    // The smallest channel: what waits here is claimed, and another run could be loading it.
    let (selected, to_download) = mpsc::channel(1);
    let batches_in_hand = BATCHES_IN_HAND.min(load_concurrency + 2);
    let selector = Selector {
        ledger,
        config: options.ledger.clone(),
        claims: Arc::new(Claims::default()),
        shutdown: shutdown.clone(),
        in_hand: Limits {
            objects: options.staging.download_concurrency + 2 * load_concurrency,
            // Those that load, and two more: one that fills up and one that downloads.
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
                    // To continue would load objects that are missing from the report.
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
        // The monitor ends by itself, and every task that it could pause has ended.
        let _ = watching.await;
    }

    while let Some(joined) = tasks.join_next().await {
        if let Err(error) = joined {
            errors.insert(0, Error::new(ErrorKind::Bug, "a task of the run died").caused_by(error));
        }
    }
    if shutdown.draining.is_cancelled() {
        // The next page may take long to arrive.
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
            errors.insert(
                0,
                Error::new(ErrorKind::Bug, "the listing task panicked").caused_by(error),
            );
        }
    }
    sessions.close().await;
    PipelineResult { skipped_keys, is_listing_complete, errors }
}

/// Returns the error that ends the run, if this outcome failed with one that every other object
/// would meet too.
fn ends_the_run(outcome: &Outcome) -> Option<Error> {
    let Outcome::Failed { error, .. } = outcome else { return None };
    match error.kind.consequence() {
        Consequence::AbortRun | Consequence::RetryThenAbort
            if error.kind != ErrorKind::Interrupted =>
        {
            let ended =
                Error::new(error.kind, format!("this error ended the run: {}", error.full_text()));
            Some(match error.hint() {
                Some(hint) => ended.with_hint(hint),
                None => ended,
            })
        }
        _ => None,
    }
}
