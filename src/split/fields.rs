//! The values of a row's fields as LOAD DATA reads them: without quotes, with escapes resolved, and
//! with NULL distinguished from text.
//!
//! [`super::machine::FieldMachine`] decides where rows and fields end, and [`RowCutter`] asks it.
//! [`FieldReader`] reads one such row. It relies on the splitter having accepted the row: a quote
//! that opens a field is closed before a separator.
//!
//! This module does no I/O. Its memory depends on the longest row, which is held whole.

use std::borrow::Cow;
use std::ops::Range;

use super::grammar::{Grammar, PlainLine};
use super::machine::FieldMachine;
use super::malformed::Malformed;
use crate::dialect::{Dialect, LineTerminator};

/// The content of a row for one item of LOAD DATA's column list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field<'row> {
    /// The row ends before this field.
    Missing,
    Null,
    /// The value, in the object's character set.
    Value(Cow<'row, [u8]>),
}

/// The end of a row, as [`FieldReader::for_each`] leaves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowRest<'row> {
    /// The number of fields that were read.
    pub fields: usize,
    /// The bytes after the terminator of the last field that was read; `None` if that field ends
    /// the row.
    pub bytes: Option<&'row [u8]>,
}

/// Reads the fields of rows.
#[derive(Clone, Debug)]
pub struct FieldReader {
    terminator: Vec<u8>,
    quote: Option<u8>,
    escape: Option<u8>,
    fields_per_row: usize,
}

impl FieldReader {
    /// Creates a reader. `fields_per_row` has the same meaning as in [`super::RowReader::new`].
    #[must_use]
    pub fn new(dialect: &Dialect, fields_per_row: usize) -> Self {
        Self {
            terminator: dialect.fields_terminated_by.clone(),
            quote: dialect.fields_enclosed_by,
            escape: dialect.fields_escaped_by,
            fields_per_row,
        }
    }

