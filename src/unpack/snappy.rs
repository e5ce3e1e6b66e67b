//! The two formats of snappy files: the framing format of Google's description, and Hadoop's
//! blocks. The raw data in them is unpacked by the library.
//!
//! Neither format has an end that could be missing: data that is cut between two chunks is whole.
//! Hadoop's has no checksums either.

use crc_fast::{CrcAlgorithm, checksum};
use snap::raw::{Decoder, decompress_len};

use super::blocks::BlockFormat;
use super::decode::Trouble;

/// The limit on the text of one chunk of the framing format.
const CHUNK_BYTES: usize = 64 * 1024;
/// The longest that snappy makes a chunk, with its checksum.
const PACKED_CHUNK_BYTES: usize = 4 + 32 + CHUNK_BYTES + CHUNK_BYTES / 6;
/// The field of a skipped chunk that is taken at once.
const SKIPPED_BYTES: usize = 64 * 1024;

const FOREIGN: Trouble = Trouble::Damaged("is followed by bytes that are no chunk of snappy");

/// The kind of chunks that hold nothing.
const PADDING: u8 = 0xfe;
/// Decoders may skip such chunks, but nobody writes them. One flipped bit makes one of a chunk of
/// text, which would be lost.
const RESERVED: Trouble = Trouble::Damaged("has a chunk of a kind that no packer writes");

#[derive(Clone, Copy)]
enum Chunk {
    Header,
    Identifier,
    Packed(usize),
    Raw(usize),
    Skip(usize),
}

/// The framing format.
pub(super) struct Snappy {
    next: Chunk,
    is_first: bool,
    decoder: Decoder,
}

impl Default for Snappy {
    fn default() -> Self {
        Self { next: Chunk::Header, is_first: true, decoder: Decoder::new() }
    }
}

impl BlockFormat for Snappy {
    fn needed_bytes(&self) -> usize {
        match self.next {
            Chunk::Header => 4,
            Chunk::Identifier => 6,
            Chunk::Packed(length) | Chunk::Raw(length) => length,
            Chunk::Skip(left) => left.min(SKIPPED_BYTES),
        }
    }

    fn needed_memory_bytes(&self) -> u64 {
        (CHUNK_BYTES + PACKED_CHUNK_BYTES) as u64
    }

    fn take(&mut self, field: &[u8], text: &mut Vec<u8>) -> Result<usize, Trouble> {
        let mut produced = 0;
        self.next = match self.next {
            Chunk::Header => {
                let length = usize::from(field[1])
                    | usize::from(field[2]) << 8
                    | usize::from(field[3]) << 16;
                let is_sound = (5..=PACKED_CHUNK_BYTES).contains(&length);
                match field[0] {
                    0xff if length == 6 => Chunk::Identifier,
                    _ if self.is_first => {
                        return Err(Trouble::Damaged("does not begin with its identifier"));
                    }
                    0x00 if is_sound => Chunk::Packed(length),
                    0x01 if is_sound && length <= 4 + CHUNK_BYTES => Chunk::Raw(length),
                    PADDING if length == 0 => Chunk::Header,
                    PADDING => Chunk::Skip(length),
                    0x80..PADDING => return Err(RESERVED),
                    0x00 | 0x01 | 0xff => {
                        return Err(Trouble::Damaged("has a chunk of a wrong length"));
                    }
                    // A decoder must refuse the kinds that are reserved, so the chunk is foreign.
                    _ => return Err(FOREIGN),
                }
            }
            Chunk::Identifier if field == b"sNaPpY" => {
                self.is_first = false;
                Chunk::Header
            }
            Chunk::Identifier => return Err(Trouble::Damaged("has a wrong identifier")),
            Chunk::Packed(_) | Chunk::Raw(_) => {
                let (expected, data) = field.split_at(4);
                produced = if matches!(self.next, Chunk::Raw(_)) {
                    text.resize(text.len().max(data.len()), 0);
                    text[..data.len()].copy_from_slice(data);
                    data.len()
                } else {
                    let length = unpacked_bytes(data)?;
                    if length > CHUNK_BYTES {
                        return Err(Trouble::Damaged("has a chunk that is too long"));
                    }
                    unpack(&mut self.decoder, data, length, text)?
                };
                let expected =
                    expected.iter().rev().fold(0, |crc, byte| crc << 8 | u32::from(*byte));
                if masked_crc(&text[..produced]) != expected {
                    return Err(Trouble::Damaged("has a chunk with a wrong checksum"));
                }
                Chunk::Header
            }
            Chunk::Skip(left) if left > field.len() => Chunk::Skip(left - field.len()),
            Chunk::Skip(_) => Chunk::Header,
        };
        Ok(produced)
    }

