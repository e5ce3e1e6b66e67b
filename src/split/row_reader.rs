//! Counts the rows of an object while its bytes go by.

use std::sync::Arc;

use super::boundary::Boundary;
use super::grammar::{Grammar, LF};
use super::machine::{FieldMachine, FieldState};
use super::malformed::{Malformed, MalformedKind};
use super::utf8::CharCheck;
use super::{fast_path, utf8};
use crate::dialect::{Charset, Dialect};

/// What an object was found to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    /// Bytes at the start that are not sent: a byte order mark and the header lines.
    pub data_start: u64,
    /// Data rows, as the server will count them.
    pub rows: u64,
    /// What ends a line; LF if that was to be detected and no line ended.
    pub lines_terminated_by: Vec<u8>,
    /// The last row does not end in the terminator: it must be sent after the object's bytes.
    pub needs_terminator: bool,
}

/// Reads one object, chunk by chunk. After an error it is of no further use.
#[derive(Clone, Debug)]
pub struct RowReader {
    /// Shared, as one reader is cloned for each of many objects.
    pub(super) grammar: Arc<Grammar>,
    pub(super) machine: FieldMachine,
    pub(super) text: Option<Utf8>,
    /// Bytes at `position` that cannot be decided upon without those that follow; fewer than the
    /// grammar's lookahead.
    pub(super) pending: Vec<u8>,
    /// Bytes of the object that have been read for good.
    pub(super) position: u64,
    /// Where the object is to be split.
    pub(super) parts: Option<Parts>,
}

impl RowReader {
    /// `fields_per_row` is the number of items in LOAD DATA's column list, `@variables` included,
    /// or of the table's columns where there is no list. `ignore_lines` header lines, of any number
    /// of fields, are not data.
    #[must_use]
    pub fn new(
        dialect: &Dialect,
        charset: &Charset,
        fields_per_row: usize,
        ignore_lines: u64,
    ) -> Self {
        let grammar = Arc::new(Grammar::new(dialect, fields_per_row));
        let text = charset.is_utf8().then(|| Utf8 {
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

    /// The same, but for an object of which everything before `boundary` has been read.
    #[must_use]
    pub fn beginning_at(mut self, boundary: &Boundary) -> Self {
        self.machine.go_on_at(boundary);
        self.position = boundary.offset;
        self
    }

    /// Also looks for the boundaries of parts of this size: part k begins at the first row boundary
    /// at or after k times it.
    #[must_use]
    pub(super) fn splitting(mut self, part_size_bytes: u64) -> Self {
        let size_bytes = part_size_bytes.max(1);
        let next = (self.position / size_bytes + 1).saturating_mul(size_bytes);
        self.parts = Some(Parts { size_bytes, next, found: Vec::new() });
        self
    }

    /// Reads the object's next bytes.
    ///
    /// # Errors
    ///
    /// The first place at which the object is not what the dialect says. Which one that is does not
    /// depend on how the object is cut into chunks.
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
                // Shorter than a character, so this is the end of the chunk.
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

    /// Data rows that have ended so far.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.machine.rows
    }

    /// Ends the object.
    ///
    /// # Errors
    ///
    /// As [`Self::feed`], and where the object ends inside a quoted field, a character, an escape
    /// or a terminator.
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
            // The object has no more lines than were to be ignored.
            scan.data_start = end;
        }
        Ok(scan)
    }

    /// Decides what is pending as if the object ended here, and returns the last byte if it stays
    /// undecided: an escape or a quote.
    fn flush(&mut self) -> Result<Option<u8>, Malformed> {
        let pending = self.pending.len();
        let mut read = 0;
        // One decision at a time where a part may begin.
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

    /// Reads what is pending, followed by the line terminator that the last row lacks, as the
    /// server will. That must end just this one row: together with the last bytes the terminator
    /// might otherwise be found too early.
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

    /// Reads whole characters, if that is what they are.
    fn read_text(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        let four_byte_characters = self.text.as_ref().is_none_or(|text| text.four_byte_characters);
        let (valid_bytes, four_bytes) = match utf8::judge(bytes, four_byte_characters) {
            CharCheck::Valid => (bytes.len(), None),
            CharCheck::InvalidFrom(at) => (at, Some(false)),
            CharCheck::FourBytesFrom(at) => (at, Some(true)),
        };
        let mut valid = &bytes[..valid_bytes];
        // A character is never cut here, so the mark is whole if it is there.
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

    /// The error for the byte after all that was read.
    fn not_text(&mut self, four_bytes: bool) -> Malformed {
        let offset = self.position + self.pending.len() as u64;
        // What comes before is read as if the object ended here: for the row's number, and an error
        // there is the first.
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

    /// Reads as much of `data`, which starts at `position`, as can be decided without what follows
    /// it.
    fn scan(&mut self, data: &[u8]) -> Result<usize, Malformed> {
        let mut at = 0;
        while at < data.len() {
            // No row that is passed over quickly may end where a part may begin.
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
            // One word, if the next may be ordinary again.
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

    /// Takes note of a part that begins at `offset`, where a row has ended now and had not at
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
pub(crate) struct Parts {
    pub(crate) size_bytes: u64,
    /// The first byte at or after which the next part begins.
    pub(crate) next: u64,
    /// Not taken away yet; their lines are not counted here.
    pub(crate) found: Vec<Boundary>,
}

/// What validating needs to know between chunks.
#[derive(Clone, Debug)]
pub(crate) struct Utf8 {
    pub(crate) charset: String,
    pub(crate) four_byte_characters: bool,
    /// The beginning of a character whose end is in the next chunk.
    pub(crate) incomplete: Vec<u8>,
}

pub(crate) const UTF8_BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Text is validated and then read in blocks of this size, so that the second pass finds it in the
/// processor's cache.
pub(crate) const BLOCK_BYTES: usize = 32 * 1024;

/// How much is read byte by byte, where that is the only way, before asking again whether it still
/// is.
pub(crate) const ODD_BYTES: usize = 4096;
