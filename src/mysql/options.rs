//! The settings that say how to reach the database server and which table to load.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use super::public_key::PublicKey;
use crate::choices::{Compress, SslMode};
use crate::sql_text::TableName;

/// The settings that say how to reach the database server and which table to load.
#[derive(Clone, Debug)]
pub struct TargetConfig {
    pub host: String,
    pub port: u16,
    /// A unix socket. If it is set, `host` and `port` are not used.
    pub socket: Option<PathBuf>,
    pub user: String,
    pub password: Option<SecretString>,
    /// The default database of the connection. `table` may name another one.
    pub database: Option<String>,
    /// The table. Its name is empty if a command of the ledger is for all tables.
    pub table: TableName,
    pub ssl_mode: SslMode,
    pub ssl_ca: Option<PathBuf>,
    pub ssl_cert: Option<PathBuf>,
    pub ssl_key: Option<PathBuf>,
    /// True if the password may be encrypted, without TLS, with any key that the server sends.
    pub get_server_public_key: bool,
    /// The key with which the password may be encrypted without TLS.
    pub server_public_key: Option<PublicKey>,
    pub compress: Compress,
    /// Statements that run on every new connection, after the program's own settings.
    pub init_sql: Vec<String>,
}

/// The limits on waiting for the server.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// The time for a new connection, up to the end of its login.
    pub connect: Duration,
    /// The time without a sign of life.
    pub stall: Duration,
    /// The time that a statement waits for a lock.
    pub lock: Duration,
}

/// Returns true if `host` names this machine, so that the bytes of a connection do not leave it.
///
/// `localhost` and every name below it count, as resolvers keep them on the machine (RFC 6761).
pub(crate) fn is_loopback(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    host == "localhost"
        || host.ends_with(".localhost")
        || host
            .trim_matches(['[', ']'])
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_that_stay_on_the_machine_are_loopback() {
        for host in
            ["localhost", "LOCALHOST.", "db.localhost", "127.0.0.1", "127.9.9.9", "::1", "[::1]"]
        {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["10.0.0.1", "localhost.example.com", "::2", "notlocalhost", "128.0.0.1"] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