    /// Returns the fields of a row, given without its line terminator. There is always one field
    /// per item; further fields of the row are dropped.
    #[must_use]
    pub fn read<'row>(&self, row: &'row [u8]) -> Vec<Field<'row>> {
        let mut fields = Vec::with_capacity(self.fields_per_row);
        self.for_each(row, |_, _, field| fields.push(field));
        fields.resize(self.fields_per_row, Field::Missing);
        fields
    }

    /// Passes on the fields of a row, at most one per item, each with its index and with the place
    /// of its bytes in the row. Returns the rest of the row after them.
    pub fn for_each<'row>(
        &self,
        row: &'row [u8],
        mut on_field: impl FnMut(usize, Range<usize>, Field<'row>),
    ) -> RowRest<'row> {
        let mut index = 0;
        let mut next = Some(0);
        if let &[terminator] = self.terminator.as_slice()
            && self.is_plain(row)
        {
            while let Some(from) = next.filter(|_| index < self.fields_per_row) {
                let found = memchr::memchr(terminator, &row[from..]);
                let place = from..found.map_or(row.len(), |length| from + length);
                let value = &row[place.clone()];
                let is_null = value == b"NULL" && self.quote.is_some();
                let value = Field::Value(Cow::Borrowed(value));
                on_field(index, place, if is_null { Field::Null } else { value });
                index += 1;
                next = found.map(|length| from + length + 1);
            }
        } else {
            while let Some(from) = next.filter(|_| index < self.fields_per_row) {
                let (field, after) = self.field(row, from);
                let end = after.map_or(row.len(), |after| after - self.terminator.len());
                on_field(index, from..end, field);
                index += 1;
                next = after;
            }
        }
        match next {
            None => RowRest { fields: index, bytes: None },
            Some(from) => RowRest { fields: index, bytes: Some(&row[from..]) },
        }
    }

    /// Returns true if the row has no quote and no escape.
    fn is_plain(&self, row: &[u8]) -> bool {
        match (self.quote, self.escape) {
            (None, None) => true,
            (Some(byte), None) | (None, Some(byte)) => memchr::memchr(byte, row).is_none(),
            (Some(quote), Some(escape)) => memchr::memchr2(quote, escape, row).is_none(),
        }
    }

    /// Returns the index of the first byte from `at` on that needs a decision.
    fn next_special(&self, row: &[u8], at: usize, is_enclosed: bool) -> usize {
        let stop = if is_enclosed { self.quote } else { self.terminator.first().copied() };
        let rest = &row[at..];
        let found = match (stop, self.escape) {
            (None, None) => None,
            (Some(byte), None) | (None, Some(byte)) => memchr::memchr(byte, rest),
            (Some(stop), Some(escape)) => memchr::memchr2(stop, escape, rest),
        };
        found.map_or(row.len(), |length| at + length)
    }

    /// Returns the field that begins at `from`, and the index at which the next one begins.
    fn field<'row>(&self, row: &'row [u8], from: usize) -> (Field<'row>, Option<usize>) {
        let is_enclosed = self.quote.is_some() && row.get(from).copied() == self.quote;
        let mut at = from + usize::from(is_enclosed);
        let mut value = Text { row, run: at, resolved: Vec::new() };
        let mut has_null_escape = false;
        let next = loop {
            at = self.next_special(row, at, is_enclosed);
            let Some(&byte) = row.get(at) else { break None };
            if Some(byte) == self.escape
                && let Some(&escaped) = row.get(at + 1)
                // A quote that is also the escape only doubles, inside and outside quotes.
                && (self.escape != self.quote || escaped == byte)
            {
                has_null_escape |= escaped == b'N';
                value.replace(at, unescaped(escaped), at + 2);
                at += 2;
                continue;
            }
            if is_enclosed && Some(byte) == self.quote {
                let rest = &row[at + 1..];
                if rest.first() == Some(&byte) {
                    value.replace(at, byte, at + 2);
                    at += 2;
                    continue;
                }
                if rest.is_empty() {
                    break None;
                }
                if rest.starts_with(&self.terminator) {
                    break Some(at + 1 + self.terminator.len());
                }
            } else if !is_enclosed && row[at..].starts_with(&self.terminator) {
                break Some(at + self.terminator.len());
            }
            at += 1;
        };
        let value = value.until(at);
        let is_null_word = self.quote.is_some() && !is_enclosed && value.as_ref() == b"NULL";
        // Enclosed or not: the servers look only for the escape.
        let is_null_escape = has_null_escape && value.len() == 1;
        (if is_null_word || is_null_escape { Field::Null } else { Field::Value(value) }, next)
    }
}

/// Returns the byte that this byte means after an escape.
fn unescaped(byte: u8) -> u8 {
    match byte {
        b'0' => 0,
        b'b' => 0x08,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'Z' => 0x1A,
        other => other,
    }
}

/// A value that borrows from its row until something in it must be resolved.
struct Text<'row> {
    row: &'row [u8],
    /// The index of the first byte that has not been copied.
    run: usize,
    resolved: Vec<u8>,
}

impl<'row> Text<'row> {
    /// Replaces the bytes from `at` to `after` with `byte`.
    fn replace(&mut self, at: usize, byte: u8, after: usize) {
        self.resolved.extend_from_slice(&self.row[self.run..at]);
        self.resolved.push(byte);
        self.run = after;
    }

    fn until(mut self, end: usize) -> Cow<'row, [u8]> {
        let run = &self.row[self.run.min(end)..end];
        if self.resolved.is_empty() {
            return Cow::Borrowed(run);
        }
        self.resolved.extend_from_slice(run);
        Cow::Owned(self.resolved)
    }
}

/// Cuts the bytes that are sent of an object into its rows.
#[derive(Clone, Debug)]
pub struct RowCutter {
    grammar: Grammar,
    /// The way to find the end of a row that has no quote and no escape.
    plain_line: Option<PlainLine>,
    machine: FieldMachine,
    /// The bytes from the beginning of the current row on.
    held: Vec<u8>,
    /// The number of held bytes about which the machine has decided.
    read: usize,
    position: u64,
}

