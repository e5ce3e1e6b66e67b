//! A rejected row, and why it was rejected.

use serde::Serialize;
use strum::IntoStaticStr;

/// A row that is held back.
#[derive(Clone, Copy, Debug)]
pub struct RejectedRow<'a> {
    /// Its number among the object's data rows, from 1.
    pub row: u64,
    /// The line of the object on which it begins, from 1.
    pub line: u64,
    /// The byte of the object at which it begins.
    pub offset: u64,
    /// All of its bytes, without the line terminator.
    pub raw: &'a [u8],
    /// What ends a line of the object; for its last row as well.
    pub terminator: &'a [u8],
    /// At least one.
    pub reasons: &'a [Reason<'a>],
}

/// Why a row is held back.
#[derive(Clone, Copy, Debug)]
pub struct Reason<'a> {
    pub kind: ReasonKind,
    /// The server's number for it.
    pub code: u16,
    pub column: Option<&'a str>,
    /// In the server's own words, or in ours.
    pub reason: &'a str,
}

/// Which policy held the row back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, Serialize)]
#[serde(into = "&'static str")]
#[strum(serialize_all = "snake_case")]
pub enum ReasonKind {
    BadRow,
    Duplicate,
}
