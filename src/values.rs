//! The meaning of a field's text in a column: what the table would hold, before it is sent.
//!
//! The servers change many texts without a warning: `1.9` becomes 2 in an INT, `2` becomes the
//! second label of an ENUM, `31-12-23` becomes a day in 2031. [`ColumnRule`] holds the rule of one
//! column, made once from its definition, and [`ColumnRule::check`] gives a [`Verdict`] on one
//! field:
//!
//! - [`Verdict::Exact`]: the server stores what the text says, and gives no warning.
//! - [`Verdict::ExactAs`]: as above, if it gets a canonical text instead. [`Verdict::ExactNull`] is
//!   the same for NULL.
//! - [`Verdict::Loss`]: the value loses something that the type cannot keep, such as decimals.
//! - [`Verdict::Bad`]: the text is no value of the column.
//! - [`Verdict::ServerDecides`]: the rules do not know. The server does, and warns.
//!
//! The server stays the judge of what is sent. A warning about a field that was called exact is a
//! hole in these rules. `tests/it/values` looks for such holes on both servers.
//!
//! The rules assume what the program pins in its sessions: `sql_mode` without the modes that change
//! the meaning of values, and, for TIMESTAMP columns, the time zone `+00:00`. Fields come without
//! quotes and escapes. Texts of an object in UTF-8 must be valid; the splitter has seen to that.
//!
//! Nothing here does I/O. A check does not allocate, except for JSON and for texts that have to be
//! rewritten.

mod added_value;
mod binary;
mod bit;
mod calendar;
mod charset;
mod collation;
mod column;
mod column_type;
mod date;
mod date_format;
mod date_time;
mod decimal;
mod decimal_comma;
mod field_encoding;
mod float;
mod form;
mod integer;
mod json;
mod json_number;
mod labels;
mod message;
mod number;
mod number_notation;
mod ordinary;
mod readings;
mod record;
mod record_fault;
mod record_value;
mod remedy;
mod row_rewriter;
mod row_rules;
mod server;
#[cfg(test)]
mod tests;
mod text;
mod time;
mod verdict;
mod year;
mod zone;

pub use column::{ColumnFacts, ColumnRule};
pub use column_type::{ColumnType, IntegerSize};
pub use date_format::{DateFormat, DateFormatError};
pub(crate) use form::{Form, FormReader, NumberForm};
pub use readings::{Readings, TimeZoneError};
pub(crate) use record::value_at;
pub use remedy::Remedy;
pub use row_rewriter::RowRewriter;
pub use row_rules::{Rewriting, RowFault, RowRules, RowScratch, RowVerdict, ValueCounts};
pub use server::Server;
pub use verdict::{BadKind, Field, LossKind, Verdict};
