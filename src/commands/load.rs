//! Runs the command `s3-to-mysql load`.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::metrics::{self, EndedRun, LiveMetrics, Watched};
use super::new_table;
use super::outcome::{OpenRun, RunResult};
use super::startup::{Clients, open_ledger, open_rejects, prepare};
use super::waiting::Waiting;
use crate::config::Config;
use crate::error::Error;
use crate::exit_code::{self, End};
use crate::ledger::{Finished, Job, Ledger, RunTotals};
use crate::pipeline::{PipelineResult, Prepared, run, split_object};
use crate::policy::Mode;
use crate::progress::Progress;
use crate::report::{EndTexts, JobEnd, LoadTotals, Report, RunEnd};
use crate::shutdown::Signals;
use crate::source::S3;
use crate::terminal::{FOR_PROGRAMS, Terminal};
use crate::throttle::Throttle;
use crate::units::ByteSize;
use crate::verify::{ComparePlan, TableVerification};

/// Loads the objects, and ends the job if everything is loaded.
pub async fn load(config: Config, terminal: &Terminal, signals: Signals) -> RunResult {
    let started_at = Timestamp::now();
    let mut open = match OpenRun::open(&config, terminal, signals).await {
        Ok(open) => open,
        Err(result) => {
            let ended = EndedRun::before_it_began(started_at, result.exit_code);
            metrics::publish(&config, &ended, None, None).await;
            return result;
        }
    };
    let waiting = Waiting::new(config.wait);
    let ended = Box::pin(load_table(config, &mut open, None, &waiting, terminal)).await;
    open.result(ended.exit_code, ended.texts, ended.errors)
}

/// The end of the run of one table.
#[derive(Debug)]
pub(super) struct EndedTable {
    pub(super) exit_code: u8,
    pub(super) texts: EndTexts,
    pub(super) errors: Vec<Error>,
    pub(super) did_begin: bool,
    /// True if every object is in the table, so that tables that refer to it can be loaded.
    pub(super) is_complete: bool,
    pub(super) totals: LoadTotals,
    pub(super) elapsed: Duration,
}

