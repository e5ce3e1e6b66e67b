//! The names in an object's header line.

use super::cut_row::CutRow;
use super::fields::{Field, FieldReader};
use super::grammar::Grammar;
use super::machine::FieldMachine;
use super::utf8::UTF8_BYTE_ORDER_MARK;
use crate::dialect::{Charset, Dialect};

/// The maximum number of fields that are read of a header line: more than a table has columns.
const MAX_FIELDS: usize = 5000;

/// Returns the fields of the last ignored line, as texts without surrounding blanks. A field in
/// unknown characters is U+FFFD. Returns `None` if the line does not end within `bytes`.
///
/// `bytes` is the beginning of an object. `is_cut` is true if the header may go on beyond them.
#[must_use]
pub fn header_names(
    dialect: &Dialect,
    charset: &Charset,
    ignore_lines: u64,
    bytes: &[u8],
    is_cut: bool,
) -> Option<Vec<String>> {
    let mark = if charset.is_utf8() { UTF8_BYTE_ORDER_MARK } else { b"" };
    let bytes = bytes.strip_prefix(mark).unwrap_or(bytes);
    // The quotes of a header line count up to its end, so it has any number of fields.
    let grammar = Grammar::new(dialect, usize::MAX);
    let mut machine = FieldMachine::new(0);
    let (mut at, mut line_start) = (0, 0);
    while machine.rows < ignore_lines {
        if at >= bytes.len() {
            return None;
        }
        let rows = machine.rows;
        let next = machine.run(&grammar, bytes, at, at + 1, !is_cut, 0).ok()?;
        if next == at {
            return None;
        }
        if machine.rows > rows && machine.rows < ignore_lines {
            line_start = next;
        }
        at = next;
    }
    let terminator_bytes = grammar.line_terminator(machine.detected)?.len();
    let line = bytes.get(line_start..at.checked_sub(terminator_bytes)?)?;
    let fields =
        FieldReader::new(dialect, MAX_FIELDS.min(line.len() + 1)).read(&CutRow::whole(line));
    let names = fields.into_iter().map_while(|field| match field {
        Field::Missing => None,
        Field::Null => Some(String::new()),
        Field::Value(value) => Some(
            std::str::from_utf8(&value)
                .ok()
                .filter(|name| charset.is_utf8() || name.is_ascii())
                .map_or_else(
                    || char::REPLACEMENT_CHARACTER.to_string(),
                    |name| name.trim().to_owned(),
                ),
        ),
    });
    Some(names.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::Preset;

    fn names(preset: Preset, ignore_lines: u64, text: &[u8]) -> Option<Vec<String>> {
        let charset = Charset::new("utf8mb4").unwrap();
        header_names(&preset.dialect(), &charset, ignore_lines, text, false)
    }

    #[test]
    fn names_lose_quotes_blanks_and_the_byte_order_mark() {
        let text = "\u{feff}SKU, QTY ,\"co\"\"st\",\"a,b\"\r\n".as_bytes();
        assert_eq!(names(Preset::Csv, 1, text).unwrap(), ["SKU", "QTY", "co\"st", "a,b"]);
        assert_eq!(names(Preset::Mysql, 1, b"a\\tb\tc\t\\N\t\n").unwrap(), ["a\tb", "c", "", ""]);
        assert_eq!(names(Preset::Csv, 1, b"\n").unwrap(), [""]);
    }

    #[test]
    fn the_last_ignored_line_is_the_header() {
        let text = b"a report\n\"of\ntwo lines\"\nid,v\n";
        assert_eq!(names(Preset::Csv, 3, text).unwrap(), ["id", "v"]);
        assert_eq!(names(Preset::Csv, 4, text), None);
        assert_eq!(names(Preset::Csv, 1, b"id,v"), None);
    }

    #[test]
    fn a_header_that_goes_on_beyond_the_bytes_is_not_read() {
        let charset = Charset::new("utf8mb4").unwrap();
        let dialect = Preset::Csv.dialect();
        let text = b"id,v\r\n1,2\r\n";
        let read = |length: usize| header_names(&dialect, &charset, 1, &text[..length], true);
        for length in 0..text.len() {
            let expected = ["id".to_owned(), "v".to_owned()];
            assert!(read(length).is_none_or(|names| names == expected), "{length} bytes");
        }
        assert!(read(text.len()).is_some());
    }

    #[test]
    fn a_name_in_another_character_set_is_no_text() {
        let latin = Charset::new("latin1").unwrap();
        let dialect = Preset::Csv.dialect();
        let text = b"gr\xf6\xdfe,v\n";
        assert_eq!(header_names(&dialect, &latin, 1, text, false).unwrap(), ["\u{fffd}", "v"]);
    }
}
