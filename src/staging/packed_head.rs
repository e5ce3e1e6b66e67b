//! The first text of a large packed object, before the object is split.

use super::area::{StagingArea, refused};
use super::ranges::PinnedObject;
use super::signature::TAIL_BYTES;
use super::sink::inside;
use super::text_check::{ExpectedText, TextCheck};
use crate::error::{Error, ErrorKind, Result};
use crate::unpack::{Codec, MAX_MEMORY_BYTES, Trouble, Unpacker};

/// The packed bytes that are fetched first. Each further request is for as many as came so far.
const FIRST_BYTES: u64 = 64 * 1024;
/// The most packed bytes that are fetched. The blocks of most formats are far smaller: bzip2 and
/// lz4 have the largest, of up to 4 MiB.
const PACKED_BYTES: u64 = 16 * 1024 * 1024;
/// The most text that they may unpack to. A header line has at most as much.
const TEXT_BYTES: usize = 1024 * 1024;

/// Returns the first text of an object, and true if all of it. The caller must hold no disk space,
/// and no memory of decoders.
///
/// # Errors
/// `UnsupportedFormat` if it is no text; `Malformed` if it is damaged; and the errors of requests.
pub(crate) async fn packed_head(
    pinned: &PinnedObject,
    area: &StagingArea,
    codec: Codec,
    expected_text: ExpectedText,
) -> Result<(Vec<u8>, bool)> {
    let object = &pinned.object;
    let mut unpacker = Unpacker::new(codec);
    let mut memory = area.reserve_memory(unpacker.memory_bytes()).await?;
    let mut text = Vec::new();
    let (mut end, mut rest_bytes) = (0, 0);
    while text.len() < TEXT_BYTES && end < object.size_bytes.min(PACKED_BYTES) {
        let from = end;
        end = object.size_bytes.min(PACKED_BYTES).min((2 * end).max(FIRST_BYTES));
        let packed = pinned.fetch(from, end).await?.concat();
        let mut rest = &packed[..];
        let is_last = end == object.size_bytes;
        while text.len() < TEXT_BYTES {
            let has_taken_all = is_last && rest.is_empty();
            let block = if has_taken_all { unpacker.finish() } else { unpacker.next(&mut rest) };
            match block {
                // A text that is shorter than the magic numbers comes only at the end.
                Ok([]) if is_last && !has_taken_all => {}
                Ok([]) => break,
                // The parts before the damage load.
                Err(_) if has_taken_all => break,
                Ok(block) => text.extend_from_slice(block),
                Err(fault) => match fault.trouble {
                    Trouble::NeedsMemory(bytes) if bytes <= MAX_MEMORY_BYTES => {
                        drop(memory);
                        memory = area.reserve_memory(bytes + unpacker.memory_bytes()).await?;
                        unpacker.allow(bytes);
                    }
                    _ => return Err(refused(object, &fault)),
                },
            }
        }
        rest_bytes = rest.len();
    }
    drop(memory);
    let is_whole = rest_bytes == 0 && end == object.size_bytes;
    if text.is_empty() && !is_whole {
        let message = format!("{object}: its first block has more than {PACKED_BYTES} bytes");
        return Err(Error::new(ErrorKind::UnsupportedFormat, message)
            .with_hint("pack it again with the options of an ordinary packer"));
    }
    let codecs = unpacker.codecs();
    let mut check = TextCheck::new(expected_text);
    let tail = is_whole.then(|| &text[text.len().saturating_sub(TAIL_BYTES)..]);
    let checked = check.feed(object, &text).and_then(|()| check.finish(object, is_whole, tail));
    checked.map_err(|error| inside(error, Some(codecs)))?;
    Ok((text, is_whole))
}
