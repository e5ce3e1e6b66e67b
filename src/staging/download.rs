//! The download of one object, from the store's stream to a verified file.
//!
//! The download collects bytes into blocks. A blocking thread hashes each block, unpacks it if the
//! object is packed, writes the text and passes it to the [`ByteObserver`] while the next block
//! arrives. Checksum and length are those of the object as it came.
//!
//! A body that breaks off is resumed by range under the same ETag. The hash, the decoder and the
//! observer continue where they were, so the checksum covers the bytes in the file, not those of
//! one response. If the bucket keeps versions, every later read requests the version that the first
//! read found under the listed ETag, so an overwrite in the meantime does no harm.
//!
//! Dropping the future half-way drops the file, its permits and the connection.

use bytes::Bytes;
use futures_util::StreamExt;

use super::area::{Reserved, Space, StagingArea, Wanted};
use super::checksum::{Hasher, matches};
use super::observer::{ByteObserver, FileDecoder};
use super::sink::{BlockSink, inside};
use super::slot::StagingSlot;
use crate::blocking::run_blocking;
use crate::error::{Error, ErrorKind, Result};
use crate::file_slice::FileSlice;
use crate::object::{Body, Checksum, Object, ReadFrom, same_etag};
use crate::retry::Attempts;
use crate::unpack::Codecs;

/// The size of a block: large enough that the hop to a blocking thread costs little beside the
/// write, small enough for sixteen downloads with two blocks each.
const BLOCK_BYTES: usize = 256 * 1024;

/// The largest object that is written, hashed and observed without a blocking thread: that takes
/// less time than the hop.
const INLINE_BYTES: u64 = 64 * 1024;

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
    /// The text.
    pub file: FileSlice,
    /// The length of the text.
    pub size_bytes: u64,
    pub verified: Integrity,
    /// The version that the bytes belong to, if the bucket keeps versions.
    pub version_id: Option<String>,
    /// The codecs of a packed object.
    pub codecs: Option<Codecs>,
    /// The space of the whole object, released when this is dropped.
    _place: StagingSlot,
}

impl StagedObject {
    /// Says that an error is about the text inside a packed object.
    #[must_use]
    pub fn naming_codecs(&self, error: Error) -> Error {
        inside(error, self.codecs)
    }
}

/// The result of a download.
#[derive(Debug)]
pub enum Staged<W> {
    /// The object is on disk, and this is its observer.
    Whole(StagedObject, W),
    /// The object is packed and needs more space than is free. Everything that it held is free
    /// again.
    Wants(Wanted),
}

/// Downloads `object` into the space that is reserved for it.
///
/// `open` requests the bytes from the store. `watch` creates the observer, and creates a new one
/// whenever the download has to start at byte 0 again.
///
/// # Errors
/// The errors of `open` and of the observer; `ObjectChanged`, `BodyBroken`, `ChecksumMismatch`,
/// `Malformed`, `UnsupportedFormat`, `ObjectTooLarge`, `StagingFailed`.
pub async fn stage<W: ByteObserver, F: Future<Output = Result<Body>>>(
    object: &Object,
    (area, reserved): (&StagingArea, Reserved),
    attempts: &mut Attempts,
    open: impl Fn(ReadFrom) -> F,
    watch: impl Fn() -> W,
) -> Result<Staged<W>> {
    let mut landing = Landing::new(Space::new(area.clone(), reserved), watch(), Pin::default());
    let verified = loop {
        let tried = match fetch(object, &open, &mut landing).await {
            Ok(()) if landing.is_satisfied(object) => Ok(Integrity::Part),
            Ok(()) => landing.verify(object),
            Err(error) => Err(error),
        };
        let error = match tried {
            Ok(verified) => break verified,
            Err(error) => error,
        };
        if let Some(wanted) = landing.wanted() {
            return Ok(Staged::Wants(wanted));
        }
        if !attempts.wait_after(&error).await {
            return Err(error);
        }
        if landing.broken {
            let Landing { sink, pin, .. } = landing;
            let space = sink.ok_or_else(|| lost_sink(object))?.space.cleared();
            landing = Landing::new(space, watch(), pin);
        }
    };
    let wanted = |sink: &BlockSink<W>, done: Result<()>| match sink.space.wanted {
        Some(wanted) => Ok(Some(wanted)),
        None => done.map(|()| None),
    };
    let is_whole = verified != Integrity::Part;
    let Landing { sink, pin, .. } = landing;
    let mut sink = sink.ok_or_else(|| lost_sink(object))?;
    if is_whole {
        let finished = sink.finish(object);
        if let Some(wanted) = wanted(&sink, finished)? {
            return Ok(Staged::Wants(wanted));
        }
    }
    if let Some(file) = sink.whole(object)?
        && let Some(decoder) = sink.watch.decoder()
    {
        let (decoded, done) = decode(object, sink, decoder, file).await?;
        sink = decoded;
        if let Some(wanted) = wanted(&sink, done)? {
            return Ok(Staged::Wants(wanted));
        }
    }
    sink.check_text(object, is_whole)?;
    let settled = sink.settle(object);
    if let Some(wanted) = wanted(&sink, settled)? {
        return Ok(Staged::Wants(wanted));
    }
    let (watch, place, size_bytes, codecs) = sink.into_staged(object)?;
    let staged = StagedObject {
        file: place.region.clone().truncate(size_bytes),
        size_bytes,
        verified,
        version_id: pin.version_id,
        codecs,
        _place: place,
    };
    Ok(Staged::Whole(staged, watch))
}

/// Decodes a whole object. Its decoder waits for memory, and never for disk space.
async fn decode<W: ByteObserver>(
    object: &Object,
    mut sink: BlockSink<W>,
    mut decoder: Box<dyn FileDecoder>,
    file: FileSlice,
) -> Result<(BlockSink<W>, Result<()>)> {
    let (mut decoder, opened) = run_blocking(move || {
        let opened = decoder.open(&file);
        (decoder, opened)
    })
    .await?;
    sink.space.wait_for_memory(opened?).await?;
    let object = object.clone();
    run_blocking(move || {
        let done = sink.decode(&object, &mut *decoder);
        (sink, done)
    })
    .await
}

/// The state of a download: the bytes of an object that have arrived so far.
struct Landing<W> {
    /// `None` only while a blocking thread works on it.
    sink: Option<BlockSink<W>>,
    /// The bytes of the object, as they come from the store.
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

impl<W: ByteObserver> Landing<W> {
    fn new(space: Space, watch: W, pin: Pin) -> Self {
        let sink = Some(BlockSink::new(space, watch));
        Self { sink, size_bytes: 0, checksum: None, pin, broken: false }
    }

    /// Returns true if bytes remain that the observer does not need.
    fn is_satisfied(&self, object: &Object) -> bool {
        let is_watch_satisfied = self.sink.as_ref().is_some_and(BlockSink::is_satisfied);
        is_watch_satisfied && self.size_bytes < object.size_bytes
    }

    /// Returns the space without which the object cannot go on.
    fn wanted(&self) -> Option<Wanted> {
        self.sink.as_ref().and_then(|sink| sink.space.wanted)
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

fn lost_sink(object: &Object) -> Error {
    Error::new(ErrorKind::Bug, format!("{object}: the staging file was lost between two blocks"))
}
