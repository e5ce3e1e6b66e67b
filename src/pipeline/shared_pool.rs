//! The connections and transactions that the pipelines of several tables share.
//!
//! A pipeline has workers of its own, but a transaction begins only with a permit of all pipelines
//! together, and a worker keeps no connection between two transactions: it lays it down where the
//! workers of every pipeline find it. So there are never more connections that load than permits.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::mysql::{Connector, Server, Session, Sessions, SqlMode};
use crate::throttle::SharedLoads;

/// The time after which an idle connection is not used again. The server closes it after a longer
/// one.
const IDLE_LIMIT: Duration = Duration::from_secs(20);

/// The connections and transactions of several pipelines.
#[derive(Clone, Debug)]
pub(crate) struct SharedPool {
    pub(crate) loads: SharedLoads,
    /// The pool for each SQL mode that a pipeline has asked for, with its idle connections.
    pools: Arc<Mutex<Vec<(SqlMode, Sessions, IdleSessions)>>>,
}

impl SharedPool {
    /// Creates a pool for at most `max` transactions at once.
    pub(crate) fn new(max: usize) -> Self {
        Self { loads: SharedLoads::new(max), pools: Arc::default() }
    }

    /// Returns the pool for an SQL mode.
    pub(super) fn of(
        &self,
        connector: &Connector,
        server: &Server,
        sql_mode: SqlMode,
    ) -> (Sessions, IdleSessions) {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, sessions, idle)) = pools.iter().find(|(known, ..)| *known == sql_mode) {
            return (sessions.clone(), idle.clone());
        }
        let sessions = connector.pool(server, sql_mode, self.loads.max());
        let idle = IdleSessions::default();
        pools.push((sql_mode, sessions.clone(), idle.clone()));
        (sessions, idle)
    }

    /// Closes all connections, when no pipeline uses them any more.
    pub(crate) async fn close(self) {
        let pools: Vec<_> = {
            let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
            pools.drain(..).collect()
        };
        for (_, sessions, idle) in pools {
            for session in idle.take_all() {
                session.close().await;
            }
            sessions.close().await;
        }
    }
}

/// Sound connections that no worker holds, with the time at which each was laid down.
#[derive(Clone, Debug, Default)]
pub(crate) struct IdleSessions(Arc<Mutex<Vec<(Instant, Session)>>>);

impl IdleSessions {
    pub(super) fn put(&self, session: Session) {
        self.lock().push((Instant::now(), session));
    }

    /// Returns the connection that was in use last.
    pub(super) fn take(&self) -> Option<Session> {
        let mut idle = self.lock();
        idle.retain(|(since, _)| since.elapsed() < IDLE_LIMIT);
        idle.pop().map(|(_, session)| session)
    }

    fn take_all(&self) -> Vec<Session> {
        self.lock().drain(..).map(|(_, session)| session).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Instant, Session)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
