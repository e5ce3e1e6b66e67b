//! CHAR, VARCHAR and TEXT columns.

use super::charset::ColumnCharset;
use super::verdict::{BadKind, LossKind, Verdict};

/// The longest text of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TextLimit {
    Characters(u64),
    /// Bytes in the column's character set.
    Bytes(u64),
}

/// The rule of a text column.
#[derive(Clone, Copy, Debug)]
pub(super) struct TextRule {
    limit: TextLimit,
    charset: ColumnCharset,
    object: ObjectText,
}

/// The characters of the object's texts, beside the column's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ObjectText {
    Utf8,
    /// A set in which each byte is a character, and which the column has, too.
    SameSingleByte,
    Other,
}

impl TextRule {
    pub(super) fn new(limit: TextLimit, charset: ColumnCharset, object: ObjectText) -> Self {
        Self { limit, charset, object }
    }

    fn limit(&self) -> usize {
        let (TextLimit::Characters(limit) | TextLimit::Bytes(limit)) = self.limit;
        usize::try_from(limit).unwrap_or(usize::MAX)
    }

    /// Returns the number of bytes up to which every text of an object fits, if that is so.
    pub(super) fn short(&self) -> Option<usize> {
        let has_all = self.charset == ColumnCharset::Utf8mb4 && self.object == ObjectText::Utf8;
        has_all.then(|| self.limit())
    }

    pub(super) fn check(&self, text: &[u8], out: &mut Vec<u8>) -> Verdict {
        let limit = self.limit();
        let is_single_byte = self.object == ObjectText::SameSingleByte
            || (self.charset.has_ascii() && text.is_ascii());
        if is_single_byte {
            return cut(text, limit, out);
        }
        if self.object != ObjectText::Utf8 {
            return Verdict::ServerDecides;
        }
        let Ok(characters) = std::str::from_utf8(text) else { return Verdict::ServerDecides };
        self.check_characters(characters, limit, out)
    }

    fn check_characters(&self, text: &str, limit: usize, out: &mut Vec<u8>) -> Verdict {
        let mut used = 0;
        // The byte of the text at which the column ends.
        let mut end = None;
        for (at, character) in text.char_indices() {
            match self.charset.bytes_of(character) {
                None => return Verdict::ServerDecides,
                Some(0) => return Verdict::Bad(BadKind::Character),
                Some(bytes) => {
                    used += if matches!(self.limit, TextLimit::Bytes(_)) { bytes } else { 1 };
                    if used > limit && end.is_none() {
                        end = Some(at);
                    }
                }
            }
        }
        match end {
            None => Verdict::Exact,
            Some(end) => cut(text.as_bytes(), end, out),
        }
    }
}

/// Returns the verdict on a text of which the column keeps the bytes before `end`.
fn cut(text: &[u8], end: usize, out: &mut Vec<u8>) -> Verdict {
    match text.split_at_checked(end) {
        None | Some((_, [])) => Verdict::Exact,
        Some((kept, rest)) if rest.iter().all(|&byte| byte == b' ') => {
            out.extend_from_slice(kept);
            Verdict::Loss(LossKind::Blanks)
        }
        Some(_) => Verdict::Bad(BadKind::TooLong),
    }
}
