//! `s3-to-mysql check`: what would go wrong in a load, found without one.
//!
//! The same listing, downloads and workers as those of a load, but every object is taken, whatever
//! the ledger says, and goes into private temporary tables in a transaction that is rolled back.
//! With a sample only the beginning of each object is fetched.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::gather::{Queue, Work};
use super::loading::{Worker, session, shipment, try_again};
use super::locate::{Blocks, locate};
use super::prepare::{Prepared, prepare};
use super::stages::{Context, Event, Purpose, ReadyObject, failed, tell};
use super::{Ended, Stopped, interrupted, run};
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::exit_code;
use crate::load::{Check, CheckTable, Checked, Shipment};
use crate::mysql::{Sessions, SqlMode};
use crate::progress::{Found, Progress, Terminal};
use crate::region::Region;
use crate::report::{Ending, Outcome, Report};
use crate::retry::Attempts;
use crate::shutdown::{Shutdown, Signals};
use crate::split::{RowLocator, RowReader, Scan};
use crate::staging::Staged;

/// What a check does with staged objects.
pub(super) struct Checking {
    pub(super) check: Box<Check>,
    /// Only so many rows of each object are looked at.
    pub(super) sample: Option<u64>,
}

/// `s3-to-mysql check`.
pub async fn check(
    config: Config,
    sample: Option<u64>,
    terminal: &Terminal,
    signals: Signals,
) -> Ended {
    let started = Instant::now();
    let shutdown = Shutdown::default();
    let listener = tokio::spawn(shutdown.clone().listen(signals));
    let found = Arc::new(Found::default());
    let mut report = match Report::open(&config.output, config.source.keys_from.as_deref()) {
        Ok(report) => report,
        Err(error) => return Ended::before_it_began(vec![error]),
    };
    let begun = tokio::select! {
        biased;
        () = shutdown.draining.cancelled() => Err(Vec::new()),
        begun = begin(&config, &found) => begun,
    };
    let (prepared, check) = match begun {
        Ok(begun) => begun,
        Err(mut problems) => {
            problems.extend(shutdown.signalled().map(interrupted));
            let ending =
                Ending { elapsed: started.elapsed(), error: problems.first(), ..Ending::default() };
            problems.extend(report.finish_check(ending, &[], sample).2);
            let mut ended = Ended::before_it_began(problems);
            ended.exit_code = shutdown.signalled().unwrap_or(ended.exit_code);
            return ended;
        }
    };
    for warning in &prepared.warnings {
        tracing::warn!("{warning}");
    }
    let unseen = check.unseen().to_vec();
    let progress = Progress::new(terminal, config.output.progress, Arc::clone(&found));
    let checking = Some(Checking { check: Box::new(check), sample });
    let Stopped { passed_over, is_listing_complete, mut errors } =
        run(&config, prepared, None, checking, &shutdown, &mut report, progress).await;
    listener.abort();

    errors.extend(shutdown.signalled().map(interrupted));
    let elapsed = started.elapsed();
    let error = errors.first();
    let ending = Ending {
        passed_over,
        is_listing_complete,
        elapsed,
        error,
        ledger: None,
        did_begin: true,
        verified: None,
    };
    let (summary, output, unwritten) = report.finish_check(ending, &unseen, sample);
    errors.extend(unwritten);
    let exit_code = match (shutdown.signalled(), errors.first()) {
        (_, Some(error)) if error.kind == Kind::Bug => exit_code::BUG,
        (Some(code), _) => code,
        (None, Some(error)) => error.kind.exit_code(),
        (None, None) if !summary.would_everything_load() => exit_code::OBJECTS_FAILED,
        (None, None) if summary.rows_rejected > 0 => exit_code::ROWS_REJECTED,
        (None, None) => exit_code::ALL_LOADED,
    };
    Ended { exit_code, output, errors }
}

/// Everything that has to be right before the first object, and the private table.
async fn begin(
    config: &Config,
    found: &Arc<Found>,
) -> std::result::Result<(Prepared, Check), Vec<Error>> {
    let mut prepared = prepare(config, found).await?;
    if let Some(idle) = prepared.session.take() {
        // There is no ledger for it.
        idle.close().await;
    }
    let Prepared { connector, preflight, .. } = &prepared;
    let sql_mode = SqlMode::of(preflight.policy.on_bad_row);
    let sessions = connector.pool(&preflight.server, sql_mode, 1);
    let table = check_table(config, &prepared, &sessions).await;
    sessions.close().await;
    match table {
        Ok(table) => {
            let check = Check::new(
                table,
                &preflight.columns,
                &preflight.decimals,
                &config.format,
                &config.load,
                preflight.policy,
            );
            Ok((prepared, check))
        }
        Err(error) => {
            prepared.listing.abort();
            Err(vec![error])
        }
    }
}

