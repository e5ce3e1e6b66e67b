//! Runs the command `s3-to-mysql check`.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::new_table::refuse_missing;
use super::outcome::{OpenRun, RunResult};
use super::startup::{Clients, prepare};
use super::waiting::Waiting;
use crate::check::{Check, SetNulls, TargetClone};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::exit_code::{self, End};
use crate::mysql::{Sessions, SqlMode};
use crate::pipeline::{Checking, PipelineResult, Prepared, run};
use crate::progress::{ListingProgress, Progress};
use crate::report::{CheckEnd, EndTexts, RunEnd};
use crate::retry::Attempts;
use crate::shutdown::Signals;
use crate::terminal::Terminal;

/// Checks what a load would do, and loads nothing into the target.
pub async fn check(
    config: Config,
    sample: Option<u64>,
    terminal: &Terminal,
    signals: Signals,
) -> RunResult {
    let mut open = match OpenRun::open(&config, terminal, signals).await {
        Ok(open) => open,
        Err(result) => return result,
    };
    let waiting = Waiting::new(config.wait);
    let checking = check_table(config, sample, &mut open, &waiting, terminal);
    let (exit_code, texts, errors) = Box::pin(checking).await;
    open.result(exit_code, texts, errors)
}

/// Checks the objects of one table. Returns the exit code, the texts and the errors.
pub(super) async fn check_table(
    config: Config,
    sample: Option<u64>,
    open: &mut OpenRun,
    waiting: &Waiting,
    terminal: &Terminal,
) -> (u8, EndTexts, Vec<Error>) {
    let shutdown = open.shutdown.clone();
    let begun = loop {
        let beginning = async {
            waiting.until_ready(&config, &shutdown.abandoning).await?;
            Box::pin(begin(&config, &open.listed, &shutdown.abandoning)).await
        };
        match shutdown.draining.run_until_cancelled(Box::pin(beginning)).await {
            None => break Err(Vec::new()),
            Some(Err(problems)) if waiting.goes_on_after(&problems) => {
                // The listing begins again.
                open.listed = Arc::default();
            }
            Some(begun) => break begun,
        }
    };
    let (prepared, check) = match begun {
        Ok(begun) => begun,
        Err(problems) => {
            return open
                .end_before_it_began(
                    problems,
                    |report, end| report.write_check_end(&unbegun(end, sample)),
                    |report, end| report.check_end_texts(unbegun(end, sample)),
                )
                .await;
        }
    };
    open.found_target(&prepared.preflight);
    for warning in &prepared.warnings {
        tracing::warn!("{warning}");
    }
    let not_checked = check.not_checked().to_vec();
    let listed = Arc::clone(&open.listed);
    let progress = match &open.job {
        Some(job) => Progress::of_job(terminal, config.output.progress, listed, job),
        None => Progress::new(terminal, config.output.progress, listed),
    };
    let checking = Some(Checking { check: Box::new(check), sample });
    let PipelineResult { skipped_keys, is_listing_complete, mut errors } =
        run(&config.pipeline(), prepared, None, checking, &shutdown, &mut open.report, progress)
            .await;
    open.add_signal(&mut errors);
    let elapsed = open.elapsed();
    let totals = open.report.check_totals();
    let signal = shutdown.signalled();
    let code = |errors: &[Error]| {
        exit_code::decide(End::Run {
            signal,
            errors,
            is_complete: totals.would_everything_load(),
            rows_rejected: totals.rows_rejected,
        })
    };
    let end = RunEnd {
        skipped_keys,
        is_listing_complete,
        elapsed,
        objects_listed: open.objects_listed(),
        did_begin: true,
        ..RunEnd::default()
    };
    let run = RunEnd { errors: &errors, exit_code: code(&errors), ..end };
    let unwritten =
        open.report.write_check_end(&CheckEnd { run, not_checked: &not_checked, sample });
    errors.extend(unwritten);
    errors.extend(open.publish().await);
    let exit_code = code(&errors);
    let run = RunEnd { errors: &errors, exit_code, ..end };
    let texts = open.report.check_end_texts(CheckEnd { run, not_checked: &not_checked, sample });
    (exit_code, texts, errors)
}

/// Returns the end of a check that did not begin.
fn unbegun(run: RunEnd<'_>, sample: Option<u64>) -> CheckEnd<'_> {
    CheckEnd { run, not_checked: &[], sample }
}

/// Checks everything that must be right before the first object, and prepares the check.
pub(crate) async fn begin(
    config: &Config,
    found: &Arc<ListingProgress>,
    abandoning: &CancellationToken,
) -> std::result::Result<(Prepared, Check), Vec<Error>> {
    refuse_missing(config, abandoning).await?;
    let clients = Clients::open(config, abandoning).await?;
    let mut prepared = prepare(config, clients, found).await?;
    if let Some(idle) = prepared.session.take() {
        // The ledger would use this session, but a check has no ledger.
        idle.close().await;
    }
    let Prepared { connector, preflight, .. } = &prepared;
    let sql_mode = SqlMode::of(preflight.policy.on_bad_row);
    let sessions = connector.pool(&preflight.server, sql_mode, 1);
    let set_nulls = SetNulls::new(&preflight.schema, &preflight.layout.columns, &config.format);
    let table = clone_of_target(config, &prepared, &sessions, &set_nulls).await;
    sessions.close().await;
    match table {
        Ok(table) => {
            let check = Check::new(
                table,
                set_nulls,
                &preflight.schema,
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

pub(crate) async fn clone_of_target(
    config: &Config,
    prepared: &Prepared,
    sessions: &Sessions,
    set_nulls: &SetNulls,
) -> Result<TargetClone> {
    let mut attempts = Attempts::new(&config.retry);
    loop {
        let prepared = async {
            let mut session = sessions.get().await?;
            let schema = &prepared.preflight.schema;
            let table = TargetClone::prepare(&mut session, schema, set_nulls).await;
            session.destroy().await;
            table
        };
        match prepared.await {
            Err(error) if attempts.wait_after(&error).await => {}
            ended => return ended,
        }
    }
}
