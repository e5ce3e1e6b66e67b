//! The recognition of JSON Lines among objects that should be delimited text.
//!
//! Almost any text can be read as delimited text, so JSON would be cut at its commas. A row of
//! delimited text can be valid JSON by accident (`[1,2]`), but hardly every row.

use serde::de::IgnoredAny;

/// The number of bytes at an object's start that are looked at.
pub(super) const SAMPLE_BYTES: usize = 64 * 1024;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Returns true if an object with this start may consist of JSON Lines. Almost no other text does.
pub(super) fn may_be_json_lines(head: &[u8]) -> bool {
    let head = head.strip_prefix(BYTE_ORDER_MARK).unwrap_or(head);
    matches!(head.trim_ascii_start().first(), Some(b'{' | b'['))
}

/// Returns true if every complete row of an object's start is a JSON object or array, and there is
/// at least one. `is_whole` means that the object ends with these bytes.
pub(super) fn is_json_lines(head: &[u8], is_whole: bool) -> bool {
    let head = head.strip_prefix(BYTE_ORDER_MARK).unwrap_or(head);
    let complete = match head.iter().rposition(|byte| *byte == b'\n') {
        _ if is_whole => head,
        Some(end) => &head[..end],
        None => return false,
    };
    let mut rows = complete
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .filter(|row| !row.is_empty())
        .peekable();
    rows.peek().is_some()
        && rows.all(|row| {
            matches!(row.first(), Some(b'{' | b'['))
                && serde_json::from_slice::<IgnoredAny>(row).is_ok()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recognized(text: &str, is_whole: bool) -> bool {
        may_be_json_lines(text.as_bytes()) && is_json_lines(text.as_bytes(), is_whole)
    }

    #[test]
    fn rows_of_json_are_json_lines() {
        for text in [
            "{\"a\":1}\n{\"a\":2}\n",
            "\u{feff}{\"a\": \"x,y\"}\r\n\r\n{}",
            "[1,\"a\"]\n[2,\"b\"]\n",
            " {\"a\":[{}]}",
        ] {
            assert!(recognized(text, true), "{text}");
        }
        // The last row is cut.
        assert!(recognized("{\"a\":1}\n{\"a\":", false));
    }

    #[test]
    fn other_text_is_not() {
        for text in [
            "",
            "\n",
            "a,b\n{\"a\":1}\n",
            "{\"a\":1},5\n{\"a\":2},6\n",
            "{\"a\":1}\t5\n",
            "{\"a\":1}\nno\n",
            "{a}\n",
            "[note] x,1\n",
            "[\n{\"a\":1}\n]\n",
            "5\n6\n",
            "\"a\"\n",
        ] {
            assert!(!recognized(text, true), "{text}");
        }
        assert!(!recognized("{\"a\":1}", false), "no row is complete");
    }
}
