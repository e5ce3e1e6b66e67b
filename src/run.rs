//! One run: the sole owner of its tasks.
//!
//! ```text
//! listing --(objects)--> dispatcher --(spawns)--> downloads --(staged files)--> load workers
//!                                                     \______________(events)_______/--> here: report, progress, ending
//! ```
//!
//! Every channel is bounded. The dispatcher alone waits for staging permits, one object at a time and in order; a download
//! holds all of its permits from the start and waits for nothing but its turn to hand over; load workers wait for no
//! permit at all. So what is held is always held by somebody who can go on, and the pools can't wait for each other.
//!
//! A run ends when the listing is through and every object has an outcome; or when a signal or a failure that concerns
//! every object stops the dispatcher, and what is loading has been finished.

mod plan;
mod prepare;
mod stages;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;

use crate::config::Config;
use crate::error::{Consequence, Error, Kind};
use crate::exit_code;
use crate::progress::{Found, Progress, Terminal};
use crate::report::{Ending, Outcome, Report};
use crate::shutdown::{Shutdown, Signals};
use crate::source::PassedOver;

pub use plan::plan;
use prepare::{Prepared, prepare};
use stages::{Context, Event, dispatch, load_staged};

/// Events that wait for the report: more would only hide that it is the slow part.
const EVENTS: usize = 256;

/// How a run ended.
#[derive(Debug)]
pub struct Ended {
    pub exit_code: u8,
    /// For standard output; empty where the run did not begin.
    pub output: String,
    /// For standard error: what kept the run from beginning, or ended it.
    pub errors: Vec<Error>,
}

impl Ended {
    fn before_it_began(errors: Vec<Error>) -> Self {
        // The operator mends one thing at a time; the first class of problem in this order is the one to mend first.
        let order = [exit_code::BUG, exit_code::USAGE, exit_code::SOURCE_UNAVAILABLE, exit_code::TARGET_UNAVAILABLE];
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
pub async fn load(config: Config, terminal: &Terminal, signals: Signals) -> Ended {
    let started = Instant::now();
    let shutdown = Shutdown::default();
    let listener = tokio::spawn(shutdown.clone().listen(signals));
    let found = Arc::new(Found::default());

    let mut report = match Report::open(&config.output, config.source.keys_from.as_deref()) {
        Ok(report) => report,
        Err(error) => return Ended::before_it_began(vec![error]),
    };
    let prepared = tokio::select! {
        biased;
        () = shutdown.draining.cancelled() => Err(Vec::new()),
        prepared = prepare(&config, &found) => prepared,
    };
    let stopped = match prepared {
        Ok(prepared) => {
            for warning in &prepared.warnings {
                tracing::warn!("{warning}");
            }
            let progress = Progress::new(terminal, config.output.progress, Arc::clone(&found));
            run(&config, prepared, &shutdown, &mut report, progress).await
        }
        Err(mut problems) => {
            problems.extend(shutdown.signalled().map(interrupted));
            // A report without a line would not tell why.
            let ending = Ending { elapsed: started.elapsed(), error: problems.first(), ..Ending::default() };
            problems.extend(report.finish(ending).2);
            let mut ended = Ended::before_it_began(problems);
            ended.exit_code = shutdown.signalled().unwrap_or(ended.exit_code);
            return ended;
        }
    };
    listener.abort();

    let Stopped { passed_over, is_listing_complete, mut errors } = stopped;
    errors.extend(shutdown.signalled().map(interrupted));
    let elapsed = started.elapsed();
    let (summary, output, unwritten) =
        report.finish(Ending { passed_over, is_listing_complete, elapsed, error: errors.first() });
    errors.extend(unwritten);
    let exit_code = match (shutdown.signalled(), errors.first()) {
        (_, Some(error)) if error.kind == Kind::Bug => exit_code::BUG,
        (Some(code), _) => code,
        (None, Some(error)) => error.kind.exit_code(),
        (None, None) if summary.objects_failed > 0 || summary.objects_not_reached > 0 => exit_code::OBJECTS_FAILED,
        (None, None) => exit_code::ALL_LOADED,
    };
    Ended { exit_code, output, errors }
}

/// What is left to tell of a run whose tasks have all ended.
struct Stopped {
    passed_over: PassedOver,
    is_listing_complete: bool,
    /// What ended it early.
    errors: Vec<Error>,
}

/// Runs the tasks to their end and takes in their events.
async fn run(
    config: &Config,
    prepared: Prepared,
    shutdown: &Shutdown,
    report: &mut Report,
    mut progress: Progress,
) -> Stopped {
    let Prepared { s3, budget, connector, preflight, listing, objects, .. } = prepared;
    let load_concurrency = config.load.load_concurrency;
    let sessions = connector.pool(&preflight.server, preflight.policy.on_bad_row, load_concurrency);
    let context = Arc::new(Context {
        config: config.clone(),
        s3,
        budget,
        preflight,
        sessions: sessions.clone(),
        shutdown: shutdown.clone(),
    });

    let (events, mut happened) = mpsc::channel(EVENTS);
    // As many staged files wait as are being loaded: enough that no worker does, few enough for any file limit.
    let (staged, to_load) = mpsc::channel(load_concurrency);
    let to_load = Arc::new(Mutex::new(to_load));
    let mut tasks = JoinSet::new();
    tasks.spawn(dispatch(Arc::clone(&context), objects, staged, events.clone()));
    for _ in 0..load_concurrency {
        tasks.spawn(load_staged(Arc::clone(&context), Arc::clone(&to_load), events.clone()));
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

    while let Some(joined) = tasks.join_next().await {
        if let Err(error) = joined {
            errors.insert(0, Error::new(Kind::Bug, "a task of the run died").caused_by(error));
        }
    }
    if shutdown.draining.is_cancelled() {
        // A page of it may be a long time coming.
        listing.abort();
    }
    let mut passed_over = PassedOver::default();
    match listing.await {
        Ok(Ok(seen)) => passed_over = seen,
        Ok(Err(error)) => {
            is_listing_complete = false;
            errors.push(error);
        }
        Err(error) if error.is_cancelled() => {}
        Err(error) => errors.insert(0, Error::new(Kind::Bug, "the listing died").caused_by(error)),
    }
    sessions.close().await;
    Stopped { passed_over, is_listing_complete, errors }
}

/// What the report and standard error say of a run that a signal ended.
fn interrupted(exit_code: u8) -> Error {
    let signal = if exit_code == exit_code::TERMINATED { "SIGTERM" } else { "SIGINT" };
    Error::new(Kind::Interrupted, format!("the run was stopped by {signal}"))
}

/// The error that ends the run, where this outcome's is one that every other object would meet too.
fn ends_the_run(outcome: &Outcome) -> Option<Error> {
    let Outcome::Failed { error, .. } = outcome else { return None };
    match error.kind.consequence() {
        Consequence::AbortRun | Consequence::RetryThenAbort if error.kind != Kind::Interrupted => {
            let ended = Error::new(error.kind, format!("the run was ended by this: {}", error.one_line()));
            Some(match error.hint() {
                Some(hint) => ended.with_hint(hint),
                None => ended,
            })
        }
        _ => None,
    }
}

/// For the listing task: counts what it finds.
fn counter(found: &Arc<Found>) -> impl Fn(&crate::object::Object) + Send + Sync + 'static + use<> {
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
