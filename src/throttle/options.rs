//! The options that limit how much goes through the pipeline at once, and how fast.

use std::time::Duration;

use crate::units::ByteSize;

/// The limits on the size and the rate of the work.
#[derive(Clone, Debug)]
pub struct ThroughputConfig {
    pub batch: BatchConfig,
    /// The size of the parts that a larger object is split into; `None` loads every object whole.
    pub part_size: Option<ByteSize>,
    /// The bytes per second that the whole run reads from S3; `None` sets no limit.
    pub max_rate: Option<ByteSize>,
    /// No load begins while more threads than this run on the server.
    pub max_threads_running: Option<u64>,
    /// No load begins while one of `replicas` lags more than this.
    pub max_lag: Option<Duration>,
    /// `HOST` or `HOST:PORT` of the replicas whose lag is watched.
    pub replicas: Vec<String>,
}

/// The limits on the small objects that one transaction loads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchConfig {
    pub bytes: u64,
    /// The number of objects; with 1, every object has its own transaction.
    pub objects: usize,
}
