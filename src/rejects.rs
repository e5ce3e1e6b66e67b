//! The rejected rows of an object, stored before the COMMIT that leaves them out of the table.
//!
//! An object, or a part of one, has two files. `NAME.rejected` holds its rejected rows exactly as
//! they stand in the object, below the object's own byte order mark and header lines, so that the
//! same options load the file once its rows are fixed. `NAME.rejected.jsonl`, the sidecar, says
//! why: one line for each reason of each row. The files go to a local directory or below a prefix
//! in S3.
//!
//! Guarantees:
//!
//! - **Durable before COMMIT.** [`RejectFile::publish`] returns when both files are durable. It
//!   must come before the COMMIT, and its failure must roll the object back: a row is never dropped
//!   without its record. If the COMMIT fails, the files list rows that were not dropped, until the
//!   next attempt. The ledger and the report say what counts.
//! - **No leftovers of an earlier attempt.** File names are the same at every attempt, so files are
//!   overwritten. An attempt without rejects removes them.
//! - **Whole or not at all.** A file appears under its name only when it is complete. The data file
//!   appears last and disappears first, so every data file has its sidecar.
//! - **Private.** Files have mode 0600, whatever the umask. A new directory has mode 0700.
//! - **Bounded memory.** Each object in work has two buffers of 64 KiB, however many rows it
//!   rejects. The rest is on disk.
//!
//! Failures have the kind [`ErrorKind::RejectsUnwritable`]. It fails the object, and loading the
//! object again is no remedy. This module itself retries what S3 asks to be retried.

mod bucket;
mod destination;
mod directory;
mod name;
mod reason;
mod sidecar;
mod spool;
mod spool_file;
#[cfg(test)]
mod tests;

pub use destination::{RejectsTo, RejectsToError};
pub(crate) use name::NAME_LIMIT_BYTES;
pub use name::ObjectName;
pub use reason::{Reason, ReasonKind, RejectedRow};

use std::path::Path;
use std::sync::Arc;

use memchr::{memchr_iter, memmem};

use crate::error::{Error, ErrorKind, Result};
use crate::retry::RetryConfig;
use crate::source::{PUT_LIMIT_BYTES, S3};
use bucket::{Bucket, NEEDED_RIGHTS, unwritable};
use directory::Directory;
use name::Names;
use sidecar::Sidecar;
use spool::{Spool, SpoolPlace};

/// The place of a run's reject files. A clone refers to the same place.
#[derive(Clone, Debug)]
pub struct Rejects {
    destination: Destination,
}

#[derive(Clone, Debug)]
enum Destination {
    Directory(Arc<Directory>),
    Bucket(Arc<Bucket>),
}

/// The files that were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The number of rejected rows, at least one.
    pub rows: u64,
    /// A path or an S3 URI, not escaped.
    pub data: String,
    pub sidecar: String,
}

/// A position in a [`RejectFile`], to rewind to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    rows: u64,
    lines: u64,
    data_bytes: u64,
    sidecar_bytes: u64,
}

impl Rejects {
    /// Opens the place and checks it. A directory is created if it is missing, leftovers of killed
    /// runs are removed from it, and a test file shows that it is writable. For S3, one request
    /// shows that the bucket exists and its keys can be listed. It changes nothing.
    ///
    /// `staging_dir` holds files on their way to S3. They do not count towards the staging budget.
    ///
    /// # Errors
    /// `Usage` if the place cannot be used; otherwise whatever a request to S3 can return.
    pub async fn open(
        to: &RejectsTo,
        s3: S3,
        staging_dir: &Path,
        retry: &RetryConfig,
    ) -> Result<Self> {
        let unusable = || Error::new(ErrorKind::Usage, format!("--rejects {to} cannot be used"));
        let destination = match to {
            RejectsTo::Directory(path) => {
                let path = path.clone();
                let opened = tokio::task::spawn_blocking(move || Directory::open(&path))
                    .await
                    .map_err(died)?;
                Destination::Directory(Arc::new(opened.map_err(|error| {
                    unusable()
                        .caused_by(error)
                        .with_hint("name a directory that can be created and written to")
                })?))
            }
            RejectsTo::S3 { bucket, prefix } => {
                let (bucket, prefix) = (bucket.clone(), prefix.clone());
                let opened =
                    Bucket::open(s3, bucket, prefix, staging_dir.to_owned(), retry.clone()).await;
                Destination::Bucket(Arc::new(opened.map_err(|error| {
                    let (kind, hint) = match error.kind {
                        ErrorKind::BucketMissing => (
                            ErrorKind::Usage,
                            Some(
                                "name a bucket that exists at this endpoint and region".to_owned(),
                            ),
                        ),
                        ErrorKind::ListingDenied => {
                            (ErrorKind::Usage, Some(NEEDED_RIGHTS.to_owned()))
                        }
                        kind => (kind, error.hint().map(str::to_owned)),
                    };
                    let error = unusable().as_kind(kind).caused_by(error);
                    match hint {
                        Some(hint) => error.with_hint(hint),
                        None => error,
                    }
                })?))
            }
        };
        Ok(Self { destination })
    }

