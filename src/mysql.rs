//! Connections to MySQL and MariaDB: how they are made, secured, pooled and destroyed, the facts
//! about the server, and the meaning of its errors.
//!
//! Everything that talks SQL is built on this module. The ledger and the load both use it, and do
//! not know each other's statements.

pub(crate) mod codes;
mod connection;
mod create_table;
mod grants;
mod index;
mod options;
mod server;
mod server_error;
mod table_schema;

pub use connection::{Connector, Session, Sessions};
pub(crate) use create_table::{CreateTable, Definition, DefinitionKind};
pub(crate) use index::{Index, IndexKind};
pub use options::TargetConfig;
pub(crate) use options::is_loopback;
pub use server::{Flavor, Server, SqlMode};
pub(crate) use server_error::{Phase, classify};
pub use table_schema::{ColumnSchema, TableSchema};
pub(crate) use table_schema::{
    ReferringKey, TableDefinition, TableDescription, TableKind, describe_tables, is_in_foreign_key,
    table_names,
};
