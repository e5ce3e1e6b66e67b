//! The rows of delimited text: where they begin and end, and how many there are. This is the
//! program's own reading of an object, made before the server's.
//!
//! [`RowReader`] reads field by field, because the server does. It reads as many fields as the
//! column list has and skips the rest of the line. A quote has a meaning only in those fields. Its
//! count is what LOAD DATA reports as `Records:` for the bytes that are sent: the object's bytes
//! from [`Scan::data_start`] on, plus a line terminator if [`Scan::needs_terminator`] is set. A
//! difference between the two counts is an error of its own.
//!
//! It is stricter than the server wherever the server would lose or join data without a warning;
//! see [`MalformedKind`]. It is exact for single-byte character sets and for valid UTF-8. For other
//! multi-byte sets it is exact if the object is valid in them. The dialect must have passed
//! [`Dialect::validate`](crate::dialect::Dialect::validate).
//!
//! This module does no I/O, and its memory does not grow with the object. Chunks may end anywhere,
//! even inside a character, an escape or a terminator, without changing the result.

mod boundary;
mod byte_masks;
mod cut_row;
mod fast_path;
mod fields;
mod grammar;
mod header;
mod locate;
mod machine;
mod malformed;
mod parts;
#[cfg(test)]
mod reference;
mod row_cutter;
mod row_index;
mod row_reader;
#[cfg(test)]
mod tests;
mod text_place;
mod utf8;

pub use boundary::Boundary;
pub use cut_row::{CutRow, FieldTable, IndexedRows, RowBlock};
pub use fields::{Field, FieldReader, FieldText, RowRest};
pub use grammar::LineEnding;
pub use header::header_names;
pub use locate::{LocatedRow, RowLocator};
pub use malformed::{Malformed, MalformedKind, TextPlace};
pub use parts::{PartSplitter, SplitStep, can_split};
pub use row_cutter::RowCutter;
pub use row_reader::{RowReader, Scan};
pub use text_place::TextPlaces;

use grammar::LF;