    fn may_end(&self) -> bool {
        matches!(self.next, Chunk::Header) && !self.is_first
    }

    fn foreign(&self, bytes: &[u8]) -> Option<Trouble> {
        matches!(bytes, [0x02..=0x7f, ..]).then_some(FOREIGN)
    }
}

#[derive(Clone, Copy, Default)]
enum Block {
    #[default]
    Length,
    ChunkLength,
    Chunk(usize),
}

/// Hadoop's blocks: the length of a block's text, then its chunks, each with its packed length.
#[derive(Default)]
pub(super) struct HadoopSnappy {
    next: Block,
    /// The bytes of text that the current block lacks.
    left_bytes: u64,
    has_begun: bool,
    decoder: Decoder,
}

impl BlockFormat for HadoopSnappy {
    fn needed_bytes(&self) -> usize {
        match self.next {
            Block::Length | Block::ChunkLength => 4,
            Block::Chunk(length) => length,
        }
    }

    fn needed_memory_bytes(&self) -> u64 {
        match self.next {
            Block::Length | Block::ChunkLength => 0,
            Block::Chunk(length) => self.left_bytes + length as u64,
        }
    }

    fn take(&mut self, field: &[u8], text: &mut Vec<u8>) -> Result<usize, Trouble> {
        let number =
            field.iter().take(4).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        let mut produced = 0;
        self.next = match self.next {
            Block::Length => {
                (self.left_bytes, self.has_begun) = (number, true);
                if number == 0 { Block::Length } else { Block::ChunkLength }
            }
            Block::ChunkLength => {
                if number == 0 || number > 32 + self.left_bytes + self.left_bytes / 6 {
                    return Err(Trouble::Damaged("has a chunk of a wrong length"));
                }
                Block::Chunk(usize::try_from(number).unwrap_or(usize::MAX))
            }
            Block::Chunk(_) => {
                let length = unpacked_bytes(field)?;
                let length_bytes = length as u64;
                if length == 0 || length_bytes > self.left_bytes {
                    return Err(Trouble::Damaged("has a chunk of a wrong length"));
                }
                produced = unpack(&mut self.decoder, field, length, text)?;
                self.left_bytes -= length_bytes;
                if self.left_bytes == 0 { Block::Length } else { Block::ChunkLength }
            }
        };
        Ok(produced)
    }

    fn may_end(&self) -> bool {
        matches!(self.next, Block::Length) && self.has_begun
    }
}

fn unpacked_bytes(data: &[u8]) -> Result<usize, Trouble> {
    decompress_len(data).map_err(|_| Trouble::Damaged("is damaged"))
}

fn unpack(
    decoder: &mut Decoder,
    data: &[u8],
    length: usize,
    text: &mut Vec<u8>,
) -> Result<usize, Trouble> {
    text.resize(text.len().max(length), 0);
    decoder.decompress(data, &mut text[..length]).map_err(|_| Trouble::Damaged("is damaged"))
}

/// Returns the checksum as snappy's frames have it.
fn masked_crc(text: &[u8]) -> u32 {
    let crc = u32::try_from(checksum(CrcAlgorithm::Crc32Iscsi, text)).unwrap_or(0);
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}
