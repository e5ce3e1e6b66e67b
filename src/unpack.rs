//! Unpacks compressed objects while their bytes arrive.
//!
//! An object is packed if its first bytes say so; its name and its headers prove nothing. What is
//! packed twice is unpacked twice, as some log pipelines compress what is compressed already. A
//! third layer is left as it is.
//!
//! The [`Unpacker`] takes packed bytes and returns blocks of text of at most [`BLOCK_BYTES`],
//! however far the bytes expand. So its caller can stop in the middle of a compression bomb. An
//! object is whole only after [`Unpacker::finish`]: the last member, frame or stream must be
//! complete, with the length and the checksum that it claims to have.
//!
//! A decoder takes no more memory than it is allowed. If a header asks for more, the unpacker says
//! so before it allocates anything ([`Trouble::NeedsMemory`]), and goes on after
//! [`Unpacker::allow`].
//!
//! The [`TextSource`] is an unpacker, and puts the records of a JSON document on lines, if there is
//! one.
//!
//! Pure, without I/O.

mod blocks;
mod bzip2;
mod codec;
mod decode;
mod gzip;
mod lz4;
mod records;
mod snappy;
#[cfg(test)]
mod tests;
mod text_source;
mod xz;
mod zstd;

use std::fmt::{Display, Formatter};

pub use codec::{Codec, HEAD_BYTES};
use decode::{Decode, Progress};
pub use decode::{MAX_MEMORY_BYTES, Trouble};
pub use records::{BrokenJson, RecordsAt};
pub use text_source::{TextFault, TextForm, TextSource};

/// The size limit of one block of text: small enough to stay in the processor's cache until it is
/// written and split.
pub const BLOCK_BYTES: usize = 128 * 1024;
/// The codecs of an object, in the order in which they are unpacked: "gzip", or "gzip+gzip".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Codecs {
    pub outer: Codec,
    pub inner: Option<Codec>,
}

impl Display for Codecs {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.outer)?;
        match self.inner {
            Some(inner) => write!(f, "+{inner}"),
            None => Ok(()),
        }
    }
}

impl serde::Serialize for Codecs {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A trouble, with its codec and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub trouble: Trouble,
    pub codecs: Codecs,
    /// The codec that has the trouble.
    pub codec: Codec,
    /// The offset in the bytes of that codec.
    pub offset: u64,
}

impl Display for Fault {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let Self { codec, offset, .. } = self;
        let place = if self.codecs.inner == Some(*codec) && self.codecs.outer != *codec {
            format!(
                "inside its {} content, at byte {offset} of the {codec} data",
                self.codecs.outer
            )
        } else {
            format!("at byte {offset} of the {codec} data")
        };
        match &self.trouble {
            Trouble::Damaged(how) => write!(f, "its {codec} data {how} ({place})"),
            Trouble::NeedsMemory(bytes) => write!(
                f,
                "its {codec} data needs {} MiB of memory to be unpacked, more than the {} MiB that \
                 are allowed ({place})",
                bytes.div_ceil(1 << 20),
                MAX_MEMORY_BYTES >> 20
            ),
        }
    }
}

/// One codec of an object.
struct Layer {
    codec: Codec,
    decoder: Box<dyn Decode>,
    consumed_bytes: u64,
    /// The last block was full, so more may come without further bytes.
    has_more: bool,
}

impl Layer {
    fn new(codec: Codec) -> Self {
        Self { codec, decoder: codec.decoder(), consumed_bytes: 0, has_more: false }
    }

    /// Returns the number of bytes that are produced; 0 if more packed bytes are needed.
    fn decode(&mut self, packed: &mut &[u8], text: &mut [u8]) -> Result<usize, Trouble> {
        while self.has_more || !packed.is_empty() {
            let Progress { consumed, produced } = self.decoder.decode(packed, text)?;
            *packed = packed.get(consumed..).unwrap_or_default();
            self.consumed_bytes += consumed as u64;
            self.has_more = produced == text.len();
            if produced > 0 {
                return Ok(produced);
            }
            if consumed == 0 && !packed.is_empty() {
                return Err(Trouble::Damaged("cannot be unpacked any further"));
            }
        }
        Ok(0)
    }
}

/// The content of the outer layer.
enum Inner {
    /// Its first bytes have not all arrived.
    Unknown,
    Text,
    Packed(Layer),
}

/// Unpacks one object.
pub struct Unpacker {
    outer: Layer,
    inner: Inner,
    /// The output of the outer layer, as far as `middle` says.
    unpacked: Vec<u8>,
    middle: std::ops::Range<usize>,
    /// The output of the inner layer.
    text: Vec<u8>,
}