/// Loads one table. If it is one among several, `clients` are those of all.
pub(super) async fn load_table(
    mut config: Config,
    open: &mut OpenRun,
    clients: Option<&Clients>,
    waiting: &Waiting,
    terminal: &Terminal,
) -> EndedTable {
    let started_at = Timestamp::now();
    let shutdown = open.shutdown.clone();
    // The run of several tables has waited already.
    let mut is_to_wait = clients.is_none();
    let begun = loop {
        if is_to_wait {
            let ready = Box::pin(waiting.until_ready(&config, &shutdown.abandoning));
            if let Some(Err(problems)) = shutdown.draining.run_until_cancelled(ready).await {
                break Err(problems);
            }
        }
        is_to_wait = true;
        let begun = Box::pin(create_and_begin(&mut config, open, clients)).await;
        match begun {
            Err(problems)
                if !shutdown.draining.is_cancelled() && waiting.goes_on_after(&problems) =>
            {
                // The listing begins again.
                open.listed = Arc::default();
            }
            begun => break begun,
        }
    };
    let (prepared, ledger) = match begun {
        Ok(begun) => begun,
        Err(problems) => {
            let (exit_code, texts, errors) = open
                .end_before_it_began(
                    problems,
                    |report, end| report.write_end(&end),
                    Report::end_texts,
                )
                .await;
            let ended = EndedRun::before_it_began(started_at, exit_code);
            metrics::publish(&config, &ended, None, Some(&shutdown)).await;
            return EndedTable {
                exit_code,
                texts,
                errors,
                did_begin: false,
                is_complete: false,
                totals: LoadTotals::default(),
                elapsed: open.elapsed(),
            };
        }
    };
    // With truncate or swap, force has begun a new job, which has nothing to load again.
    config.ledger.force &= config.load.mode == Mode::Append;
    for warning in &prepared.warnings {
        tracing::warn!("{warning}");
    }
    let verification = prepared.preflight.verification.clone();
    let listed = Arc::clone(&open.listed);
    let progress = match &open.job {
        Some(job) => Progress::of_job(terminal, config.output.progress, listed, job),
        None => Progress::new(terminal, config.output.progress, listed),
    };
    let progress = progress.with_max_rate(config.throughput.max_rate.map(ByteSize::bytes));
    let ended = CancellationToken::new();
    let keeper = ledger.clone().map(|(ledger, _)| tokio::spawn(keep_alive(ledger, ended.clone())));
    let s3 = prepared.s3.clone();
    let pauses = prepared.throttle.as_ref().map(Throttle::pauses).unwrap_or_default();
    let opened = ledger.as_ref().map(|(ledger, _)| ledger);
    let live = LiveMetrics::start(&config, started_at, opened, || Watched {
        totals: open.report.share_totals(),
        listed: Arc::clone(&open.listed),
        pauses: Arc::clone(&pauses),
    });
    let mut result = run(
        &config.pipeline(),
        prepared,
        ledger.clone(),
        None,
        &shutdown,
        &mut open.report,
        progress,
    )
    .await;
    let mut verified = None;
    let mut job_end = None;
    if let Some((ledger, job)) = &ledger {
        fail_missing(&config, &s3, ledger, job, open, &mut result).await;
        let finished;
        (finished, verified) =
            end_job(&config, ledger, job, verification.as_deref(), open, &mut result).await;
        if job.mode != Mode::Append && is_undisturbed(open, &result) {
            job_end = end_of_job(ledger, job, finished).await;
        }
    }
    let PipelineResult { skipped_keys, is_listing_complete, mut errors } = result;
    open.add_signal(&mut errors);
    let elapsed = open.elapsed();
    let totals = open.report.totals().clone();
    let signal = shutdown.signalled();
    let code = |errors: &[Error]| {
        exit_code::decide(End::Run {
            signal,
            errors,
            is_complete: totals.is_success(config.output.fail_on),
            rows_rejected: totals.rows_rejected,
        })
    };
    let created_table = open.created_table.take();
    let pauses = pauses.so_far();
    let end = RunEnd {
        skipped_keys,
        is_listing_complete,
        elapsed,
        objects_listed: open.objects_listed(),
        ledger: ledger.as_ref().map(|(ledger, job)| (ledger.run(), job)),
        did_begin: true,
        verified: verified.as_ref(),
        job_end: job_end.as_ref(),
        created_table: created_table.as_ref(),
        pauses: Some(&pauses),
        ..RunEnd::default()
    };
    let unwritten =
        open.report.write_end(&RunEnd { errors: &errors, exit_code: code(&errors), ..end });
    errors.extend(unwritten);
    errors.extend(open.publish().await);
    let exit_code = code(&errors);
    let end = RunEnd { errors: &errors, exit_code, ..end };
    let texts = open.report.end_texts(end);
    ended.cancel();
    if let Some(keeper) = keeper {
        // The task ends by itself, and a panic in it does not matter.
        let _ = keeper.await;
    }
    tracing::info!(
        target: FOR_PROGRAMS,
        run_id = ledger.as_ref().map(|(ledger, _)| ledger.run().id.as_str()),
        table = %config.target.table,
        exit_code,
        objects_loaded = totals.objects_loaded,
        objects_already_loaded = totals.objects_already_loaded,
        objects_failed = totals.objects_failed,
        rows = totals.rows,
        rows_loaded = totals.rows_loaded(),
        rows_rejected = totals.rows_rejected,
        bytes = totals.bytes_loaded,
        seconds = elapsed.as_secs_f64(),
        "the run ended"
    );
    let ended_run = EndedRun {
        started_at,
        elapsed,
        exit_code,
        totals: totals.clone(),
        objects_listed: open.objects_listed(),
        is_listing_complete,
        newest_object: metrics::newest_object(&open.listed),
        pauses,
    };
    if let Some(live) = live {
        live.end().await;
    }
    if let Some(ledger) = opened {
        end_run(ledger, exit_code, &totals).await;
    }
    metrics::publish(&config, &ended_run, opened, Some(&shutdown)).await;
    if let Some(ledger) = opened {
        ledger.close().await;
    }
    let is_complete = [exit_code::ALL_LOADED, exit_code::ROWS_REJECTED].contains(&exit_code)
        && totals.is_everything_loaded();
    EndedTable { exit_code, texts, errors, did_begin: true, is_complete, totals, elapsed }
}

/// Creates the table if that is wanted, and begins the run. Every step can be repeated after it has
/// failed.
async fn create_and_begin(
    config: &mut Config,
    open: &mut OpenRun,
    clients: Option<&Clients>,
) -> std::result::Result<(Prepared, Option<(Ledger, Job)>), Vec<Error>> {
    let shutdown = open.shutdown.clone();
    let created = Box::pin(new_table::create(config, &shutdown)).await?;
    open.created_table = created.or(open.created_table.take());
    Box::pin(begin(config, open, clients)).await
}

