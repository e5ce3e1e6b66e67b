//! An object cut into parts at row boundaries, while it is read.
//!
//! Where a row ends depends on the quotes and escapes before it, from the object's beginning on. So
//! the splitter reads everything in order, and what it says of a part is enough to read that part
//! again by itself: where it begins, how many rows and lines come before it, and what ends a line
//! where that was to be found out.
//!
//! Part *k* begins at the first row boundary at or after *k* times the part size. Boundaries depend
//! on the bytes, the dialect and that size alone, not on chunks, nor on where reading began, as
//! long as that was a boundary. A row longer than a part leaves the numbers that it covers unused.

use std::collections::VecDeque;

use bytes::Bytes;
use memchr::memchr_iter;

use super::boundary::Boundary;
use super::grammar::LineEnding;
use super::malformed::Malformed;
use super::row_reader::{RowReader, Scan};
use crate::dialect::{Charset, Dialect, LineTerminator};

/// What comes of the bytes that a splitter is fed, in order.
#[derive(Clone, Debug)]
pub enum SplitStep {
    Bytes(Bytes),
    /// A part ends here, and another begins.
    Boundary(Boundary),
    /// The last part ends.
    End(Boundary, Scan),
    /// The object is not what the dialect says, in the part at hand.
    Broken(Malformed),
}

/// Whether objects can be split such that rows and lines keep their numbers and the server reads
/// the parts as it would read the whole.
///
/// Not in multi-byte character sets other than UTF-8, whose validity is the server's to judge, with
/// what stands before and behind; nor where a line break can't be told by one byte.
#[must_use]
pub fn can_split(dialect: &Dialect, charset: &Charset) -> bool {
    charset.is_self_contained() && line_break(dialect).is_some()
}

/// The byte that ends a line for who reads the object.
fn line_break(dialect: &Dialect) -> Option<u8> {
    match &dialect.lines_terminated_by {
        LineTerminator::Detect => Some(b'\n'),
        LineTerminator::Exact(bytes) if bytes.contains(&b'\n') => Some(b'\n'),
        LineTerminator::Exact(bytes) => (bytes.len() == 1).then(|| bytes[0]),
    }
}

/// Cuts an object, or what is left of it from a boundary on.
#[derive(Clone, Debug)]
pub struct PartSplitter {
    reader: RowReader,
    line_break: u8,
    /// Fed, but not decided upon: a part may begin in it.
    held: VecDeque<Bytes>,
    /// Where what is held begins.
    handed_out: u64,
    lines: u64,
}

impl PartSplitter {
    /// `reader` is one for the object's beginning; the dialect is one that [`can_split`].
    #[must_use]
    pub fn new(
        reader: RowReader,
        dialect: &Dialect,
        from: &Boundary,
        part_size_bytes: u64,
    ) -> Self {
        Self {
            reader: reader.beginning_at(from).splitting(part_size_bytes),
            line_break: line_break(dialect).unwrap_or(b'\n'),
            held: VecDeque::new(),
            handed_out: from.offset,
            lines: from.lines,
        }
    }

    /// Where the data begins, after a byte order mark and header lines; known when the first
    /// boundary is.
    #[must_use]
    pub fn data_start(&self) -> u64 {
        self.reader.machine.data_start
    }

    /// What ends a line of the part that ends at `boundary`.
    #[must_use]
    pub fn lines_terminated_by(&self, boundary: &Boundary) -> Vec<u8> {
        self.reader.grammar.line_terminator(boundary.ending).unwrap_or(super::LF).to_vec()
    }

    /// Reads the next bytes. After [`SplitStep::Broken`] the splitter is of no further use.
    pub fn feed(&mut self, chunk: Bytes) -> Vec<SplitStep> {
        let fed = self.reader.feed(&chunk);
        self.held.push_back(chunk);
        // Nothing begins at the object's end, and this may be it.
        let mut steps = self.cut(self.end());
        match fed {
            Ok(()) => self.hand_out(self.reader.position, &mut steps),
            Err(malformed) => steps.push(SplitStep::Broken(malformed)),
        }
        steps
    }

    /// Ends the object, or the stretch of it that ends at a boundary.
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
            Err(malformed) => steps.push(SplitStep::Broken(malformed)),
        }
        steps
    }

    /// Where that ends which has been fed.
    fn end(&self) -> u64 {
        self.handed_out + self.held.iter().map(|held| held.len() as u64).sum::<u64>()
    }

    /// Everything up to the last boundary that has been found before `end`.
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
