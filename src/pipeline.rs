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

mod bad_row_lines;
mod batcher;
mod check_worker;
mod download;
mod load_worker;
mod row_digest;
mod select;
pub(crate) mod split_object;

pub use check_worker::check;
pub(crate) use select::{Decision, Disposition, decide};

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::commands::{Prepared, open_ledger, open_rejects, prepare};
use crate::config::{Config, FormatConfig, Mode};
use crate::error::{Consequence, Error, ErrorKind};
use crate::exit_code;
use crate::ledger::{Claims, Finished, Job, Ledger, RunTotals};
use crate::load_data::Plan;
use crate::mysql::SqlMode;
use crate::progress::{ListingProgress, Progress};
use crate::report::{Outcome, Report, RunEnd};
use crate::shutdown::{Shutdown, Signals};
use crate::source::SkippedKeys;
use crate::split::{RowLocator, RowReader};
use crate::staging::StagingFiles;
use crate::terminal::Terminal;
use crate::throttle::{ConcurrencyLimiter, Throttle};
use batcher::Batcher;
use check_worker::{Checking, check_staged};
use download::{Context, Event, Purpose, dispatch};
use load_worker::load_staged;
use select::{Limits, Selector, choose};

/// Events that wait for the report: more would only hide that it is the slow part.
const EVENTS: usize = 256;

/// Batches that load, gather and download, at most: more would only be more to remember.
const BATCHES_IN_HAND: usize = 6;

/// Far below the time after which a server closes a connection on which nothing is said.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// How a run ended.
#[derive(Debug)]
pub struct RunResult {
    pub exit_code: u8,
    /// For standard output.
    pub output: String,
    /// For standard error: what kept the run from beginning, or ended it.
    pub errors: Vec<Error>,
}

impl RunResult {
    pub(crate) fn before_it_began(errors: Vec<Error>) -> Self {
        // The operator mends one thing at a time; the first class of problem in this order is the
        // one to mend first.
        let order = [
            exit_code::BUG,
            exit_code::USAGE,
            exit_code::SOURCE_UNAVAILABLE,
            exit_code::TARGET_UNAVAILABLE,
        ];
        let codes: Vec<u8> = errors.iter().map(|error| error.kind.exit_code()).collect();
        let code = order.into_iter().find(|code| codes.contains(code));
        Self {
            exit_code: code.or_else(|| codes.first().copied()).unwrap_or(exit_code::BUG),
            output: String::new(),
            errors,
        }
    }
}

/// `s3-to-mysql load`.
pub async fn load(mut config: Config, terminal: &Terminal, signals: Signals) -> RunResult {
    let started = Instant::now();
    let shutdown = Shutdown::default();
    let listener = tokio::spawn(shutdown.clone().listen(signals));
    let found = Arc::new(ListingProgress::default());

    let style = terminal.summary_style(config.output.summary);
    let mut report = match Report::open(&config.output, config.source.keys_from.as_deref(), style) {
        Ok(report) => report,
        Err(error) => return RunResult::before_it_began(vec![error]),
    };
    let prepared = tokio::select! {
        biased;
        () = shutdown.draining.cancelled() => Err(Vec::new()),
        prepared = prepare(&config, &found) => prepared,
    };
    let begun = match prepared {
        Ok(mut prepared) => {
            let opened = async {
                prepared.throttle = Throttle::open(&config, &prepared.connector).await?;
                open_rejects(&config, &mut prepared).await
            };
            let opened = match opened.await {
                Ok(()) => open_ledger(&config, &mut prepared, &shutdown.draining).await,
                Err(error) => Err(error),
            };
            match opened {
                Ok(ledger) => Ok((prepared, ledger)),
                Err(error) => {
                    prepared.listing.abort();
                    Err(vec![error])
                }
            }
        }
        Err(problems) => Err(problems),
    };
    let (prepared, ledger) = match begun {
        Ok(begun) => begun,
        Err(mut problems) => {
            problems.extend(shutdown.signalled().map(interrupted));
            // A report without a line would not tell why.
            let end = RunEnd { elapsed: started.elapsed(), errors: &problems, ..RunEnd::default() };
            let (_, output, unwritten) = report.finish(end);
            problems.extend(unwritten);
            let mut ended = RunResult::before_it_began(problems);
            ended.output = output;
            ended.exit_code = shutdown.signalled().unwrap_or(ended.exit_code);
            return ended;
        }
    };
    // A job that was begun anew has nothing to load again.
    config.ledger.force &= config.load.mode == Mode::Append;
    for warning in &prepared.warnings {
        tracing::warn!("{warning}");
    }
    let verification = prepared.preflight.verification.clone();
    let mut verified = None;
    let progress = Progress::new(terminal, config.output.progress, Arc::clone(&found));
    let ended = CancellationToken::new();
    let keeper = ledger.clone().map(|(ledger, _)| tokio::spawn(keep_alive(ledger, ended.clone())));
    let s3 = prepared.s3.clone();
    let PipelineResult { skipped_keys, is_listing_complete, mut errors } =
        run(&config, prepared, ledger.clone(), None, &shutdown, &mut report, progress).await;
    if let Some((ledger, job)) = &ledger
        && job.was_partial
        && errors.is_empty()
        && shutdown.signalled().is_none()
        && is_listing_complete
    {
        match split_object::fail_missing(&config, &s3, ledger, job).await {
            Ok(gone) => {
                errors.extend(gone.iter().filter_map(|outcome| report.record(outcome).err()));
            }
            Err(error) => errors.push(error),
        }
    }
    if let Some((ledger, job)) = &ledger
        && job.mode != Mode::Append
        && errors.is_empty()
        && shutdown.signalled().is_none()
        && report.totals().is_everything_loaded()
        && is_listing_complete
    {
        match ledger.finish_job(job, &config, verification.as_deref(), &shutdown.draining).await {
            Ok((_, Some(found))) => verified = Some(found),
            Ok((Finished::Before, None)) if verification.is_some() => {
                tracing::warn!(
                    "another run has ended the job: whether it has verified the table is in its own report"
                );
            }
            Ok(_) => {}
            Err(error) => errors.push(error),
        }
    }
    listener.abort();

    errors.extend(shutdown.signalled().map(interrupted));
    let elapsed = started.elapsed();
    let (totals, output, unwritten) = report.finish(RunEnd {
        skipped_keys,
        is_listing_complete,
        elapsed,
        errors: &errors,
        ledger: ledger.as_ref().map(|(ledger, job)| (ledger.run(), job)),
        did_begin: true,
        verified: verified.as_ref(),
    });
    errors.extend(unwritten);
    let exit_code = match (shutdown.signalled(), errors.first()) {
        (_, Some(error)) if error.kind == ErrorKind::Bug => exit_code::BUG,
        (Some(code), _) => code,
        (None, Some(error)) => error.kind.exit_code(),
        (None, None) if !totals.is_everything_loaded() => exit_code::OBJECTS_FAILED,
        (None, None) if totals.rows_rejected > 0 => exit_code::ROWS_REJECTED,
        (None, None) => exit_code::ALL_LOADED,
    };
    ended.cancel();
    if let Some(keeper) = keeper {
        // It ends by itself; a panic of it changes nothing.
        let _ = keeper.await;
    }
    if let Some((ledger, _)) = &ledger {
        let achieved = RunTotals {
            exit_code,
            objects_loaded: totals.objects_loaded,
            objects_already_loaded: totals.objects_already_loaded,
            objects_failed: totals.objects_failed,
            rows: totals.rows,
            bytes: totals.bytes_loaded,
        };
        if let Err(error) = ledger.end_run(achieved).await {
            tracing::warn!("the end of this run is not in the ledger: {}", error.one_line());
        }
        ledger.close().await;
    }
    RunResult { exit_code, output, errors }
}

