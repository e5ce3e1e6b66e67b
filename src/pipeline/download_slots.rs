//! The slots that limit concurrent downloads, of one table or of several.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{Error, ErrorKind, Result};

/// Objects of up to this size take 1/[`DownloadSlots::SMALL_SHARE`] of a slot. They cost mostly the
/// wait for the store's response, and hardly any memory.
const SMALL_BYTES: u64 = 64 * 1024;

/// The slots that limit concurrent downloads.
#[derive(Clone, Debug)]
pub(crate) struct DownloadSlots {
    shares: Arc<Semaphore>,
    /// The number of shares in one slot, which a large object takes.
    large: u32,
}

impl DownloadSlots {
    const SMALL_SHARE: u32 = 4;

    /// Creates `slots` slots, which allow more downloads than that if objects are small. With one
    /// slot, objects are downloaded strictly one after the other.
    pub(crate) fn new(slots: usize) -> Self {
        let large = if slots == 1 { 1 } else { Self::SMALL_SHARE };
        Self { shares: Arc::new(Semaphore::new(slots * large as usize)), large }
    }

    pub(super) async fn take(&self, size_bytes: u64) -> Result<OwnedSemaphorePermit> {
        let shares = if size_bytes <= SMALL_BYTES { 1 } else { self.large };
        let taken = Arc::clone(&self.shares).acquire_many_owned(shares).await;
        taken.map_err(|error| Error::new(ErrorKind::Bug, "downloads were closed").caused_by(error))
    }
}
