//! The places of objects on the staging disk: small objects share files, larger ones get their own.
//!
//! Thousands of small files would take thousands of descriptors, and two system calls each. Objects
//! that are loaded in one transaction are also read back faster if they are next to each other. A
//! shared file is deleted, and its share of the budget released, when its last object is dropped.

use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::OwnedSemaphorePermit;

use crate::error::{Error, ErrorKind, Result};
use crate::file_slice::FileSlice;
use crate::object::Object;

/// Allocates slots in one directory. Clones share their files.
#[derive(Clone, Debug)]
pub(super) struct StagingFiles {
    dir: PathBuf,
    /// The size limit of a shared file.
    shared_bytes: u64,
    /// The shared file that is being filled. The reference is weak, because its objects may all be
    /// loaded before the next one arrives.
    filling: Arc<Mutex<Weak<Shared>>>,
}

/// A place on disk of an object's size, with its share of the budget.
#[derive(Debug)]
pub(super) struct StagingSlot {
    pub(super) region: FileSlice,
    _held: SlotSpace,
}

#[derive(Debug)]
#[expect(dead_code, reason = "held until the slot is dropped")]
enum SlotSpace {
    Alone(OwnedSemaphorePermit),
    Shared(Arc<Shared>),
}

#[derive(Debug)]
struct Shared {
    file: Arc<File>,
    taken: Mutex<Taken>,
}

#[derive(Debug)]
struct Taken {
    bytes: u64,
    permit: OwnedSemaphorePermit,
}

impl StagingSlot {
    /// Creates the slot of a file that is not shared.
    pub(super) fn alone(region: FileSlice, permit: OwnedSemaphorePermit) -> Self {
        Self { region, _held: SlotSpace::Alone(permit) }
    }
}

impl StagingFiles {
    /// Creates the allocator. Objects of up to an eighth of `shared_bytes` share files of that
    /// size.
    pub(super) fn new(dir: PathBuf, shared_bytes: u64) -> Self {
        Self { dir, shared_bytes, filling: Arc::default() }
    }

    /// Allocates a slot for the `size_bytes` of text of `object`, whose share of the budget is
    /// `permit`.
    ///
    /// # Errors
    /// `StagingFailed` if no file can be created.
    pub(super) fn take(
        &self,
        object: &Object,
        size_bytes: u64,
        permit: OwnedSemaphorePermit,
    ) -> Result<StagingSlot> {
        if size_bytes > self.shared_bytes / 8 {
            let region = FileSlice::new(Arc::new(self.file(object)?), 0, size_bytes);
            return Ok(StagingSlot::alone(region, permit));
        }
        // A panic under these locks leaves no change half done.
        let mut filling = self.filling.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shared) = filling.upgrade() {
            let mut taken = shared.taken.lock().unwrap_or_else(PoisonError::into_inner);
            if taken.bytes + size_bytes <= self.shared_bytes {
                let region = FileSlice::new(Arc::clone(&shared.file), taken.bytes, size_bytes);
                taken.bytes += size_bytes;
                taken.permit.merge(permit);
                drop(taken);
                return Ok(StagingSlot { region, _held: SlotSpace::Shared(shared) });
            }
        }
        let file = Arc::new(self.file(object)?);
        let region = FileSlice::new(Arc::clone(&file), 0, size_bytes);
        let shared =
            Arc::new(Shared { file, taken: Mutex::new(Taken { bytes: size_bytes, permit }) });
        *filling = Arc::downgrade(&shared);
        Ok(StagingSlot { region, _held: SlotSpace::Shared(shared) })
    }

    /// Creates a file without a name.
    pub(super) fn file(&self, object: &Object) -> Result<File> {
        tempfile::tempfile_in(&self.dir).map_err(|error| {
            let message =
                format!("{object}: cannot create a temporary file in {}", self.dir.display());
            Error::new(ErrorKind::StagingFailed, message).caused_by(error)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::Semaphore;

    #[test]
    fn small_objects_share_a_file_until_it_is_full_and_give_the_budget_back_with_it() {
        let budget = Arc::new(Semaphore::new(100));
        let permit = || Arc::clone(&budget).try_acquire_many_owned(10).unwrap();
        let places = StagingFiles::new(std::env::temp_dir(), 80);
        let first = places.take(&Object::of_size(10), 10, permit()).unwrap();
        let large = places.take(&Object::of_size(11), 11, permit()).unwrap();
        let others: Vec<StagingSlot> =
            (0..7).map(|_| places.take(&Object::of_size(10), 10, permit()).unwrap()).collect();
        for (index, place) in std::iter::once(&first).chain(&others).enumerate() {
            place.region.write_all_at(&[u8::try_from(index).unwrap(); 10], 0).unwrap();
        }
        large.region.write_all_at(&[99; 11], 0).unwrap();
        for (index, place) in std::iter::once(&first).chain(&others).enumerate() {
            let mut bytes = [0; 10];
            place.region.read_exact_at(&mut bytes, 0).unwrap();
            assert_eq!(bytes, [u8::try_from(index).unwrap(); 10]);
        }
        let next = places.take(&Object::of_size(10), 10, permit()).unwrap();
        assert_eq!(budget.available_permits(), 0);
        drop(large);
        assert_eq!(budget.available_permits(), 10);
        drop((others, next));
        assert_eq!(budget.available_permits(), 20, "a file stays as long as one of its objects");
        drop(first);
        assert_eq!(budget.available_permits(), 100);
        // The file that was being filled is gone by now.
        drop(places.take(&Object::of_size(1), 1, permit()).unwrap());
        assert_eq!(budget.available_permits(), 100);
    }
}
