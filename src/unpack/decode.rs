//! The interface of a decoder, and what several of them share.

/// The limit on one decoder's memory: the window of `zstd --long=27`, which is also the largest
/// that zstd unpacks without being asked, and some room around it.
pub const MAX_MEMORY_BYTES: u64 = 130 << 20;

/// The reason why a decoder stops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The packed bytes are damaged, or end too early. The text says how.
    Damaged(&'static str),
    /// The next bytes need this much memory in all.
    NeedsMemory(u64),
}

/// The bytes that one step took and produced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) consumed: usize,
    pub(super) produced: usize,
}

/// A decoder of one codec.
pub(super) trait Decode: Send {
    /// Unpacks some of `packed` into `text`. Takes nothing and produces nothing only if it needs
    /// more bytes. A trouble is reported before the bytes that cause it are taken.
    fn decode(&mut self, packed: &[u8], text: &mut [u8]) -> Result<Progress, Trouble>;

    /// Checks that the bytes so far are whole.
    fn finish(&mut self) -> Result<(), Trouble>;

    /// Returns the memory that it may take.
    fn memory_bytes(&self) -> u64;

    /// Allows the decoder to take this much memory in all.
    fn allow(&mut self, memory_bytes: u64);
}

/// Returns true for a frame that decoders of zstd and lz4 pass over. `pzstd` writes one first.
pub(super) fn is_skippable(head: &[u8]) -> bool {
    matches!(head, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..])
}

/// Returns true if `bytes` may begin a frame with this magic number, or one to be skipped.
pub(super) fn may_begin_frame(bytes: &[u8], magic: &[u8]) -> bool {
    let skippable = [0x2a, 0x4d, 0x18];
    magic.starts_with(bytes)
        || matches!(bytes, [0x50..=0x5f, rest @ ..] if skippable.starts_with(rest))
}

/// Returns the number that the bytes are.
pub(super) fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}
