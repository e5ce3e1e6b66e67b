//! The record of what is loaded, in the target's own database.

mod identity;
mod schema;

use crate::config::RetryConfig;
use crate::mysql::Sessions;

pub use identity::{RunId, Target};
pub use schema::Tables;

/// The ledger of one target, as one run uses it.
#[derive(Clone, Debug)]
pub struct Ledger {
    tables: Tables,
    target: Target,
    run: RunId,
    /// Strict, and outside the pool of those that load.
    sessions: Sessions,
    retry: RetryConfig,
}
