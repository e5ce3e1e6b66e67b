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

/// The problems found so far.
struct Refusals {
    /// The name of the table in messages.
    what: String,
    problems: Vec<Error>,
}

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
    let mode = options.load.mode;
    let what = format!("table {}", options.target.table);
    let mut refusals = Refusals { what: what.clone(), problems: Vec::new() };
    if mode == Mode::Append || refusals.is_view(schema, mode) {
        return Ok(refusals.problems);
    }
    refusals.system_versioned(schema, mode);
    let failed = |error: mysql_async::Error| classify(Phase::Connect, &what, &error);
    let referring_keys = schema.referring_keys(conn).await.map_err(failed)?;
    let sees_foreign_keys = !referring_keys.is_empty() || !schema.foreign_keys.is_empty();
    for key in &referring_keys {
        refusals.referring_key(key, mode);
    }
    if mode == Mode::Swap {
        refusals.lost_by_a_swap(schema);
        conn.query_drop(SETUP).await.map_err(failed)?;
        if schema.triggers.is_empty()
            && !schema.shows_triggers(conn, flavor).await.map_err(failed)?
        {
            refusals.add(
                format!("{what}: the account does not see its triggers, which a swap would lose"),
                "GRANT the account the TRIGGER privilege on the table, or use --mode truncate",
            );
        }
        if !sees_foreign_keys && !schema.is_partitioned {
            refusals.hidden_foreign_key(conn, schema).await.map_err(failed)?;
        }
    }
    Ok(refusals.problems)
}

impl Refusals {
    fn add(&mut self, problem: String, hint: &str) {
        self.problems.push(Error::new(ErrorKind::TargetRefused, problem).with_hint(hint));
    }

    /// Refuses a view. Nothing else about a view matters then.
    fn is_view(&mut self, schema: &TableSchema, mode: Mode) -> bool {
        let is_view = schema.kind == TableKind::View;
        if is_view {
            let verb = if mode == Mode::Swap { "swapped" } else { "emptied" };
            self.add(
                format!("{} is a view, which cannot be {verb}", self.what),
                "name the view's base table, or use --mode append",
            );
        }
        is_view
    }

    fn system_versioned(&mut self, schema: &TableSchema, mode: Mode) {
        if schema.kind != TableKind::SystemVersioned {
            return;
        }
        let what = &self.what;
        let problem = if mode == Mode::Swap {
            format!("{what} is system-versioned: a swap would lose its history")
        } else {
            format!("{what} is system-versioned, and the server cannot truncate such tables")
        };
        self.add(problem, "use --mode append, or ALTER TABLE ... DROP SYSTEM VERSIONING first");
    }

    /// Refuses because a foreign key of another table refers to this one.
    fn referring_key(&mut self, key: &ReferringKey, mode: Mode) {
        let ReferringKey { constraint, child } = key;
        let what = &self.what;
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
        self.add(problem, hint);
    }

    /// Refuses because of the table's own foreign keys and triggers, which the new table lacks.
    fn lost_by_a_swap(&mut self, schema: &TableSchema) {
        for constraint in &schema.foreign_keys {
            self.add(
                format!(
                    "{}: its foreign key {constraint} would be lost: CREATE TABLE ... LIKE does \
                     not copy it",
                    self.what
                ),
                "drop the foreign key first and add it again afterwards, or use --mode truncate",
            );
        }
        for trigger in &schema.triggers {
            self.add(
                format!(
                    "{}: its trigger {} would be lost: it stays with the old table",
                    self.what, trigger.name
                ),
                "drop the trigger first and create it again afterwards, or use --mode truncate",
            );
        }
    }

    /// Refuses because a foreign key that the account does not see may refer to the table.
    async fn hidden_foreign_key(
        &mut self,
        conn: &mut Conn,
        schema: &TableSchema,
    ) -> std::result::Result<(), Driver> {
        match is_in_foreign_key(conn, &schema.name()).await {
            Ok(false) => {}
            Ok(true) => self.add(
                format!(
                    "{}: a foreign key that the account does not see refers to it and would stay \
                     with the old table",
                    self.what
                ),
                "an account with the PROCESS privilege finds it in \
                 information_schema.INNODB_FOREIGN (MariaDB: INNODB_SYS_FOREIGN); drop it first \
                 and add it again afterwards, or use --mode append",
            ),
            // Somebody alters the table. The swap asks again at its end.
            Err(Driver::Server(error)) if error.code == codes::LOCK_WAIT_TIMEOUT => {}
            Err(Driver::Server(error)) => self.add(
                format!(
                    "{}: the server does not tell if foreign keys refer to it, which would stay \
                     with the old table: ERROR {}: {}",
                    self.what, error.code, error.message
                ),
                "--mode swap needs SELECT, INSERT, CREATE, ALTER and DROP on its database",
            ),
            Err(error) => return Err(error),
        }
        Ok(())
    }
}