impl RowCutter {
    /// Creates a cutter for an object with this line terminator, from [`super::Scan::data_start`]
    /// on.
    #[must_use]
    pub fn new(dialect: &Dialect, lines_terminated_by: &[u8], fields_per_row: usize) -> Self {
        let settled = Dialect {
            lines_terminated_by: LineTerminator::Exact(lines_terminated_by.to_vec()),
            ..dialect.clone()
        };
        let grammar = Grammar::new(&settled, fields_per_row);
        Self {
            plain_line: grammar.plain_line(),
            machine: FieldMachine::new(0),
            grammar,
            held: Vec::new(),
            read: 0,
            position: 0,
        }
    }

    /// Reads the next bytes and passes on the rows that end in them, without line terminator.
    ///
    /// # Errors
    /// The errors of [`super::RowReader::feed`], except those about characters.
    pub fn feed(&mut self, bytes: &[u8], on_row: impl FnMut(&[u8])) -> Result<(), Malformed> {
        self.held.extend_from_slice(bytes);
        self.cut(false, on_row)
    }

    /// Ends the object. The last row's line terminator must have been fed; without it, that row is
    /// not passed on.
    ///
    /// # Errors
    /// The errors of [`Self::feed`].
    pub fn finish(mut self, on_row: impl FnMut(&[u8])) -> Result<(), Malformed> {
        self.cut(true, on_row)
    }

    fn cut(&mut self, is_last: bool, mut on_row: impl FnMut(&[u8])) -> Result<(), Malformed> {
        let Self { grammar, plain_line, machine, held, read, position } = self;
        let terminator_bytes = grammar.line_terminator(machine.detected).map_or(0, <[u8]>::len);
        let mut row_start = 0;
        while *read < held.len() {
            // Most rows are plain, and their end is found without a decision about each field.
            if machine.is_between_rows()
                && let Some(row_bytes) = plain_line.and_then(|line| line.row_bytes(&held[*read..]))
            {
                machine.pass_row();
                on_row(&held[row_start..*read + row_bytes]);
                *read += row_bytes + terminator_bytes;
                row_start = *read;
                continue;
            }
            let rows = machine.rows;
            // Up to the next byte that needs a decision, or past one decision.
            let next = machine.run(grammar, held, *read, *read + 1, is_last, *position)?;
            if machine.rows > rows {
                on_row(&held[row_start..next - terminator_bytes]);
                row_start = next;
            }
            if next == *read {
                break;
            }
            *read = next;
        }
        held.drain(..row_start);
        *read -= row_start;
        *position += row_start as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::dialect::Preset;

    fn shown(dialect: &Dialect, fields_per_row: usize, row: &[u8]) -> Vec<String> {
        let show = |field: &Field<'_>| match field {
            Field::Missing => "missing".to_owned(),
            Field::Null => "NULL".to_owned(),
            Field::Value(value) => format!("'{}'", value.escape_ascii()),
        };
        FieldReader::new(dialect, fields_per_row).read(row).iter().map(show).collect()
    }

    #[test]
    fn escapes_stand_for_bytes_and_null_is_one_alone() {
        let mysql = Preset::Mysql.dialect();
        assert_eq!(
            shown(&mysql, 6, b"\\0\\b\\n\\r\\t\\Z\\x\\\\\t\\N\tN\t\\N \t\\\t\t"),
            [r"'\x00\x08\n\r\t\x1ax\\'", "NULL", "'N'", "'N '", r"'\t'", "''"]
        );
        assert_eq!(shown(&Preset::HiveRaw.dialect(), 1, b"\\N"), [r"'\\N'"]);
    }

