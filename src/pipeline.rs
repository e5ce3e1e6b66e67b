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
//! - Load workers wait for no permit but that of a transaction.
//!
//! The pipelines of several tables share the staging budget, the slots of downloads, and the
//! transactions (`shared_pool`). A load worker waits for a transaction of all of them, and whoever
//! has one waits for nothing else.
//!
//! Whoever holds a permit can therefore always go on, and the pools cannot wait for each other in a
//! circle.
//!
//! A run ends when the listing is complete and every object has an outcome. It also ends when a
//! signal, or a failure that concerns every object, stops the dispatcher; what is loading is
//! finished first.
//!
//! `run` has four steps, each a function: `build` makes the context that all tasks share, `spawn`
//! starts the tasks with the channels between them, `drive` records their events, and `finish`
//! waits for the end of everything.

mod attempt;
mod backlog;
mod bad_row_lines;
mod batcher;
mod build;
mod check_worker;
mod context;
mod decision;
mod download;
mod download_slots;
mod events;
mod header;
mod layouts;
mod load_worker;
mod options;
mod parquet_object;
mod pin;
mod prepared;
mod row_counter;
mod row_digest;
mod row_judge;
mod sample;
mod select;
mod shared_pool;
mod spawn;
mod split_load;
pub(crate) mod split_object;
mod stage_parts;
mod value_pass;
mod work;

pub(crate) use context::Checking;
pub(crate) use decision::{Decision, Disposition, decide};
pub(crate) use download_slots::DownloadSlots;
pub(crate) use options::PipelineOptions;
pub(crate) use pin::pin;
pub(crate) use prepared::Prepared;
pub(crate) use shared_pool::SharedPool;
pub(crate) use work::{LISTED_AHEAD, ObjectStream};

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::error::{Consequence, Error, ErrorKind, Result};
use crate::ledger::{Job, Ledger};
use crate::progress::Progress;
use crate::report::{Outcome, Report};
use crate::shutdown::Shutdown;
use crate::source::SkippedKeys;
use build::{Built, build};
use context::Context;
use events::Event;
use spawn::{Tasks, spawn};

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
    progress: Progress,
) -> PipelineResult {
    let Built { context, objects, listing, throttle } =
        build(options, prepared, ledger, checking, shutdown, progress.sent_bytes());
    let mut tasks = spawn(&context, objects, throttle);
    let mut result = drive(&mut tasks.events, shutdown, report, progress).await;
    finish(&context, tasks, listing, &mut result).await;
    result
}

/// Records the events of the tasks until the last task has ended. An error that every other object
/// would meet too makes the tasks end.
async fn drive(
    events: &mut mpsc::Receiver<Event>,
    shutdown: &Shutdown,
    report: &mut Report,
    mut progress: Progress,
) -> PipelineResult {
    let mut errors: Vec<Error> = Vec::new();
    let mut is_listing_complete = true;
    let mut ticks = tokio::time::interval(progress.interval());
    ticks.tick().await;
    loop {
        let event = tokio::select! {
            event = events.recv() => event,
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
            Some(Event::PartEnded(part)) => {
                if let Err(error) = report.record_part(&part) {
                    errors.push(error);
                    shutdown.draining.cancel();
                }
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
    PipelineResult { skipped_keys: SkippedKeys::default(), is_listing_complete, errors }
}

/// Waits for the end of everything that the run has started, and adds its errors and the result of
/// the listing.
async fn finish(
    context: &Context,
    tasks: Tasks,
    listing: JoinHandle<Result<SkippedKeys>>,
    result: &mut PipelineResult,
) {
    let Tasks { mut workers, monitor, .. } = tasks;
    if let Some(monitor) = monitor {
        // Every task that it could pause has ended.
        monitor.end().await;
    }
    while let Some(joined) = workers.join_next().await {
        if let Err(error) = joined {
            let died = Error::new(ErrorKind::Bug, "a task of the run died").caused_by(error);
            result.errors.insert(0, died);
        }
    }
    if context.shutdown.draining.is_cancelled() {
        // The next page may take long to arrive.
        listing.abort();
    }
    match listing.await {
        Ok(Ok(skipped_keys)) => result.skipped_keys = skipped_keys,
        Ok(Err(error)) => {
            result.is_listing_complete = false;
            result.errors.push(error);
        }
        Err(error) if error.is_cancelled() => {}
        Err(error) => {
            let died = Error::new(ErrorKind::Bug, "the listing task panicked").caused_by(error);
            result.errors.insert(0, died);
        }
    }
    // Connections that other pipelines use, too, stay open.
    if context.idle.is_none() {
        context.sessions.clone().close().await;
    }
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
