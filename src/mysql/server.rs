//! The facts about the server, and the session settings that make every server behave the same.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

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
    /// The time zone in which TIMESTAMPs are read from the objects: the server's own.
    pub time_zone: String,
    /// The shortest round trip of any query so far, including the server's own time for it.
    round_trip: Duration,
    variables: HashMap<String, String>,
    /// The identity that tells this server from its replicas, so that a KILL cannot hit somebody
    /// else's connection. `None` behind a proxy that numbers connections itself.
    pub(super) identity: Option<String>,
}

/// The time for which the server keeps a transaction, with its locks, for a client that vanished.
pub(super) const WAIT_TIMEOUT_SECONDS: u32 = 120;
/// The time for which a load waits for a metadata lock, such as that of an ALTER TABLE. MySQL's
/// default is a year.
const LOCK_WAIT_TIMEOUT_SECONDS: u32 = 60;

/// The round trip from which a server counts as far: its link is then hardly as fast as a core
/// compresses (some 100 MB/s). Within a data centre, and between those of a region, a round trip
/// takes 0.1 to 2 ms.
const FAR_ROUND_TRIP: Duration = Duration::from_millis(10);

/// The limit on packets before the server's own is known: MariaDB's default. That of MySQL is
/// larger.
pub(super) const MAX_ALLOWED_PACKET_BYTES: usize = 16 * 1024 * 1024;

const READ: [&str; 16] = [
    "autocommit",
    "binlog_format",
    "have_compress",
    "innodb_autoinc_lock_mode",
    "local_infile",
    "log_bin",
    "max_allowed_packet",
    "max_connections",
    "protocol_compression_algorithms",
    "sql_mode",
    "system_time_zone",
    "time_zone",
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
    pub(super) async fn read(conn: &mut Conn) -> mysql_async::Result<Self> {
        let names: Vec<String> = READ.iter().map(|name| format!("'{name}'")).collect();
        let asked = Instant::now();
        // One packet, because every query costs a round trip. A variable that has only a session
        // scope on one family has a global one on the other.
        let mut results = conn
            .query_iter(format!(
                "SHOW GLOBAL VARIABLES WHERE Variable_name IN ({}); \
                 SHOW SESSION VARIABLES \
                 WHERE Variable_name IN ('transaction_isolation', 'tx_isolation'); \
                 SELECT VERSION(), CONNECTION_ID(), \
                 CONCAT_WS(' ', @@hostname, @@port, @@server_id, @@datadir)",
                names.join(", ")
            ))
            .await?;
        let round_trip = asked.elapsed();
        let rows: Vec<(String, String)> = results.collect().await?;
        let mut variables: HashMap<String, String> = rows.into_iter().collect();
        let rows: Vec<(String, String)> = results.collect().await?;
        variables.extend(rows);
        let identified: Vec<(String, u64, String)> = results.collect().await?;
        results.drop_result().await?;
        let (version, connection_id, identity) = identified.into_iter().next().unwrap_or_default();
        let flavor = if version.contains("MariaDB") { Flavor::Mariadb } else { Flavor::Mysql };
        let value = |name: &str| variables.get(name).cloned().unwrap_or_default();
        let time_zone = match value("time_zone").as_str() {
            "SYSTEM" => format!("SYSTEM ({})", value("system_time_zone")),
            zone => zone.to_owned(),
        };
        let identity = (connection_id == u64::from(conn.id())).then_some(identity);
        Ok(Self { flavor, version, time_zone, round_trip, variables, identity })
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
            .unwrap_or(MAX_ALLOWED_PACKET_BYTES)
    }

    fn is_on(&self, name: &str) -> bool {
        self.variables
            .get(name)
            .is_some_and(|value| value.eq_ignore_ascii_case("ON") || value == "1")
    }

    /// Returns true if two LOADs into a table with an `AUTO_INCREMENT` column wait for each other.
    pub(crate) fn serialises_auto_increment(&self) -> bool {
        self.variables.get("innodb_autoinc_lock_mode").is_some_and(|mode| mode != "2")
    }

    /// Returns true if Galera commits every 10,000 rows of a LOAD by itself.
    pub(crate) fn splits_load_data(&self) -> bool {
        self.is_on("wsrep_on") && self.is_on("wsrep_load_data_splitting")
    }

    /// Returns the one statement that pins every setting on which the meaning of a load depends.
    #[must_use]
    pub fn setup(&self, sql_mode: SqlMode) -> String {
        // Statement-based replication cannot replay READ COMMITTED. Elsewhere READ COMMITTED saves
        // parallel loads from gap locks.
        let statement_based = self.is_on("log_bin")
            && self
                .variables
                .get("binlog_format")
                .is_some_and(|format| format.eq_ignore_ascii_case("STATEMENT"));
        let isolation = if statement_based { "REPEATABLE-READ" } else { "READ-COMMITTED" };
        let isolation_variable = if self.variables.contains_key("transaction_isolation") {
            "transaction_isolation"
        } else {
            "tx_isolation"
        };
        let strict = match sql_mode {
            SqlMode::Strict => {
                "STRICT_TRANS_TABLES,STRICT_ALL_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,\
                 ERROR_FOR_DIVISION_BY_ZERO,"
            }
            SqlMode::Lenient => "",
        };
        let mut settings = vec![
            // A 0 in an AUTO_INCREMENT column must stay 0.
            format!("sql_mode = '{strict}NO_ENGINE_SUBSTITUTION,NO_AUTO_VALUE_ON_ZERO'"),
            "autocommit = 1".to_owned(),
            format!("{isolation_variable} = '{isolation}'"),
            "time_zone = @@GLOBAL.time_zone".to_owned(),
            // The counts are parsed from a text that would be translated.
            "lc_messages = 'en_US'".to_owned(),
            "sql_notes = 1".to_owned(),
            "unique_checks = 1".to_owned(),
            "foreign_key_checks = 1".to_owned(),
            format!("wait_timeout = {WAIT_TIMEOUT_SECONDS}"),
            format!("lock_wait_timeout = {LOCK_WAIT_TIMEOUT_SECONDS}"),
        ];
        if self.flavor == Flavor::Mariadb {
            // Only on MariaDB, where the default is 64. MySQL requires a privilege to set it.
            settings.push("max_error_count = 65535".to_owned());
        }
        format!("SET SESSION {}", settings.join(", SESSION "))
    }
}
