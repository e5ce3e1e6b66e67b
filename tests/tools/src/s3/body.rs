//! The body of the response to a GET. It comes from memory, a generator or a file, and suffers the
//! faults that apply to it.

use super::fault::{Effects, Fault, Rule};
use super::log::InFlight;
use super::object::Content;
use super::server::Flushes;
use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, Stream};
use hyper::body::{Body, Frame, SizeHint};
use s3s::dto::StreamingBlob;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// The bytes sent at a time. Several chunks fit into a socket's buffer, and a file's chunks stay
/// small beside the program's memory.
const CHUNK_BYTES: u64 = 256 * 1024;

/// The range of an object to send.
pub(super) struct Transfer {
    pub(super) content: Content,
    pub(super) range: Range<u64>,
    pub(super) effects: Effects,
    pub(super) in_flight: InFlight,
    pub(super) flushes: Flushes,
}

impl Transfer {
    /// Returns the body as `s3s` takes it. The GET counts as in flight until the body is dropped.
    pub(super) fn into_blob(mut self) -> StreamingBlob {
        self.in_flight.promise(self.range.end - self.range.start);
        match self.content {
            Content::Bytes(ref bytes) if self.effects.is_empty() => {
                // The range was checked against the length, which fits into memory here.
                let rest = bytes.slice(self.range.start as usize..self.range.end as usize);
                StreamingBlob::from(s3s::Body::http_body(InMemory {
                    rest,
                    in_flight: self.in_flight,
                }))
            }
            _ => {
                let chunks = Box::pin(stream::unfold(Chunks::new(self), async |mut chunks| {
                    let chunk = chunks.next().await?;
                    Some((chunk, chunks))
                }));
                StreamingBlob::from(s3s::Body::http_body_unsync(Streamed { chunks }))
            }
        }
    }
}

/// The common case, without a box and a future for every chunk.
struct InMemory {
    rest: Bytes,
    in_flight: InFlight,
}

impl Body for InMemory {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let length = self.rest.len().min(CHUNK_BYTES as usize);
        let chunk = self.rest.split_to(length);
        self.in_flight.sent(length as u64);
        Poll::Ready(Some(Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

/// A body in chunks. It declares no length, because a body that is cut must not look like the end
/// of what was promised.
struct Streamed {
    chunks: Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>,
}

impl Body for Streamed {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.chunks
            .as_mut()
            .poll_next(context)
            .map(|chunk| chunk.map(|chunk| chunk.map(Frame::data)))
    }
}

struct Chunks {
    content: Content,
    file: Option<Arc<File>>,
    start: u64,
    position: u64,
    end: u64,
    stall: Option<(u64, Arc<Rule>)>,
    cut: Option<(u64, Arc<Rule>)>,
    flip: Option<(u64, Arc<Rule>)>,
    in_flight: InFlight,
    flushes: Flushes,
}

impl Chunks {
    fn new(transfer: Transfer) -> Self {
        let Transfer { content, range, effects, in_flight, flushes } = transfer;
        let place = |pick: fn(&Fault) -> Option<u64>| effects.find(pick);
        Self {
            content,
            file: None,
            start: range.start,
            position: range.start,
            end: range.end,
            stall: place(|fault| {
                if let Fault::StallBody { after_bytes } = fault { Some(*after_bytes) } else { None }
            }),
            cut: place(|fault| {
                if let Fault::CutBody { after_bytes } = fault { Some(*after_bytes) } else { None }
            }),
            flip: place(
                |fault| if let Fault::FlipBit { at_byte } = fault { Some(*at_byte) } else { None },
            ),
            in_flight,
            flushes,
        }
    }

    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        let sent_bytes = self.position - self.start;
        if let Some((_, rule)) = self.stall.take_if(|(after_bytes, _)| *after_bytes <= sent_bytes) {
            self.flushes.next().await;
            rule.took_effect();
            rule.released().await;
        }
        if let Some((_, rule)) = self.cut.take_if(|(after_bytes, _)| *after_bytes <= sent_bytes) {
            // hyper discards what it has not written yet when a body fails.
            self.flushes.next().await;
            rule.took_effect();
            return Some(Err(io::Error::other("this body is cut on purpose")));
        }
        if self.position == self.end {
            return None;
        }
        let mut chunk_end = self.end.min(self.position + CHUNK_BYTES);
        for (after_bytes, _) in self.stall.iter().chain(&self.cut) {
            chunk_end = chunk_end.min(self.start + after_bytes);
        }
        let chunk = match self.read(self.position..chunk_end).await {
            Ok(chunk) => self.flipped(sent_bytes, chunk),
            Err(error) => return Some(Err(error)),
        };
        self.position += chunk.len() as u64;
        self.in_flight.sent(chunk.len() as u64);
        Some(Ok(chunk))
    }

    fn flipped(&mut self, sent_bytes: u64, chunk: Bytes) -> Bytes {
        let here = sent_bytes..sent_bytes + chunk.len() as u64;
        let Some((at_byte, rule)) = self.flip.take_if(|(at_byte, _)| here.contains(at_byte)) else {
            return chunk;
        };
        rule.took_effect();
        let mut changed = BytesMut::from(chunk.as_ref());
        changed[(at_byte - sent_bytes) as usize] ^= 1;
        changed.freeze()
    }

    /// Returns the bytes of this range, or fewer, but at least one. A range is at most one chunk
    /// long.
    async fn read(&mut self, range: Range<u64>) -> io::Result<Bytes> {
        let length = (range.end - range.start) as usize;
        match &self.content {
            Content::Bytes(bytes) => Ok(bytes.slice(range.start as usize..range.end as usize)),
            Content::Generated { from_offset, .. } => {
                let mut bytes = from_offset(range.start);
                bytes.truncate(length);
                if bytes.is_empty() {
                    Err(io::Error::other("the generator gave no bytes"))
                } else {
                    Ok(bytes)
                }
            }
            Content::File { path, .. } => {
                let (path, file) = (Arc::clone(path), self.file.clone());
                let (file, chunk) = tokio::task::spawn_blocking(move || {
                    let file =
                        if let Some(file) = file { file } else { Arc::new(File::open(path)?) };
                    let mut chunk = BytesMut::zeroed(length);
                    file.read_exact_at(&mut chunk, range.start)?;
                    io::Result::Ok((file, chunk.freeze()))
                })
                .await??;
                self.file = Some(file);
                Ok(chunk)
            }
        }
    }
}
