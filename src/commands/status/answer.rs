//! The answer of the ledger, and what all forms of showing it share.

use crate::ledger::Status;
use crate::printable::printable;
use crate::sql_text::TableName;

/// The number of failures, partial objects and objects in flight that the text names. The JSON
/// document has all of them.
pub(super) const NAMED: usize = 10;

/// The answer of the ledger.
pub(super) enum StatusAnswer {
    NoLedger { target: TableName, ledger: TableName },
    Status(Box<Status>),
}

/// Returns the URI, escaped so that a newline in a key cannot forge a line.
pub(crate) fn uri(bucket: &str, key: &str) -> String {
    format!("s3://{}/{}", printable(bucket), printable(key))
}
