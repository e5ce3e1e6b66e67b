//! The settings of `--create-table`, and what a guess is made from.

use crate::dialect::FormatConfig;
use crate::object::Object;
use crate::values::{Readings, Server};

/// The settings of `--create-table`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CreateTableConfig {
    /// The columns of the primary key. Empty for a table without one.
    pub primary_key: Vec<String>,
}

/// The settings that a guess depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GuessOptions<'a> {
    pub(crate) format: &'a FormatConfig,
    pub(crate) readings: &'a Readings,
    pub(crate) primary_key: &'a [String],
    pub(crate) server: Server,
}

/// The beginning of an object.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head<'a> {
    pub(crate) object: &'a Object,
    pub(crate) text: &'a [u8],
    /// True if the object has no more text.
    pub(crate) is_whole: bool,
}
