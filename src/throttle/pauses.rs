//! The pauses of a run: the times in which no transaction may begin, and why.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use strum::{EnumIter, IntoStaticStr};

/// The number of pauses that are kept one by one. All count in the sums.
const PAUSES_KEPT: usize = 1000;

/// The kind of a reason for a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, EnumIter, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum PauseReason {
    /// More threads run on the server than `--max-threads-running` allows.
    ThreadsRunning,
    /// A replica lags more than `--max-lag` allows, or does not replicate.
    ReplicaLag,
    /// A server that is watched does not answer.
    NoAnswer,
}

/// One pause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    pub started_at: Timestamp,
    pub duration: Duration,
    /// The reason with which it began.
    pub reason: PauseReason,
    /// The reason as the log tells it.
    pub message: String,
}

/// The pauses of a run so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pauses {
    /// The first of them.
    pub first: Vec<Pause>,
    /// The sum of all durations for each reason.
    pub sums: BTreeMap<PauseReason, Duration>,
}

/// The record of pauses, shared by the monitor and by those who tell about the run.
#[derive(Debug, Default)]
pub struct PauseLog(Mutex<Logged>);

#[derive(Debug, Default)]
struct Logged {
    ended: Pauses,
    current: Option<(Pause, Instant)>,
}

impl PauseLog {
    /// Returns true while the run is paused.
    pub(super) fn is_paused(&self) -> bool {
        self.logged().current.is_some()
    }

    pub(super) fn begin(&self, reason: PauseReason, message: String) {
        let started_at = Timestamp::now();
        let pause = Pause { started_at, duration: Duration::ZERO, reason, message };
        self.logged().current = Some((pause, Instant::now()));
    }

    /// Ends the pause, and returns its duration if there was one.
    pub(super) fn end(&self) -> Option<Duration> {
        let mut logged = self.logged();
        let (pause, began) = logged.current.take()?;
        let duration = began.elapsed();
        logged.ended.add(Pause { duration, ..pause });
        Some(duration)
    }

    /// Returns all pauses, with the current one up to now.
    #[must_use]
    pub fn so_far(&self) -> Pauses {
        let logged = self.logged();
        let mut pauses = logged.ended.clone();
        if let Some((pause, began)) = &logged.current {
            pauses.add(Pause { duration: began.elapsed(), ..pause.clone() });
        }
        pauses
    }

    fn logged(&self) -> MutexGuard<'_, Logged> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pauses {
    fn add(&mut self, pause: Pause) {
        *self.sums.entry(pause.reason).or_default() += pause.duration;
        if self.first.len() < PAUSES_KEPT {
            self.first.push(pause);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_counts_while_it_lasts_and_once() {
        let log = PauseLog::default();
        assert_eq!((log.end(), log.so_far()), (None, Pauses::default()));
        log.begin(PauseReason::ReplicaLag, "10 s behind".to_owned());
        std::thread::sleep(Duration::from_millis(3));
        assert!(log.is_paused());
        let current = log.so_far();
        assert!(current.sums[&PauseReason::ReplicaLag] >= Duration::from_millis(3));
        let duration = log.end().unwrap();
        assert!(!log.is_paused() && duration >= current.first[0].duration);
        log.begin(PauseReason::NoAnswer, "gone".to_owned());
        let both = log.so_far();
        assert_eq!(both.first.len(), 2);
        assert_eq!(both.sums[&PauseReason::ReplicaLag], duration);
    }

    #[test]
    fn pauses_without_end_are_summed_but_not_all_kept() {
        let mut pauses = Pauses::default();
        let pause = Pause {
            started_at: Timestamp::UNIX_EPOCH,
            duration: Duration::from_secs(1),
            reason: PauseReason::ThreadsRunning,
            message: String::new(),
        };
        (0..1001).for_each(|_| pauses.add(pause.clone()));
        assert_eq!(pauses.first.len(), PAUSES_KEPT);
        assert_eq!(pauses.sums[&PauseReason::ThreadsRunning], Duration::from_secs(1001));
    }
}
