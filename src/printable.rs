//! Makes text from outside fit to be shown.
//!
//! Keys, ETags, names, and messages of stores and servers may contain anything. On a terminal,
//! control characters can erase lines or forge them, and invisible characters can hide or reorder
//! text. [`printable`] is the one function that escapes them, and everything else stays as it is.
//! It is called where texts become messages, and once more where messages are written, so that no
//! caller can forget it.

use std::borrow::Cow;
use std::fmt::Write as _;

/// The line breaks that may remain in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Newlines {
    /// All line breaks are escaped, because the text becomes part of one line.
    Escaped,
    /// Line breaks before an indented line may remain, as in a message with rows below it. No text
    /// from outside can then begin a line of its own.
    BeforeBlanks,
    /// All may remain: the text consists of lines.
    Kept,
}

/// Returns the text on one line and without characters that control a terminal or are invisible:
/// `\n`, `\u{9b}`.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    escape(text, Newlines::Escaped)
}

/// Returns the text with everything escaped that [`printable`] escapes, except for line breaks.
#[must_use]
pub fn escape(text: &str, newlines: Newlines) -> Cow<'_, str> {
    if !text.contains(is_unprintable) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for (index, character) in text.char_indices() {
        let is_kept = character == '\n'
            && match newlines {
                Newlines::Escaped => false,
                Newlines::BeforeBlanks => {
                    let rest = &text[index + 1..];
                    rest.is_empty() || rest.starts_with("  ")
                }
                Newlines::Kept => true,
            };
        match character {
            _ if is_kept => escaped.push(character),
            '\n' | '\r' | '\t' => escaped.extend(character.escape_default()),
            _ if is_unprintable(character) => escaped.extend(character.escape_unicode()),
            _ => escaped.push(character),
        }
    }
    Cow::Owned(escaped)
}

/// Returns JSON with the same meaning in which nothing controls a terminal or is invisible. JSON
/// itself escapes only the first 32 control characters.
#[must_use]
pub fn escape_json(json: &str) -> Cow<'_, str> {
    let is_escaped = |character| is_unprintable(character) && character != '\n';
    if !json.contains(is_escaped) {
        return Cow::Borrowed(json);
    }
    let mut escaped = String::with_capacity(json.len() + 16);
    for character in json.chars() {
        if is_escaped(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                // Writing to a String cannot fail.
                let _ = write!(escaped, "\\u{unit:04x}");
            }
        } else {
            escaped.push(character);
        }
    }
    Cow::Owned(escaped)
}

/// Returns true for control characters, separators of lines, characters that change the direction
/// of writing, and characters without width.
#[must_use]
pub fn is_unprintable(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            // The soft hyphen, and the joiner of graphemes.
            '\u{AD}' | '\u{34F}'
            // The mark for Arabic letters; fillers and separators that have no glyph.
            | '\u{61C}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}'
            | '\u{180B}'..='\u{180F}'
            | '\u{3164}' | '\u{FFA0}'
            // Spaces without width, marks of direction, separators, invisible operators.
            | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}'
            // The byte order mark, and the signs around annotations.
            | '\u{FEFF}' | '\u{FFF0}'..='\u{FFFB}'
            // Signs of shorthand and music, tags.
            | '\u{1BCA0}'..='\u{1BCA3}' | '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{E0FFF}'
        )
}

/// Returns the line with at most this number of characters, the last of which shows that it was
/// cut.
#[must_use]
pub fn shortened(line: &str, characters: usize) -> String {
    if line.chars().count() <= characters {
        return line.to_owned();
    }
    line.chars().take(characters - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_controls_a_terminal_or_is_invisible_is_escaped_and_all_else_stays() {
        assert_eq!(
            printable("a\x1b[2J\u{9b}2J\r\nb\t\u{7f}\0\u{202e}\u{2066}\u{200b}\u{feff}\u{ad}"),
            "a\\u{1b}[2J\\u{9b}2J\\r\\nb\\t\\u{7f}\\u{0}\\u{202e}\\u{2066}\\u{200b}\\u{feff}\\u{ad}"
        );
        let plain = "é e\u{301} 日本 'x' \"y\" \\N \\n ❤\u{fe0f} \u{a0}|";
        assert!(matches!(printable(plain), Cow::Borrowed(text) if text == plain));
    }

    #[test]
    fn an_escaped_text_stays_as_it_is() {
        let once = printable("\u{9b}\\\n").into_owned();
        assert_eq!(printable(&once), once);
    }

    #[test]
    fn only_an_indented_line_can_follow_a_message() {
        let text = "m\n  line 2\n    x\nerror: forged\n";
        assert_eq!(escape(text, Newlines::BeforeBlanks), "m\n  line 2\n    x\\nerror: forged\n");
        assert_eq!(escape(text, Newlines::Kept), text);
        assert_eq!(escape("a\n\u{9b}", Newlines::Kept), "a\n\\u{9b}");
    }

    #[test]
    fn escaped_json_means_the_same() {
        let text = "a\u{9b}\u{7f}\n\u{202e}\u{e0041}\u{1d173}é";
        let json = serde_json::json!({ "a": text }).to_string();
        let escaped = escape_json(&json);
        assert!(!escaped.contains(is_unprintable), "{escaped}");
        let read: serde_json::Value = serde_json::from_str(&escaped).unwrap();
        assert_eq!(read["a"], text);
    }
}