    #[test]
    fn what_is_missing_is_told_from_what_is_empty_and_what_is_too_much_is_dropped() {
        let mysql = Preset::Mysql.dialect();
        assert_eq!(shown(&mysql, 3, b"a\t"), ["'a'", "''", "missing"]);
        assert_eq!(shown(&mysql, 2, b""), ["''", "missing"]);
        assert_eq!(shown(&mysql, 1, b"a\tb"), ["'a'"]);
    }

    #[test]
    fn quotes_are_taken_off_and_the_word_null_means_null_only_without_them() {
        let csv = Preset::Csv.dialect();
        assert_eq!(
            shown(&csv, 6, b"\"a,\"\"b\"\"\",NULL,\"NULL\",null,a\"b,\"\""),
            [r#"'a,\"b\"'"#, "NULL", "'NULL'", "'null'", r#"'a\"b'"#, "''"]
        );
        assert_eq!(shown(&Preset::Mysql.dialect(), 1, b"NULL"), ["'NULL'"]);
    }

    #[test]
    fn a_quote_that_escapes_doubles_everywhere() {
        let dialect = Dialect { fields_escaped_by: Some(b'"'), ..Preset::CsvUnix.dialect() };
        assert_eq!(shown(&dialect, 3, b"a\"\"b,\"c\"\",\",\"\""), [r#"'a\"b'"#, r#"'c\",'"#, "''"]);
    }

    #[test]
    fn a_separator_of_several_bytes_is_no_part_of_a_value() {
        let dialect = Dialect { fields_terminated_by: b"aab".to_vec(), ..Preset::Mysql.dialect() };
        assert_eq!(shown(&dialect, 2, b"xaaaby"), ["'xa'", "'y'"]);
    }

    #[test]
    fn rows_are_the_same_however_the_object_is_cut() {
        let dialect = Preset::Csv.dialect();
        let object = b"a,\"b\r\nc\"\r\n\r\n\"\"\"\"\r\n more";
        let expected: [&[u8]; 3] = [b"a,\"b\r\nc\"", b"", b"\"\"\"\""];
        for chunk_bytes in 1..=object.len() {
            let mut cutter = RowCutter::new(&dialect, b"\r\n", 2);
            let mut rows: Vec<Vec<u8>> = Vec::new();
            for chunk in object.chunks(chunk_bytes) {
                cutter.feed(chunk, |row| rows.push(row.to_vec())).unwrap();
            }
            cutter.finish(|row| rows.push(row.to_vec())).unwrap();
            assert_eq!(rows, expected, "in chunks of {chunk_bytes}");
        }
    }

    proptest! {
        #[test]
        fn plain_rows_end_where_the_machine_ends_them(
            object in proptest::collection::vec(
                prop::sample::select(b"ab,\t\"\\\r\n|".to_vec()), 0..60),
            chunk_bytes in 1_usize..20,
        ) {
            let dialects = [
                (Preset::Csv.dialect(), b"\n".as_slice()),
                (Preset::Csv.dialect(), b"\r\n"),
                (Preset::Mysql.dialect(), b"\n"),
                (Preset::Mysql.dialect(), b"|"),
                (Preset::Mysql.dialect(), b"\r\n"),
                (Preset::HiveRaw.dialect(), b"\n"),
            ];
            for (dialect, line) in dialects {
                let cutter = RowCutter::new(&dialect, line, 2);
                prop_assert!(cutter.plain_line.is_some());
                let slow = RowCutter { plain_line: None, ..cutter.clone() };
                let cut = |mut cutter: RowCutter| {
                    let mut rows: Vec<Vec<u8>> = Vec::new();
                    for chunk in object.chunks(chunk_bytes) {
                        cutter.feed(chunk, |row| rows.push(row.to_vec()))?;
                    }
                    cutter.finish(|row| rows.push(row.to_vec()))?;
                    Ok::<_, Malformed>(rows)
                };
                // What the machine refuses never gets here.
                if let Ok(expected) = cut(slow) {
                    prop_assert_eq!(cut(cutter).unwrap(), expected);
                }
            }
        }
    }
}
