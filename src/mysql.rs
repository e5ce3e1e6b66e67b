//! Connections to MySQL and MariaDB: how they are made, secured, pooled and destroyed, what the
//! server is, and what its errors mean.
//!
//! Left of everything that talks SQL: the ledger and the load both stand on it, and know each
//! other's statements not at all.

mod connection;
mod options;
mod server;
mod server_error;

pub use connection::{Connector, Session, Sessions};
pub use options::TargetConfig;
pub use server::{Flavor, Server, SqlMode};
pub(crate) use server_error::{Phase, classify};
