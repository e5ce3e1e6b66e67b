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

use super::bad_row_lines::{BlockReader, locate};
use super::batcher::{Batcher, Work};
use super::download::{Context, Event, Purpose, ReadyObject, emit, failed};
use super::load_worker::{Worker, request, session, try_again};
use super::{PipelineResult, RunResult, interrupted, run};
use crate::check::{Check, Checked, TargetClone};
use crate::commands::{Prepared, prepare};
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::exit_code;
use crate::file_slice::FileSlice;
use crate::load::LoadRequest;
use crate::mysql::{Sessions, SqlMode};
use crate::progress::{ListingProgress, Progress};
use crate::report::{Outcome, Report, RunEnd};
use crate::retry::Attempts;
use crate::shutdown::{Shutdown, Signals};
use crate::split::{RowLocator, RowReader, Scan};
use crate::staging::StagedObject;
use crate::terminal::Terminal;

/// What a check does with staged objects.
pub(crate) struct Checking {
    pub(crate) check: Box<Check>,
    /// Only so many rows of each object are looked at.
    pub(crate) sample: Option<u64>,
}

/// `s3-to-mysql check`.
pub async fn check(
    config: Config,
    sample: Option<u64>,
    terminal: &Terminal,
    signals: Signals,
) -> RunResult {
    let started = Instant::now();
    let shutdown = Shutdown::default();
    let listener = tokio::spawn(shutdown.clone().listen(signals));
    let found = Arc::new(ListingProgress::default());
    let style = terminal.summary_style(config.output.summary);
    let mut report = match Report::open(&config.output, config.source.keys_from.as_deref(), style) {
        Ok(report) => report,
        Err(error) => return RunResult::before_it_began(vec![error]),
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
            let end = RunEnd { elapsed: started.elapsed(), errors: &problems, ..RunEnd::default() };
            let (_, output, unwritten) = report.finish_check(end, &[], sample);
            problems.extend(unwritten);
            let mut ended = RunResult::before_it_began(problems);
            ended.output = output;
            ended.exit_code = shutdown.signalled().unwrap_or(ended.exit_code);
            return ended;
        }
    };
    for warning in &prepared.warnings {
        tracing::warn!("{warning}");
    }
    let not_checked = check.not_checked().to_vec();
    let progress = Progress::new(terminal, config.output.progress, Arc::clone(&found));
    let checking = Some(Checking { check: Box::new(check), sample });
    let PipelineResult { skipped_keys, is_listing_complete, mut errors } =
        run(&config, prepared, None, checking, &shutdown, &mut report, progress).await;
    listener.abort();

    errors.extend(shutdown.signalled().map(interrupted));
    let elapsed = started.elapsed();
    let end = RunEnd {
        skipped_keys,
        is_listing_complete,
        elapsed,
        errors: &errors,
        ledger: None,
        did_begin: true,
        verified: None,
    };
    let (totals, output, unwritten) = report.finish_check(end, &not_checked, sample);
    errors.extend(unwritten);
    let exit_code = match (shutdown.signalled(), errors.first()) {
        (_, Some(error)) if error.kind == ErrorKind::Bug => exit_code::BUG,
        (Some(code), _) => code,
        (None, Some(error)) => error.kind.exit_code(),
        (None, None) if !totals.would_everything_load() => exit_code::OBJECTS_FAILED,
        (None, None) if totals.rows_rejected > 0 => exit_code::ROWS_REJECTED,
        (None, None) => exit_code::ALL_LOADED,
    };
    RunResult { exit_code, output, errors }
}

/// Everything that has to be right before the first object, and the private table.
async fn begin(
    config: &Config,
    found: &Arc<ListingProgress>,
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
) -> Result<TargetClone> {
    let mut attempts = Attempts::new(&config.retry);
    loop {
        let prepared = async {
            let mut session = sessions.get().await?;
            let table = TargetClone::prepare(&mut session, &prepared.preflight.target).await;
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
pub(crate) async fn cut_to_sample(
    staged: &StagedObject,
    locator: RowLocator,
    reader: RowReader,
    abandoning: &CancellationToken,
) -> Result<(Scan, u64)> {
    let (file, abandoning) = (staged.file.clone(), abandoning.clone());
    match tokio::task::spawn_blocking(move || cut(&file, locator, reader, &abandoning)).await {
        Ok(cut) => cut.map_err(|error| {
            Error::new(ErrorKind::StagingFailed, "its sample can't be cut off").caused_by(error)
        }),
        Err(died) if died.is_panic() => std::panic::resume_unwind(died.into_panic()),
        Err(died) => {
            Err(Error::new(ErrorKind::Interrupted, "the program is leaving").caused_by(died))
        }
    }
}

fn cut(
    file: &FileSlice,
    locator: RowLocator,
    mut reader: RowReader,
    abandoning: &CancellationToken,
) -> io::Result<(Scan, u64)> {
    let located = locate(file, 0, locator, abandoning)?;
    let end = located
        .last()
        .map(|row| row.end)
        .ok_or_else(|| io::Error::other("its last row is not there"))?;
    let sample = file.clone().truncate(end);
    let mut blocks = BlockReader::new(&sample, 0);
    while let Some(block) = blocks.next()? {
        reader.feed(block).map_err(io::Error::other)?;
    }
    Ok((reader.finish().map_err(io::Error::other)?, end))
}

/// Checks staged objects, one at a time, on a session that is kept for as long as nothing goes
/// wrong on it.
pub(crate) async fn check_staged(
    context: Arc<Context>,
    staged: Arc<Batcher>,
    events: mpsc::Sender<Event>,
) {
    let mut worker = Worker::new(&context);
    loop {
        worker.wait_for_slot().await;
        // Nothing is split that is not loaded, and nothing is put together.
        let Some(Work::Objects(mut objects)) = staged.next().await else { break };
        let Some(ReadyObject { selected, staged, scan, began, attempts: downloads, .. }) =
            objects.pop()
        else {
            break;
        };
        let object = selected.object;
        if !worker.begin_slot(&context).await {
            emit(&events, Event::ended(Outcome::NotReached { object })).await;
            continue;
        }
        let mut attempts = Attempts::new(&context.config.retry);
        let verified = staged.verified;
        let checked = match request(&context, &object, &staged, &scan, false) {
            Ok(request) => check_one(&context, &mut worker, &request, &mut attempts).await,
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
        emit(&events, Event::ended(outcome)).await;
    }
    worker.close().await;
}

/// Checks one object, again where something got in the way.
async fn check_one(
    context: &Context,
    worker: &mut Worker,
    request: &LoadRequest,
    attempts: &mut Attempts,
) -> Result<Checked> {
    let Purpose::Check(checking) = &context.purpose else {
        return Err(Error::new(ErrorKind::Bug, "a run that loads was to check"));
    };
    loop {
        let error = match session(context, worker, &request.what, "checked").await {
            Err(error) => error,
            Ok(mut session) => {
                match session.check(request, &checking.check, &context.shutdown.abandoning).await {
                    Ok(checked) => {
                        worker.slot.committed();
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
        worker.slot.met(&error);
        try_again(context, worker, attempts, &request.what, error).await?;
    }
}
