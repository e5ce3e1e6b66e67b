//! Rows that are held back, written down before the COMMIT that leaves them out.
//!
//! An object, or a part of one, has two files: `NAME.rejected` has its rejected rows as they stand
//! in the object, below the object's own byte order mark and header lines, so that the same options
//! load it once it is mended; `NAME.rejected.jsonl` tells why, a line for each reason of each row.
//! They are in a local directory or below a prefix in S3.
//!
//! What is promised:
//!
//! - **Durable before COMMIT.** [`RejectFile::publish`] returns when both files are there to stay.
//!   It must come before the COMMIT, and its failure must roll the object back: a row is never
//!   dropped without its record. If the COMMIT fails, files of rows that were not dropped are left,
//!   until the next try: the ledger and the report say what counts.
//! - **A try leaves nothing of the one before.** Names are the same at every try, so that files are
//!   overwritten; a try without rejects removes them.
//! - **Whole or not at all.** A file appears under its name only when it is complete. Of the two,
//!   the data comes last and goes first: wherever there is one, its sidecar is there.
//! - **Nobody else's.** Files have mode 0600, whatever the umask; a new directory has 0700.
//! - **Bounded.** Two buffers of 64 KiB for each object in work, however many rows; the rest is on
//!   disk.
//!
//! Failures are [`RejectsUnwritable`](crate::error::Kind::RejectsUnwritable), which costs the
//! object and is not tried again by loading it once more. What S3 asks to be tried again is tried
//! again here.

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

/// The place of a run's reject files. A clone is the same place.
#[derive(Clone, Debug)]
pub struct Rejects {
    destination: Destination,
}

#[derive(Clone, Debug)]
enum Destination {
    Directory(Arc<Directory>),
    Bucket(Arc<Bucket>),
}

/// What was written down, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// At least one.
    pub rows: u64,
    /// A path or an S3 URI, as it is.
    pub data: String,
    pub sidecar: String,
}

/// How far a [`RejectFile`] has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    rows: u64,
    lines: u64,
    data_bytes: u64,
    sidecar_bytes: u64,
}

impl Rejects {
    /// Makes the directory if it is missing, removes what killed runs left in it, and shows that it
    /// can be written; of S3, that the bucket is there and its keys can be listed, which takes one
    /// request and changes nothing.
    ///
    /// `staging_dir` takes what is on its way to S3, beside the staging budget.
    ///
    /// # Errors
    /// `Usage` where the place can't be used; what any request to S3 can meet.
    pub async fn open(
        to: &RejectsTo,
        s3: S3,
        staging_dir: &Path,
        retry: &RetryConfig,
    ) -> Result<Self> {
        let unusable = || Error::new(ErrorKind::Usage, format!("--rejects {to} can't be used"));
        let destination = match to {
            RejectsTo::Directory(path) => {
                let path = path.clone();
                let opened = tokio::task::spawn_blocking(move || Directory::open(&path))
                    .await
                    .map_err(died)?;
                Destination::Directory(Arc::new(opened.map_err(|error| {
                    unusable()
                        .caused_by(error)
                        .with_hint("name a directory that can be made and written to")
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
                                "name a bucket that is there, at this endpoint and region"
                                    .to_owned(),
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

    /// The rejects of one object, or of one part of it. Nothing is made before there is a row.
    ///
    /// `head` is the object's byte order mark and header lines, with the last one's terminator.
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

/// The rows of one object that are held back, on their way. Dropped without
/// [`RejectFile::publish`], it leaves what was there.
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
    /// In the data, as an editor counts.
    lines: u64,
}

impl RejectFile {
    /// Adds a row. Rows stand in the file in the order in which they are added. Blocking: a write
    /// to disk now and then.
    ///
    /// # Errors
    /// `RejectsUnwritable`. The file is of no use then, unless it is rewound to a mark from before.
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

    /// Takes back what was added since a mark of this file. Blocking.
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

    /// Puts both files into their places, durably; where there are no rows, removes what an earlier
    /// try left there, and returns `None`. Takes as long as the place needs: a connection that
    /// waits meanwhile must be kept alive.
    ///
    /// If the future is dropped, earlier files or new ones may be there, each whole.
    ///
    /// # Errors
    /// `RejectsUnwritable`; `SourceCredentials` where S3 no longer knows the credentials.
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

/// How many lines end in `bytes`: at every line feed; where the terminator has none, at every such
/// terminator.
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
