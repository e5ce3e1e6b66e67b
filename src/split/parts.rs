//! The division of an object into parts at row boundaries, while it is read.
//!
//! The end of a row depends on the quotes and escapes before it, from the beginning of the object
//! on. So the splitter reads everything in order. What it reports about a part is enough to read
//! that part again by itself: its offset, the number of rows and lines before it, and the line
//! ending if that had to be detected.
//!
//! Part *k* begins at the first row boundary at or after *k* times the part size. Boundaries depend
//! only on the bytes, the dialect and the part size. They do not depend on the chunks, nor on where
//! reading began, provided that it began at a boundary. A row longer than a part leaves the part
//! numbers that it covers unused.

use std::collections::VecDeque;

use bytes::Bytes;
use memchr::memchr_iter;

use super::boundary::Boundary;
use super::grammar::LineEnding;
use super::malformed::Malformed;
use super::row_reader::{RowReader, Scan};
use super::text_place;
use crate::dialect::{Charset, LineTerminator, RowFormat};

/// The output of a splitter, in the order of the bytes that it is fed.
#[derive(Clone, Debug)]
pub enum SplitStep {
    Bytes(Bytes),
    /// The end of one part and the beginning of the next.
    Boundary(Boundary),
    /// The end of the last part.
    End(Boundary, Scan),
    /// A defect in the current part: the object does not match the dialect.
    Broken(Malformed),
}

/// Returns true if objects can be split so that rows and lines keep their numbers and the server
/// reads the parts exactly as it would read the whole.
///
/// It returns false for multi-byte character sets other than UTF-8, because the server checks their
/// validity together with the neighboring bytes. It also returns false if no single byte identifies
/// a line break.
#[must_use]
pub fn can_split<'format>(format: impl Into<RowFormat<'format>>, charset: &Charset) -> bool {
    charset.is_self_contained() && line_break(format.into()).is_some()
}

/// Returns the byte that ends a line for a person who reads the object.
fn line_break(format: RowFormat<'_>) -> Option<u8> {
    let RowFormat::Delimited(dialect) = format else { return Some(b'\n') };
    match &dialect.lines_terminated_by {
        LineTerminator::Detect => Some(b'\n'),
        LineTerminator::Exact(bytes) if bytes.contains(&b'\n') => Some(b'\n'),
        LineTerminator::Exact(bytes) => (bytes.len() == 1).then(|| bytes[0]),
    }
}

/// Cuts an object, or the rest of it from a boundary on, into parts.
#[derive(Clone, Debug)]
pub struct PartSplitter {
    reader: RowReader,
    line_break: u8,
    /// The bytes that have been fed but not decided: a part may begin in them.
    held: VecDeque<Bytes>,
    /// The offset at which the held bytes begin.
    handed_out: u64,
    lines: u64,
}

impl PartSplitter {
    /// Creates a splitter. `reader` must be one for the object's beginning, and [`can_split`] must
    /// accept its format.
    #[must_use]
    pub fn new(reader: RowReader, from: &Boundary, part_size_bytes: u64) -> Self {
        let line_break = text_place::line_break(&reader.grammar);
        Self {
            line_break: line_break.last().copied().unwrap_or(b'\n'),
            reader: reader.beginning_at(from).splitting(part_size_bytes),
            held: VecDeque::new(),
            handed_out: from.offset,
            lines: from.lines,
        }
    }

    /// Returns the offset at which the data begins, after a byte order mark and header lines. It is
    /// known once the first boundary is.
    #[must_use]
    pub fn data_start(&self) -> u64 {
        self.reader.machine.data_start
    }

    /// Returns the line terminator of the part that ends at `boundary`.
    #[must_use]
    pub fn lines_terminated_by(&self, boundary: &Boundary) -> Vec<u8> {
        self.reader.grammar.line_terminator(boundary.ending).unwrap_or(super::LF).to_vec()
    }

    /// Reads the next bytes. After [`SplitStep::Broken`] the splitter is unusable.
    pub fn feed(&mut self, chunk: Bytes) -> Vec<SplitStep> {
        let fed = self.reader.feed(&chunk);
        self.held.push_back(chunk);
        // No part begins at the object's end, and this may be the end.
        let mut steps = self.cut(self.end());
        match fed {
            Ok(()) => self.hand_out(self.reader.position, &mut steps),
            Err(malformed) => self.break_off(malformed, &mut steps),
        }
        steps
    }

    /// Ends the object, or a range of it that ends at a boundary.
    #[must_use]
    pub fn finish(mut self) -> Vec<SplitStep> {
        let end = self.end();
        let closed = self.reader.close();
        let mut steps = self.cut(end);
        match closed {
            Ok(scan) => {
                self.hand_out(end, &mut steps);
                let ending = LineEnding::of(&scan.lines_terminated_by)
                    .filter(|_| self.reader.machine.detected.is_some());
                let last = Boundary { offset: end, rows: scan.rows, lines: self.lines, ending };
                steps.push(SplitStep::End(last, scan));
            }
            Err(malformed) => self.break_off(malformed, &mut steps),
        }
        steps
    }

    /// Hands out the bytes before the defect, in which its line is looked up, and the defect.
    fn break_off(&mut self, malformed: Malformed, steps: &mut Vec<SplitStep>) {
        self.hand_out(malformed.offset.min(self.end()), steps);
        steps.push(SplitStep::Broken(malformed));
    }

    /// Returns the offset at which the bytes fed so far end.
    fn end(&self) -> u64 {
        self.handed_out + self.held.iter().map(|held| held.len() as u64).sum::<u64>()
    }

    /// Returns everything up to the last boundary that was found before `end`.
    fn cut(&mut self, end: u64) -> Vec<SplitStep> {
        let Some(parts) = &mut self.reader.parts else { return Vec::new() };
        let before_end = parts.found.partition_point(|boundary| boundary.offset < end);
        let found: Vec<Boundary> = parts.found.drain(..before_end).collect();
        let mut steps = Vec::new();
        for boundary in found {
            self.hand_out(boundary.offset, &mut steps);
            steps.push(SplitStep::Boundary(Boundary { lines: self.lines, ..boundary }));
        }
        steps
    }

    fn hand_out(&mut self, to: u64, steps: &mut Vec<SplitStep>) {
        while self.handed_out < to
            && let Some(mut bytes) = self.held.pop_front()
        {
            let wanted = usize::try_from(to - self.handed_out).unwrap_or(usize::MAX);
            if bytes.len() > wanted {
                self.held.push_front(bytes.split_off(wanted));
            }
            if bytes.is_empty() {
                continue;
            }
            self.handed_out += bytes.len() as u64;
            self.lines += memchr_iter(self.line_break, &bytes).count() as u64;
            steps.push(SplitStep::Bytes(bytes));
        }
    }
}
