//! The destination of a download's blocks: hashed as they come, unpacked if they are packed, and
//! written, checked and observed as text.

use super::area::Space;
use super::checksum::Hasher;
use super::observer::{ByteObserver, FileDecoder};
use super::signature::TAIL_BYTES;
use super::slot::StagingSlot;
use super::text_check::TextCheck;
use crate::error::{Error, ErrorKind, Result};
use crate::file_slice::FileSlice;
use crate::object::Object;
use crate::unpack::{Codec, Codecs, HEAD_BYTES, TextForm, TextSource};

/// The result of a look at the first bytes of an object.
enum Packing {
    /// They have not all arrived.
    Unknown(Vec<u8>),
    Plain,
    /// The text is not that of the object.
    Packed(Box<TextSource>),
    /// The object is no text, and is decoded when all of it is there.
    Whole,
    /// The text is what the object was decoded into.
    Decoded,
}

/// The destination of the blocks.
pub(super) struct BlockSink<W> {
    pub(super) space: Space,
    pub(super) hasher: Option<Hasher>,
    pub(super) watch: W,
    packing: Packing,
    /// The bytes of text so far.
    written_bytes: u64,
    /// The observer's error, kept until it is clear if the object is text at all.
    refusal: Option<Error>,
    text: TextCheck,
}

impl<W: ByteObserver> BlockSink<W> {
    pub(super) fn new(space: Space, watch: W) -> Self {
        let text = TextCheck::new(watch.expected_text());
        let packing = Packing::Unknown(Vec::new());
        Self { space, hasher: None, watch, packing, written_bytes: 0, refusal: None, text }
    }

    /// Returns true if the observer needs no more bytes.
    pub(super) fn is_satisfied(&self) -> bool {
        self.refusal.is_none() && self.watch.is_satisfied()
    }

    pub(super) fn take(&mut self, object: &Object, block: &[u8]) -> Result<()> {
        if let Some(hasher) = &mut self.hasher {
            hasher.update(block);
        }
        let mut block = block;
        let begun;
        if let Packing::Unknown(head) = &mut self.packing {
            if head.len() + block.len() < HEAD_BYTES {
                head.extend_from_slice(block);
                return Ok(());
            }
            if !head.is_empty() {
                begun = [head, block].concat();
                block = &begun;
            }
            self.begin(object, &block[..HEAD_BYTES], false)?;
        }
        self.take_begun(object, block)
    }

    /// Decides by the first bytes if the object is packed.
    fn begin(&mut self, object: &Object, head: &[u8], is_whole: bool) -> Result<()> {
        if let Some(decoder) = self.watch.decoder() {
            let (magic, name) = decoder.magic();
            if !head.starts_with(magic) {
                return Err(TextCheck::other_than(object, head, name));
            }
            self.space.keep_for_text(object);
            self.packing = Packing::Whole;
            return Ok(());
        }
        let form = TextForm { codec: Codec::of(head, is_whole), records: self.watch.records() };
        self.packing = if form.is_plain() {
            Packing::Plain
        } else {
            let source = Box::new(TextSource::new(&form));
            self.space.remember(object, source.memory_bytes())?;
            Packing::Packed(source)
        };
        Ok(())
    }

    fn take_begun(&mut self, object: &Object, block: &[u8]) -> Result<()> {
        match std::mem::replace(&mut self.packing, Packing::Plain) {
            Packing::Packed(mut unpacker) => {
                let taken = self.unpack(object, &mut unpacker, block, false);
                self.packing = Packing::Packed(unpacker);
                taken
            }
            Packing::Whole => {
                self.packing = Packing::Whole;
                self.space.write(object, block, self.written_bytes)?;
                self.written_bytes += block.len() as u64;
                Ok(())
            }
            _ => {
                self.space.write(object, block, self.written_bytes)?;
                self.take_text(object, block)
            }
        }
    }

    /// Unpacks `packed`, or what is left in the decoders at the end.
    fn unpack(
        &mut self,
        object: &Object,
        unpacker: &mut TextSource,
        mut packed: &[u8],
        is_end: bool,
    ) -> Result<()> {
        // A sample may be all that is wanted of a large text.
        while !self.is_satisfied() {
            let block = if is_end { unpacker.finish() } else { unpacker.next(&mut packed) };
            let fault = match block {
                Ok([]) => break,
                Ok(block) => {
                    self.space.grow(object, block, self.written_bytes)?;
                    let taken = self.take_text(object, block);
                    let codecs = unpacker.codecs();
                    taken.map_err(|error| inside(error, codecs))?;
                    continue;
                }
                Err(fault) => fault,
            };
            if fault.needed_memory().is_none()
                && let Some(refusal) = self.refusal.take()
            {
                return Err(self.located(object, refusal));
            }
            if fault.is_of_json()
                && let Some(error) = self.text.broken_json(object, unpacker.head())
            {
                return Err(inside(error, unpacker.codecs()));
            }
            self.space.allow(object, unpacker, &fault)?;
        }
        Ok(())
    }

