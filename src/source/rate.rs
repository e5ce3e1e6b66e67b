//! The limit on the rate at which bodies are read: one limit for the whole run.
//!
//! A reader that is ahead of the limit waits before it reads on, and the connection's own
//! back-pressure slows the store down. The operating system has buffered some bytes by then, so the
//! limit holds over seconds, not over single reads. The wait happens on this side and does not
//! count as a stall. If the limit is low, few objects are read at once ([`Rate::readers`]), so that
//! no connection stays idle until the store closes it.

use std::sync::Arc;
use std::time::Duration;

use leaky_bucket::RateLimiter;

use crate::units::ByteSize;

/// The time between two refills: too short for a person or a network to notice.
const REFILL: Duration = Duration::from_millis(20);
const REFILLS_A_SECOND: usize = 50;
/// The number of refills that a run can save up while it has nothing to read.
const SAVED_REFILLS: usize = 10;
/// The rate that keeps one reader's connection busy: one read by the client has about this size.
const READER_BYTES_A_SECOND: u64 = 64 * 1024;

/// The limit, shared by all readers; `None` if the user set none.
#[derive(Clone, Debug, Default)]
pub(super) struct Rate(Option<Arc<RateLimit>>);

#[derive(Debug)]
struct RateLimit {
    bytes_a_second: u64,
    limiter: RateLimiter,
}

impl Rate {
    pub(super) fn new(bytes_a_second: Option<ByteSize>) -> Self {
        Self(bytes_a_second.map(|rate| {
            let refilled = usize::try_from(rate.bytes()).unwrap_or(usize::MAX);
            // Rounding down distorts low rates, so those get one refill per second.
            let (refill, interval) = match refilled / REFILLS_A_SECOND {
                refill @ 100.. => (refill, REFILL),
                _ => (refilled.max(1), Duration::from_secs(1)),
            };
            let max = refill.saturating_mul(SAVED_REFILLS);
            let limiter = RateLimiter::builder()
                .initial(0)
                .refill(refill)
                .interval(interval)
                .max(max)
                .build();
            Arc::new(RateLimit { bytes_a_second: rate.bytes(), limiter })
        }))
    }

    /// Waits until `bytes`, which have arrived already, are within the limit.
    pub(super) async fn take(&self, bytes: usize) {
        if let Some(bound) = &self.0 {
            bound.limiter.acquire(bytes).await;
        }
    }

    /// Returns how many of `wanted` objects to read at once; at least 1.
    pub(super) fn readers(&self, wanted: usize) -> usize {
        let Some(bound) = &self.0 else { return wanted };
        let fed =
            usize::try_from(bound.bytes_a_second / READER_BYTES_A_SECOND).unwrap_or(usize::MAX);
        wanted.min(fed).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    fn rate(bytes_a_second: u64) -> Rate {
        Rate::new(Some(ByteSize::from_bytes(bytes_a_second)))
    }

    /// Reads `total` bytes in chunks with several readers. Returns the seconds that it took.
    async fn read(rate: &Rate, readers: usize, chunk: usize, total: usize) -> f64 {
        let started = Instant::now();
        let reading = (0..readers).map(|_| async {
            for _ in 0..total / readers / chunk {
                rate.take(chunk).await;
            }
        });
        futures_util::future::join_all(reading).await;
        started.elapsed().as_secs_f64()
    }

    #[tokio::test(start_paused = true)]
    async fn the_bound_holds_for_small_and_large_chunks_and_many_readers() {
        for (bytes_a_second, readers, chunk, total) in [
            (1_000_000, 1, 10_000, 4_000_000),
            (1_000_000, 16, 10_000, 4_000_000),
            (1_000_000, 4, 500_000, 4_000_000),
            (1000, 1, 1000, 4000),
            (7, 1, 14, 28),
            (10_000_000_000, 16, 1 << 20, 40_000_000_000),
        ] {
            let took = read(&rate(bytes_a_second), readers, chunk, total).await;
            assert!(
                (3.7..=4.4).contains(&took),
                "{bytes_a_second} B/s, {readers} x {chunk}: {took} s"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_bound_nothing_waits() {
        assert!(read(&Rate::default(), 16, 1 << 20, 1 << 30).await < 0.001);
    }

    #[test]
    fn a_low_bound_is_shared_by_few() {
        assert_eq!(Rate::default().readers(16), 16);
        assert_eq!(rate(100_000_000).readers(16), 16);
        assert_eq!(rate(500_000).readers(16), 7);
        assert_eq!(rate(10).readers(16), 1);
    }
}
