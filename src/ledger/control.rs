//! Keeps the run's own connection to the ledger. It is outside the pool, is never reset, and holds
//! the run's advisory locks.
//!
//! The server frees the locks as soon as the connection is gone, so a run that dies leaves no claim
//! behind and needs no heartbeat. If the connection is lost while the run lives, the run reconnects
//! and claims again what it had, except what another run has claimed by then. That is safe: claims
//! divide the work, but they are not what keeps an object from being loaded twice.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::Mutex;

use crate::mysql::Session;
use crate::sql_text::bytes_literal;

/// The connection, if there is one, and the locks that it must hold.
#[derive(Debug)]
pub(crate) struct ControlConnection {
    pub(super) session: Option<Session>,
    /// True if the last attempt to connect failed.
    pub(super) is_unreachable: bool,
    /// The names of the claims on objects of this run that have no outcome yet.
    pub(crate) held: BTreeSet<String>,
}

impl ControlConnection {
    /// Makes the connection from this session.
    pub(crate) fn holding(session: Session) -> Arc<Mutex<Self>> {
        Arc::new(Mutex::new(Self {
            session: Some(session),
            is_unreachable: false,
            held: BTreeSet::new(),
        }))
    }
}

/// Returns the statement that takes each advisory lock that is free, without waiting. Its rows are
/// a name, and 1 if the lock was taken. It uses a derived table, because an expression of a
/// thousand terms overflows the server's stack.
pub(crate) fn get_locks(names: &[&str]) -> String {
    format!("SELECT n, GET_LOCK(n, 0) FROM ({}) AS names", names_sql(names))
}

/// Returns a query with one column, `n`. The names are hexadecimal digits, so they need no quoting.
pub(crate) fn names_sql(names: &[&str]) -> String {
    let rows: Vec<String> = names.iter().map(|name| format!("SELECT '{name}' AS n")).collect();
    rows.join(" UNION ALL ")
}

/// Returns `(a, b, …)`, a list of literals.
pub(crate) fn list<'a>(values: impl Iterator<Item = &'a [u8]>) -> String {
    let values: Vec<String> = values.map(bytes_literal).collect();
    format!("({})", values.join(", "))
}
