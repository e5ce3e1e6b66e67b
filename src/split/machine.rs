//! Reads the fields of rows. It reads an object as the server does, one decision at a time.
//!
//! It is exact for every dialect, and it alone knows what ends a row. [`super::fast_path`] only
//! skips stretches in which there is nothing to decide.

use super::boundary::Boundary;
use super::grammar::{Grammar, LineEnding, LineTest, Lines};
use super::malformed::{Malformed, MalformedKind};
use super::utf8::UTF8_BYTE_ORDER_MARK;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FieldState {
    /// The first byte of a field, the only place where a quote opens.
    FieldStart,
    /// Inside a field that is not enclosed.
    Plain,
    /// Inside an enclosed field.
    Quoted,
    /// Past the last field that is read. Only the escape and the line terminator have a meaning.
    Skipped,
}

/// The position and the counts of a reader. It is small, so that a reading can be tried and undone.
#[derive(Clone, Debug)]
pub(super) struct FieldMachine {
    pub(super) state: FieldState,
    /// The number of field terminators of this row so far, if fields are tracked. In a line of JSON
    /// without anything yet, the number of bytes of a byte order mark that has begun.
    pub(super) field: usize,
    pub(super) rows: u64,
    pub(super) header_lines_left: u64,
    /// True if the byte before the current one is a carriage return that is part of the line,
    /// neither escaped nor quoted.
    pub(super) after_cr: bool,
    /// The offset of the quote that opened the current field.
    pub(super) quote_offset: u64,
    pub(super) detected: Option<LineEnding>,
    pub(super) data_start: u64,
}

impl FieldMachine {
    pub(super) fn new(header_lines: u64) -> Self {
        Self {
            state: FieldState::FieldStart,
            field: 0,
            rows: 0,
            header_lines_left: header_lines,
            after_cr: false,
            quote_offset: 0,
            detected: None,
            data_start: 0,
        }
    }

    /// Continues at a row boundary, as if everything before it had been read.
    pub(super) fn go_on_at(&mut self, boundary: &Boundary) {
        if boundary.offset > 0 {
            self.header_lines_left = 0;
            self.data_start = boundary.offset;
            self.rows = boundary.rows;
            self.detected = boundary.ending;
            self.begin_row();
        }
    }

    /// Counts rows that have been read by other means, from a row boundary to another one.
    pub(super) fn pass_rows(&mut self, rows: usize) {
        self.rows += rows as u64;
        self.begin_row();
    }

    fn begin_row(&mut self) {
        self.field = 0;
        self.after_cr = false;
        self.state = FieldState::FieldStart;
    }

    fn end_row(&mut self, next_offset: u64) {
        if self.header_lines_left == 0 {
            self.rows += 1;
        } else {
            self.header_lines_left -= 1;
            self.data_start = next_offset;
        }
        self.begin_row();
    }

    /// Returns true if no row has begun. If the object ended here, its last row would be complete.
    pub(super) fn is_between_rows(&self) -> bool {
        self.state == FieldState::FieldStart && self.field == 0
    }

    pub(super) fn malformed(&self, kind: MalformedKind, offset: u64) -> Malformed {
        let row = if self.header_lines_left > 0 { 0 } else { self.rows + 1 };
        Malformed { kind, row, offset, place: None, quote_offset: None, quote_place: None }
    }

    /// Reads `data` from index `from` on, at least to index `stop`, and returns the index up to
    /// which it has read. That is less than `stop` only if the next decision needs bytes beyond
    /// `data`. `last` means that there are no such bytes; only an escape or a closing quote that is
    /// the very last byte then stays unread.
    ///
    /// `base` is the offset of `data[0]` in the object.
    pub(super) fn run(
        &mut self,
        grammar: &Grammar,
        data: &[u8],
        from: usize,
        stop: usize,
        last: bool,
        base: u64,
    ) -> Result<usize, Malformed> {
        if grammar.lines == Lines::Json {
            return Ok(self.run_json_lines(data, from, stop));
        }
        let mut at = from;
        while at < stop {
            let set = match self.state {
                FieldState::FieldStart => {
                    if Some(data[at]) == grammar.quote {
                        self.state = FieldState::Quoted;
                        self.quote_offset = base + at as u64;
                        at += 1;
                    } else {
                        self.state = FieldState::Plain;
                    }
                    continue;
                }
                FieldState::Plain => &grammar.plain_set,
                FieldState::Quoted => &grammar.quoted_set,
                FieldState::Skipped => &grammar.skipped_set,
            };
            let run_length = data[at..].iter().position(|&byte| set[usize::from(byte)]);
            let found = run_length.map_or(data.len(), |length| at + length);
            if found > at {
                self.after_cr = self.state != FieldState::Quoted && data[found - 1] == b'\r';
                at = found;
                continue;
            }
            let rest = &data[at..];
            if !last && rest.len() < grammar.lookahead_bytes {
                return Ok(at);
            }
            let decided = match self.state {
                FieldState::Quoted => self.decide_quoted(grammar, rest, base + at as u64)?,
                _ => self.decide_unquoted(grammar, rest, base + at as u64)?,
            };
            if decided == 0 {
                return Ok(at);
            }
            at += decided;
        }
        Ok(at)
    }

