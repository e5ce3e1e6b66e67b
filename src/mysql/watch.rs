//! Tells a server that works from one that is dead, so that every wait for a server ends.
//!
//! A statement may take hours, so its time has no limit. Instead, whenever a statement has taken
//! another `--stall-timeout`, a new connection asks the server for its thread:
//!
//! - It runs the statement: the wait goes on. Locks and metadata locks count as running.
//! - It is idle, or gone: the statement never arrived, or its answer got lost on the way, as behind
//!   a firewall that has forgotten the connection and drops its packets.
//! - There is no login within `--connect-timeout`: the server is frozen, or cut off. A refused
//!   login is an answer.
//!
//! A connection is given up only after two consecutive failed probes. So a statement that has just
//! ended, or a server that stood still for a moment, is not given up, and a dead server is noticed
//! within twice the sum of both limits.
//!
//! A thread is known by an advisory lock that its own session holds, and that nobody else can have:
//! its name is random for each run. A server that restarts numbers its threads from 1 again, and
//! behind an address that spreads over several servers each has its own.
//!
//! The thread cannot be found behind a proxy that numbers connections itself, or on another server.
//! There the program can only see that logins are answered, so it keeps waiting. The server's
//! `net_read_timeout` and `net_write_timeout`, pinned to `--stall-timeout`, end an exchange that
//! the client has left there.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use mysql_async::prelude::Queryable;
use mysql_async::{Error as Driver, OptsBuilder, Row};
use tokio_util::sync::CancellationToken;

use super::login;

/// The expression that tells this server from its replicas.
pub(super) const IDENTITY: &str = "CONCAT_WS(' ', @@hostname, @@port, @@server_id, @@datadir)";

/// The time that a statement gets to end when the run gives everything up.
const ABANDONED_PATIENCE: Duration = Duration::from_secs(1);

/// The knowledge that a connection needs to find out if its server still works.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    /// The options of a new connection, without the statements that set a session up.
    pub(super) opts: OptsBuilder,
    pub(super) name: Arc<str>,
    pub(super) connect_timeout: Duration,
    pub(super) stall_timeout: Duration,
    /// The beginning of the names of this run's advisory locks. `None` if the server has none.
    pub(super) mark: Option<Arc<str>>,
    /// Cancelled when the run gives everything up. No statement then gets more than
    /// [`ABANDONED_PATIENCE`].
    pub(super) abandoning: CancellationToken,
    /// The server's identity. `None` behind a proxy, and until it is read.
    pub(super) identity: Option<String>,
}

/// The result of one look.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Sign {
    /// The server is alive, and nothing says that it does not work on the statement.
    Working,
    /// The reason why the answer will not come.
    Bad(String),
}

impl Watch {
    /// Connects, with a time limit, and without setting the session up.
    pub(super) async fn connect(
        &self,
        opts: OptsBuilder,
    ) -> mysql_async::Result<mysql_async::Conn> {
        let refused = || {
            let message = format!("no connection within {:?}", self.connect_timeout);
            Driver::from(std::io::Error::new(std::io::ErrorKind::TimedOut, message))
        };
        let connecting = Box::pin(login::connecting(mysql_async::Conn::new(opts)));
        tokio::select! {
            biased;
            connected = connecting => connected,
            () = tokio::time::sleep(self.connect_timeout) => Err(refused()),
            () = self.abandoned() => Err(self.given_up()),
        }
    }

    /// Ends a while after the run gives everything up.
    async fn abandoned(&self) {
        self.abandoning.cancelled().await;
        tokio::time::sleep(ABANDONED_PATIENCE).await;
    }

    fn given_up(&self) -> Driver {
        let message = format!("{} did not answer before the run was stopped", self.name);
        std::io::Error::new(std::io::ErrorKind::TimedOut, message).into()
    }

    /// Waits for `work` on connection `id`, for as long as the server gives a sign that it works
    /// and the run goes on.
    pub(super) async fn while_working<T>(
        &self,
        id: u32,
        work: impl Future<Output = mysql_async::Result<T>> + Unpin,
    ) -> mysql_async::Result<T> {
        tokio::select! {
            biased;
            done = self.unless_silent(id, work) => done,
            () = self.abandoned() => Err(self.given_up()),
        }
    }

