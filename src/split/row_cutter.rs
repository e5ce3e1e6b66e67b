//! Cuts an object's data, which has no header lines, into rows.
//!
//! [`super::machine::FieldMachine`] decides where rows end. [`super::row_index`] is faster, and
//! finds the rows that are ordinary.
//!
//! This module does no I/O. Its memory depends on the longest row, which is held whole.

use super::cut_row::{CutRow, RowBlock};
use super::grammar::{Grammar, LF, Lines};
use super::machine::FieldMachine;
use super::malformed::Malformed;
use super::row_index::RowIndex;
use crate::dialect::{Dialect, LineTerminator, RowFormat};

/// The number of bytes that are copied behind an incomplete row at a time, to complete it.
const STITCHED_BYTES: usize = 4096;

/// Cuts an object's data into rows.
#[derive(Clone, Debug)]
pub struct RowCutter {
    grammar: Grammar,
    /// Finds the ordinary rows. `None` if it cannot read the dialect.
    index: Option<RowIndex>,
    machine: FieldMachine,
    /// The bytes of the current row.
    held: Vec<u8>,
    /// The number of the current row's bytes about which the machine has decided.
    read: usize,
    position: u64,
}

impl RowCutter {
    /// Creates a cutter for an object with this line terminator, from [`super::Scan::data_start`]
    /// on.
    #[must_use]
    pub fn new<'format>(
        format: impl Into<RowFormat<'format>>,
        lines_terminated_by: &[u8],
        fields_per_row: usize,
    ) -> Self {
        let grammar = match format.into() {
            RowFormat::Delimited(dialect) => {
                let settled = Dialect {
                    lines_terminated_by: LineTerminator::Exact(lines_terminated_by.to_vec()),
                    ..dialect.clone()
                };
                Grammar::new(&settled, fields_per_row)
            }
            RowFormat::JsonLines => Grammar::new(RowFormat::JsonLines, fields_per_row),
        };
        Self {
            index: RowIndex::new(&grammar),
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
    pub fn feed(
        &mut self,
        bytes: &[u8],
        mut on_row: impl FnMut(CutRow<'_>),
    ) -> Result<(), Malformed> {
        self.feed_blocks(bytes, |block| block.rows().for_each(&mut on_row))
    }

    /// Reads the next bytes like [`Self::feed`], and passes on as many rows at a time as are found.
    ///
    /// # Errors
    /// The errors of [`Self::feed`].
    pub fn feed_blocks(
        &mut self,
        bytes: &[u8],
        mut on_block: impl FnMut(RowBlock<'_>),
    ) -> Result<(), Malformed> {
        // Only the row that began before these bytes is copied, with some of them.
        let mut rest = bytes;
        while !self.held.is_empty() && !rest.is_empty() {
            let (piece, after) = rest.split_at(rest.len().min(STITCHED_BYTES));
            let mut held = std::mem::take(&mut self.held);
            held.extend_from_slice(piece);
            let row_start = self.cut(&held, false, &mut on_block)?;
            let row_bytes = held.len() - row_start;
            rest = after;
            if row_bytes <= bytes.len() - after.len() {
                rest = &bytes[bytes.len() - after.len() - row_bytes..];
            } else {
                held.drain(..row_start);
                self.held = held;
            }
        }
        if self.held.is_empty() {
            let row_start = self.cut(rest, false, on_block)?;
            self.held.extend_from_slice(&rest[row_start..]);
        }
        Ok(())
    }

    /// Ends the object. The last row's line terminator must have been fed; without it, that row is
    /// not passed on.
    ///
    /// # Errors
    /// The errors of [`Self::feed`].
    pub fn finish(self, mut on_row: impl FnMut(CutRow<'_>)) -> Result<(), Malformed> {
        self.finish_blocks(|block| block.rows().for_each(&mut on_row))
    }

    /// Ends the object like [`Self::finish`].
    ///
    /// # Errors
    /// The errors of [`Self::feed`].
    pub fn finish_blocks(mut self, on_block: impl FnMut(RowBlock<'_>)) -> Result<(), Malformed> {
        let held = std::mem::take(&mut self.held);
        self.cut(&held, true, on_block).map(|_| ())
    }

    /// Cuts the rows in `data`, which begins with the current row, and returns the start of the
    /// last row, which is incomplete.
    fn cut(
        &mut self,
        data: &[u8],
        is_last: bool,
        mut on_block: impl FnMut(RowBlock<'_>),
    ) -> Result<usize, Malformed> {
        let Self { grammar, index, machine, read, position, .. } = self;
        let terminator_bytes = grammar.line_terminator(machine.detected).map_or(0, <[u8]>::len);
        let mut row_start = 0;
        while *read < data.len() {
            if machine.is_between_rows()
                && let Some(index) = index
            {
                let rest = &data[*read..];
                index.find(rest);
                if index.row_count() > 0 {
                    on_block(RowBlock::Indexed(index.rows(rest)));
                    machine.pass_rows(index.row_count());
                    *read += index.bytes();
                    row_start = *read;
                    continue;
                }
            }
            // Up to the next byte that needs a decision, or past one decision, until the row ends.
            let rows = machine.rows;
            let next = machine.run(grammar, data, *read, *read + 1, is_last, *position)?;
            if machine.rows > rows {
                let row = CutRow::whole(&data[row_start..next - terminator_bytes]);
                on_block(RowBlock::One(row));
                row_start = next;
            } else if grammar.lines == Lines::Json && data[..next].ends_with(LF) {
                // A line without a row.
                row_start = next;
            }
            if next == *read {
                break;
            }
            *read = next;
        }
        *read -= row_start;
        *position += row_start as u64;
        Ok(row_start)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::dialect::Preset;
    use crate::split::FieldReader;

    #[test]
    fn rows_are_the_same_however_the_object_is_cut() {
        let dialect = Preset::Csv.dialect();
        let object = b"a,\"b\r\nc\"\r\n\r\n\"\"\"\"\r\n more";
        let expected: [&[u8]; 3] = [b"a,\"b\r\nc\"", b"", b"\"\"\"\""];
        for chunk_bytes in 1..=object.len() {
            let mut cutter = RowCutter::new(&dialect, b"\r\n", 2);
            let mut rows: Vec<Vec<u8>> = Vec::new();
            for chunk in object.chunks(chunk_bytes) {
                cutter.feed(chunk, |row| rows.push(row.bytes.to_vec())).unwrap();
            }
            cutter.finish(|row| rows.push(row.bytes.to_vec())).unwrap();
            assert_eq!(rows, expected, "in chunks of {chunk_bytes}");
        }
    }

    /// Returns what a reader makes of a row, with the places of its fields.
    fn read(reader: &FieldReader, row: &CutRow<'_>) -> String {
        let mut fields = Vec::new();
        let rest = reader.for_each_unknown(
            row,
            |_, _| false,
            |index, place, field| fields.push((index, place, field)),
        );
        format!("{} {fields:?} {rest:?}", row.bytes.escape_ascii())
    }

    proptest! {
        #[test]
        fn indexed_rows_are_those_of_the_machine(
            texts in proptest::collection::vec(
                prop::sample::select(vec![
                    "plain text", "7", ",", ",", ",", "\t", "\t", "\t", "\n", "\r\n", "|", "NULL",
                    "\\N", "\"\"", "\",\"", "\"a,b\"", "\"a\"\"b\"", "\\\n", "\\\\", "\\",
                    "\"", "\r", "\"\\N\"",
                    "a text that is longer than a word of sixty-four bytes, by some",
                ]),
                0..80,
            ),
            chunk_bytes in 1_usize..300,
            fields_per_row in 1_usize..5,
        ) {
            let object = texts.concat().into_bytes();
            let both = Dialect { fields_escaped_by: Some(b'\\'), ..Preset::Csv.dialect() };
            let doubling = Dialect { fields_escaped_by: Some(b'"'), ..Preset::Csv.dialect() };
            let dialects = [
                (Preset::Csv.dialect(), b"\n".as_slice()),
                (Preset::Csv.dialect(), b"\r\n"),
                (Preset::Mysql.dialect(), b"\n"),
                (Preset::Mysql.dialect(), b"|"),
                (Preset::Mysql.dialect(), b"\r\n"),
                (Preset::HiveRaw.dialect(), b"\n"),
                (both, b"\n"),
                (doubling, b"\n"),
            ];
            for (dialect, line) in dialects {
                let cutter = RowCutter::new(&dialect, line, fields_per_row);
                prop_assert_eq!(cutter.index.is_some(), dialect.fields_terminated_by.len() == 1);
                let slow = RowCutter { index: None, ..cutter.clone() };
                let reader = FieldReader::new(&dialect, fields_per_row);
                let cut = |mut cutter: RowCutter| {
                    let mut rows = Vec::new();
                    for chunk in object.chunks(chunk_bytes) {
                        cutter.feed(chunk, |row| rows.push(read(&reader, &row)))?;
                    }
                    cutter.finish(|row| rows.push(read(&reader, &row)))?;
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
