//! The frames of lz4. The blocks in them are unpacked by the library.

use std::hash::Hasher as _;

use lz4_flex::block::decompress_into_with_dict;
use twox_hash::XxHash32;

use super::blocks::BlockFormat;
use super::decode::{Trouble, is_skippable, little_endian, may_begin_frame};

const MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];
/// Linked blocks refer to this much of the text before them.
const WINDOW_BYTES: usize = 64 * 1024;
/// The field of a skipped frame that is taken at once.
const SKIPPED_BYTES: usize = 64 * 1024;

const FOREIGN: Trouble = Trouble::Damaged("is followed by bytes that are no lz4 frame");

const INDEPENDENT: u8 = 0x20;
const BLOCK_CHECKSUMS: u8 = 0x10;
const CONTENT_SIZE: u8 = 0x08;
const CONTENT_CHECKSUM: u8 = 0x04;
const RESERVED: u8 = 0x02;
const DICTIONARY: u8 = 0x01;

#[derive(Clone, Copy)]
enum Field {
    Magic,
    SkipLength,
    Skip(usize),
    Flags,
    Descriptor(u8),
    BlockLength,
    Block { length: usize, is_packed: bool },
    ContentChecksum,
}

pub(super) struct Lz4 {
    next: Field,
    is_first: bool,
    flags: u8,
    block_bytes: usize,
    content_bytes: Option<u64>,
    frame_bytes: u64,
    hash: XxHash32,
    window: Vec<u8>,
}

impl Default for Lz4 {
    fn default() -> Self {
        Self {
            next: Field::Magic,
            is_first: true,
            flags: 0,
            block_bytes: 0,
            content_bytes: None,
            frame_bytes: 0,
            hash: XxHash32::with_seed(0),
            window: Vec::new(),
        }
    }
}

impl Lz4 {
    fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    fn descriptor(&mut self, flags: u8, field: &[u8]) -> Result<Field, Trouble> {
        let described = [&[flags][..], &field[..field.len() - 1]].concat();
        let checksum = XxHash32::oneshot(0, &described) >> 8 & 0xff;
        if Some(&checksum) != field.last().map(|byte| u32::from(*byte)).as_ref() {
            return Err(Trouble::Damaged("has a header with a wrong checksum"));
        }
        self.block_bytes = match field[0] {
            0x40 => 64 << 10,
            0x50 => 256 << 10,
            0x60 => 1 << 20,
            0x70 => 4 << 20,
            _ => return Err(Trouble::Damaged("has a header with an unknown block size")),
        };
        self.flags = flags;
        self.content_bytes = self.has(CONTENT_SIZE).then(|| little_endian(&field[1..9]));
        self.frame_bytes = 0;
        self.hash = XxHash32::with_seed(0);
        self.window.clear();
        Ok(Field::BlockLength)
    }

    fn block(
        &mut self,
        field: &[u8],
        (length, is_packed): (usize, bool),
        text: &mut Vec<u8>,
    ) -> Result<usize, Trouble> {
        let (block, checksum) = field.split_at(length);
        if self.has(BLOCK_CHECKSUMS)
            && little_endian(checksum) != u64::from(XxHash32::oneshot(0, block))
        {
            return Err(Trouble::Damaged("has a block with a wrong checksum"));
        }
        if text.len() < self.block_bytes {
            text.resize(self.block_bytes, 0);
        }
        let text = &mut text[..self.block_bytes];
        let produced = if is_packed {
            decompress_into_with_dict(block, text, &self.window)
                .map_err(|_| Trouble::Damaged("is damaged"))?
        } else {
            text[..length].copy_from_slice(block);
            length
        };
        let text = &text[..produced];
        self.frame_bytes += produced as u64;
        if self.has(CONTENT_CHECKSUM) {
            self.hash.write(text);
        }
        if !self.has(INDEPENDENT) {
            self.window.extend_from_slice(&text[produced.saturating_sub(WINDOW_BYTES)..]);
            self.window.drain(..self.window.len().saturating_sub(WINDOW_BYTES));
        }
        Ok(produced)
    }

    /// Checks the length of a frame at its end.
    fn end(&mut self) -> Result<Field, Trouble> {
        if self.content_bytes.is_some_and(|bytes| bytes != self.frame_bytes) {
            return Err(Trouble::Damaged("has a frame with a wrong length"));
        }
        self.is_first = false;
        Ok(Field::Magic)
    }
}

impl BlockFormat for Lz4 {
    fn needed_bytes(&self) -> usize {
        match self.next {
            Field::Flags => 1,
            Field::Magic | Field::SkipLength | Field::BlockLength | Field::ContentChecksum => 4,
            Field::Skip(left) => left.min(SKIPPED_BYTES),
            Field::Descriptor(flags) => {
                if flags & CONTENT_SIZE != 0 {
                    10
                } else {
                    2
                }
            }
            Field::Block { length, .. } => length + if self.has(BLOCK_CHECKSUMS) { 4 } else { 0 },
        }
    }

    fn needed_memory_bytes(&self) -> u64 {
        2 * self.block_bytes as u64 + 2 * WINDOW_BYTES as u64
    }

    fn take(&mut self, field: &[u8], text: &mut Vec<u8>) -> Result<usize, Trouble> {
        let mut produced = 0;
        self.next = match self.next {
            Field::Magic if field == MAGIC => Field::Flags,
            Field::Magic if is_skippable(field) => Field::SkipLength,
            Field::Magic => {
                return Err(FOREIGN);
            }
            Field::SkipLength => {
                self.skip(usize::try_from(little_endian(field)).unwrap_or(usize::MAX))
            }
            Field::Skip(left) => self.skip(left - field.len()),
            Field::Flags => {
                let flags = field[0];
                if flags >> 6 != 1 || flags & RESERVED != 0 {
                    return Err(Trouble::Damaged("has a header with unknown flags"));
                }
                if flags & DICTIONARY != 0 {
                    return Err(Trouble::Damaged("needs a dictionary, which it does not hold"));
                }
                Field::Descriptor(flags)
            }
            Field::Descriptor(flags) => self.descriptor(flags, field)?,
            Field::BlockLength => {
                let number = little_endian(field);
                let length = usize::try_from(number & 0x7fff_ffff).unwrap_or(usize::MAX);
                if number == 0 && self.has(CONTENT_CHECKSUM) {
                    Field::ContentChecksum
                } else if number == 0 {
                    self.end()?
                } else if length > self.block_bytes {
                    return Err(Trouble::Damaged("has a block that is too long"));
                } else {
                    Field::Block { length, is_packed: number & 0x8000_0000 == 0 }
                }
            }
            Field::Block { length, is_packed } => {
                produced = self.block(field, (length, is_packed), text)?;
                Field::BlockLength
            }
            Field::ContentChecksum => {
                if little_endian(field) != u64::from(self.hash.finish_32()) {
                    return Err(Trouble::Damaged("has a frame with a wrong checksum"));
                }
                self.end()?
            }
        };
        Ok(produced)
    }

    fn may_end(&self) -> bool {
        matches!(self.next, Field::Magic) && !self.is_first
    }

    fn foreign(&self, bytes: &[u8]) -> Option<Trouble> {
        (!may_begin_frame(bytes, &MAGIC)).then_some(FOREIGN)
    }
}

impl Lz4 {
    fn skip(&mut self, left: usize) -> Field {
        if left > 0 {
            return Field::Skip(left);
        }
        self.is_first = false;
        Field::Magic
    }
}
