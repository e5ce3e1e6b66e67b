//! Describes a place between two rows.

use super::grammar::LineEnding;

/// A place between two rows of an object, or its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Boundary {
    pub offset: u64,
    /// The number of data rows before the boundary.
    pub rows: u64,
    /// The number of line breaks before the boundary, as [`super::LocatedRow::line`] counts them.
    pub lines: u64,
    /// The line ending, if it had to be detected and has been.
    pub ending: Option<LineEnding>,
}
