//! Rows that have been cut from their object.

use std::ops::Range;

/// Set in the offset of a field's end if an escape or a doubled quote is in the field.
pub(super) const HAS_ESCAPE: u32 = 1 << 31;

/// A row, and the places of its fields if they are known.
#[derive(Clone, Copy, Debug)]
pub struct CutRow<'data> {
    /// The row without its line terminator.
    pub bytes: &'data [u8],
    places: Option<FieldPlaces<'data>>,
}

/// The places of all fields of a row.
#[derive(Clone, Copy, Debug)]
pub(super) struct FieldPlaces<'data> {
    /// The offsets of the bytes after the fields. The last field ends with the row.
    pub(super) ends: &'data [u32],
    /// The offset of the row.
    pub(super) start: u32,
}

/// Rows one after the other.
#[derive(Clone, Copy, Debug)]
pub enum RowBlock<'data> {
    One(CutRow<'data>),
    Indexed(IndexedRows<'data>),
}

/// Rows the places of whose fields are all known.
#[derive(Clone, Copy, Debug)]
pub struct IndexedRows<'data> {
    /// Begins with the first row.
    pub(super) data: &'data [u8],
    /// The offsets of the bytes after the fields, for all rows. The last one of a row is that of
    /// its line terminator.
    pub(super) ends: &'data [u32],
    /// The end of each row in `ends`: the number of `ends` up to its own last one.
    pub(super) rows: &'data [usize],
    pub(super) line_bytes: u32,
}

/// Rows that all have the same number of fields.
#[derive(Clone, Copy, Debug)]
pub struct FieldTable<'data> {
    pub(super) data: &'data [u8],
    /// The ends of the fields, `width` for each row.
    ends: &'data [u32],
    width: usize,
    line_bytes: u32,
}

impl<'data> RowBlock<'data> {
    /// Returns the rows.
    pub fn rows(&self) -> impl Iterator<Item = CutRow<'data>> + use<'data> {
        let (row, indexed) = match *self {
            Self::One(row) => (Some(row), None),
            Self::Indexed(rows) => (None, Some(rows.rows())),
        };
        row.into_iter().chain(indexed.into_iter().flatten())
    }
}

impl<'data> IndexedRows<'data> {
    fn rows(self) -> impl Iterator<Item = CutRow<'data>> {
        let mut start = 0;
        let mut first = 0;
        self.rows.iter().map(move |&last| {
            let ends = &self.ends[first..last];
            let end = ends.last().map_or(start, |end| end & !HAS_ESCAPE);
            let bytes = &self.data[start as usize..end as usize];
            let row = CutRow::indexed(bytes, FieldPlaces { ends, start });
            start = end + self.line_bytes;
            first = last;
            row
        })
    }

    /// Returns the rows as a table, or `None` if a row has another number of fields than the first.
    #[must_use]
    pub fn table(&self) -> Option<FieldTable<'data>> {
        let width = *self.rows.first()?;
        let ends = &self.ends[..*self.rows.last()?];
        let is_table = self.rows.iter().zip(1..).all(|(&end, row)| end == row * width);
        let Self { data, line_bytes, .. } = *self;
        is_table.then_some(FieldTable { data, ends, width, line_bytes })
    }
}

impl<'data> FieldTable<'data> {
    /// Returns the number of rows.
    #[must_use]
    pub fn row_count(&self) -> usize {
        self.ends.len() / self.width
    }

    /// Returns the number of fields in each row.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// Returns the rests of the rows after the first `count` fields and the terminator behind them.
    /// There must be at least one such field in each row, and without more the rest is empty.
    pub fn rests(&self, count: usize) -> impl Iterator<Item = &'data [u8]> {
        self.ends.chunks_exact(self.width).map(move |ends| {
            let ends = [ends[count - 1], ends[ends.len() - 1]].map(|end| end & !HAS_ESCAPE);
            let from = (ends[0] + 1).min(ends[1]);
            &self.data[from as usize..ends[1] as usize]
        })
    }

    /// Returns the places of the fields of one column, each with true if the field's value differs
    /// from its text.
    #[inline]
    pub(super) fn column(&self, column: usize) -> impl Iterator<Item = (Range<usize>, bool)> {
        let mut row_start = 0;
        self.ends.chunks_exact(self.width).map(move |ends| {
            let from = match column.checked_sub(1) {
                None => row_start,
                Some(before) => (ends[before] & !HAS_ESCAPE) + 1,
            };
            row_start = (ends[ends.len() - 1] & !HAS_ESCAPE) + self.line_bytes;
            let end = ends[column];
            (from as usize..(end & !HAS_ESCAPE) as usize, end & HAS_ESCAPE != 0)
        })
    }
}

impl<'data> CutRow<'data> {
    /// Returns a row whose field positions are unknown.
    #[must_use]
    pub fn whole(bytes: &'data [u8]) -> Self {
        Self { bytes, places: None }
    }

    /// Returns a row with fields at these places.
    pub(super) fn indexed(bytes: &'data [u8], places: FieldPlaces<'data>) -> Self {
        Self { bytes, places: Some(places) }
    }

    pub(super) fn places(&self) -> Option<FieldPlaces<'data>> {
        self.places
    }
}

impl FieldPlaces<'_> {
    pub(super) fn count(&self) -> usize {
        self.ends.len()
    }

    /// Returns the places in the row of at most `count` fields, each with true if the field's value
    /// differs from its text.
    #[inline]
    pub(super) fn first(&self, count: usize) -> impl Iterator<Item = (Range<usize>, bool)> {
        let ends = self.ends.get(..count).unwrap_or(self.ends);
        let mut from = 0;
        ends.iter().map(move |&end| {
            let to = self.in_row(end);
            let place = from..to;
            from = to + 1;
            (place, end & HAS_ESCAPE != 0)
        })
    }

    /// Returns the place in the row at which the fields after the first `count` begin.
    pub(super) fn after(&self, count: usize) -> Option<usize> {
        let last = (count < self.ends.len()).then(|| count.checked_sub(1))?;
        Some(last.map_or(0, |last| self.in_row(self.ends[last]) + 1))
    }

    fn in_row(&self, end: u32) -> usize {
        ((end & !HAS_ESCAPE) - self.start) as usize
    }
}
