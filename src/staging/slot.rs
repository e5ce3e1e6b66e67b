//! Where on the staging disk an object goes: into a file of its own or, where it is small, beside
//! others in one.
//!
//! Thousands of small files would take thousands of descriptors and two system calls each; and
//! objects that are loaded in one transaction are read again in one go where they lie next to each
//! other. A shared file goes, and its space in the budget comes back, when the last object in it
//! goes.

use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::OwnedSemaphorePermit;

use crate::error::{Error, ErrorKind, Result};
use crate::file_slice::FileSlice;
use crate::object::Object;

/// Makes places in one directory.
#[derive(Debug)]
pub struct StagingFiles {
    dir: PathBuf,
    /// No shared file grows beyond this.
    shared_bytes: u64,
    /// The one that is being filled. Not kept alive by this: what is in it may be loaded before
    /// another object comes.
    filling: Mutex<Weak<Shared>>,
}

/// A place of an object's size, and its share of the budget.
#[derive(Debug)]
pub struct StagingSlot {
    pub(crate) region: FileSlice,
    _held: SlotSpace,
}

#[derive(Debug)]
#[expect(dead_code, reason = "held until the place is given up")]
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

impl StagingFiles {
    /// Objects of up to an eighth of `shared_bytes` share files of that size.
    #[must_use]
    pub fn new(dir: PathBuf, shared_bytes: u64) -> Self {
        Self { dir, shared_bytes, filling: Mutex::default() }
    }

    /// A place for `object`, for which `permit` has been taken of the budget.
    ///
    /// # Errors
    /// `StagingFailed` where no file can be made.
    pub fn take(&self, object: &Object, permit: OwnedSemaphorePermit) -> Result<StagingSlot> {
        let size_bytes = object.size_bytes;
        if size_bytes > self.shared_bytes / 8 {
            let region = FileSlice::new(Arc::new(self.file(object)?), 0, size_bytes);
            return Ok(StagingSlot { region, _held: SlotSpace::Alone(permit) });
        }
        // Nothing is left half-done under these locks by a panic.
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

    fn file(&self, object: &Object) -> Result<File> {
        tempfile::tempfile_in(&self.dir).map_err(|error| {
            let message =
                format!("{object}: no temporary file can be made in {}", self.dir.display());
            Error::new(ErrorKind::StagingFailed, message).caused_by(error)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::Semaphore;

    fn object(size_bytes: u64) -> Object {
        Object {
            bucket: "b".into(),
            key: "k".into(),
            etag: "e".into(),
            size_bytes,
            last_modified: None,
        }
    }

    #[test]
    fn small_objects_share_a_file_until_it_is_full_and_give_the_budget_back_with_it() {
        let budget = Arc::new(Semaphore::new(100));
        let permit = || Arc::clone(&budget).try_acquire_many_owned(10).unwrap();
        let places = StagingFiles::new(std::env::temp_dir(), 80);
        let first = places.take(&object(10), permit()).unwrap();
        let large = places.take(&object(11), permit()).unwrap();
        let others: Vec<StagingSlot> =
            (0..7).map(|_| places.take(&object(10), permit()).unwrap()).collect();
        for (index, place) in std::iter::once(&first).chain(&others).enumerate() {
            place.region.write_all_at(&[u8::try_from(index).unwrap(); 10], 0).unwrap();
        }
        large.region.write_all_at(&[99; 11], 0).unwrap();
        for (index, place) in std::iter::once(&first).chain(&others).enumerate() {
            let mut bytes = [0; 10];
            place.region.read_exact_at(&mut bytes, 0).unwrap();
            assert_eq!(bytes, [u8::try_from(index).unwrap(); 10]);
        }
        let next = places.take(&object(10), permit()).unwrap();
        assert_eq!(budget.available_permits(), 0);
        drop(large);
        assert_eq!(budget.available_permits(), 10);
        drop((others, next));
        assert_eq!(budget.available_permits(), 20, "a file stays as long as one of its objects");
        drop(first);
        assert_eq!(budget.available_permits(), 100);
        // What was filled is gone by now.
        drop(places.take(&object(1), permit()).unwrap());
        assert_eq!(budget.available_permits(), 100);
    }
}
