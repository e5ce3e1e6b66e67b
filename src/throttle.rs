//! The throttling of loads: how many transactions run at once, and when none may begin.
//!
//! - `limiter` is the only code that restrains the load workers. It counts running transactions and
//!   parks workers beyond the limit.
//! - `adaptive` sets the limit: it falls after lock conflicts and refused connections, and rises
//!   again slowly.
//! - `monitor` pauses the limiter while the server has more running threads than
//!   `--max-threads-running` allows, or while a replica lags more than `--max-lag`.
//! - `pauses` records these pauses and their reasons.
//! - `shared_loads` is the limit on the transactions of several tables together.
//! - `options` holds these thresholds, and the settings for batch size, part size and read rate.
//!
//! Nothing here ends a transaction that has begun, and nothing here decides about retries.

mod adaptive;
mod limiter;
mod monitor;
mod options;
mod pauses;
mod shared_loads;

pub(crate) use limiter::{ConcurrencyLimiter, LoadSlot};
pub(crate) use monitor::Throttle;
pub use options::{BatchConfig, ThroughputConfig};
pub use pauses::{Pause, PauseLog, PauseReason, Pauses};
pub(crate) use shared_loads::SharedLoads;
