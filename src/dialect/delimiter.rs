//! Reads delimiters as people type them.
//!
//! Control characters are hard to write in shells, TOML files and cron lines. Every delimiter
//! setting therefore understands the notations of common tools. All other text stands for itself.

use thiserror::Error;

/// The reason why the text of a delimiter cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DelimiterError {
    #[error(
        "\\{0} is not an escape; \
         the known ones are \\t \\n \\r \\b \\0 \\Z \\\\ \\' \\\" \\xHH and \\uHHHH"
    )]
    UnknownEscape(char),
    #[error("the text ends in a single \\; write \\\\ for a backslash")]
    EndsInBackslash,
    #[error("\\{letter} needs {digits} hexadecimal digits after it, as in {example}")]
    TooFewDigits { letter: char, digits: usize, example: &'static str },
    #[error(
        "\\u{0:04X} is half of a surrogate pair and not a character; write the UTF-8 bytes as \\xHH"
    )]
    Surrogate(u32),
    #[error("{text:?} is {bytes} bytes long; MySQL takes exactly one here, or none")]
    NotOneByte { text: String, bytes: usize },
}

/// Returns the bytes that `text` means.
///
/// The escapes are `\t`, `\n`, `\r`, `\b` (0x08), `\0`, `\Z` (0x1A), `\\`, `\'`, `\"`, `\xHH` (a
/// byte) and `\uHHHH` (a character, in UTF-8). Caret notation, `^@` to `^_`, is understood if its
/// two characters are the whole text. Otherwise a caret stands for itself. To get the two
/// characters `^A`, write `\x5EA`.
///
/// # Errors
///
/// Refuses any other escape, since a guess would load the wrong columns.
pub fn parse_delimiter(text: &str) -> Result<Vec<u8>, DelimiterError> {
    if let [b'^', letter @ b'@'..=b'_'] = text.as_bytes() {
        return Ok(vec![letter - b'@']);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(position) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..position]);
        let escape = &rest[position + 1..];
        let letter = escape.chars().next().ok_or(DelimiterError::EndsInBackslash)?;
        rest = &escape[letter.len_utf8()..];
        match letter {
            't' => bytes.push(b'\t'),
            'n' => bytes.push(b'\n'),
            'r' => bytes.push(b'\r'),
            'b' => bytes.push(0x08),
            '0' => bytes.push(0),
            'Z' => bytes.push(0x1A),
            '\\' | '\'' | '"' => bytes.push(letter as u8),
            'x' => {
                let value = hexadecimal(&mut rest, 2).ok_or(DelimiterError::TooFewDigits {
                    letter,
                    digits: 2,
                    example: "\\x01",
                })?;
                bytes.push(value.to_le_bytes()[0]);
            }
            'u' => {
                let value = hexadecimal(&mut rest, 4).ok_or(DelimiterError::TooFewDigits {
                    letter,
                    digits: 4,
                    example: "\\u0001",
                })?;
                let character = char::from_u32(value).ok_or(DelimiterError::Surrogate(value))?;
                bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
            unknown => return Err(DelimiterError::UnknownEscape(unknown)),
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    Ok(bytes)
}

/// Returns the one byte that `text` means, or `None` if it is empty, which is how MySQL switches
/// off enclosing or escaping.
///
/// # Errors
///
/// The errors of [`parse_delimiter`], and a `text` that means more than one byte.
pub fn parse_delimiter_byte(text: &str) -> Result<Option<u8>, DelimiterError> {
    match *parse_delimiter(text)?.as_slice() {
        [] => Ok(None),
        [byte] => Ok(Some(byte)),
        ref bytes => Err(DelimiterError::NotOneByte { text: text.to_owned(), bytes: bytes.len() }),
    }
}

/// Returns `bytes` in a form that [`parse_delimiter`] reads back and that contains nothing a
/// terminal would act on.
pub(crate) fn show_delimiter(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

/// Removes exactly `digits` hexadecimal digits from the front of `text`, and returns their value.
fn hexadecimal(text: &mut &str, digits: usize) -> Option<u32> {
    let head = text.get(..digits)?;
    // from_str_radix alone would accept a sign.
    let value = head
        .bytes()
        .all(|b| b.is_ascii_hexdigit())
        .then(|| u32::from_str_radix(head, 16).ok())??;
    *text = &text[digits..];
    Some(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_notation_means_its_bytes() {
        for (text, bytes) in [
            (",", &b","[..]),
            ("", b""),
            ("||", b"||"),
            ("\t", b"\t"),
            ("\\t", b"\t"),
            ("\\r\\n", b"\r\n"),
            ("\\0", b"\0"),
            ("\\b\\Z", b"\x08\x1A"),
            ("\\\\", b"\\"),
            ("\\'\\\"", b"'\""),
            ("\\x01", b"\x01"),
            ("\\xfE|", b"\xFE|"),
            ("\\u0001", b"\x01"),
            ("\\u00a7", "§".as_bytes()),
            ("§", "§".as_bytes()),
            ("^A", b"\x01"),
            ("^@", b"\0"),
            ("^_", b"\x1F"),
            ("^", b"^"),
            ("^a", b"^a"),
            ("^AB", b"^AB"),
            ("\\x5EA", b"^A"),
        ] {
            assert_eq!(parse_delimiter(text), Ok(bytes.to_vec()), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_notation_is_an_error_and_not_a_guess() {
        assert_eq!(parse_delimiter("\\d"), Err(DelimiterError::UnknownEscape('d')));
        assert_eq!(parse_delimiter("\\ü"), Err(DelimiterError::UnknownEscape('ü')));
        assert_eq!(parse_delimiter("a\\"), Err(DelimiterError::EndsInBackslash));
        assert_eq!(parse_delimiter("\\uD800"), Err(DelimiterError::Surrogate(0xD800)));
        for text in ["\\x1", "\\x", "\\xg1", "\\x+1", "\\u001", "\\x1ü"] {
            assert!(
                matches!(parse_delimiter(text), Err(DelimiterError::TooFewDigits { .. })),
                "{text}"
            );
        }
    }

    #[test]
    fn an_enclosure_is_one_byte_or_none() {
        assert_eq!(parse_delimiter_byte("\""), Ok(Some(b'"')));
        assert_eq!(parse_delimiter_byte("\\x00"), Ok(Some(0)));
        assert_eq!(parse_delimiter_byte(""), Ok(None));
        assert!(matches!(
            parse_delimiter_byte("§"),
            Err(DelimiterError::NotOneByte { bytes: 2, .. })
        ));
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back_as_the_same_bytes(
            bytes in proptest::collection::vec(any::<u8>(), 0..6),
        ) {
            // Only two plain characters that happen to be caret notation cannot be shown plainly.
            prop_assume!(!matches!(bytes.as_slice(), [b'^', b'@'..=b'_']));
            prop_assert_eq!(parse_delimiter(&show_delimiter(&bytes)), Ok(bytes));
        }
    }
}
