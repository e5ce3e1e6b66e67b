//! The types that all stages share: objects, their bodies and their checksums.

use std::fmt;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::Stream;
use jiff::Timestamp;
use strum::{EnumString, IntoStaticStr};

use crate::error::Error;
use crate::printable::printable;

/// One listed object. Bucket, key and ETag are its identity: only the bytes that were listed under
/// them may be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    pub bucket: String,
    /// The decoded key: up to 1024 bytes of any Unicode text.
    pub key: String,
    /// The ETag with its quotes, exactly as the store sent it.
    pub etag: String,
    pub size_bytes: u64,
    pub last_modified: Option<Timestamp>,
}

impl Object {
    /// Returns `s3://bucket/key` with the key unescaped.
    #[must_use]
    pub fn uri(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.key)
    }

    /// Returns an object of this size for tests that need nothing else of it.
    #[cfg(test)]
    pub(crate) fn of_size(size_bytes: u64) -> Self {
        Self {
            bucket: "b".into(),
            key: "k".into(),
            etag: "\"e\"".into(),
            size_bytes,
            last_modified: None,
        }
    }
}

/// Returns the URI of an object, escaped so that a newline in a key cannot forge a line.
pub(crate) fn shown_uri(bucket: &str, key: &str) -> String {
    format!("s3://{}/{}", printable(bucket), printable(key))
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown_uri(&self.bucket, &self.key))
    }
}

/// The bytes and the version of an object that a read requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadFrom {
    pub offset: u64,
    /// The byte after the last one to read; `None` reads to the end of the object.
    pub end: Option<u64>,
    /// The version that an earlier read found under the listed ETag. It remains readable after an
    /// overwrite.
    pub version_id: Option<String>,
}

/// The bytes of an object, from `offset` on, as they arrive from the store.
pub struct Body {
    /// The offset of the first byte in the stream: the requested one, or 0 if the store ignored the
    /// range.
    pub offset: u64,
    /// The ETag of the bytes that the store is sending.
    pub etag: Option<String>,
    /// The size of the whole object, not of the rest.
    pub size_bytes: Option<u64>,
    /// `None` if the bucket keeps no versions, or if the object is older than versioning (`null`).
    pub version_id: Option<String>,
    /// The checksum of the whole object; `None` if the store has none, or only a checksum of part
    /// checksums.
    pub checksum: Option<Checksum>,
    pub stream: Pin<Box<dyn Stream<Item = Result<Bytes, Error>> + Send>>,
}

/// The store's description of an object, without its bytes.
#[derive(Clone, Debug, Default)]
pub struct Stat {
    pub etag: Option<String>,
    pub size_bytes: Option<u64>,
    pub version_id: Option<String>,
    /// The checksum of the whole object, as in [`Body`].
    pub checksum: Option<Checksum>,
}

/// A checksum over all bytes of an object, as the store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checksum {
    pub algorithm: ChecksumAlgorithm,
    /// Base64, as in the `x-amz-checksum-...` header.
    pub value: String,
}

/// The checksum of a part, by an algorithm that can combine such checksums into the object's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartChecksum {
    pub algorithm: ChecksumAlgorithm,
    pub value: u64,
}

/// S3's checksum algorithms. The ledger stores their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum ChecksumAlgorithm {
    Crc64Nvme,
    Crc32,
    Crc32c,
    Sha1,
    Sha256,
}

/// Returns true if two ETags name the same bytes. Ignores quotes, because some stores omit them in
/// one place or the other.
#[must_use]
pub fn same_etag(left: &str, right: &str) -> bool {
    left.trim_matches('"') == right.trim_matches('"')
}
