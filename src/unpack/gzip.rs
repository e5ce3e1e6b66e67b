//! The decoder of gzip: members one after the other (RFC 1952), then zeros.
//!
//! Every member counts, also an empty one: `cat a.gz b.gz`, bgzip and log shippers write many. The
//! header and the trailer are read here, the deflate data by the library.

use crc_fast::{CrcAlgorithm, Digest, checksum};
use zlib_rs::{Inflate, InflateFlush, Status};

use super::decode::{Decode, Progress, Trouble, little_endian};

/// The largest window of deflate, 32 KiB.
const WINDOW_BITS: u8 = 15;
/// The memory of the window and of the tables.
const MEMORY_BYTES: u64 = 64 * 1024;
/// The limit on a header. Its name and comment may be of any length, but nobody writes longer ones.
const HEADER_LIMIT_BYTES: usize = 256 * 1024;

const HEADER_CRC: u8 = 2;
const EXTRA: u8 = 4;
const NAME: u8 = 8;
const COMMENT: u8 = 16;

enum State {
    /// Before a member. The first must exist.
    Start {
        is_first: bool,
    },
    Header,
    Body,
    Trailer,
    /// Zeros fill the last block of a tape or a disk.
    Padding,
}

pub(super) struct Gzip {
    state: State,
    /// A header or a trailer, as far as it has arrived.
    partial: Vec<u8>,
    inflate: Inflate,
    crc: Digest,
    member_bytes: u64,
}

impl Gzip {
    pub(super) fn new() -> Self {
        Self {
            state: State::Start { is_first: true },
            partial: Vec::new(),
            inflate: Inflate::new(false, WINDOW_BITS),
            crc: Digest::new(CrcAlgorithm::Crc32IsoHdlc),
            member_bytes: 0,
        }
    }

    fn header(&mut self, packed: &[u8]) -> Result<Progress, Trouble> {
        // Most headers arrive in one piece.
        let consumed = if self.partial.is_empty()
            && let Some(length) = header_bytes(packed)?
        {
            length
        } else {
            let had = self.partial.len();
            let room = HEADER_LIMIT_BYTES.saturating_sub(had);
            if room == 0 {
                return Err(Trouble::Damaged("has a header that is too long"));
            }
            self.partial.extend_from_slice(&packed[..packed.len().min(room)]);
            let Some(length) = header_bytes(&self.partial)? else {
                return Ok(Progress { consumed: self.partial.len() - had, produced: 0 });
            };
            length - had
        };
        self.partial.clear();
        self.inflate.reset(false);
        self.crc = Digest::new(CrcAlgorithm::Crc32IsoHdlc);
        self.member_bytes = 0;
        self.state = State::Body;
        Ok(Progress { consumed, produced: 0 })
    }

    fn body(&mut self, packed: &[u8], text: &mut [u8]) -> Result<Progress, Trouble> {
        let (had_in, had_out) = (self.inflate.total_in(), self.inflate.total_out());
        let status = self
            .inflate
            .decompress(packed, text, InflateFlush::NoFlush)
            .map_err(|_| Trouble::Damaged("is damaged"))?;
        let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let consumed = size(self.inflate.total_in() - had_in);
        let produced = size(self.inflate.total_out() - had_out);
        self.crc.update(&text[..produced]);
        self.member_bytes += produced as u64;
        if status == Status::StreamEnd {
            self.state = State::Trailer;
        }
        Ok(Progress { consumed, produced })
    }

    fn trailer(&mut self, packed: &[u8]) -> Result<Progress, Trouble> {
        let missing = 8 - self.partial.len();
        if packed.len() < missing {
            self.partial.extend_from_slice(packed);
            return Ok(Progress { consumed: packed.len(), produced: 0 });
        }
        let mut trailer = self.partial.clone();
        trailer.extend_from_slice(&packed[..missing]);
        if little_endian(&trailer[..4]) != self.crc.finalize() {
            return Err(Trouble::Damaged("has a member with a wrong checksum"));
        }
        if little_endian(&trailer[4..]) != self.member_bytes & 0xffff_ffff {
            return Err(Trouble::Damaged("has a member with a wrong length"));
        }
        self.partial.clear();
        self.state = State::Start { is_first: false };
        Ok(Progress { consumed: missing, produced: 0 })
    }
}

impl Decode for Gzip {
    fn decode(&mut self, packed: &[u8], text: &mut [u8]) -> Result<Progress, Trouble> {
        match self.state {
            State::Start { is_first } => {
                match packed.first() {
                    None => return Ok(Progress::default()),
                    Some(0x1f) => self.state = State::Header,
                    Some(0) if !is_first => self.state = State::Padding,
                    Some(_) => {
                        return Err(Trouble::Damaged("is followed by bytes that are no gzip data"));
                    }
                }
                self.decode(packed, text)
            }
            State::Header => self.header(packed),
            State::Body => self.body(packed, text),
            State::Trailer => self.trailer(packed),
            State::Padding => {
                let zeros = packed.iter().take_while(|byte| **byte == 0).count();
                if zeros == 0 && !packed.is_empty() {
                    return Err(Trouble::Damaged("is followed by bytes that are no gzip data"));
                }
                Ok(Progress { consumed: zeros, produced: 0 })
            }
        }
    }

    fn finish(&mut self) -> Result<(), Trouble> {
        match self.state {
            State::Start { is_first: false } | State::Padding => Ok(()),
            _ => Err(Trouble::Damaged("ends too early")),
        }
    }

    fn memory_bytes(&self) -> u64 {
        MEMORY_BYTES
    }

    fn allow(&mut self, _: u64) {}
}

/// Returns the length of the header that `bytes` begins with; `None` if it is incomplete.
fn header_bytes(bytes: &[u8]) -> Result<Option<usize>, Trouble> {
    let known = bytes.len().min(3);
    if bytes[..known] != b"\x1f\x8b\x08"[..known] {
        return Err(Trouble::Damaged("is followed by bytes that are no gzip data"));
    }
    let Some(&flags) = bytes.get(3) else { return Ok(None) };
    if flags & 0xe0 != 0 {
        return Err(Trouble::Damaged("has a header with unknown flags"));
    }
    let mut at = 10;
    if flags & EXTRA != 0 {
        let Some(length) = bytes.get(at..at + 2) else { return Ok(None) };
        at += 2 + usize::from(length[0]) + 256 * usize::from(length[1]);
    }
    for text in [NAME, COMMENT] {
        if flags & text != 0 {
            let rest = bytes.get(at..).and_then(|rest| memchr::memchr(0, rest));
            let Some(length) = rest else { return Ok(None) };
            at += length + 1;
        }
    }
    if flags & HEADER_CRC != 0 {
        let Some(crc) = bytes.get(at..at + 2) else { return Ok(None) };
        let computed = checksum(CrcAlgorithm::Crc32IsoHdlc, &bytes[..at]) & 0xffff;
        if computed != u64::from(crc[0]) | u64::from(crc[1]) << 8 {
            return Err(Trouble::Damaged("has a header with a wrong checksum"));
        }
        at += 2;
    }
    Ok((bytes.len() >= at).then_some(at))
}
