//! How the database server is reached, and which table is loaded.

use std::path::PathBuf;

use secrecy::SecretString;

use crate::choices::{Compress, SslMode};
use crate::object::TableName;

/// How the database server is reached, and which table is loaded.
#[derive(Clone, Debug)]
pub struct TargetConfig {
    pub host: String,
    pub port: u16,
    /// A unix socket; where set, `host` and `port` are not used.
    pub socket: Option<PathBuf>,
    pub user: String,
    pub password: Option<SecretString>,
    /// The default database of the connection; `table` may name another one.
    pub database: Option<String>,
    pub table: TableName,
    pub ssl_mode: SslMode,
    pub ssl_ca: Option<PathBuf>,
    pub ssl_cert: Option<PathBuf>,
    pub ssl_key: Option<PathBuf>,
    pub compress: Compress,
    /// Statements run on every new connection, after our own settings.
    pub init_sql: Vec<String>,
}
