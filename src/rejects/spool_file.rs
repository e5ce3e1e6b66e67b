//! A file, and the temporary name under which it is removed when it is dropped.

use std::fs::File;
use std::io;
use std::path::Path;

use tempfile::TempPath;

/// A file, and the temporary name under which it goes when it is dropped.
#[derive(Debug)]
pub(crate) struct SpoolFile {
    pub(crate) file: File,
    pub(crate) path: Option<TempPath>,
}

impl SpoolFile {
    pub(crate) fn named(file: File, path: TempPath) -> Self {
        Self { file, path: Some(path) }
    }

    /// Gives it its final name, over whatever has that. A symlink there is replaced, not followed.
    pub(crate) fn rename(self, to: &Path) -> io::Result<()> {
        match self.path {
            Some(path) => path.persist(to).map_err(|error| error.error),
            None => Err(io::Error::other("a file without a name can't be given one")),
        }
    }
}
