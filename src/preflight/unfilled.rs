//! Finds the columns that would get a value from nowhere: NOT NULL, without a default, and filled
//! by neither `--columns` nor `--set`.
//!
//! MySQL stores 0, an empty text or the first label in such a column, without a warning. If the
//! column is the key, all rows but one are then duplicates. MariaDB warns of the statement.

use super::options::PreflightOptions;
use crate::dialect::{ColumnOrVariable, PartitionColumns};
use crate::error::{Error, ErrorKind, Result};
use crate::mysql::{Conn, Flavor, Phase, TableSchema, classify};
use crate::sql_text::{option_identifier, same_name};

/// The result of the search: at most one of the two.
#[derive(Debug, Default)]
pub(crate) struct Unfilled {
    pub(crate) problem: Option<Error>,
    pub(crate) warning: Option<String>,
}

/// Returns the problem with the columns that nothing fills.
///
/// On MySQL, a BEFORE INSERT trigger may fill them, and nothing is known about the triggers of the
/// table behind a view, so a view is only warned of. MariaDB warns of the statement in both cases.
///
/// # Errors
/// The error of a query.
pub(crate) async fn find(
    conn: &mut Conn,
    options: &PreflightOptions<'_>,
    schema: &TableSchema,
    columns: &[ColumnOrVariable],
    flavor: Flavor,
) -> Result<Unfilled> {
    let names = names(schema, columns, &options.format.set);
    let is_json = options.format.json.is_some();
    // By name, a key fills only what is listed.
    let may_key_fill = !options.format.names.by_name() || options.format.columns.is_none();
    if options.format.names.partition_columns == PartitionColumns::Auto && !is_json && may_key_fill
    {
        // The key of each object decides.
        return Ok(Unfilled::default());
    }
    let has_trigger = schema.has_before_insert_trigger();
    let (Some(first), false) = (names.first(), has_trigger && flavor == Flavor::Mysql) else {
        return Ok(Unfilled::default());
    };
    let what = format!("table {}", options.target.table);
    let (subject, verb, object) =
        if names.len() == 1 { ("column", "is", "it") } else { ("columns", "are", "them") };
    let problem = format!(
        "{what}: {subject} {} {verb} NOT NULL without a default, and neither --columns nor --set \
         fills {object}",
        names.join(", ")
    );
    if schema.is_view() && flavor == Flavor::Mysql {
        let warning = format!(
            "{problem}; unless a trigger of the table behind the view does, the server stores 0 or \
             an empty text"
        );
        return Ok(Unfilled { warning: Some(warning), problem: None });
    }
    let name = option_identifier(first);
    let by_key = if is_json {
        String::new()
    } else {
        format!("; --partition-columns '{name}' takes it from keys with {name}=VALUE/")
    };
    let mut hint = format!(
        "list the fields in --columns, set a value with --set '{name}=EXPRESSION', or give each \
         column a DEFAULT in the table{by_key}"
    );
    let failed = |error: mysql_async::Error| classify(Phase::Connect, &what, &error);
    // Grants must be shown in backticks. After a problem, nothing else runs on this connection.
    conn.query_drop("SET SESSION sql_mode = ''").await.map_err(failed)?;
    if has_trigger || schema.is_view() {
        hint.push_str("; MariaDB wants a value even if a trigger replaces it");
    } else if !schema.shows_triggers(conn, flavor).await.map_err(failed)? {
        hint.push_str(
            "; if a BEFORE INSERT trigger fills it, GRANT the account the TRIGGER privilege on the \
             table, so that it sees the trigger",
        );
    }
    let problem = Error::new(ErrorKind::TargetRefused, problem).with_hint(hint);
    Ok(Unfilled { problem: Some(problem), warning: None })
}

/// Returns the names of the columns that nothing fills, in the table's order.
fn names<'schema>(
    schema: &'schema TableSchema,
    columns: &[ColumnOrVariable],
    set: &[(String, String)],
) -> Vec<&'schema str> {
    let is_filled = |name: &str| {
        let is_listed = |item: &ColumnOrVariable| match item {
            ColumnOrVariable::Column(listed) => same_name(listed, name),
            ColumnOrVariable::Variable(_) => false,
        };
        columns.iter().any(is_listed) || set.iter().any(|(column, _)| same_name(column, name))
    };
    schema
        .columns
        .iter()
        .filter(|column| !column.has_default && !column.is_auto_increment && !column.is_generated)
        .map(|column| column.name.as_str())
        .filter(|name| !is_filled(name))
        .collect()
}
