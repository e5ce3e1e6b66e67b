//! The one layer that retries: limited by count and by elapsed time, with jitter.
//!
//! The SDK's own retries are off and the driver has none, because retries in several layers
//! multiply. [`ErrorKind::consequence`](crate::error::ErrorKind::consequence) alone decides what
//! may be retried. Callers pass only operations that are safe to repeat: reads from S3, and
//! transactions that are known to have been rolled back, such as by a deadlock. The loop around a
//! load is `pipeline/attempt`.

use std::time::{Duration, Instant};

use crate::error::{Consequence, Error};
use crate::terminal::{FOR_PEOPLE, FOR_PROGRAMS};

/// The upper bound of the first pause, which is random. The bound doubles with each later pause.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The upper bound of any pause: long enough for a server to restart or a throttled prefix to
/// recover, short enough to notice soon that it has.
const LONGEST_PAUSE: Duration = Duration::from_secs(20);

/// The attempts of one operation.
#[derive(Debug)]
pub struct Attempts {
    made: u32,
    started: Instant,
    config: RetryConfig,
}

impl Attempts {
    #[must_use]
    pub fn new(config: &RetryConfig) -> Self {
        Self { made: 1, started: Instant::now(), config: config.clone() }
    }

    /// Returns the number of attempts so far, including the first.
    pub(crate) fn made(&self) -> u32 {
        self.made
    }

    /// Logs the error and waits for the next attempt. Returns false if no attempt is left.
    pub(crate) async fn wait_after(&mut self, error: &Error) -> bool {
        let Some(pause) = self.pause_after(error) else { return false };
        warn_of_retry(self.made, error, pause);
        tokio::time::sleep(pause).await;
        true
    }

    /// Does the same as [`Attempts::wait_after`] where another task logs the same error.
    pub(crate) async fn wait_quietly_after(&mut self, error: &Error) -> bool {
        let Some(pause) = self.pause_after(error) else { return false };
        tracing::debug!("{}; trying again {}", error.one_line(), after(pause));
        tokio::time::sleep(pause).await;
        true
    }

    /// Returns the pause before the next attempt, or `None` if no attempt is left.
    pub(crate) fn pause_after(&mut self, error: &Error) -> Option<Duration> {
        if !matches!(error.kind.consequence(), Consequence::Retry | Consequence::RetryThenAbort) {
            return None;
        }
        if self.made >= self.config.max_attempts {
            return None;
        }
        let ceiling = FIRST_PAUSE.saturating_mul(1 << (self.made - 1).min(16)).min(LONGEST_PAUSE);
        // Full jitter: workers that failed together must not retry together.
        let pause = ceiling.mul_f64(fastrand::f64());
        if self.started.elapsed() + pause >= self.config.max_elapsed {
            return None;
        }
        self.made += 1;
        Some(pause)
    }
}

/// Logs the error and the pause before the next attempt, of which this is the number.
pub(crate) fn warn_of_retry(attempt: u32, error: &Error, pause: Duration) {
    let error = error.one_line();
    let seconds = pause.as_secs_f64();
    tracing::warn!(target: FOR_PROGRAMS, attempt, seconds, "{error}; trying again");
    tracing::warn!(target: FOR_PEOPLE, "{error}; trying again {}", after(pause));
}

/// Returns `in 40 ms` or `in 1.5 s`.
fn after(pause: Duration) -> String {
    match pause.as_millis() {
        milliseconds @ ..1000 => format!("in {milliseconds} ms"),
        _ => format!("in {:.1} s", pause.as_secs_f64()),
    }
}

/// The limits on retries. The first one reached ends them.
#[derive(Clone, Debug)]
pub struct RetryConfig {
    /// The number of attempts, including the first; at least 1.
    pub max_attempts: u32,
    pub max_elapsed: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn attempts(max_attempts: u32, max_elapsed: Duration) -> Attempts {
        Attempts::new(&RetryConfig { max_attempts, max_elapsed })
    }

    #[test]
    fn a_pause_is_told_in_the_unit_that_fits() {
        assert_eq!(after(Duration::from_millis(40)), "in 40 ms");
        assert_eq!(after(Duration::from_millis(1540)), "in 1.5 s");
    }

    #[test]
    fn tries_end_at_the_count() {
        let busy = Error::new(ErrorKind::SourceBusy, "503");
        let mut attempts = attempts(3, Duration::from_secs(900));
        assert!(attempts.pause_after(&busy).is_some());
        assert!(attempts.pause_after(&busy).is_some());
        assert_eq!(attempts.pause_after(&busy), None);
        assert_eq!(attempts.made(), 3);
    }

    #[test]
    fn tries_end_at_the_elapsed_time() {
        let busy = Error::new(ErrorKind::SourceBusy, "503");
        assert_eq!(attempts(100, Duration::ZERO).pause_after(&busy), None);
    }

    #[test]
    fn what_is_not_safe_to_repeat_is_not_repeated() {
        for kind in [
            ErrorKind::OutcomeUnknown,
            ErrorKind::ObjectChanged,
            ErrorKind::BadRows,
            ErrorKind::TargetLogin,
        ] {
            assert_eq!(
                attempts(8, Duration::from_secs(900)).pause_after(&Error::new(kind, "")),
                None
            );
        }
    }

    #[test]
    fn pauses_stay_below_the_longest() {
        let busy = Error::new(ErrorKind::SourceBusy, "503");
        let mut attempts = attempts(60, Duration::from_secs(900));
        while let Some(pause) = attempts.pause_after(&busy) {
            assert!(pause <= LONGEST_PAUSE);
        }
        assert_eq!(attempts.made(), 60);
    }
}