    async fn unless_silent<T>(
        &self,
        id: u32,
        mut work: impl Future<Output = mysql_async::Result<T>> + Unpin,
    ) -> mysql_async::Result<T> {
        let mut was_bad = false;
        loop {
            if let Ok(done) = tokio::time::timeout(self.stall_timeout, &mut work).await {
                return done;
            }
            let sign = tokio::select! {
                biased;
                done = &mut work => return done,
                sign = Box::pin(self.look(id)) => sign,
            };
            match sign {
                Sign::Working => was_bad = false,
                Sign::Bad(reason) if was_bad => {
                    let message = format!(
                        "{} has not answered for {:?} or more: {reason}",
                        self.name,
                        self.stall_timeout * 2
                    );
                    return Err(std::io::Error::new(std::io::ErrorKind::TimedOut, message).into());
                }
                Sign::Bad(reason) => {
                    tracing::debug!("{}: {reason}", self.name);
                    was_bad = true;
                }
            }
        }
    }

    /// Looks once for the thread of connection `id`.
    async fn look(&self, id: u32) -> Sign {
        let mut conn = match self.connect(self.opts.clone()).await {
            Ok(conn) => conn,
            Err(Driver::Server(_)) => return Sign::Working,
            Err(error) => return Sign::Bad(format!("a new connection gets no answer ({error})")),
        };
        let asked = unless_panicked(self.ask(&mut conn, id));
        let sign = match tokio::time::timeout(self.connect_timeout, asked).await {
            Ok(Ok(sign)) => sign,
            Ok(Err(Driver::Server(_))) => Sign::Working,
            Ok(Err(error)) => Sign::Bad(format!("a new connection gets no answer ({error})")),
            Err(_) => Sign::Bad("a new connection gets no answer".to_owned()),
        };
        let _ =
            tokio::time::timeout(self.connect_timeout, unless_panicked(conn.disconnect())).await;
        sign
    }

    async fn ask(&self, conn: &mut mysql_async::Conn, id: u32) -> mysql_async::Result<Sign> {
        let (Some(identity), Some(name)) = (&self.identity, self.lock_name(id)) else {
            return Ok(Sign::Working);
        };
        let sql = format!("SELECT IS_USED_LOCK('{name}'), {IDENTITY}");
        let row: Option<Row> = conn.query_first(sql).await?;
        let Some(row) = row else { return Ok(Sign::Working) };
        let holder = row.get_opt::<Option<u64>, _>(0).and_then(Result::ok).flatten();
        let there = row.get_opt::<String, _>(1).and_then(Result::ok);
        if holder != Some(u64::from(id)) {
            let is_same = there.as_ref() == Some(identity);
            return Ok(if is_same { gone() } else { Sign::Working });
        }
        let threads: Vec<Row> = conn.query("SHOW PROCESSLIST").await?;
        let is_it = |row: &&Row| row.get_opt::<u64, _>(0).and_then(Result::ok) == Some(id.into());
        let Some(thread) = threads.iter().find(is_it) else { return Ok(Sign::Working) };
        let command = thread.get_opt::<String, _>(4).and_then(Result::ok);
        Ok(match command.as_deref() {
            Some("Sleep") => Sign::Bad(
                "the server waits for a statement on this connection: what was sent, or its \
                 answer, was lost on the way"
                    .to_owned(),
            ),
            _ => Sign::Working,
        })
    }

    /// Returns the statement with which a session marks its thread.
    pub(super) fn marking(&self) -> String {
        match &self.mark {
            Some(mark) => format!("DO GET_LOCK(CONCAT('{mark}', CONNECTION_ID()), 0)"),
            None => "DO 0".to_owned(),
        }
    }

    fn lock_name(&self, id: u32) -> Option<String> {
        self.mark.as_ref().map(|mark| format!("{mark}{id}"))
    }

    /// KILLs connection `id`, if the server that this reaches has that thread and it is this run's.
    pub(super) async fn kill(&self, id: u32) -> mysql_async::Result<()> {
        // Behind a proxy that numbers connections itself, `id` may be another connection's.
        let (Some(_), Some(name)) = (&self.identity, self.lock_name(id)) else { return Ok(()) };
        let mut conn = self.connect(self.opts.clone()).await?;
        let sql = format!("SELECT IS_USED_LOCK('{name}')");
        let holder: Option<Row> = conn.query_first(sql).await?;
        let holder = holder.and_then(|row| row.get_opt::<Option<u64>, _>(0)?.ok().flatten());
        if holder == Some(u64::from(id)) {
            // It may have ended by itself in between: error 1094, no such thread. Within one life
            // of a server, no other thread gets its number.
            let _ = conn.query_drop(format!("KILL {id}")).await;
        }
        conn.disconnect().await
    }
}

fn gone() -> Sign {
    Sign::Bad("the server no longer has this connection".to_owned())
}

/// Turns a panic inside the driver into an error.
pub(super) async fn unless_panicked<T>(
    work: impl Future<Output = mysql_async::Result<T>>,
) -> mysql_async::Result<T> {
    // The connection is not used again after this error.
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|_| {
        Err(std::io::Error::other("the server sent something that the MySQL driver cannot handle")
            .into())
    })
}
