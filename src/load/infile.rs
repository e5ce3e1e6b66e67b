//! The bytes that answer one LOAD DATA LOCAL statement.

use std::fs::File;
use std::io;
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

/// What is sent of a staged file: a stretch of it, and the line terminator that its last row lacks.
#[derive(Clone, Debug)]
pub struct Payload {
    pub file: Option<Arc<File>>,
    /// The first byte that is sent; a byte order mark and header lines lie before it.
    pub from: u64,
    /// The first byte that is not sent.
    pub to: u64,
    pub terminator: Vec<u8>,
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
        Self { file: None, from: 0, to: 0, terminator: Vec::new() }
    }

    pub(super) fn size_bytes(&self) -> u64 {
        self.to - self.from + self.terminator.len() as u64
    }

    /// The bytes in order, read on blocking threads; `sent` follows as they are taken.
    pub(super) fn stream(self, sent: Arc<Sent>) -> InfileData {
        let Self { file, from, to, terminator } = self;
        let starts = (from..to).step_by(BLOCK_BYTES);
        let blocks = stream::iter(starts)
            .map(move |start| {
                let file = file.clone();
                let length = (to - start).min(BLOCK_BYTES as u64);
                tokio::task::spawn_blocking(move || read(file.as_deref(), start, length))
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

fn read(file: Option<&File>, start: u64, length: u64) -> io::Result<Bytes> {
    let file = file.ok_or(io::ErrorKind::NotFound)?;
    let mut block = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    file.read_exact_at(&mut block, start)?;
    Ok(block.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[tokio::test]
    async fn the_stretch_is_sent_whole_and_in_order_with_its_terminator() {
        let bytes: Vec<u8> = (0_u8..251).cycle().take(2 * BLOCK_BYTES + 7).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        let payload =
            Payload { file: Some(Arc::new(file)), from: 3, to: bytes.len() as u64, terminator: b"\r\n".to_vec() };
        let size_bytes = payload.size_bytes();
        let sent = Arc::new(Sent::default());
        let blocks: Vec<io::Result<Bytes>> = payload.stream(Arc::clone(&sent)).collect().await;
        let received: Vec<u8> = blocks.into_iter().flat_map(Result::unwrap).collect();
        assert_eq!(received, [&bytes[3..], b"\r\n"].concat());
        assert_eq!(sent.bytes.load(Ordering::Relaxed), size_bytes);
        assert!(sent.all.load(Ordering::Relaxed));
    }

    #[tokio::test]
    async fn a_file_that_is_shorter_than_it_was_is_an_error_and_not_a_short_load() {
        let payload =
            Payload { file: Some(Arc::new(tempfile::tempfile().unwrap())), from: 0, to: 5, terminator: Vec::new() };
        let sent = Arc::new(Sent::default());
        let blocks: Vec<io::Result<Bytes>> = payload.stream(Arc::clone(&sent)).collect().await;
        assert!(blocks[0].is_err());
        assert_eq!(sent.bytes.load(Ordering::Relaxed), 0);
    }
}
