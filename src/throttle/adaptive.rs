//! How many transactions should run at once: the decision alone, without clocks, tasks and servers.
//!
//! What a server can use can't be known before: it depends on its cores, its disk, the distance,
//! and who else is there. So it is found out as TCP finds a link's width. The number begins at
//! [`FIRST`], doubles for as long as each doubling makes the whole faster, and is then tried a
//! little higher and a little lower now and then. Where transactions get in each other's way, or
//! the server has no connection left, it falls at once and by a share, and comes back slowly.
//!
//! Speed is the number at work times the mean speed of those transactions that ran under that
//! number from their beginning. That needs few of them, and is not blurred by those that were
//! half-way through at a change.

use std::time::Duration;

/// A server that is busy, or has few connections left, is met carefully.
const FIRST: usize = 2;
/// Taken without proof once the first transactions run well: less than this is rarely best, and to
/// measure it would take longer than small runs last.
const USUAL: usize = 4;
/// How long the first transactions run before that. A refusal or a deadlock comes sooner.
const FIRST_RUN: Duration = Duration::from_millis(100);
/// More connections must be worth their place: beyond what two measurements of the same thing
/// differ by.
const GAIN: f64 = 1.03;
/// A larger share of the time without work: what is sent is the scarce thing, and nothing is learnt
/// of the server.
const IDLE_SHARE: f64 = 0.3;
/// A measurement, once the first number is found, takes at least so long.
const STEADY_WINDOW: Duration = Duration::from_secs(1);
/// Measurements between two trials: at first, and at most.
const FIRST_REST: u32 = 2;
const LONGEST_REST: u32 = 32;
/// How long the number stays down after trouble: at first, and where it comes again each time, at
/// most.
const FIRST_HOLD: Duration = Duration::from_secs(5);
const LONGEST_HOLD: Duration = Duration::from_secs(60);

/// Why the number changed: for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// The first transactions run well.
    Begun,
    /// To see whether more, or fewer, are faster.
    Trial,
    /// They were not.
    TrialEnded,
    /// A deadlock, or a wait for a lock that came to nothing.
    Conflict,
    /// The server has no room.
    Full,
}

/// One transaction that committed. Times run from the beginning of the run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Done {
    pub(crate) began: Duration,
    pub(crate) ended: Duration,
    /// How long its worker had nothing to do before.
    pub(crate) idle: Duration,
    pub(crate) bytes: u64,
}

#[derive(Debug)]
pub(crate) struct Pace {
    limit: usize,
    max: usize,
    is_starting: bool,
    /// When the first transaction began.
    first_began: Option<Duration>,
    trial: Option<Trial>,
    /// The next trial is of more.
    is_up_next: bool,
    rest: u32,
    rest_left: u32,
    window: Window,
    /// No trial of more before this.
    held_until: Duration,
    hold: Duration,
    /// When trouble last made it fall.
    fell: Option<Duration>,
}

/// The number before, and how fast it was.
#[derive(Clone, Copy, Debug)]
struct Trial {
    from: usize,
    rate: f64,
}

/// What was seen since the number last changed, or was last judged.
#[derive(Debug, Default)]
struct Window {
    since: Duration,
    bytes: u64,
    busy: Duration,
    idle: Duration,
    transactions: usize,
}

impl Window {
    fn from(since: Duration) -> Self {
        Self { since, ..Self::default() }
    }
}

impl Pace {
    pub(crate) fn new(max: usize) -> Self {
        let max = max.max(1);
        Self {
            limit: FIRST.min(max),
            max,
            is_starting: true,
            first_began: None,
            trial: None,
            // That the usual number is better than fewer has not been shown.
            is_up_next: false,
            rest: FIRST_REST,
            rest_left: FIRST_REST,
            window: Window::default(),
            held_until: Duration::ZERO,
            hold: FIRST_HOLD,
            fell: None,
        }
    }

