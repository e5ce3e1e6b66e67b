//! One object, from the store's stream to a verified file.
//!
//! Bytes are gathered into blocks; a block is written, hashed and shown to the [`ByteObserver`] on a
//! blocking thread while the next one is being received. A body that breaks off is resumed by range
//! under the same ETag: the hash and the watch go on where they were, so that the checksum covers
//! the bytes as they lie in the file, not as some response delivered them. Where the bucket keeps
//! versions, every later read asks for the one that the first read found under the listed ETag: an
//! overwrite in the meantime is then no matter. Dropping the future half-way drops the file, its
//! permits and the connection.

use bytes::Bytes;
use futures_util::StreamExt;

use super::checksum::{Hasher, matches};
use super::signature::{HEAD_BYTES, TAIL_BYTES, depends_on_end, recognise};
use super::slot::StagingSlot;
use crate::error::{Error, ErrorKind, Result};
use crate::file_slice::FileSlice;
use crate::object::{Body, Checksum, Object, ReadFrom, same_etag};
use crate::retry::Attempts;

/// Large enough that the hop to a blocking thread costs nothing beside the write, small enough for
/// sixteen downloads with two blocks each.
const BLOCK_BYTES: usize = 256 * 1024;

/// Objects of up to this size are written, hashed and read where they were received: that takes
/// less than the hop.
const INLINE_BYTES: u64 = 64 * 1024;

/// Sees an object's bytes in order as they land, on a blocking thread.
pub trait ByteObserver: Send + 'static {
    /// # Errors
    /// Ends the download: there is no use in fetching the rest, unless only that tells text from
    /// another format.
    fn feed(&mut self, chunk: &[u8]) -> Result<()>;

    /// Whether what has come is all that is wanted of the object. The rest is not fetched then, and
    /// nothing verified.
    fn is_satisfied(&self) -> bool {
        false
    }
}

/// How the bytes were shown to be the listed ones, beyond their ETag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Integrity {
    Checksum,
    /// The store keeps no checksum over the whole object.
    Length,
    /// The watch wanted only a part of the object: there is nothing to compare.
    Part,
}

/// An object on local disk, whole unless only a part was wanted, and the budget that it takes up.
#[derive(Debug)]
pub struct StagedObject {
    pub file: FileSlice,
    pub size_bytes: u64,
    pub verified: Integrity,
    /// The version that its bytes are of, where the bucket keeps versions.
    pub version_id: Option<String>,
    /// Of it all, given back when this is.
    _place: StagingSlot,
}

/// Downloads `object` to `place`.
///
/// `open` asks the store for the bytes; `watch` makes what looks at them, anew whenever the
/// download has to start at byte 0 again.
///
/// # Errors
/// Those of `open` and of the watch; `ObjectChanged`, `BodyBroken`, `ChecksumMismatch`,
/// `UnsupportedFormat`, `StagingFailed`.
pub(crate) async fn stage<W: ByteObserver, F: Future<Output = Result<Body>>>(
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
    let Some(BlockSink { file, watch, head, refusal, .. }) = sink else {
        return Err(lost_sink(object));
    };
    if verified != Integrity::Part {
        refuse_known_tail(object, &head, &file, size_bytes)?;
    }
    if let Some(refusal) = refusal {
        return Err(refusal);
    }
    let version_id = pin.version_id;
    let staged = StagedObject { file, size_bytes, verified, version_id, _place: place };
    Ok((staged, watch))
}

/// What has landed of an object so far.
struct Landing<W> {
    /// Away only while a blocking thread works on it.
    sink: Option<BlockSink<W>>,
    size_bytes: u64,
    checksum: Option<Checksum>,
    pin: Pin,
    /// The bytes so far are of no use: start at 0.
    broken: bool,
}

/// The version that had the listed ETag when it was first read.
#[derive(Default)]
struct Pin {
    version_id: Option<String>,
    /// The store would not read it by its version; the ETag still pins, until an overwrite.
    refused: bool,
}

/// Where blocks go.
struct BlockSink<W> {
    file: FileSlice,
    written_bytes: u64,
    hasher: Option<Hasher>,
    watch: W,
    /// The watch's, kept back until the end of the file tells whether it is text at all.
    refusal: Option<Error>,
    /// The first bytes, as far as they have come.
    head: Vec<u8>,
}

impl<W: ByteObserver> BlockSink<W> {
    fn take(&mut self, object: &Object, block: &[u8]) -> Result<()> {
        self.file.write_all_at(block, self.written_bytes).map_err(|error| {
            Error::new(ErrorKind::StagingFailed, format!("{object}: can't be staged"))
                .caused_by(error)
        })?;
        self.written_bytes += block.len() as u64;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(block);
        }
        self.head.extend(block.iter().take(HEAD_BYTES - self.head.len()));
        // Before the watch, which would call a packed file's bytes malformed text.
        if let Some(format) = recognise(&self.head, None) {
            return Err(unsupported(object, format));
        }
        if self.refusal.is_some() {
            return Ok(());
        }
        match self.watch.feed(block) {
            // Rare enough that the rest may be fetched only to call the object by its name.
            Err(refusal) if depends_on_end(&self.head) => {
                self.refusal = Some(refusal);
                Ok(())
            }
            fed => fed,
        }
    }
}

