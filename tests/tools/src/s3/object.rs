//! What a key stands for: content, and what the store says about it.

use super::checksum::{Algorithm, StoredChecksum, md5_hex};
use bytes::Bytes;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// The bytes from an offset on: at least one, as many as are convenient. It must always give the
/// same ones.
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

/// One version of an object. By default it has what S3 gives a new one: an MD5 as ETag and a
/// CRC64NVME.
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
    /// An object of these bytes, written now.
    pub fn new(content: impl Into<Bytes>) -> Self {
        let content = content.into();
        let etag = md5_hex(&content);
        let checksum = Some(StoredChecksum::of(Algorithm::Crc64Nvme, &content));
        Self::assembled(Content::Bytes(content), etag, checksum, SystemTime::now())
    }

    /// An object of `length_bytes` that needs no memory: `from_offset` gives the bytes from an
    /// offset on, any number but none. Its ETag looks like that of an upload in parts and says
    /// nothing about the content; it has no checksum.
    pub fn generated(
        length_bytes: u64,
        from_offset: impl Fn(u64) -> Bytes + Send + Sync + 'static,
    ) -> Self {
        let mut sample = if length_bytes == 0 { Bytes::new() } else { from_offset(0) };
        // Enough to tell objects apart, and cheap for thousands of them.
        sample.truncate(1024);
        let etag =
            format!("{}-1", md5_hex(&[length_bytes.to_le_bytes().as_slice(), &sample].concat()));
        let content = Content::Generated { length_bytes, from_offset: Arc::new(from_offset) };
        Self::assembled(content, etag, None, SystemTime::now())
    }

    /// An object of `length_bytes` that repeats a block of bytes, for benchmarks: it is sent
    /// without a copy.
    pub fn repeated(block: impl Into<Bytes>, length_bytes: u64) -> Self {
        let block = block.into();
        let block_bytes = block.len() as u64;
        Self::generated(if block_bytes == 0 { 0 } else { length_bytes }, move |offset| {
            // The remainder is less than a length in memory.
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

    /// With this ETag instead; it is given without quotes and sent with them.
    pub fn with_etag(mut self, etag: impl Into<String>) -> Self {
        self.etag = etag.into();
        self
    }

    /// Under which it is read again once it is overwritten, where its bucket gives versions.
    pub fn version_id(&self) -> Option<&str> {
        self.version_id.as_deref()
    }

    /// With this version id. The versions of a key that were put before stay readable under theirs.
    pub fn with_version_id(mut self, version_id: impl Into<String>) -> Self {
        self.version_id = Some(version_id.into());
        self
    }

    /// Last modified then. S3 knows it to the second, and so does the answer.
    pub fn last_modified(mut self, at: SystemTime) -> Self {
        self.last_modified = at;
        self
    }

    /// With the checksum of its whole content under another algorithm. Only for content in memory.
    pub fn with_checksum(mut self, algorithm: Algorithm) -> Self {
        self.checksum = self.in_memory().map(|content| StoredChecksum::of(algorithm, content));
        self
    }

    /// With a checksum of checksums, as an upload in parts leaves it. Only for content in memory.
    pub fn with_composite_checksum(mut self, algorithm: Algorithm, part_count: usize) -> Self {
        self.checksum = self
            .in_memory()
            .map(|content| StoredChecksum::composite(algorithm, content, part_count));
        self
    }

    /// With no checksum, as objects from before 2022 and most other stores have none.
    pub fn without_checksum(mut self) -> Self {
        self.checksum = None;
        self
    }

    /// In the storage class GLACIER: listed, and refused with `InvalidObjectState` when read.
    pub fn archived(mut self) -> Self {
        self.storage_class = "GLACIER";
        self
    }

    /// The ETag as it is sent, in quotes.
    pub fn quoted_etag(&self) -> String {
        format!("\"{}\"", self.etag)
    }

    /// The length of the content.
    pub fn length_bytes(&self) -> u64 {
        self.content.length_bytes()
    }

    /// The content, where it is in memory.
    pub fn in_memory(&self) -> Option<&Bytes> {
        if let Content::Bytes(bytes) = &self.content { Some(bytes) } else { None }
    }

    /// When it was last modified, to the second.
    pub(super) fn modified_second(&self) -> SystemTime {
        let since = self.last_modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs())
    }
}
