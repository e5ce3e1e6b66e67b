//! The text of an object: what its bytes unpack to, and the records in that.

use std::fmt::{Display, Formatter};

use super::records::{BrokenJson, Records, RecordsAt};
use super::{BLOCK_BYTES, Codec, Codecs, Fault, Trouble, Unpacker};

/// The way from an object's bytes to its text.
#[derive(Clone, Debug, Default)]
pub struct TextForm {
    /// The codec of a packed object.
    pub codec: Option<Codec>,
    /// The place of the records, if each must be put on a line of its own.
    pub records: Option<RecordsAt>,
}

impl TextForm {
    /// Returns true if the bytes are the text.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.codec.is_none() && self.records.is_none()
    }
}

/// A fault of the bytes, or of what they unpack to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TextFault {
    Packed(Fault),
    Json(BrokenJson, Option<Codecs>),
}

/// The number of first bytes that tell what a text is, if it is no JSON.
const RECORDS_HEAD_BYTES: usize = 1024;

impl TextFault {
    /// Returns true if the text is no JSON.
    #[must_use]
    pub fn is_of_json(&self) -> bool {
        matches!(self, Self::Json(..))
    }

    /// Returns the memory without which a decoder cannot go on, if that is all.
    #[must_use]
    pub fn needed_memory(&self) -> Option<u64> {
        match self {
            Self::Packed(Fault { trouble: Trouble::NeedsMemory(bytes), .. }) => Some(*bytes),
            _ => None,
        }
    }
}

impl Display for TextFault {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Packed(fault) => fault.fmt(f),
            Self::Json(broken, None) => broken.fmt(f),
            Self::Json(broken, Some(codecs)) => write!(f, "{broken} (in its {codecs} content)"),
        }
    }
}

/// Returns the text of one object.
pub struct TextSource {
    unpacker: Option<Unpacker>,
    records: Option<Records>,
    /// The lines of the records in the last block.
    lines: Vec<u8>,
    /// The first bytes of the text that the records are in.
    head: Vec<u8>,
}

impl TextSource {
    #[must_use]
    pub fn new(form: &TextForm) -> Self {
        Self {
            unpacker: form.codec.map(Unpacker::new),
            records: form.records.clone().map(Records::new),
            lines: Vec::new(),
            head: Vec::new(),
        }
    }

    /// Returns the first bytes of the text that the records are in, as far as they are kept. There
    /// are none without records.
    #[must_use]
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// Returns the codecs of a packed object, as far as they are known.
    #[must_use]
    pub fn codecs(&self) -> Option<Codecs> {
        self.unpacker.as_ref().map(Unpacker::codecs)
    }

    /// Returns the memory that the decoders may take.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        self.unpacker.as_ref().map_or(0, Unpacker::memory_bytes)
    }

    /// Allows the decoder of a fault to take the memory that it needs.
    pub fn allow(&mut self, memory_bytes: u64) {
        if let Some(unpacker) = &mut self.unpacker {
            unpacker.allow(memory_bytes);
        }
    }

    /// Returns the next block of text, like [`Unpacker::next`]. Lines of records make a block up to
    /// twice as long.
    ///
    /// # Errors
    /// The errors of [`Unpacker::next`]; JSON that is broken.
    pub fn next(&mut self, bytes: &mut &[u8]) -> Result<&[u8], TextFault> {
        self.advance(bytes, false)
    }

    /// Returns the next block of text after the last bytes, like [`Unpacker::finish`].
    ///
    /// # Errors
    /// The errors of [`Unpacker::finish`]; JSON that ends too early.
    pub fn finish(&mut self) -> Result<&[u8], TextFault> {
        self.advance(&mut &[][..], true)
    }

    fn advance(&mut self, bytes: &mut &[u8], is_end: bool) -> Result<&[u8], TextFault> {
        let Self { unpacker, records, lines, head } = self;
        lines.clear();
        let Some(records) = records else {
            return match unpacker {
                Some(unpacker) => unpacked(unpacker, bytes, is_end),
                None => {
                    lines.extend_from_slice(take_block(bytes));
                    Ok(lines)
                }
            };
        };
        loop {
            let codecs = unpacker.as_ref().map(Unpacker::codecs);
            let broken = |broken| TextFault::Json(broken, codecs);
            let block = match unpacker {
                Some(unpacker) => unpacked(unpacker, bytes, is_end)?,
                None => take_block(bytes),
            };
            if block.is_empty() {
                if is_end {
                    records.finish().map_err(broken)?;
                }
                return Ok(&[]);
            }
            let missing = RECORDS_HEAD_BYTES.saturating_sub(head.len());
            head.extend_from_slice(&block[..block.len().min(missing)]);
            records.read(block, lines).map_err(broken)?;
            if !lines.is_empty() {
                return Ok(lines);
            }
        }
    }
}

/// Returns the next block that the bytes unpack to.
fn unpacked<'block>(
    unpacker: &'block mut Unpacker,
    bytes: &mut &[u8],
    is_end: bool,
) -> Result<&'block [u8], TextFault> {
    let block = if is_end { unpacker.finish() } else { unpacker.next(bytes) };
    block.map_err(TextFault::Packed)
}

fn take_block<'bytes>(bytes: &mut &'bytes [u8]) -> &'bytes [u8] {
    let (block, rest) = bytes.split_at(bytes.len().min(BLOCK_BYTES));
    *bytes = rest;
    block
}
