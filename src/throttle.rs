//! TODO: the doc of throttle.

mod adaptive;
mod limiter;
mod monitor;
mod options;

pub(crate) use limiter::{ConcurrencyLimiter, LoadSlot};
pub(crate) use monitor::Throttle;
pub use options::{BatchConfig, ThroughputConfig};
