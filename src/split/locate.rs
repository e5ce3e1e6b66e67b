//! The place of given rows in an object: the line at which an editor shows them, and their bytes.
//!
//! A server numbers the rows that it reads, but people look for lines. The two differ as soon as
//! there is a header, or a quoted or escaped line break. [`RowLocator`] reads an object again in
//! the same way as [`super::RowReader`], with the same [`FieldMachine`], so that both always agree
//! on where a row begins.
//!
//! This module does no I/O. Its memory depends only on the number of rows that are requested or not
//! yet taken. The object must be one that the reader accepted.

use std::sync::Arc;

use memchr::{memchr_iter, memmem};

use super::boundary::Boundary;
use super::fast_path;
use super::grammar::{Grammar, LF, Lines};
use super::machine::FieldMachine;
use super::malformed::Malformed;
use super::text_place::line_break;
use super::utf8::UTF8_BYTE_ORDER_MARK;
use crate::dialect::{Charset, RowFormat};

/// The number of bytes that are kept of a row: more than a person reads of a line, and too few for
/// ten rows to matter.
const KEPT_BYTES: usize = 1024;

/// The number of bytes that are skipped at a time, for as long as no requested row begins in them.
const WINDOW_BYTES: usize = 4096;

/// A row of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocatedRow {
    /// The number of the row, from 1 for the first data row, as the server counts.
    pub row: u64,
    /// The byte of the object at which the row begins.
    pub offset: u64,
    /// The line of the object on which the row begins. 1 is the object's first line, even if it is
    /// a header. A line ends at every line feed, wherever it stands, or at every line terminator if
    /// that contains no line feed.
    pub line: u64,
    /// The first bytes of the row, without its line terminator. Empty if every row is requested.
    pub raw: Vec<u8>,
    /// The number of bytes of the row, without its line terminator.
    pub size_bytes: u64,
    /// The offset of the byte after the row's line terminator, or after the row if it has none.
    pub end: u64,
}

impl LocatedRow {
    /// Returns true if the row is longer than the bytes that are kept of it.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.size_bytes > self.raw.len() as u64
    }
}

/// Reads an object chunk by chunk, and finds the requested rows.
#[derive(Clone, Debug)]
pub struct RowLocator {
    /// Shared, because one locator is cloned for each of many objects.
    grammar: Arc<Grammar>,
    machine: FieldMachine,
    wanted: RowSelection,
    found: Vec<LocatedRow>,
    /// The current row, if it is requested.
    begun: Option<LocatedRow>,
    lines: LineBreaks,
    may_start_with_mark: bool,
    /// The bytes at `position` that cannot be decided without those that follow.
    pending: Vec<u8>,
    position: u64,
}

/// The rows that are requested.
#[derive(Clone, Debug)]
enum RowSelection {
    Every,
    /// The rows that are still to be found, in descending order.
    These(Vec<u64>),
}

