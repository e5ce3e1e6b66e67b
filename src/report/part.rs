//! A part of a split object that has ended.

use serde::Serialize;

use super::timing::{TimeFields, Timing};
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

/// The line of one part of an object that is loaded in parts. The line of the object follows, when
/// all of its parts have ended.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "part")]
pub(super) struct PartLine<'a> {
    /// The name of the job in the jobs file. `null` without `--jobs`.
    pub(super) job_name: Option<&'a str>,
    /// The outcome of the part.
    pub(super) status: PartStatus,
    /// The object's bucket.
    pub(super) bucket: &'a str,
    /// The object's whole key.
    pub(super) key: &'a str,
    /// The `ETag` as listed, with its quotes.
    pub(super) etag: &'a str,
    /// The number of the part, from 0.
    pub(super) part: u32,
    /// The place in the object's text at which the part begins, in bytes.
    pub(super) offset: u64,
    /// The size of the part's text in bytes.
    pub(super) size_bytes: u64,
    /// The number of data rows in the part.
    pub(super) rows: u64,
    /// The number of attempts to load it, including the first.
    pub(super) attempts: u32,
    /// The seconds from the start of the download to the end of everything.
    pub(super) seconds: f64,
    #[serde(flatten)]
    pub(super) times: TimeFields,
}

impl<'a> PartLine<'a> {
    pub(super) fn new(part: &'a EndedPart) -> Self {
        Self {
            job_name: None,
            status: part.status,
            bucket: &part.object.bucket,
            key: &part.object.key,
            etag: &part.object.etag,
            part: part.number,
            offset: part.offset,
            size_bytes: part.size_bytes,
            rows: part.rows,
            attempts: part.attempts,
            seconds: part.timing.elapsed.as_secs_f64(),
            times: TimeFields::new(&part.timing),
        }
    }
}
