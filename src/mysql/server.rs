//! The facts about the server, and the session settings that make every server behave the same.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use mysql_async::Error as Driver;

use super::conn::Conn;
use super::options::Timeouts;
use super::session_variables::{
    ALWAYS, FRESH, IF_PRESENT, NO_TIME_LIMITS, RESTRICTED, assignment, set,
};
use super::watch::IDENTITY;
use crate::policy::OnBadRow;

/// The family that a server belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavor {
    Mysql,
    Mariadb,
}

impl std::fmt::Display for Flavor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Mysql => "MySQL",
            Self::Mariadb => "MariaDB",
        })
    }
}

/// The server's variables that matter to a load, read once.
#[derive(Clone, Debug)]
pub struct Server {
    pub flavor: Flavor,
    pub version: String,
    /// The shortest round trip of any query so far, including the server's own time for it.
    round_trip: Duration,
    variables: HashMap<String, String>,
    /// The values of the session's variables before they were pinned.
    session: HashMap<String, String>,
    /// The variables that this server or account does not let anybody set.
    refused: HashSet<String>,
    /// The identity that tells this server from its replicas, so that a KILL cannot hit somebody
    /// else's connection. `None` behind a proxy that numbers connections itself.
    pub(super) identity: Option<String>,
}

/// The time for which the server keeps a transaction, with its locks, for a client that vanished.
pub(super) const WAIT_TIMEOUT_SECONDS: u32 = 120;
/// The longest time for which a statement waits for a metadata lock, such as that of an ALTER
/// TABLE. MySQL's default is a year.
const LOCK_WAIT_SECONDS: u64 = 60;
/// The longest time for which a statement waits for the lock of a row: both servers' default. A
/// shorter time that the administrator has set stays.
const ROW_LOCK_WAIT_SECONDS: u64 = 50;

/// The round trip from which a server counts as far: its link is then hardly as fast as a core
/// compresses (some 100 MB/s). Within a data centre, and between those of a region, a round trip
/// takes 0.1 to 2 ms.
const FAR_ROUND_TRIP: Duration = Duration::from_millis(10);

/// The limit on packets before the server's own is known: MariaDB's default. MySQL's default is
/// larger.
pub(super) const MAX_ALLOWED_PACKET_BYTES: usize = 16 * 1024 * 1024;

/// The most that `max_allowed_packet` can be.
const LARGEST_PACKET_BYTES: usize = 1024 * 1024 * 1024;

const READ: [&str; 15] = [
    "autocommit",
    "binlog_format",
    "have_compress",
    "innodb_autoinc_lock_mode",
    "innodb_lock_wait_timeout",
    "local_infile",
    "log_bin",
    "max_allowed_packet",
    "max_connections",
    "protocol_compression_algorithms",
    "sql_mode",
    "transaction_isolation",
    "tx_isolation",
    "wsrep_load_data_splitting",
    "wsrep_on",
];

/// The server's treatment of values that do not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SqlMode {
    /// The server refuses them.
    Strict,
    /// The server changes them and warns.
    Lenient,
}

impl SqlMode {
    /// Returns the mode of the sessions that load.
    #[must_use]
    pub fn of(on_bad_row: OnBadRow) -> Self {
        // Under a strict mode, REPLACE fails at its first bad row, which contradicts `accept`.
        if on_bad_row == OnBadRow::Accept { Self::Lenient } else { Self::Strict }
    }
}

