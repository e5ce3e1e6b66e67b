//! The engine of settings, which knows nothing of their meaning.
//!
//! The `table` lists every `setting` with its name, the kind of its values, its default and its
//! help. Each place that gives values becomes a [`Layer`]: the command line, the environment
//! (`env`), the configuration file (`toml_file`) and the parts of a database URL. A `Resolver`
//! finds the strongest value of a setting, records where it came from ([`Provenance`], for
//! `--print-config`) and collects every [`Problem`] instead of stopping at the first.
//! [`crate::config`] turns the values into a validated configuration.

pub(crate) mod env;
mod job_settings;
mod layer;
mod print;
#[cfg(test)]
mod reference;
mod resolver;
mod setting;
pub(crate) mod table;
pub(crate) mod toml_file;

pub(crate) use job_settings::names_job;
pub(crate) use layer::{Given, Value, closest, shown};
pub use layer::{Layer, Origin, Problem};
pub use print::Provenance;
pub(crate) use resolver::{Resolver, count};
pub(crate) use setting::{Default, ENVIRONMENT_PREFIX, Flag, Setting, ValueKind};
pub use table::Scope;
pub(crate) use table::{SOCKET, SSL_CA, SSL_CERT, SSL_KEY, SSL_MODE};
pub(crate) use toml_file::{FileLayer, JobLayer, JobsFile};
