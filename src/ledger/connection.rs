//! The run's own connection to the ledger: outside the pool, never reset, and the holder of the run's advisory locks.
//!
//! The server frees the locks the moment the connection is gone, so that a run that dies leaves no claim behind and needs no
//! heartbeat. When the connection is lost while the run lives, it is made again and what was claimed is claimed again, as
//! far as nobody else has it by now: claims share out the work, and are not what keeps an object from being loaded twice.

use std::collections::BTreeSet;

use mysql_async::Row;
use mysql_async::prelude::{FromRow, Queryable};

use super::Ledger;
use super::identity::literal;
use crate::error::{Kind, Result};
use crate::mysql::{During, Session, fold};
use crate::retry::Attempts;

/// The connection, where there is one, and what it has to hold.
#[derive(Debug, Default)]
pub(super) struct Own {
    session: Option<Session>,
    was_connected: bool,
    /// Names of claims that belong to objects of this run that have no outcome yet.
    pub(super) held: BTreeSet<String>,
}

impl Ledger {
    /// The rows that `sql` gives, or its first result set where it is several statements. It must be safe to repeat, as it
    /// is where the connection is lost.
    pub(super) async fn query<T: FromRow + Send + 'static>(&self, sql: &str) -> Result<Vec<T>> {
        let mut attempts = Attempts::new(&self.retry);
        loop {
            let error = match self.query_once(sql).await {
                Ok(rows) => return Ok(rows),
                Err(error) => error,
            };
            if !attempts.wait_after(&error).await {
                return Err(error);
            }
        }
    }

    /// The same in one try, for what is not worth waiting for.
    pub(super) async fn query_once<T: FromRow + Send + 'static>(&self, sql: &str) -> Result<Vec<T>> {
        let mut own = self.own.lock().await;
        // Taken out, so that a query that is dropped half-way leaves no connection with half an answer in it behind.
        let mut session = match own.session.take() {
            Some(session) => session,
            // The driver's futures are large, and this one stands in many others.
            None => Box::pin(self.connect(&mut own)).await?,
        };
        let error = match Box::pin(session.conn.query(sql)).await {
            Ok(rows) => {
                own.session = Some(session);
                return Ok(rows);
            }
            Err(error) => fold(During::Transaction, &self.tables.title(), &error),
        };
        if matches!(error.kind, Kind::LockConflict | Kind::TargetRefused) {
            // The connection and its locks are as they were.
            own.session = Some(session);
        } else {
            Box::pin(session.destroy()).await;
        }
        Err(error)
    }

    /// A statement that gives no rows.
    pub(super) async fn execute(&self, sql: &str) -> Result<()> {
        self.query::<Row>(sql).await.map(|_| ())
    }

    /// Makes this session the run's own.
    pub(super) async fn hold(&self, session: Session) -> Result<()> {
        let mut own = self.own.lock().await;
        let session = self.with_locks(&mut own, session).await?;
        own.session = Some(session);
        Ok(())
    }

    /// A new connection that holds what the lost one held.
    async fn connect(&self, own: &mut Own) -> Result<Session> {
        if own.was_connected {
            let what = self.tables.title();
            tracing::warn!("{what}: the connection was lost; its {} claims are taken again", own.held.len());
        }
        let session = self.sessions.dedicated().await?;
        self.with_locks(own, session).await
    }

    async fn with_locks(&self, own: &mut Own, mut session: Session) -> Result<Session> {
        let what = self.tables.title();
        own.was_connected = true;
        let mut names: Vec<&str> = own.held.iter().map(String::as_str).collect();
        let run_lock = self.run.lock_name();
        names.push(&run_lock);
        match session.conn.query_drop(get_locks(&names)).await {
            Ok(()) => Ok(session),
            Err(error) => {
                session.destroy().await;
                Err(fold(During::Transaction, &what, &error))
            }
        }
    }

    /// Keeps the connection from being closed for its idleness, and notices when it is lost.
    ///
    /// # Errors
    /// Whatever keeps it from being made again at once.
    pub async fn ping(&self) -> Result<()> {
        self.query_once::<Row>("DO 0").await.map(|_| ())
    }

    /// Ends the connection, and with it everything that the run holds.
    pub async fn close(&self) {
        let session = self.own.lock().await.session.take();
        if let Some(session) = session {
            session.close().await;
        }
    }
}

/// Takes those of the advisory locks that nobody has, without waiting: names, and 1 where it was taken. A derived table, because
/// a server's stack does not bear an expression of a thousand terms.
pub(super) fn get_locks(names: &[&str]) -> String {
    format!("SELECT n, GET_LOCK(n, 0) FROM ({}) AS names", names_sql(names))
}

/// Rows of one column `n`. The names are hexadecimal digits, which no quoting rule touches.
pub(super) fn names_sql(names: &[&str]) -> String {
    let rows: Vec<String> = names.iter().map(|name| format!("SELECT '{name}' AS n")).collect();
    rows.join(" UNION ALL ")
}

/// `(a, b, …)` of literals.
pub(super) fn list<'a>(values: impl Iterator<Item = &'a [u8]>) -> String {
    let values: Vec<String> = values.map(literal).collect();
    format!("({})", values.join(", "))
}