    /// Reads lines of JSON. The only decision is about a line feed, and needs no further bytes. A
    /// line is a row if it has more than white space and byte order marks, which files that are put
    /// together have anywhere.
    fn run_json_lines(&mut self, data: &[u8], from: usize, stop: usize) -> usize {
        let mut at = from;
        while at < stop {
            let rest = &data[at..];
            let length = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
            if length > 0 {
                if self.state == FieldState::FieldStart && !self.is_json_blank(&rest[..length]) {
                    self.state = FieldState::Plain;
                }
                at += length;
                continue;
            }
            at += 1;
            self.rows += u64::from(!self.is_between_rows());
            self.begin_row();
        }
        at
    }

    /// Returns true for bytes of white space and byte order marks. Counts the bytes of a mark that
    /// has begun in `field`, because the rest of it may come with the next bytes.
    fn is_json_blank(&mut self, bytes: &[u8]) -> bool {
        bytes.iter().all(|&byte| {
            if self.field == 0 && matches!(byte, b' ' | b'\t' | b'\r') {
                return true;
            }
            let is_of_mark = UTF8_BYTE_ORDER_MARK.get(self.field) == Some(&byte);
            self.field = (self.field + 1) % UTF8_BYTE_ORDER_MARK.len();
            is_of_mark
        })
    }

    /// Decides about the first byte of `rest`, outside quotes, and returns the number of bytes that
    /// this settles: 0 for an escape with nothing after it.
    fn decide_unquoted(
        &mut self,
        grammar: &Grammar,
        rest: &[u8],
        offset: u64,
    ) -> Result<usize, Malformed> {
        let escape =
            if self.state == FieldState::Skipped { grammar.escape } else { grammar.field_escape };
        if escape == Some(rest[0]) {
            self.after_cr = false;
            return Ok(if rest.len() < 2 { 0 } else { 2 });
        }
        match grammar.line_at(rest, self.detected, self.after_cr) {
            LineTest::Ends { terminator_bytes, detected } => {
                self.detected = detected;
                self.end_row(offset + terminator_bytes as u64);
                return Ok(terminator_bytes);
            }
            LineTest::Mistaken { kind, bytes_before } => {
                return Err(self.malformed(kind, offset - bytes_before));
            }
            LineTest::No => {}
        }
        if self.state == FieldState::Plain
            && grammar.tracks_fields
            && rest.starts_with(&grammar.field)
        {
            self.end_field(grammar);
            return Ok(grammar.field.len());
        }
        if let Some(kind) = grammar.wrong_ending_at(rest).filter(|_| rest[0] == b'\n') {
            return Err(self.malformed(kind, offset));
        }
        self.after_cr = rest[0] == b'\r';
        Ok(1)
    }

    fn end_field(&mut self, grammar: &Grammar) {
        self.field += 1;
        self.after_cr = false;
        // A header line may have any number of fields, so its quotes count up to its end.
        let read_all = self.header_lines_left == 0 && self.field >= grammar.fields_per_row;
        self.state = if read_all { FieldState::Skipped } else { FieldState::FieldStart };
    }

    /// Decides like [`Self::decide_unquoted`], but inside quotes. Returns 0 for a quote or an
    /// escape with nothing after it.
    fn decide_quoted(
        &mut self,
        grammar: &Grammar,
        rest: &[u8],
        offset: u64,
    ) -> Result<usize, Malformed> {
        let Some(&next) = rest.get(1) else {
            return Ok(0);
        };
        if grammar.field_escape == Some(rest[0]) || grammar.quote == Some(next) {
            return Ok(2);
        }
        let after = &rest[1..];
        match grammar.line_at(after, self.detected, false) {
            LineTest::Ends { terminator_bytes, detected } => {
                self.detected = detected;
                self.end_row(offset + 1 + terminator_bytes as u64);
                return Ok(1 + terminator_bytes);
            }
            LineTest::Mistaken { kind, .. } => return Err(self.malformed(kind, offset + 1)),
            LineTest::No => {}
        }
        if after.starts_with(&grammar.field) {
            self.end_field(grammar);
            return Ok(1 + grammar.field.len());
        }
        match grammar.wrong_ending_at(after) {
            Some(kind) => Err(self.malformed(kind, offset + 1)),
            None => Err(Malformed {
                quote_offset: Some(self.quote_offset),
                ..self.malformed(MalformedKind::TextAfterClosingQuote, offset + 1)
            }),
        }
    }
}
