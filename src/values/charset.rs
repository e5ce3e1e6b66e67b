//! The character sets of columns: the characters that they have, and the bytes that these take.

/// A column's character set, as far as the rules know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ColumnCharset {
    Utf8mb4,
    Utf8mb3,
    Ascii,
    Latin1,
    Ucs2,
    Utf16,
    Utf32,
    /// Has ASCII, one byte each, and others.
    Other,
    /// Lacks some of ASCII.
    Unknown,
}

/// The characters beyond U+00FF that the servers' latin1 has. It is Windows-1252.
const LATIN1: &str = "ŒœŠšŸŽžƒˆ˜–—‘’‚“”„†‡•…‰‹›€™";

impl ColumnCharset {
    pub(super) fn of(name: &str) -> Self {
        match name.to_ascii_lowercase().as_str() {
            "utf8mb4" => Self::Utf8mb4,
            "utf8mb3" | "utf8" => Self::Utf8mb3,
            "ascii" => Self::Ascii,
            "latin1" => Self::Latin1,
            "ucs2" => Self::Ucs2,
            "utf16" | "utf16le" => Self::Utf16,
            "utf32" => Self::Utf32,
            "swe7" => Self::Unknown,
            _ => Self::Other,
        }
    }

    /// Returns the bytes that a character takes, or 0 if the set lacks it. `None` if that is
    /// unknown.
    pub(super) fn bytes_of(self, character: char) -> Option<usize> {
        let is_wide = character > '\u{FFFF}';
        let is_ascii = character.is_ascii();
        match self {
            Self::Utf8mb4 => Some(character.len_utf8()),
            Self::Utf8mb3 if is_wide => Some(0),
            Self::Utf8mb3 => Some(character.len_utf8()),
            Self::Ascii => Some(usize::from(is_ascii)),
            Self::Latin1 => Some(usize::from(is_ascii || is_latin1(character))),
            Self::Ucs2 if is_wide => Some(0),
            Self::Ucs2 => Some(2),
            Self::Utf16 => Some(if is_wide { 4 } else { 2 }),
            Self::Utf32 => Some(4),
            Self::Other => is_ascii.then_some(1),
            Self::Unknown => None,
        }
    }

    /// Returns true if every ASCII character takes one byte.
    pub(super) fn has_ascii(self) -> bool {
        !matches!(self, Self::Ucs2 | Self::Utf16 | Self::Utf32 | Self::Unknown)
    }
}

fn is_latin1(character: char) -> bool {
    match character {
        '\u{81}' | '\u{8D}' | '\u{8F}' | '\u{90}' | '\u{9D}' | '\u{A0}'..='\u{FF}' => true,
        character => LATIN1.contains(character),
    }
}
