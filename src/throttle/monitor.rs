//! The monitor of server load and replica lag: no transaction begins while the server, or a replica
//! of it, is overloaded.
//!
//! One task checks about once a second, on its own connections. Beyond a threshold, the
//! [`ConcurrencyLimiter`] lets no transaction begin; running ones continue. A server that cannot be
//! checked at the start ends the run there, with a hint. A server that stops answering later counts
//! as beyond its threshold: a run that must spare a replica must not take silence for health.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use mysql_async::{Row, Value};
use tokio_util::sync::CancellationToken;

use super::limiter::ConcurrencyLimiter;
use super::options::ThroughputConfig;
use super::pauses::{PauseLog, PauseReason};
use crate::error::{Error, ErrorKind, Result};
use crate::mysql::{Conn, Connector, Flavor, Phase, classify, codes};

/// The time between two checks. Servers report lag in seconds, and running threads change faster
/// than any check can follow.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// The time limit for a check. A server that takes longer counts as beyond its threshold.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// The probes that watch the server and its replicas.
pub(crate) struct Throttle {
    probes: Vec<Probe>,
    pauses: Arc<PauseLog>,
}

struct Probe {
    /// The name for messages.
    name: String,
    bound: Threshold,
    connector: Connector,
    /// `None` while the server is not connected.
    conn: Option<(Conn, Flavor)>,
}

#[derive(Clone, Copy)]
enum Threshold {
    ThreadsRunning(u64),
    Lag(Duration),
}

/// The result of one check.
enum Reading {
    Within,
    /// The threshold is exceeded, for this reason.
    Past(String),
    NoReplica,
}

/// A guard that ends the pause when the monitor ends.
struct Resuming(Arc<ConcurrencyLimiter>, Arc<PauseLog>);

impl Drop for Resuming {
    fn drop(&mut self) {
        self.1.end();
        self.0.pause(false);
    }
}

impl Throttle {
    /// Checks every server once. Returns `None` if no threshold is set.
    ///
    /// # Errors
    /// Fails if a server cannot be checked.
    pub(crate) async fn open(
        throughput: &ThroughputConfig,
        default_port: u16,
        connector: &Connector,
    ) -> Result<Option<Self>> {
        let mut probes = Vec::new();
        if let Some(most) = throughput.max_threads_running {
            probes.push(Probe {
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
            probes.push(Probe {
                name: format!("replica {replica}"),
                bound: Threshold::Lag(max_lag),
                connector: connector.elsewhere(host, port),
                conn: None,
            });
        }
        for probe in &mut probes {
            if let Reading::NoReplica = probe.check(0).await? {
                let message = format!("{}: it is not a replica, so it has no lag", probe.name);
                return Err(Error::new(ErrorKind::TargetRefused, message)
                    .with_hint("in --replica, name servers that replicate from the target"));
            }
        }
        Ok((!probes.is_empty()).then_some(Self { probes, pauses: Arc::default() }))
    }

    /// Returns the record of the pauses.
    pub(crate) fn pauses(&self) -> Arc<PauseLog> {
        Arc::clone(&self.pauses)
    }

    /// Watches until `ended`. The caller must pause the limiter first, because nobody knows before
    /// the first check if a transaction may begin.
    pub(crate) async fn watch(
        mut self,
        limiter: Arc<ConcurrencyLimiter>,
        ended: CancellationToken,
    ) {
        // However the monitor ends, no worker may keep waiting for it.
        let _resuming = Resuming(Arc::clone(&limiter), self.pauses());
        while ended.run_until_cancelled(self.check(&limiter)).await.is_some() {
            if ended.run_until_cancelled(tokio::time::sleep(CHECK_INTERVAL)).await.is_none() {
                break;
            }
        }
        for conn in self.probes.into_iter().filter_map(|probe| probe.conn) {
            let _ = tokio::time::timeout(ANSWER_LIMIT, conn.0.disconnect()).await;
        }
    }

    async fn check(&mut self, limiter: &ConcurrencyLimiter) {
        // The run's own transactions are no reason to wait.
        let ours = limiter.loading() as u64;
        let seen =
            join_all(self.probes.iter_mut().map(async |probe| match probe.check(ours).await {
                Ok(Reading::Within) => None,
                Ok(Reading::Past(why)) => Some((probe.bound.reason(), why)),
                Ok(Reading::NoReplica) => {
                    let why = format!("{} is no longer a replica", probe.name);
                    Some((PauseReason::ReplicaLag, why))
                }
                Err(error) => Some((PauseReason::NoAnswer, error.one_line())),
            }))
            .await;
        let (reasons, texts): (Vec<PauseReason>, Vec<String>) = seen.into_iter().flatten().unzip();
        match reasons.first() {
            Some(&reason) if !self.pauses.is_paused() => {
                let why = texts.join("; ");
                tracing::warn!("paused, no new load begins: {why}");
                limiter.pause(true);
                self.pauses.begin(reason, why);
            }
            Some(_) => {}
            None => {
                if let Some(pause) = self.pauses.end() {
                    tracing::info!("resuming after a pause of {pause:.0?}");
                }
                // It was also paused until the first check.
                limiter.pause(false);
            }
        }
    }
}

impl Threshold {
    fn reason(self) -> PauseReason {
        match self {
            Self::ThreadsRunning(_) => PauseReason::ThreadsRunning,
            Self::Lag(_) => PauseReason::ReplicaLag,
        }
    }
}

impl Probe {
    /// Checks once. After an error, the next check reconnects.
    async fn check(&mut self, ours: u64) -> Result<Reading> {
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
                    format!("{}: it did not report its state within {ANSWER_LIMIT:?}", self.name);
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
                // The thread that answers this query runs too.
                let others = status.map_or(0, |(_, running)| running.saturating_sub(ours + 1));
                let why = || {
                    format!(
                        "{others} other threads are running on the server, --max-threads-running \
                         is {most}"
                    )
                };
                Ok(if others > most { Reading::Past(why()) } else { Reading::Within })
            }
            Threshold::Lag(most) => {
                let rows = replica_status(conn, flavor).await?;
                if rows.is_empty() {
                    return Ok(Reading::NoReplica);
                }
                // The largest lag of its channels.
                let lags: Option<Vec<u64>> = rows.iter().map(seconds_behind).collect();
                Ok(match lags.map(|lags| lags.into_iter().max().unwrap_or(0)) {
                    Some(lag) if Duration::from_secs(lag) <= most => Reading::Within,
                    Some(lag) => Reading::Past(format!(
                        "{} is {lag} s behind, --max-lag is {most:?}",
                        self.name
                    )),
                    None => Reading::Past(format!(
                        "{} is not replicating, so its lag keeps growing",
                        self.name
                    )),
                })
            }
        }
    }

