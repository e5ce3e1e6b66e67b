//! Writes reject files to S3.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use super::name::{Names, ObjectName};
use super::spool::Spool;
use crate::error::{Error, ErrorKind, Result};
use crate::retry::{Attempts, RetryConfig};
use crate::source::S3;

/// The number of objects whose hashes are remembered, half a megabyte in all. Beyond it, each
/// object without rejects costs a request.
const REMEMBERED_OBJECTS: usize = 65_536;

pub(super) const NEEDED_RIGHTS: &str = "the credentials need s3:ListBucket on the bucket of \
     --rejects, and s3:PutObject, s3:GetObject and s3:DeleteObject below its prefix";

/// A prefix in a bucket.
#[derive(Debug)]
pub(super) struct Bucket {
    s3: S3,
    name: String,
    prefix: String,
    pub(super) staging_dir: PathBuf,
    retry: RetryConfig,
    /// The files that may exist for objects that turn out to have no rejects.
    leftovers: Mutex<Leftovers>,
    hasher: RandomState,
}

#[derive(Debug)]
enum Leftovers {
    /// The prefix was empty when the run began. Only the files that this process has put since then
    /// can exist, known by their hashes.
    Of(HashSet<u64>),
    /// Any file may exist.
    Unknown,
}

impl Bucket {
    /// Checks that the bucket exists, and whether it has keys below the prefix. Writes nothing.
    pub(super) async fn open(
        s3: S3,
        name: String,
        prefix: String,
        staging_dir: PathBuf,
        retry: RetryConfig,
    ) -> Result<Self> {
        let is_empty = again(&mut Attempts::new(&retry), || s3.is_empty(&name, &prefix)).await?;
        let leftovers = if is_empty { Leftovers::Of(HashSet::new()) } else { Leftovers::Unknown };
        let leftovers = Mutex::new(leftovers);
        Ok(Self { s3, name, prefix, staging_dir, retry, leftovers, hasher: RandomState::new() })
    }

    pub(super) fn uri(&self, name: &str) -> String {
        format!("s3://{}/{}{name}", self.name, self.prefix)
    }

    /// Puts both objects, the sidecar first, so that every data object has a sidecar to explain it.
    ///
    /// An upload that fails halfway may leave the sidecar alone, or beside the data of an earlier
    /// attempt. The object is not loaded then, and its next attempt overwrites both.
    pub(super) async fn publish(
        &self,
        object: &ObjectName,
        names: &Names,
        data: Spool,
        sidecar: Spool,
    ) -> Result<()> {
        let spooled = tokio::task::spawn_blocking(move || Ok((data.finish()?, sidecar.finish()?)));
        let (data, sidecar) = match spooled.await {
            Ok(spooled) => spooled.map_err(|error: std::io::Error| {
                unwritable(object, &self.staging_dir.to_string_lossy(), error)
            })?,
            Err(died) => {
                return Err(Error::new(ErrorKind::Bug, "the thread that wrote rejects died")
                    .caused_by(died));
            }
        };
        // Before the first byte: after a lost response, nobody knows what was written.
        self.remember(names);
        let mut attempts = Attempts::new(&self.retry);
        for (name, spooled) in [(&names.sidecar, &sidecar), (&names.data, &data)] {
            let key = format!("{}{name}", self.prefix);
            let put =
                again(&mut attempts, || self.s3.put_file(&self.name, &key, &spooled.file)).await;
            put.map_err(|error| self.failed(object, name, error))?;
        }
        Ok(())
    }

    /// Deletes the files of an earlier attempt, the data first.
    ///
    /// The sidecar shows whether there are files, because every data object has one. Deleting
    /// without checking would leave a delete marker in a versioned bucket for every object without
    /// rejects.
    pub(super) async fn remove(&self, object: &ObjectName, names: &Names) -> Result<()> {
        if !self.may_be_there(names) {
            return Ok(());
        }
        let mut attempts = Attempts::new(&self.retry);
        let sidecar = format!("{}{}", self.prefix, names.sidecar);
        let looked = again(&mut attempts, || self.s3.exists(&self.name, &sidecar)).await;
        if !looked.map_err(|error| self.failed(object, &names.sidecar, error))? {
            return Ok(());
        }
        for name in [&names.data, &names.sidecar] {
            let key = format!("{}{name}", self.prefix);
            let deleted = again(&mut attempts, || self.s3.delete(&self.name, &key)).await;
            deleted.map_err(|error| self.failed(object, name, error))?;
        }
        Ok(())
    }

    fn remember(&self, names: &Names) {
        let mut leftovers = self.leftovers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Leftovers::Of(put) = &mut *leftovers {
            put.insert(self.hasher.hash_one(&names.data));
            if put.len() > REMEMBERED_OBJECTS {
                *leftovers = Leftovers::Unknown;
            }
        }
    }

    fn may_be_there(&self, names: &Names) -> bool {
        match &*self.leftovers.lock().unwrap_or_else(PoisonError::into_inner) {
            Leftovers::Of(put) => put.contains(&self.hasher.hash_one(&names.data)),
            Leftovers::Unknown => true,
        }
    }

    /// Returns the error for an upload that failed. Its kind keeps the program from loading the
    /// object again, since the retries here are used up.
    fn failed(&self, object: &ObjectName, name: &str, error: Error) -> Error {
        let kind = match error.kind {
            // The source uses the same credentials.
            ErrorKind::SourceCredentials => ErrorKind::SourceCredentials,
            _ => ErrorKind::RejectsUnwritable,
        };
        let message = format!("{object}: its rejects cannot be written to {}", self.uri(name));
        let hint = match error.kind {
            ErrorKind::RejectsUnwritable => Some(NEEDED_RIGHTS.to_owned()),
            _ => error.hint().map(str::to_owned),
        };
        let failed = Error::new(kind, message).caused_by(error);
        match hint {
            Some(hint) => failed.with_hint(hint),
            None => failed,
        }
    }
}

/// Repeats a request until it succeeds or the attempts are used up.
async fn again<T, F: Future<Output = Result<T>>>(
    attempts: &mut Attempts,
    ask: impl Fn() -> F,
) -> Result<T> {
    loop {
        match ask().await {
            Ok(answer) => return Ok(answer),
            Err(error) => {
                if !attempts.wait_after(&error).await {
                    return Err(error);
                }
            }
        }
    }
}

pub(super) fn unwritable(object: &ObjectName, place: &str, error: std::io::Error) -> Error {
    let too_large = error.kind() == std::io::ErrorKind::FileTooLarge;
    let message = format!("{object}: its rejects cannot be written to {place}");
    let error = Error::new(ErrorKind::RejectsUnwritable, message).caused_by(error);
    if too_large {
        error.with_hint(
            "there are more rejects than one file can hold: fix the cause, or set --max-rejects",
        )
    } else {
        error
    }
}
