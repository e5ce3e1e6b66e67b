//! How many transactions run at once, and when none may begin: the one place that holds the load
//! workers back.
//!
//! There are as many workers as `--load-concurrency` allows. Those beyond the number that [`pace`]
//! finds right are parked: without work in their hands, and without a connection. So what is in
//! hand is always in the hands of somebody who goes on, and to hold workers back can't stop the
//! stages before them. With work in hand a worker waits in [`LoadSlot::begin`] alone: while the run is
//! paused, or, when it begins anew after the number fell, until one of those that are loading has
//! ended, which each of them does by itself.
//!
//! It decides nothing about trying again; it is told of what was met.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::adaptive::{Done, Pace, Why};
use crate::error::{Error, ErrorKind};
use crate::shutdown::Shutdown;

/// Shared by the workers, and by what pauses them.
#[derive(Debug)]
pub(crate) struct ConcurrencyLimiter {
    started: Instant,
    state: Mutex<LimiterState>,
    /// Something that somebody may wait for.
    changed: Notify,
}

#[derive(Debug)]
struct LimiterState {
    pace: Pace,
    /// Workers that are not parked.
    awake: usize,
    /// Transactions under way.
    loading: usize,
    is_paused: bool,
}

impl ConcurrencyLimiter {
    /// At most `max` at once.
    pub(crate) fn new(max: usize) -> Arc<Self> {
        let state = LimiterState { pace: Pace::new(max), awake: 0, loading: 0, is_paused: false };
        Arc::new(Self { started: Instant::now(), state: Mutex::new(state), changed: Notify::new() })
    }

    /// A worker's own, parked at first.
    pub(crate) fn slot(self: &Arc<Self>) -> LoadSlot {
        LoadSlot { limiter: Arc::clone(self), is_awake: false, began: None, ended: None }
    }

    /// Transactions that are under way.
    pub(crate) fn loading(&self) -> usize {
        self.state().loading
    }

    /// No transaction begins until it is called with `false`.
    pub(crate) fn pause(&self, is_paused: bool) {
        self.state().is_paused = is_paused;
        self.changed.notify_waiters();
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.state().is_paused
    }

    /// The server has no connection left, with so many of ours on it.
    pub(crate) fn server_is_full(&self, ours: usize) {
        let now = self.started.elapsed();
        self.decide(|pace| pace.full(ours, now));
    }

    fn decide(&self, decision: impl FnOnce(&mut Pace) -> Option<Why>) {
        let mut state = self.state();
        let before = state.pace.limit();
        let why = decision(&mut state.pace);
        let limit = state.pace.limit();
        drop(state);
        if let Some(why) = why {
            tracing::debug!("load concurrency {before} -> {limit}: {}", said(why));
        }
        self.changed.notify_waiters();
    }

