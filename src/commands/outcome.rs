//! Decides how a command ends: its exit code, its output and its errors.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::Config;
use crate::error::{Error, ErrorKind};
use crate::exit_code;
use crate::progress::ListingProgress;
use crate::report::{Report, RunEnd};
use crate::shutdown::{Shutdown, Signals};
use crate::terminal::Terminal;

/// The result of a run.
#[derive(Debug)]
pub struct RunResult {
    pub exit_code: u8,
    /// The text for standard output.
    pub output: String,
    /// The errors that prevented or ended the run, for standard error.
    pub errors: Vec<Error>,
}

impl RunResult {
    pub(crate) fn before_it_began(errors: Vec<Error>) -> Self {
        // The exit code names the class of problems that the operator should fix first.
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

/// Returns the error of a run that a signal ended, for the report and standard error.
pub(crate) fn interrupted(exit_code: u8) -> Error {
    let signal = if exit_code == exit_code::TERMINATED { "SIGTERM" } else { "SIGINT" };
    Error::new(ErrorKind::Interrupted, format!("the run was stopped by {signal}"))
}

/// A run of `load` or `check` from its first moment to its last: the clock, the signals, the count
/// of what is listed, and the report.
pub(super) struct OpenRun {
    started: Instant,
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
        let report = Report::open(&config.output, config.source.keys_from.as_deref(), style)
            .map_err(|error| RunResult::before_it_began(vec![error]))?;
        let shutdown = Shutdown::default();
        // Ends with the process.
        tokio::spawn(shutdown.clone().listen(signals));
        Ok(Self { started, shutdown, listed: Arc::new(ListingProgress::default()), report })
    }

    /// Ends a run that did not begin. `finish` writes the report's last line, without which the
    /// report would not say why.
    pub(super) fn end_before_it_began(
        self,
        mut problems: Vec<Error>,
        finish: impl FnOnce(Report, RunEnd<'_>) -> (String, Option<Error>),
    ) -> RunResult {
        problems.extend(self.shutdown.signalled().map(interrupted));
        let elapsed = self.started.elapsed();
        let end = RunEnd { elapsed, errors: &problems, ..RunEnd::default() };
        let (output, unwritten) = finish(self.report, end);
        problems.extend(unwritten);
        let result = RunResult::before_it_began(problems);
        let exit_code = self.shutdown.signalled().unwrap_or(result.exit_code);
        RunResult { exit_code, output, ..result }
    }

    /// Adds the signal that ended the run to its errors. Later ones are still listened to: the
    /// run still reports its end to the ledger, which may not answer.
    pub(super) fn add_signal(&self, errors: &mut Vec<Error>) {
        errors.extend(self.shutdown.signalled().map(interrupted));
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

/// Decides the exit code of a run that began. A bug comes first, then the signal that ended the
/// run, then the error that did; then objects that failed, then rows that were rejected.
pub(super) fn decide_exit_code(
    signalled: Option<u8>,
    errors: &[Error],
    is_every_object_right: bool,
    rows_rejected: u64,
) -> u8 {
    match (signalled, errors.first()) {
        (_, Some(error)) if error.kind == ErrorKind::Bug => exit_code::BUG,
        (Some(code), _) => code,
        (None, Some(error)) => error.kind.exit_code(),
        (None, None) if !is_every_object_right => exit_code::OBJECTS_FAILED,
        (None, None) if rows_rejected > 0 => exit_code::ROWS_REJECTED,
        (None, None) => exit_code::ALL_LOADED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gravest_reason_decides_the_exit_code() {
        let bug = || vec![Error::new(ErrorKind::Bug, "b")];
        let lost = || vec![Error::new(ErrorKind::TargetUnreachable, "t")];
        assert_eq!(decide_exit_code(Some(143), &bug(), false, 1), exit_code::BUG);
        assert_eq!(decide_exit_code(Some(143), &lost(), false, 1), 143);
        assert_eq!(decide_exit_code(None, &lost(), false, 1), exit_code::TARGET_UNAVAILABLE);
        assert_eq!(decide_exit_code(None, &[], false, 1), exit_code::OBJECTS_FAILED);
        assert_eq!(decide_exit_code(None, &[], true, 1), exit_code::ROWS_REJECTED);
        assert_eq!(decide_exit_code(None, &[], true, 0), exit_code::ALL_LOADED);
    }
}