    /// Looks at the next bytes of text, which are on disk.
    fn take_text(&mut self, object: &Object, block: &[u8]) -> Result<()> {
        self.written_bytes += block.len() as u64;
        // Before the observer, which would report another format as malformed text.
        self.text.feed(object, block)?;
        if let Some(refusal) = self.refusal.take() {
            if !self.text.is_open() {
                return Err(self.located(object, refusal));
            }
            self.refusal = Some(refusal);
            return Ok(());
        }
        match self.watch.feed(block) {
            // Rare enough to fetch the rest only to name the format.
            Err(refusal) if self.text.is_open() => {
                self.refusal = Some(refusal);
                Ok(())
            }
            fed => fed.map_err(|refusal| self.located(object, refusal)),
        }
    }

    fn located(&self, object: &Object, refusal: Error) -> Error {
        match self.space.received(object, self.written_bytes) {
            Ok(received) => self.watch.locate(refusal, &received),
            Err(_) => refusal,
        }
    }

    /// Completes the text after the last byte of the object has been verified.
    pub(super) fn finish(&mut self, object: &Object) -> Result<()> {
        if let Packing::Unknown(head) = &mut self.packing {
            let head = std::mem::take(head);
            self.begin(object, &head, true)?;
            self.take_begun(object, &head)?;
        }
        match std::mem::replace(&mut self.packing, Packing::Plain) {
            Packing::Packed(mut unpacker) => {
                let finished = self.unpack(object, &mut unpacker, &[], true);
                self.packing = Packing::Packed(unpacker);
                finished
            }
            other => {
                self.packing = other;
                Ok(())
            }
        }
    }

    /// Returns the whole object, if it is to be decoded.
    pub(super) fn whole(&self, object: &Object) -> Result<Option<FileSlice>> {
        match self.packing {
            Packing::Whole => self.space.received(object, object.size_bytes).map(Some),
            _ => Ok(None),
        }
    }

    /// Decodes the whole object. Its text takes its place.
    pub(super) fn decode(&mut self, object: &Object, decoder: &mut dyn FileDecoder) -> Result<()> {
        let text_space = self.space.text_beside(object)?;
        let whole = std::mem::replace(&mut self.space, text_space);
        self.packing = Packing::Decoded;
        self.written_bytes = 0;
        let rows = decoder.decode(&mut |block| {
            self.space.grow(object, block, self.written_bytes)?;
            self.written_bytes += block.len() as u64;
            self.watch.feed(block).map_err(|refusal| self.located(object, refusal))?;
            Ok(!self.watch.is_satisfied())
        });
        drop(whole);
        self.watch.expect_rows(rows?);
        Ok(())
    }

    fn codecs(&self) -> Option<Codecs> {
        match &self.packing {
            Packing::Packed(unpacker) => unpacker.codecs(),
            _ => None,
        }
    }

    /// Decides if the staged bytes are text. `is_whole` means that all of the object has been fed.
    pub(super) fn check_text(&mut self, object: &Object, is_whole: bool) -> Result<()> {
        if matches!(self.packing, Packing::Decoded) {
            // What was decoded is text, whatever its first bytes are.
            return Ok(());
        }
        let codecs = self.codecs();
        let named = |error| inside(error, codecs);
        let tail = if is_whole && self.text.needs_tail() { Some(self.tail(object)?) } else { None };
        self.text.finish(object, is_whole, tail.as_deref()).map_err(named)?;
        match self.refusal.take() {
            Some(refusal) => Err(named(self.located(object, refusal))),
            None => Ok(()),
        }
    }

    /// Reads the last bytes of the text.
    fn tail(&self, object: &Object) -> Result<Vec<u8>> {
        let size_bytes = self.written_bytes;
        let mut tail = vec![0; TAIL_BYTES.min(usize::try_from(size_bytes).unwrap_or(TAIL_BYTES))];
        let file = self.space.received(object, size_bytes)?;
        let from = size_bytes - tail.len() as u64;
        file.read_exact_at(&mut tail, from).map_err(|error| {
            Error::new(ErrorKind::StagingFailed, format!("{object}: cannot be read back"))
                .caused_by(error)
        })?;
        Ok(tail)
    }

    /// Gives back what the text does not need.
    pub(super) fn settle(&mut self, object: &Object) -> Result<()> {
        let size_bytes = match self.packing {
            Packing::Packed(_) | Packing::Decoded => self.written_bytes,
            Packing::Unknown(_) | Packing::Plain | Packing::Whole => object.size_bytes,
        };
        self.space.settle(object, size_bytes)
    }

    /// Returns the observer, the slot of the text with its length, and the codecs.
    pub(super) fn into_staged(
        self,
        object: &Object,
    ) -> Result<(W, StagingSlot, u64, Option<Codecs>)> {
        let codecs = self.codecs();
        Ok((self.watch, self.space.into_slot(object)?, self.written_bytes, codecs))
    }
}

/// Says that an error is about the text inside a packed object, which its lines and offsets count.
pub(super) fn inside(error: Error, codecs: Option<Codecs>) -> Error {
    match (error.kind, codecs) {
        (ErrorKind::Malformed | ErrorKind::UnsupportedFormat, Some(codecs)) => {
            error.adding(&format!(" (in its {codecs} content)"))
        }
        _ => error,
    }
}
