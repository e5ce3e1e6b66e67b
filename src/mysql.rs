//! Makes, secures, pools and destroys connections to MySQL and MariaDB, reads the facts about the
//! server, and knows the meaning of its errors.
//!
//! Everything that talks SQL is built on this module. The ledger and the load both use it, and do
//! not know each other's statements.

pub(crate) mod codes;
mod conn;
mod connector;
mod create_table;
mod grants;
mod index;
mod login;
mod login_errors;
mod login_guard;
mod options;
mod public_key;
mod server;
mod server_error;
mod session_variables;
mod sessions;
mod table_schema;
mod tls;
mod watch;

pub use conn::Conn;
pub(crate) use conn::ResultSets;
pub use connector::Connector;
#[cfg(test)]
pub(crate) use create_table::INTRICATE_TABLE;
pub(crate) use create_table::{CreateTable, Definition, DefinitionKind};
pub(crate) use index::{Index, IndexKind};
pub(crate) use options::is_loopback;
pub use options::{TargetConfig, Timeouts};
pub use public_key::PublicKey;
pub use server::{Flavor, Server, SqlMode};
pub(crate) use server_error::{Phase, classify};
pub use sessions::{Session, Sessions};
pub use table_schema::{ColumnSchema, TableSchema};
pub(crate) use table_schema::{
    ReferringKey, TableDefinition, TableDescription, TableKind, UniqueKey, create_if_missing,
    describe_tables, is_in_foreign_key, missing_table, needs_primary_key, table_names,
};
