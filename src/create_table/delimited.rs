//! The names and values of delimited text.

use super::guess::{Guess, MOST_ROWS};
use super::names::ensure_distinct;
use super::options::Head;
use crate::dialect::{ColumnOrVariable, ExtraColumns, FormatConfig};
use crate::error::{Error, ErrorKind, Result};
use crate::printable::printable;
use crate::split::{CutRow, Field, FieldReader, RowCutter, RowReader, header_names};
use crate::sql_text::same_name;

impl Guess<'_> {
    /// Adds the rows of delimited text.
    pub(super) fn add_delimited(&mut self, head: &Head<'_>) -> Result<()> {
        if head.text.is_empty() {
            return Ok(());
        }
        let FormatConfig { dialect, charset, ignore_lines, null_strings, .. } = self.options.format;
        let fields = self.fields(head)?;
        let malformed = |error: crate::split::Malformed| {
            Error::new(ErrorKind::Malformed, format!("{}: {error}", head.object))
        };
        let mut reader = RowReader::new(dialect, charset, fields.len(), *ignore_lines);
        reader.feed(head.text).map_err(malformed)?;
        let scan =
            if head.is_whole { reader.finish().map_err(malformed)? } else { reader.so_far() };
        let data_start = usize::try_from(scan.data_start).unwrap_or(usize::MAX);
        let mut data = head.text.get(data_start..).unwrap_or_default().to_vec();
        if scan.needs_terminator {
            data.extend_from_slice(&scan.lines_terminated_by);
        }
        let is_null = |value: &[u8]| null_strings.iter().any(|word| word.as_bytes() == value);
        let key = printable(&head.object.key);
        let values = FieldReader::new(dialect, fields.len());
        let mut cutter = RowCutter::new(dialect, &scan.lines_terminated_by, fields.len());
        let mut rows = 0;
        let mut add = |row: CutRow<'_>| {
            if rows == MOST_ROWS {
                return;
            }
            rows += 1;
            let offset = data_start + offset(&data, row.bytes);
            let place = || {
                let before = head.text.get(..offset).unwrap_or_default();
                format!("{key} line {}", memchr::memchr_iter(b'\n', before).count() + 1)
            };
            values.for_each(row.bytes, |index, _, field| {
                let Some(Some(column)) = fields.get(index).copied() else { return };
                match field {
                    Field::Missing => {}
                    Field::Null => self.add_null(column),
                    Field::Value(value) if is_null(&value) => self.add_null(column),
                    Field::Value(value) => self.add_text(column, &value, &place),
                }
            });
        };
        cutter.feed(&data, &mut add).map_err(malformed)?;
        // The last row of a text that goes on may be cut.
        if head.is_whole {
            cutter.finish(&mut add).map_err(malformed)?;
        }
        self.rows += rows;
        Ok(())
    }

    /// Returns the column of each field; `None` for a field that is left out.
    fn fields(&mut self, head: &Head<'_>) -> Result<Vec<Option<usize>>> {
        let FormatConfig { dialect, charset, ignore_lines, columns, names, .. } =
            self.options.format;
        let what = head.object.to_string();
        if let (Some(columns), false) = (columns, names.by_name()) {
            let fields = columns.iter().map(|item| match item {
                ColumnOrVariable::Column(name) => self.column(name, &what, "").map(Some),
                ColumnOrVariable::Variable(_) => Ok(None),
            });
            return fields.collect();
        }
        let header = header_names(dialect, charset, *ignore_lines, head.text, !head.is_whole);
        let Some(mut header) = header else {
            let message = format!("{what}: its header line does not end in its first bytes");
            return Err(Error::new(ErrorKind::Malformed, message)
                .with_hint("--ignore-lines sets the number of header lines"));
        };
        let remedy = if names.by_name() {
            "rename it in the object; or --columns lists the names to load, and --extra-columns \
             ignore leaves the others out"
        } else {
            "--columns names the fields in their order, and @skip leaves one out"
        };
        let leaves_out = names.by_name() && names.extra_columns == ExtraColumns::Ignore;
        // A delimiter at the end of every line is usual.
        if header.len() > 1 && header.last().is_some_and(String::is_empty) && !names.by_name() {
            header.pop();
        }
        ensure_distinct(
            header.iter().map(String::as_str).filter(|name| !name.is_empty() || !leaves_out),
            &what,
            remedy,
        )?;
        if !names.by_name() {
            self.ensure_same_header(&header, &what)?;
        }
        let fields = header.iter().map(|name| {
            if name.is_empty() && leaves_out || !self.is_wanted(name) {
                return Ok(None);
            }
            self.column(name, &what, remedy).map(Some)
        });
        fields.collect()
    }

    /// Requires that all objects have the same names in the same order, if fields go by position.
    fn ensure_same_header(&mut self, header: &[String], what: &str) -> Result<()> {
        let Some((first, of)) = &self.header else {
            self.header = Some((header.to_vec(), what.to_owned()));
            return Ok(());
        };
        let is_same = first.len() == header.len()
            && first.iter().zip(header).all(|(one, other)| same_name(one, other));
        if is_same {
            return Ok(());
        }
        let message = format!(
            "{what}: its header ({}) is not that of {of} ({})",
            printable(&header.join(", ")),
            printable(&first.join(", "))
        );
        Err(Error::new(ErrorKind::Malformed, message)
            .with_hint("--match-columns name makes a table with the columns of all objects"))
    }
}

/// Returns the offset of a row in the data. It is a piece of the data, or a copy of the last one.
fn offset(data: &[u8], row: &[u8]) -> usize {
    let offset = row.as_ptr().addr().wrapping_sub(data.as_ptr().addr());
    if offset <= data.len() {
        offset
    } else {
        memchr::memmem::rfind(data, row).unwrap_or(data.len())
    }
}
