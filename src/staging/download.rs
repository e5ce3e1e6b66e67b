//! The download of one object, from the store's stream to a verified file.
//!
//! The download collects bytes into blocks. A blocking thread writes each block, hashes it and
//! passes it to the [`ByteObserver`] while the next one arrives.
//!
//! A body that breaks off is resumed by range under the same ETag. The hash and the observer
//! continue where they were, so the checksum covers the bytes in the file, not those of one
//! response. If the bucket keeps versions, every later read requests the version that the first
//! read found under the listed ETag, so an overwrite in the meantime does no harm.
//!
//! Dropping the future half-way drops the file, its permits and the connection.

use bytes::Bytes;
use futures_util::StreamExt;

use super::checksum::{Hasher, matches};
use super::signature::TAIL_BYTES;
use super::slot::StagingSlot;
use super::text_check::TextCheck;
use crate::error::{Error, ErrorKind, Result};
use crate::file_slice::FileSlice;
use crate::object::{Body, Checksum, Object, ReadFrom, same_etag};
use crate::retry::Attempts;

/// The size of a block: large enough that the hop to a blocking thread costs little beside the
/// write, small enough for sixteen downloads with two blocks each.
const BLOCK_BYTES: usize = 256 * 1024;

/// The largest object that is written, hashed and observed without a blocking thread: that takes
/// less time than the hop.
const INLINE_BYTES: u64 = 64 * 1024;

/// Receives an object's bytes in order as they arrive, on a blocking thread.
pub trait ByteObserver: Send + 'static {
    /// # Errors
    /// An error ends the download, because the rest is useless. If bytes to come can still tell
    /// text from another format, they are fetched first.
    fn feed(&mut self, chunk: &[u8]) -> Result<()>;

    /// Returns true if the observer needs no more bytes. The rest is not fetched then, and nothing
    /// is verified.
    fn is_satisfied(&self) -> bool {
        false
    }

    /// Returns the observer's error with the place that it is about, which `received` holds.
    fn locate(&self, refusal: Error, received: &FileSlice) -> Error {
        let _ = received;
        refusal
    }

    /// Returns true if an object of JSON Lines cannot be what the observer wants.
    fn refuses_json_lines(&self) -> bool {
        false
    }
}

/// The proof, beyond the ETag, that the bytes are the listed ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Integrity {
    Checksum,
    /// The store keeps no checksum over the whole object.
    Length,
    /// The observer needed only the beginning of the object, so nothing can be compared.
    Part,
}

/// An object on local disk, with its share of the budget. It is whole unless the observer needed
/// only its beginning.
#[derive(Debug)]
pub struct StagedObject {
    pub file: FileSlice,
    pub size_bytes: u64,
    pub verified: Integrity,
    /// The version that the bytes belong to, if the bucket keeps versions.
    pub version_id: Option<String>,
    /// The space of the whole object, released when this is dropped.
    _place: StagingSlot,
}

/// Downloads `object` to `place`.
///
/// `open` requests the bytes from the store. `watch` creates the observer, and creates a new one
/// whenever the download has to start at byte 0 again.
///
/// # Errors
/// The errors of `open` and of the observer; `ObjectChanged`, `BodyBroken`, `ChecksumMismatch`,
/// `UnsupportedFormat`, `StagingFailed`.
pub async fn stage<W: ByteObserver, F: Future<Output = Result<Body>>>(
    object: &Object,
    place: StagingSlot,
    attempts: &mut Attempts,
    open: impl Fn(ReadFrom) -> F,
    watch: impl Fn() -> W,
) -> Result<(StagedObject, W)> {
    let mut landing = Landing::new(place.region.clone(), watch(), Pin::default());
    let verified = loop {
        let tried = match fetch(object, &open, &mut landing).await {
            Ok(()) if landing.is_satisfied(object) => Ok(Integrity::Part),
            Ok(()) => landing.verify(object),
            Err(error) => Err(error),
        };
        match tried {
            Ok(verified) => break verified,
            Err(error) => {
                if !attempts.wait_after(&error).await {
                    return Err(error);
                }
                if landing.broken {
                    landing = Landing::new(place.region.clone(), watch(), landing.pin);
                }
            }
        }
    };
    let Landing { sink, size_bytes, pin, .. } = landing;
    let Some(BlockSink { file, watch, text, refusal, .. }) = sink else {
        return Err(lost_sink(object));
    };
    let is_whole = verified != Integrity::Part;
    let tail =
        if is_whole && text.needs_tail() { Some(tail(object, &file, size_bytes)?) } else { None };
    text.finish(object, is_whole, tail.as_deref())?;
    if let Some(refusal) = refusal {
        return Err(watch.locate(refusal, &file));
    }
    let version_id = pin.version_id;
    let staged = StagedObject { file, size_bytes, verified, version_id, _place: place };
    Ok((staged, watch))
}

