//! The format of an object: its dialect, its character set and its columns.

use super::Dialect;
use super::charset::Charset;
use super::column_list::ColumnOrVariable;
use super::json::{JsonFormat, JsonLayout, ObjectFormat};
use super::names::{ExtraColumns, NameConfig};

/// The format of an object.
#[derive(Clone, Debug)]
pub struct FormatConfig {
    /// The dialect of what the server gets. Delimited objects have the same.
    pub dialect: Dialect,
    /// Set if the objects hold JSON. Each row is then rewritten into the dialect.
    pub json: Option<JsonFormat>,
    /// Set if the objects are Parquet. Each is decoded into text in the dialect, under a header.
    pub parquet: Option<ParquetFormat>,
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

/// The reading of objects of Parquet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParquetFormat {
    /// The columns and variables whose values are members of groups, with the names that lead to
    /// them.
    pub fields: Vec<(ColumnOrVariable, Vec<String>)>,
    pub extra_columns: ExtraColumns,
    /// True if the user says in which time zone the clocks hung that times without a zone are from.
    pub has_time_zone: bool,
    /// True if that zone, or the default, is UTC.
    pub is_utc: bool,
}

impl ParquetFormat {
    /// Returns what decides which values become which texts, each as a text of its own. A change of
    /// the texts changes the number.
    #[must_use]
    pub fn canonical(&self) -> Vec<String> {
        let field = |(item, path): &(ColumnOrVariable, Vec<String>)| match item {
            ColumnOrVariable::Column(name) => format!("field {name}={path:?}"),
            ColumnOrVariable::Variable(name) => format!("field @{name}={path:?}"),
        };
        let texts = format!("parquet 1 {} {}", self.has_time_zone, self.is_utc);
        std::iter::once(texts).chain(self.fields.iter().map(field)).collect()
    }
}

/// The rules that divide an object, or what it unpacks to, into rows.
#[derive(Clone, Copy, Debug)]
pub enum RowFormat<'format> {
    Delimited(&'format Dialect),
    /// A row is a line that has more than white space.
    JsonLines,
}

impl<'format> From<&'format Dialect> for RowFormat<'format> {
    fn from(dialect: &'format Dialect) -> Self {
        Self::Delimited(dialect)
    }
}

impl FormatConfig {
    /// Returns the format of the objects.
    #[must_use]
    pub fn object_format(&self) -> ObjectFormat {
        match &self.json {
            None if self.parquet.is_some() => ObjectFormat::Parquet,
            None => ObjectFormat::Delimited,
            Some(JsonFormat { layout: JsonLayout::Lines, .. }) => ObjectFormat::Jsonl,
            Some(JsonFormat { layout: JsonLayout::Document(_), .. }) => ObjectFormat::Json,
        }
    }

    /// Returns the rules that divide objects into rows.
    #[must_use]
    pub fn rows(&self) -> RowFormat<'_> {
        match self.json {
            Some(_) => RowFormat::JsonLines,
            None => RowFormat::Delimited(&self.dialect),
        }
    }
}
