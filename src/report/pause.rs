//! A pause of the run in the report.

use serde::Serialize;

use super::timing::shown_time;
use crate::throttle::Pause;

/// A time in which no load began, because of `--max-threads-running` or `--max-lag`.
#[derive(Debug, Serialize)]
pub(super) struct PauseFields<'a> {
    /// Its start, as RFC 3339 in UTC.
    pub(super) started_at: String,
    /// Its seconds.
    pub(super) seconds: f64,
    /// The reason with which it began: `threads_running`, `replica_lag`, or `no_answer` of a server
    /// that is watched.
    pub(super) reason: &'static str,
    /// The reason in words.
    pub(super) message: &'a str,
}

impl<'a> From<&'a Pause> for PauseFields<'a> {
    fn from(pause: &'a Pause) -> Self {
        Self {
            started_at: shown_time(pause.started_at),
            seconds: pause.duration.as_secs_f64(),
            reason: pause.reason.into(),
            message: &pause.message,
        }
    }
}