impl Server {
    /// Pins what must not distort the answers, marks the session with `marking`, and reads the
    /// facts about the server.
    pub(super) async fn read(conn: &mut Conn, marking: &str) -> mysql_async::Result<Self> {
        let quoted = |names: &mut dyn Iterator<Item = &str>| {
            names.map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ")
        };
        let globals = quoted(&mut READ.into_iter());
        let pinned = IF_PRESENT.iter().chain(RESTRICTED).map(|(name, _)| *name);
        let mine = quoted(&mut pinned.chain(["transaction_isolation", "tx_isolation", "old_mode"]));
        let first: Vec<String> =
            ALWAYS.iter().map(|(name, value)| assignment(name, value)).collect();
        let asked = Instant::now();
        // One packet, because every query costs a round trip. A variable that has only a session
        // scope on one family has a global one on the other.
        let mut results = conn
            .query_sets(&format!(
                "{FRESH}; {}{NO_TIME_LIMITS}; {marking}; \
                 SHOW GLOBAL VARIABLES WHERE Variable_name IN ({globals}); \
                 SHOW SESSION VARIABLES WHERE Variable_name IN ({mine}); \
                 SELECT VERSION(), CONNECTION_ID(), {IDENTITY}",
                set(&first)
            ))
            .await?
            .skip(4);
        let round_trip = asked.elapsed();
        let mut variables: HashMap<String, String> =
            results.next_rows::<(String, String)>()?.into_iter().collect();
        let session: HashMap<String, String> =
            results.next_rows::<(String, String)>()?.into_iter().collect();
        for name in ["transaction_isolation", "tx_isolation"] {
            variables.extend(session.get(name).map(|value| (name.to_owned(), value.clone())));
        }
        let identified: Vec<(String, u64, String)> = results.next_rows()?;
        let (version, connection_id, identity) = identified.into_iter().next().unwrap_or_default();
        let flavor = if version.contains("MariaDB") { Flavor::Mariadb } else { Flavor::Mysql };
        let identity = (connection_id == u64::from(conn.id())).then_some(identity);
        let refused = HashSet::new();
        Ok(Self { flavor, version, round_trip, variables, session, refused, identity })
    }

