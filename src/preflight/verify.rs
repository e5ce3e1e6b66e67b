//! Plans the comparison of the target with the objects, and finds what would make every comparison
//! fail.

use std::sync::Arc;

use mysql_async::Row;

use super::options::PreflightOptions;
use crate::dialect::ColumnOrVariable;
use crate::error::{Error, ErrorKind};
use crate::ledger::Target;
use crate::mysql::{Conn, Phase, Server, classify};
use crate::policy::Verify;
use crate::verify::{ColumnFacts, ComparePlan};

/// Returns the plan of the comparison at the end of the job, or `None` if none is wanted.
///
/// # Errors
/// `TargetRefused` for a table with triggers, which may change inserted values, and for a table
/// without any column that can be compared.
pub(crate) async fn plan(
    conn: &mut Conn,
    options: &PreflightOptions<'_>,
    server: &Server,
    target: &Target,
    items: &[ColumnOrVariable],
) -> Result<Option<Arc<ComparePlan>>, Vec<Error>> {
    if options.load.verify == Verify::None {
        return Ok(None);
    }
    let what = format!("table {}", options.target.table);
    let failed = |error: mysql_async::Error| vec![classify(Phase::Connect, &what, &error)];
    let place = (&target.database, &target.table);
    let facts: Vec<Row> = conn
        .exec(
            "SELECT COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, CHARACTER_SET_NAME, IS_NULLABLE, EXTRA, \
             COALESCE(NUMERIC_SCALE, 0), COALESCE(DATETIME_PRECISION, 0), \
             COALESCE(CHARACTER_OCTET_LENGTH, 0) FROM information_schema.COLUMNS \
             WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? ORDER BY ORDINAL_POSITION",
            place,
        )
        .await
        .map_err(failed)?;
    // A trigger that the account cannot see is not found here, but its changes make the comparison
    // fail.
    let triggers: Vec<String> = conn
        .exec(
            "SELECT TRIGGER_NAME FROM information_schema.TRIGGERS \
             WHERE EVENT_OBJECT_SCHEMA = ? AND EVENT_OBJECT_TABLE = ? \
             AND EVENT_MANIPULATION = 'INSERT' ORDER BY TRIGGER_NAME",
            place,
        )
        .await
        .map_err(failed)?;
    let facts: Vec<ColumnFacts> = facts.iter().map(column).collect();
    let zone = if server.time_zone.starts_with("SYSTEM") { "SYSTEM" } else { &server.time_zone };
    let plan = ComparePlan::new(&facts, items, options.format, zone);

    let mut problems: Vec<Error> = triggers
        .iter()
        .map(|trigger| {
            let message = format!(
                "{what}: its trigger {trigger} may change what is inserted, so the table cannot be \
                 compared with the objects"
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

/// Reads a row of the query above.
fn column(row: &Row) -> ColumnFacts {
    let text = |at: usize| row.get_opt::<Option<String>, _>(at).and_then(Result::ok).flatten();
    let number = |at: usize| row.get_opt::<u64, _>(at).and_then(Result::ok).unwrap_or_default();
    let extra = text(5).unwrap_or_default().to_ascii_uppercase();
    ColumnFacts {
        name: text(0).unwrap_or_default(),
        data_type: text(1).unwrap_or_default(),
        column_type: text(2).unwrap_or_default(),
        charset: text(3),
        is_nullable: text(4).is_some_and(|word| word == "YES"),
        is_generated: ["VIRTUAL", "STORED", "PERSISTENT"].iter().any(|word| extra.contains(word)),
        numeric_scale: number(6),
        datetime_precision: number(7),
        octet_length: number(8),
    }
}
