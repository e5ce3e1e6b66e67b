//! The limit on the bytes that are staged at once.

use std::path::Path;
use std::sync::Arc;

use rustix::fs::{statfs, statvfs};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::options::StagingConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::object::Object;
use crate::units::ByteSize;

/// The default budget: enough for sixteen objects of 128 MiB, and small for any disk that feeds a
/// database.
const DEFAULT_BUDGET: ByteSize = ByteSize::from_bytes(2 << 30);
/// The bytes of one permit. A tokio semaphore counts requested permits in 32 bits, so a permit is a
/// KiB.
pub(super) const PERMIT_BYTES: u64 = 1024;
/// The memory of all decoders together: what eight of plain `zstd`, or two of `zstd -19` or `xz`,
/// need, which unpack faster than a server loads. Those of gzip need next to nothing. A decoder
/// that needs more than there is runs alone.
pub(super) const DECODER_MEMORY: ByteSize = ByteSize::from_bytes(20 << 20);
/// The `f_type` of tmpfs, from statfs(2).
const TMPFS_MAGIC: i64 = 0x0102_1994;

/// The bytes on the staging disk, and the memory of decoders, that all downloads share.
#[derive(Clone, Debug)]
pub struct Budget {
    permits: Arc<Semaphore>,
    total: ByteSize,
    /// The memory of decoders, whose permits have the same size.
    pub(super) memory: Arc<Semaphore>,
}

impl Budget {
    /// Creates the configured budget. The default is 2 GiB, at most half of the free space.
    ///
    /// # Errors
    /// `Usage` if the directory does not exist or cannot be written.
    pub fn new(config: &StagingConfig) -> Result<Self> {
        let refused = |error: std::io::Error| {
            let message = format!("--staging-dir {} cannot be used", config.dir.display());
            Error::new(ErrorKind::Usage, message).caused_by(error)
        };
        tempfile::tempfile_in(&config.dir).map_err(refused)?;
        let total = match config.budget {
            Some(budget) => budget,
            None => {
                let disk = statvfs(&config.dir).map_err(|error| refused(error.into()))?;
                ByteSize::from_bytes(
                    DEFAULT_BUDGET.bytes().min(disk.f_bavail.saturating_mul(disk.f_frsize) / 2),
                )
            }
        };
        let permits = usize::try_from(total.bytes() / PERMIT_BYTES)
            .unwrap_or(usize::MAX)
            .min(Semaphore::MAX_PERMITS);
        let memory = usize::try_from(DECODER_MEMORY.bytes() / PERMIT_BYTES).unwrap_or(1);
        Ok(Self {
            permits: Arc::new(Semaphore::new(permits)),
            total,
            memory: Arc::new(Semaphore::new(memory)),
        })
    }

    #[must_use]
    pub fn total(&self) -> ByteSize {
        self.total
    }

    /// Waits until a part of `object` may be staged, as [`Budget::reserve`] does for the whole. The
    /// caller must hold no permits while it waits.
    ///
    /// # Errors
    /// `ObjectTooLarge` if the part can never fit.
    pub(super) async fn reserve_part(
        &self,
        object: &Object,
        size_bytes: u64,
    ) -> Result<OwnedSemaphorePermit> {
        let too_large = || {
            let message = format!(
                "{object}: a part of {} with its last row does not fit into the staging budget \
                 of {}",
                ByteSize::from_bytes(size_bytes),
                self.total
            );
            Error::new(ErrorKind::ObjectTooLarge, message)
        };
        let permits = permits(size_bytes)
            .filter(|permits| u64::from(*permits) <= self.total.bytes() / PERMIT_BYTES);
        self.acquire(permits.ok_or_else(too_large)?).await
    }

    /// Waits until `size_bytes` of unpacked text may be staged. The caller must hold no permits
    /// while it waits.
    ///
    /// # Errors
    /// `ObjectTooLarge` if the text can never fit.
    pub(super) async fn reserve_text(
        &self,
        object: &Object,
        size_bytes: u64,
    ) -> Result<OwnedSemaphorePermit> {
        let total = self.total.bytes() / PERMIT_BYTES;
        let permits = permits(size_bytes).filter(|permits| u64::from(*permits) <= total + 1);
        let permits = permits.and_then(|permits| u32::try_from(total.min(permits.into())).ok());
        self.acquire(permits.ok_or_else(|| {
            let message = format!(
                "{object}: what it unpacks to does not fit into the staging budget of {}",
                self.total
            );
            Error::new(ErrorKind::ObjectTooLarge, message)
        })?)
        .await
    }

