//! An object of the store: its content and its metadata.

use super::checksum::{Algorithm, StoredChecksum, md5_hex};
use bytes::Bytes;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Returns the bytes from an offset on: at least one, and as many as are convenient. It must always
/// return the same bytes.
pub(super) type Generator = Arc<dyn Fn(u64) -> Bytes + Send + Sync>;

#[derive(Clone)]
pub(super) enum Content {
    Bytes(Bytes),
    Generated { length_bytes: u64, from_offset: Generator },
    File { path: Arc<Path>, length_bytes: u64 },
}

impl Content {
    pub(super) fn length_bytes(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Generated { length_bytes, .. } | Self::File { length_bytes, .. } => *length_bytes,
        }
    }
}

/// One version of an object. By default it has what S3 gives a new object: an MD5 as its ETag, and
/// a CRC64NVME.
#[derive(Clone)]
pub struct Object {
    pub(super) content: Content,
    pub(super) etag: String,
    pub(super) checksum: Option<StoredChecksum>,
    pub(super) last_modified: SystemTime,
    pub(super) version_id: Option<String>,
    pub(super) storage_class: &'static str,
}

impl<T: Into<Bytes>> From<T> for Object {
    fn from(content: T) -> Self {
        Self::new(content)
    }
}

impl Object {
    /// Creates an object of these bytes, written now.
    pub fn new(content: impl Into<Bytes>) -> Self {
        let content = content.into();
        let etag = md5_hex(&content);
        let checksum = Some(StoredChecksum::of(Algorithm::Crc64Nvme, &content));
        Self::assembled(Content::Bytes(content), etag, checksum, SystemTime::now())
    }

    /// Creates an object of `length_bytes` that needs no memory.
    ///
    /// `from_offset` returns the bytes from an offset on, at least one. The ETag looks like that of
    /// a multipart upload and says nothing about the content. The object has no checksum.
    pub fn generated(
        length_bytes: u64,
        from_offset: impl Fn(u64) -> Bytes + Send + Sync + 'static,
    ) -> Self {
        let mut sample = if length_bytes == 0 { Bytes::new() } else { from_offset(0) };
        // Enough to distinguish objects, and cheap for thousands of them.
        sample.truncate(1024);
        let etag =
            format!("{}-1", md5_hex(&[length_bytes.to_le_bytes().as_slice(), &sample].concat()));
        let content = Content::Generated { length_bytes, from_offset: Arc::new(from_offset) };
        Self::assembled(content, etag, None, SystemTime::now())
    }

    /// Creates an object of `length_bytes` that repeats a block of bytes. It is sent without a
    /// copy, for benchmarks.
    pub fn repeated(block: impl Into<Bytes>, length_bytes: u64) -> Self {
        let block = block.into();
        let block_bytes = block.len() as u64;
        Self::generated(if block_bytes == 0 { 0 } else { length_bytes }, move |offset| {
            // The remainder is less than the length of a buffer in memory.
            block.slice((offset % block_bytes) as usize..)
        })
    }

    pub(super) fn assembled(
        content: Content,
        etag: String,
        checksum: Option<StoredChecksum>,
        last_modified: SystemTime,
    ) -> Self {
        Self { content, etag, checksum, last_modified, version_id: None, storage_class: "STANDARD" }
    }

    /// Sets the ETag, given without quotes and sent with them.
    pub fn with_etag(mut self, etag: impl Into<String>) -> Self {
        self.etag = etag.into();
        self
    }

    /// Returns the version id, under which the object can be read after it is overwritten. Only a
    /// bucket with versions has one.
    pub fn version_id(&self) -> Option<&str> {
        self.version_id.as_deref()
    }

    /// Sets the version id. Earlier versions of the key stay readable under their own ids.
    pub fn with_version_id(mut self, version_id: impl Into<String>) -> Self {
        self.version_id = Some(version_id.into());
        self
    }

    /// Sets the time of the last modification. S3 knows it to the second, and so does the response.
    pub fn last_modified(mut self, at: SystemTime) -> Self {
        self.last_modified = at;
        self
    }

    /// Sets the checksum of the whole content under another algorithm, for content in memory.
    pub fn with_checksum(mut self, algorithm: Algorithm) -> Self {
        self.checksum = self.in_memory().map(|content| StoredChecksum::of(algorithm, content));
        self
    }

    /// Sets a checksum of checksums, as a multipart upload leaves it, for content in memory.
    pub fn with_composite_checksum(mut self, algorithm: Algorithm, part_count: usize) -> Self {
        self.checksum = self
            .in_memory()
            .map(|content| StoredChecksum::composite(algorithm, content, part_count));
        self
    }

    /// Removes the checksum. Objects from before 2022 and those of most other stores have none.
    pub fn without_checksum(mut self) -> Self {
        self.checksum = None;
        self
    }

    /// Moves the object to the storage class GLACIER: it is listed, but a read fails with
    /// `InvalidObjectState`.
    pub fn archived(mut self) -> Self {
        self.storage_class = "GLACIER";
        self
    }

    /// Returns the ETag as it is sent, in quotes.
    pub fn quoted_etag(&self) -> String {
        format!("\"{}\"", self.etag)
    }

    /// Returns the length of the content.
    pub fn length_bytes(&self) -> u64 {
        self.content.length_bytes()
    }

    /// Returns the content if it is in memory.
    pub fn in_memory(&self) -> Option<&Bytes> {
        if let Content::Bytes(bytes) = &self.content { Some(bytes) } else { None }
    }

    /// Returns the time of the last modification, to the second.
    pub(super) fn modified_second(&self) -> SystemTime {
        let since = self.last_modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs())
    }
}
