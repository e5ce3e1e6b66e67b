//! Finds rows and their fields in ordinary text, 64 bytes at a time.
//!
//! [`super::fast_path`] decides which text is ordinary, and yields a mask of the bytes that end
//! fields and rows. This module turns the masks into offsets.

use super::byte_masks;
use super::byte_masks::MaskBlock;
use super::cut_row::{HAS_ESCAPE, IndexedRows};
use super::fast_path::{Carry, Marks, ScanPlan, WORD_BYTES};
use super::grammar::Grammar;

/// The number of bytes that are indexed at a time. The offsets of their fields stay in the
/// processor's cache until they are used.
const INDEX_BYTES: usize = 16 * 1024;

/// The number of ends for which there is room at first. Small objects do not need more.
const FIRST_ENDS: usize = 512;

/// The number of ends that are written at a time.
const GROUP: usize = 8;

/// [`WORD_BYTES`] as an offset.
const WORD: u32 = 64;

/// The rows at the beginning of a text.
#[derive(Clone, Debug)]
pub(super) struct RowIndex {
    plan: ScanPlan,
    line_bytes: u32,
    /// See [`IndexedRows`].
    ends: Vec<u32>,
    rows: Vec<usize>,
    /// The number of `ends`. The vector is longer.
    end_count: usize,
}

impl RowIndex {
    /// Returns `None` if the masks cannot read the dialect.
    pub(super) fn new(grammar: &Grammar) -> Option<Self> {
        Some(Self {
            plan: ScanPlan::with_fields(grammar)?,
            line_bytes: u32::try_from(grammar.line_terminator(None)?.len()).ok()?,
            ends: Vec::new(),
            rows: Vec::new(),
            end_count: 0,
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
    pub(super) fn rows<'a>(&'a self, data: &'a [u8]) -> IndexedRows<'a> {
        IndexedRows { data, ends: &self.ends, rows: &self.rows, line_bytes: self.line_bytes }
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
        self.end_count = 0;
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
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
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
        let mut in_escaped = 0;
        let mut at = 0;
        for word in data.as_chunks::<WORD_BYTES>().0 {
            let Some(passed) = self.plan.pass(|byte| equal(word, byte), carry, field) else {
                break;
            };
            carry = passed.carry;
            field = passed.field;
            self.add(at, &passed.marks, &mut in_escaped);
            at += WORD;
        }
        // The line terminator of the last row may be incomplete.
        let is_complete = |end: u32| (end & !HAS_ESCAPE) + self.line_bytes <= at;
        if self.rows.last().is_some_and(|&last| !is_complete(self.ends[last - 1])) {
            self.rows.pop();
        }
        at as usize
    }

    /// Adds the ends in the word at this offset. `in_escaped` is 1 if the field that began before
    /// the word has an escape, and 0 otherwise.
    #[allow(clippy::inline_always, reason = "must become part of the loop")]
    #[inline(always)]
    fn add(&mut self, at: u32, marks: &Marks, in_escaped: &mut u64) {
        let mut left = marks.field_ends | marks.row_ends;
        let mut row_ends = marks.row_ends;
        while row_ends != 0 {
            let through_row = row_ends ^ (row_ends - 1);
            self.rows.push(self.end_count + (left & through_row).count_ones() as usize);
            row_ends &= row_ends - 1;
        }
        // An escape in a field is carried through its bytes, all ones, into its end.
        let (sum, first) = (!left).overflowing_add(marks.resolved);
        let (sum, second) = sum.overflowing_add(*in_escaped);
        *in_escaped = u64::from(first | second);
        let escaped = sum & left;

        let count = left.count_ones() as usize;
        if self.ends.len() < self.end_count + WORD_BYTES {
            self.ends.resize(self.end_count * 2 + FIRST_ENDS, 0);
        }
        // Writes a few ends at least, which are overwritten if they are too many: the processor
        // foresees the end of a loop that is always as long.
        let length = count.next_multiple_of(GROUP).clamp(GROUP, WORD_BYTES);
        for slot in &mut self.ends[self.end_count..self.end_count + length] {
            let bit = left.trailing_zeros();
            let flag = u32::from(escaped.unbounded_shr(bit) & 1 != 0) << 31;
            *slot = (at + bit) | flag;
            left &= left.wrapping_sub(1);
        }
        self.end_count += count;
    }
}
