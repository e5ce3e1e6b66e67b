//! The settings that say how to reach the database server and which table to load.

use std::path::PathBuf;

use secrecy::SecretString;

use crate::choices::{Compress, SslMode};
use crate::object::TableName;

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
    pub table: TableName,
    pub ssl_mode: SslMode,
    pub ssl_ca: Option<PathBuf>,
    pub ssl_cert: Option<PathBuf>,
    pub ssl_key: Option<PathBuf>,
    pub compress: Compress,
    /// Statements that run on every new connection, after the program's own settings.
    pub init_sql: Vec<String>,
}
