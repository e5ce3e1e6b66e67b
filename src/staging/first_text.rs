//! The first text of an object, before the object is downloaded.

use super::area::{StagingArea, refused};
use super::ranges::PinnedObject;
use super::signature::TAIL_BYTES;
use super::sink::inside;
use super::text_check::{ExpectedText, TextCheck};
use crate::error::{Error, ErrorKind, Result};
use crate::unpack::{Codecs, MAX_MEMORY_BYTES, TextForm, TextSource};

/// The bytes of a packed object that are fetched first. Each further request is for as many as came
/// so far.
const FIRST_BYTES: u64 = 64 * 1024;
/// The most bytes that are fetched. The blocks of most packed formats are far smaller: bzip2 and
/// lz4 have the largest, of up to 4 MiB.
const MOST_BYTES: u64 = 16 * 1024 * 1024;

/// The first text of an object.
pub(crate) struct FirstText {
    pub(crate) text: Vec<u8>,
    /// True if the object has no more text.
    pub(crate) is_whole: bool,
    /// The codecs of a packed object.
    pub(crate) codecs: Option<Codecs>,
    /// The error about the end of the object, if only the text before it could be unpacked.
    pub(crate) damage: Option<Error>,
}

/// Returns the first text of an object, and hardly more than `text_bytes` of it. The caller must
/// hold no disk space, and no memory of decoders.
///
/// # Errors
/// `UnsupportedFormat` if it is no text; `Malformed` if it is damaged; and the errors of requests.
pub(crate) async fn first_text(
    pinned: &PinnedObject,
    area: &StagingArea,
    form: &TextForm,
    text_bytes: usize,
    expected_text: ExpectedText,
) -> Result<FirstText> {
    let object = &pinned.object;
    let mut source = TextSource::new(form);
    let mut memory = area.reserve_memory(source.memory_bytes()).await?;
    let mut text = Vec::new();
    let (mut end, mut has_ended) = (0, false);
    let mut damage = None;
    let most_bytes = object.size_bytes.min(MOST_BYTES);
    let first_bytes = if form.is_plain() { text_bytes as u64 } else { FIRST_BYTES };
    while !has_ended && text.len() < text_bytes && (end < most_bytes || object.size_bytes == 0) {
        let from = end;
        end = most_bytes.min((2 * end).max(first_bytes));
        let fetched = pinned.fetch(from, end).await?.concat();
        let mut rest = &fetched[..];
        while text.len() < text_bytes {
            let is_end = rest.is_empty() && end == object.size_bytes;
            let next = if is_end { source.finish() } else { source.next(&mut rest) };
            match next {
                Ok([]) => {
                    has_ended = is_end;
                    if is_end || end < object.size_bytes {
                        break;
                    }
                }
                Ok(block) => text.extend_from_slice(block),
                Err(fault) if is_end && fault.needed_memory().is_none() && !text.is_empty() => {
                    damage = Some(refused(object, &fault));
                    break;
                }
                Err(fault) => match fault.needed_memory() {
                    Some(bytes) if bytes <= MAX_MEMORY_BYTES => {
                        drop(memory);
                        memory = area.reserve_memory(bytes + source.memory_bytes()).await?;
                        source.allow(bytes);
                    }
                    _ => return Err(refused(object, &fault)),
                },
            }
        }
    }
    drop(memory);
    if text.is_empty() && !has_ended {
        let message = format!("{object}: its first block has more than {MOST_BYTES} bytes");
        return Err(Error::new(ErrorKind::UnsupportedFormat, message)
            .with_hint("pack it again with the options of an ordinary packer"));
    }
    let codecs = source.codecs();
    let mut check = TextCheck::new(expected_text);
    let tail = has_ended.then(|| &text[text.len().saturating_sub(TAIL_BYTES)..]);
    let checked = check.feed(object, &text).and_then(|()| check.finish(object, has_ended, tail));
    checked.map_err(|error| inside(error, codecs))?;
    Ok(FirstText { text, is_whole: has_ended, codecs, damage })
}
