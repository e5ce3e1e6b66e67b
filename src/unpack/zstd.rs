//! The decoder of zstd: frames one after the other, among them such as are to be skipped.
//!
//! The header of a frame is read here first, because it tells how much memory the frame needs.

use zstd::zstd_safe::{DCtx, InBuffer, OutBuffer};

use super::decode::{Decode, Progress, Trouble, is_skippable, little_endian, may_begin_frame};

const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const FOREIGN: Trouble = Trouble::Damaged("is followed by bytes that are no zstd data");
/// The memory beside the window: the tables, and the buffers of two blocks.
const OVERHEAD_BYTES: u64 = 512 * 1024;
/// The memory that most small frames need in all.
const FIRST_BYTES: u64 = OVERHEAD_BYTES + 512 * 1024;

enum State {
    /// The next bytes are the header of a frame.
    Header,
    /// The header is complete, but the decoder has not got all of it.
    HeaderRead {
        given: usize,
    },
    Frame,
    Skip {
        left: u64,
    },
}

pub(super) struct Zstd {
    /// `None` if there is no memory for it.
    context: Option<DCtx<'static>>,
    state: State,
    header: Vec<u8>,
    is_first: bool,
    memory_bytes: u64,
}

impl Zstd {
    pub(super) fn new() -> Self {
        Self {
            context: DCtx::try_create(),
            state: State::Header,
            header: Vec::new(),
            is_first: true,
            memory_bytes: FIRST_BYTES,
        }
    }

    fn header(&mut self, packed: &[u8]) -> Result<Progress, Trouble> {
        let missing = header_bytes(&self.header).saturating_sub(self.header.len());
        if missing > 0 {
            let taken = missing.min(packed.len());
            self.header.extend_from_slice(&packed[..taken]);
            return Ok(Progress { consumed: taken, produced: 0 });
        }
        if is_skippable(&self.header) {
            let left = little_endian(&self.header[4..8]);
            self.header.clear();
            (self.state, self.is_first) = (State::Skip { left }, false);
            return Ok(Progress::default());
        }
        if self.header[..4] != MAGIC {
            return Err(FOREIGN);
        }
        let needed_bytes = window_bytes(&self.header) + OVERHEAD_BYTES;
        if needed_bytes > self.memory_bytes {
            return Err(Trouble::NeedsMemory(needed_bytes));
        }
        self.state = State::HeaderRead { given: 0 };
        Ok(Progress::default())
    }

    fn frame(&mut self, packed: &[u8], text: &mut [u8]) -> Result<Progress, Trouble> {
        let context =
            self.context.as_mut().ok_or(Trouble::Damaged("cannot be unpacked without memory"))?;
        let mut input = InBuffer::around(packed);
        let mut output = OutBuffer::around(text);
        let hint = context
            .decompress_stream(&mut output, &mut input)
            .map_err(|_| Trouble::Damaged("is damaged"))?;
        let progress = Progress { consumed: input.pos(), produced: output.pos() };
        if hint == 0 {
            self.header.clear();
            (self.state, self.is_first) = (State::Header, false);
        }
        Ok(progress)
    }
}

impl Decode for Zstd {
    fn decode(&mut self, packed: &[u8], text: &mut [u8]) -> Result<Progress, Trouble> {
        loop {
            match self.state {
                State::Header => {
                    let progress = self.header(packed)?;
                    if progress.consumed > 0 || matches!(self.state, State::Header) {
                        return Ok(progress);
                    }
                }
                State::HeaderRead { given } => {
                    let header = std::mem::take(&mut self.header);
                    let progress = self.frame(&header[given..], text);
                    let given = given + progress.as_ref().map_or(0, |progress| progress.consumed);
                    // A frame does not end in its header.
                    self.header = header;
                    self.state = if given == self.header.len() {
                        State::Frame
                    } else {
                        State::HeaderRead { given }
                    };
                    progress?;
                }
                State::Frame => return self.frame(packed, text),
                State::Skip { left } => {
                    let taken = left.min(packed.len() as u64);
                    let left = left - taken;
                    self.state = if left == 0 { State::Header } else { State::Skip { left } };
                    let consumed = usize::try_from(taken).unwrap_or(usize::MAX);
                    if consumed > 0 || left > 0 {
                        return Ok(Progress { consumed, produced: 0 });
                    }
                }
            }
        }
    }

    fn finish(&mut self) -> Result<(), Trouble> {
        if matches!(self.state, State::Header) && !self.is_first {
            if self.header.is_empty() {
                return Ok(());
            }
            if !may_begin_frame(&self.header[..self.header.len().min(4)], &MAGIC) {
                return Err(FOREIGN);
            }
        }
        Err(Trouble::Damaged("ends too early"))
    }

    fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }

    fn allow(&mut self, memory_bytes: u64) {
        self.memory_bytes = memory_bytes;
    }
}

/// Returns how many bytes of the header are needed to know more of it, or its length.
fn header_bytes(header: &[u8]) -> usize {
    if header.len() < 4 || header[..4] != MAGIC {
        return if is_skippable(header) { 8 } else { 4 };
    }
    let Some(&descriptor) = header.get(4) else { return 5 };
    let is_single_segment = descriptor & 0x20 != 0;
    let dictionary_bytes = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let size_bytes = match descriptor >> 6 {
        0 => usize::from(is_single_segment),
        1 => 2,
        2 => 4,
        _ => 8,
    };
    5 + usize::from(!is_single_segment) + dictionary_bytes + size_bytes
}

/// Returns the size of the window that a complete header asks for.
fn window_bytes(header: &[u8]) -> u64 {
    let descriptor = header[4];
    if descriptor & 0x20 == 0 {
        let exponent = u32::from(header[5] >> 3);
        let base = 1_u64 << (10 + exponent);
        return base + base / 8 * u64::from(header[5] & 7);
    }
    // A frame in one segment is its own window.
    let dictionary_bytes = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let size = little_endian(&header[5 + dictionary_bytes..]);
    if descriptor >> 6 == 1 { size + 256 } else { size }
}
