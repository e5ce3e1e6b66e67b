//! Pauses: no transaction begins while the server, or a replica of it, has enough to do already.
//!
//! One task asks about once a second, on connections of its own. Past a bound the [`ConcurrencyLimiter`] lets
//! nothing begin; what is loading goes on. What can't be asked at the start ends the run there,
//! with the remedy. What can't be asked any more later counts as past its bound: a run that was
//! told to spare a replica must not take its silence for health.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row, Value};
use tokio_util::sync::CancellationToken;

use super::limiter::ConcurrencyLimiter;
use super::options::ThroughputConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::mysql::{Connector, Flavor, Phase, classify};

/// Lag is told in seconds, and the threads that run change faster than any bound can follow.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);
/// A server that takes longer to tell its state is past any bound.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// What is watched.
pub(crate) struct Throttle {
    watched: Vec<Probe>,
}

struct Probe {
    /// For messages.
    name: String,
    bound: Threshold,
    connector: Connector,
    /// Away while it can't be reached.
    conn: Option<(Conn, Flavor)>,
}

#[derive(Clone, Copy)]
enum Threshold {
    ThreadsRunning(u64),
    Lag(Duration),
}

/// What one look has found.
enum Reading {
    Within,
    /// Why nothing may begin.
    Past(String),
    NoReplica,
}

/// Ends a pause at the end of whoever watches.
struct Resuming(Arc<ConcurrencyLimiter>);

impl Drop for Resuming {
    fn drop(&mut self) {
        self.0.pause(false);
    }
}

impl Throttle {
    /// Asks everything once; `None` where nothing is bounded.
    ///
    /// # Errors
    /// What keeps it from being asked.
    pub(crate) async fn open(
        throughput: &ThroughputConfig,
        default_port: u16,
        connector: &Connector,
    ) -> Result<Option<Self>> {
        let mut watched = Vec::new();
        if let Some(most) = throughput.max_threads_running {
            watched.push(Probe {
                name: connector.name().to_owned(),
                bound: Threshold::ThreadsRunning(most),
                connector: connector.clone(),
                conn: None,
            });
        }
        for replica in &throughput.replicas {
            let Some(max_lag) = throughput.max_lag else { break };
            let (host, port) = host_and_port(replica, default_port).ok_or_else(|| {
                Error::new(
                    ErrorKind::Usage,
                    format!("--replica {replica:?}: it must be HOST or HOST:PORT"),
                )
            })?;
            watched.push(Probe {
                name: format!("replica {replica}"),
                bound: Threshold::Lag(max_lag),
                connector: connector.elsewhere(host, port),
                conn: None,
            });
        }
        for watched in &mut watched {
            if let Reading::NoReplica = watched.look(0).await? {
                let message = format!("{}: it is no replica, so that it has no lag", watched.name);
                return Err(Error::new(ErrorKind::TargetRefused, message)
                    .with_hint("name in --replica the servers that replicate from the target"));
            }
        }
        Ok((!watched.is_empty()).then_some(Self { watched }))
    }

    /// Watches until `ended`. The governor is to be paused before: until the first look nobody
    /// knows whether something may begin.
    pub(crate) async fn watch(
        mut self,
        limiter: Arc<ConcurrencyLimiter>,
        ended: CancellationToken,
    ) {
        // Whoever still waits shall not wait for somebody who has gone, however that came about.
        let _resuming = Resuming(Arc::clone(&limiter));
        let mut paused: Option<Instant> = None;
        while ended.run_until_cancelled(self.look(&limiter, &mut paused)).await.is_some() {
            if ended.run_until_cancelled(tokio::time::sleep(BETWEEN_LOOKS)).await.is_none() {
                break;
            }
        }
        for conn in self.watched.into_iter().filter_map(|watched| watched.conn) {
            let _ = tokio::time::timeout(ANSWER_LIMIT, conn.0.disconnect()).await;
        }
    }

    async fn look(&mut self, limiter: &ConcurrencyLimiter, paused: &mut Option<Instant>) {
        // Its own transactions are no reason to wait.
        let ours = limiter.loading() as u64;
        let seen =
            join_all(self.watched.iter_mut().map(async |watched| match watched.look(ours).await {
                Ok(Reading::Within) => None,
                Ok(Reading::Past(why)) => Some(why),
                Ok(Reading::NoReplica) => Some(format!("{} is no replica any more", watched.name)),
                Err(error) => Some(error.one_line()),
            }))
            .await;
        let reasons: Vec<String> = seen.into_iter().flatten().collect();
        match (&paused, reasons.is_empty()) {
            (None, false) => {
                tracing::warn!("paused, nothing more is begun: {}", reasons.join("; "));
                limiter.pause(true);
                *paused = Some(Instant::now());
            }
            (Some(since), true) => {
                tracing::info!("going on after a pause of {:.0?}", since.elapsed());
                limiter.pause(false);
                *paused = None;
            }
            // It was held until the first look.
            (None, true) => limiter.pause(false),
            (Some(_), false) => {}
        }
    }
}