/// Keeps the ledger's connection, and the claims on it, while nothing is said on it.
async fn keep_alive(ledger: Ledger, ended: CancellationToken) {
    while ended.run_until_cancelled(tokio::time::sleep(KEEP_ALIVE)).await.is_some() {
        if let Err(error) = ledger.ping().await {
            tracing::warn!("{}", error.one_line());
        }
    }
}

/// What is left to tell of a run whose tasks have all ended.
struct PipelineResult {
    skipped_keys: SkippedKeys,
    is_listing_complete: bool,
    /// What ended it early.
    errors: Vec<Error>,
}

/// Runs the tasks to their end and takes in their events. With `checking` there is no ledger, and
/// nothing is loaded.
async fn run(
    config: &Config,
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
            &config.format,
            &config.load,
            preflight.policy,
            rejects,
        );
        Purpose::Load(Box::new(plan))
    };
    // A small part of the budget, as a shared file's space comes back only when all of its objects
    // are loaded.
    let shared_bytes = config.throughput.batch.bytes.min(budget.total().bytes() / 8);
    let FormatConfig { dialect, charset, ignore_lines, .. } = &config.format;
    let fields_per_row = preflight.fields_per_row;
    let context = Arc::new(Context {
        reader: RowReader::new(dialect, charset, fields_per_row, *ignore_lines),
        locator: RowLocator::every(dialect, charset, fields_per_row, *ignore_lines),
        config: config.clone(),
        s3,
        staging_files: StagingFiles::new(config.staging.dir.clone(), shared_bytes),
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
    let mut batch = config.throughput.batch;
    // Nothing can be taken back where the table's engine does not roll back.
    if matches!(context.purpose, Purpose::Check(_))
        || !context.preflight.policy.rolls_back
        || !config.format.charset.is_self_contained()
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
        config: config.ledger.clone(),
        claims: Arc::new(Claims::default()),
        shutdown: shutdown.clone(),
        in_hand: Limits {
            objects: config.staging.download_concurrency + 2 * load_concurrency,
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

/// What the report and standard error say of a run that a signal ended.
fn interrupted(exit_code: u8) -> Error {
    let signal = if exit_code == exit_code::TERMINATED { "SIGTERM" } else { "SIGINT" };
    Error::new(ErrorKind::Interrupted, format!("the run was stopped by {signal}"))
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

/// For the listing task: counts what it finds.
pub(crate) fn counter(
    found: &Arc<ListingProgress>,
) -> impl Fn(&crate::object::Object) + Send + Sync + 'static + use<> {
    let found = Arc::clone(found);
    move |object| {
        found.objects.fetch_add(1, Ordering::Relaxed);
        found.bytes.fetch_add(object.size_bytes, Ordering::Relaxed);
    }
}

/// Waits, unless the run is being stopped meanwhile.
async fn pause(shutdown: &Shutdown, pause: Duration) {
    tokio::select! {
        () = shutdown.draining.cancelled() => {}
        () = tokio::time::sleep(pause) => {}
    }
}
