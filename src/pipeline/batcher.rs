//! Combines small objects that are ready, so that one transaction loads them.
//!
//! A worker takes what is there, and waits a moment for more if there is room. While the server is
//! the slow part, objects pile up and batches are full. While the store is the slow part, batches
//! are small and nothing waits for long.
//!
//! The defaults of the limits:
//!
//! - A transaction of 1 MB already costs the server hardly more per row than one of 32 MB. The
//!   default, 8 MiB, is cheap to repeat, and far below what any replication accepts.
//! - Up to 500 objects, a single statement of the ledger is still quick.
//! - The 50 ms that a transaction waits for more objects are lost only while the store is the
//!   slow part. There, thousands of transactions of one object each would cost minutes.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, mpsc};
use tokio::time::timeout;

use super::work::{Ready, ReadyObject, ReadyPart};
use crate::throttle::BatchConfig;

/// The maximum bytes of keys in one statement of the ledger. Each byte takes four there, and some
/// servers accept no more than 4 MiB.
const KEY_BYTES: usize = 256 * 1024;

/// The time that a transaction with room left waits for more objects.
const WAIT: Duration = Duration::from_millis(50);

/// The staged objects and parts that wait to be loaded.
pub(crate) struct Batcher {
    waiting: Mutex<Waiting>,
    limits: BatchConfig,
    sizer: std::sync::Mutex<BatchSizer>,
}

/// One item of work for a load worker.
pub(crate) enum Work {
    /// The objects of one transaction; at least one.
    Objects(Vec<ReadyObject>),
    Part(Box<ReadyPart>),
}

struct Waiting {
    ready: mpsc::Receiver<Ready>,
    /// Received already, and kept for the next batches.
    held_over: VecDeque<Ready>,
}

impl Batcher {
    /// Creates a batcher. With a limit of one object, no objects share a transaction.
    pub(crate) fn new(ready: mpsc::Receiver<Ready>, limits: BatchConfig) -> Self {
        let waiting = Mutex::new(Waiting { ready, held_over: VecDeque::new() });
        Self { waiting, limits, sizer: std::sync::Mutex::new(BatchSizer::new(limits.objects)) }
    }

    /// Returns the next item of work, or `None` when there is no more.
    pub(crate) async fn next(&self) -> Option<Work> {
        let mut waiting = self.waiting.lock().await;
        let first = match waiting.held_over.pop_front() {
            Some(first) => first,
            None => waiting.ready.recv().await?,
        };
        let first = match first {
            Ready::Object(first) => first,
            Ready::Part(part) => return Some(Work::Part(Box::new(part))),
        };
        let bytes_limit = self.limits.bytes;
        let objects_limit = self.sizer().objects();
        let (mut bytes, mut key_bytes) = (first.staged.size_bytes, first.selected.object.key.len());
        let is_alone = !first.may_share || bytes >= bytes_limit;
        let mut batch = vec![first];
        let deadline = Instant::now() + WAIT;
        while !is_alone
            && batch.len() < objects_limit
            && bytes < bytes_limit
            && key_bytes < KEY_BYTES
        {
            // Do not wait while there is work for another worker.
            let wait = if waiting.held_over.is_empty() {
                deadline.saturating_duration_since(Instant::now())
            } else {
                Duration::ZERO
            };
            let Some(next) = next_within(&mut waiting.ready, wait).await else { break };
            let next = match next {
                Ready::Object(next)
                    if next.may_share && bytes + next.staged.size_bytes <= bytes_limit =>
                {
                    next
                }
                other => {
                    let is_of_the_next_batch =
                        matches!(&other, Ready::Object(next) if next.may_share);
                    waiting.held_over.push_back(other);
                    if is_of_the_next_batch {
                        break;
                    }
                    continue;
                }
            };
            bytes += next.staged.size_bytes;
            key_bytes += next.selected.object.key.len();
            batch.push(next);
        }
        Some(Work::Objects(batch))
    }

    /// Records that a transaction of this number of objects had no row errors.
    pub(crate) fn record_success(&self, objects: usize) {
        self.sizer().record_success(objects);
    }

    /// Records that objects could not be loaded together, or that an object that was loaded alone
    /// would have failed in a batch.
    pub(crate) fn record_failure(&self) {
        self.sizer().record_failure();
    }

    fn sizer(&self) -> std::sync::MutexGuard<'_, BatchSizer> {
        // A panic leaves nothing half-done in it.
        self.sizer.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

async fn next_within(ready: &mut mpsc::Receiver<Ready>, wait: Duration) -> Option<Ready> {
    match ready.try_recv() {
        Ok(next) => Some(next),
        Err(_) if wait.is_zero() => None,
        Err(_) => timeout(wait, ready.recv()).await.ok().flatten(),
    }
}

/// Adapts the number of objects in a batch to past results. Where objects are not clean, every
/// batch is an attempt in vain.
#[derive(Debug)]
struct BatchSizer {
    limit: usize,
    objects: usize,
    /// The objects that were clean since `objects` last changed.
    clean: usize,
}

impl BatchSizer {
    /// The divisor of the number of objects after a batch that failed.
    const LOSS: usize = 8;

    fn new(limit: usize) -> Self {
        Self { limit, objects: limit, clean: 0 }
    }

    fn objects(&self) -> usize {
        self.objects
    }

    fn record_success(&mut self, objects: usize) {
        self.clean += objects;
        // As many objects as a failed batch of the larger size would load in vain.
        if self.clean >= 2 * self.objects {
            self.objects = (2 * self.objects).min(self.limit);
            self.clean = 0;
        }
    }

    fn record_failure(&mut self) {
        self.objects = (self.objects / Self::LOSS).max(1);
        self.clean = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the number of objects that are sent in vain if every `bad_every`th object has a bad
    /// row.
    fn in_vain(objects: usize, bad_every: usize) -> usize {
        let mut sizer = BatchSizer::new(1000);
        let (mut sent, mut vain) = (0, 0);
        while sent < objects {
            let together = sizer.objects();
            let is_clean = |object: usize| !object.is_multiple_of(bad_every);
            if (sent + 1..=sent + together).all(is_clean) {
                sizer.record_success(together);
            } else {
                sizer.record_failure();
                vain += if together > 1 { together } else { 0 };
                for object in sent + 1..=sent + together {
                    if is_clean(object) { sizer.record_success(1) } else { sizer.record_failure() }
                }
            }
            sent += together;
        }
        vain
    }

    #[test]
    fn objects_that_are_not_clean_are_hardly_ever_sent_together() {
        assert!(in_vain(10_000, 1) <= 1100);
        assert!(in_vain(10_000, 2) <= 1200);
    }

    #[test]
    fn a_bad_object_costs_its_neighbors_a_try_at_most() {
        for bad_every in [3, 10, 100, 999, 5000] {
            assert!(
                in_vain(100_000, bad_every) <= 100_000,
                "{bad_every}: {}",
                in_vain(100_000, bad_every)
            );
        }
    }

    #[test]
    fn a_failure_is_forgotten_after_enough_successes() {
        let mut sizer = BatchSizer::new(1000);
        for _ in 0..10 {
            sizer.record_failure();
        }
        assert_eq!(sizer.objects(), 1);
        let mut objects = 0;
        while sizer.objects() < 1000 {
            objects += sizer.objects();
            sizer.record_success(sizer.objects());
        }
        assert!(objects <= 2100, "{objects}");
    }
}
