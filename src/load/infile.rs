//! The bytes that answer one LOAD DATA LOCAL statement.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use mysql_async::InfileData;

/// One packet: far below any server's `max_allowed_packet`, and larger ones are not faster.
const BLOCK_BYTES: usize = 256 * 1024;
/// Blocks read ahead of the one being sent.
const BLOCKS_AHEAD: usize = 2;

/// What is sent of a staged file: some stretches of it, and the line terminator that the last row lacks.
#[derive(Clone, Debug)]
pub(super) struct Payload {
    pub(super) file: Option<Arc<File>>,
    /// In order. Of an object that is sent whole, the bytes after its byte order mark and header lines.
    pub(super) stretches: Vec<Range<u64>>,
    pub(super) terminator: Vec<u8>,
}

/// What became of a payload, seen from the side of the statement.
#[derive(Debug, Default)]
pub(super) struct Sent {
    pub(super) bytes: AtomicU64,
    pub(super) all: AtomicBool,
}

impl Payload {
    /// Not a byte: what the preflight loads.
    pub(super) fn empty() -> Self {
        Self { file: None, stretches: Vec::new(), terminator: Vec::new() }
    }

    pub(super) fn size_bytes(&self) -> u64 {
        let of_the_file: u64 = self.stretches.iter().map(|stretch| stretch.end - stretch.start).sum();
        of_the_file + self.terminator.len() as u64
    }

    /// The bytes in order, read on blocking threads; `sent` follows as they are taken.
    pub(super) fn stream(self, sent: Arc<Sent>) -> InfileData {
        let Self { file, stretches, terminator } = self;
        let blocks = stream::iter(Blocks::new(stretches))
            .map(move |pieces| {
                let file = file.clone();
                tokio::task::spawn_blocking(move || read(file.as_deref(), &pieces))
            })
            .buffered(BLOCKS_AHEAD)
            .map(|read| read.unwrap_or_else(|died| Err(io::Error::other(died))));
        let terminator = (!terminator.is_empty()).then(|| Ok(Bytes::from(terminator)));
        let counted = Arc::clone(&sent);
        blocks
            .chain(stream::iter(terminator))
            .inspect(move |block| {
                if let Ok(block) = block {
                    counted.bytes.fetch_add(block.len() as u64, Ordering::Relaxed);
                }
            })
            .chain(stream::poll_fn(move |_| {
                sent.all.store(true, Ordering::Relaxed);
                std::task::Poll::Ready(None)
            }))
            .boxed()
    }
}

/// Stretches, put together and cut to blocks.
struct Blocks {
    stretches: std::vec::IntoIter<Range<u64>>,
    /// What is left of a stretch that went into the last block in part.
    rest: Range<u64>,
}

impl Blocks {
    fn new(stretches: Vec<Range<u64>>) -> Self {
        Self { stretches: stretches.into_iter(), rest: 0..0 }
    }
}

impl Iterator for Blocks {
    type Item = Vec<Range<u64>>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut pieces: Vec<Range<u64>> = Vec::new();
        let mut room_bytes = BLOCK_BYTES as u64;
        while room_bytes > 0 {
            if self.rest.is_empty() {
                let Some(stretch) = self.stretches.next() else { break };
                self.rest = stretch;
                continue;
            }
            let piece = self.rest.start..self.rest.end.min(self.rest.start + room_bytes);
            room_bytes -= piece.end - piece.start;
            self.rest.start = piece.end;
            match pieces.last_mut() {
                Some(last) if last.end == piece.start => last.end = piece.end,
                _ => pieces.push(piece),
            }
        }
        (!pieces.is_empty()).then_some(pieces)
    }
}

fn read(file: Option<&File>, pieces: &[Range<u64>]) -> io::Result<Bytes> {
    let file = file.ok_or(io::ErrorKind::NotFound)?;
    let mut block = Vec::with_capacity(BLOCK_BYTES);
    for piece in pieces {
        let filled = block.len();
        block.resize(filled + usize::try_from(piece.end - piece.start).map_err(io::Error::other)?, 0);
        file.read_exact_at(&mut block[filled..], piece.start)?;
    }
    Ok(block.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[tokio::test]
    async fn stretches_are_sent_whole_and_in_order_with_the_terminator() {
        let bytes: Vec<u8> = (0_u8..251).cycle().take(2 * BLOCK_BYTES + 7).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        let to = bytes.len() as u64;
        // Next to each other, apart, empty, and longer than a block.
        let stretches = vec![3..5, 5..9, 20..20, 30..31, 40..to];
        let payload = Payload { file: Some(Arc::new(file)), stretches, terminator: b"\r\n".to_vec() };
        let size_bytes = payload.size_bytes();
        let sent = Arc::new(Sent::default());
        let blocks: Vec<io::Result<Bytes>> = payload.stream(Arc::clone(&sent)).collect().await;
        let received: Vec<u8> = blocks.into_iter().flat_map(Result::unwrap).collect();
        assert_eq!(received, [&bytes[3..9], &bytes[30..31], &bytes[40..], b"\r\n"].concat());
        assert_eq!(sent.bytes.load(Ordering::Relaxed), size_bytes);
        assert!(sent.all.load(Ordering::Relaxed));
    }

    #[tokio::test]
    async fn a_file_that_is_shorter_than_it_was_is_an_error_and_not_a_short_load() {
        let file = Some(Arc::new(tempfile::tempfile().unwrap()));
        let payload = Payload { file, stretches: vec![Range { start: 0, end: 5 }], terminator: Vec::new() };
        let sent = Arc::new(Sent::default());
        let blocks: Vec<io::Result<Bytes>> = payload.stream(Arc::clone(&sent)).collect().await;
        assert!(blocks[0].is_err());
        assert_eq!(sent.bytes.load(Ordering::Relaxed), 0);
    }
}
