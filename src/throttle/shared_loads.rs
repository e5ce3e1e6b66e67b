//! The limit on the transactions that the limiters of several tables run at once, together.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// The limit. Who waits for a transaction gets it in the order of asking, so that a table with much
/// work does not keep others waiting.
#[derive(Clone, Debug)]
pub(crate) struct SharedLoads {
    permits: Arc<Semaphore>,
    max: usize,
}

impl SharedLoads {
    pub(crate) fn new(max: usize) -> Self {
        Self { permits: Arc::new(Semaphore::new(max)), max }
    }

    /// Returns the maximum number of transactions.
    pub(crate) fn max(&self) -> usize {
        self.max
    }

    /// Returns the number of running transactions.
    pub(crate) fn loading(&self) -> usize {
        self.max - self.permits.available_permits().min(self.max)
    }

    /// Waits until a transaction may begin. Returns `None` if the run drains first.
    pub(super) async fn begin(&self, draining: &CancellationToken) -> Option<OwnedSemaphorePermit> {
        let acquired = Arc::clone(&self.permits).acquire_owned();
        draining.run_until_cancelled(acquired).await?.ok()
    }
}
