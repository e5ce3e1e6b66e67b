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

use super::identity::literal;
use crate::mysql::Session;

/// The connection, where there is one, and what it has to hold.
#[derive(Debug)]
pub(crate) struct ControlConnection {
    pub(super) session: Option<Session>,
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
