//! The row count of an object while its bytes stream past.

use std::sync::Arc;

use super::boundary::Boundary;
use super::grammar::{Grammar, LF, Lines};
use super::machine::{FieldMachine, FieldState};
use super::malformed::{Malformed, MalformedKind};
use super::utf8::{CharCheck, UTF8_BYTE_ORDER_MARK};
use super::{fast_path, utf8};
use crate::dialect::{Charset, RowFormat};

/// The result of reading an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    /// The number of bytes at the start that are not sent: a byte order mark and the header lines.
    pub data_start: u64,
    /// The number of data rows, as the server counts them.
    pub rows: u64,
    /// The line terminator. LF if it had to be detected and no line ended.
    pub lines_terminated_by: Vec<u8>,
    /// True if the last row lacks its terminator, which must then be sent after the object's bytes.
    pub needs_terminator: bool,
}

/// Reads one object, chunk by chunk. After an error it is unusable.
#[derive(Clone, Debug)]
pub struct RowReader {
    /// Shared, because one reader is cloned for each of many objects.
    pub(super) grammar: Arc<Grammar>,
    pub(super) machine: FieldMachine,
    pub(super) text: Option<Utf8>,
    /// The bytes at `position` that cannot be decided without those that follow. There are fewer of
    /// them than the grammar's lookahead.
    pub(super) pending: Vec<u8>,
    /// The number of bytes of the object that have been read for good.
    pub(super) position: u64,
    /// The places at which the object is to be split, if it is.
    pub(super) parts: Option<PartBoundaries>,
}

