//! What the bytes of an object mean: its dialect, its character set and its columns.

use super::Dialect;
use super::charset::Charset;

/// What the bytes of an object mean.
#[derive(Clone, Debug)]
pub struct FormatConfig {
    pub dialect: Dialect,
    pub charset: Charset,
    /// Header lines at the start of every object, never loaded.
    pub ignore_lines: u64,
    /// Column names and `@variables` as fields are read; `None`: the table's visible columns in
    /// their order.
    pub columns: Option<Vec<ColumnOrVariable>>,
    /// `SET column = expression`, in order.
    pub set: Vec<(String, String)>,
    /// Field values that mean NULL, beyond the dialect's own.
    pub null_strings: Vec<String>,
}

/// One item of LOAD DATA's column list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ColumnOrVariable {
    Column(String),
    /// The name without its `@`.
    Variable(String),
}
