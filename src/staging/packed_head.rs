//! The first text of a large packed object, before the object is split.

use super::area::refused;
use super::ranges::PinnedObject;
use super::sink::inside;
use super::text_check::TextCheck;
use crate::error::Result;
use crate::unpack::{Codec, Trouble, Unpacker};

/// The packed bytes that are fetched: most header lines, and a sample of the rows, are in them.
const PACKED_BYTES: u64 = 64 * 1024;
/// The most text that they may unpack to. A header line has at most as much.
const TEXT_BYTES: usize = 1024 * 1024;
/// The memory that the decoder may take for it: enough for everything but huge windows. What needs
/// more is not looked at here.
const MEMORY_BYTES: u64 = 20 << 20;

/// Returns the first text of an object, and true if all of it.
///
/// # Errors
/// `UnsupportedFormat` if it is no text; `Malformed` if it is damaged; and the errors of requests.
pub(crate) async fn packed_head(
    pinned: &PinnedObject,
    codec: Codec,
    refuses_json_lines: bool,
) -> Result<(Vec<u8>, bool)> {
    let object = &pinned.object;
    let end = PACKED_BYTES.min(object.size_bytes);
    let packed = pinned.fetch(0, end).await?.concat();
    let mut unpacker = Unpacker::new(codec);
    let (mut text, mut rest) = (Vec::new(), &packed[..]);
    while text.len() < TEXT_BYTES {
        match unpacker.next(&mut rest) {
            Ok([]) => break,
            Ok(block) => text.extend_from_slice(block),
            Err(fault) => match fault.trouble {
                Trouble::NeedsMemory(bytes) if bytes <= MEMORY_BYTES => unpacker.allow(bytes),
                Trouble::NeedsMemory(_) => break,
                Trouble::Damaged(_) => return Err(refused(object, &fault)),
            },
        }
    }
    let is_whole = rest.is_empty() && end == object.size_bytes;
    let codecs = unpacker.codecs();
    let mut check = TextCheck::new(refuses_json_lines);
    let checked = check.feed(object, &text).and_then(|()| check.finish(object, is_whole, None));
    checked.map_err(|error| inside(error, Some(codecs)))?;
    Ok((text, is_whole))
}
