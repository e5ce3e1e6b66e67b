//! TODO: the doc of throttle.

mod adaptive;
mod limiter;
mod monitor;

pub(crate) use limiter::{ConcurrencyLimiter, LoadSlot};
pub(crate) use monitor::Throttle;