/// The state of a download: the bytes of an object that have arrived so far.
struct Landing<W> {
    /// `None` only while a blocking thread works on it.
    sink: Option<BlockSink<W>>,
    size_bytes: u64,
    checksum: Option<Checksum>,
    pin: Pin,
    /// The bytes so far are unusable, and the download has to start at 0.
    broken: bool,
}

/// The version that had the listed ETag when it was first read.
#[derive(Default)]
struct Pin {
    version_id: Option<String>,
    /// The store refused to read by version. The ETag still pins the object until an overwrite.
    refused: bool,
}

/// The destination of the blocks.
struct BlockSink<W> {
    file: FileSlice,
    written_bytes: u64,
    hasher: Option<Hasher>,
    watch: W,
    /// The observer's error, kept until it is clear if the object is text at all.
    refusal: Option<Error>,
    text: TextCheck,
}

impl<W: ByteObserver> BlockSink<W> {
    fn take(&mut self, object: &Object, block: &[u8]) -> Result<()> {
        self.file.write_all_at(block, self.written_bytes).map_err(|error| {
            Error::new(ErrorKind::StagingFailed, format!("{object}: cannot be staged"))
                .caused_by(error)
        })?;
        self.written_bytes += block.len() as u64;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(block);
        }
        // Before the observer, which would report a compressed file as malformed text.
        self.text.feed(object, block)?;
        if let Some(refusal) = self.refusal.take() {
            if !self.text.is_open() {
                return Err(self.watch.locate(refusal, &self.file));
            }
            self.refusal = Some(refusal);
            return Ok(());
        }
        match self.watch.feed(block) {
            // Rare enough to fetch the rest only to name the format.
            Err(refusal) if self.text.is_open() => {
                self.refusal = Some(refusal);
                Ok(())
            }
            fed => fed.map_err(|refusal| self.watch.locate(refusal, &self.file)),
        }
    }
}

impl<W: ByteObserver> Landing<W> {
    fn new(file: FileSlice, watch: W, pin: Pin) -> Self {
        let text = TextCheck::new(watch.refuses_json_lines());
        let sink =
            Some(BlockSink { file, written_bytes: 0, hasher: None, watch, refusal: None, text });
        Self { sink, size_bytes: 0, checksum: None, pin, broken: false }
    }

    /// Returns true if bytes remain that the observer does not need.
    fn is_satisfied(&self, object: &Object) -> bool {
        let is_watch_satisfied = self
            .sink
            .as_ref()
            .is_some_and(|sink| sink.refusal.is_none() && sink.watch.is_satisfied());
        is_watch_satisfied && self.size_bytes < object.size_bytes
    }

