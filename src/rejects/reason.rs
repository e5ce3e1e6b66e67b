//! A rejected row, and why it was rejected.

use serde::Serialize;
use strum::IntoStaticStr;

/// A rejected row.
#[derive(Clone, Copy, Debug)]
pub struct RejectedRow<'a> {
    /// The number of the row among the object's data rows, from 1.
    pub row: u64,
    /// The line of the object on which the row begins, from 1.
    pub line: u64,
    /// The byte of the object at which the row begins, from 0.
    pub offset: u64,
    /// All bytes of the row, without the line terminator.
    pub raw: &'a [u8],
    /// The object's line terminator, even if the last row lacks it.
    pub terminator: &'a [u8],
    /// The reasons, at least one.
    pub reasons: &'a [Reason<'a>],
}

/// The reason why a row was rejected.
#[derive(Clone, Copy, Debug)]
pub struct Reason<'a> {
    pub kind: ReasonKind,
    /// The server's error number.
    pub code: u16,
    pub column: Option<&'a str>,
    /// The server's message, or the program's own.
    pub reason: &'a str,
}

/// The policy that rejected the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, Serialize)]
#[serde(into = "&'static str")]
#[strum(serialize_all = "snake_case")]
pub enum ReasonKind {
    BadRow,
    Duplicate,
}