/// Checks everything that must be right before the first object, then opens what a load writes to.
/// A signal that arrives first ends this without a problem.
async fn begin(
    config: &Config,
    open: &mut OpenRun,
    clients: Option<&Clients>,
) -> std::result::Result<(Prepared, Option<(Ledger, Job)>), Vec<Error>> {
    let shutdown = open.shutdown.clone();
    let preparing = async {
        let clients = match clients {
            Some(clients) => clients.clone(),
            None => Clients::open(config, &shutdown.abandoning).await?,
        };
        prepare(config, clients, &open.listed).await
    };
    let prepared = shutdown.draining.run_until_cancelled(Box::pin(preparing)).await;
    let mut prepared = prepared.ok_or_else(Vec::new)??;
    open.found_target(&prepared.preflight);
    let opened = async {
        prepared.throttle =
            Throttle::open(&config.throughput, config.target.port, &prepared.connector).await?;
        open_rejects(config, &mut prepared).await?;
        open_ledger(config, &mut prepared, &open.run, &shutdown.draining).await
    };
    match opened.await {
        Ok(ledger) => Ok((prepared, ledger)),
        Err(error) => {
            prepared.listing.abort();
            Err(vec![error])
        }
    }
}

/// Reports the objects that are partly loaded and gone from the store, if the run got that far.
async fn fail_missing(
    config: &Config,
    s3: &S3,
    ledger: &Ledger,
    job: &Job,
    open: &mut OpenRun,
    result: &mut PipelineResult,
) {
    if !job.was_partial || !is_undisturbed(open, result) {
        return;
    }
    match split_object::fail_missing(&config.pipeline(), s3, ledger, job).await {
        Ok(gone) => {
            result
                .errors
                .extend(gone.iter().filter_map(|outcome| open.report.record(outcome).err()));
        }
        Err(error) => result.errors.push(error),
    }
}

/// Returns the end of the job for the summary, as a best effort.
async fn end_of_job(ledger: &Ledger, job: &Job, is_finished: bool) -> Option<JobEnd> {
    match ledger.job_totals(job).await {
        Ok(totals) => {
            Some(JobEnd { mode: job.mode, is_resumed: job.is_resumed, is_finished, totals })
        }
        Err(error) => {
            tracing::debug!("the totals of the job are unknown: {}", error.one_line());
            None
        }
    }
}

/// Ends the job if every object is loaded. Returns true if it has ended, and what the comparison of
/// the table found, if one was wanted and this run made it.
async fn end_job(
    config: &Config,
    ledger: &Ledger,
    job: &Job,
    verification: Option<&ComparePlan>,
    open: &OpenRun,
    result: &mut PipelineResult,
) -> (bool, Option<TableVerification>) {
    let is_everything_loaded = open.report.totals().is_everything_loaded();
    if job.mode == Mode::Append || !is_undisturbed(open, result) || !is_everything_loaded {
        return (false, None);
    }
    let stop = &open.shutdown.draining;
    match ledger.finish_job(job, &config.job(), verification, stop).await {
        Ok((_, Some(found))) => (true, Some(found)),
        Ok((Finished::Before, None)) if verification.is_some() => {
            tracing::warn!(
                "another run has ended the job; \
                 see the report of that run for the result of --verify"
            );
            (true, None)
        }
        Ok(_) => (true, None),
        Err(error) => {
            result.errors.push(error);
            (false, None)
        }
    }
}

/// Returns true if neither an error nor a signal has ended the run early.
fn is_undisturbed(open: &OpenRun, result: &PipelineResult) -> bool {
    result.errors.is_empty() && open.shutdown.signalled().is_none() && result.is_listing_complete
}

/// Records the end of the run in the ledger.
async fn end_run(ledger: &Ledger, exit_code: u8, totals: &LoadTotals) {
    let run_totals = RunTotals {
        exit_code,
        objects_loaded: totals.objects_loaded,
        objects_already_loaded: totals.objects_already_loaded,
        objects_failed: totals.objects_failed,
        rows: totals.rows,
        bytes: totals.bytes_loaded,
    };
    if let Err(error) = ledger.end_run(run_totals).await {
        tracing::warn!("the end of this run is not recorded in the ledger: {}", error.one_line());
    }
}

/// Keeps the idle connection of the ledger open, and with it the claims.
pub(crate) async fn keep_alive(ledger: Ledger, ended: CancellationToken) {
    while ended.run_until_cancelled(tokio::time::sleep(KEEP_ALIVE)).await.is_some() {
        if let Err(error) = ledger.ping().await {
            tracing::warn!("{}", error.one_line());
        }
    }
}

/// The time between pings, far below the time after which a server closes an idle connection.
pub(crate) const KEEP_ALIVE: Duration = Duration::from_secs(20);
