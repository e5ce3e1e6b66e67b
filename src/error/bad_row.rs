//! The rows that made the program refuse an object, and how it shows them.

use std::fmt::Write as _;

use crate::printable::{is_unprintable, printable};

/// The number of characters of a row that a message quotes. The report holds more.
const QUOTED_CHARACTERS: usize = 200;

/// The number of characters of a value or a row in a line that names several objects' rows.
const SHORT_CHARACTERS: usize = 60;

/// The server's messages about an object's rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BadRows {
    /// The messages in row order. One row can have several.
    pub shown: Vec<BadRow>,
    /// The number of messages that are not in `shown`.
    pub more: u64,
    /// The number of bad rows, if it is known.
    pub count: Option<u64>,
}

/// One message of the server about a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRow {
    /// The line of the object on which the row begins, from 1.
    pub line: Option<u64>,
    /// The number of the row among the object's data rows, from 1. `None` if it is not certain.
    pub row: Option<u64>,
    /// True if the server gave a number that is not the number of the row.
    pub is_misnumbered: bool,
    pub column: Option<String>,
    /// `Warning`, `Note` or `Error`. Empty if the program judged the value, and not the server.
    pub level: String,
    pub code: u16,
    /// The server's message, or the program's own.
    pub reason: String,
    pub raw: Option<RawRow>,
}

/// The bytes of a row as they stand in the object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawRow {
    pub bytes: Vec<u8>,
    /// True if the row is longer than `bytes`.
    pub is_cut: bool,
}

impl BadRows {
    /// Adds the messages about another part of the object. Only the first `limit` rows stay.
    pub fn add_part(&mut self, more: Self, limit: usize) {
        self.more += more.more;
        self.count = self.count.zip(more.count).map(|(sum, count)| sum + count);
        self.shown.extend(more.shown);
        self.shown.sort_by_key(|bad| bad.row);
        let mut rows: Vec<Option<u64>> = self.shown.iter().map(|bad| bad.row).collect();
        rows.dedup();
        if let Some(&first_dropped) = rows.get(limit) {
            self.shown.retain(|bad| bad.row < first_dropped);
            self.more += (rows.len() - limit) as u64;
        }
    }

    /// Returns the first of the messages, and the number of the others.
    #[must_use]
    pub fn first(&self, messages: usize) -> Self {
        let shown: Vec<BadRow> = self.shown.iter().take(messages).cloned().collect();
        let more = self.more + (self.shown.len() - shown.len()) as u64;
        Self { shown, more, count: self.count }
    }

    /// Returns `message` on one line with the rows below it.
    #[must_use]
    pub fn below(&self, message: &str) -> String {
        format!("{}{}", printable(message), self.text(message))
    }

    /// Returns the lines that go below a message. Leaves out what `said` already contains.
    pub(super) fn text(&self, said: &str) -> String {
        let mut text = String::new();
        for (index, bad) in self.shown.iter().enumerate() {
            let mut parts = Vec::new();
            parts.extend(bad.place());
            if !said.contains(&bad.reason) {
                let reason = escape(bad.reason_without_row().as_bytes(), usize::MAX);
                parts.push(match bad.level.as_str() {
                    "" => reason,
                    level => format!("{level} {}: {reason}", bad.code),
                });
            }
            if parts.is_empty() {
                continue;
            }
            // Writing to a String cannot fail.
            // Our own message begins with the column.
            let is_ours_of_column = bad.level.is_empty() && bad.column.is_some();
            let _ = write!(text, "\n  {}", parts.join(if is_ours_of_column { ", " } else { ": " }));
            let is_last_of_row = self
                .shown
                .get(index + 1)
                .is_none_or(|next| next.row.is_none() || next.row != bad.row);
            if let Some(raw) = bad.raw.as_ref().filter(|_| is_last_of_row) {
                let _ = write!(text, "\n    {}", raw.quoted());
            }
        }
        if self.more > 0 && !self.shown.is_empty() {
            let _ = write!(text, "\n  and {} more", self.more);
        }
        if self.shown.iter().any(|bad| bad.is_misnumbered) {
            text.push_str(
                "\n  line unknown: \
                 the server's row numbers leave out rows that a constraint refused",
            );
        }
        text
    }
}

impl BadRow {
    /// Returns the reason without the column that [`Self::column`] names.
    #[must_use]
    pub fn what(&self) -> &str {
        let reason = self.reason_without_row();
        let place = self.column.as_ref().map(|name| format!("column {} (", printable(name)));
        place
            .and_then(|place| reason.strip_prefix(&place))
            .and_then(|rest| rest.split_once("): "))
            .map_or(reason, |(_, what)| what)
    }

    /// Returns the reason without the server's own number of the row, if the place is known.
    fn reason_without_row(&self) -> &str {
        if self.row.is_none() && self.line.is_none() {
            return &self.reason;
        }
        match self.reason.rsplit_once(" at row ") {
            Some((reason, row)) if row.bytes().all(|byte| byte.is_ascii_digit()) => reason,
            _ => &self.reason,
        }
    }

    /// Returns the place of the row and the value in question, or else the row, on one line.
    #[must_use]
    pub fn example(&self) -> String {
        let row = match (self.line, self.row) {
            (Some(line), _) => format!("line {line}"),
            (None, Some(row)) => format!("row {row}"),
            (None, None) => "line unknown".to_owned(),
        };
        let column = match &self.column {
            Some(name) => format!(", column {}", escape(name.as_bytes(), usize::MAX)),
            None => String::new(),
        };
        let value = match (first_quoted(&self.reason), &self.raw) {
            (Some(value), _) if Some(value) != self.column.as_deref() => {
                format!(": '{}'", escape(value.as_bytes(), SHORT_CHARACTERS))
            }
            (_, Some(raw)) => format!(": {}", escape(&raw.bytes, SHORT_CHARACTERS)),
            _ => String::new(),
        };
        format!("{row}{column}{value}")
    }

