//! A file to which whole lines are written.
//!
//! An ordinary file is written beside its place, as `NAME.RUN.partial`, and renamed at the end. So
//! runs that overlap never write into the same file, and a reader never sees half a report. What a
//! killed run has written stays under the temporary name, and the last whole file keeps its own.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Seek as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::destination::ReportTo;
use crate::error::{Error, ErrorKind, Result};

/// The number of symbolic links that are followed to the place of a file.
const LINKS_FOLLOWED: u32 = 40;

/// A file that lines are added to. It is absent if it was not requested or a write has failed.
#[derive(Debug, Default)]
pub(super) struct LineFile {
    /// The flag and the place, for messages.
    name: String,
    sink: Option<Sink>,
}

#[derive(Debug)]
enum Sink {
    StandardOutput,
    /// A device or a pipe, which nothing can replace.
    InPlace(File),
    /// A temporary file beside the place that it is renamed to.
    Beside {
        file: File,
        temporary: PathBuf,
        path: PathBuf,
    },
    /// A file without a name, which is uploaded at the end.
    Spool {
        file: File,
        bucket: String,
        key: String,
    },
}

/// A report that is complete and has to be uploaded.
#[derive(Debug)]
pub struct Upload {
    pub file: File,
    pub bucket: String,
    pub key: String,
}

/// A file to which the reports of several tables add their lines.
#[derive(Clone, Debug)]
pub(super) struct SharedLines(Arc<Mutex<LineFile>>);

impl SharedLines {
    pub(super) fn new(file: LineFile) -> Self {
        Self(Arc::new(Mutex::new(file)))
    }

    /// Does what [`LineFile::is_open`] does.
    pub(super) fn is_open(&self) -> bool {
        self.lock().is_open()
    }

    /// Does what [`LineFile::add`] does.
    ///
    /// # Errors
    /// The errors of [`LineFile::add`].
    pub(super) fn add(&self, line: &str) -> Result<()> {
        self.lock().add(line)
    }

    /// Does what [`LineFile::publish`] does.
    ///
    /// # Errors
    /// The errors of [`LineFile::publish`].
    pub(super) fn publish(&self) -> Result<Option<Upload>> {
        self.lock().publish()
    }

    fn lock(&self) -> MutexGuard<'_, LineFile> {
        // Nothing panics between two writes.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LineFile {
    /// Creates the file for this user only, because reports quote rows. A file that is replaced
    /// keeps its permissions.
    ///
    /// # Errors
    /// `Usage` if it cannot be written.
    pub(super) fn create(
        flag: &str,
        to: Option<&ReportTo>,
        run_id: &str,
        staging_dir: &Path,
    ) -> Result<Self> {
        let Some(to) = to else { return Ok(Self::default()) };
        let (name, sink) = match to {
            ReportTo::StandardOutput => (format!("{flag} -"), Ok(Sink::StandardOutput)),
            ReportTo::File(path) => (format!("{flag} {}", path.display()), open(path, run_id)),
            ReportTo::S3 { bucket, key } => {
                let spool = tempfile::tempfile_in(staging_dir).map(|file| Sink::Spool {
                    file,
                    bucket: bucket.clone(),
                    key: key.clone(),
                });
                (format!("{flag} s3://{bucket}/{key}"), spool)
            }
        };
        let sink = sink.map_err(|error| {
            let error =
                Error::new(ErrorKind::Usage, format!("{name} cannot be written")).caused_by(error);
            match to {
                ReportTo::S3 { .. } => error.with_hint(format!(
                    "it is kept in {} until it is uploaded; choose another --staging-dir",
                    staging_dir.display()
                )),
                _ => error,
            }
        })?;
        Ok(Self { name, sink: Some(sink) })
    }

    /// Returns an error if one of `other_uses` is the same file as `path`.
    ///
    /// # Errors
    /// `Usage`.
    pub(super) fn ensure_alone(
        flag: &str,
        path: &Path,
        other_uses: &[(&str, Option<&Path>)],
    ) -> Result<()> {
        for (other_flag, other_path) in other_uses {
            if other_path.is_some_and(|other_path| is_same_file(path, other_path)) {
                let message = format!(
                    "{flag} {} is also the file of {other_flag}, and would overwrite it",
                    path.display()
                );
                return Err(
                    Error::new(ErrorKind::Usage, message).with_hint("give each its own file")
                );
            }
        }
        Ok(())
    }

    /// Returns true if lines are written to a file.
    pub(super) fn is_open(&self) -> bool {
        self.sink.is_some()
    }

    /// Adds a line in one write, so that it is written as a whole or not at all.
    ///
    /// # Errors
    /// `Usage` if the line cannot be written. Later lines are then dropped without an error.
    pub(super) fn add(&mut self, line: &str) -> Result<()> {
        let Some(sink) = &mut self.sink else { return Ok(()) };
        let line = format!("{line}\n");
        let written = match sink {
            // Written at once, because the line ends in a line feed.
            Sink::StandardOutput => io::stdout().lock().write_all(line.as_bytes()),
            Sink::InPlace(file) | Sink::Beside { file, .. } | Sink::Spool { file, .. } => {
                file.write_all(line.as_bytes())
            }
        };
        // Another line after half a line would make both unreadable.
        written.map_err(|error| self.failed(error))
    }

