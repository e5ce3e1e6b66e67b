//! Parquet objects as rows of text.
//!
//! # The way of an object
//!
//! The footer of a Parquet file is at its end, and says where everything else is. So an object
//! cannot be read while it streams:
//!
//! 1. If it is large, its last bytes are fetched first. The columns of the footer are compared with
//!    those of the table, and an object that does not fit fails before the rest is fetched.
//! 2. The object is staged whole, like a plain one, and its length and checksum are verified.
//! 3. It is decoded row group by row group, a few rows at a time, into delimited text in a second
//!    staged file: a header line with the names of the columns, then the rows, in the dialect that
//!    the server gets (tabs, backslashes, `\N`). The first file is dropped.
//!
//! The object is then delimited text whose header names its columns. Counts, rules for values,
//! rejects, batches and the ledger do not know where the text came from.
//!
//! # Columns and values
//!
//! A column of the file goes into the column of the table with its name. `pairing` is the table of
//! all pairs of types: which text a value becomes, or that such a column is refused. It holds only
//! pairs in which every value has one meaning. The rules for values then judge each text against
//! its column, as they judge any text. Binary values are hexadecimal digits, which the statement
//! turns into bytes.
//!
//! - An instant (`isAdjustedToUTC`) is written as the clock of UTC. A time that is none goes into a
//!   TIMESTAMP column only if `--time-zone` says where the clock hung.
//! - INT96 is read as days and nanoseconds. As nanoseconds since 1970, most of its range would
//!   overflow.
//! - Spark before 3.0 counted days by the Julian calendar before 1582-10-15. The footer says so,
//!   and then such days are shown by that calendar.
//! - The schema that Arrow's writers embed in the footer is not used: it would make the text depend
//!   on the writer, for equal values.
//!
//! # What can go wrong
//!
//! The rows of the footer, of its row groups, of what is decoded, and of what is counted in the
//! text must be equal. A file that is damaged is a malformed object. The decoder of the `parquet`
//! crate may panic on such a file, and its panics are caught and reported in the same way. Page
//! checksums are verified if the file has them.
//!
//! # Memory
//!
//! A decoder holds a page and a dictionary of each column that it reads, and one batch of rows.
//! `ParquetRows::memory_bytes` is an estimate from the footer, which is reserved before the
//! decoder begins. It depends on the number of columns and the size of pages, and hardly on the
//! number of rows.

#![cfg_attr(
    not(feature = "columnar"),
    allow(dead_code, reason = "nothing reads Parquet in a program without the feature")
)]

mod pairing;
mod source_kind;
mod target_kind;

#[cfg(not(feature = "columnar"))]
mod absent;
#[cfg(feature = "columnar")]
mod caught;
#[cfg(feature = "columnar")]
mod cells;
#[cfg(feature = "columnar")]
mod civil;
#[cfg(feature = "columnar")]
mod footer;
#[cfg(feature = "columnar")]
mod int96;
#[cfg(feature = "columnar")]
mod nested;
#[cfg(feature = "columnar")]
mod rows;
#[cfg(feature = "columnar")]
mod slice_reader;

mod fault;

#[cfg(not(feature = "columnar"))]
pub(crate) use absent::{ParquetFooter, ParquetRows, Tail, TextColumn};
pub(crate) use fault::{ColumnarFault, WriteFault};
#[cfg(feature = "columnar")]
pub(crate) use footer::{ParquetFooter, Tail, TextColumn};
pub(crate) use pairing::PairingOptions;
#[cfg(feature = "columnar")]
pub(crate) use rows::ParquetRows;
pub(crate) use target_kind::ColumnTarget;
