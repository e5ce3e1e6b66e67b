//! The content of the endpoint: buckets of objects in memory, and folders.

use super::folder::Folder;
use super::listing::{self, Keyspace, Page, Start};
use super::object::Object;
use s3s::{S3Error, S3Result, s3_error};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// The buckets of an endpoint. A clone shares the same store, so that a test or a hook can change
/// what is served.
#[derive(Clone, Default)]
pub struct Backend {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    buckets: RwLock<BTreeMap<String, Bucket>>,
    version_count: AtomicU64,
}

#[derive(Default)]
struct Bucket {
    content: BucketContent,
    is_anonymous: bool,
    is_versioned: bool,
}

enum BucketContent {
    Memory(Keyspace),
    Folder(Arc<Folder>),
}

impl Default for BucketContent {
    fn default() -> Self {
        Self::Memory(Keyspace::new())
    }
}

impl Backend {
    /// Creates a backend without buckets.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an empty bucket in memory.
    pub fn with_bucket(self, bucket: &str) -> Self {
        self.write().entry(bucket.to_owned()).or_default();
        self
    }

    /// Adds a bucket that is this folder. Files are hashed when they are first listed or read, or
    /// by [`Self::warm`].
    pub fn with_folder(self, bucket: &str, root: impl Into<PathBuf>) -> Self {
        let content = BucketContent::Folder(Arc::new(Folder::new(root.into())));
        self.write().insert(bucket.to_owned(), Bucket { content, ..Bucket::default() });
        self
    }

    /// Hashes the files of all folders, so that the first listing need not. Returns the number of
    /// objects.
    pub async fn warm(&self) -> anyhow::Result<usize> {
        let folders: Vec<Arc<Folder>> = self.read().values().filter_map(Bucket::folder).collect();
        let mut object_count =
            self.read().values().filter_map(Bucket::keyspace).map(BTreeMap::len).sum();
        for folder in folders {
            object_count += folder.scan().await?.len();
        }
        Ok(object_count)
    }

    /// Puts an object into a bucket in memory, which is created if it is missing. The object
    /// replaces what was under the key. Older versions stay only if the object has a version id or
    /// the bucket assigns them.
    pub fn put(
        &self,
        bucket: &str,
        key: &str,
        object: impl Into<Object>,
    ) -> anyhow::Result<Arc<Object>> {
        let mut object = object.into();
        let mut buckets = self.write();
        let bucket = buckets.entry(bucket.to_owned()).or_default();
        if bucket.is_versioned && object.version_id.is_none() {
            let number = self.inner.version_count.fetch_add(1, Ordering::Relaxed) + 1;
            object.version_id = Some(format!("version-{number:08}"));
        }
        let BucketContent::Memory(keyspace) = &mut bucket.content else {
            anyhow::bail!("a bucket that is a folder is changed by writing files");
        };
        let object = Arc::new(object);
        let versions = keyspace.entry(key.to_owned()).or_default();
        if object.version_id.is_none() {
            versions.clear();
        } else {
            versions.retain(|old| old.version_id.is_some() && old.version_id != object.version_id);
        }
        versions.push(Arc::clone(&object));
        Ok(object)
    }

    /// Removes a key with all its versions from a bucket in memory. Returns true if it existed.
    pub fn remove(&self, bucket: &str, key: &str) -> bool {
        match self.write().get_mut(bucket).map(|bucket| &mut bucket.content) {
            Some(BucketContent::Memory(keyspace)) => keyspace.remove(key).is_some(),
            _ => false,
        }
    }

    /// Removes one version of a key from a bucket in memory, permanently, as S3 does. Returns true
    /// if it existed.
    pub fn remove_version(&self, bucket: &str, key: &str, version_id: &str) -> bool {
        let mut buckets = self.write();
        let Some(BucketContent::Memory(keyspace)) =
            buckets.get_mut(bucket).map(|bucket| &mut bucket.content)
        else {
            return false;
        };
        let Some(versions) = keyspace.get_mut(key) else { return false };
        let kept = versions.len();
        versions.retain(|object| object.version_id.as_deref() != Some(version_id));
        let removed = versions.len() < kept;
        if versions.is_empty() {
            keyspace.remove(key);
        }
        removed
    }