    /// Adds to the held permits without waiting. Returns false if too few are free, or others wait.
    pub(super) fn try_extend(&self, held: &mut OwnedSemaphorePermit, size_bytes: u64) -> bool {
        let Some(permits) = permits(size_bytes) else { return false };
        match Arc::clone(&self.permits).try_acquire_many_owned(permits) {
            Ok(more) => {
                held.merge(more);
                true
            }
            Err(_) => false,
        }
    }

    /// Waits until the whole of `object` may be staged. Objects are served in the order of their
    /// requests, so that small ones cannot overtake a large one forever.
    ///
    /// # Errors
    /// `ObjectTooLarge` if the object can never fit.
    pub async fn reserve(&self, object: &Object) -> Result<OwnedSemaphorePermit> {
        let too_large = || {
            let size = ByteSize::from_bytes(object.size_bytes);
            Error::new(
                ErrorKind::ObjectTooLarge,
                format!("{object}: {size} does not fit into the staging budget of {}", self.total),
            )
        };
        if object.size_bytes > self.total.bytes() {
            return Err(too_large());
        }
        let permits = permits(object.size_bytes).ok_or_else(too_large)?;
        if u64::from(permits) > self.total.bytes() / PERMIT_BYTES {
            return Err(too_large());
        }
        self.acquire(permits).await
    }

    async fn acquire(&self, permits: u32) -> Result<OwnedSemaphorePermit> {
        Arc::clone(&self.permits).acquire_many_owned(permits).await.map_err(|_| {
            Error::new(
                ErrorKind::Bug,
                "the staging budget was closed while objects were waiting for it",
            )
        })
    }
}

/// Returns the permits for a size. An empty object takes one too, because its file is an inode.
fn permits(size_bytes: u64) -> Option<u32> {
    u32::try_from(size_bytes.div_ceil(PERMIT_BYTES).max(1)).ok()
}

/// Releases the permits in `held` beyond those for `size_bytes`.
pub(super) fn shrink(held: &mut OwnedSemaphorePermit, size_bytes: u64) {
    drop(split_beyond(held, size_bytes));
}

/// Splits the permits beyond those for `size_bytes` off `held`.
pub(super) fn split_beyond(
    held: &mut OwnedSemaphorePermit,
    size_bytes: u64,
) -> Option<OwnedSemaphorePermit> {
    let needed = permits(size_bytes).map_or(usize::MAX, |permits| permits as usize);
    held.split(held.num_permits().saturating_sub(needed))
}

/// Returns true if `dir` is on tmpfs, where staged bytes take memory.
#[must_use]
pub fn is_memory_backed(dir: &Path) -> bool {
    statfs(dir).is_ok_and(|disk| disk.f_type == TMPFS_MAGIC)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(bytes: u64) -> Budget {
        let config = StagingConfig {
            dir: std::env::temp_dir(),
            budget: Some(ByteSize::from_bytes(bytes)),
            download_concurrency: 1,
        };
        Budget::new(&config).unwrap()
    }

    #[tokio::test]
    async fn an_object_larger_than_the_budget_is_refused_and_not_waited_for() {
        assert_eq!(
            budget(1 << 20).reserve(&Object::of_size((1 << 20) + 1)).await.unwrap_err().kind,
            ErrorKind::ObjectTooLarge
        );
        assert!(budget(1 << 20).reserve(&Object::of_size(1 << 20)).await.is_ok());
    }

    #[tokio::test]
    async fn permits_come_back_when_the_staged_file_is_dropped() {
        let budget = budget(10 << 10);
        let held = budget.reserve(&Object::of_size(10 << 10)).await.unwrap();
        let small = Object::of_size(1);
        let next = budget.reserve(&small);
        let mut next = std::pin::pin!(next);
        assert!(futures_util::poll!(&mut next).is_pending());
        drop(held);
        assert!(next.await.is_ok());
    }

    #[test]
    fn a_staging_directory_that_is_not_there_is_a_usage_error() {
        let config = StagingConfig {
            dir: "/nonexistent/staging".into(),
            budget: None,
            download_concurrency: 1,
        };
        assert_eq!(Budget::new(&config).unwrap_err().kind, ErrorKind::Usage);
    }
}
