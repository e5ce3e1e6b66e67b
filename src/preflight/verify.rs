//! Plans the comparison of the target with the objects, and finds what would make every comparison
//! fail.

use std::sync::Arc;

use super::options::PreflightOptions;
use crate::dialect::ColumnOrVariable;
use crate::error::{Error, ErrorKind};
use crate::mysql::TableSchema;
use crate::policy::Verify;
use crate::verify::ComparePlan;

/// Returns the plan of the comparison at the end of the job, or `None` if none is wanted.
///
/// # Errors
/// `TargetRefused` for a table with triggers, which may change inserted values, and for a table
/// without any column that can be compared.
pub(crate) fn plan(
    options: &PreflightOptions<'_>,
    schema: &TableSchema,
    items: &[ColumnOrVariable],
) -> Result<Option<Arc<ComparePlan>>, Vec<Error>> {
    if options.load.verify == Verify::None {
        return Ok(None);
    }
    let what = format!("table {}", options.target.table);
    let zone = if options.sets_time_zone() { "set by --init-sql" } else { "UTC" };
    let plan = ComparePlan::new(
        &schema.columns,
        items,
        options.format,
        options.load.readings.binary,
        zone,
    );

    // A trigger that the account cannot see is not found here, but its changes make the comparison
    // fail.
    let mut problems: Vec<Error> = schema
        .triggers
        .iter()
        .filter(|trigger| trigger.event == "INSERT")
        .map(|trigger| {
            let message = format!(
                "{what}: its trigger {} may change what is inserted, so the table cannot be \
                 compared with the objects",
                trigger.name
            );
            Error::new(ErrorKind::TargetRefused, message)
                .with_hint("drop the trigger for the load, or leave out --verify")
        })
        .collect();
    if plan.is_empty() {
        let reasons: Vec<String> = plan
            .unverified()
            .iter()
            .map(|column| format!("{}: {}", column.column, column.reason))
            .collect();
        let message = format!(
            "{what}: it has no column that can be compared with the objects ({})",
            reasons.join("; ")
        );
        problems
            .push(Error::new(ErrorKind::TargetRefused, message).with_hint("leave out --verify"));
    }
    if problems.is_empty() { Ok(Some(Arc::new(plan))) } else { Err(problems) }
}
