//! Small objects that are ready are put together, to be loaded in one transaction.
//!
//! A worker takes what is there, and waits a moment for more where there is room: while the server
//! is the slow part, objects pile up and batches are full; while the store is, they are small, and
//! nothing waits for long.
//!
//! The budgets: a transaction of a megabyte already costs the server hardly more for each row than
//! one of 32, so the default, 8 MiB, is the one that costs least to repeat and is far below what
//! any replication takes; five hundred objects are what one statement of the ledger is still quick
//! for; and the fifty milliseconds that a transaction waits for its next object are lost only while
//! the store is the slow part, where thousands of transactions of one object each would cost
//! minutes.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc};
use tokio::time::timeout;

use super::work::{Ready, ReadyObject, ReadyPart};
use crate::throttle::BatchConfig;

/// Bytes of keys in one statement of the ledger: each is four there, and some servers take no more
/// than 4 MiB.
const KEY_BYTES: usize = 256 * 1024;

/// How long a transaction with room left waits for the next object.
const WAIT: Duration = Duration::from_millis(50);

/// What is staged and waits to be loaded.
pub(crate) struct Batcher {
    waiting: Mutex<Waiting>,
    limits: BatchConfig,
    trust: std::sync::Mutex<BatchSizer>,
}

/// What a worker takes.
pub(crate) enum Work {
    /// For one transaction; at least one.
    Objects(Vec<ReadyObject>),
    Part(Box<ReadyPart>),
}

struct Waiting {
    ready: mpsc::Receiver<Ready>,
    /// Taken already, and for the next batches.
    held_over: VecDeque<Ready>,
}

impl Batcher {
    /// `limits`: of no more than one object where none shall share a transaction.
    pub(crate) fn new(ready: mpsc::Receiver<Ready>, limits: BatchConfig) -> Self {
        let waiting = Mutex::new(Waiting { ready, held_over: VecDeque::new() });
        Self { waiting, limits, trust: std::sync::Mutex::new(BatchSizer::new(limits.objects)) }
    }

    /// `None` when there will be no more.
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
        let objects_limit = self.trust().objects();
        let (mut bytes, mut key_bytes) = (first.staged.size_bytes, first.selected.object.key.len());
        let is_alone = !first.may_share || bytes >= bytes_limit;
        let mut batch = vec![first];
        while !is_alone
            && batch.len() < objects_limit
            && bytes < bytes_limit
            && key_bytes < KEY_BYTES
        {
            // Nobody waits while there is something for another worker.
            let wait = if waiting.held_over.is_empty() { WAIT } else { Duration::ZERO };
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

    /// So many objects were loaded together, or one alone, and nothing was to be said of any.
    pub(crate) fn record_success(&self, objects: usize) {
        self.trust().gain(objects);
    }

    /// Objects could not be loaded together, or one alone would not have been.
    pub(crate) fn record_failure(&self) {
        self.trust().lose();
    }

    fn trust(&self) -> std::sync::MutexGuard<'_, BatchSizer> {
        // Nothing is left half-done in it by a panic.
        self.trust.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

async fn next_within(ready: &mut mpsc::Receiver<Ready>, wait: Duration) -> Option<Ready> {
    match ready.try_recv() {
        Ok(next) => Some(next),
        Err(_) if wait.is_zero() => None,
        Err(_) => timeout(wait, ready.recv()).await.ok().flatten(),
    }
}

/// How many objects are sent together, by how it went until now: where objects are not clean, each
/// try together is one in vain.
#[derive(Debug)]
struct BatchSizer {
    limit: usize,
    objects: usize,
    /// Objects that were clean since the number was changed.
    clean: usize,
}

impl BatchSizer {
    /// What a doubt divides the number by.
    const LOSS: usize = 8;

    fn new(limit: usize) -> Self {
        Self { limit, objects: limit, clean: 0 }
    }

    fn objects(&self) -> usize {
        self.objects
    }

    fn gain(&mut self, objects: usize) {
        self.clean += objects;
        // As many as a doubt of the larger number would cost.
        if self.clean >= 2 * self.objects {
            self.objects = (2 * self.objects).min(self.limit);
            self.clean = 0;
        }
    }

    fn lose(&mut self) {
        self.objects = (self.objects / Self::LOSS).max(1);
        self.clean = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Objects that are sent in vain, of so many, where every `bad_every`th has a bad row.
    fn in_vain(objects: usize, bad_every: usize) -> usize {
        let mut trust = BatchSizer::new(1000);
        let (mut sent, mut vain) = (0, 0);
        while sent < objects {
            let together = trust.objects();
            let is_clean = |object: usize| !object.is_multiple_of(bad_every);
            if (sent + 1..=sent + together).all(is_clean) {
                trust.gain(together);
            } else {
                trust.lose();
                vain += if together > 1 { together } else { 0 };
                for object in sent + 1..=sent + together {
                    if is_clean(object) { trust.gain(1) } else { trust.lose() }
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
    fn a_bad_object_costs_its_neighbours_a_try_at_most() {
        for bad_every in [3, 10, 100, 999, 5000] {
            assert!(
                in_vain(100_000, bad_every) <= 100_000,
                "{bad_every}: {}",
                in_vain(100_000, bad_every)
            );
        }
    }

    #[test]
    fn trust_comes_back() {
        let mut trust = BatchSizer::new(1000);
        for _ in 0..10 {
            trust.lose();
        }
        assert_eq!(trust.objects(), 1);
        let mut objects = 0;
        while trust.objects() < 1000 {
            objects += trust.objects();
            trust.gain(trust.objects());
        }
        assert!(objects <= 2100, "{objects}");
    }
}
