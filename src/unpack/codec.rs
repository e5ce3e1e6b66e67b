//! The codecs, and the first bytes that they are known by.

use strum::{Display, IntoStaticStr};

use super::blocks::Blocks;
use super::bzip2::Bzip2;
use super::decode::{Decode, MAX_MEMORY_BYTES, is_skippable};
use super::gzip::Gzip;
use super::lz4::Lz4;
use super::snappy::{HadoopSnappy, Snappy};
use super::xz::Xz;
use super::zstd::Zstd;

/// The number of first bytes that tell the codec.
pub const HEAD_BYTES: usize = 32;

/// A compression format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Display, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Codec {
    Gzip,
    Zstd,
    Bzip2,
    Xz,
    Lz4,
    Snappy,
    HadoopSnappy,
}

/// The magic numbers that are the same in each file.
const MAGICS: [(&[u8], Codec); 6] = [
    (b"\x1f\x8b\x08", Codec::Gzip),
    (b"\x28\xb5\x2f\xfd", Codec::Zstd),
    (b"\xfd7zXZ\0", Codec::Xz),
    (b"\x04\x22\x4d\x18", Codec::Lz4),
    (b"\xff\x06\0\0sNaPpY", Codec::Snappy),
    (b"BZh", Codec::Bzip2),
];
/// The bytes after the block size of a bzip2 stream: the first digits of pi or, in an empty stream,
/// of the square root of pi.
const BZIP2_BLOCKS: [&[u8]; 2] = [b"1AY&SY", b"\x17\x72\x45\x38\x50\x90"];

/// The length of a block without text. Hadoop writes nothing else for an empty file, and ends an
/// object at such a block.
const EMPTY_BLOCK: &[u8] = &[0; 4];

impl Codec {
    /// Returns the codec of an object that begins with `head`: its first [`HEAD_BYTES`], or all of
    /// it if `is_whole`. A whole object that is cut within a magic number counts as packed from the
    /// second byte on, since it would be a strange text. The magic number of bzip2 is letters, so
    /// more of it is needed.
    #[must_use]
    pub fn of(head: &[u8], is_whole: bool) -> Option<Self> {
        for (magic, codec) in MAGICS {
            let is_cut = is_whole && head.len() >= 2 && magic.starts_with(head);
            let is_it = match codec {
                Self::Bzip2 => head.starts_with(magic) && is_bzip2(head, is_whole),
                _ => head.starts_with(magic) || is_cut,
            };
            if is_it {
                return Some(codec);
            }
        }
        if is_skippable(head) {
            return Some(Self::Zstd);
        }
        let is_hadoop_snappy = is_whole && head == EMPTY_BLOCK || is_hadoop_snappy(head);
        is_hadoop_snappy.then_some(Self::HadoopSnappy)
    }

    pub(super) fn decoder(self) -> Box<dyn Decode> {
        match self {
            Self::Gzip => Box::new(Gzip::new()),
            Self::Zstd => Box::new(Zstd::new()),
            Self::Bzip2 => Box::new(Bzip2::new()),
            Self::Xz => Box::new(Xz::new()),
            Self::Lz4 => Box::new(Blocks::new(Lz4::default())),
            Self::Snappy => Box::new(Blocks::new(Snappy::default())),
            Self::HadoopSnappy => Box::new(Blocks::new(HadoopSnappy::default())),
        }
    }
}

fn is_bzip2(head: &[u8], is_whole: bool) -> bool {
    let (Some(level), Some(block)) = (head.get(3), head.get(4..)) else { return false };
    let is_block = BZIP2_BLOCKS.iter().any(|magic| {
        block.starts_with(magic) || is_whole && !block.is_empty() && magic.starts_with(block)
    });
    (b'1'..=b'9').contains(level) && is_block
}

/// Returns true for a block as Hadoop writes it: its unpacked length, the packed length of its
/// first chunk, and a chunk that begins with an unpacked length which fits into the block, and with
/// a literal. The other codecs with this framing begin with other bytes. Empty files may come
/// before it, if files were put together.
fn is_hadoop_snappy(mut head: &[u8]) -> bool {
    while let Some(rest) = head.strip_prefix(EMPTY_BLOCK) {
        head = rest;
    }
    let number = |at: usize| {
        let bytes = head.get(at..at + 4)?;
        Some(u64::from(u32::from_be_bytes(bytes.try_into().ok()?)))
    };
    let (Some(block_bytes), Some(chunk_bytes)) = (number(0), number(4)) else { return false };
    let Some(chunk) = head.get(8..) else { return false };
    let (mut chunk_text_bytes, mut at) = (0_u64, 0_usize);
    loop {
        let Some(byte) = chunk.get(at).filter(|_| at < 5) else { return false };
        chunk_text_bytes |= u64::from(byte & 0x7f) << (7 * at);
        at += 1;
        if byte & 0x80 == 0 {
            break;
        }
    }
    let is_literal = chunk.get(at).is_some_and(|tag| tag % 4 == 0);
    let longest = 32 + chunk_text_bytes + chunk_text_bytes / 6;
    is_literal
        && (1..=MAX_MEMORY_BYTES).contains(&block_bytes)
        && (1..=block_bytes).contains(&chunk_text_bytes)
        && (2..=longest).contains(&chunk_bytes)
}
