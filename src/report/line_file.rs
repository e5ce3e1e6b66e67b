//! A file to which whole lines are written.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use crate::error::{Error, ErrorKind, Result};

/// A file that lines are added to. It is absent if it was not requested or a write has failed.
#[derive(Debug)]
pub(super) struct LineFile {
    /// The flag and the path, for messages.
    name: String,
    file: Option<File>,
}

impl LineFile {
    /// Creates the file for this user only, because reports quote rows. An existing file is
    /// emptied, and keeps its permissions.
    ///
    /// # Errors
    /// `Usage` if it cannot be written, or if one of `other_uses` is the same file.
    pub(super) fn create(
        flag: &str,
        path: Option<&Path>,
        other_uses: &[(&str, Option<&Path>)],
    ) -> Result<Self> {
        let Some(path) = path else { return Ok(Self { name: String::new(), file: None }) };
        let name = format!("{flag} {}", path.display());
        for (other_flag, other_path) in other_uses {
            if other_path.is_some_and(|other_path| is_same_file(path, other_path)) {
                let message =
                    format!("{name} is also the file of {other_flag}, and would overwrite it");
                return Err(
                    Error::new(ErrorKind::Usage, message).with_hint("give each its own file")
                );
            }
        }
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let file = options.open(path).map_err(|error| {
            Error::new(ErrorKind::Usage, format!("{name} cannot be written")).caused_by(error)
        })?;
        Ok(Self { name, file: Some(file) })
    }

    /// Returns true if lines are written to a file.
    pub(super) fn is_open(&self) -> bool {
        self.file.is_some()
    }

    /// Adds a line in one write, so that it is written as a whole or not at all.
    ///
    /// # Errors
    /// `Usage` if the line cannot be written. Later lines are then dropped without an error.
    pub(super) fn add(&mut self, line: &str) -> Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        file.write_all(format!("{line}\n").as_bytes()).map_err(|error| {
            // Another line after half a line would make both unreadable.
            self.file = None;
            Error::new(ErrorKind::Usage, format!("{} cannot be written", self.name))
                .with_hint("loaded objects stay in the table, and the summary counts them")
                .caused_by(error)
        })
    }
}

fn is_same_file(left: &Path, right: &Path) -> bool {
    match (left.metadata(), right.metadata()) {
        (Ok(left), Ok(right)) => {
            left.is_file() && (left.dev(), left.ino()) == (right.dev(), right.ino())
        }
        _ => false,
    }
}
