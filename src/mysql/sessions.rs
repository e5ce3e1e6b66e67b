//! Keeps the pool of connections that load, and lends them as sessions.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mysql_async::{OptsBuilder, Pool, PoolConstraints, PoolOpts};

use super::conn::Conn;
use super::connector::Connector;
use super::login::connecting;
use super::server::{Server, SqlMode};
use super::server_error::{Phase, classify};
use super::watch::{IDENTITY, Watch, unless_panicked};
use crate::error::{Error, ErrorKind, Result};

/// The time limit for destroying a connection. This is best effort: the server rolls back by itself
/// when the socket closes.
const DESTROY_TIMEOUT: Duration = Duration::from_secs(2);

impl Connector {
    /// Makes a pool of at most `size` connections that load.
    #[must_use]
    pub fn pool(&self, server: &Server, sql_mode: SqlMode, size: usize) -> Sessions {
        let opts = self.loading_opts(server, sql_mode);
        let mut pool_opts = PoolOpts::default();
        if let Some(constraints) = PoolConstraints::new(0, size.max(1)) {
            pool_opts = pool_opts.with_constraints(constraints);
        }
        Sessions {
            pool: Pool::new(opts.clone().pool_opts(pool_opts)),
            opts,
            connector: self.clone(),
            watch: self.watch(server.identity.clone()),
            pins: server.setup(sql_mode, self.timeouts),
            server: Arc::new(server.clone()),
            in_use: Arc::default(),
        }
    }
}

/// A pool, with everything that is needed to destroy one of its connections.
#[derive(Clone, Debug)]
pub struct Sessions {
    pool: Pool,
    opts: OptsBuilder,
    connector: Connector,
    watch: Arc<Watch>,
    /// The statement that pins the session's variables.
    pins: String,
    server: Arc<Server>,
    in_use: Arc<AtomicUsize>,
}

impl Sessions {
    /// Returns a session to load with, for as long as nothing goes wrong on it.
    ///
    /// # Errors
    /// The errors of connecting.
    pub async fn get(&self) -> Result<Session> {
        let timeout = self.connector.timeouts.connect;
        let pool = self.pool.clone();
        let getting = Box::pin(connecting(async move { pool.get_conn().await }));
        let conn = match tokio::time::timeout(timeout, getting).await {
            Ok(connected) => {
                connected.map_err(|error| classify(Phase::Connect, &self.connector.name, &error))?
            }
            Err(_) => {
                let message = format!("{}: no connection within {timeout:?}", self.connector.name);
                return Err(Error::new(ErrorKind::TargetUnreachable, message));
            }
        };
        Ok(self.session(Conn::watched(conn, Arc::clone(&self.watch))))
    }

    fn session(&self, conn: Conn) -> Session {
        Session {
            conn,
            commit_time: Duration::ZERO,
            sessions: self.clone(),
            _in_use: InUse::new(&self.in_use),
        }
    }

    /// Returns a session outside the pool. The pool never resets it, so it keeps what it holds,
    /// such as advisory locks, until it ends.
    ///
    /// # Errors
    /// The errors of connecting.
    pub async fn dedicated(&self) -> Result<Session> {
        let conn = self.connector.connect(self.opts.clone()).await;
        let conn = conn.map_err(|error| classify(Phase::Connect, &self.connector.name, &error))?;
        Ok(self.session(Conn::watched(conn, Arc::clone(&self.watch))))
    }

    /// Makes a session of the connection that probed the server. A new connection would take at
    /// least five round trips.
    ///
    /// # Errors
    /// The errors of connecting.
    pub(crate) async fn adopt(&self, conn: Conn) -> Result<Session> {
        let mut session = self.session(conn);
        // The probe has pinned and marked it.
        let is_pinned = session.conn.pinned_by.as_ref() == Some(&self.pins);
        let pins = (!is_pinned).then_some(&self.pins);
        for statement in pins.into_iter().chain(&self.connector.init_sql) {
            if let Err(error) = session.conn.query_drop(statement).await {
                session.close().await;
                return Err(classify(Phase::Connect, &self.connector.name, &error));
            }
        }
        Ok(session)
    }

    /// Returns the size of the longest statement that the server accepts.
    pub(crate) fn max_packet_bytes(&self) -> usize {
        self.server.max_packet_bytes()
    }

    /// Returns the number of sessions in use. While it is above zero, a server that refuses another
    /// one is full, and not gone.
    #[must_use]
    pub fn in_use(&self) -> usize {
        self.in_use.load(Ordering::Relaxed)
    }

    /// Closes the idle connections. Those in use must have been returned.
    pub async fn close(self) {
        // The server closes them anyway when the process ends.
        let _ = tokio::time::timeout(DESTROY_TIMEOUT, self.pool.disconnect()).await;
    }
}

/// One connection of the pool. After any error on it, call [`Session::destroy`].
#[derive(Debug)]
pub struct Session {
    pub(crate) conn: Conn,
    /// The time that the last COMMIT took.
    pub(crate) commit_time: Duration,
    sessions: Sessions,
    _in_use: InUse,
}

/// Counts a session for as long as it exists.
#[derive(Debug)]
struct InUse(Arc<AtomicUsize>);

impl InUse {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Session {
    pub(crate) fn target_name(&self) -> &str {
        &self.sessions.connector.name
    }

    /// Returns the size of the longest statement that the server accepts.
    pub(crate) fn max_packet_bytes(&self) -> usize {
        self.sessions.max_packet_bytes()
    }

    /// Returns true if this session reaches the server on which the run began, as far as that is
    /// known. Behind a name or an address that moves, a new connection may reach another one.
    pub(crate) async fn is_where_the_run_began(&mut self) -> mysql_async::Result<bool> {
        let sql = format!("SELECT CONNECTION_ID(), {IDENTITY}");
        let row: Option<(u64, String)> = self.conn.query_first(sql).await?;
        let there = row.filter(|(id, _)| *id == u64::from(self.conn.id())).map(|(_, there)| there);
        let here = &self.sessions.server.identity;
        Ok(here.is_none() || there.is_none() || there == *here)
    }

    /// Closes a session on which nothing went wrong.
    pub async fn close(self) {
        let _ = tokio::time::timeout(DESTROY_TIMEOUT, self.conn.disconnect()).await;
    }

    /// Destroys the connection and everything that its transaction has done, on the server too.
    ///
    /// The connection must not return to the pool: in the middle of an infile, the server would
    /// take the pool's reset for more of the file. Closing the socket is enough for a server that
    /// reads or writes. KILL reaches one that waits for a lock.
    pub async fn destroy(self) {
        let Self { conn, sessions, _in_use, .. } = self;
        let id = conn.id();
        // This closes the socket even if COM_QUIT cannot be sent.
        let _ = tokio::time::timeout(DESTROY_TIMEOUT, conn.disconnect()).await;
        let killing = Box::pin(unless_panicked(sessions.watch.kill(id)));
        let _ = tokio::time::timeout(DESTROY_TIMEOUT, killing).await;
    }
}