    /// Returns the place of the row, such as `line 3002, column s`.
    fn place(&self) -> Option<String> {
        let row = match (self.line, self.row) {
            (Some(line), _) => format!("line {line}"),
            (None, Some(row)) => format!("row {row}"),
            (None, None) if self.is_misnumbered => "line unknown".to_owned(),
            (None, None) => return None,
        };
        Some(match &self.column {
            Some(_) if self.level.is_empty() => row,
            Some(column) => format!("{row}, column {}", escape(column.as_bytes(), usize::MAX)),
            None => row,
        })
    }
}

impl RawRow {
    /// Returns the row escaped and shortened to fit on one line.
    fn quoted(&self) -> String {
        let mut text = escape(&self.bytes, QUOTED_CHARACTERS);
        if self.is_cut && !text.ends_with('…') {
            text.push('…');
        }
        text
    }

    /// Returns the row for machines: unchanged, except for bytes that are not UTF-8.
    #[must_use]
    pub fn text(&self) -> String {
        let text = String::from_utf8_lossy(&self.bytes);
        // The cut may be in the middle of a character.
        let text =
            if self.is_cut { text.trim_end_matches(char::REPLACEMENT_CHARACTER) } else { &text };
        text.to_owned()
    }
}

/// Returns the first text in single quotes.
fn first_quoted(text: &str) -> Option<&str> {
    Some(text.split_once('\'')?.1.split_once('\'')?.0)
}

/// Returns text that stays on one line and cannot control a terminal. A backslash stays as it is,
/// because `\N` is what the object contains.
fn escape(bytes: &[u8], limit_characters: usize) -> String {
    let mut text = String::new();
    let mut left = limit_characters;
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if left == 0 {
                return text + "…";
            }
            left -= 1;
            match character {
                '\t' | '\n' | '\r' => text.extend(character.escape_default()),
                '\0'..='\x1F' | '\x7F' => {
                    let _ = write!(text, "\\x{:02X}", u32::from(character));
                }
                _ if is_unprintable(character) => text.extend(character.escape_unicode()),
                _ => text.push(character),
            }
        }
        for byte in chunk.invalid() {
            if left == 0 {
                return text + "…";
            }
            left -= 1;
            let _ = write!(text, "\\x{byte:02X}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bad(row: u64, column: &str, raw: &[u8]) -> BadRow {
        BadRow {
            line: Some(row + 1),
            row: Some(row),
            is_misnumbered: false,
            column: Some(column.to_owned()),
            level: "Warning".to_owned(),
            code: 1265,
            reason: format!("m at row {row}"),
            raw: Some(RawRow { bytes: raw.to_vec(), is_cut: false }),
        }
    }

    #[test]
    fn a_row_is_quoted_once_below_all_that_is_said_of_it() {
        let rows = BadRows {
            shown: vec![bad(1, "a", b"x\ty"), bad(1, "b", b"x\ty"), bad(2, "a", b"z")],
            more: 7,
            count: None,
        };
        let expected = "\n  line 2, column a: Warning 1265: m\
                        \n  line 2, column b: Warning 1265: m\
                        \n    x\\ty\
                        \n  line 3, column a: Warning 1265: m\
                        \n    z\
                        \n  and 7 more";
        assert_eq!(rows.text(""), expected);
    }

    #[test]
    fn what_was_said_is_not_repeated_and_what_is_not_known_is_not_made_up() {
        let rows = BadRows { shown: vec![bad(1, "a", b"x")], more: 0, count: None };
        assert_eq!(rows.text("o: ERROR 1265: m at row 1"), "\n  line 2, column a\n    x");
        let nowhere = BadRow { line: None, row: None, column: None, raw: None, ..bad(1, "a", b"") };
        let rows = BadRows { shown: vec![nowhere.clone()], more: 0, count: None };
        assert_eq!(rows.text("m at row 1"), "");
        let rows = BadRows {
            shown: vec![BadRow { is_misnumbered: true, ..nowhere }],
            more: 0,
            count: None,
        };
        assert!(rows.text("").starts_with(
            "\n  line unknown: Warning 1265: m at row 1\n  line unknown: the server's"
        ));
    }

    #[test]
    fn a_quoted_row_stays_on_its_line_and_within_bounds() {
        let raw = |bytes: &[u8], is_cut| RawRow { bytes: bytes.to_vec(), is_cut }.quoted();
        assert_eq!(
            raw(b"a\t\\N\x01\r\n\xE4\x1B[1m\xC2\x9B\xE2\x80\xAE", false),
            "a\\t\\N\\x01\\r\\n\\xE4\\x1B[1m\\u{9b}\\u{202e}"
        );
        assert_eq!(raw("ä".repeat(200).as_bytes(), false), "ä".repeat(200));
        assert_eq!(raw("ä".repeat(201).as_bytes(), false), "ä".repeat(200) + "…");
        assert_eq!(raw(&[0xFF; 1024], true), "\\xFF".repeat(200) + "…");
        assert_eq!(raw(b"ab", true), "ab…");
        let cut = RawRow { bytes: b"a\n\xE4b\xE2\x82".to_vec(), is_cut: true };
        assert_eq!(cut.text(), "a\n\u{FFFD}b");
    }
}
