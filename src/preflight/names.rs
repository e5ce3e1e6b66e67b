//! Finds what names in headers and keys cannot do for this table.

use super::options::PreflightOptions;
use crate::columns::NameMatcher;
use crate::dialect::PartitionColumns;
use crate::error::{Error, ErrorKind};
use crate::load_data::LayoutMaker;
use crate::mysql::TableSchema;
use crate::sql_text::same_name;

/// Returns what prevents the load.
pub(super) fn problems(
    options: &PreflightOptions<'_>,
    schema: &TableSchema,
    layouts: &LayoutMaker,
) -> Vec<Error> {
    let what = format!("table {}", options.target.table);
    let mut problems = Vec::new();
    let hidden = layouts.matcher().into_iter().flat_map(NameMatcher::hidden_variables);
    for name in hidden {
        let message =
            format!("{what}: --set reads @{name}, but the field {name} goes to the column");
        problems.push(Error::new(ErrorKind::TargetRefused, message).with_hint(format!(
            "write {name} without the @ in the expression: it is the column's value"
        )));
    }
    if let PartitionColumns::Named(names) = &options.format.names.partition_columns {
        for name in names {
            let is_set = options.format.set.iter().any(|(column, _)| same_name(column, name));
            let is_generated = schema.column(name).is_some_and(|column| column.is_generated);
            let why = match (is_set, is_generated) {
                (true, _) => "--set fills column",
                (_, true) => "the server computes column",
                _ => continue,
            };
            let message = format!("{what}: {why} {name}, named in --partition-columns");
            problems.push(
                Error::new(ErrorKind::TargetRefused, message)
                    .with_hint("leave it out of --partition-columns"),
            );
        }
    }
    problems
}