    /// Waits until `take` gives something.
    async fn wait<T>(&self, mut take: impl FnMut(&mut LimiterState) -> Option<T>) -> T {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Before the look, or a change in between would be missed.
            changed.as_mut().enable();
            let wakes = {
                let mut state = self.state();
                if let Some(taken) = take(&mut state) {
                    return taken;
                }
                state.pace.wakes()
            };
            match wakes {
                None => changed.await,
                Some(wakes) => {
                    let _ =
                        tokio::time::timeout(wakes.saturating_sub(self.started.elapsed()), changed)
                            .await;
                    let now = self.started.elapsed();
                    if now >= wakes {
                        self.decide(|pace| pace.look(now));
                    }
                }
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, LimiterState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A worker's place among those that load. Dropped, it is given back.
#[derive(Debug)]
pub(crate) struct LoadSlot {
    limiter: Arc<ConcurrencyLimiter>,
    is_awake: bool,
    /// When the transaction that is under way began.
    began: Option<Duration>,
    /// When the last one ended.
    ended: Option<Duration>,
}

impl LoadSlot {
    /// Whether the next [`Self::wait`] parks the worker: what it holds it should give up first.
    pub(crate) fn is_over(&self) -> bool {
        let state = self.limiter.state();
        state.awake > state.pace.limit()
    }

    /// Waits until this worker may look for work. To be called without work in hand, and before
    /// each piece of it.
    pub(crate) async fn wait(&mut self) {
        self.end();
        if self.is_awake {
            if !self.is_over() {
                return;
            }
            self.park();
        }
        self.limiter
            .wait(|state| {
                let is_room = state.awake < state.pace.limit();
                state.awake += usize::from(is_room);
                is_room.then_some(())
            })
            .await;
        self.is_awake = true;
        self.ended = None;
    }

    /// Waits until a transaction may begin. False where none shall any more.
    pub(crate) async fn begin(&mut self, shutdown: &Shutdown) -> bool {
        self.end();
        let limiter = &self.limiter;
        let may_begin = tokio::select! {
            biased;
            () = shutdown.draining.cancelled() => false,
            () = limiter.wait(|state| {
                let is_room = state.loading < state.pace.limit() && !state.is_paused;
                state.loading += usize::from(is_room);
                is_room.then_some(())
            }) => true,
        };
        if may_begin {
            let now = limiter.started.elapsed();
            self.began = Some(now);
            limiter.state().pace.began(now);
            if limiter.state().pace.wakes().is_some() {
                // So that those who are parked know when to look.
                limiter.changed.notify_waiters();
            }
        }
        may_begin
    }

    /// The transaction committed so much.
    pub(crate) fn loaded(&mut self, bytes: u64) {
        let (began, last) = (self.began, self.ended);
        let Some(ended) = self.end() else { return };
        let began = began.unwrap_or(ended);
        let idle = last.map_or(Duration::ZERO, |last| began.saturating_sub(last));
        self.limiter.decide(|pace| pace.loaded(Done { began, ended, idle, bytes }));
    }

    /// The transaction came to nothing, or could not even begin, because of this.
    pub(crate) fn met(&mut self, error: &Error) {
        let began = self.began;
        let Some(now) = self.end() else { return };
        let began = began.unwrap_or(now);
        match error.kind {
            ErrorKind::LockConflict => self.limiter.decide(|pace| pace.conflicted(began, now)),
            ErrorKind::TargetBusy => {
                let ours = self.limiter.loading();
                self.limiter.decide(|pace| pace.full(ours, now));
            }
            _ => {}
        }
    }

    /// Now, where a transaction was under way.
    fn end(&mut self) -> Option<Duration> {
        self.began.take()?;
        self.limiter.state().loading -= 1;
        self.limiter.changed.notify_waiters();
        let now = self.limiter.started.elapsed();
        self.ended = Some(now);
        Some(now)
    }

    fn park(&mut self) {
        self.limiter.state().awake -= usize::from(self.is_awake);
        self.is_awake = false;
        self.limiter.changed.notify_waiters();
    }
}

impl Drop for LoadSlot {
    fn drop(&mut self) {
        self.end();
        self.park();
    }
}

fn said(why: Why) -> &'static str {
    match why {
        Why::Begun => "the first transactions run",
        Why::Trial => "to see whether it is faster",
        Why::TrialEnded => "it was not faster",
        Why::Conflict => "transactions met each other's locks",
        Why::Full => "the server has no room for more",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::poll;
    use std::task::Poll;

    async fn is_let_in(slot: &mut LoadSlot) -> bool {
        let mut waiting = std::pin::pin!(slot.wait());
        poll!(&mut waiting).is_ready()
    }

    #[tokio::test(start_paused = true)]
    async fn two_begin_and_four_run_once_those_do() {
        let limiter = ConcurrencyLimiter::new(8);
        let shutdown = Shutdown::default();
        let mut slots: Vec<LoadSlot> = (0..5).map(|_| limiter.slot()).collect();
        assert!(is_let_in(&mut slots[0]).await);
        assert!(is_let_in(&mut slots[1]).await);
        assert!(!is_let_in(&mut slots[2]).await);
        assert!(slots[0].begin(&shutdown).await);
        // Parked before anything ran, and woken by time alone.
        slots[2].wait().await;
        slots[3].wait().await;
        assert!(!is_let_in(&mut slots[4]).await);
    }

    #[tokio::test]
    async fn a_turn_that_is_dropped_is_anothers() {
        let limiter = ConcurrencyLimiter::new(1);
        let (mut one, mut other) = (limiter.slot(), limiter.slot());
        one.wait().await;
        assert!(one.begin(&Shutdown::default()).await);
        let mut waiting = std::pin::pin!(other.wait());
        assert_eq!(poll!(&mut waiting), Poll::Pending);
        drop(one);
        waiting.await;
        assert_eq!(limiter.loading(), 0);
    }

    #[tokio::test]
    async fn who_has_work_in_hand_waits_for_no_idle_worker() {
        let limiter = ConcurrencyLimiter::new(8);
        let shutdown = Shutdown::default();
        let mut slots = [limiter.slot(), limiter.slot()];
        for slot in &mut slots {
            slot.wait().await;
        }
        limiter.server_is_full(1);
        // Both are awake, one place is left, and the other worker waits for work that may never
        // come.
        assert!(slots[0].begin(&shutdown).await);
        slots[0].loaded(1);
        assert!(slots[0].is_over());
        assert!(slots[1].begin(&shutdown).await);
    }

    #[tokio::test]
    async fn nothing_begins_in_a_pause_and_a_run_that_drains_waits_for_none() {
        let limiter = ConcurrencyLimiter::new(8);
        let shutdown = Shutdown::default();
        let (mut one, mut other) = (limiter.slot(), limiter.slot());
        one.wait().await;
        other.wait().await;
        limiter.pause(true);
        {
            let mut beginning = std::pin::pin!(one.begin(&shutdown));
            assert_eq!(poll!(&mut beginning), Poll::Pending);
            limiter.pause(false);
            assert!(beginning.await);
        }
        limiter.pause(true);
        let mut beginning = std::pin::pin!(other.begin(&shutdown));
        assert_eq!(poll!(&mut beginning), Poll::Pending);
        shutdown.draining.cancel();
        assert!(!beginning.await);
    }

    #[tokio::test]
    async fn conflicts_park_workers_after_their_transaction() {
        let limiter = ConcurrencyLimiter::new(2);
        let shutdown = Shutdown::default();
        let (mut one, mut other) = (limiter.slot(), limiter.slot());
        for slot in [&mut one, &mut other] {
            slot.wait().await;
            assert!(slot.begin(&shutdown).await);
        }
        one.met(&Error::new(ErrorKind::LockConflict, "deadlock"));
        // The other one is loading, and one alone may.
        let mut again = std::pin::pin!(one.begin(&shutdown));
        assert_eq!(poll!(&mut again), Poll::Pending);
        other.loaded(1);
        assert!(again.await);
        assert!(other.is_over());
    }
}
