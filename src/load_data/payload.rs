//! The bytes that are sent for one LOAD DATA LOCAL statement.

use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use mysql_async::InfileData;

use super::send_meter::SendMeter;
use crate::file_slice::FileSlice;
use crate::values::RowRewriter;

/// The size of one packet, unless the server's `max_allowed_packet` is even smaller. Larger packets
/// are not faster.
const PACKET_BYTES: usize = 256 * 1024;
/// Room for the line terminators by which a block may exceed its size.
const TERMINATOR_BYTES: usize = 512;
/// The number of blocks that are read ahead of the one being sent.
const BLOCKS_AHEAD: usize = 2;

/// The bytes of one statement, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Payload {
    extents: Vec<Extent>,
    /// The rewriters of the objects, in order, each with the number of its extents. The rewriter is
    /// `None` if the server gets the object's rows as they are.
    rewriters: Vec<(usize, Option<Arc<RowRewriter>>)>,
    /// The meter of the one object that the bytes are of.
    meter: Option<Arc<SendMeter>>,
}

#[derive(Clone, Debug)]
enum Extent {
    /// A stretch of a staged file. For an object that is sent whole, it starts after the byte order
    /// mark and the header lines.
    Staged(FileSlice, Range<u64>),
    /// The line terminator that the last row lacks.
    Terminator(Bytes),
}

/// The progress of sending a payload, as seen by the statement.
#[derive(Debug, Default)]
pub(crate) struct SendProgress {
    pub(crate) bytes: AtomicU64,
}

impl Payload {
    /// An empty payload, as the preflight loads it.
    pub(crate) fn empty() -> Self {
        Self::default()
    }

    /// Builds a payload of `stretches` of a staged file, in order, and of the terminator that the
    /// last row lacks.
    pub(crate) fn of(
        file: &FileSlice,
        stretches: Vec<Range<u64>>,
        terminator: Option<&[u8]>,
    ) -> Self {
        let staged = stretches.into_iter().map(|stretch| Extent::Staged(file.clone(), stretch));
        let terminator =
            terminator.map(|terminator| Extent::Terminator(Bytes::copy_from_slice(terminator)));
        let extents: Vec<Extent> = staged.chain(terminator).collect();
        Self { rewriters: vec![(extents.len(), None)], extents, meter: None }
    }

    /// Concatenates payloads of the same dialect and line terminator.
    pub(crate) fn joined(payloads: impl Iterator<Item = Self>) -> Self {
        let mut joined = Self::empty();
        for payload in payloads {
            joined.extents.extend(payload.extents);
            joined.rewriters.extend(payload.rewriters);
        }
        joined
    }

    /// Sends the rows as the rewriter writes them.
    pub(crate) fn rewritten_by(mut self, rewriter: Option<&Arc<RowRewriter>>) -> Self {
        self.rewriters = vec![(self.extents.len(), rewriter.cloned())];
        self
    }

    /// Counts the bytes as they are sent.
    pub(crate) fn metered_by(mut self, meter: Option<&Arc<SendMeter>>) -> Self {
        self.meter = meter.cloned();
        self
    }

    pub(crate) fn size_bytes(&self) -> u64 {
        self.extents.iter().map(Extent::size_bytes).sum()
    }

    /// Streams the bytes in order, in packets of at most `max_packet_bytes`, reading them on
    /// blocking threads. `sent` counts each block as it is taken.
    pub(crate) fn stream(self, sent: Arc<SendProgress>, max_packet_bytes: usize) -> InfileData {
        let block_bytes = max_packet_bytes.saturating_sub(TERMINATOR_BYTES).clamp(1, PACKET_BYTES);
        let blocks = BlockBuilder {
            objects: self.rewriters.iter().map(|(extents, _)| *extents).collect(),
            extents: self.extents.into_iter(),
            object: 0,
            rest: None,
            block_bytes,
        };
        let meter = self.meter;
        let blocks = stream::iter(blocks)
            .map(|(extents, ends)| {
                tokio::task::spawn_blocking(move || read(&extents).map(|block| (block, ends)))
            })
            .buffered(BLOCKS_AHEAD)
            .map(|read| read.unwrap_or_else(|died| Err(io::Error::other(died))))
            .inspect(move |block| {
                if let Ok((block, _)) = block {
                    let bytes = block.len() as u64;
                    sent.bytes.fetch_add(bytes, Ordering::Relaxed);
                    if let Some(meter) = &meter {
                        meter.add(bytes);
                    }
                }
            });
        if self.rewriters.iter().all(|(_, rewriter)| rewriter.is_none()) {
            return blocks.map(|block| block.map(|(block, _)| block)).boxed();
        }
        let mut rewriting = Rewriting::new(self.rewriters);
        blocks
            .map(Some)
            .chain(stream::iter([None]))
            .flat_map(move |block| {
                let rewritten = match block {
                    Some(Ok((block, ends))) => rewriting.feed(&block, &ends),
                    Some(Err(error)) => Err(error),
                    // The last row may wait for bytes that do not come.
                    None => rewriting.finish(),
                };
                stream::iter(packets(rewritten, block_bytes))
            })
            .boxed()
    }
}

