//! Who is who in the ledger: the table, the object, the run; and how their bytes stand in SQL.

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::error::{Error, ErrorKind, Result};
use crate::object::{Object, TableName};

/// The longest ETag that the ledger's column takes; S3's own have 32 to 38 bytes.
const ETAG_LIMIT_BYTES: usize = 255;
const BUCKET_LIMIT_BYTES: usize = 255;
const KEY_LIMIT_BYTES: usize = 1024;
const WORKER_LIMIT_BYTES: usize = 300;

/// The table that rows are loaded for, by the server's own spelling of its name.
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

    /// The value of the column `target`: the quoted name, which no other table has.
    pub(super) fn literal(&self) -> String {
        literal(self.name().to_string().as_bytes())
    }

    /// A short name for things that belong to this table and must not meet those of another.
    pub(super) fn hash(&self) -> String {
        let mut hash = hex(&Sha256::digest(self.name().to_string().as_bytes()));
        hash.truncate(16);
        hash
    }
}

/// One execution of the program.
#[derive(Clone, Debug)]
pub struct RunId {
    /// Begins with its time, so that runs sort as they began.
    pub id: String,
    /// `host:pid`, for people.
    pub worker: String,
}

impl RunId {
    /// Of this process, now.
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

    /// Held by the run's connection for as long as the run lives.
    pub(super) fn lock_name(&self) -> String {
        run_lock_name(&self.id)
    }
}

impl Default for RunId {
    fn default() -> Self {
        Self::new()
    }
}

/// The advisory lock that tells whether a run is alive.
pub(super) fn run_lock_name(run_id: &str) -> String {
    hex(&Sha256::digest(format!("s3-to-mysql run {run_id}")))
}

/// The advisory lock by which a run claims an object: 64 lowercase hexadecimal digits, because
/// names are server-wide, compared without case on MySQL, and have at most 64 characters there.
pub(super) fn claim_name(target: &Target, generation: u32, bucket: &str, key: &str) -> String {
    let mut hash = Sha256::new();
    for part in
        ["s3-to-mysql claim", &target.database, &target.table, &generation.to_string(), bucket, key]
    {
        // The length keeps "a" + "bc" from being "ab" + "c".
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hex(&hash.finalize())
}

/// The column `object_id` of the parts of an object, in hexadecimal.
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

/// The ETag as the ledger has it: without its quotes, which some stores leave out in one place or
/// the other.
pub(super) fn etag(object: &Object) -> &str {
    object.etag.trim_matches('"')
}

/// # Errors
/// `UnsupportedFormat` for an object whose name the ledger can't hold in full: a name that was cut
/// could be another's.
pub(super) fn ensure_fits(object: &Object) -> Result<()> {
    for (what, value, limit) in [
        ("bucket", object.bucket.as_str(), BUCKET_LIMIT_BYTES),
        ("key", &object.key, KEY_LIMIT_BYTES),
        ("ETag", etag(object), ETAG_LIMIT_BYTES),
    ] {
        if value.len() > limit {
            let message =
                format!("{object}: its {what} has {} bytes, the ledger holds {limit}", value.len());
            return Err(Error::new(ErrorKind::UnsupportedFormat, message)
                .with_hint("--no-ledger loads it, at least once"));
        }
    }
    Ok(())
}

/// `X'…'`: the same bytes under every `sql_mode` and connection character set.
pub(super) fn literal(bytes: &[u8]) -> String {
    format!("X'{}'", hex(bytes))
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
