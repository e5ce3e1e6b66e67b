//! Finds the reasons not to swap or empty a table: everything that stays with the old table when
//! another takes its name, and everything that refers to it.
//!
//! `information_schema` shows an account only what it has privileges for. If something may be
//! hidden, a warning says so. The server still refuses anything that would break a constraint.

use mysql_async::Conn;

use super::options::PreflightOptions;
use crate::error::{Error, ErrorKind, Result};
use crate::mysql::{Phase, ReferringKey, TableKind, TableSchema, classify};
use crate::policy::Mode;

#[derive(Debug, Default)]
pub(crate) struct SwapFindings {
    pub(crate) problems: Vec<Error>,
    pub(crate) warnings: Vec<String>,
}

/// Checks the target for what the mode would do to it.
///
/// # Errors
/// The error of a query. Problems of the target are in the findings.
pub(crate) async fn check(
    conn: &mut Conn,
    options: &PreflightOptions<'_>,
    schema: &TableSchema,
) -> Result<SwapFindings> {
    let mut findings = SwapFindings::default();
    let mode = options.load.mode;
    if mode == Mode::Append {
        return Ok(findings);
    }
    let what = format!("table {}", options.target.table);
    let failed = |error: mysql_async::Error| classify(Phase::Connect, &what, &error);
    let verb = if mode == Mode::Swap { "swapped" } else { "emptied" };
    let mut refuse = |problem: String, hint: &str| {
        findings.problems.push(Error::new(ErrorKind::TargetRefused, problem).with_hint(hint));
    };

    if schema.kind == TableKind::View {
        refuse(
            format!("{what} is a view, which cannot be {verb}"),
            "name the view's base table, or use --mode append",
        );
        return Ok(findings);
    }
    if schema.kind == TableKind::SystemVersioned {
        let problem = if mode == Mode::Swap {
            format!("{what} is system-versioned: a swap would lose its history")
        } else {
            format!("{what} is system-versioned, and the server cannot truncate such tables")
        };
        refuse(problem, "use --mode append, or ALTER TABLE ... DROP SYSTEM VERSIONING first");
    }
    for ReferringKey { constraint, child } in schema.referring_keys(conn).await.map_err(failed)? {
        let (problem, hint) = if mode == Mode::Swap {
            (
                format!(
                    "{what}: foreign key {constraint} of {child} refers to it and would stay with \
                     the old table"
                ),
                "drop the foreign key first and add it again afterwards, or use --mode append",
            )
        } else {
            (
                format!(
                    "{what}: foreign key {constraint} of {child} refers to it, so it cannot be \
                     truncated"
                ),
                "drop the foreign key first, or empty the table yourself and use --mode append",
            )
        };
        refuse(problem, hint);
    }
    if mode == Mode::Swap {
        for constraint in &schema.foreign_keys {
            refuse(
                format!(
                    "{what}: its foreign key {constraint} would be lost: CREATE TABLE ... LIKE \
                     does not copy it"
                ),
                "drop the foreign key first and add it again afterwards, or use --mode truncate",
            );
        }
        for trigger in &schema.triggers {
            refuse(
                format!(
                    "{what}: its trigger {} would be lost: it stays with the old table",
                    trigger.name
                ),
                "drop the trigger first and create it again afterwards, or use --mode truncate",
            );
        }
        if schema.triggers.is_empty() && !schema.shows_triggers(conn).await.map_err(failed)? {
            findings.warnings.push(format!(
                "{what}: without the TRIGGER privilege its triggers are not visible; a swap would \
                 lose them"
            ));
        }
    }
    Ok(findings)
}
