//! A part of a split object that has ended.

use serde::Serialize;

use super::timing::Timing;
use crate::object::Object;

/// A part of a split object that has ended. The object itself ends after its parts.
#[derive(Debug)]
pub struct EndedPart {
    pub object: Object,
    pub number: u32,
    pub status: PartStatus,
    /// The place of the part in the object's text.
    pub offset: u64,
    pub size_bytes: u64,
    pub rows: u64,
    pub attempts: u32,
    pub timing: Timing,
}

/// The outcome of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PartStatus {
    /// This run loaded it.
    Loaded,
    /// Another run loaded it in the meantime.
    AlreadyLoaded,
    /// It could not be loaded. The line of the object says why.
    Failed,
}
