//! The concurrency limiter: the only code that restrains the load workers.
//!
//! The run has as many workers as `--load-concurrency` allows. Workers beyond the limit that
//! [`AdaptiveLimit`] sets are parked, without work and without a connection. So a worker that holds
//! work can always continue, and parked workers cannot block the stages before them.
//!
//! A worker that holds work waits only in [`LoadSlot::begin`]: while the run is paused, or, when it
//! retries after the limit fell, until another transaction ends. Every running transaction ends by
//! itself, so that wait cannot be a deadlock.
//!
//! The limiter decides nothing about retries. Workers only report their errors to it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, OwnedSemaphorePermit};

use super::adaptive::{AdaptiveLimit, LimitChange};
use super::shared_loads::SharedLoads;
use crate::error::{Error, ErrorKind};
use crate::shutdown::Shutdown;

/// The limiter, shared by the workers and by the monitor that pauses them.
#[derive(Debug)]
pub(crate) struct ConcurrencyLimiter {
    started: Instant,
    state: Mutex<LimiterState>,
    /// Signals a change that a worker may wait for.
    changed: Notify,
    /// The limit of several tables together, if there are several.
    shared: Option<SharedLoads>,
}

#[derive(Debug)]
struct LimiterState {
    limit: AdaptiveLimit,
    /// Workers that are not parked.
    awake: usize,
    /// Running transactions.
    loading: usize,
    is_paused: bool,
}

impl ConcurrencyLimiter {
    /// Creates a limiter for at most `max` transactions at once.
    #[cfg(test)]
    pub(crate) fn new(max: usize) -> Arc<Self> {
        Self::sharing(max, None)
    }

    /// Creates a limiter for at most `max` transactions at once, and together with other limiters
    /// for at most as many as `shared` allows.
    pub(crate) fn sharing(max: usize, shared: Option<SharedLoads>) -> Arc<Self> {
        let limit = AdaptiveLimit::new(max);
        let state = LimiterState { limit, awake: 0, loading: 0, is_paused: false };
        let (started, state, changed) = (Instant::now(), Mutex::new(state), Notify::new());
        Arc::new(Self { started, state, changed, shared })
    }

    /// Creates the slot of a worker, which is parked at first.
    pub(crate) fn slot(self: &Arc<Self>) -> LoadSlot {
        LoadSlot { limiter: Arc::clone(self), is_awake: false, began: None, permit: None }
    }

    /// Returns the number of running transactions of the run, over all tables.
    pub(crate) fn loading(&self) -> usize {
        match &self.shared {
            Some(shared) => shared.loading(),
            None => self.state().loading,
        }
    }

    /// Pauses or resumes. While paused, no transaction begins.
    pub(crate) fn pause(&self, is_paused: bool) {
        self.state().is_paused = is_paused;
        self.changed.notify_waiters();
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.state().is_paused
    }

    /// Records that the server has no connection left while it has `ours` of ours.
    pub(crate) fn server_is_full(&self, ours: usize) {
        let now = self.started.elapsed();
        self.adapt(|limit| limit.server_full(ours, now));
    }

    fn adapt(&self, adapt: impl FnOnce(&mut AdaptiveLimit) -> Option<LimitChange>) {
        let mut state = self.state();
        let before = state.limit.current();
        let change = adapt(&mut state.limit);
        let limit = state.limit.current();
        drop(state);
        if let Some(change) = change {
            tracing::debug!("load concurrency {before} -> {limit}: {}", reason(change));
        }
        self.changed.notify_waiters();
    }

    /// Waits until `take` returns a value.
    async fn wait<T>(&self, mut take: impl FnMut(&mut LimiterState) -> Option<T>) -> T {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Enabled before the check, or a change in between would be missed.
            changed.as_mut().enable();
            if let Some(taken) = take(&mut self.state()) {
                return taken;
            }
            changed.await;
        }
    }

    fn state(&self) -> MutexGuard<'_, LimiterState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The slot of one load worker. Dropping it releases it.
#[derive(Debug)]
pub(crate) struct LoadSlot {
    limiter: Arc<ConcurrencyLimiter>,
    is_awake: bool,
    /// The start of the running transaction.
    began: Option<Duration>,
    /// The permit of the transaction, if several tables share a limit.
    permit: Option<OwnedSemaphorePermit>,
}

impl LoadSlot {
    /// Returns true if the next [`Self::wait`] parks the worker, which should release what it holds
    /// first.
    pub(crate) fn is_over(&self) -> bool {
        let state = self.limiter.state();
        state.awake > state.limit.current()
    }

