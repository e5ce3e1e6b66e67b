//! Reject files in a local directory.
//!
//! A file is written under a temporary name in the same directory, `.NAME.XXXXXXXXXXXX.tmp`, and
//! stays locked for as long as its writer lives. The next process that opens the directory can thus
//! tell the leftovers of a killed process from files that are still being written.

#[cfg(test)]
mod tests;

use std::fs::{DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use super::name::{Names, is_name};
use super::spool_file::SpoolFile;

const TEMPORARY_PREFIX: &str = ".";
const TEMPORARY_SUFFIX: &str = ".tmp";
const RANDOM_CHARACTERS: usize = 12;

/// The number of tries for a temporary file. A sweep can remove a file only in the moment before
/// its writer locks it, which does not happen twice in a row.
const TRIES: usize = 8;

/// A writable directory.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    /// The open directory, to make its entries durable.
    handle: File,
}

impl Directory {
    /// Creates the directory and its missing parents for this user only, and removes what killed
    /// processes left in it. Blocking.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        create(path)?;
        let directory = Self { path: path.to_owned(), handle: File::open(path)? };
        directory.sync()?;
        directory.sweep()?;
        // Under a name that the next sweep recognizes.
        directory.temporary(&format!("probe-{}.rejected", "0".repeat(32)))?;
        Ok(directory)
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Creates the temporary file for `name`, which only this user can read.
    pub(super) fn temporary(&self, name: &str) -> io::Result<SpoolFile> {
        for _ in 0..TRIES {
            let (file, path) = tempfile::Builder::new()
                .prefix(&format!("{TEMPORARY_PREFIX}{name}."))
                .suffix(TEMPORARY_SUFFIX)
                .rand_bytes(RANDOM_CHARACTERS)
                .permissions(Permissions::from_mode(0o600))
                .tempfile_in(&self.path)?
                .into_parts();
            // The umask may have removed permissions.
            file.set_permissions(Permissions::from_mode(0o600))?;
            // Without locks nothing is swept either. A lock that another process holds belongs to a
            // sweep.
            let is_swept = matches!(file.try_lock(), Err(std::fs::TryLockError::WouldBlock));
            if !is_swept && file.metadata()?.nlink() > 0 {
                return Ok(SpoolFile::named(file, path));
            }
        }
        Err(io::Error::other("another process removes the temporary files in it"))
    }

    /// Moves both files, whole, into their places, and returns when they are durable. Blocking.
    ///
    /// The sidecar goes first, so that every data file has a sidecar to explain it. Whatever an
    /// interruption leaves dates from before the COMMIT, and the next attempt overwrites it.
    pub(super) fn publish(
        &self,
        names: &Names,
        data: SpoolFile,
        sidecar: SpoolFile,
    ) -> io::Result<()> {
        data.file.sync_all()?;
        sidecar.file.sync_all()?;
        sidecar.rename(&self.file(&names.sidecar))?;
        data.rename(&self.file(&names.data))?;
        self.sync()
    }

    /// Removes both files of an earlier attempt. Blocking.
    pub(super) fn remove(&self, names: &Names) -> io::Result<()> {
        let mut is_changed = false;
        for name in [&names.data, &names.sidecar] {
            match std::fs::remove_file(self.file(name)) {
                Ok(()) => is_changed = true,
                // If the directory itself is gone, so are its files.
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                    ) => {}
                Err(error) => return Err(error),
            }
        }
        if is_changed { self.sync() } else { Ok(()) }
    }

    fn sync(&self) -> io::Result<()> {
        sync(&self.handle)
    }

    /// Removes abandoned temporary files. A file that cannot be removed does no harm.
    fn sweep(&self) -> io::Result<()> {
        for entry in std::fs::read_dir(&self.path)? {
            let entry = entry?;
            if entry.file_name().to_str().is_some_and(is_temporary) && is_abandoned(&entry.path()) {
                tracing::debug!("{}: removed, left by a killed run", entry.path().display());
            }
        }
        Ok(())
    }
}

/// Returns true if [`Directory::temporary`] makes such names.
fn is_temporary(name: &str) -> bool {
    let inner =
        name.strip_prefix(TEMPORARY_PREFIX).and_then(|name| name.strip_suffix(TEMPORARY_SUFFIX));
    inner.and_then(|inner| inner.rsplit_once('.')).is_some_and(|(name, random)| {
        is_name(name)
            && random.len() == RANDOM_CHARACTERS
            && random.bytes().all(|byte| byte.is_ascii_alphanumeric())
    })
}

/// Removes a file that nobody has locked. The lock is held during the removal, so that a writer
/// cannot start in between.
fn is_abandoned(path: &Path) -> bool {
    let is_file = std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file());
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Some(Ok(file)) = is_file.then(|| rustix::fs::open(path, flags, Mode::empty())) else {
        return false;
    };
    let file = File::from(file);
    file.try_lock().is_ok() && std::fs::remove_file(path).is_ok()
}

/// Creates the missing directories of a path, and makes each new entry durable.
fn create(path: &Path) -> io::Result<()> {
    if std::fs::metadata(path).is_ok_and(|metadata| metadata.is_dir()) {
        return Ok(());
    }
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if !parent.is_dir() {
        create(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => sync(&File::open(parent)?),
        // Another process was first. If the path is not a directory, opening it fails later.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

/// Syncs a directory. Some network file systems cannot do this, and then there is no other way.
fn sync(directory: &File) -> io::Result<()> {
    match directory.sync_all() {
        Err(error)
            if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) =>
        {
            Ok(())
        }
        synced => synced,
    }
}
