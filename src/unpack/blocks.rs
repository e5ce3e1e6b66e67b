//! The part that decoders of blocks with lengths have in common: lz4 and snappy.

use super::decode::{Decode, Progress, Trouble};

/// A format that consists of fields whose lengths are known before they arrive.
pub(super) trait BlockFormat: Send {
    /// Returns the length of the next field.
    fn needed_bytes(&self) -> usize;

    /// Returns the memory that the next field needs, with its text.
    fn needed_memory_bytes(&self) -> u64;

    /// Reads a field and writes its text, if it has any, to the beginning of `text`. Returns the
    /// length of the text.
    fn take(&mut self, field: &[u8], text: &mut Vec<u8>) -> Result<usize, Trouble>;

    /// Returns true if the data may end here.
    fn may_end(&self) -> bool;

    /// Returns the trouble if bytes that are too few for a field, after an end, cannot begin
    /// anything that may follow there. A format that cannot tell returns `None`.
    fn foreign(&self, _bytes: &[u8]) -> Option<Trouble> {
        None
    }
}

/// The memory that the smaller kinds of blocks need.
const FIRST_BYTES: u64 = 512 * 1024;

pub(super) struct Blocks<F> {
    format: F,
    field: Vec<u8>,
    text: Vec<u8>,
    /// The text that has not been passed on.
    ready: std::ops::Range<usize>,
    memory_bytes: u64,
}

impl<F: BlockFormat> Blocks<F> {
    pub(super) fn new(format: F) -> Self {
        let (field, text) = (Vec::new(), Vec::new());
        Self { format, field, text, ready: 0..0, memory_bytes: FIRST_BYTES }
    }
}

impl<F: BlockFormat> Decode for Blocks<F> {
    fn decode(&mut self, packed: &[u8], text: &mut [u8]) -> Result<Progress, Trouble> {
        if !self.ready.is_empty() {
            let produced = self.ready.len().min(text.len());
            let from = self.ready.start;
            text[..produced].copy_from_slice(&self.text[from..from + produced]);
            self.ready.start += produced;
            return Ok(Progress { consumed: 0, produced });
        }
        if self.format.needed_memory_bytes() > self.memory_bytes {
            return Err(Trouble::NeedsMemory(self.format.needed_memory_bytes()));
        }
        let needed = self.format.needed_bytes();
        let missing = needed.saturating_sub(self.field.len());
        if missing > packed.len() {
            self.field.extend_from_slice(packed);
            return Ok(Progress { consumed: packed.len(), produced: 0 });
        }
        // An error must leave the field as it is, so that it comes again.
        let had = self.field.len();
        self.field.extend_from_slice(&packed[..missing]);
        match self.format.take(&self.field, &mut self.text) {
            Ok(length) => {
                self.field.clear();
                self.ready = 0..length;
            }
            Err(trouble) => {
                self.field.truncate(had);
                return Err(trouble);
            }
        }
        if self.ready.is_empty() {
            return Ok(Progress { consumed: missing, produced: 0 });
        }
        let Progress { produced, .. } = self.decode(&[], text)?;
        Ok(Progress { consumed: missing, produced })
    }

    fn finish(&mut self) -> Result<(), Trouble> {
        if self.field.is_empty() && self.ready.is_empty() && self.format.may_end() {
            return Ok(());
        }
        let foreign = if self.format.may_end() { self.format.foreign(&self.field) } else { None };
        Err(foreign.unwrap_or(Trouble::Damaged("ends too early")))
    }

    fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }

    fn allow(&mut self, memory_bytes: u64) {
        self.memory_bytes = memory_bytes;
    }
}
