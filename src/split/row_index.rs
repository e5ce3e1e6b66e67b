//! Finds rows and their fields in ordinary text, 64 bytes at a time.
//!
//! [`super::fast_path`] decides which text is ordinary, and yields a mask of the bytes that end
//! fields and rows. This module turns the masks into offsets.

use super::byte_masks;
use super::byte_masks::MaskBlock;
use super::cut_row::{CutRow, FieldPlaces, HAS_ESCAPE};
use super::fast_path::{Carry, Marks, ScanPlan, WORD_BYTES};
use super::grammar::Grammar;

/// The number of bytes that are indexed at a time. The offsets of their fields stay in the
/// processor's cache until they are used.
const INDEX_BYTES: usize = 16 * 1024;

/// [`WORD_BYTES`] as an offset.
const WORD: u32 = 64;

/// The rows at the beginning of a text.
#[derive(Clone, Debug)]
pub(super) struct RowIndex {
    plan: ScanPlan,
    line_bytes: u32,
    /// The offsets of the bytes after the fields, for all rows. The last one of a row is that of
    /// its line terminator.
    ends: Vec<u32>,
    /// The end of each row in `ends`: the number of `ends` up to its own last one.
    rows: Vec<usize>,
}

impl RowIndex {
    /// Returns `None` if the masks cannot read the dialect.
    pub(super) fn new(grammar: &Grammar) -> Option<Self> {
        Some(Self {
            plan: ScanPlan::with_fields(grammar)?,
            line_bytes: u32::try_from(grammar.line_terminator(None)?.len()).ok()?,
            ends: Vec::new(),
            rows: Vec::new(),
        })
    }

    /// Finds complete rows in `data`, which begins with a row: as many as are ordinary, but not
    /// many more than fit into the processor's cache.
    pub(super) fn find(&mut self, data: &[u8]) {
        let mut size = INDEX_BYTES;
        loop {
            let part = &data[..data.len().min(size)];
            let read = self.index(part);
            // A row may be incomplete because the part ends in it.
            if !self.rows.is_empty() || read + WORD_BYTES <= part.len() || part.len() == data.len()
            {
                return;
            }
            size = size.saturating_mul(4).min(HAS_ESCAPE as usize);
            if part.len() == size {
                return;
            }
        }
    }

    /// Returns the rows that were found in `data`.
    pub(super) fn rows<'a>(&'a self, data: &'a [u8]) -> impl Iterator<Item = CutRow<'a>> {
        let mut start = 0;
        let mut first = 0;
        self.rows.iter().map(move |&last| {
            let ends = &self.ends[first..last];
            let end = ends.last().map_or(start, |end| end & !HAS_ESCAPE);
            let bytes = &data[start as usize..end as usize];
            let row = CutRow::indexed(bytes, FieldPlaces { ends, start });
            start = end + self.line_bytes;
            first = last;
            row
        })
    }

    /// Returns the number of rows that were found.
    pub(super) fn row_count(&self) -> usize {
        self.rows.len()
    }

    /// Returns the number of bytes of the rows that were found, with their line terminators.
    pub(super) fn bytes(&self) -> usize {
        let last = self.rows.last().map(|&last| self.ends[last - 1] & !HAS_ESCAPE);
        last.map_or(0, |end| (end + self.line_bytes) as usize)
    }

    /// Indexes the rows of `data`, and returns the number of bytes that it has read.
    fn index(&mut self, data: &[u8]) -> usize {
        self.ends.clear();
        self.rows.clear();
        #[cfg(target_arch = "x86_64")]
        if byte_masks::has_avx2() {
            // SAFETY: the processor has AVX2, which is all that this function requires.
            #[allow(
                unsafe_code,
                reason = "the only way to call code for a processor that is detected at run time"
            )]
            return unsafe { self.index_avx2(data) };
        }
        self.index_words(data, byte_masks::equal_portable)
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn index_avx2(&mut self, data: &[u8]) -> usize {
        self.index_words(data, |block, byte| byte_masks::equal_avx2(block, byte))
    }

    #[allow(
        clippy::inline_always,
        reason = "must become part of the loop that is compiled for AVX2"
    )]
    #[inline(always)]
    fn index_words(&mut self, data: &[u8], equal: impl Fn(&MaskBlock, u8) -> u64) -> usize {
        let mut carry = Carry::AT_ROW;
        let mut field = 0;
        let mut has_escape = 0;
        let mut at = 0;
        for word in data.as_chunks::<WORD_BYTES>().0 {
            let Some(passed) = self.plan.pass(|byte| equal(word, byte), carry, field) else {
                break;
            };
            carry = passed.carry;
            field = passed.field;
            self.add(at, &passed.marks, &mut has_escape);
            at += WORD;
        }
        // The line terminator of the last row may be incomplete.
        let is_complete = |end: u32| (end & !HAS_ESCAPE) + self.line_bytes <= at;
        if self.rows.last().is_some_and(|&last| !is_complete(self.ends[last - 1])) {
            self.rows.pop();
        }
        at as usize
    }

    /// Adds the ends in the word at this offset. `has_escape` has the flag of a field that began
    /// before the word.
    #[allow(clippy::inline_always, reason = "must become part of the loop")]
    #[inline(always)]
    fn add(&mut self, at: u32, marks: &Marks, has_escape: &mut u32) {
        let mut left = marks.field_ends | marks.row_ends;
        let mut row_ends = marks.row_ends;
        let before = self.ends.len();
        while row_ends != 0 {
            let through_row = row_ends ^ (row_ends - 1);
            self.rows.push(before + (left & through_row).count_ones() as usize);
            row_ends &= row_ends - 1;
        }
        self.ends.reserve(WORD_BYTES);
        let mut resolved = marks.resolved;
        if resolved == 0 && *has_escape == 0 {
            while left != 0 {
                self.ends.push(at + left.trailing_zeros());
                left &= left - 1;
            }
            return;
        }
        while left != 0 {
            let before = (left ^ (left - 1)) >> 1;
            let flag = if resolved & before == 0 { *has_escape } else { HAS_ESCAPE };
            self.ends.push((at + left.trailing_zeros()) | flag);
            *has_escape = 0;
            resolved &= !before;
            left &= left - 1;
        }
        if resolved != 0 {
            *has_escape = HAS_ESCAPE;
        }
    }
}
