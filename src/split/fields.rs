//! The values of a row's fields as LOAD DATA reads them: without quotes, with escapes resolved, and
//! with NULL distinguished from text.
//!
//! [`super::RowCutter`] finds the rows, and [`FieldReader`] reads one of them. It relies on the
//! splitter having accepted the row: a quote that opens a field is closed before a separator.
//!
//! This module does no I/O. Its memory depends on the longest row, which is held whole.

use std::borrow::Cow;
use std::ops::Range;

use super::cut_row::{CutRow, FieldTable};
use crate::dialect::Dialect;

/// The content of a row for one item of LOAD DATA's column list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field<'row> {
    /// The row ends before this field.
    Missing,
    Null,
    /// The value, in the object's character set.
    Value(Cow<'row, [u8]>),
}

/// The text of a field that is not NULL.
#[derive(Clone, Copy, Debug)]
pub enum FieldText<'row> {
    Value(&'row [u8]),
    /// A text with escapes or quotes that are not part of the value. The value is shorter.
    Unresolved(&'row [u8]),
}

impl FieldText<'_> {
    /// Returns the length of the text, which is not less than that of the value.
    #[inline]
    #[must_use]
    pub fn text_bytes(&self) -> usize {
        let (Self::Value(text) | Self::Unresolved(text)) = self;
        text.len()
    }
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

    /// Returns the fields of a row. There is always one field per item; further fields of the row
    /// are dropped.
    #[must_use]
    pub fn read<'row>(&self, row: &CutRow<'row>) -> Vec<Field<'row>> {
        let mut fields = Vec::with_capacity(self.fields_per_row);
        self.for_each_unknown(row, |_, _| false, |_, _, field| fields.push(field));
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

    /// Passes on the fields of a row like [`Self::for_each`], but not those for whose text
    /// `is_known` returns true. This is faster if the places of the row's fields are known, and
    /// otherwise `is_known` is not asked. It gets no field that is NULL.
    #[inline]
    pub fn for_each_unknown<'row>(
        &self,
        row: &CutRow<'row>,
        mut is_known: impl FnMut(usize, FieldText<'_>) -> bool,
        mut on_field: impl FnMut(usize, Range<usize>, Field<'row>),
    ) -> RowRest<'row> {
        let Some(places) = row.places() else { return self.for_each(row.bytes, on_field) };
        let bytes = row.bytes;
        for (index, (place, has_escape)) in places.first(self.fields_per_row).enumerate() {
            let is_known = |_: &[u8], text: FieldText<'_>| is_known(index, text);
            if let Some(field) = self.unknown(bytes, &place, has_escape, is_known) {
                on_field(index, place, field);
            }
        }
        let rest = places.after(self.fields_per_row).map(|from| &bytes[from..]);
        RowRest { fields: places.count().min(self.fields_per_row), bytes: rest }
    }

    /// Passes on the fields of one column with the numbers of their rows like
    /// [`Self::for_each_unknown`]. `is_known` gets the bytes before the end of the text, too: those
    /// of the table that end with it. The column must be one of the table and of the reader.
    #[inline]
    pub fn for_each_unknown_of_column<'row>(
        &self,
        table: &FieldTable<'row>,
        column: usize,
        mut is_known: impl FnMut(&[u8], FieldText<'_>) -> bool,
        mut on_field: impl FnMut(usize, Field<'row>),
    ) {
        for (row, (place, has_escape)) in table.column(column).enumerate() {
            if let Some(field) = self.unknown(table.data, &place, has_escape, &mut is_known) {
                on_field(row, field);
            }
        }
    }

    /// Returns the field at this place, unless its text is known. `is_known` also gets the bytes
    /// that end with the text.
    #[inline]
    fn unknown<'row>(
        &self,
        bytes: &'row [u8],
        place: &Range<usize>,
        has_escape: bool,
        mut is_known: impl FnMut(&[u8], FieldText<'_>) -> bool,
    ) -> Option<Field<'row>> {
        let before = &bytes[..place.end];
        let text = &before[place.start..];
        if has_escape {
            if text.len() > NULL_BYTES && is_known(before, FieldText::Unresolved(text)) {
                return None;
            }
            if let &[escape, b'N'] = text
                && Some(escape) == self.escape
                && self.escape != self.quote
            {
                return Some(Field::Null);
            }
            return Some(self.field(before, place.start).0);
        }
        let (value, before) = match text {
            [first, inner @ .., _] if Some(*first) == self.quote => {
                (inner, &bytes[..place.end - 1])
            }
            b"NULL" if self.quote.is_some() => return Some(Field::Null),
            text => (text, before),
        };
        (!is_known(before, FieldText::Value(value))).then_some(Field::Value(Cow::Borrowed(value)))
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

/// The longest text that is NULL: its escape in quotes.
const NULL_BYTES: usize = 4;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::Preset;

    fn shown(dialect: &Dialect, fields_per_row: usize, row: &[u8]) -> Vec<String> {
        let show = |field: &Field<'_>| match field {
            Field::Missing => "missing".to_owned(),
            Field::Null => "NULL".to_owned(),
            Field::Value(value) => format!("'{}'", value.escape_ascii()),
        };
        let row = CutRow::whole(row);
        FieldReader::new(dialect, fields_per_row).read(&row).iter().map(show).collect()
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
}
