//! Reject files in a local directory.
//!
//! A file is written under a temporary name beside its place, `.NAME.XXXXXXXXXXXX.tmp`, and locked
//! for as long as its writer lives, so that whoever opens the directory next can tell what a killed
//! process left from what is still being written.

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

/// A name is taken from a writer only in the moment before it locks it: twice in a row doesn't
/// happen.
const TRIES: usize = 8;

/// A directory that can be written.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    /// To make its entries durable.
    handle: File,
}

impl Directory {
    /// Makes it, with what leads there, for nobody else's eyes; removes what killed processes left
    /// in it. Blocking.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        create(path)?;
        let directory = Self { path: path.to_owned(), handle: File::open(path)? };
        directory.sync()?;
        directory.sweep()?;
        // Under a name that the next sweep would know.
        directory.temporary(&format!("probe-{}.rejected", "0".repeat(32)))?;
        Ok(directory)
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// A new file that is to become `name`, which nobody but the user can read.
    pub(super) fn temporary(&self, name: &str) -> io::Result<SpoolFile> {
        for _ in 0..TRIES {
            let (file, path) = tempfile::Builder::new()
                .prefix(&format!("{TEMPORARY_PREFIX}{name}."))
                .suffix(TEMPORARY_SUFFIX)
                .rand_bytes(RANDOM_CHARACTERS)
                .permissions(Permissions::from_mode(0o600))
                .tempfile_in(&self.path)?
                .into_parts();
            // A umask may have taken more away.
            file.set_permissions(Permissions::from_mode(0o600))?;
            // Where there are no locks nothing is swept either. A lock that is held is that of a
            // sweep.
            let is_swept = matches!(file.try_lock(), Err(std::fs::TryLockError::WouldBlock));
            if !is_swept && file.metadata()?.nlink() > 0 {
                return Ok(SpoolFile::named(file, path));
            }
        }
        Err(io::Error::other("temporary files in it are removed by somebody else"))
    }

    /// Puts both files into their places, whole, and returns when they are there to stay. Blocking.
    ///
    /// The sidecar first: wherever there is a data file, there is a sidecar to explain it. Whatever
    /// an interruption leaves was left before the COMMIT, and the next try overwrites it.
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

    /// Removes what an earlier try left in both places. Blocking.
    pub(super) fn remove(&self, names: &Names) -> io::Result<()> {
        let mut is_changed = false;
        for name in [&names.data, &names.sidecar] {
            match std::fs::remove_file(self.file(name)) {
                Ok(()) => is_changed = true,
                // Nor is there anything where the directory itself has gone.
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

    /// Best effort: what can't be removed is in nobody's way.
    fn sweep(&self) -> io::Result<()> {
        for entry in std::fs::read_dir(&self.path)? {
            let entry = entry?;
            if entry.file_name().to_str().is_some_and(is_temporary) && is_abandoned(&entry.path()) {
                tracing::debug!(
                    "{}: left by a run that was killed, removed",
                    entry.path().display()
                );
            }
        }
        Ok(())
    }
}

/// Whether a name is one that [`Directory::temporary`] makes.
fn is_temporary(name: &str) -> bool {
    let inner =
        name.strip_prefix(TEMPORARY_PREFIX).and_then(|name| name.strip_suffix(TEMPORARY_SUFFIX));
    inner.and_then(|inner| inner.rsplit_once('.')).is_some_and(|(name, random)| {
        is_name(name)
            && random.len() == RANDOM_CHARACTERS
            && random.bytes().all(|byte| byte.is_ascii_alphanumeric())
    })
}

/// Removes a file that nobody holds; the lock is kept over the removal, so that its writer can't
/// begin in between.
fn is_abandoned(path: &Path) -> bool {
    let is_file = std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file());
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Some(Ok(file)) = is_file.then(|| rustix::fs::open(path, flags, Mode::empty())) else {
        return false;
    };
    let file = File::from(file);
    file.try_lock().is_ok() && std::fs::remove_file(path).is_ok()
}

/// Makes what is missing of a path, and each new entry durable.
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
        // Somebody else was first; if it is no directory, opening it will tell.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

/// Some network file systems know no such thing for directories, and then there is nothing more
/// that could be done.
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
