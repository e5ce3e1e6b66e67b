//! The format of an object: its dialect, its character set and its columns.

use super::Dialect;
use super::charset::Charset;
use super::names::NameConfig;

/// The format of an object.
#[derive(Clone, Debug)]
pub struct FormatConfig {
    pub dialect: Dialect,
    pub charset: Charset,
    /// The number of header lines at the start of every object. They are never loaded.
    pub ignore_lines: u64,
    /// The column names and `@variables` in the order of the fields, or `None` for the table's
    /// visible columns in their order.
    pub columns: Option<Vec<ColumnOrVariable>>,
    /// The `SET column = expression` assignments, in order.
    pub set: Vec<(String, String)>,
    /// The field values that mean NULL, in addition to the dialect's own.
    pub null_strings: Vec<String>,
    /// The settings of `values::Readings` that are not the defaults, for the fingerprint of a job.
    pub readings: Vec<String>,
    /// The settings by which names decide where fields go.
    pub names: NameConfig,
}

/// One item of LOAD DATA's column list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ColumnOrVariable {
    Column(String),
    /// The name without its `@`.
    Variable(String),
}
