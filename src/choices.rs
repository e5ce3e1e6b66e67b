//! The values of settings that choose from a list of words, except load policies.

use strum::{EnumString, IntoStaticStr, VariantNames};

/// The `mysql` client's five values of `--ssl-mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE", ascii_case_insensitive)]
pub enum SslMode {
    Disabled,
    Preferred,
    Required,
    VerifyCa,
    VerifyIdentity,
}

/// The compression of the connection to MySQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, VariantNames)]
#[strum(serialize_all = "snake_case", ascii_case_insensitive)]
pub enum Compress {
    /// Compress if the connection turns out to be slow.
    Auto,
    Zlib,
    Off,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, VariantNames)]
#[strum(serialize_all = "snake_case", ascii_case_insensitive)]
pub enum LogFormat {
    Text,
    Json,
}

/// The display of progress on standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, VariantNames)]
#[strum(serialize_all = "snake_case", ascii_case_insensitive)]
pub enum ProgressMode {
    /// Bars on a terminal, log lines elsewhere.
    Auto,
    Bars,
    Log,
    Off,
}

/// The form of the summary on standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, VariantNames)]
#[strum(serialize_all = "snake_case", ascii_case_insensitive)]
pub enum SummaryForm {
    /// A table on a terminal, text elsewhere.
    Auto,
    /// `key value` lines.
    Text,
    /// A sentence and a table for people.
    Table,
    /// The last line of the report.
    Json,
}

/// The notation of fields of binary columns.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    strum::EnumString,
    strum::Display,
    strum::VariantNames,
)]
#[strum(serialize_all = "kebab-case", ascii_case_insensitive)]
pub enum BinaryReading {
    /// The bytes themselves. Fields of BIT columns are numbers.
    #[default]
    Auto,
    /// The bytes themselves, also those of BIT columns.
    Raw,
    /// Pairs of hexadecimal digits, perhaps after `0x` or `\x`.
    Hex,
    Base64,
}

/// The objects that the report has lines for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, VariantNames)]
#[strum(serialize_all = "snake_case", ascii_case_insensitive)]
pub enum ReportOnly {
    All,
    /// Leave out the objects that were loaded before.
    New,
}

/// The failed objects that make a run fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, VariantNames)]
#[strum(serialize_all = "snake_case", ascii_case_insensitive)]
pub enum FailOn {
    Any,
    /// Count the objects whose content no earlier run failed to load.
    New,
}