/// Rewrites the rows of each object by its own rewriter.
struct Rewriting {
    rest: std::vec::IntoIter<Option<Arc<RowRewriter>>>,
    current: Option<RowRewriter>,
}

impl Rewriting {
    fn new(rewriters: Vec<(usize, Option<Arc<RowRewriter>>)>) -> Self {
        let rewriters: Vec<_> = rewriters.into_iter().map(|(_, rewriter)| rewriter).collect();
        let mut rewriting = Self { rest: rewriters.into_iter(), current: None };
        rewriting.begin_object();
        rewriting
    }

    fn begin_object(&mut self) {
        let next = self.rest.next().flatten();
        self.current = next.map(|rewriter| RowRewriter::clone(&rewriter));
    }

    /// Rewrites a block, in which objects end at `ends`.
    fn feed(&mut self, block: &[u8], ends: &[usize]) -> io::Result<Vec<u8>> {
        let mut out = Vec::with_capacity(block.len() + block.len() / 8);
        let mut from = 0;
        for &end in ends {
            self.pass(&block[from..end], &mut out)?;
            out.extend(self.finish()?);
            self.begin_object();
            from = end;
        }
        self.pass(&block[from..], &mut out)?;
        Ok(out)
    }

    fn pass(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        match &mut self.current {
            Some(rewriter) => out.extend(rewriter.feed(bytes).map_err(io::Error::other)?),
            None => out.extend_from_slice(bytes),
        }
        Ok(())
    }

    /// Returns what is left of the rows of the current object.
    fn finish(&mut self) -> io::Result<Vec<u8>> {
        let rest = self.current.take().map_or_else(|| Ok(Vec::new()), RowRewriter::finish);
        rest.map_err(io::Error::other)
    }
}

impl Extent {
    fn size_bytes(&self) -> u64 {
        match self {
            Self::Staged(_, stretch) => stretch.end - stretch.start,
            Self::Terminator(bytes) => bytes.len() as u64,
        }
    }
}

/// Combines extents and cuts them into blocks.
struct BlockBuilder {
    /// The number of extents that each object has left.
    objects: Vec<usize>,
    /// The index of the current object.
    object: usize,
    extents: std::vec::IntoIter<Extent>,
    /// The rest of an extent that only partly fit into the last block.
    rest: Option<(FileSlice, Range<u64>)>,
    block_bytes: usize,
}

impl BlockBuilder {
    fn next_extent(&mut self, at: usize, ends: &mut Vec<usize>) -> Option<Extent> {
        let extent = self.extents.next()?;
        while self.objects.get(self.object) == Some(&0) {
            ends.push(at);
            self.object += 1;
        }
        if let Some(left) = self.objects.get_mut(self.object) {
            *left -= 1;
        }
        Some(extent)
    }

    /// Returns the next piece, of at most `room_bytes` bytes. Adds `at`, where the piece begins, to
    /// `ends` for each object that ends before it.
    fn piece(&mut self, room_bytes: u64, at: usize, ends: &mut Vec<usize>) -> Option<Extent> {
        loop {
            let (file, stretch) = match self.rest.take() {
                Some(rest) => rest,
                None => match self.next_extent(at, ends)? {
                    Extent::Staged(file, stretch) => (file, stretch),
                    terminator @ Extent::Terminator(_) => return Some(terminator),
                },
            };
            if stretch.is_empty() {
                continue;
            }
            let cut = stretch.end.min(stretch.start + room_bytes);
            self.rest = (cut < stretch.end).then(|| (file.clone(), cut..stretch.end));
            return Some(Extent::Staged(file, stretch.start..cut));
        }
    }
}

impl Iterator for BlockBuilder {
    /// The extents of a block, and the places in it at which objects end.
    type Item = (Vec<Extent>, Vec<usize>);

    fn next(&mut self) -> Option<Self::Item> {
        let mut extents: Vec<Extent> = Vec::new();
        let mut ends = Vec::new();
        let (mut room_bytes, mut block_bytes) = (self.block_bytes as u64, 0);
        while room_bytes > 0
            && let Some(piece) = self.piece(room_bytes, block_bytes, &mut ends)
        {
            // A terminator may exceed the block by its few bytes.
            room_bytes = room_bytes.saturating_sub(piece.size_bytes());
            block_bytes += usize::try_from(piece.size_bytes()).unwrap_or(usize::MAX);
            extents.push(piece);
        }
        (!extents.is_empty()).then_some((extents, ends))
    }
}