    /// Waits until this worker may look for work. The worker calls it before each piece of work,
    /// and holds none meanwhile.
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
                let is_room = state.awake < state.limit.current();
                state.awake += usize::from(is_room);
                is_room.then_some(())
            })
            .await;
        self.is_awake = true;
    }

    /// Waits until a transaction may begin. Returns false if the run is draining.
    pub(crate) async fn begin(&mut self, shutdown: &Shutdown) -> bool {
        self.end();
        let limiter = &self.limiter;
        let may_begin = tokio::select! {
            biased;
            () = shutdown.draining.cancelled() => false,
            () = limiter.wait(|state| {
                let is_room = state.loading < state.limit.current() && !state.is_paused;
                state.loading += usize::from(is_room);
                is_room.then_some(())
            }) => true,
        };
        if !may_begin {
            return false;
        }
        self.began = Some(limiter.started.elapsed());
        let Some(shared) = &limiter.shared else { return true };
        self.permit = shared.begin(&shutdown.draining).await;
        if self.permit.is_none() {
            self.end();
            return false;
        }
        // Only the transaction itself counts, and not the wait.
        self.began = Some(self.limiter.started.elapsed());
        true
    }

    /// Records that the transaction committed.
    pub(crate) fn committed(&mut self) {
        if self.end().is_some() {
            let now = self.limiter.started.elapsed();
            self.limiter.adapt(|limit| limit.committed(now));
        }
    }

    /// Records that the transaction failed, or could not begin, because of `error`.
    pub(crate) fn met(&mut self, error: &Error) {
        let Some(began) = self.end() else { return };
        let now = self.limiter.started.elapsed();
        match error.kind {
            ErrorKind::LockConflict => self.limiter.adapt(|limit| limit.conflicted(began, now)),
            ErrorKind::TargetBusy => self.limiter.server_is_full(self.limiter.loading()),
            _ => {}
        }
    }

    /// Returns when the transaction began, if one was under way.
    fn end(&mut self) -> Option<Duration> {
        let began = self.began.take()?;
        self.permit = None;
        self.limiter.state().loading -= 1;
        self.limiter.changed.notify_waiters();
        Some(began)
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

fn reason(change: LimitChange) -> &'static str {
    match change {
        LimitChange::Conflict => "transactions conflicted over locks",
        LimitChange::ServerFull => "the server accepts no more connections",
        LimitChange::CleanInterval => "no conflict occurred for a while",
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

    #[tokio::test]
    async fn as_many_workers_as_the_limit_allows_begin_at_once() {
        let limiter = ConcurrencyLimiter::new(3);
        let shutdown = Shutdown::default();
        let mut slots: Vec<LoadSlot> = (0..4).map(|_| limiter.slot()).collect();
        for slot in &mut slots[..3] {
            assert!(is_let_in(slot).await);
            assert!(slot.begin(&shutdown).await);
        }
        assert!(!is_let_in(&mut slots[3]).await);
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
    async fn several_tables_share_a_limit_in_the_order_of_asking() {
        let shared = SharedLoads::new(2);
        let limiters: Vec<_> =
            (0..2).map(|_| ConcurrencyLimiter::sharing(2, Some(shared.clone()))).collect();
        let shutdown = Shutdown::default();
        let mut large: Vec<LoadSlot> = (0..2).map(|_| limiters[0].slot()).collect();
        for slot in &mut large {
            slot.wait().await;
            assert!(slot.begin(&shutdown).await);
        }
        assert_eq!(limiters[1].loading(), 2);
        let mut small = limiters[1].slot();
        small.wait().await;
        {
            let mut beginning = std::pin::pin!(small.begin(&shutdown));
            assert_eq!(poll!(&mut beginning), Poll::Pending);
            large[0].committed();
            let mut again = std::pin::pin!(large[0].begin(&shutdown));
            // The small table has asked first.
            assert_eq!(poll!(&mut again), Poll::Pending);
            assert!(beginning.await);
        }
        drop(small);
        assert!(large[0].begin(&shutdown).await);
        shutdown.draining.cancel();
        drop(large);
        assert_eq!(shared.loading(), 0);
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
        // Both are awake, one slot is left, and the other worker waits for work that may never
        // come.
        assert!(slots[0].begin(&shutdown).await);
        slots[0].committed();
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
        // The other one is loading, and the limit is one.
        let mut again = std::pin::pin!(one.begin(&shutdown));
        assert_eq!(poll!(&mut again), Poll::Pending);
        other.committed();
        assert!(again.await);
        assert!(other.is_over());
    }
}
