//! The decoder of xz: streams and padding one after the other. Each stream is unpacked by liblzma.

use liblzma::stream::{Action, Error, Status, Stream, TELL_UNSUPPORTED_CHECK};

use super::decode::{Decode, Progress, Trouble};

/// The memory beside the dictionary.
const OVERHEAD_BYTES: u64 = 2 << 20;
/// The default preset, `-6`, has a dictionary of 8 MiB.
const FIRST_BYTES: u64 = (8 << 20) + OVERHEAD_BYTES;
/// The first byte of a stream.
const FIRST_BYTE: u8 = 0xfd;
/// Zeros after a stream come in groups of this size.
const PADDING_BYTES: usize = 4;

const FOREIGN: Trouble = Trouble::Damaged("is followed by bytes that are no xz data");
const WRONG_PADDING: Trouble = Trouble::Damaged("has zeros after a stream that are not in fours");

pub(super) struct Xz {
    /// `None` before and after each stream.
    stream: Option<Stream>,
    is_first: bool,
    /// The number of zeros after the last stream, without whole groups.
    padding_bytes: usize,
    /// The error of liblzma, which returns it only once.
    trouble: Option<Trouble>,
    memory_bytes: u64,
}

impl Xz {
    pub(super) fn new() -> Self {
        Self {
            stream: None,
            is_first: true,
            padding_bytes: 0,
            trouble: None,
            memory_bytes: FIRST_BYTES,
        }
    }

    /// Passes over padding, or begins a stream.
    fn between(&mut self, packed: &[u8]) -> Result<Progress, Trouble> {
        let zeros = packed.iter().take_while(|byte| **byte == 0 && !self.is_first).count();
        if zeros > 0 {
            self.padding_bytes = (self.padding_bytes + zeros) % PADDING_BYTES;
            return Ok(Progress { consumed: zeros, produced: 0 });
        }
        match packed.first() {
            None => return Ok(Progress::default()),
            Some(&FIRST_BYTE) if self.padding_bytes != 0 => return Err(WRONG_PADDING),
            Some(&FIRST_BYTE) => {}
            Some(_) => return Err(FOREIGN),
        }
        // Without the flag, bytes that no checksum covers would pass as verified.
        let stream = Stream::new_stream_decoder(self.memory_bytes, TELL_UNSUPPORTED_CHECK);
        self.stream = Some(stream.map_err(|error| self.trouble_of(error))?);
        Ok(Progress::default())
    }

    fn trouble_of(&self, error: Error) -> Trouble {
        match error {
            Error::Format if !self.is_first => FOREIGN,
            Error::MemLimit => {
                let dictionary_bytes = self.memory_bytes - OVERHEAD_BYTES;
                Trouble::NeedsMemory(2 * dictionary_bytes + OVERHEAD_BYTES)
            }
            Error::Options | Error::UnsupportedCheck => {
                Trouble::Damaged("has options that liblzma does not know")
            }
            Error::Mem => Trouble::Damaged("cannot be unpacked without memory"),
            _ => Trouble::Damaged("is damaged"),
        }
    }
}

impl Decode for Xz {
    fn decode(&mut self, packed: &[u8], text: &mut [u8]) -> Result<Progress, Trouble> {
        if let Some(trouble) = &self.trouble {
            return Err(trouble.clone());
        }
        if self.stream.is_none() {
            let progress = self.between(packed)?;
            if self.stream.is_none() {
                return Ok(progress);
            }
        }
        let Some(stream) = &mut self.stream else { return Ok(Progress::default()) };
        let (had_in, had_out) = (stream.total_in(), stream.total_out());
        let status = stream.process(packed, text, Action::Run);
        let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let progress = Progress {
            consumed: size(stream.total_in() - had_in),
            produced: size(stream.total_out() - had_out),
        };
        match status {
            Ok(Status::StreamEnd) => {
                (self.stream, self.is_first, self.padding_bytes) = (None, false, 0);
            }
            Ok(_) => {}
            Err(error) => {
                let trouble = self.trouble_of(error);
                // Nothing but a limit on memory can be mended.
                if !matches!(trouble, Trouble::NeedsMemory(_)) {
                    self.trouble = Some(trouble.clone());
                }
                if progress == Progress::default() {
                    return Err(trouble);
                }
            }
        }
        Ok(progress)
    }

    fn finish(&mut self) -> Result<(), Trouble> {
        match &self.trouble {
            Some(trouble) => Err(trouble.clone()),
            None if self.stream.is_some() || self.is_first => {
                Err(Trouble::Damaged("ends too early"))
            }
            None if self.padding_bytes != 0 => Err(WRONG_PADDING),
            None => Ok(()),
        }
    }

    fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }

    fn allow(&mut self, memory_bytes: u64) {
        self.memory_bytes = memory_bytes;
        if let Some(stream) = &mut self.stream {
            // It refuses a limit below what it needs now, and then asks again.
            let _ = stream.set_memlimit(memory_bytes);
        }
    }
}
