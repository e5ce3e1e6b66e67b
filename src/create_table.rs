//! Guesses a table from the first rows of objects, and writes the statement that creates it.
//!
//! A column gets the narrowest type that keeps each of its values as it is written: BIGINT,
//! DECIMAL, DOUBLE, DATE, DATETIME, and otherwise a text ([`crate::values`] has the forms). The
//! statement says why, in a comment beside each column.
//!
//! A guess may be wrong about rows that were not looked at. That is never silent, because such rows
//! are bad rows of the load.
//!
//! Nothing here does I/O.

mod column_guess;
mod delimited;
mod guess;
mod members;
mod names;
mod new_table;
mod options;
mod records;

pub(crate) use guess::Guess;
pub(crate) use new_table::NewTable;
pub use options::CreateTableConfig;
pub(crate) use options::{GuessOptions, Head};
