//! Runs the command `s3-to-mysql load`.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::outcome::{OpenRun, RunResult};
use super::startup::{open_ledger, open_rejects, prepare};
use crate::config::Config;
use crate::exit_code::{self, End};
use crate::ledger::{Finished, Ledger, RunTotals};
use crate::pipeline::{PipelineResult, run, split_object};
use crate::policy::Mode;
use crate::progress::Progress;
use crate::report::RunEnd;
use crate::shutdown::Signals;
use crate::terminal::Terminal;
use crate::throttle::Throttle;

/// Loads the objects, and ends the job if everything is loaded.
pub async fn load(mut config: Config, terminal: &Terminal, signals: Signals) -> RunResult {
    let mut open = match OpenRun::open(&config, terminal, signals) {
        Ok(open) => open,
        Err(result) => return result,
    };
    let shutdown = open.shutdown.clone();
    let prepared = tokio::select! {
        biased;
        () = shutdown.draining.cancelled() => Err(Vec::new()),
        prepared = prepare(&config, &open.listed, &shutdown.abandoning) => prepared,
    };
    let begun = match prepared {
        Ok(mut prepared) => {
            let opened = async {
                prepared.throttle =
                    Throttle::open(&config.throughput, config.target.port, &prepared.connector)
                        .await?;
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
        Err(problems) => {
            return open.end_before_it_began(problems, |report, end| {
                let (_, output, unwritten) = report.finish(end);
                (output, unwritten)
            });
        }
    };
    // With truncate or swap, force has begun a new job, which has nothing to load again.
    config.ledger.force &= config.load.mode == Mode::Append;
    for warning in &prepared.warnings {
        tracing::warn!("{warning}");
    }
    let verification = prepared.preflight.verification.clone();
    let mut verified = None;
    let progress = Progress::new(terminal, config.output.progress, Arc::clone(&open.listed));
    let ended = CancellationToken::new();
    let keeper = ledger.clone().map(|(ledger, _)| tokio::spawn(keep_alive(ledger, ended.clone())));
    let s3 = prepared.s3.clone();
    let PipelineResult { skipped_keys, is_listing_complete, mut errors } = run(
        &config.pipeline(),
        prepared,
        ledger.clone(),
        None,
        &shutdown,
        &mut open.report,
        progress,
    )
    .await;
    if let Some((ledger, job)) = &ledger
        && job.was_partial
        && errors.is_empty()
        && shutdown.signalled().is_none()
        && is_listing_complete
    {
        match split_object::fail_missing(&config.pipeline(), &s3, ledger, job).await {
            Ok(gone) => {
                errors.extend(gone.iter().filter_map(|outcome| open.report.record(outcome).err()));
            }
            Err(error) => errors.push(error),
        }
    }
    if let Some((ledger, job)) = &ledger
        && job.mode != Mode::Append
        && errors.is_empty()
        && shutdown.signalled().is_none()
        && open.report.totals().is_everything_loaded()
        && is_listing_complete
    {
        match ledger
            .finish_job(job, &config.job(), verification.as_deref(), &shutdown.draining)
            .await
        {
            Ok((_, Some(found))) => verified = Some(found),
            Ok((Finished::Before, None)) if verification.is_some() => {
                tracing::warn!(
                    "another run has ended the job; \
                     see the report of that run for the result of --verify"
                );
            }
            Ok(_) => {}
            Err(error) => errors.push(error),
        }
    }
    open.add_signal(&mut errors);
    let elapsed = open.elapsed();
    let (totals, output, unwritten) = open.report.finish(RunEnd {
        skipped_keys,
        is_listing_complete,
        elapsed,
        errors: &errors,
        ledger: ledger.as_ref().map(|(ledger, job)| (ledger.run(), job)),
        did_begin: true,
        verified: verified.as_ref(),
    });
    errors.extend(unwritten);
    let exit_code = exit_code::decide(End::Run {
        signal: shutdown.signalled(),
        errors: &errors,
        is_complete: totals.is_everything_loaded(),
        rows_rejected: totals.rows_rejected,
    });
    ended.cancel();
    if let Some(keeper) = keeper {
        // The task ends by itself, and a panic in it does not matter.
        let _ = keeper.await;
    }
    if let Some((ledger, _)) = &ledger {
        let run_totals = RunTotals {
            exit_code,
            objects_loaded: totals.objects_loaded,
            objects_already_loaded: totals.objects_already_loaded,
            objects_failed: totals.objects_failed,
            rows: totals.rows,
            bytes: totals.bytes_loaded,
        };
        if let Err(error) = ledger.end_run(run_totals).await {
            tracing::warn!(
                "the end of this run is not recorded in the ledger: {}",
                error.one_line()
            );
        }
        ledger.close().await;
    }
    RunResult { exit_code, output, errors }
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
