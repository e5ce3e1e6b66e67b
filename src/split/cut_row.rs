//! A row that has been cut from its object.

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
