//! The JSON Lines file beside the rejected rows: why each of them was held back.

use std::io::Write as _;

use serde_json::to_writer;

use super::name::ObjectName;
use super::{Reason, RejectedRow};

/// Writes one line for each reason of each row.
#[derive(Debug)]
pub(super) struct Sidecar {
    /// The members that are the same on every line.
    same: Vec<u8>,
    line: Vec<u8>,
}

impl Sidecar {
    pub(super) fn new(object: &ObjectName, part: Option<u32>) -> Self {
        let mut same = Vec::new();
        let ObjectName { bucket, key, etag, object_id: _ } = object;
        for (name, value) in [("{\"bucket\":", bucket), (",\"key\":", key), (",\"etag\":", etag)] {
            same.extend_from_slice(name.as_bytes());
            text(&mut same, value);
        }
        match part {
            Some(part) => number(&mut same, "part", u64::from(part)),
            None => same.extend_from_slice(b",\"part\":null"),
        }
        Self { same, line: Vec::new() }
    }

    /// The line, with its end. `reject_line` is where the row begins in the file of rejected rows.
    pub(super) fn line(
        &mut self,
        row: &RejectedRow<'_>,
        reason: &Reason<'_>,
        reject_line: u64,
    ) -> &[u8] {
        let line = &mut self.line;
        line.clear();
        line.extend_from_slice(&self.same);
        number(line, "row", row.row);
        number(line, "line", row.line);
        number(line, "offset", row.offset);
        number(line, "reject_line", reject_line);
        line.extend_from_slice(b",\"column\":");
        match reason.column {
            Some(column) => text(line, column),
            None => line.extend_from_slice(b"null"),
        }
        number(line, "code", u64::from(reason.code));
        line.extend_from_slice(b",\"reason\":");
        text(line, reason.reason);
        line.extend_from_slice(b",\"kind\":");
        text(line, reason.kind.code());
        line.extend_from_slice(b"}\n");
        line
    }
}

// Writing to a Vec can't fail, and neither can turning text into JSON.

fn text(line: &mut Vec<u8>, value: &str) {
    let _ = to_writer(line, value);
}

fn number(line: &mut Vec<u8>, name: &str, value: u64) {
    let _ = write!(line, ",\"{name}\":{value}");
}
