//! The settings by which names decide where fields go.

use strum::{Display, EnumString, VariantNames};

/// The variable for the fields that are left out. Messages do not show its name.
pub(crate) const EXTRA_VARIABLE: &str = "s3_to_mysql_extra";

/// The way in which fields find their columns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Display, EnumString, VariantNames)]
#[strum(serialize_all = "kebab-case", ascii_case_insensitive)]
pub enum MatchColumns {
    /// The order of the fields is that of the columns.
    #[default]
    Position,
    /// Each object's header names the columns of its fields.
    Name,
}

/// The policy for names in an object that are names of no column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Display, EnumString, VariantNames)]
#[strum(serialize_all = "kebab-case", ascii_case_insensitive)]
pub enum ExtraColumns {
    #[default]
    Error,
    Ignore,
}

/// The policy for columns that an object lacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Display, EnumString, VariantNames)]
#[strum(serialize_all = "kebab-case", ascii_case_insensitive)]
pub enum MissingColumns {
    /// They get their default. A column that has none is an error.
    #[default]
    Default,
    Error,
}

/// The `NAME=VALUE` parts of keys that fill columns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PartitionColumns {
    #[default]
    None,
    /// Every part that is named like a column of the table.
    Auto,
    Named(Vec<String>),
}

/// The settings by which names decide where fields go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameConfig {
    pub match_columns: MatchColumns,
    pub extra_columns: ExtraColumns,
    pub missing_columns: MissingColumns,
    pub partition_columns: PartitionColumns,
}

impl NameConfig {
    /// Returns true if each object's header names the columns of its fields.
    #[must_use]
    pub fn by_name(&self) -> bool {
        self.match_columns == MatchColumns::Name
    }

    /// Returns the settings that are not the defaults of loading by position, each as a text of its
    /// own.
    #[must_use]
    pub fn canonical(&self) -> Vec<String> {
        let Self { match_columns, extra_columns, missing_columns, partition_columns } = self;
        let mut texts = Vec::new();
        if *match_columns != MatchColumns::default() {
            texts.push(format!("match-columns {match_columns}"));
        }
        if *extra_columns != ExtraColumns::default() {
            texts.push(format!("extra-columns {extra_columns}"));
        }
        if *missing_columns != MissingColumns::default() {
            texts.push(format!("missing-columns {missing_columns}"));
        }
        match partition_columns {
            PartitionColumns::None => {}
            PartitionColumns::Auto => texts.push("partition-columns auto".to_owned()),
            PartitionColumns::Named(names) => {
                texts.extend(names.iter().map(|name| format!("partition-columns\0{name}")));
            }
        }
        texts
    }
}