impl RowReader {
    /// Creates a reader. `fields_per_row` is the number of items in LOAD DATA's column list,
    /// including `@variables`, or the number of the table's columns if there is no list. The first
    /// `ignore_lines` lines are headers with any number of fields, and not data.
    #[must_use]
    pub fn new<'format>(
        format: impl Into<RowFormat<'format>>,
        charset: &Charset,
        fields_per_row: usize,
        ignore_lines: u64,
    ) -> Self {
        let grammar = Arc::new(Grammar::new(format, fields_per_row));
        // A line of JSON with other bytes is a bad row.
        let is_text = charset.is_utf8() && grammar.lines != Lines::Json;
        let text = is_text.then(|| Utf8 {
            charset: charset.name().to_owned(),
            four_byte_characters: charset.has_four_byte_characters(),
            incomplete: Vec::new(),
        });
        Self {
            machine: FieldMachine::new(ignore_lines),
            grammar,
            text,
            pending: Vec::new(),
            position: 0,
            parts: None,
        }
    }

    /// Begins at `boundary`, as if everything before it had been read.
    #[must_use]
    pub fn beginning_at(mut self, boundary: &Boundary) -> Self {
        self.machine.go_on_at(boundary);
        self.position = boundary.offset;
        self
    }

    /// Makes the reader record the boundaries of parts of this size too. Part k begins at the first
    /// row boundary at or after k times the size.
    #[must_use]
    pub(super) fn splitting(mut self, part_size_bytes: u64) -> Self {
        let size_bytes = part_size_bytes.max(1);
        let next = (self.position / size_bytes + 1).saturating_mul(size_bytes);
        self.parts = Some(PartBoundaries { size_bytes, next, found: Vec::new() });
        self
    }

    /// Reads the object's next bytes.
    ///
    /// # Errors
    ///
    /// The first place at which the object does not match the dialect. It does not depend on how
    /// the object is cut into chunks.
    pub fn feed(&mut self, mut chunk: &[u8]) -> Result<(), Malformed> {
        let Some(text) = &mut self.text else {
            return self.read(chunk);
        };
        if let Some(&lead) = text.incomplete.first() {
            let missing = utf8::character_bytes(lead) - text.incomplete.len();
            let (completion, rest) = chunk.split_at(missing.min(chunk.len()));
            text.incomplete.extend_from_slice(completion);
            if completion.len() < missing {
                return Ok(());
            }
            chunk = rest;
            let character = std::mem::take(&mut text.incomplete);
            self.read_text(&character)?;
        }
        while !chunk.is_empty() {
            let block = &chunk[..chunk.len().min(BLOCK_BYTES)];
            let complete_bytes = block.len() - utf8::incomplete_tail_bytes(block);
            if complete_bytes == 0 {
                // The block is shorter than a character, so this is the end of the chunk.
                if let Some(text) = &mut self.text {
                    text.incomplete.extend_from_slice(block);
                }
                return Ok(());
            }
            self.read_text(&block[..complete_bytes])?;
            chunk = &chunk[complete_bytes..];
        }
        Ok(())
    }

    /// Returns the number of data rows that have ended so far.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.machine.rows
    }

    /// Returns the offset of the first data row and the line terminator, once both are known.
    #[must_use]
    pub fn data_start(&self) -> Option<(u64, &[u8])> {
        // The first bytes may be those of a byte order mark.
        let is_begun = self.position > 0 || !self.pending.is_empty();
        if !is_begun || self.machine.header_lines_left > 0 {
            return None;
        }
        let terminator = self.grammar.line_terminator(self.machine.detected)?;
        Some((self.machine.data_start, terminator))
    }

    /// Returns what is known about an object that goes on: the rows that have ended so far.
    #[must_use]
    pub fn so_far(&self) -> Scan {
        let terminator = self.grammar.line_terminator(self.machine.detected).unwrap_or(LF);
        Scan {
            data_start: self.machine.data_start,
            rows: self.machine.rows,
            lines_terminated_by: terminator.to_vec(),
            needs_terminator: false,
        }
    }

    /// Ends the object.
    ///
    /// # Errors
    ///
    /// The errors of [`Self::feed`], and an object that ends inside a quoted field, a character, an
    /// escape or a terminator.
    pub fn finish(mut self) -> Result<Scan, Malformed> {
        self.close()
    }

    pub(super) fn close(&mut self) -> Result<Scan, Malformed> {
        if self.text.as_ref().is_some_and(|text| !text.incomplete.is_empty()) {
            return Err(self.not_text(false));
        }
        let undecided = self.machine.clone();
        let unread = self.flush()?;
        let terminator = self.grammar.line_terminator(self.machine.detected).unwrap_or(LF).to_vec();
        let end = self.position + self.pending.len() as u64;
        let mut scan = Scan {
            data_start: self.machine.data_start,
            rows: self.machine.rows,
            needs_terminator: false,
            lines_terminated_by: terminator,
        };
        if !self.machine.is_between_rows() {
            let closing_quote = unread.is_some() && unread == self.grammar.quote;
            if self.machine.state == FieldState::Quoted && !closing_quote {
                return Err(self
                    .machine
                    .malformed(MalformedKind::UnclosedQuote, self.machine.quote_offset));
            }
            if unread.is_some() && self.machine.state != FieldState::Quoted {
                return Err(self.machine.malformed(MalformedKind::EscapeAtEnd, end - 1));
            }
            self.check_terminated(undecided, &scan, end)?;
            scan.rows += u64::from(self.machine.header_lines_left == 0);
            scan.needs_terminator = self.machine.header_lines_left == 0;
        }
        if self.machine.header_lines_left > 0 {
            // The object consists of ignored lines only.
            scan.data_start = end;
        }
        Ok(scan)
    }

    /// Decides about the pending bytes as if the object ended here. Returns the last byte if it
    /// stays undecided: an escape or a quote.
    fn flush(&mut self) -> Result<Option<u8>, Malformed> {
        let pending = self.pending.len();
        let mut read = 0;
        // One decision at a time, because a part may begin after each.
        while self.parts.is_some() && read < pending {
            let rows = self.machine.rows;
            let next = self.machine.run(
                &self.grammar,
                &self.pending,
                read,
                read + 1,
                true,
                self.position,
            )?;
            if next == read {
                break;
            }
            read = next;
            self.note_boundary(rows, self.position + read as u64);
        }
        let read =
            self.machine.run(&self.grammar, &self.pending, read, pending, true, self.position)?;
        Ok(self.pending.get(read).copied())
    }

    /// Reads the pending bytes, followed by the line terminator that the last row lacks, as the
    /// server will. They must end exactly this one row: together with the last bytes, the
    /// terminator might otherwise be found too early.
    fn check_terminated(
        &self,
        mut machine: FieldMachine,
        scan: &Scan,
        end: u64,
    ) -> Result<(), Malformed> {
        let lines_before = (self.machine.rows, self.machine.header_lines_left);
        let is_header = self.machine.header_lines_left > 0;
        let lines_after =
            (lines_before.0 + u64::from(!is_header), lines_before.1 - u64::from(is_header));
        let completed = [self.pending.as_slice(), &scan.lines_terminated_by].concat();
        let read = machine
            .run(&self.grammar, &completed, 0, completed.len(), true, self.position)
            .map_err(|error| Malformed { offset: error.offset.min(end), ..error })?;
        let ends_well = read == completed.len()
            && machine.is_between_rows()
            && (machine.rows, machine.header_lines_left) == lines_after;
        if ends_well {
            Ok(())
        } else {
            let expected = scan.lines_terminated_by.clone();
            Err(self.machine.malformed(MalformedKind::TruncatedTerminator { expected }, end))
        }
    }

    /// Validates bytes that should be whole characters, and reads them.
    fn read_text(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        let four_byte_characters = self.text.as_ref().is_none_or(|text| text.four_byte_characters);
        let (valid_bytes, four_bytes) = match utf8::check(bytes, four_byte_characters) {
            CharCheck::Valid => (bytes.len(), None),
            CharCheck::InvalidFrom(at) => (at, Some(false)),
            CharCheck::FourBytesFrom(at) => (at, Some(true)),
        };
        let mut valid = &bytes[..valid_bytes];
        // A character is never cut here, so a byte order mark is complete.
        if self.position == 0
            && self.pending.is_empty()
            && let Some(rest) = valid.strip_prefix(UTF8_BYTE_ORDER_MARK)
        {
            valid = rest;
            self.position = UTF8_BYTE_ORDER_MARK.len() as u64;
            self.machine.data_start = self.position;
        }
        self.read(valid)?;
        match four_bytes {
            Some(four_bytes) => Err(self.not_text(four_bytes)),
            None => Ok(()),
        }
    }

    /// Returns the error for the byte after all bytes that were read.
    fn not_text(&mut self, four_bytes: bool) -> Malformed {
        let offset = self.position + self.pending.len() as u64;
        // The bytes before it are read as if the object ended here. That yields the row's number,
        // and an error in them comes first.
        if let Err(earlier) = self.flush() {
            return earlier;
        }
        let charset = self.text.as_ref().map(|text| text.charset.clone()).unwrap_or_default();
        let kind = if four_bytes {
            MalformedKind::FourByteCharacter { charset }
        } else {
            MalformedKind::InvalidUtf8 { charset }
        };
        self.machine.malformed(kind, offset)
    }

    /// Reads bytes that are known to be text.
    fn read(&mut self, mut bytes: &[u8]) -> Result<(), Malformed> {
        while !self.pending.is_empty() && !bytes.is_empty() {
            let old = self.pending.len();
            let (head, tail) = bytes.split_at(self.grammar.lookahead_bytes.min(bytes.len()));
            let mut stitched = std::mem::take(&mut self.pending);
            stitched.extend_from_slice(head);
            let read = self.scan(&stitched)?;
            if read >= old {
                bytes = &bytes[read - old..];
            } else {
                self.pending = stitched.split_off(read);
                bytes = tail;
            }
        }
        if !bytes.is_empty() {
            let read = self.scan(bytes)?;
            self.pending.extend_from_slice(&bytes[read..]);
        }
        Ok(())
    }

    /// Reads as much of `data`, which starts at `position`, as can be decided without the bytes
    /// that follow it.
    fn scan(&mut self, data: &[u8]) -> Result<usize, Malformed> {
        let mut at = 0;
        while at < data.len() {
            // The fast path must not reach a row end at which a part may begin.
            let quick_to = self.parts.as_ref().map_or(data.len(), |parts| {
                let to = parts
                    .next
                    .saturating_sub(self.position)
                    .saturating_sub(self.grammar.lookahead_bytes as u64 + 1);
                usize::try_from(to).map_or(data.len(), |to| to.min(data.len()))
            });
            if at >= quick_to {
                let rows = self.machine.rows;
                let read =
                    self.machine.run(&self.grammar, data, at, at + 1, false, self.position)?;
                if read == at {
                    break;
                }
                at = read;
                self.note_boundary(rows, self.position + at as u64);
                continue;
            }
            let passed = fast_path::skip_ordinary(
                &self.grammar,
                &mut self.machine,
                &data[..quick_to],
                at,
                self.position,
            );
            // Only one word if the next one may be ordinary again.
            let odd_bytes = if passed.is_some() { fast_path::WORD_BYTES } else { ODD_BYTES };
            at = passed.unwrap_or(at);
            let stop = quick_to.min(at + odd_bytes);
            let read = self.machine.run(&self.grammar, data, at, stop, false, self.position)?;
            at = read;
            if read < stop {
                break;
            }
        }
        self.position += at as u64;
        Ok(at)
    }

    /// Records a part that begins at `offset`, if a row has ended there since the count was
    /// `rows_before`.
    fn note_boundary(&mut self, rows_before: u64, offset: u64) {
        let Some(parts) = self.parts.as_mut().filter(|parts| offset >= parts.next) else { return };
        if self.machine.rows > rows_before {
            parts.found.push(Boundary {
                offset,
                rows: self.machine.rows,
                lines: 0,
                ending: self.machine.detected,
            });
            parts.next = (offset / parts.size_bytes + 1).saturating_mul(parts.size_bytes);
        }
    }
}

/// The row boundaries at which parts begin.
#[derive(Clone, Debug)]
pub(crate) struct PartBoundaries {
    pub(crate) size_bytes: u64,
    /// The offset at or after which the next part begins.
    pub(crate) next: u64,
    /// The boundaries that have not been taken yet. Their lines are not counted here.
    pub(crate) found: Vec<Boundary>,
}

/// The state of the validation between chunks.
#[derive(Clone, Debug)]
pub(crate) struct Utf8 {
    pub(crate) charset: String,
    pub(crate) four_byte_characters: bool,
    /// The beginning of a character that ends in the next chunk.
    pub(crate) incomplete: Vec<u8>,
}

/// The size of the blocks in which text is validated and then read. A block is small enough to stay
/// in the processor's cache for the second pass.
pub(crate) const BLOCK_BYTES: usize = 32 * 1024;

/// The number of bytes to read one by one, if that is the only way, before the fast path is tried
/// again.
pub(crate) const ODD_BYTES: usize = 4096;
