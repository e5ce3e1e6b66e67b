//! The identities of the ledger: the table, the object and the run, and how their bytes are written
//! in SQL.

use std::borrow::Cow;

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::error::{Error, ErrorKind, Result};
use crate::object::Object;
use crate::sql_text::{TableName, bytes_literal};

/// The longest ETag that fits the ledger's column. S3's own have 32 to 38 bytes.
pub(super) const ETAG_LIMIT_BYTES: usize = 255;
pub(super) const BUCKET_LIMIT_BYTES: usize = 255;
pub(super) const KEY_LIMIT_BYTES: usize = 1024;
const WORKER_LIMIT_BYTES: usize = 300;

/// The table that rows are loaded for, in the server's spelling of its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub database: String,
    pub table: String,
}

impl Target {
    #[must_use]
    pub fn name(&self) -> TableName {
        TableName { database: Some(self.database.clone()), table: self.table.clone() }
    }

    /// Returns the value of the column `target`: the quoted name, which no other table has.
    pub(super) fn literal(&self) -> String {
        bytes_literal(self.name().to_string().as_bytes())
    }

    /// Returns a short name for things that belong to this table and must not collide with those of
    /// another.
    pub(super) fn hash(&self) -> String {
        let mut hash = hex(&Sha256::digest(self.name().to_string().as_bytes()));
        hash.truncate(16);
        hash
    }
}

/// One execution of the program.
#[derive(Clone, Debug)]
pub struct RunId {
    /// The run's unique id. It begins with the start time, so that ids sort in the order of the
    /// runs.
    pub id: String,
    /// `host:pid`, for people.
    pub worker: String,
}

impl RunId {
    /// Makes an id for a run of this process that starts now.
    #[must_use]
    pub fn new() -> Self {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let mut worker = format!("{host}:{}", std::process::id());
        while worker.len() > WORKER_LIMIT_BYTES {
            worker.pop();
        }
        let time = Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
        Self { id: format!("{time}-{:016x}", fastrand::u64(..)), worker }
    }

    /// Returns the name of the lock that the run's connection holds as long as the run lives.
    pub(super) fn lock_name(&self) -> String {
        run_lock_name(&self.id)
    }
}

impl Default for RunId {
    fn default() -> Self {
        Self::new()
    }
}

/// The text before the run's id in the hash that names its lock.
pub(super) const RUN_LOCK_PREFIX: &str = "s3-to-mysql run ";

/// Returns the name of the advisory lock that shows if a run is alive.
pub(super) fn run_lock_name(run_id: &str) -> String {
    hex(&Sha256::digest(format!("{RUN_LOCK_PREFIX}{run_id}")))
}

/// Returns the name of the advisory lock with which a run claims an object. It consists of 64
/// lowercase hexadecimal digits, because names are server-wide, and MySQL compares them without
/// case and limits them to 64 characters.
pub(super) fn claim_name(target: &Target, generation: u32, bucket: &str, key: &str) -> String {
    let mut hash = Sha256::new();
    for part in
        ["s3-to-mysql claim", &target.database, &target.table, &generation.to_string(), bucket, key]
    {
        // The length keeps "a" + "bc" distinct from "ab" + "c".
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hex(&hash.finalize())
}

/// Returns the column `object_id` of an object's parts, in hexadecimal.
pub(super) fn object_id(
    target: &Target,
    generation: u32,
    bucket: &str,
    key: &str,
    etag: &str,
) -> String {
    let mut hash = Sha256::new();
    for part in [
        "s3-to-mysql object",
        &target.database,
        &target.table,
        &generation.to_string(),
        bucket,
        key,
        etag,
    ] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hex(&hash.finalize())
}

/// Returns the ETag as the ledger stores it: without its quotes, which some stores omit in some of
/// their answers.
pub(super) fn etag(object: &Object) -> &str {
    object.etag.trim_matches('"')
}

/// Returns the text if the column of a failure holds it, or else its beginning and the hash of the
/// whole, so that it stays distinct from others. Such an object is never loaded.
pub(super) fn fitting(text: &str, limit_bytes: usize) -> Cow<'_, str> {
    if text.len() <= limit_bytes {
        return Cow::Borrowed(text);
    }
    let mut hash = hex(&Sha256::digest(text));
    hash.truncate(16);
    let end = format!("… ({} bytes, sha256 {hash}…)", text.len());
    let mut kept = limit_bytes.saturating_sub(end.len());
    while !text.is_char_boundary(kept) {
        kept -= 1;
    }
    Cow::Owned(format!("{}{end}", &text[..kept]))
}

/// Returns an error if the ledger cannot hold the object's names in full: a truncated name could be
/// another object's.
///
/// # Errors
/// `UnsupportedFormat` for such an object.
pub(super) fn ensure_fits(object: &Object) -> Result<()> {
    for (what, value, limit) in [
        ("bucket", object.bucket.as_str(), BUCKET_LIMIT_BYTES),
        ("key", &object.key, KEY_LIMIT_BYTES),
        ("ETag", etag(object), ETAG_LIMIT_BYTES),
    ] {
        if value.len() > limit {
            let message = format!(
                "{object}: its {what} has {} bytes, but the ledger holds at most {limit}",
                value.len()
            );
            return Err(Error::new(ErrorKind::UnsupportedFormat, message)
                .with_hint("--no-ledger loads it without a ledger, at least once"));
        }
    }
    Ok(())
}

pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_too_long_is_cut_to_the_column_and_stays_distinct() {
        assert_eq!(fitting("é", 2), "é");
        let long = |end: &str| format!("{}{end}", "é".repeat(600));
        let (one, other) = (long("1"), long("2"));
        let (cut, other) = (fitting(&one, 1024), fitting(&other, 1024));
        assert!((1020..=1024).contains(&cut.len()), "{}", cut.len());
        assert!(cut.starts_with("éé") && cut.contains("… (1201 bytes, sha256 "), "{cut}");
        assert_ne!(cut, other);
    }
}