async fn check_table(
    config: &Config,
    prepared: &Prepared,
    sessions: &Sessions,
) -> Result<CheckTable> {
    let mut attempts = Attempts::new(&config.retry);
    loop {
        let prepared = async {
            let mut session = sessions.get().await?;
            let table = CheckTable::prepare(&mut session, &prepared.preflight.target).await;
            session.destroy().await;
            table
        };
        match prepared.await {
            Err(error) if attempts.wait_after(&error).await => {}
            ended => return ended,
        }
    }
}

/// Cuts a staged file behind the last row that its locator looks for, and reads what is left as if
/// that was the object.
pub(super) async fn cut_to_sample(
    staged: &Staged,
    locator: RowLocator,
    reader: RowReader,
    abandoning: &CancellationToken,
) -> Result<(Scan, u64)> {
    let (file, abandoning) = (staged.file.clone(), abandoning.clone());
    match tokio::task::spawn_blocking(move || cut(&file, locator, reader, &abandoning)).await {
        Ok(cut) => cut.map_err(|error| {
            Error::new(Kind::StagingFailed, "its sample can't be cut off").caused_by(error)
        }),
        Err(died) if died.is_panic() => std::panic::resume_unwind(died.into_panic()),
        Err(died) => Err(Error::new(Kind::Interrupted, "the program is leaving").caused_by(died)),
    }
}

fn cut(
    file: &Region,
    locator: RowLocator,
    mut reader: RowReader,
    abandoning: &CancellationToken,
) -> io::Result<(Scan, u64)> {
    let located = locate(file, 0, locator, abandoning)?;
    let end = located
        .last()
        .map(|row| row.end)
        .ok_or_else(|| io::Error::other("its last row is not there"))?;
    let sample = file.clone().cut_to(end);
    let mut blocks = Blocks::new(&sample, 0);
    while let Some(block) = blocks.next()? {
        reader.feed(block).map_err(io::Error::other)?;
    }
    Ok((reader.finish().map_err(io::Error::other)?, end))
}

/// Checks staged objects, one at a time, on a session that is kept for as long as nothing goes
/// wrong on it.
pub(super) async fn check_staged(
    context: Arc<Context>,
    staged: Arc<Queue>,
    events: mpsc::Sender<Event>,
) {
    let mut worker = Worker::new(&context);
    loop {
        worker.wait_for_turn().await;
        // Nothing is split that is not loaded, and nothing is put together.
        let Some(Work::Objects(mut objects)) = staged.next().await else { break };
        let Some(ReadyObject { wanted, staged, scan, began, attempts: downloads, .. }) =
            objects.pop()
        else {
            break;
        };
        let object = wanted.object;
        if !worker.begin_turn(&context).await {
            tell(&events, Event::ended(Outcome::NotReached { object })).await;
            continue;
        }
        let mut attempts = Attempts::new(&context.config.retry);
        let verified = staged.verified;
        let checked = match shipment(&context, &object, &staged, &scan, false) {
            Ok(shipment) => check_one(&context, &mut worker, &shipment, &mut attempts).await,
            Err(error) => Err(error),
        };
        drop(staged);
        let attempts = attempts.made() + downloads - 1;
        let outcome = match checked {
            Ok(checked) => {
                let checked = Box::new(checked);
                Outcome::Checked { object, checked, verified, attempts, elapsed: began.elapsed() }
            }
            Err(error) => failed(None, object, error, attempts, began).await,
        };
        tell(&events, Event::ended(outcome)).await;
    }
    worker.close().await;
}

/// Checks one object, again where something got in the way.
async fn check_one(
    context: &Context,
    worker: &mut Worker,
    shipment: &Shipment,
    attempts: &mut Attempts,
) -> Result<Checked> {
    let Purpose::Check(checking) = &context.purpose else {
        return Err(Error::new(Kind::Bug, "a run that loads was to check"));
    };
    loop {
        let error = match session(context, worker, &shipment.what, "checked").await {
            Err(error) => error,
            Ok(mut session) => {
                match session.check(shipment, &checking.check, &context.shutdown.abandoning).await {
                    Ok(checked) => {
                        worker.turn.loaded(shipment.staged.size_bytes());
                        worker.keep(session);
                        return Ok(checked);
                    }
                    Err(error) => {
                        session.destroy().await;
                        error
                    }
                }
            }
        };
        worker.turn.met(&error);
        try_again(context, worker, attempts, &shipment.what, error).await?;
    }
}
