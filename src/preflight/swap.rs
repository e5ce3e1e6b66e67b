//! Finds the reasons not to swap or empty a table: everything that stays with the old table when
//! another takes its name, and everything that refers to it.
//!
//! `information_schema` shows an account only what it has privileges for. If something may be
//! hidden that a swap would lose, the swap is refused. TRUNCATE loses nothing that is hidden: the
//! server refuses it if a foreign key of another table refers to the table.

use mysql_async::Error as Driver;

use super::options::PreflightOptions;
use crate::error::{Error, ErrorKind, Result};
use crate::mysql::{
    Conn, Flavor, Phase, ReferringKey, TableKind, TableSchema, classify, codes, is_in_foreign_key,
};
use crate::policy::Mode;

/// Makes the server quote names in backticks, and limits the wait for a statement that alters the
/// table. The settings of sessions that load replace these.
const SETUP: &str = "SET SESSION sql_mode = '', SESSION lock_wait_timeout = 5";

/// Returns the problems of the target with what the mode would do to it.
///
/// # Errors
/// The error of a query.
pub(crate) async fn check(
    conn: &mut Conn,
    options: &PreflightOptions<'_>,
    schema: &TableSchema,
    flavor: Flavor,
) -> Result<Vec<Error>> {
    let mut problems = Vec::new();
    let mode = options.load.mode;
    if mode == Mode::Append {
        return Ok(problems);
    }
    let what = format!("table {}", options.target.table);
    let failed = |error: mysql_async::Error| classify(Phase::Connect, &what, &error);
    let verb = if mode == Mode::Swap { "swapped" } else { "emptied" };
    let mut refuse = |problem: String, hint: &str| {
        problems.push(Error::new(ErrorKind::TargetRefused, problem).with_hint(hint));
    };

    if schema.kind == TableKind::View {
        refuse(
            format!("{what} is a view, which cannot be {verb}"),
            "name the view's base table, or use --mode append",
        );
        return Ok(problems);
    }
    if schema.kind == TableKind::SystemVersioned {
        let problem = if mode == Mode::Swap {
            format!("{what} is system-versioned: a swap would lose its history")
        } else {
            format!("{what} is system-versioned, and the server cannot truncate such tables")
        };
        refuse(problem, "use --mode append, or ALTER TABLE ... DROP SYSTEM VERSIONING first");
    }
    let referring_keys = schema.referring_keys(conn).await.map_err(failed)?;
    let sees_foreign_keys = !referring_keys.is_empty() || !schema.foreign_keys.is_empty();
    for ReferringKey { constraint, child } in referring_keys {
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
        conn.query_drop(SETUP).await.map_err(failed)?;
        if schema.triggers.is_empty()
            && !schema.shows_triggers(conn, flavor).await.map_err(failed)?
        {
            refuse(
                format!("{what}: the account does not see its triggers, which a swap would lose"),
                "GRANT the account the TRIGGER privilege on the table, or use --mode truncate",
            );
        }
        if !sees_foreign_keys && !schema.is_partitioned {
            match is_in_foreign_key(conn, &schema.name()).await {
                Ok(false) => {}
                Ok(true) => refuse(
                    format!(
                        "{what}: a foreign key that the account does not see refers to it and \
                         would stay with the old table"
                    ),
                    "an account with the PROCESS privilege finds it in \
                     information_schema.INNODB_FOREIGN (MariaDB: INNODB_SYS_FOREIGN); drop it \
                     first and add it again afterwards, or use --mode append",
                ),
                // Somebody alters the table. The swap asks again at its end.
                Err(Driver::Server(error)) if error.code == codes::LOCK_WAIT_TIMEOUT => {}
                Err(Driver::Server(error)) => refuse(
                    format!(
                        "{what}: the server does not tell if foreign keys refer to it, which \
                         would stay with the old table: ERROR {}: {}",
                        error.code, error.message
                    ),
                    "--mode swap needs SELECT, INSERT, CREATE, ALTER and DROP on its database",
                ),
                Err(error) => return Err(failed(error)),
            }
        }
    }
    Ok(problems)
}
