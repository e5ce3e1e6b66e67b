//! The run's own connection to the ledger: outside the pool, never reset, and the holder of the
//! run's advisory locks.
//!
//! The server frees the locks the moment the connection is gone, so that a run that dies leaves no
//! claim behind and needs no heartbeat. When the connection is lost while the run lives, it is made
//! again and what was claimed is claimed again, as far as nobody else has it by now: claims share
//! out the work, and are not what keeps an object from being loaded twice.

use std::collections::BTreeSet;
use std::sync::Arc;

use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Conn, Row, from_row};
use tokio::sync::Mutex;

use super::Ledger;
use super::identity::literal;
use crate::error::{ErrorKind, Result};
use crate::mysql::{Phase, Session, classify};
use crate::retry::Attempts;

/// The connection, where there is one, and what it has to hold.
#[derive(Debug)]
pub(crate) struct ControlConnection {
    session: Option<Session>,
    /// Names of claims that belong to objects of this run that have no outcome yet.
    pub(crate) held: BTreeSet<String>,
}

impl ControlConnection {
    /// With this session as the connection.
    pub(crate) fn holding(session: Session) -> Arc<Mutex<Self>> {
        Arc::new(Mutex::new(Self { session: Some(session), held: BTreeSet::new() }))
    }
}

/// The result sets of several statements, in their order; one that gives no rows has an empty one.
pub(crate) struct ResultSets(std::vec::IntoIter<Vec<Row>>);

impl ResultSets {
    pub(crate) async fn to(conn: &mut Conn, sql: &str) -> mysql_async::Result<Self> {
        let mut results = conn.query_iter(sql).await?;
        let mut sets = Vec::new();
        loop {
            sets.push(results.collect().await?);
            if results.is_empty() {
                results.drop_result().await?;
                return Ok(Self(sets.into_iter()));
            }
        }
    }

    pub(crate) fn next_rows<T: FromRow>(&mut self) -> Vec<T> {
        self.0.next().unwrap_or_default().into_iter().map(from_row).collect()
    }

    /// Without the first ones.
    pub(crate) fn skip(mut self, sets: usize) -> Self {
        self.0.by_ref().take(sets).for_each(drop);
        self
    }
}

impl Ledger {
    /// The rows that `sql` gives. It must be safe to repeat, as it is where the connection is lost.
    pub(crate) async fn query<T: FromRow>(&self, sql: &str) -> Result<Vec<T>> {
        Ok(self.query_all(sql).await?.next_rows())
    }

    /// What the statements of `sql` give, asked in one packet: on a long path each question costs.
    /// They must be safe to repeat.
    pub(crate) async fn query_all(&self, sql: &str) -> Result<ResultSets> {
        let mut attempts = Attempts::new(&self.retry);
        loop {
            let error = match self.query_once(sql).await {
                Ok(answers) => return Ok(answers),
                Err(error) => error,
            };
            if !attempts.wait_after(&error).await {
                return Err(error);
            }
        }
    }

    /// The same in one try, for what is not worth waiting for.
    pub(crate) async fn query_once(&self, sql: &str) -> Result<ResultSets> {
        let mut control = self.control.lock().await;
        // Taken out, so that a query that is dropped half-way leaves no connection with half an
        // answer in it behind.
        let mut session = match control.session.take() {
            Some(session) => session,
            // The driver's futures are large, and this one stands in many others.
            None => Box::pin(self.connect(&mut control)).await?,
        };
        let error = match Box::pin(ResultSets::to(&mut session.conn, sql)).await {
            Ok(answers) => {
                control.session = Some(session);
                return Ok(answers);
            }
            Err(error) => classify(Phase::Transaction, &self.tables.title(), &error),
        };
        if matches!(error.kind, ErrorKind::LockConflict | ErrorKind::TargetRefused) {
            // The connection and its locks are as they were.
            control.session = Some(session);
        } else {
            Box::pin(session.destroy()).await;
        }
        Err(error)
    }

    /// A statement that gives no rows.
    pub(crate) async fn execute(&self, sql: &str) -> Result<()> {
        self.query_all(sql).await.map(|_| ())
    }

    /// A new connection that holds what the lost one held.
    async fn connect(&self, control: &mut ControlConnection) -> Result<Session> {
        let what = self.tables.title();
        tracing::warn!(
            "{what}: the connection was lost; its {} claims are taken again",
            control.held.len()
        );
        let mut session = self.sessions.dedicated().await?;
        let mut names: Vec<&str> = control.held.iter().map(String::as_str).collect();
        let run_lock = self.run.lock_name();
        names.push(&run_lock);
        match session.conn.query_drop(get_locks(&names)).await {
            Ok(()) => Ok(session),
            Err(error) => {
                session.destroy().await;
                Err(classify(Phase::Transaction, &what, &error))
            }
        }
    }

    /// Keeps the connection from being closed for its idleness, and notices when it is lost.
    ///
    /// # Errors
    /// Whatever keeps it from being made again at once.
    pub async fn ping(&self) -> Result<()> {
        self.query_once("DO 0").await.map(|_| ())
    }

    /// Ends the connection, and with it everything that the run holds.
    pub async fn close(&self) {
        let session = self.control.lock().await.session.take();
        if let Some(session) = session {
            session.close().await;
        }
    }
}

/// Takes those of the advisory locks that nobody has, without waiting: names, and 1 where it was
/// taken. A derived table, because a server's stack does not bear an expression of a thousand
/// terms.
pub(crate) fn get_locks(names: &[&str]) -> String {
    format!("SELECT n, GET_LOCK(n, 0) FROM ({}) AS names", names_sql(names))
}

/// Rows of one column `n`. The names are hexadecimal digits, which no quoting rule touches.
pub(crate) fn names_sql(names: &[&str]) -> String {
    let rows: Vec<String> = names.iter().map(|name| format!("SELECT '{name}' AS n")).collect();
    rows.join(" UNION ALL ")
}

/// `(a, b, …)` of literals.
pub(crate) fn list<'a>(values: impl Iterator<Item = &'a [u8]>) -> String {
    let values: Vec<String> = values.map(literal).collect();
    format!("({})", values.join(", "))
}
