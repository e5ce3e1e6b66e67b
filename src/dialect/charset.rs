//! The character set of an object's bytes, as far as finding delimiters depends on it.
//!
//! Delimiters are found byte by byte. That is correct for single-byte sets and for UTF-8, in which
//! no byte of a longer character is an ASCII byte. It is wrong for sets such as gbk, in which `\`
//! or `|` may be the second half of a character. [`Charset::may_hide`] identifies those bytes, and
//! a dialect that uses one of them is refused.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use thiserror::Error;

/// One of the server's character sets, by MySQL's name for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charset {
    name: String,
    family: Family,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    SingleByte,
    /// UTF-8 with characters of up to `max_bytes`, which is 3 or 4.
    Utf8 {
        max_bytes: u8,
    },
    /// The ranges of every byte but the first of a character. No set has more than three. Unused
    /// ones are repeated.
    MultiByte {
        trail: [(u8, u8); 3],
    },
}

/// Character sets in which every character is one byte and bytes below 0x80 stand for themselves.
/// `binary` is one of them, because its bytes are taken unchanged.
const SINGLE_BYTE: &[&str] = &[
    "armscii8", "ascii", "binary", "cp1250", "cp1251", "cp1256", "cp1257", "cp850", "cp852",
    "cp866", "dec8", "geostd8", "greek", "hebrew", "hp8", "keybcs2", "koi8r", "koi8u", "latin1",
    "latin2", "latin5", "latin7", "macce", "macroman", "swe7", "tis620",
];

/// Multi-byte character sets with the ranges of their second and later bytes, as the server defines
/// them. euckr includes the cp949 extension.
const MULTI_BYTE: &[(&str, [(u8, u8); 3])] = &[
    ("big5", [(0x40, 0x7E), (0xA1, 0xFE), (0xA1, 0xFE)]),
    ("cp932", [(0x40, 0x7E), (0x80, 0xFC), (0x80, 0xFC)]),
    ("eucjpms", [(0xA1, 0xFE), (0xA1, 0xFE), (0xA1, 0xFE)]),
    ("euckr", [(0x41, 0x5A), (0x61, 0x7A), (0x81, 0xFE)]),
    // Digits are the second and fourth byte of a four-byte character.
    ("gb18030", [(0x30, 0x39), (0x40, 0x7E), (0x80, 0xFE)]),
    ("gb2312", [(0xA1, 0xFE), (0xA1, 0xFE), (0xA1, 0xFE)]),
    ("gbk", [(0x40, 0x7E), (0x80, 0xFE), (0x80, 0xFE)]),
    ("sjis", [(0x40, 0x7E), (0x80, 0xFC), (0x80, 0xFC)]),
    ("ujis", [(0xA1, 0xFE), (0xA1, 0xFE), (0xA1, 0xFE)]),
];

/// Character sets whose units are wider than a byte. The servers disagree about how LOAD DATA reads
/// them, and MySQL reads them incorrectly.
const WIDE: &[&str] = &["ucs2", "utf16", "utf16le", "utf32"];

/// The reason why a name is not a usable character set.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CharsetError {
    #[error("{name:?} is not a character set name; use MySQL's names, such as utf8mb4 or latin1")]
    NotAName { name: String },
    #[error(
        "LOAD DATA cannot read {name} correctly; convert the objects to UTF-8 first and use utf8mb4"
    )]
    Wide { name: String },
    #[error("unknown character set {name:?}; the known ones are {}", known_names())]
    Unknown { name: String },
}

fn known_names() -> String {
    let mut names = vec!["utf8", "utf8mb3", "utf8mb4"];
    names.extend_from_slice(SINGLE_BYTE);
    names.extend(MULTI_BYTE.iter().map(|(name, _)| name));
    names.sort_unstable();
    names.join(", ")
}

impl Charset {
    /// Returns the character set called `name`, in any case.
    ///
    /// # Errors
    ///
    /// An unknown set is refused: without knowledge of its characters, finding a delimiter would be
    /// a guess.
    pub fn new(name: &str) -> Result<Self, CharsetError> {
        let lower = name.to_ascii_lowercase();
        if lower.is_empty()
            || !lower.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        {
            return Err(CharsetError::NotAName { name: name.to_owned() });
        }
        let family = match lower.as_str() {
            "utf8mb4" => Family::Utf8 { max_bytes: 4 },
            // Plain utf8 is utf8mb3 on MySQL, and also on MariaDB unless old_mode says otherwise.
            "utf8" | "utf8mb3" => Family::Utf8 { max_bytes: 3 },
            wide if WIDE.contains(&wide) => return Err(CharsetError::Wide { name: lower }),
            single if SINGLE_BYTE.contains(&single) => Family::SingleByte,
            other => match MULTI_BYTE.iter().find(|(name, _)| *name == other) {
                Some(&(_, trail)) => Family::MultiByte { trail },
                None => return Err(CharsetError::Unknown { name: lower }),
            },
        };
        Ok(Self { name: lower, family })
    }