impl<W: ByteObserver> Landing<W> {
    fn new(file: FileSlice, watch: W, pin: Pin) -> Self {
        let head = Vec::with_capacity(HEAD_BYTES);
        let sink =
            Some(BlockSink { file, written_bytes: 0, hasher: None, watch, refusal: None, head });
        Self { sink, size_bytes: 0, checksum: None, pin, broken: false }
    }

    /// Whether the rest is not wanted, and is there.
    fn is_satisfied(&self, object: &Object) -> bool {
        let is_watch_satisfied = self
            .sink
            .as_ref()
            .is_some_and(|sink| sink.refusal.is_none() && sink.watch.is_satisfied());
        is_watch_satisfied && self.size_bytes < object.size_bytes
    }

    /// Length and checksum of what has landed.
    fn verify(&mut self, object: &Object) -> Result<Integrity> {
        if self.size_bytes != object.size_bytes {
            self.broken = true;
            let message = format!(
                "{object}: {} bytes came, {} were listed",
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
            "{object}: the bytes that came have the {:?} checksum {computed}, the store holds {}",
            expected.algorithm, expected.value
        );
        Err(Error::new(ErrorKind::ChecksumMismatch, message))
    }
}

/// Receives what is missing of `object`. After an error the landing is as far as whole blocks went,
/// or broken.
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
        // The ETag is the listed one, and so are this version's bytes, now and later.
        landing.pin.version_id = body.version_id.take();
    }

    let mut writing = None;
    loop {
        // The next block is received while the last one is being written.
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
                // What came before the break is as good as any: keep it, so that resuming makes
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
                "{object}: more bytes came than the {} that were listed",
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

/// Asks for what is missing, of the version that is known to be the listed one.
async fn open_pinned<W, F: Future<Output = Result<Body>>>(
    open: &impl Fn(ReadFrom) -> F,
    landing: &mut Landing<W>,
) -> Result<Body> {
    let Landing { size_bytes: offset, pin, .. } = landing;
    let offset = *offset;
    if let Some(version_id) = pin.version_id.clone().filter(|_| !pin.refused) {
        match open(ReadFrom { offset, end: None, version_id: Some(version_id) }).await {
            // A right of its own (s3:GetObjectVersion), or something that the store names without
            // knowing it by that name.
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

/// A sink and the bytes that it took.
type Written<W> = (BlockSink<W>, u64, Result<()>);

/// A sink on its way.
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
    // A write that failed may have left half a chunk.
    landing.broken |= outcome.is_err();
    outcome
}

/// Chunks of about [`BLOCK_BYTES`], and whether the body ends with them; on an error, what came
/// before it.
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

/// Some stores ignore If-Match and answer with whatever is there now.
pub(super) fn refuse_change(
    object: &Object,
    etag: Option<&String>,
    size_bytes: Option<u64>,
) -> Result<()> {
    let now = match (etag, size_bytes) {
        (Some(etag), _) if !same_etag(etag, &object.etag) => {
            format!("its ETag is {etag} now, {} was listed", object.etag)
        }
        (None, _) => "the answer carries no ETag to compare with the listed one".to_owned(),
        (_, Some(size_bytes)) if size_bytes != object.size_bytes => {
            format!("it has {size_bytes} bytes now, {} were listed", object.size_bytes)
        }
        _ => return Ok(()),
    };
    Err(Error::new(ErrorKind::ObjectChanged, format!("{object}: {now}")))
}

/// Formats whose head text may begin with too are known by their end.
fn refuse_known_tail(
    object: &Object,
    head: &[u8],
    file: &FileSlice,
    size_bytes: u64,
) -> Result<()> {
    if !depends_on_end(head) {
        return Ok(());
    }
    let mut tail = vec![0; TAIL_BYTES.min(usize::try_from(size_bytes).unwrap_or(TAIL_BYTES))];
    let offset = size_bytes - tail.len() as u64;
    file.read_exact_at(&mut tail, offset).map_err(|error| {
        Error::new(ErrorKind::StagingFailed, format!("{object}: can't be read back"))
            .caused_by(error)
    })?;
    recognise(head, Some(&tail)).map_or(Ok(()), |format| Err(unsupported(object, format)))
}

pub(super) fn unsupported(object: &Object, format: &str) -> Error {
    Error::new(
        ErrorKind::UnsupportedFormat,
        format!("{object}: this is {format} data, not delimited text"),
    )
}

fn lost_sink(object: &Object) -> Error {
    Error::new(ErrorKind::Bug, format!("{object}: the staging file got lost between two blocks"))
}
