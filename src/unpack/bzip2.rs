//! The decoder of bzip2: streams one after the other, as pbzip2 writes them.

use bzip2::{Decompress, Status};

use super::decode::{Decode, Progress, Trouble};

/// The memory that the largest block needs.
const MEMORY_BYTES: u64 = 4 << 20;

pub(super) struct Bzip2 {
    /// `None` between two streams.
    stream: Option<Decompress>,
    is_first: bool,
}

impl Bzip2 {
    pub(super) fn new() -> Self {
        Self { stream: None, is_first: true }
    }
}

impl Decode for Bzip2 {
    fn decode(&mut self, packed: &[u8], text: &mut [u8]) -> Result<Progress, Trouble> {
        if self.stream.is_none() {
            match packed.first() {
                None => return Ok(Progress::default()),
                Some(b'B') => self.stream = Some(Decompress::new(false)),
                Some(_) => {
                    return Err(Trouble::Damaged("is followed by bytes that are no bzip2 data"));
                }
            }
        }
        let Some(stream) = &mut self.stream else { return Ok(Progress::default()) };
        let (had_in, had_out) = (stream.total_in(), stream.total_out());
        let status = stream.decompress(packed, text).map_err(|_| Trouble::Damaged("is damaged"))?;
        let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let consumed = size(stream.total_in() - had_in);
        let produced = size(stream.total_out() - had_out);
        if status == Status::StreamEnd {
            (self.stream, self.is_first) = (None, false);
        }
        Ok(Progress { consumed, produced })
    }

    fn finish(&mut self) -> Result<(), Trouble> {
        if self.stream.is_none() && !self.is_first {
            return Ok(());
        }
        Err(Trouble::Damaged("ends too early"))
    }

    fn memory_bytes(&self) -> u64 {
        MEMORY_BYTES
    }

    fn allow(&mut self, _: u64) {}
}
