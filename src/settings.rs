//! TODO: the doc of settings.

pub(crate) mod env;
mod layer;
mod print;
mod resolver;
pub(crate) mod table;
pub(crate) mod toml_file;

pub(crate) use layer::{Given, Value, closest, shown};
pub use layer::{Layer, Origin, Problem};
pub use print::Provenance;
pub(crate) use resolver::{Resolver, count};
pub use table::Scope;
pub(crate) use table::{
    Default, Flag, SOCKET, SSL_CA, SSL_CERT, SSL_KEY, SSL_MODE, Setting, ValueKind,
};
pub(crate) use toml_file::FileLayer;