impl Unpacker {
    /// Creates an unpacker for an object that begins as `codec` does.
    #[must_use]
    pub fn new(codec: Codec) -> Self {
        Self {
            outer: Layer::new(codec),
            inner: Inner::Unknown,
            unpacked: vec![0; BLOCK_BYTES],
            middle: 0..0,
            text: Vec::new(),
        }
    }

    /// Returns the codecs, as far as they are known.
    #[must_use]
    pub fn codecs(&self) -> Codecs {
        let inner = match &self.inner {
            Inner::Packed(layer) => Some(layer.codec),
            Inner::Unknown | Inner::Text => None,
        };
        Codecs { outer: self.outer.codec, inner }
    }

    /// Returns the memory that the decoders may take.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        let inner = match &self.inner {
            Inner::Packed(layer) => layer.decoder.memory_bytes(),
            Inner::Unknown | Inner::Text => 0,
        };
        self.outer.decoder.memory_bytes() + inner
    }

    /// Allows the decoder of a fault to take the memory that it needs.
    pub fn allow(&mut self, memory_bytes: u64) {
        let inner = match &mut self.inner {
            Inner::Packed(layer) => Some(layer),
            Inner::Unknown | Inner::Text => None,
        };
        // Only one of them waits for memory, and the others do not need what they may take.
        for layer in inner.into_iter().chain([&mut self.outer]) {
            if layer.decoder.memory_bytes() < memory_bytes {
                layer.decoder.allow(memory_bytes);
            }
        }
    }

    /// Returns the next block of text, after it has taken what it needs off `packed`. An empty
    /// block means that all of `packed` is unpacked.
    ///
    /// # Errors
    /// Fails as soon as the bytes are known to be damaged. If it needs memory, it can be called
    /// again with the same bytes.
    pub fn next(&mut self, packed: &mut &[u8]) -> Result<&[u8], Fault> {
        self.advance(packed, false)
    }

    /// Returns the next block of text after the last packed bytes. An empty block means that the
    /// object is whole.
    ///
    /// # Errors
    /// Fails if the packed bytes are incomplete.
    pub fn finish(&mut self) -> Result<&[u8], Fault> {
        self.advance(&mut &[][..], true)
    }

    fn advance(&mut self, packed: &mut &[u8], is_end: bool) -> Result<&[u8], Fault> {
        loop {
            // Unpacked bytes come first that have not been passed on.
            let is_known = !matches!(self.inner, Inner::Unknown);
            if is_known && !self.middle.is_empty() || self.has_more_inside() {
                let middle = self.middle.clone();
                let Inner::Packed(layer) = &mut self.inner else {
                    self.middle = 0..0;
                    return Ok(&self.unpacked[middle]);
                };
                let mut rest = &self.unpacked[middle.clone()];
                let produced = layer.decode(&mut rest, &mut self.text);
                self.middle = middle.end - rest.len()..middle.end;
                match produced {
                    Ok(0) => continue,
                    Ok(produced) => return Ok(&self.text[..produced]),
                    Err(trouble) => return Err(self.inner_fault(trouble)),
                }
            }
            let kept = if is_known { 0 } else { self.middle.end };
            let decoded = self.outer.decode(packed, &mut self.unpacked[kept..]);
            let produced = decoded.map_err(|trouble| self.outer_fault(trouble))?;
            self.middle = 0..kept + produced;
            if !is_known && (self.middle.end >= HEAD_BYTES || produced == 0 && is_end) {
                self.inner = match Codec::of(&self.unpacked[self.middle.clone()], is_end) {
                    Some(codec) => Inner::Packed(Layer::new(codec)),
                    None => Inner::Text,
                };
                if matches!(self.inner, Inner::Packed(_)) {
                    self.text = vec![0; BLOCK_BYTES];
                }
                continue;
            }
            if produced > 0 {
                continue;
            }
            if is_end {
                let finished = self.outer.decoder.finish();
                finished.map_err(|trouble| self.outer_fault(trouble))?;
                if let Inner::Packed(layer) = &mut self.inner {
                    let finished = layer.decoder.finish();
                    finished.map_err(|trouble| self.inner_fault(trouble))?;
                }
            }
            return Ok(&[]);
        }
    }

    fn has_more_inside(&self) -> bool {
        matches!(&self.inner, Inner::Packed(layer) if layer.has_more)
    }

    fn outer_fault(&self, trouble: Trouble) -> Fault {
        let (codecs, Layer { codec, consumed_bytes, .. }) = (self.codecs(), &self.outer);
        Fault { trouble, codecs, codec: *codec, offset: *consumed_bytes }
    }

    fn inner_fault(&self, trouble: Trouble) -> Fault {
        match &self.inner {
            Inner::Packed(Layer { codec, consumed_bytes, .. }) => {
                Fault { trouble, codecs: self.codecs(), codec: *codec, offset: *consumed_bytes }
            }
            Inner::Unknown | Inner::Text => self.outer_fault(trouble),
        }
    }
}
