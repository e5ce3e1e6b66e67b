//! UTF-8 validation of a stream whose chunks may end inside a character.

pub(super) const UTF8_BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// The result of checking bytes against the character set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CharCheck {
    Valid,
    /// This number of bytes is valid. The byte after them belongs to no character.
    InvalidFrom(usize),
    /// This number of bytes is valid. They are followed by a character of four bytes, in a set that
    /// has no such characters.
    FourBytesFrom(usize),
}

/// Checks `bytes`, which must not end inside a character.
pub(super) fn check(bytes: &[u8], four_byte_characters: bool) -> CharCheck {
    let valid_bytes = match simdutf8::basic::from_utf8(bytes) {
        Ok(_) => bytes.len(),
        // The fast check does not say where the error is.
        Err(_) => std::str::from_utf8(bytes).map_or_else(|error| error.valid_up_to(), str::len),
    };
    if !four_byte_characters
        && let Some(at) = bytes[..valid_bytes].iter().position(|&byte| byte >= 0xF0)
    {
        return CharCheck::FourBytesFrom(at);
    }
    if valid_bytes == bytes.len() { CharCheck::Valid } else { CharCheck::InvalidFrom(valid_bytes) }
}

/// Returns the number of bytes at the end of `bytes` that begin an incomplete character.
pub(super) fn incomplete_tail_bytes(bytes: &[u8]) -> usize {
    for back in 1..=bytes.len().min(3) {
        let byte = bytes[bytes.len() - back];
        // A continuation byte: the lead byte is further to the left.
        if !(0x80..0xC0).contains(&byte) {
            return if character_bytes(byte) > back { back } else { 0 };
        }
    }
    0
}

/// Returns the length of the character that `lead` begins, or 1 if it begins none.
pub(super) fn character_bytes(lead: u8) -> usize {
    match lead {
        0xC0..=0xDF => 2,
        0xE0..=0xEF => 3,
        0xF0..=0xF7 => 4,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_is_incomplete_exactly_when_its_character_goes_on() {
        let text = "aä€😀";
        for end in 0..=text.len() {
            let tail = incomplete_tail_bytes(&text.as_bytes()[..end]);
            assert!(text.is_char_boundary(end - tail), "{end}");
            assert_eq!(tail == 0, text.is_char_boundary(end), "{end}");
        }
    }

    #[test]
    fn four_byte_characters_are_found_where_the_set_has_none() {
        assert_eq!(check("ä😀".as_bytes(), true), CharCheck::Valid);
        assert_eq!(check("ä😀".as_bytes(), false), CharCheck::FourBytesFrom(2));
        assert_eq!(check(b"ab\xFF\xF0", false), CharCheck::InvalidFrom(2));
    }
}