    /// Returns MySQL's name in lower case. It has only letters, digits and underscores, so that SQL
    /// text can contain it unquoted.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns true if the bytes are UTF-8, so that they can be validated and may start with a byte
    /// order mark.
    #[must_use]
    pub fn is_utf8(&self) -> bool {
        matches!(self.family, Family::Utf8 { .. })
    }

    /// Returns true if this set has characters beyond U+FFFF, which take four bytes in UTF-8.
    /// Meaningful only for UTF-8.
    pub(crate) fn has_four_byte_characters(&self) -> bool {
        self.family == Family::Utf8 { max_bytes: 4 }
    }

    /// Returns true if the bytes of one text can never form a character with the bytes of a
    /// neighboring text. This holds for single-byte sets and for validated UTF-8.
    #[must_use]
    pub fn is_self_contained(&self) -> bool {
        !matches!(self.family, Family::MultiByte { .. })
    }

    /// Returns true if `byte` may be part of a longer character, so that finding it does not prove
    /// a delimiter.
    #[must_use]
    pub fn may_hide(&self, byte: u8) -> bool {
        match self.family {
            Family::SingleByte => false,
            Family::Utf8 { .. } => !byte.is_ascii(),
            Family::MultiByte { trail } => {
                !byte.is_ascii()
                    || trail
                        .iter()
                        .any(|&(low, high)| RangeInclusive::new(low, high).contains(&byte))
            }
        }
    }
}

impl Default for Charset {
    /// Returns utf8mb4.
    fn default() -> Self {
        Self { name: "utf8mb4".to_owned(), family: Family::Utf8 { max_bytes: 4 } }
    }
}

impl fmt::Display for Charset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl FromStr for Charset {
    type Err = CharsetError;

    fn from_str(name: &str) -> Result<Self, CharsetError> {
        Self::new(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn charset(name: &str) -> Charset {
        Charset::new(name).unwrap()
    }

    #[test]
    fn names_are_folded_to_lower_case_and_anything_but_a_name_is_refused() {
        assert_eq!(charset("UTF8MB4"), Charset::default());
        for name in ["", "utf-8", "latin1; DROP", "utf8mb4 ", "ütf8"] {
            assert_eq!(Charset::new(name), Err(CharsetError::NotAName { name: name.to_owned() }));
        }
        assert!(Charset::new("klingon").unwrap_err().to_string().contains("latin1"));
    }

    #[test]
    fn sets_with_wide_units_are_refused_with_the_remedy() {
        for name in ["utf16", "utf16le", "utf32", "ucs2", "UTF16"] {
            assert!(
                Charset::new(name)
                    .unwrap_err()
                    .to_string()
                    .contains("convert the objects to UTF-8")
            );
        }
    }

    #[test]
    fn only_the_utf8_family_is_utf8() {
        for name in ["utf8", "utf8mb3", "utf8mb4"] {
            assert!(charset(name).is_utf8());
        }
        for name in ["latin1", "binary", "ascii", "gbk"] {
            assert!(!charset(name).is_utf8());
        }
        assert!(!charset("utf8").has_four_byte_characters());
        assert!(charset("utf8mb4").has_four_byte_characters());
    }

    #[test]
    fn a_backslash_may_be_half_a_character_in_chinese_and_japanese_sets_but_not_in_euc_ones() {
        for name in ["gbk", "gb18030", "big5", "sjis", "cp932"] {
            assert!(charset(name).may_hide(b'\\'), "{name}");
            assert!(charset(name).may_hide(b'|'), "{name}");
            assert!(!charset(name).may_hide(b','), "{name}");
            assert!(!charset(name).may_hide(b'\n'), "{name}");
        }
        for name in ["euckr", "ujis", "eucjpms", "gb2312", "latin1", "utf8mb4"] {
            assert!(!charset(name).may_hide(b'\\'), "{name}");
            assert!(!charset(name).may_hide(b'|'), "{name}");
        }
        assert!(charset("gb18030").may_hide(b'5'));
        assert!(!charset("gbk").may_hide(b'5'));
        assert!(charset("euckr").may_hide(b'a'));
    }

    #[test]
    fn bytes_above_ascii_are_never_safe_delimiters_in_multi_byte_sets() {
        for name in ["utf8mb4", "gbk", "ujis", "euckr"] {
            assert!(charset(name).may_hide(0xA7), "{name}");
        }
        assert!(!charset("latin1").may_hide(0xA7));
    }
}