    fn refused(&self, error: &mysql_async::Error) -> Error {
        let classified = classify(Phase::Transaction, &self.name, error);
        match (self.bound, classified.kind) {
            (Threshold::Lag(_), ErrorKind::TargetRefused) => classified.with_hint(
                "an administrator must GRANT REPLICATION CLIENT ON *.* (on MariaDB: REPLICA \
                 MONITOR) to the account on the replica",
            ),
            _ => classified,
        }
    }
}

/// Returns one row for each source that the server replicates from.
async fn replica_status(conn: &mut Conn, flavor: Flavor) -> mysql_async::Result<Vec<Row>> {
    if flavor == Flavor::Mariadb {
        return conn.query("SHOW ALL SLAVES STATUS").await;
    }
    match conn.query("SHOW REPLICA STATUS").await {
        // The server is older than 8.0.22, and does not know the newer statement.
        Err(mysql_async::Error::Server(error)) if error.code == codes::SYNTAX_ERROR => {
            conn.query("SHOW SLAVE STATUS").await
        }
        answered => answered,
    }
}

/// Returns the lag in seconds; `None` if the server is not replicating.
fn seconds_behind(row: &Row) -> Option<u64> {
    let is_it = |name: &str| ["Seconds_Behind_Source", "Seconds_Behind_Master"].contains(&name);
    let place = row.columns_ref().iter().position(|column| is_it(&column.name_str()))?;
    match row.as_ref(place)? {
        Value::Bytes(digits) => std::str::from_utf8(digits).ok()?.parse().ok(),
        _ => None,
    }
}

/// Parses `HOST`, `HOST:PORT`, `[IPV6]` or `[IPV6]:PORT`.
fn host_and_port(text: &str, default_port: u16) -> Option<(&str, u16)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, behind) = rest.split_once(']')?;
            (host, if behind.is_empty() { None } else { Some(behind.strip_prefix(':')?) })
        }
        // Without brackets, a text with more than one colon is an IPv6 address.
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
