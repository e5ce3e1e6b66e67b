//! Ranged reads of a large object: several requests at a time, with their bytes returned in order.
//!
//! Every request is pinned to the listed `ETag` and, if the bucket keeps versions, to the version
//! that had it. A range that breaks off is resumed where it broke. Bytes fetched ahead stay in
//! memory: [`RANGE_BYTES`] for each request in flight. Dropping the stream drops the connections.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};

use super::download::refuse_change;
use crate::error::{Error, ErrorKind, Result};
use crate::object::{Body, Checksum, Object, ReadFrom, Stat};
use crate::retry::{Attempts, RetryConfig};

/// The size of a range: large enough that a request costs little beside its bytes, small enough to
/// hold four in memory for each of two objects.
pub(super) const RANGE_BYTES: u64 = 1024 * 1024;

/// Requests bytes of the object from the store.
pub(super) type Opener =
    Arc<dyn Fn(ReadFrom) -> Pin<Box<dyn Future<Output = Result<Body>> + Send>> + Send + Sync>;

/// An object as it was when it was first looked at: the identity that every request asks for, and
/// the checksum that the bytes must have.
pub(crate) struct PinnedObject {
    pub(crate) object: Object,
    pub(super) open: Opener,
    pub(crate) version_id: Option<String>,
    /// The checksum of the whole object, if the store has one.
    pub(crate) checksum: Option<Checksum>,
    pub(super) retry: RetryConfig,
    /// The number of requests in flight at once.
    pub(super) window: usize,
    /// The store refused to read by version. The ETag still pins the object until an overwrite.
    version_refused: AtomicBool,
    retries: AtomicU32,
}

impl PinnedObject {
    /// # Errors
    /// `ObjectChanged` if the store's description of the object differs from the listed one.
    pub(crate) fn new(
        object: Object,
        stat: Stat,
        open: Opener,
        retry: RetryConfig,
        window: usize,
    ) -> Result<Self> {
        if stat.etag.is_some() {
            refuse_change(&object, stat.etag.as_ref(), stat.size_bytes)?;
        }
        Ok(Self {
            object,
            open,
            version_id: stat.version_id,
            checksum: stat.checksum,
            retry,
            window: window.max(1),
            version_refused: AtomicBool::new(false),
            retries: AtomicU32::new(0),
        })
    }

    /// Returns the number of retries that requests took.
    pub(crate) fn retries(&self) -> u32 {
        self.retries.load(Ordering::Relaxed)
    }

    /// Fetches the first bytes: the object's byte order mark and header lines, which another run
    /// found.
    ///
    /// # Errors
    /// The errors of the request when no retries are left; `ObjectChanged`, `BodyBroken`.
    pub(crate) async fn head(&self, size_bytes: u64) -> Result<Vec<u8>> {
        Ok(self.fetch(0, size_bytes).await?.concat())
    }

    /// Fetches the last bytes.
    ///
    /// # Errors
    /// The errors of [`Self::head`].
    pub(crate) async fn tail(&self, size_bytes: u64) -> Result<Vec<u8>> {
        let end = self.object.size_bytes;
        Ok(self.fetch(end.saturating_sub(size_bytes), end).await?.concat())
    }

    /// Returns the bytes from `from` to `to` as a stream, one range at a time.
    pub(super) fn stream(
        self: &Arc<Self>,
        from: u64,
        to: u64,
    ) -> Pin<Box<dyn Stream<Item = Result<Vec<Bytes>>> + Send>> {
        let pinned = Arc::clone(self);
        let step = usize::try_from(RANGE_BYTES).unwrap_or(usize::MAX);
        let ranges = stream::iter((from..to).step_by(step))
            .map(move |start| {
                let pinned = Arc::clone(&pinned);
                async move { pinned.fetch(start, to.min(start + RANGE_BYTES)).await }
            })
            .buffered(self.window);
        Box::pin(ranges)
    }

    /// Fetches the bytes from `from` to `to`, with as many requests as that takes.
    ///
    /// # Errors
    /// The errors of the request when no retries are left; `ObjectChanged`, `BodyBroken`.
    pub(super) async fn fetch(&self, from: u64, to: u64) -> Result<Vec<Bytes>> {
        let mut attempts = Attempts::new(&self.retry);
        let mut chunks = Vec::new();
        let mut at = from;
        while at < to {
            let Err(error) = self.read(&mut at, to, &mut chunks).await else { continue };
            if !attempts.wait_after(&error).await {
                return Err(error);
            }
            self.retries.fetch_add(1, Ordering::Relaxed);
        }
        Ok(chunks)
    }

    /// Sends one request. Bytes that arrived before an error are kept.
    async fn read(&self, at: &mut u64, to: u64, chunks: &mut Vec<Bytes>) -> Result<()> {
        let Self { object, .. } = self;
        let mut body = self.open(*at, to).await?;
        if body.offset != *at {
            let message =
                format!("{object}: the store does not send the range of bytes that was requested");
            return Err(Error::new(ErrorKind::BodyBroken, message)
                .with_hint("--no-split reads objects whole"));
        }
        refuse_change(object, body.etag.as_ref(), body.size_bytes)?;
        while *at < to {
            let Some(chunk) = body.stream.next().await else {
                let message = format!("{object}: the body of a range ended before its end");
                return Err(Error::new(ErrorKind::BodyBroken, message));
            };
            let mut chunk = chunk?;
            chunk.truncate(usize::try_from(to - *at).unwrap_or(usize::MAX));
            *at += chunk.len() as u64;
            chunks.push(chunk);
        }
        Ok(())
    }

    async fn open(&self, offset: u64, end: u64) -> Result<Body> {
        let end = Some(end);
        if let Some(version_id) =
            self.version_id.clone().filter(|_| !self.version_refused.load(Ordering::Relaxed))
        {
            match (self.open)(ReadFrom { offset, end, version_id: Some(version_id) }).await {
                // Reading by version needs a permission of its own (s3:GetObjectVersion), and some
                // stores report version IDs that they do not accept.
                Err(error)
                    if matches!(
                        error.kind,
                        ErrorKind::ObjectDenied | ErrorKind::SourceProtocol
                    ) =>
                {
                    self.version_refused.store(true, Ordering::Relaxed);
                }
                opened => return opened,
            }
        }
        (self.open)(ReadFrom { offset, end, version_id: None }).await
    }
}
