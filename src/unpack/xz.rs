//! The decoder of xz: streams and padding one after the other, by liblzma.

use liblzma::stream::{Action, CONCATENATED, Error, Status, Stream, TELL_UNSUPPORTED_CHECK};

use super::decode::{Decode, Progress, Trouble};

/// The memory beside the dictionary.
const OVERHEAD_BYTES: u64 = 2 << 20;
/// The default preset, `-6`, has a dictionary of 8 MiB.
const FIRST_BYTES: u64 = (8 << 20) + OVERHEAD_BYTES;

pub(super) struct Xz {
    /// `None` if liblzma could not be set up.
    stream: Option<Stream>,
    memory_bytes: u64,
    has_ended: bool,
}

impl Xz {
    pub(super) fn new() -> Self {
        // Without the first flag, bytes that no checksum covers would pass as verified.
        let flags = TELL_UNSUPPORTED_CHECK | CONCATENATED;
        let stream = Stream::new_stream_decoder(FIRST_BYTES, flags).ok();
        Self { stream, memory_bytes: FIRST_BYTES, has_ended: false }
    }

    fn run(&mut self, packed: &[u8], text: &mut [u8], action: Action) -> Result<Progress, Trouble> {
        let stream =
            self.stream.as_mut().ok_or(Trouble::Damaged("cannot be unpacked without memory"))?;
        let (had_in, had_out) = (stream.total_in(), stream.total_out());
        let status = stream.process(packed, text, action);
        let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let progress = Progress {
            consumed: size(stream.total_in() - had_in),
            produced: size(stream.total_out() - had_out),
        };
        match status {
            Ok(status) => {
                self.has_ended = status == Status::StreamEnd;
                Ok(progress)
            }
            // The error comes again when it is called again.
            Err(_) if progress != Progress::default() => Ok(progress),
            Err(Error::MemLimit) => {
                let dictionary_bytes = self.memory_bytes - OVERHEAD_BYTES;
                Err(Trouble::NeedsMemory(2 * dictionary_bytes + OVERHEAD_BYTES))
            }
            Err(Error::Options | Error::UnsupportedCheck) => {
                Err(Trouble::Damaged("has options that liblzma does not know"))
            }
            Err(Error::Mem) => Err(Trouble::Damaged("cannot be unpacked without memory")),
            Err(_) => Err(Trouble::Damaged("is damaged")),
        }
    }
}

impl Decode for Xz {
    fn decode(&mut self, packed: &[u8], text: &mut [u8]) -> Result<Progress, Trouble> {
        self.run(packed, text, Action::Run)
    }

    fn finish(&mut self) -> Result<(), Trouble> {
        // It has no text left, but it does not know yet that no further stream follows.
        let mut text = [0];
        let Progress { produced, .. } = self.run(&[], &mut text, Action::Finish)?;
        if self.has_ended && produced == 0 {
            Ok(())
        } else {
            Err(Trouble::Damaged("ends too early"))
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