impl Probe {
    /// Asks once. After an error it is connected anew the next time.
    async fn look(&mut self, ours: u64) -> Result<Reading> {
        let (conn, flavor) = match self.conn.take() {
            Some(connected) => connected,
            None => {
                let (conn, server) = self.connector.probe().await?;
                (conn, server.flavor)
            }
        };
        let mut conn = conn;
        let seen = match tokio::time::timeout(ANSWER_LIMIT, self.ask(&mut conn, flavor, ours)).await
        {
            Ok(asked) => asked.map_err(|error| self.refused(&error))?,
            Err(_) => {
                let message =
                    format!("{}: it did not tell its state within {ANSWER_LIMIT:?}", self.name);
                return Err(Error::new(ErrorKind::TargetUnreachable, message));
            }
        };
        self.conn = Some((conn, flavor));
        Ok(seen)
    }

    async fn ask(
        &self,
        conn: &mut Conn,
        flavor: Flavor,
        ours: u64,
    ) -> mysql_async::Result<Reading> {
        match self.bound {
            Threshold::ThreadsRunning(most) => {
                let status: Option<(String, u64)> =
                    conn.query_first("SHOW GLOBAL STATUS LIKE 'Threads_running'").await?;
                // The one that answers this runs too.
                let others = status.map_or(0, |(_, running)| running.saturating_sub(ours + 1));
                let why = || {
                    format!(
                        "{others} other threads run on the server, --max-threads-running is {most}"
                    )
                };
                Ok(if others > most { Reading::Past(why()) } else { Reading::Within })
            }
            Threshold::Lag(most) => {
                let rows = replica_status(conn, flavor).await?;
                if rows.is_empty() {
                    return Ok(Reading::NoReplica);
                }
                // The worst of its channels.
                let lags: Option<Vec<u64>> = rows.iter().map(seconds_behind).collect();
                Ok(match lags.map(|lags| lags.into_iter().max().unwrap_or(0)) {
                    Some(lag) if Duration::from_secs(lag) <= most => Reading::Within,
                    Some(lag) => Reading::Past(format!(
                        "{} is {lag} s behind, --max-lag is {most:?}",
                        self.name
                    )),
                    None => Reading::Past(format!(
                        "{} does not replicate, and is ever further behind",
                        self.name
                    )),
                })
            }
        }
    }

    fn refused(&self, error: &mysql_async::Error) -> Error {
        let folded = classify(Phase::Transaction, &self.name, error);
        match (self.bound, folded.kind) {
            (Threshold::Lag(_), ErrorKind::TargetRefused) => folded.with_hint(
                "an administrator must GRANT REPLICATION CLIENT ON *.* (on MariaDB: REPLICA MONITOR) to the account on the replica",
            ),
            _ => folded,
        }
    }
}

/// A row for each source that it replicates from.
async fn replica_status(conn: &mut Conn, flavor: Flavor) -> mysql_async::Result<Vec<Row>> {
    /// How a server before 8.0.22 answers a statement of later ones.
    const SYNTAX: u16 = 1064;
    if flavor == Flavor::Mariadb {
        return conn.query("SHOW ALL SLAVES STATUS").await;
    }
    match conn.query("SHOW REPLICA STATUS").await {
        Err(mysql_async::Error::Server(error)) if error.code == SYNTAX => {
            conn.query("SHOW SLAVE STATUS").await
        }
        answered => answered,
    }
}

/// `None`: it does not replicate.
fn seconds_behind(row: &Row) -> Option<u64> {
    let is_it = |name: &str| ["Seconds_Behind_Source", "Seconds_Behind_Master"].contains(&name);
    let place = row.columns_ref().iter().position(|column| is_it(&column.name_str()))?;
    match row.as_ref(place)? {
        Value::Bytes(digits) => std::str::from_utf8(digits).ok()?.parse().ok(),
        _ => None,
    }
}

/// `HOST`, `HOST:PORT`, `[IPV6]` or `[IPV6]:PORT`.
fn host_and_port(text: &str, default_port: u16) -> Option<(&str, u16)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, behind) = rest.split_once(']')?;
            (host, if behind.is_empty() { None } else { Some(behind.strip_prefix(':')?) })
        }
        // Without brackets, more than one colon is an address.
        None => match text.split_once(':') {
            Some((host, port)) if !port.contains(':') => (host, Some(port)),
            _ => (text, None),
        },
    };
    let port = port.map_or(Some(default_port), |port| port.parse().ok())?;
    (!host.is_empty() && port > 0).then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_is_named_with_or_without_its_port() {
        assert_eq!(host_and_port("db2", 3306), Some(("db2", 3306)));
        assert_eq!(host_and_port("db2:3307", 3306), Some(("db2", 3307)));
        assert_eq!(host_and_port("::1", 3306), Some(("::1", 3306)));
        assert_eq!(host_and_port("[::1]", 3306), Some(("::1", 3306)));
        assert_eq!(host_and_port("[::1]:3307", 3306), Some(("::1", 3307)));
        for text in ["", ":3306", "db2:", "db2:x", "db2:0", "[::1]x", "[::1", "[]:1"] {
            assert_eq!(host_and_port(text, 3306), None, "{text:?}");
        }
    }
}