    /// How many may run at once; at least 1.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    pub(crate) fn began(&mut self, now: Duration) {
        self.first_began.get_or_insert(now);
    }

    /// When [`Self::look`] would change something by the time alone.
    pub(crate) fn wakes(&self) -> Option<Duration> {
        let is_waiting = self.is_starting && self.limit < USUAL.min(self.max);
        self.first_began.filter(|_| is_waiting).map(|began| began + FIRST_RUN)
    }

    /// What the time alone changes.
    pub(crate) fn look(&mut self, now: Duration) -> Option<Why> {
        self.wakes().filter(|wakes| *wakes <= now)?;
        self.change(USUAL.min(self.max), now);
        Some(Why::Begun)
    }

    /// A transaction committed.
    pub(crate) fn loaded(&mut self, done: Done) -> Option<Why> {
        let now = done.ended;
        if self.is_starting && self.limit < USUAL.min(self.max) {
            self.change(USUAL.min(self.max), now);
            return Some(Why::Begun);
        }
        if done.began < self.window.since {
            return None;
        }
        let window = &mut self.window;
        window.bytes += done.bytes;
        window.busy += done.ended.saturating_sub(done.began);
        // What a pause or the last number's end made it wait is no want of work.
        window.idle += done.idle.min(done.began.saturating_sub(window.since));
        window.transactions += 1;
        let (transactions, duration) = if self.is_starting {
            (self.limit, Duration::ZERO)
        } else {
            (2 * self.limit, STEADY_WINDOW)
        };
        if window.transactions < transactions || now.saturating_sub(window.since) < duration {
            return None;
        }
        let window = std::mem::replace(&mut self.window, Window::from(now));
        self.judge(&window, now)
    }

    /// What follows from a measurement.
    fn judge(&mut self, window: &Window, now: Duration) -> Option<Why> {
        let (busy, idle) = (window.busy.as_secs_f64(), window.idle.as_secs_f64());
        let trial = self.trial.take();
        if idle > IDLE_SHARE * (busy + idle) || busy == 0.0 {
            return trial.map(|trial| self.end_trial(trial.from, now));
        }
        #[expect(clippy::cast_precision_loss, reason = "a measurement")]
        let rate = window.bytes as f64 / busy * self.limit as f64;
        if let Some(Trial { from, rate: before }) = trial {
            let is_up = self.limit > from;
            if rate < if is_up { before * GAIN } else { before } {
                return Some(self.end_trial(from, now));
            }
            (self.rest, self.rest_left) = (FIRST_REST, 0);
            self.is_up_next = is_up;
        }
        if self.is_starting {
            return self.begin_trial(self.limit * 2, rate, now).or_else(|| {
                self.is_starting = false;
                None
            });
        }
        if self.rest_left > 0 {
            self.rest_left -= 1;
            return None;
        }
        let step = (self.limit / 4).max(1);
        let is_up = self.is_up_next && now >= self.held_until;
        let to = if is_up { self.limit + step } else { self.limit - step.min(self.limit - 1) };
        let begun = self.begin_trial(to, rate, now);
        if begun.is_none() {
            self.is_up_next = !self.is_up_next;
        }
        begun
    }

    fn begin_trial(&mut self, to: usize, rate: f64, now: Duration) -> Option<Why> {
        let to = to.min(self.max);
        if to == self.limit {
            return None;
        }
        self.trial = Some(Trial { from: self.limit, rate });
        self.change(to, now);
        Some(Why::Trial)
    }

    fn end_trial(&mut self, from: usize, now: Duration) -> Why {
        // The other way next.
        self.is_up_next = self.limit <= from;
        self.is_starting = false;
        self.rest_left = self.rest;
        self.rest = (self.rest * 2).min(LONGEST_REST);
        self.change(from, now);
        Why::TrialEnded
    }

    /// A transaction that began then was rolled back for another one's locks.
    pub(crate) fn conflicted(&mut self, began: Duration, now: Duration) -> Option<Why> {
        // A deadlock seldom comes alone, and of those that began before the fall it says nothing
        // new.
        if self.fell.is_some_and(|fell| began < fell) {
            return None;
        }
        self.fall(self.limit * 2 / 3, now).then_some(Why::Conflict)
    }

    /// The server refused a connection, with so many of ours on it.
    pub(crate) fn full(&mut self, ours: usize, now: Duration) -> Option<Why> {
        self.fall(self.limit.min(ours), now).then_some(Why::Full)
    }

    /// False where it changes nothing.
    fn fall(&mut self, to: usize, now: Duration) -> bool {
        let is_again = self.fell.is_some_and(|fell| now.saturating_sub(fell) < LONGEST_HOLD);
        self.hold = if is_again { (self.hold * 2).min(LONGEST_HOLD) } else { FIRST_HOLD };
        self.held_until = now + self.hold;
        self.fell = Some(now);
        self.is_starting = false;
        self.trial = None;
        self.is_up_next = true;
        let (to, before) = (to.max(1), self.limit);
        self.change(to, now);
        to < before
    }

    fn change(&mut self, to: usize, now: Duration) {
        self.limit = to;
        self.window = Window::from(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES: u64 = 1_000_000;

    /// A server on which so many transactions have this speed together, in MB/s.
    struct Simulated<F: Fn(usize) -> f64> {
        speed: F,
        now: Duration,
        idle: Duration,
    }

    impl<F: Fn(usize) -> f64> Simulated<F> {
        fn new(speed: F) -> Self {
            Self { speed, now: Duration::ZERO, idle: Duration::ZERO }
        }

        /// Lets as many as the pace allows run side by side, for so many seconds; the numbers that
        /// were seen.
        fn run(&mut self, pace: &mut Pace, seconds: u64) -> Vec<usize> {
            let end = self.now + Duration::from_secs(seconds);
            let mut seen = Vec::new();
            while self.now < end {
                let limit = pace.limit();
                seen.push(limit);
                let began = self.now + self.idle;
                pace.began(began);
                #[expect(clippy::cast_precision_loss, reason = "a measurement")]
                let took = Duration::from_secs_f64(limit as f64 / (self.speed)(limit));
                self.now = began + took;
                for _ in 0..limit {
                    pace.loaded(Done { began, ended: self.now, idle: self.idle, bytes: BYTES });
                }
            }
            seen
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a measurement")]
    fn saturating_at(most: usize) -> impl Fn(usize) -> f64 {
        move |limit| 10.0 * limit.min(most) as f64
    }

    /// The number at which it stays most of the time.
    fn usual(seen: &[usize]) -> usize {
        let mut sorted = seen.to_vec();
        sorted.sort_unstable();
        sorted[sorted.len() / 2]
    }

    #[test]
    fn it_settles_where_a_server_saturates() {
        for most in [1, 2, 3, 4, 6, 8, 12, 20] {
            let mut pace = Pace::new(64);
            let mut server = Simulated::new(saturating_at(most));
            server.run(&mut pace, 120);
            let seen = usual(&server.run(&mut pace, 60));
            assert!(
                (most..=most + most / 4 + 1).contains(&seen),
                "saturates at {most}, settled at {seen}"
            );
        }
    }

    #[test]
    fn it_grows_to_what_a_server_takes_within_a_second() {
        let mut pace = Pace::new(16);
        let mut server = Simulated::new(saturating_at(16));
        server.run(&mut pace, 1);
        assert_eq!(pace.limit(), 16);
    }

    #[test]
    fn it_grows_without_an_end_of_a_transaction_to_the_usual_number_only() {
        let mut pace = Pace::new(16);
        assert_eq!((pace.limit(), pace.wakes()), (2, None));
        pace.began(Duration::from_secs(3));
        assert_eq!(pace.look(Duration::from_millis(3099)), None);
        assert_eq!(pace.look(Duration::from_millis(3100)), Some(Why::Begun));
        assert_eq!((pace.limit(), pace.wakes()), (4, None));
        assert_eq!(pace.look(Duration::from_secs(60)), None);
    }

    #[test]
    fn it_comes_back_where_more_are_slower() {
        #[expect(clippy::cast_precision_loss, reason = "a measurement")]
        let speed = |limit: usize| {
            10.0 * limit.min(4) as f64 / (1.0 + 0.15 * limit.saturating_sub(4) as f64)
        };
        let mut pace = Pace::new(64);
        let mut server = Simulated::new(speed);
        let begun = server.run(&mut pace, 10);
        assert!(begun.iter().all(|limit| *limit <= 8), "{begun:?}");
        assert_eq!(usual(&server.run(&mut pace, 60)), 4);
    }

    #[test]
    fn it_follows_a_server_that_gets_slower_and_faster() {
        let mut pace = Pace::new(64);
        Simulated::new(saturating_at(16)).run(&mut pace, 30);
        assert!(pace.limit() >= 12);
        let is_fast = std::cell::Cell::new(false);
        #[expect(clippy::cast_precision_loss, reason = "a measurement")]
        let mut server = Simulated::new(|limit: usize| {
            if is_fast.get() {
                1.0 + limit as f64
            } else {
                40.0 / (1.0 + 0.1 * limit.saturating_sub(4) as f64)
            }
        });
        server.run(&mut pace, 200);
        assert!(pace.limit() <= 8, "{}", pace.limit());
        is_fast.set(true);
        server.run(&mut pace, 400);
        assert!(pace.limit() >= 12, "{}", pace.limit());
    }

    #[test]
    fn it_never_passes_its_bound() {
        for max in 1..20 {
            let mut pace = Pace::new(max);
            let seen = Simulated::new(saturating_at(1000)).run(&mut pace, 60);
            assert!(seen.iter().all(|limit| (1..=max).contains(limit)), "{max}: {seen:?}");
            assert_eq!(usual(&seen), max);
        }
    }

    #[test]
    fn conflicts_make_it_fall_once_a_round_and_come_back_slowly() {
        let mut pace = Pace::new(8);
        let mut server = Simulated::new(saturating_at(8));
        server.run(&mut pace, 2);
        assert_eq!(pace.limit(), 8);
        let now = server.now;
        let before = now.checked_sub(Duration::from_millis(100)).unwrap();
        assert_eq!(pace.conflicted(before, now), Some(Why::Conflict));
        assert_eq!(pace.limit(), 5);
        // The others of the same deadlock.
        assert_eq!(pace.conflicted(before, now), None);
        assert_eq!(pace.limit(), 5);
        // And again, from one that began after the fall.
        assert_eq!(pace.conflicted(now, now + Duration::from_millis(100)), Some(Why::Conflict));
        assert_eq!(pace.limit(), 3);
        server.now += Duration::from_millis(100);
        let held = server.run(&mut pace, 9);
        assert!(held.iter().all(|limit| *limit <= 3), "{held:?}");
        server.run(&mut pace, 60);
        assert_eq!(pace.limit(), 8);
    }

    #[test]
    fn a_server_where_only_few_do_not_deadlock_is_not_tried_all_the_time() {
        let mut pace = Pace::new(8);
        let mut server = Simulated::new(saturating_at(8));
        let mut conflicts = 0;
        for _ in 0..3000 {
            let (limit, began) = (pace.limit(), server.now);
            server.now += Duration::from_millis(100);
            for _ in 0..limit {
                if limit > 2 {
                    conflicts += usize::from(pace.conflicted(began, server.now).is_some());
                } else {
                    pace.loaded(Done {
                        began,
                        ended: server.now,
                        idle: Duration::ZERO,
                        bytes: BYTES,
                    });
                }
            }
        }
        assert!(conflicts <= 12, "{conflicts} in 5 minutes");
    }

    #[test]
    fn a_full_server_gets_no_more_than_it_has_taken() {
        let mut pace = Pace::new(16);
        let mut server = Simulated::new(saturating_at(16));
        server.run(&mut pace, 2);
        assert_eq!(pace.full(5, server.now), Some(Why::Full));
        assert_eq!(pace.limit(), 5);
        assert_eq!(pace.full(0, server.now), Some(Why::Full));
        assert_eq!(pace.limit(), 1);
        assert_eq!(pace.full(0, server.now), None);
    }

    #[test]
    fn where_work_is_scarce_it_does_not_grow() {
        let mut pace = Pace::new(64);
        let mut server = Simulated::new(saturating_at(64));
        server.idle = Duration::from_millis(300);
        server.run(&mut pace, 60);
        assert_eq!(pace.limit(), 4);
    }
}