    /// Compares the length and the checksum of the received bytes with those of the store.
    fn verify(&mut self, object: &Object) -> Result<Integrity> {
        if self.size_bytes != object.size_bytes {
            self.broken = true;
            let message = format!(
                "{object}: {} bytes arrived, {} were listed",
                self.size_bytes, object.size_bytes
            );
            return Err(Error::new(ErrorKind::BodyBroken, message));
        }
        let hasher = self.sink.as_mut().and_then(|sink| sink.hasher.take());
        let (Some(expected), Some(hasher)) = (&self.checksum, hasher) else {
            return Ok(Integrity::Length);
        };
        let computed = hasher.finish();
        if matches(expected, &computed) {
            return Ok(Integrity::Checksum);
        }
        self.broken = true;
        let message = format!(
            "{object}: the received bytes have the {:?} checksum {computed}, the store holds {}",
            expected.algorithm, expected.value
        );
        Err(Error::new(ErrorKind::ChecksumMismatch, message))
    }
}

/// Receives the missing bytes of `object`. After an error, the landing holds whole blocks, or is
/// marked as broken.
async fn fetch<W: ByteObserver, F: Future<Output = Result<Body>>>(
    object: &Object,
    open: &impl Fn(ReadFrom) -> F,
    landing: &mut Landing<W>,
) -> Result<()> {
    if landing.size_bytes > 0 && landing.size_bytes == object.size_bytes {
        return Ok(());
    }
    let mut body = open_pinned(open, landing).await?;
    if body.offset != landing.size_bytes {
        landing.broken = true;
        return Err(Error::new(
            ErrorKind::BodyBroken,
            format!("{object}: the store does not resume a body by range"),
        ));
    }
    refuse_change(object, body.etag.as_ref(), body.size_bytes)?;
    if landing.size_bytes == 0 {
        if let Some(sink) = &mut landing.sink {
            sink.hasher = body.checksum.as_ref().map(|checksum| Hasher::new(checksum.algorithm));
        }
        landing.checksum = body.checksum.take();
        // The ETag is the listed one, so this version has the listed bytes, now and later.
        landing.pin.version_id = body.version_id.take();
    }

    let mut writing = None;
    loop {
        // The next block arrives while the previous one is being written.
        let received = next_block(&mut body).await;
        if let Some(writing) = writing.take() {
            finish_write(object, landing, writing).await?;
            if landing.is_satisfied(object) {
                return Ok(());
            }
        }
        let (block, end) = match received {
            Ok(received) => received,
            Err((block, error)) => {
                // The bytes before the break are valid. Keeping them lets a resumed download make
                // progress.
                if !block.is_empty() {
                    let writing = write(object, landing, block)?;
                    finish_write(object, landing, writing).await?;
                }
                return Err(error);
            }
        };
        let length: u64 = block.iter().map(|chunk| chunk.len() as u64).sum();
        if landing.size_bytes + length > object.size_bytes {
            landing.broken = true;
            let message = format!(
                "{object}: more bytes arrived than the {} that were listed",
                object.size_bytes
            );
            return Err(Error::new(ErrorKind::ObjectChanged, message));
        }
        if length > 0 {
            writing = Some(write(object, landing, block)?);
        }
        if end {
            if let Some(writing) = writing.take() {
                finish_write(object, landing, writing).await?;
            }
            return Ok(());
        }
    }
}

/// Requests the missing bytes, from the version that is known to be the listed one.
async fn open_pinned<W, F: Future<Output = Result<Body>>>(
    open: &impl Fn(ReadFrom) -> F,
    landing: &mut Landing<W>,
) -> Result<Body> {
    let Landing { size_bytes: offset, pin, .. } = landing;
    let offset = *offset;
    if let Some(version_id) = pin.version_id.clone().filter(|_| !pin.refused) {
        match open(ReadFrom { offset, end: None, version_id: Some(version_id) }).await {
            // Reading by version needs a permission of its own (s3:GetObjectVersion), and some
            // stores report version IDs that they do not accept.
            Err(error)
                if matches!(error.kind, ErrorKind::ObjectDenied | ErrorKind::SourceProtocol) =>
            {
                pin.refused = true;
            }
            opened => return opened,
        }
    }
    open(ReadFrom { offset, end: None, version_id: None }).await
}

/// A sink, the number of bytes that it took, and its result.
type Written<W> = (BlockSink<W>, u64, Result<()>);

