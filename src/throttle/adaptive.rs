//! Decides how many transactions may run at once. Uses no clock, task or server.
//!
//! The limit works like the congestion window of TCP: additive increase, multiplicative decrease.
//! It starts at its maximum. A lock conflict halves it. If the server refuses a connection, it
//! falls to the number of connections that the server has accepted. It rises by one after each
//! interval without trouble.

use std::time::Duration;

/// The time for which transactions must commit without trouble before the limit rises by one.
const CLEAN_INTERVAL: Duration = Duration::from_secs(5);

/// The reason for a change of the limit, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LimitChange {
    /// A transaction was the victim of a deadlock, or waited too long for a lock.
    Conflict,
    /// The server refused a connection.
    ServerFull,
    /// No trouble occurred for [`CLEAN_INTERVAL`].
    CleanInterval,
}

/// The number of transactions that may run at once. All times count from the start of the run.
#[derive(Debug)]
pub(crate) struct AdaptiveLimit {
    limit: usize,
    max: usize,
    /// The time of the last change of the limit, or of the last trouble.
    clean_since: Duration,
    /// The time when the limit last fell.
    fell_at: Option<Duration>,
}

impl AdaptiveLimit {
    pub(crate) fn new(max: usize) -> Self {
        let max = max.max(1);
        Self { limit: max, max, clean_since: Duration::ZERO, fell_at: None }
    }

    /// Returns how many transactions may run at once, at least 1.
    pub(crate) fn current(&self) -> usize {
        self.limit
    }

    /// Records that a transaction committed.
    pub(crate) fn committed(&mut self, now: Duration) -> Option<LimitChange> {
        if self.limit == self.max || now.saturating_sub(self.clean_since) < CLEAN_INTERVAL {
            return None;
        }
        self.limit += 1;
        self.clean_since = now;
        Some(LimitChange::CleanInterval)
    }

    /// Records that a transaction, which began at `began`, was rolled back because of another one's
    /// locks.
    pub(crate) fn conflicted(&mut self, began: Duration, now: Duration) -> Option<LimitChange> {
        self.clean_since = now;
        // One deadlock often has several victims. Those that began under the old limit say nothing
        // about the new one.
        if self.fell_at.is_some_and(|fell_at| began < fell_at) {
            return None;
        }
        self.fall_to(self.limit / 2, now).then_some(LimitChange::Conflict)
    }

    /// Records that the server refused a connection while it had accepted `accepted` of ours.
    pub(crate) fn server_full(&mut self, accepted: usize, now: Duration) -> Option<LimitChange> {
        self.clean_since = now;
        self.fall_to(accepted, now).then_some(LimitChange::ServerFull)
    }

    /// Lowers the limit. Returns false if it is that low already.
    fn fall_to(&mut self, limit: usize, now: Duration) -> bool {
        let limit = limit.max(1);
        if limit >= self.limit {
            return false;
        }
        self.limit = limit;
        self.fell_at = Some(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Commits one transaction each second, from `from` to `to`. Returns every limit on the way.
    fn commit(limit: &mut AdaptiveLimit, from: u64, to: u64) -> Vec<usize> {
        (from..=to)
            .map(|second| {
                limit.committed(seconds(second));
                limit.current()
            })
            .collect()
    }

    #[test]
    fn it_begins_at_its_maximum_and_never_passes_it() {
        for max in [1, 2, 8, 1024] {
            let mut limit = AdaptiveLimit::new(max);
            assert_eq!(limit.current(), max);
            assert_eq!(commit(&mut limit, 0, 60), vec![max; 61]);
        }
        assert_eq!(AdaptiveLimit::new(0).current(), 1);
    }

    #[test]
    fn a_conflict_halves_it_down_to_one() {
        let mut limit = AdaptiveLimit::new(9);
        for (second, expected) in [(1, 4), (2, 2), (3, 1)] {
            let change = limit.conflicted(seconds(second), seconds(second));
            assert_eq!((change, limit.current()), (Some(LimitChange::Conflict), expected));
        }
        assert_eq!(limit.conflicted(seconds(4), seconds(4)), None);
        assert_eq!(limit.current(), 1);
    }

    #[test]
    fn victims_that_began_before_it_fell_do_not_halve_it_again() {
        let mut limit = AdaptiveLimit::new(8);
        limit.conflicted(seconds(1), seconds(3));
        assert_eq!(limit.conflicted(seconds(2), seconds(4)), None);
        assert_eq!(limit.current(), 4);
        assert_eq!(limit.conflicted(seconds(3), seconds(5)), Some(LimitChange::Conflict));
        assert_eq!(limit.current(), 2);
    }

    #[test]
    fn it_rises_by_one_after_each_clean_interval() {
        let mut limit = AdaptiveLimit::new(8);
        limit.conflicted(seconds(0), seconds(10));
        let seen = commit(&mut limit, 11, 40);
        assert_eq!(seen, [&[4; 4][..], &[5; 5], &[6; 5], &[7; 5], &[8; 11]].concat());
    }

    #[test]
    fn without_a_commit_it_does_not_rise() {
        let mut limit = AdaptiveLimit::new(8);
        limit.conflicted(seconds(0), seconds(10));
        assert_eq!(limit.committed(seconds(100)), Some(LimitChange::CleanInterval));
        assert_eq!(limit.current(), 5);
    }

    #[test]
    fn trouble_begins_the_interval_anew_even_where_the_limit_stays() {
        let mut limit = AdaptiveLimit::new(8);
        limit.conflicted(seconds(0), seconds(10));
        limit.conflicted(seconds(9), seconds(14));
        assert_eq!(commit(&mut limit, 15, 18), [4; 4]);
        limit.server_full(8, seconds(18));
        assert_eq!(commit(&mut limit, 19, 23), [4, 4, 4, 4, 5]);
    }

    #[test]
    fn a_full_server_gets_no_more_connections_than_it_has_accepted() {
        let mut limit = AdaptiveLimit::new(16);
        assert_eq!(limit.server_full(5, seconds(1)), Some(LimitChange::ServerFull));
        assert_eq!(limit.current(), 5);
        assert_eq!(limit.server_full(5, seconds(2)), None);
        assert_eq!(limit.server_full(0, seconds(3)), Some(LimitChange::ServerFull));
        assert_eq!(limit.current(), 1);
    }
}
