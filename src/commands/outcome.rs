//! How a command ends: its exit code, its output and its errors.

use crate::error::{Error, ErrorKind};
use crate::exit_code;

/// How a run ended.
#[derive(Debug)]
pub struct RunResult {
    pub exit_code: u8,
    /// For standard output.
    pub output: String,
    /// For standard error: what kept the run from beginning, or ended it.
    pub errors: Vec<Error>,
}

impl RunResult {
    pub(crate) fn before_it_began(errors: Vec<Error>) -> Self {
        // The operator mends one thing at a time; the first class of problem in this order is the
        // one to mend first.
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

/// What the report and standard error say of a run that a signal ended.
pub(crate) fn interrupted(exit_code: u8) -> Error {
    let signal = if exit_code == exit_code::TERMINATED { "SIGTERM" } else { "SIGINT" };
    Error::new(ErrorKind::Interrupted, format!("the run was stopped by {signal}"))
}