/// A write in progress.
enum Writing<W> {
    OnThread(tokio::task::JoinHandle<Written<W>>),
    Done(Box<Written<W>>),
}

fn write<W: ByteObserver>(
    object: &Object,
    landing: &mut Landing<W>,
    block: Vec<Bytes>,
) -> Result<Writing<W>> {
    let sink = landing.sink.take().ok_or_else(|| lost_sink(object))?;
    if object.size_bytes <= INLINE_BYTES {
        return Ok(Writing::Done(Box::new(take_all(sink, object, &block))));
    }
    let object = object.clone();
    Ok(Writing::OnThread(tokio::task::spawn_blocking(move || take_all(sink, &object, &block))))
}

fn take_all<W: ByteObserver>(
    mut sink: BlockSink<W>,
    object: &Object,
    block: &[Bytes],
) -> Written<W> {
    let mut taken_bytes = 0;
    for chunk in block {
        if let Err(error) = sink.take(object, chunk) {
            return (sink, taken_bytes, Err(error));
        }
        taken_bytes += chunk.len() as u64;
    }
    (sink, taken_bytes, Ok(()))
}

async fn finish_write<W: ByteObserver>(
    object: &Object,
    landing: &mut Landing<W>,
    writing: Writing<W>,
) -> Result<()> {
    let (sink, taken_bytes, outcome) = match writing {
        Writing::Done(written) => *written,
        Writing::OnThread(writing) => writing.await.map_err(|error| {
            landing.broken = true;
            Error::new(ErrorKind::Bug, format!("{object}: the staging thread died"))
                .caused_by(error)
        })?,
    };
    landing.sink = Some(sink);
    landing.size_bytes += taken_bytes;
    // A failed write may have left half a chunk.
    landing.broken |= outcome.is_err();
    outcome
}

/// Receives chunks of about [`BLOCK_BYTES`] in total. The flag is true if the body ends with them.
/// An error carries the chunks that arrived before it.
async fn next_block(
    body: &mut Body,
) -> std::result::Result<(Vec<Bytes>, bool), (Vec<Bytes>, Error)> {
    let mut block = Vec::new();
    let mut length = 0;
    while length < BLOCK_BYTES {
        match body.stream.next().await {
            Some(Ok(chunk)) => {
                length += chunk.len();
                block.push(chunk);
            }
            Some(Err(error)) => return Err((block, error)),
            None => return Ok((block, true)),
        }
    }
    Ok((block, false))
}

/// Refuses an object that changed. Some stores ignore If-Match and send whatever they hold now.
pub(super) fn refuse_change(
    object: &Object,
    etag: Option<&String>,
    size_bytes: Option<u64>,
) -> Result<()> {
    let now = match (etag, size_bytes) {
        (Some(etag), _) if !same_etag(etag, &object.etag) => {
            format!("its ETag is {etag} now, {} was listed", object.etag)
        }
        (None, _) => "the response has no ETag to compare with the listed one".to_owned(),
        (_, Some(size_bytes)) if size_bytes != object.size_bytes => {
            format!("it has {size_bytes} bytes now, {} were listed", object.size_bytes)
        }
        _ => return Ok(()),
    };
    Err(Error::new(ErrorKind::ObjectChanged, format!("{object}: {now}")))
}

/// Reads the last bytes of a staged object.
fn tail(object: &Object, file: &FileSlice, size_bytes: u64) -> Result<Vec<u8>> {
    let mut tail = vec![0; TAIL_BYTES.min(usize::try_from(size_bytes).unwrap_or(TAIL_BYTES))];
    let offset = size_bytes - tail.len() as u64;
    file.read_exact_at(&mut tail, offset).map_err(|error| {
        Error::new(ErrorKind::StagingFailed, format!("{object}: cannot be read back"))
            .caused_by(error)
    })?;
    Ok(tail)
}

fn lost_sink(object: &Object) -> Error {
    Error::new(ErrorKind::Bug, format!("{object}: the staging file was lost between two blocks"))
}