    /// Returns the newest object under a key of a bucket in memory.
    pub fn newest(&self, bucket: &str, key: &str) -> Option<Arc<Object>> {
        self.read().get(bucket)?.keyspace()?.get(key)?.last().cloned()
    }

    /// Returns the keys of a bucket in memory, in the order of a listing.
    pub fn keys(&self, bucket: &str) -> Vec<String> {
        let buckets = self.read();
        let keyspace = buckets.get(bucket).and_then(Bucket::keyspace);
        keyspace.map(|keyspace| keyspace.keys().cloned().collect()).unwrap_or_default()
    }

    /// Allows everyone to read a bucket without a signature. The bucket is created if it is
    /// missing.
    pub fn allow_anonymous(&self, bucket: &str) {
        self.write().entry(bucket.to_owned()).or_default().is_anonymous = true;
    }

    /// Assigns a version id to every object that is put from now on. The bucket is created if it is
    /// missing.
    pub fn enable_versions(&self, bucket: &str) {
        self.write().entry(bucket.to_owned()).or_default().is_versioned = true;
    }

    pub(super) fn is_anonymous(&self, bucket: &str) -> bool {
        self.read().get(bucket).is_some_and(|bucket| bucket.is_anonymous)
    }

    pub(super) fn is_bucket(&self, bucket: &str) -> bool {
        self.read().contains_key(bucket)
    }

    pub(super) async fn object(
        &self,
        bucket: &str,
        key: &str,
        version_id: Option<&str>,
    ) -> S3Result<Arc<Object>> {
        let no_key = || s3_error!(NoSuchKey, "The specified key does not exist.");
        let folder = {
            let buckets = self.read();
            let bucket = buckets.get(bucket).ok_or_else(no_bucket)?;
            match &bucket.content {
                BucketContent::Folder(folder) => Arc::clone(folder),
                BucketContent::Memory(keyspace) => {
                    let versions = keyspace.get(key).ok_or_else(no_key)?;
                    let found = match version_id {
                        None => versions.last().ok_or_else(no_key)?,
                        Some("null") => versions
                            .iter()
                            .find(|object| object.version_id.is_none())
                            .ok_or_else(no_version)?,
                        Some(id) => versions
                            .iter()
                            .find(|object| object.version_id.as_deref() == Some(id))
                            .ok_or_else(no_version)?,
                    };
                    return Ok(Arc::clone(found));
                }
            }
        };
        folder.object(key).await.map_err(|error| internal(&error))?.ok_or_else(no_key)
    }

    pub(super) async fn page(
        &self,
        bucket: &str,
        prefix: &str,
        delimiter: Option<&str>,
        start: &Start,
        max_keys: usize,
    ) -> S3Result<Page> {
        let folder = {
            let buckets = self.read();
            match &buckets.get(bucket).ok_or_else(no_bucket)?.content {
                BucketContent::Folder(folder) => Arc::clone(folder),
                BucketContent::Memory(keyspace) => {
                    return Ok(listing::page(keyspace, prefix, delimiter, start, max_keys));
                }
            }
        };
        let is_first = matches!(start, Start::Beginning);
        let keyspace = if is_first {
            folder.scan().await.map_err(|error| internal(&error))?
        } else {
            folder.known()
        };
        Ok(listing::page(&keyspace, prefix, delimiter, start, max_keys))
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<String, Bucket>> {
        self.inner.buckets.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<String, Bucket>> {
        self.inner.buckets.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bucket {
    fn keyspace(&self) -> Option<&Keyspace> {
        if let BucketContent::Memory(keyspace) = &self.content { Some(keyspace) } else { None }
    }

    fn folder(&self) -> Option<Arc<Folder>> {
        if let BucketContent::Folder(folder) = &self.content {
            Some(Arc::clone(folder))
        } else {
            None
        }
    }
}

pub(super) fn no_bucket() -> S3Error {
    s3_error!(NoSuchBucket, "The specified bucket does not exist")
}

fn no_version() -> S3Error {
    s3_error!(NoSuchVersion, "The specified version does not exist.")
}

fn internal(error: &anyhow::Error) -> S3Error {
    S3Error::with_message(s3s::S3ErrorCode::InternalError, format!("{error:#}"))
}
