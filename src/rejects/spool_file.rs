//! A file with the temporary name that disappears when the file is dropped.

use std::fs::File;
use std::io;
use std::path::Path;

use tempfile::TempPath;

/// A file and its temporary name, which is removed on drop.
#[derive(Debug)]
pub(crate) struct SpoolFile {
    pub(crate) file: File,
    pub(crate) path: Option<TempPath>,
}

impl SpoolFile {
    pub(crate) fn named(file: File, path: TempPath) -> Self {
        Self { file, path: Some(path) }
    }

    /// Gives the file its final name, and replaces any file of that name. A symlink there is
    /// replaced, not followed.
    pub(crate) fn rename(self, to: &Path) -> io::Result<()> {
        match self.path {
            Some(path) => path.persist(to).map_err(|error| error.error),
            None => Err(io::Error::other("a file without a name cannot be renamed")),
        }
    }
}
