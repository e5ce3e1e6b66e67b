//! The types of columns under test.

use anyhow::Result;
use s3_to_mysql::choices::BinaryReading;
use s3_to_mysql::values::{DateFormat, Readings};

use super::generate::Source;
use super::meaning as means;

/// A type of column, and how its values are made and read.
pub(super) struct Kind {
    /// The type in CREATE TABLE.
    pub(super) column_type: &'static str,
    /// The expression that reads a value back as text.
    pub(super) read: &'static str,
    /// The expression over `@v` through which the loader sends such fields.
    pub(super) assigned: Option<&'static str>,
    /// Values from which others are made.
    pub(super) usual: &'static [&'static str],
    pub(super) source: Source,
    /// Returns what a text means, in the form of `canonical`.
    pub(super) meaning: fn(&str, &Kind) -> Option<String>,
    /// Returns one form for all texts of a value that is read back.
    pub(super) canonical: fn(&str) -> String,
    /// Returns true if the second value may be what is left of the first.
    pub(super) is_near: fn(Option<&str>, Option<&str>) -> bool,
    pub(super) is_json: bool,
    pub(super) reading: Reading,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    Default,
    Zone(&'static str),
    DecimalComma,
    DateFormat(&'static str),
    Binary(BinaryReading),
}

impl Kind {
    pub(super) fn create(&self, table: &str) -> String {
        format!(
            "CREATE TABLE {table} (id INT PRIMARY KEY, v {} NULL) CHARACTER SET utf8mb4",
            self.column_type
        )
    }

    pub(super) fn readings(&self) -> Result<Readings> {
        let mut readings = Readings::default();
        match self.reading {
            Reading::Default => {}
            Reading::Zone(name) => readings.time_zone = Readings::time_zone_named(name)?,
            Reading::DecimalComma => readings.decimal_comma = true,
            Reading::DateFormat(format) => {
                readings.date_formats = vec![("v".to_owned(), DateFormat::new(format)?)];
            }
            Reading::Binary(binary) => readings.binary = binary,
        }
        Ok(readings)
    }
}

pub(super) const BASE: Kind = Kind {
    column_type: "",
    read: "CAST(v AS CHAR)",
    assigned: None,
    usual: &[],
    source: Source::Numbers,
    meaning: means::integer,
    canonical: means::number_form,
    is_near: means::is_near_number,
    is_json: false,
    reading: Reading::Default,
};
pub(super) const DECIMAL: Kind = Kind { meaning: means::decimal, ..BASE };
pub(super) const FLOAT: Kind = Kind {
    read: "v + 0e0",
    meaning: means::float,
    canonical: means::float_form,
    is_near: means::is_near_float,
    ..BASE
};
pub(super) const BIT: Kind = Kind {
    read: "CAST(v + 0 AS CHAR)",
    assigned: Some("CAST(@v AS UNSIGNED)"),
    meaning: means::integer,
    ..BASE
};
pub(super) const LABELS: Kind = Kind {
    read: "CONCAT(v, '')",
    source: Source::Edits(" ,aAbBcl\u{e9}\0\u{1}0123456789+-"),
    meaning: means::label,
    canonical: str::to_owned,
    ..BASE
};
pub(super) const DATE: Kind = Kind {
    source: Source::Moments,
    meaning: means::date,
    canonical: str::to_owned,
    is_near: means::is_prefix,
    ..BASE
};
pub(super) const DATE_TIME: Kind =
    Kind { meaning: means::date_time, canonical: means::time_form, ..DATE };
pub(super) const TEXT: Kind = Kind {
    read: "HEX(CONVERT(v USING utf8mb4))",
    source: Source::Edits(" a\t\0\\~\u{e9}\u{20ac}\u{416}\u{1f600}\u{81}"),
    meaning: means::text,
    canonical: str::to_owned,
    is_near: means::is_prefix,
    ..BASE
};
pub(super) const BYTES: Kind = Kind { read: "HEX(v)", is_near: means::is_continued, ..TEXT };

/// Returns all types.
pub(super) fn kinds() -> Vec<Kind> {
    let mut kinds = super::numbers::kinds();
    kinds.extend(super::others::kinds());
    kinds
}
