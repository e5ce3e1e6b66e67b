//! How much goes through the pipeline at once, and how fast.

use std::time::Duration;

use crate::units::ByteSize;

/// How much goes through at once, and how fast.
#[derive(Clone, Debug)]
pub struct ThroughputConfig {
    pub batch: BatchConfig,
    /// The size of the parts that a larger object is split into; `None`: every object is loaded
    /// whole.
    pub part_size: Option<ByteSize>,
    /// Bytes a second that are read from S3 by the whole run; `None`: as many as come.
    pub max_rate: Option<ByteSize>,
    /// No load begins while more threads than these run on the server.
    pub max_threads_running: Option<u64>,
    /// No load begins while one of `replicas` is further behind.
    pub max_lag: Option<Duration>,
    /// `HOST` or `HOST:PORT` of the replicas whose lag is watched.
    pub replicas: Vec<String>,
}

/// How much of how many small objects goes into one transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchConfig {
    pub bytes: u64,
    /// 1: every object has a transaction of its own.
    pub objects: usize,
}