impl RowLocator {
    /// Creates a locator. It takes the arguments of [`super::RowReader::new`], and the numbers of
    /// the rows in any order.
    #[must_use]
    pub fn new<'format>(
        format: impl Into<RowFormat<'format>>,
        charset: &Charset,
        fields_per_row: usize,
        ignore_lines: u64,
        rows: impl IntoIterator<Item = u64>,
    ) -> Self {
        let mut wanted: Vec<u64> = rows.into_iter().filter(|&row| row > 0).collect();
        wanted.sort_unstable_by(|left, right| right.cmp(left));
        wanted.dedup();
        let grammar = Grammar::new(format, fields_per_row);
        Self::wanting(RowSelection::These(wanted), grammar, charset, ignore_lines)
    }

    /// Creates a locator for every row. Call [`Self::take`] after each chunk to get the rows.
    #[must_use]
    pub fn every<'format>(
        format: impl Into<RowFormat<'format>>,
        charset: &Charset,
        fields_per_row: usize,
        ignore_lines: u64,
    ) -> Self {
        let grammar = Grammar::new(format, fields_per_row);
        Self::wanting(RowSelection::Every, grammar, charset, ignore_lines)
    }

    /// Begins at `boundary` instead of the start of the object.
    #[must_use]
    pub fn beginning_at(mut self, boundary: &Boundary) -> Self {
        if boundary.offset > 0 {
            self.machine.go_on_at(boundary);
            self.position = boundary.offset;
            self.lines.passed = boundary.lines;
            self.may_start_with_mark = false;
        }
        self
    }

    fn wanting(
        wanted: RowSelection,
        grammar: Grammar,
        charset: &Charset,
        ignore_lines: u64,
    ) -> Self {
        Self {
            machine: FieldMachine::new(ignore_lines),
            lines: LineBreaks::new(&grammar),
            // In JSON the mark is part of the first row, as the reader counts it.
            may_start_with_mark: charset.is_utf8() && grammar.lines != Lines::Json,
            grammar: Arc::new(grammar),
            wanted,
            found: Vec::new(),
            begun: None,
            pending: Vec::new(),
            position: 0,
        }
    }

    /// Returns true if every requested row has been found, so that the rest of the object need not
    /// be read.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(&self.wanted, RowSelection::These(rows) if rows.is_empty())
    }

    /// Returns the rows that were found since the last call, in order.
    pub fn take(&mut self) -> Vec<LocatedRow> {
        std::mem::take(&mut self.found)
    }

    /// Reads the object's next bytes.
    ///
    /// # Errors
    ///
    /// The errors of [`super::RowReader::feed`], except those about characters.
    pub fn feed(&mut self, chunk: &[u8]) -> Result<(), Malformed> {
        let mut data = std::mem::take(&mut self.pending);
        data.extend_from_slice(chunk);
        if self.may_start_with_mark {
            if data.len() < UTF8_BYTE_ORDER_MARK.len() && UTF8_BYTE_ORDER_MARK.starts_with(&data) {
                self.pending = data;
                return Ok(());
            }
            self.may_start_with_mark = false;
            if data.starts_with(UTF8_BYTE_ORDER_MARK) {
                self.position = UTF8_BYTE_ORDER_MARK.len() as u64;
                data.drain(..UTF8_BYTE_ORDER_MARK.len());
            }
        }
        let read = self.read(&data, false)?;
        self.position += read as u64;
        self.pending = data.split_off(read);
        Ok(())
    }

    /// Ends the object, and returns those of the requested rows that it has, in order.
    ///
    /// # Errors
    ///
    /// The errors of [`Self::feed`].
    pub fn finish(mut self) -> Result<Vec<LocatedRow>, Malformed> {
        let data = std::mem::take(&mut self.pending);
        let read = self.read(&data, true)?;
        if !self.machine.is_between_rows() {
            // A closing quote that is the very last byte is left unread.
            self.keep(&data[read..]);
            let end = self.position + data.len() as u64;
            self.end_row(end, end);
        }
        Ok(self.found)
    }

    /// Reads as much of `data`, which starts at `position`, as can be decided.
    fn read(&mut self, data: &[u8], last: bool) -> Result<usize, Malformed> {
        let mut at = 0;
        let mut step_to = 0;
        while at < data.len() {
            if self.is_done() {
                return Ok(data.len());
            }
            if at >= step_to && self.begun.is_none() && !matches!(self.wanted, RowSelection::Every)
            {
                match self.skip_ordinary(data, at) {
                    Ok(passed) => {
                        at = passed;
                        continue;
                    }
                    Err(steps_bytes) => step_to = at + steps_bytes,
                }
            }
            let next = self.step(data, at, last)?;
            if next == at {
                break;
            }
            at = next;
        }
        Ok(at)
    }

    /// Skips text in which no requested row begins, and returns the index up to which it did.
    /// Otherwise returns, as an error, the number of bytes to read step by step before another try
    /// is worthwhile.
    fn skip_ordinary(&mut self, data: &[u8], at: usize) -> Result<usize, usize> {
        let window = &data[..data.len().min(at + WINDOW_BYTES)];
        let mut tried = self.machine.clone();
        let passed = fast_path::skip_ordinary(&self.grammar, &mut tried, window, at, self.position)
            .unwrap_or(at);
        if passed == at {
            return Err(fast_path::WORD_BYTES);
        }
        if self.is_wanted_up_to(tried.rows + 1) {
            return Err(WINDOW_BYTES);
        }
        self.machine = tried;
        self.lines.count(&data[at..passed]);
        Ok(passed)
    }

    /// Lets the machine make one decision, so that no row begins unseen. Returns the index that it
    /// reached.
    fn step(&mut self, data: &[u8], at: usize, last: bool) -> Result<usize, Malformed> {
        let before = (self.machine.rows, self.machine.header_lines_left);
        self.begin_row(self.position + at as u64);
        let next = self.machine.run(&self.grammar, data, at, at + 1, last, self.position)?;
        self.lines.count(&data[at..next]);
        self.keep(&data[at..next]);
        if before != (self.machine.rows, self.machine.header_lines_left) {
            self.lines.start_anew();
            let terminator_bytes =
                self.grammar.line_terminator(self.machine.detected).map_or(0, <[u8]>::len);
            let end = self.position + next as u64;
            self.end_row(end - terminator_bytes as u64, end);
        } else if self.grammar.lines == Lines::Json && data[..next].ends_with(LF) {
            // A line without a row.
            self.begun = None;
        }
        Ok(next)
    }

    /// Records the row that begins at `offset`, if it is requested and not yet begun.
    fn begin_row(&mut self, offset: u64) {
        let row = self.machine.rows + 1;
        let is_data = self.machine.header_lines_left == 0;
        if is_data && self.begun.is_none() && self.is_wanted_up_to(row) {
            let line = self.lines.passed + 1;
            self.begun =
                Some(LocatedRow { row, offset, line, raw: Vec::new(), size_bytes: 0, end: offset });
        }
    }

    /// Returns true if a row up to `row` is still to be found.
    fn is_wanted_up_to(&self, row: u64) -> bool {
        match &self.wanted {
            RowSelection::Every => true,
            RowSelection::These(rows) => rows.last().is_some_and(|&wanted| row >= wanted),
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        if let (Some(begun), RowSelection::These(_)) = (&mut self.begun, &self.wanted) {
            let room_bytes = KEPT_BYTES.saturating_sub(begun.raw.len());
            begun.raw.extend_from_slice(&bytes[..bytes.len().min(room_bytes)]);
        }
    }

    /// Ends the current row. `terminator` is the offset of its terminator, `end` the offset after
    /// it.
    fn end_row(&mut self, terminator: u64, end: u64) {
        if let Some(mut row) = self.begun.take() {
            row.size_bytes = terminator - row.offset;
            row.end = end;
            // The terminator may have been kept with the row.
            row.raw.truncate(usize::try_from(row.size_bytes).unwrap_or(usize::MAX));
            if let RowSelection::These(rows) = &mut self.wanted {
                rows.pop();
            }
            self.found.push(row);
        }
    }
}

/// Counts the line breaks that a reader of the object sees, even if they do not end a row.
#[derive(Clone, Debug)]
struct LineBreaks {
    line_break: Vec<u8>,
    passed: u64,
    /// The last bytes, which a line break of several bytes may continue.
    recent: Vec<u8>,
}

impl LineBreaks {
    fn new(grammar: &Grammar) -> Self {
        Self { line_break: line_break(grammar), passed: 0, recent: Vec::new() }
    }

    fn count(&mut self, bytes: &[u8]) {
        if let &[byte] = self.line_break.as_slice() {
            self.passed += memchr_iter(byte, bytes).count() as u64;
            return;
        }
        self.recent.extend_from_slice(bytes);
        let mut unmatched =
            self.recent.len().saturating_sub(self.line_break.len().saturating_sub(1));
        for at in memmem::find_iter(&self.recent, &self.line_break) {
            self.passed += 1;
            unmatched = unmatched.max(at + self.line_break.len());
        }
        self.recent.drain(..unmatched);
    }

    /// Ends a row, across which no line break continues.
    fn start_anew(&mut self) {
        self.recent.clear();
    }
}
