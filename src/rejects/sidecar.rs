//! Writes the JSON Lines file beside the rejected rows. It says why each row was rejected.

use serde::Serialize;

use super::name::ObjectName;
use super::reason::{Reason, ReasonKind, RejectedRow};

/// Formats one line for each reason of each row.
#[derive(Debug)]
pub(super) struct Sidecar {
    object: ObjectName,
    part: Option<u32>,
    line: Vec<u8>,
}

/// A line of the file. Its names and values are a contract with the programs that read them: new
/// ones may be added, but existing ones never change.
#[derive(Serialize)]
struct ReasonLine<'a> {
    bucket: &'a str,
    key: &'a str,
    etag: &'a str,
    /// The number of the object's part that holds the row, from 0. `null` if the object was not
    /// loaded in parts.
    part: Option<u32>,
    /// The number of the row among the object's data rows, from 1.
    row: u64,
    /// The line of the object on which the row begins, from 1.
    line: u64,
    /// The byte of the object at which the row begins, from 0.
    offset: u64,
    /// The line of the file of rejected rows on which the row begins, from 1.
    reject_line: u64,
    /// The column. `null` if the server names none.
    column: Option<&'a str>,
    /// The server's error number.
    code: u16,
    reason: &'a str,
    /// The policy that rejected the row.
    kind: ReasonKind,
}

impl Sidecar {
    pub(super) fn new(object: &ObjectName, part: Option<u32>) -> Self {
        Self { object: object.clone(), part, line: Vec::new() }
    }

    /// Returns the line with its line feed. `reject_line` is the line on which the row begins in
    /// the file of rejected rows.
    pub(super) fn line(
        &mut self,
        row: &RejectedRow<'_>,
        reason: &Reason<'_>,
        reject_line: u64,
    ) -> &[u8] {
        let line = ReasonLine {
            bucket: &self.object.bucket,
            key: &self.object.key,
            etag: &self.object.etag,
            part: self.part,
            row: row.row,
            line: row.line,
            offset: row.offset,
            reject_line,
            column: reason.column,
            code: reason.code,
            reason: reason.reason,
            kind: reason.kind,
        };
        self.line.clear();
        // Neither writing to a Vec nor serializing such a line to JSON can fail.
        let _ = serde_json::to_writer(&mut self.line, &line);
        self.line.push(b'\n');
        &self.line
    }
}