/// Cuts a rewritten block into packets. There is none for an empty block, because an empty packet
/// would end the file.
fn packets(block: io::Result<Vec<u8>>, packet_bytes: usize) -> Vec<io::Result<Bytes>> {
    match block {
        Err(error) => vec![Err(error)],
        Ok(block) => {
            let block = Bytes::from(block);
            (0..block.len())
                .step_by(packet_bytes)
                .map(|from| Ok(block.slice(from..block.len().min(from + packet_bytes))))
                .collect()
        }
    }
}

fn read(extents: &[Extent]) -> io::Result<Bytes> {
    let mut block = Block::take();
    for piece in extents {
        let filled = block.filled;
        match piece {
            Extent::Staged(file, stretch) => {
                let length =
                    usize::try_from(stretch.end - stretch.start).map_err(io::Error::other)?;
                file.read_exact_at(block.room(length), stretch.start)?;
                block.filled = filled + length;
            }
            Extent::Terminator(bytes) => {
                block.room(bytes.len()).copy_from_slice(bytes);
                block.filled = filled + bytes.len();
            }
        }
    }
    Ok(Bytes::from_owner(block))
}

/// Sent blocks, kept for reuse. The system would take memory of this size back, and would clear it
/// page by page before handing it out again.
static SENT_BLOCKS: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());
/// The number of blocks that four connections hold between their files and their sockets.
const SENT_BLOCKS_KEPT: usize = 4 * (BLOCKS_AHEAD + 1);

/// The memory of a block. Everything that is read from it was written before.
struct Block {
    memory: Vec<u8>,
    filled: usize,
}

impl Block {
    fn take() -> Self {
        // A panic leaves nothing half-done under this lock.
        let sent = SENT_BLOCKS.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Self { memory: sent.unwrap_or_else(|| vec![0; PACKET_BYTES]), filled: 0 }
    }

    /// Returns room for `length` bytes after the filled ones.
    fn room(&mut self, length: usize) -> &mut [u8] {
        let end = self.filled + length;
        if self.memory.len() < end {
            self.memory.resize(end, 0);
        }
        &mut self.memory[self.filled..end]
    }
}

impl AsRef<[u8]> for Block {
    fn as_ref(&self) -> &[u8] {
        &self.memory[..self.filled]
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        let mut sent = SENT_BLOCKS.lock().unwrap_or_else(PoisonError::into_inner);
        if sent.len() < SENT_BLOCKS_KEPT {
            sent.push(std::mem::take(&mut self.memory));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[tokio::test]
    async fn stretches_are_sent_whole_and_in_order_with_the_terminator() {
        let bytes: Vec<u8> = (0_u8..251).cycle().take(2 * PACKET_BYTES + 7).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        let to = bytes.len() as u64;
        // Next to each other, apart, empty, and longer than a block.
        let stretches = vec![3..5, 5..9, 20..20, 30..31, 40..to];
        let file = FileSlice::new(Arc::new(file), 0, to);
        let payload = Payload::joined(
            [
                Payload::of(&file, stretches, Some(b"\r\n")),
                Payload::empty(),
                Payload::of(&file, vec![], None),
                Payload::of(&file, vec![1..4, 7..8], None),
            ]
            .into_iter(),
        );
        let size_bytes = payload.size_bytes();
        let sent = Arc::new(SendProgress::default());
        let blocks: Vec<io::Result<Bytes>> =
            payload.stream(Arc::clone(&sent), usize::MAX).collect().await;
        let received: Vec<u8> = blocks.into_iter().flat_map(Result::unwrap).collect();
        assert_eq!(
            received,
            [&bytes[3..9], &bytes[30..31], &bytes[40..], b"\r\n", &bytes[1..4], &bytes[7..8]]
                .concat()
        );
        assert_eq!(sent.bytes.load(Ordering::Relaxed), size_bytes);
    }

    #[tokio::test]
    async fn a_file_that_is_shorter_than_it_was_is_an_error_and_not_a_short_load() {
        let file = FileSlice::new(Arc::new(tempfile::tempfile().unwrap()), 0, 5);
        let payload = Payload::of(&file, vec![Range { start: 0, end: 5 }], None);
        let sent = Arc::new(SendProgress::default());
        let blocks: Vec<io::Result<Bytes>> =
            payload.stream(Arc::clone(&sent), usize::MAX).collect().await;
        assert!(blocks[0].is_err());
        assert_eq!(sent.bytes.load(Ordering::Relaxed), 0);
    }
}
