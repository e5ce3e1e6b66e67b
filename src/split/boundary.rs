//! A place between two rows.

use super::grammar::LineEnding;

/// A place between two rows of an object, or its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Boundary {
    pub offset: u64,
    /// Data rows before it.
    pub rows: u64,
    /// Line breaks before it, as [`super::LocatedRow::line`] counts them.
    pub lines: u64,
    /// What ends a line, where that was to be found out and has been.
    pub ending: Option<LineEnding>,
}