    /// Begins the rejects of one object, or of one part of it. No file is created before there is a
    /// row.
    ///
    /// `head` is the object's byte order mark and header lines, including the last terminator.
    #[must_use]
    pub fn begin(&self, object: ObjectName, part: Option<u32>, head: Vec<u8>) -> RejectFile {
        let names = Names::new(&object, part);
        let place = |name: &str| match &self.destination {
            Destination::Directory(directory) => {
                SpoolPlace::Beside { directory: Arc::clone(directory), name: name.to_owned() }
            }
            Destination::Bucket(bucket) => SpoolPlace::Unnamed(bucket.staging_dir.clone()),
        };
        let limit_bytes = match &self.destination {
            Destination::Directory(_) => u64::MAX,
            Destination::Bucket(_) => PUT_LIMIT_BYTES,
        };
        RejectFile {
            data: Spool::new(place(&names.data), limit_bytes),
            reasons: Spool::new(place(&names.sidecar), limit_bytes),
            sidecar: Sidecar::new(&object, part),
            destination: self.destination.clone(),
            names,
            object,
            head,
            rows: 0,
            lines: 0,
        }
    }
}

/// The rejected rows of one object, not yet published. If it is dropped without
/// [`RejectFile::publish`], earlier files stay as they were.
#[derive(Debug)]
pub struct RejectFile {
    destination: Destination,
    object: ObjectName,
    names: Names,
    head: Vec<u8>,
    data: Spool,
    reasons: Spool,
    sidecar: Sidecar,
    rows: u64,
    /// The number of lines in the data file, as an editor counts them.
    lines: u64,
}

impl RejectFile {
    /// Adds a row. The file keeps the order in which rows are added. Blocking: writes to disk now
    /// and then.
    ///
    /// # Errors
    /// `RejectsUnwritable`. After that the file is unusable, unless it is rewound to an earlier
    /// mark.
    pub fn add(&mut self, row: &RejectedRow<'_>) -> Result<()> {
        self.try_add(row).map_err(|error| self.unwritable(error))
    }

    fn try_add(&mut self, row: &RejectedRow<'_>) -> std::io::Result<()> {
        if self.data.size_bytes() == 0 {
            self.data.append(&self.head)?;
            self.lines = line_ends(&self.head, row.terminator);
        }
        for reason in row.reasons {
            self.reasons.append(self.sidecar.line(row, reason, self.lines + 1))?;
        }
        self.data.append(row.raw)?;
        self.data.append(row.terminator)?;
        self.lines +=
            line_ends(row.raw, row.terminator) + line_ends(row.terminator, row.terminator);
        self.rows += 1;
        Ok(())
    }

    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark {
            rows: self.rows,
            lines: self.lines,
            data_bytes: self.data.size_bytes(),
            sidecar_bytes: self.reasons.size_bytes(),
        }
    }

    /// Removes the rows that were added after `mark`, a mark of this file. Blocking.
    ///
    /// # Errors
    /// `RejectsUnwritable`.
    pub fn rewind(&mut self, mark: Mark) -> Result<()> {
        self.rows = mark.rows;
        self.lines = mark.lines;
        let rewound = self
            .data
            .rewind(mark.data_bytes)
            .and_then(|()| self.reasons.rewind(mark.sidecar_bytes));
        rewound.map_err(|error| self.unwritable(error))
    }

    /// Puts both files into their places durably. If there are no rows, removes the files of an
    /// earlier attempt and returns `None`. This can take long: the caller must keep a waiting
    /// connection alive.
    ///
    /// If the future is dropped, the earlier or the new files may be there, each whole.
    ///
    /// # Errors
    /// `RejectsUnwritable`; `SourceCredentials` if S3 no longer accepts the credentials.
    pub async fn publish(self) -> Result<Option<Published>> {
        let Self { destination, object, names, data, reasons, rows, .. } = self;
        let (data_place, sidecar_place) =
            (destination.place(&names.data), destination.place(&names.sidecar));
        match destination {
            Destination::Directory(directory) => {
                let written = tokio::task::spawn_blocking(move || {
                    if rows > 0 {
                        directory.publish(&names, data.finish()?, reasons.finish()?)
                    } else {
                        directory.remove(&names)
                    }
                });
                written
                    .await
                    .map_err(died)?
                    .map_err(|error| unwritable(&object, &data_place, error))?;
            }
            Destination::Bucket(bucket) if rows > 0 => {
                bucket.publish(&object, &names, data, reasons).await?;
            }
            Destination::Bucket(bucket) => bucket.remove(&object, &names).await?,
        }
        Ok((rows > 0).then_some(Published { rows, data: data_place, sidecar: sidecar_place }))
    }

    fn unwritable(&self, error: std::io::Error) -> Error {
        let place = self.destination.place(&self.names.data);
        match &self.destination {
            Destination::Directory(_) => unwritable(&self.object, &place, error),
            Destination::Bucket(bucket) => unwritable(
                &self.object,
                &format!("{}, on their way to {place}", bucket.staging_dir.display()),
                error,
            ),
        }
    }
}

impl Destination {
    fn place(&self, name: &str) -> String {
        match self {
            Self::Directory(directory) => directory.file(name).to_string_lossy().into_owned(),
            Self::Bucket(bucket) => bucket.uri(name),
        }
    }
}

/// Returns the number of lines that end in `bytes`. A line ends at every line feed, or at every
/// terminator if the terminator contains no line feed.
fn line_ends(bytes: &[u8], terminator: &[u8]) -> u64 {
    let ends = match terminator {
        [] => 0,
        _ if terminator.contains(&b'\n') => memchr_iter(b'\n', bytes).count(),
        _ => memmem::find_iter(bytes, terminator).count(),
    };
    ends as u64
}

fn died(error: tokio::task::JoinError) -> Error {
    Error::new(ErrorKind::Bug, "the thread that wrote rejects died").caused_by(error)
}
