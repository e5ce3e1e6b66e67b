//! The text of an object that is split: its bytes as they come, or what they unpack to.
//!
//! A packed object is always read from its beginning. The text before the part that is wanted is
//! dropped, and so is the text after the end of the range that is wanted.

use std::collections::VecDeque;

use bytes::Bytes;

use super::area::refused;
use super::checksum::Hasher;
use crate::error::Result;
use crate::object::{ChecksumAlgorithm, Object};
use crate::unpack::{Codecs, MAX_MEMORY_BYTES, TextFault, TextForm, TextSource};

/// The text of a range of an object.
pub(super) struct PartText {
    /// Bytes of the object that have not been looked at.
    raw: VecDeque<Bytes>,
    /// No bytes follow `raw`.
    has_ended: bool,
    packed: Option<Unpacking>,
}

struct Unpacking {
    unpacker: TextSource,
    /// The packed bytes that are being unpacked.
    current: Bytes,
    /// The checksum of all packed bytes so far.
    running: Option<Hasher>,
    dropped_bytes: u64,
    left_bytes: u64,
    /// The first bytes of the text, as far as they are wanted.
    head: Vec<u8>,
    head_bytes: usize,
}

/// The next text, or what is needed for it.
pub(super) enum TextStep {
    Text(Bytes),
    WantsBytes,
    /// The decoders need this much memory in all, after which [`PartText::allow`] goes on.
    WantsMemory(u64),
    Ended,
}

impl PartText {
    pub(super) fn plain() -> Self {
        Self { raw: VecDeque::new(), has_ended: false, packed: None }
    }

    /// Creates the text from `from` to `end` of a packed object, which must be fed from its
    /// beginning. The first `head_bytes` of its text are kept.
    pub(super) fn packed(
        form: &TextForm,
        algorithm: Option<ChecksumAlgorithm>,
        (from, end): (u64, u64),
        head_bytes: u64,
    ) -> Self {
        let unpacking = Unpacking {
            unpacker: TextSource::new(form),
            current: Bytes::new(),
            running: algorithm.map(Hasher::new),
            dropped_bytes: from,
            left_bytes: end.saturating_sub(from),
            head: Vec::new(),
            head_bytes: usize::try_from(head_bytes.min(from)).unwrap_or(usize::MAX),
        };
        Self { packed: Some(unpacking), ..Self::plain() }
    }

    pub(super) fn push(&mut self, bytes: Vec<Bytes>) {
        self.raw.extend(bytes);
    }

    /// Says that no more bytes follow.
    pub(super) fn end(&mut self) {
        self.has_ended = true;
    }

    /// Returns the next text.
    ///
    /// # Errors
    /// `Malformed` if the packed bytes are damaged.
    pub(super) fn next(&mut self, object: &Object) -> Result<TextStep> {
        let Self { raw, has_ended, packed: Some(unpacking) } = self else {
            return Ok(match self.raw.pop_front() {
                Some(text) => TextStep::Text(text),
                None if self.has_ended => TextStep::Ended,
                None => TextStep::WantsBytes,
            });
        };
        while unpacking.left_bytes > 0 {
            let mut is_end = false;
            if unpacking.current.is_empty() {
                match raw.pop_front() {
                    Some(next) => {
                        if let Some(running) = &mut unpacking.running {
                            running.update(&next);
                        }
                        unpacking.current = next;
                    }
                    None if *has_ended => is_end = true,
                    None => return Ok(TextStep::WantsBytes),
                }
            }
            match unpacking.next(is_end) {
                Ok(Some(text)) if text.is_empty() => {}
                Ok(Some(text)) => return Ok(TextStep::Text(text)),
                Ok(None) if is_end => return Ok(TextStep::Ended),
                Ok(None) => {}
                Err(fault) => match fault.needed_memory() {
                    Some(bytes) if bytes <= MAX_MEMORY_BYTES => {
                        return Ok(TextStep::WantsMemory(bytes));
                    }
                    _ => return Err(refused(object, &fault)),
                },
            }
        }
        Ok(TextStep::Ended)
    }

    /// Allows the decoder that needs it this much memory.
    pub(super) fn allow(&mut self, memory_bytes: u64) {
        if let Some(unpacking) = &mut self.packed {
            unpacking.unpacker.allow(memory_bytes);
        }
    }

    /// Returns the memory that the decoders may take.
    pub(super) fn memory_bytes(&self) -> u64 {
        self.packed.as_ref().map_or(0, |unpacking| unpacking.unpacker.memory_bytes())
    }

    pub(super) fn codecs(&self) -> Option<Codecs> {
        self.packed.as_ref()?.unpacker.codecs()
    }

    /// Returns the first bytes of a packed object's text, if all that are wanted have been seen.
    pub(super) fn head(&self) -> Option<&[u8]> {
        let unpacking = self.packed.as_ref()?;
        let is_whole = unpacking.head.len() == unpacking.head_bytes;
        (is_whole && !unpacking.head.is_empty()).then_some(&unpacking.head)
    }

    /// Returns the checksum of a packed object, all of which has been read.
    pub(super) fn checksum(&self) -> Option<String> {
        self.packed.as_ref()?.running.clone().map(Hasher::finish)
    }
}

impl Unpacking {
    /// Returns the next text that is wanted, which may be empty; `None` if all packed bytes are
    /// unpacked.
    fn next(&mut self, is_end: bool) -> std::result::Result<Option<Bytes>, TextFault> {
        let mut rest = &self.current[..];
        let had = rest.len();
        let block = if is_end { self.unpacker.finish() } else { self.unpacker.next(&mut rest) };
        let consumed = had - rest.len();
        let text = match block {
            Ok([]) => None,
            Ok(block) => {
                let missing = self.head_bytes - self.head.len();
                self.head.extend_from_slice(&block[..block.len().min(missing)]);
                let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
                let dropped = block.len().min(size(self.dropped_bytes));
                let wanted = &block[dropped..];
                let wanted = &wanted[..wanted.len().min(size(self.left_bytes))];
                self.dropped_bytes -= dropped as u64;
                self.left_bytes -= wanted.len() as u64;
                Some(Bytes::copy_from_slice(wanted))
            }
            Err(fault) => {
                let _ = self.current.split_to(consumed);
                return Err(fault);
            }
        };
        let _ = self.current.split_to(consumed);
        Ok(text)
    }
}
