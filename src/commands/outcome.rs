//! How a command ends: its exit code, its output and its errors.

use crate::error::{Error, ErrorKind};
use crate::exit_code;

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
