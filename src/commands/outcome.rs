//! Begins and ends a command: its report, its signals, and the [`RunResult`] that it ends with.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::config::Config;
use crate::error::{Error, ErrorKind};
use crate::exit_code::{self, End};
use crate::ledger::RunId;
use crate::preflight::Preflight;
use crate::progress::ListingProgress;
use crate::report::{EndTexts, Report, RunEnd, RunFacts};
use crate::s3_uri::SourceUri;
use crate::shutdown::{Shutdown, Signals};
use crate::terminal::Terminal;

/// The result of a run.
#[derive(Debug, Default)]
pub struct RunResult {
    pub exit_code: u8,
    /// The text for standard output.
    pub output: String,
    /// The text for standard error, about the objects in which something is wrong.
    pub problems: String,
    /// The errors that prevented or ended the run, for standard error.
    pub errors: Vec<Error>,
}

impl RunResult {
    pub(crate) fn before_it_began(errors: Vec<Error>) -> Self {
        let exit_code = exit_code::decide(End::NotBegun { signal: None, problems: &errors });
        Self { exit_code, errors, ..Self::default() }
    }

    /// Returns the result of a command that only reads or changes the ledger, and did it.
    pub(super) fn of_ledger(output: String) -> Self {
        let exit_code = exit_code::decide(End::LedgerCommand(None));
        Self { exit_code, output, ..Self::default() }
    }

    /// Returns the result of a command that only reads or changes the ledger, and failed.
    pub(super) fn of_ledger_failed(error: Error) -> Self {
        let exit_code = exit_code::decide(End::LedgerCommand(Some(error.kind)));
        Self { exit_code, errors: vec![error], ..Self::default() }
    }
}

/// Returns the error of a run that a signal ended, for the report and standard error.
pub(crate) fn interrupted(exit_code: u8) -> Error {
    let signal = if exit_code == exit_code::TERMINATED { "SIGTERM" } else { "SIGINT" };
    Error::new(ErrorKind::Interrupted, format!("the run was stopped by {signal}"))
}

/// A run of `load` or `check` from its first moment to its last: the clock, the signals, the count
/// of what is listed, and the report.
pub(super) struct OpenRun {
    started: Instant,
    pub(super) run: RunId,
    pub(super) shutdown: Shutdown,
    pub(super) listed: Arc<ListingProgress>,
    pub(super) report: Report,
}

impl OpenRun {
    /// Opens the report's files and listens for signals.
    ///
    /// # Errors
    /// The result of a run whose report cannot be opened.
    pub(super) fn open(
        config: &Config,
        terminal: &Terminal,
        signals: Signals,
    ) -> Result<Self, RunResult> {
        let started = Instant::now();
        let style = terminal.summary_style(config.output.summary);
        let keys_from = config.source.keys_from.as_deref();
        let run = RunId::new();
        let facts = facts(config, &run);
        let report = Report::open(&config.output, facts, keys_from, style, terminal.error_paint())
            .map_err(|error| RunResult::before_it_began(vec![error]))?;
        let shutdown = Shutdown::default();
        // Ends with the process.
        tokio::spawn(shutdown.clone().listen(signals));
        Ok(Self { started, run, shutdown, listed: Arc::default(), report })
    }

    /// Ends a run that did not begin. `finish` writes the report's last line, without which the
    /// report would not say why, and returns the texts.
    pub(super) fn end_before_it_began(
        mut self,
        mut problems: Vec<Error>,
        finish: impl Fn(&mut Report, RunEnd<'_>) -> (EndTexts, Option<Error>),
    ) -> RunResult {
        let signal = self.shutdown.signalled();
        problems.extend(signal.map(interrupted));
        let code = |problems: &[Error]| exit_code::decide(End::NotBegun { signal, problems });
        let elapsed = self.started.elapsed();
        let objects_listed = self.objects_listed();
        let end = RunEnd { elapsed, objects_listed, ..RunEnd::default() };
        let exit_code = code(&problems);
        let report = &mut self.report;
        let (mut texts, unwritten) = finish(report, RunEnd { errors: &problems, exit_code, ..end });
        let exit_code = match unwritten {
            None => exit_code,
            Some(unwritten) => {
                problems.push(unwritten);
                let exit_code = code(&problems);
                (texts, _) = finish(report, RunEnd { errors: &problems, exit_code, ..end });
                exit_code
            }
        };
        RunResult { exit_code, output: texts.summary, problems: texts.problems, errors: problems }
    }

    /// Adds the signal that ended the run to its errors. Later ones are still listened to: the
    /// run still reports its end to the ledger, which may not answer.
    pub(super) fn add_signal(&self, errors: &mut Vec<Error>) {
        errors.extend(self.shutdown.signalled().map(interrupted));
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
    /// Returns the number of objects that the listing has found so far.
    pub(super) fn objects_listed(&self) -> u64 {
        self.listed.objects.load(Ordering::Relaxed)
    }

    /// Tells the report what the preflight has found out.
    pub(super) fn found_target(&mut self, preflight: &Preflight) {
        let server = (preflight.server.flavor.to_string(), preflight.server.version.clone());
        self.report.found_target(preflight.target.name().plain(), server);
    }
}

fn facts(config: &Config, run: &RunId) -> RunFacts {
    let mut table = config.target.table.clone();
    table.database = table.database.or_else(|| config.target.database.clone());
    RunFacts {
        run_id: run.id.clone(),
        table: table.plain(),
        server: None,
        sources: config.source.uris.iter().map(SourceUri::literal).collect(),
        keys_from: config.source.keys_from.as_ref().map(|path| path.display().to_string()),
        started_at: Timestamp::now(),
    }
}
