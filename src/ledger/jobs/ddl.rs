//! Runs the statements that change tables, and explains their failures.

use crate::error::{Error, ErrorKind, Result};
use crate::ledger::handle::Ledger;
use crate::mysql::{Phase, Session, classify, codes};
use crate::retry::Attempts;

impl Ledger {
    /// Runs a statement that commits implicitly. Each try waits a while for the transactions that
    /// have the table open.
    pub(super) async fn ddl(
        &self,
        session: &mut Session,
        attempts: &mut Attempts,
        what: &str,
        sql: &str,
    ) -> Result<()> {
        loop {
            let Err(error) = session.conn.query_drop(sql).await else { return Ok(()) };
            let error = self.ddl_failed(what, &error);
            if error.kind != ErrorKind::LockConflict {
                return Err(error);
            }
            if !attempts.wait_after(&error).await {
                return Err(error);
            }
        }
    }

    pub(super) fn ddl_failed(&self, statement: &str, error: &mysql_async::Error) -> Error {
        let what = format!("{}: {statement}", self.what());
        let code = if let mysql_async::Error::Server(server) = error { server.code } else { 0 };
        let classified = classify(Phase::Transaction, &what, error);
        match code {
            codes::LOCK_WAIT_TIMEOUT => {
                let message = format!("{what} waits for a transaction that has the table open");
                Error::new(ErrorKind::LockConflict, message).with_hint(
                    "end that transaction (SHOW PROCESSLIST) and run again: the job \
                     continues from there",
                )
            }
            codes::TABLE_ACCESS_DENIED
            | codes::DATABASE_ACCESS_DENIED
            | codes::PRIVILEGE_NEEDED => classified.as_kind(ErrorKind::TargetRefused).with_hint(
                "--mode truncate needs the DROP privilege on the table, and with --defer-indexes \
                 ALTER, CREATE and INSERT; --mode swap needs SELECT, INSERT, CREATE, ALTER and \
                 DROP on its database",
            ),
            codes::TRUNCATE_REFUSED_BY_FOREIGN_KEY => {
                classified.as_kind(ErrorKind::TargetRefused).with_hint(
                    "foreign keys of other tables refer to it, so it cannot be emptied; drop them \
                 first, or use --mode append",
                )
            }
            _ if classified.kind == ErrorKind::StatementFailed => {
                classified.as_kind(ErrorKind::TargetRefused)
            }
            _ => classified,
        }
    }
}