    /// Pins the variables of the session that has read the facts, and finds those that this server
    /// or account does not let anybody set.
    pub(super) async fn pin(
        &mut self,
        conn: &mut Conn,
        timeouts: Timeouts,
    ) -> mysql_async::Result<()> {
        let all = self.setup(SqlMode::Strict, timeouts);
        match conn.query_drop(&all).await {
            Ok(()) => conn.pinned_by = Some(all),
            Err(Driver::Server(_)) => {
                for (name, assignment) in self.assignments(SqlMode::Strict, timeouts) {
                    match conn.query_drop(set([&assignment])).await {
                        Ok(()) => {}
                        Err(Driver::Server(error)) => {
                            let is_free = !RESTRICTED.iter().any(|(other, _)| *other == name);
                            let message = format!(
                                "the server does not set {assignment}: ERROR {}: {}",
                                error.code, error.message
                            );
                            if is_free {
                                tracing::warn!("{message}");
                            } else {
                                tracing::info!("{message}");
                            }
                            self.refused.insert(name);
                        }
                        Err(error) => return Err(error),
                    }
                }
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Records the time of another query. So a server that is busy for a moment does not count as
    /// far.
    pub(crate) fn answered_within(&mut self, elapsed: Duration) {
        self.round_trip = self.round_trip.min(elapsed);
    }

    pub(super) fn is_far(&self) -> bool {
        self.round_trip >= FAR_ROUND_TRIP
    }

    /// Returns true if the server offers zlib compression. Servers that do not list their
    /// algorithms support it.
    pub(super) fn offers_zlib(&self) -> bool {
        let is_among = |name: &str, word: &str| {
            self.variables
                .get(name)
                .is_none_or(|value| value.split(',').any(|it| it.trim().eq_ignore_ascii_case(word)))
        };
        is_among("have_compress", "YES") && is_among("protocol_compression_algorithms", "zlib")
    }

    /// Returns the size of the longest statement that the server accepts.
    pub(crate) fn max_packet_bytes(&self) -> usize {
        self.variables
            .get("max_allowed_packet")
            .and_then(|bytes| bytes.parse().ok())
            .map_or(MAX_ALLOWED_PACKET_BYTES, |bytes: usize| bytes.min(LARGEST_PACKET_BYTES))
    }

    fn is_on(&self, name: &str) -> bool {
        self.variables
            .get(name)
            .is_some_and(|value| value.eq_ignore_ascii_case("ON") || value == "1")
    }

    /// Returns the reason why only one connection may load into a table with an `AUTO_INCREMENT`
    /// column, if there is one.
    pub(crate) fn serialises_auto_increment(&self) -> Option<&'static str> {
        let mode = self.variables.get("innodb_autoinc_lock_mode")?;
        if mode != "2" {
            return Some("innodb_autoinc_lock_mode is not 2, so loads wait for each other");
        }
        self.misleads_replicas().then_some(
            "binlog_format is STATEMENT while innodb_autoinc_lock_mode is 2, so replicas would \
             number the rows of loads that run side by side differently and lose rows",
        )
    }

    /// Returns true if loads that run side by side get their numbers in turns, and replicas repeat
    /// them one after the other: they give the rows other numbers, which collide.
    pub(crate) fn misleads_replicas(&self) -> bool {
        let mode = self.variables.get("innodb_autoinc_lock_mode");
        self.is_statement_based() && mode.is_some_and(|mode| mode == "2")
    }

    /// Returns true if replicas repeat the statements of loads.
    fn is_statement_based(&self) -> bool {
        let format = self.variables.get("binlog_format");
        self.is_on("log_bin") && format.is_some_and(|it| it.eq_ignore_ascii_case("STATEMENT"))
    }

    /// Returns true if Galera commits every 10,000 rows of a LOAD by itself.
    pub(crate) fn splits_load_data(&self) -> bool {
        self.is_on("wsrep_on") && self.is_on("wsrep_load_data_splitting")
    }

    /// Returns the one statement that pins every setting on which the meaning of a statement
    /// depends.
    #[must_use]
    pub fn setup(&self, sql_mode: SqlMode, timeouts: Timeouts) -> String {
        let assignments = self.assignments(sql_mode, timeouts);
        set(assignments.iter().map(|(_, assignment)| assignment))
    }

    /// Returns the variables to pin, each with its assignment.
    fn assignments(&self, sql_mode: SqlMode, timeouts: Timeouts) -> Vec<(String, String)> {
        let strict = match sql_mode {
            SqlMode::Strict => {
                "STRICT_TRANS_TABLES,STRICT_ALL_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,\
                 ERROR_FOR_DIVISION_BY_ZERO,"
            }
            SqlMode::Lenient => "",
        };
        // Statement-based replication cannot replay READ COMMITTED. Elsewhere READ COMMITTED saves
        // parallel loads from gap locks.
        let isolation =
            if self.is_statement_based() { "REPEATABLE-READ" } else { "READ-COMMITTED" };
        let isolation_variable = if self.variables.contains_key("transaction_isolation") {
            "transaction_isolation"
        } else {
            "tx_isolation"
        };
        // A wait for less than a second is as good as none on one server, and none on the other.
        let lock_wait = timeouts.lock.as_secs().clamp(1, LOCK_WAIT_SECONDS);
        let row_lock_wait = self
            .variables
            .get("innodb_lock_wait_timeout")
            .and_then(|seconds| seconds.parse().ok())
            .unwrap_or(ROW_LOCK_WAIT_SECONDS)
            .min(ROW_LOCK_WAIT_SECONDS)
            .min(lock_wait);
        // The server ends an exchange that the client would give up too.
        let exchange = timeouts.stall.as_secs_f64().ceil().clamp(1.0, 3600.0);
        let mut settings = vec![
            // A 0 in an AUTO_INCREMENT column must stay 0.
            ("sql_mode", format!("{strict}NO_ENGINE_SUBSTITUTION,NO_AUTO_VALUE_ON_ZERO")),
            (isolation_variable, isolation.to_owned()),
            ("time_zone", "+00:00".to_owned()),
            ("wait_timeout", WAIT_TIMEOUT_SECONDS.to_string()),
            ("lock_wait_timeout", lock_wait.to_string()),
            ("innodb_lock_wait_timeout", row_lock_wait.to_string()),
            ("net_read_timeout", exchange.to_string()),
            ("net_write_timeout", exchange.to_string()),
        ];
        if self.flavor == Flavor::Mariadb {
            // Only on MariaDB, where the default is 64. MySQL requires a privilege to set it.
            settings.push(("max_error_count", "65535".to_owned()));
        }
        if let Some(modes) = self.session.get("old_mode") {
            // The other modes drop warnings. This one says what the name utf8 means.
            let utf8 = "UTF8_IS_UTF8MB3";
            let kept = if modes.contains(utf8) { utf8 } else { "" };
            settings.push(("old_mode", kept.to_owned()));
        }
        let is_present = |name: &str| self.session.contains_key(name);
        let differs = |name: &str, value: &str| {
            self.session.get(name).is_some_and(|now| !now.eq_ignore_ascii_case(value))
        };
        let optional = IF_PRESENT.iter().filter(|(name, _)| is_present(name));
        let restricted = RESTRICTED.iter().filter(|(name, value)| differs(name, value));
        let constant = ALWAYS.iter().chain(optional).chain(restricted);
        settings.extend(constant.map(|(name, value)| (*name, (*value).to_owned())));
        settings
            .into_iter()
            .filter(|(name, _)| !self.refused.contains(*name))
            .map(|(name, value)| (name.to_owned(), assignment(name, &value)))
            .collect()
    }
}
