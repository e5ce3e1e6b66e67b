//! A bucket that is a folder. The key of a file is its path in the folder. Files are hashed once
//! and read in chunks.

use super::checksum::FileDigests;
use super::listing::Keyspace;
use super::object::{Content, Object};
use anyhow::Context as _;
use std::fs;
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The block size for hashing: large enough to make the calls cheap, small beside the program's
/// memory.
const HASH_CHUNK_BYTES: usize = 256 * 1024;

/// A folder, and the known objects of its files. A file that changes gets a new ETag at the next
/// request for it.
pub(super) struct Folder {
    root: PathBuf,
    known: Mutex<Arc<Keyspace>>,
}

impl Folder {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root, known: Mutex::default() }
    }

    /// Walks the folder, hashes the files that are new or changed, and returns the present files.
    pub(super) async fn scan(self: &Arc<Self>) -> anyhow::Result<Arc<Keyspace>> {
        let folder = Arc::clone(self);
        tokio::task::spawn_blocking(move || {
            let known = folder.known();
            let mut found = Keyspace::new();
            folder.walk(&folder.root, &known, &mut found)?;
            let found = Arc::new(found);
            folder.remember(Arc::clone(&found));
            Ok(found)
        })
        .await?
    }

    /// Returns the files as of the last scan, so that the pages of one listing agree.
    pub(super) fn known(&self) -> Arc<Keyspace> {
        Arc::clone(&self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns the file under this key, if it exists. A key that leads out of the folder has no
    /// file.
    pub(super) async fn object(self: &Arc<Self>, key: &str) -> anyhow::Result<Option<Arc<Object>>> {
        if key.is_empty()
            || !Path::new(key).components().all(|part| matches!(part, Component::Normal(_)))
        {
            return Ok(None);
        }
        let (folder, key) = (Arc::clone(self), key.to_owned());
        tokio::task::spawn_blocking(move || {
            let path = folder.root.join(&key);
            // `a//b` and `a/./b` name the same file as `a/b`, but are different keys.
            if folder.key_of(&path)? != key {
                return Ok(None);
            }
            let known = folder.known();
            match fs::metadata(&path) {
                Ok(metadata) if metadata.is_file() => {}
                Ok(_) => return Ok(None),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
                Err(error) => {
                    return Err(error).with_context(|| format!("cannot read {}", path.display()));
                }
            }
            let (object, is_new) =
                current(&path, known.get(&key).and_then(|versions| versions.last()))?;
            if is_new {
                let mut changed = Keyspace::clone(&known);
                changed.insert(key, vec![Arc::clone(&object)]);
                folder.remember(Arc::new(changed));
            }
            Ok(Some(object))
        })
        .await?
    }

    fn remember(&self, keyspace: Arc<Keyspace>) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = keyspace;
    }

    fn walk(&self, folder: &Path, known: &Keyspace, found: &mut Keyspace) -> anyhow::Result<()> {
        for entry in
            fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?
        {
            let entry = entry.with_context(|| format!("cannot list {}", folder.display()))?;
            let path = entry.path();
            let kind =
                entry.file_type().with_context(|| format!("cannot read {}", path.display()))?;
            if kind.is_dir() {
                self.walk(&path, known, found)?;
            } else if path.is_file() {
                let key = self.key_of(&path)?;
                let (object, _) =
                    current(&path, known.get(&key).and_then(|versions| versions.last()))?;
                found.insert(key, vec![object]);
            }
        }
        Ok(())
    }

    fn key_of(&self, path: &Path) -> anyhow::Result<String> {
        let parts: Option<Vec<&str>> = path
            .strip_prefix(&self.root)?
            .components()
            .map(|part| part.as_os_str().to_str())
            .collect();
        let parts = parts
            .with_context(|| format!("the name of {} is not UTF-8: rename it", path.display()))?;
        Ok(parts.join("/"))
    }
}

/// Returns the known object if length and time are the same; otherwise hashes the file again.
fn current(path: &Path, known: Option<&Arc<Object>>) -> anyhow::Result<(Arc<Object>, bool)> {
    let read = || format!("cannot read {}", path.display());
    let metadata = fs::metadata(path).with_context(read)?;
    let modified = metadata.modified().with_context(read)?;
    if let Some(known) = known
        && known.length_bytes() == metadata.len()
        && known.last_modified == modified
    {
        return Ok((Arc::clone(known), false));
    }
    let mut file = fs::File::open(path).with_context(read)?;
    let mut digests = FileDigests::new();
    let mut chunk = vec![0; HASH_CHUNK_BYTES];
    loop {
        let length = file.read(&mut chunk).with_context(read)?;
        if length == 0 {
            break;
        }
        digests.update(&chunk[..length]);
    }
    let (etag, checksum) = digests.finish();
    let content = Content::File { path: Arc::from(path), length_bytes: metadata.len() };
    Ok((Arc::new(Object::assembled(content, etag, Some(checksum), modified)), true))
}
