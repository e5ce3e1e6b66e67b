//! Where rows begin and end in delimited text, and how many there are: our own reading of an
//! object, made before the server's.
//!
//! [`RowReader`] is a field reader, because the server's is one: it reads as many fields as the
//! column list has and passes over the rest of the line, and a quote means something in the former
//! only. What it counts is what LOAD DATA will report as `Records:` for the bytes that are sent,
//! which are the object's from [`Scan::data_start`] on, and a line terminator where
//! [`Scan::needs_terminator`] says so. A difference between the two is an error of its own.
//!
//! It is stricter than the server wherever the server would lose or join data without a warning:
//! see [`MalformedKind`]. It promises exactness for single-byte character sets and for valid UTF-8,
//! and for other multi-byte sets if the object is valid in them; [`Dialect::validate`] must have
//! passed.
//!
//! Pure: no I/O, and memory does not grow with the object. Chunks may end anywhere, also inside a
//! character, an escape or a terminator; the result is the same.

mod boundary;
mod byte_masks;
mod fast_path;
mod fields;
mod grammar;
mod locate;
mod machine;
mod malformed;
mod parts;
#[cfg(test)]
mod reference;
mod row_reader;
#[cfg(test)]
mod tests;
mod utf8;

pub use boundary::Boundary;
pub use fields::{Field, FieldReader, RowCutter};
pub use grammar::LineEnding;
pub use locate::{LocatedRow, RowLocator};
pub use malformed::{Malformed, MalformedKind};
pub use parts::{PartSplitter, SplitStep, can_split};
pub use row_reader::{RowReader, Scan};

use grammar::LF;