    /// Gives the complete file its name. Returns what is to be uploaded instead.
    ///
    /// # Errors
    /// `Usage` if the file cannot have its name. It keeps the temporary one then.
    pub(super) fn publish(&mut self) -> Result<Option<Upload>> {
        match self.sink.take() {
            Some(Sink::Beside { file, temporary, path }) => {
                let published =
                    file.sync_all().and_then(|()| put_in_place(&file, &temporary, &path));
                published.map_err(|error| {
                    self.sink = Some(Sink::Beside { file, temporary, path });
                    self.failed(error)
                })?;
                Ok(None)
            }
            Some(Sink::Spool { file, bucket, key }) => Ok(Some(Upload { file, bucket, key })),
            Some(Sink::StandardOutput | Sink::InPlace(_)) | None => Ok(None),
        }
    }

    fn failed(&mut self, error: io::Error) -> Error {
        let hint = match self.sink.take() {
            Some(Sink::Beside { temporary, .. }) => format!(
                "loaded objects stay in the table, and the summary counts them; {} has the lines \
                 so far",
                temporary.display()
            ),
            _ => "loaded objects stay in the table, and the summary counts them".to_owned(),
        };
        Error::new(ErrorKind::Usage, format!("{} cannot be written", self.name))
            .with_hint(hint)
            .caused_by(error)
    }
}

fn open(path: &Path, run_id: &str) -> io::Result<Sink> {
    let existing = std::fs::metadata(path).ok();
    if existing.as_ref().is_some_and(|existing| !existing.is_file()) {
        // Opening a directory fails.
        return OpenOptions::new().write(true).open(path).map(Sink::InPlace);
    }
    let path = place(path)?;
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut temporary = name.to_owned();
    temporary.push(format!(".{run_id}.partial"));
    let temporary = path.with_file_name(temporary);
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create_new(true).mode(0o600).open(&temporary)?;
    if let Some(existing) = existing {
        file.set_permissions(Permissions::from_mode(existing.mode() & 0o7777))?;
    }
    Ok(Sink::Beside { file, temporary, path })
}

/// Renames the file. A place that cannot be renamed to, such as a file that is mounted into a
/// container, gets its content.
fn put_in_place(mut file: &File, temporary: &Path, path: &Path) -> io::Result<()> {
    let Err(error) = std::fs::rename(temporary, path) else { return Ok(()) };
    let Ok(mut to) = OpenOptions::new().write(true).truncate(true).open(path) else {
        return Err(error);
    };
    file.seek(io::SeekFrom::Start(0))?;
    io::copy(&mut file, &mut to)?;
    // The content is in its place, and a leftover does no harm.
    let _ = std::fs::remove_file(temporary);
    Ok(())
}

/// Returns the path behind all symbolic links, whose last component need not exist.
fn place(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..LINKS_FOLLOWED {
        match std::fs::read_link(&path) {
            Ok(target) => path = folder(&path).join(target),
            Err(_) => {
                let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
                return Ok(folder(&path).canonicalize()?.join(name));
            }
        }
    }
    Err(io::Error::other("too many symbolic links"))
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn is_same_file(left: &Path, right: &Path) -> bool {
    if let (Ok(left), Ok(right)) = (left.metadata(), right.metadata()) {
        return left.is_file() && (left.dev(), left.ino()) == (right.dev(), right.ino());
    }
    matches!((place(left), place(right)), (Ok(left), Ok(right)) if left == right)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn create(path: &Path, run_id: &str) -> LineFile {
        let to = ReportTo::File(path.to_owned());
        LineFile::create("--report", Some(&to), run_id, Path::new("/tmp")).unwrap()
    }

    #[test]
    fn a_file_appears_whole_and_what_was_there_stays_until_then() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("r");
        std::fs::write(&path, "old").unwrap();
        let mut file = create(&path, "1");
        file.add("a").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
        let partial = dir.path().join("r.1.partial");
        assert_eq!(std::fs::read_to_string(&partial).unwrap(), "a\n");
        file.add("b").unwrap();
        assert!(file.publish().unwrap().is_none());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "a\nb\n");
        assert!(!partial.exists());
    }

    #[test]
    fn a_link_stays_and_the_file_behind_it_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let (link, path) = (dir.path().join("link"), dir.path().join("r"));
        std::os::unix::fs::symlink("r", &link).unwrap();
        let mut file = create(&link, "1");
        file.add("a").unwrap();
        file.publish().unwrap();
        assert!(link.is_symlink());
        assert_eq!(std::fs::read_to_string(path).unwrap(), "a\n");
        assert!(is_same_file(&link, &dir.path().join("r")));
        let (one, other) = (dir.path().join("one"), dir.path().join("other"));
        std::os::unix::fs::symlink("other", &one).unwrap();
        assert!(is_same_file(&one, &other), "neither exists yet");
        assert!(!is_same_file(&one, &path_of(&dir, "third")));
    }

    fn path_of(dir: &tempfile::TempDir, name: &str) -> PathBuf {
        dir.path().join(name)
    }

    #[test]
    fn a_place_that_cannot_be_renamed_to_gets_the_content() {
        let dir = tempfile::tempdir().unwrap();
        let (path, temporary) = (dir.path().join("r"), dir.path().join("gone"));
        std::fs::write(&path, "something longer").unwrap();
        let mut options = OpenOptions::new();
        let mut file = options.read(true).write(true).create(true).open(&temporary).unwrap();
        file.write_all(b"a\n").unwrap();
        // As if the rename had been refused.
        std::fs::remove_file(&temporary).unwrap();
        put_in_place(&file, &temporary, &path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "a\n");
        let missing = dir.path().join("no/such");
        assert!(put_in_place(&file, &temporary, &missing).is_err());
    }

    #[test]
    fn a_device_is_written_to_and_a_directory_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mut null = create(Path::new("/dev/null"), "1");
        null.add("a").unwrap();
        null.publish().unwrap();
        let to = ReportTo::File(dir.path().to_owned());
        assert!(LineFile::create("--report", Some(&to), "1", Path::new("/tmp")).is_err());
    }
}
