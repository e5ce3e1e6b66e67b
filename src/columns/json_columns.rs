//! The columns and variables that get the values of JSON.

use super::item::is_same;
use crate::dialect::{ColumnOrVariable, FormatConfig, JsonFormat, names_in};
use crate::mysql::TableSchema;
use crate::sql_text::same_name;

/// Returns the columns and variables that get a value of JSON by its name or path: those of
/// `--columns`, or the columns that nothing else fills; and those of `--field`.
pub(crate) fn json_columns(
    schema: &TableSchema,
    format: &FormatConfig,
    json: &JsonFormat,
) -> Vec<ColumnOrVariable> {
    let set = &format.set;
    let is_set = |name: &str| {
        let is_read = |(_, expression): &(String, String)| {
            names_in(expression).iter().any(|used| same_name(used, name))
        };
        set.iter().any(|(column, _)| same_name(column, name)) && !set.iter().any(is_read)
    };
    let visible = || {
        let columns = schema.columns.iter();
        columns
            .filter(|column| !column.is_invisible && !column.is_generated && !is_set(&column.name))
            .map(|column| ColumnOrVariable::Column(column.name.clone()))
            .collect()
    };
    let mut columns: Vec<ColumnOrVariable> = format.columns.clone().unwrap_or_else(visible);
    for (item, _) in &json.fields {
        if !columns.iter().any(|listed| is_same(listed, item)) {
            columns.push(item.clone());
        }
    }
    columns
}
