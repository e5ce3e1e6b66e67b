//! The answer of the ledger, and what all forms of showing it share.

use crate::ledger::Status;
use crate::sql_text::TableName;

/// The number of failures, partial objects and objects in flight that the text names. The JSON
/// document has all of them.
pub(super) const NAMED: usize = 10;

/// The answer of the ledger.
pub(super) enum StatusAnswer {
    NoLedger { target: TableName, ledger: TableName },
    Status(Box<Status>),
}
