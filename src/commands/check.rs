//! The command `s3-to-mysql check`.

use std::sync::Arc;
use std::time::Instant;

use super::outcome::{RunResult, interrupted};
use super::startup::prepare;
use crate::check::{Check, TargetClone};
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::exit_code;
use crate::mysql::{Sessions, SqlMode};
use crate::pipeline::{Checking, PipelineResult, Prepared, run};
use crate::progress::{ListingProgress, Progress};
use crate::report::{Report, RunEnd};
use crate::retry::Attempts;
use crate::shutdown::{Shutdown, Signals};
use crate::terminal::Terminal;

/// Checks what a load would do, and loads nothing into the target.
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
        run(&config.pipeline(), prepared, None, checking, &shutdown, &mut report, progress).await;
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

/// Checks everything that must be right before the first object, and prepares the check.
pub(crate) async fn begin(
    config: &Config,
    found: &Arc<ListingProgress>,
) -> std::result::Result<(Prepared, Check), Vec<Error>> {
    let mut prepared = prepare(config, found).await?;
    if let Some(idle) = prepared.session.take() {
        // The ledger would use this session, but a check has no ledger.
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

pub(crate) async fn check_table(
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
