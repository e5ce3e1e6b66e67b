//! The reading of objects that hold JSON: where their records are, and which value of a record goes
//! where.

use strum::{Display, EnumString, IntoStaticStr, VariantNames};

use super::column_list::ColumnOrVariable;
use super::json_path::{JsonPath, JsonStep};
use super::names::ExtraColumns;

/// The format of the objects.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, EnumString, Display, IntoStaticStr, VariantNames,
)]
#[strum(serialize_all = "kebab-case", ascii_case_insensitive)]
pub enum ObjectFormat {
    #[default]
    Delimited,
    /// Each line is a record.
    Jsonl,
    /// Records with or without white space between them, or in an array.
    Json,
    Parquet,
}

/// The fate of a record that lacks a key.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, EnumString, Display, IntoStaticStr, VariantNames,
)]
#[strum(serialize_all = "kebab-case", ascii_case_insensitive)]
pub enum MissingKeys {
    #[default]
    Null,
    Error,
}

/// The places of the records in an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JsonLayout {
    Lines,
    /// Anywhere in the text, or in the array at this path.
    Document(Option<JsonPath>),
}

/// The reading of objects that hold JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonFormat {
    pub layout: JsonLayout,
    /// The columns and variables whose values are not those of the key with their name.
    pub fields: Vec<(ColumnOrVariable, JsonPath)>,
    pub extra_columns: ExtraColumns,
    pub missing_keys: MissingKeys,
}

impl JsonFormat {
    /// Returns the path of a column or variable, if it does not have the value of its own name.
    #[must_use]
    pub fn path_of(&self, item: &ColumnOrVariable) -> Option<&JsonPath> {
        let is_it = |other: &ColumnOrVariable| match (other, item) {
            (ColumnOrVariable::Column(one), ColumnOrVariable::Column(other))
            | (ColumnOrVariable::Variable(one), ColumnOrVariable::Variable(other)) => {
                one.to_lowercase() == other.to_lowercase()
            }
            _ => false,
        };
        self.fields.iter().find(|(other, _)| is_it(other)).map(|(_, path)| path)
    }

    /// Returns the names of the members that lead to the records, if records may be anywhere in the
    /// text and not just on lines.
    #[must_use]
    pub fn records_at(&self) -> Option<Vec<String>> {
        let JsonLayout::Document(path) = &self.layout else { return None };
        let steps = path.iter().flat_map(|path| &path.steps);
        let names = steps.filter_map(|step| match step {
            JsonStep::Member(name) => Some(name.clone()),
            JsonStep::Element(_) => None,
        });
        Some(names.collect())
    }

    /// Returns what decides which rows an object has and where their values come from, each as a
    /// text of its own.
    #[must_use]
    pub fn canonical(&self) -> Vec<String> {
        let layout = match &self.layout {
            JsonLayout::Lines => "jsonl".to_owned(),
            JsonLayout::Document(None) => "json".to_owned(),
            JsonLayout::Document(Some(path)) => format!("json {path}"),
        };
        let field = |(item, path): &(ColumnOrVariable, JsonPath)| match item {
            ColumnOrVariable::Column(name) => format!("field {name}={path}"),
            ColumnOrVariable::Variable(name) => format!("field @{name}={path}"),
        };
        std::iter::once(layout).chain(self.fields.iter().map(field)).collect()
    }
}
