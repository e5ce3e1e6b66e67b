//! The answer of the ledger, and what all forms of showing it share.

use std::time::Duration;

use crate::error::{Error, ErrorKind};
use crate::ledger::Status;
use crate::retry::Attempts;
use crate::sql_text::TableName;

/// The form in which the state is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusForm {
    /// The text for people, with whole error messages or only their beginnings.
    Text {
        has_details: bool,
    },
    Json,
    /// A verdict for monitoring. The last success must not be older than `max_age`, if it is given.
    Check {
        max_age: Option<Duration>,
    },
}

/// The number of failures, partial objects and objects in flight that the text names. The JSON
/// document has all of them.
pub(super) const NAMED: usize = 10;

/// The answer of the ledger.
pub(super) enum StatusAnswer {
    NoLedger { target: TableName, ledger: TableName },
    Status(Box<Status>),
}

/// Returns `45 s`, `12 min`, `26 h` or `5 d`.
pub(super) fn shown_age(age: Duration) -> String {
    match age.as_secs() {
        seconds @ ..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

/// Returns true after a pause if the error is worth another attempt. An unreachable server is
/// reported at once, because a person may be waiting.
pub(crate) async fn is_tried_again(attempts: &mut Attempts, error: &Error) -> bool {
    matches!(
        error.kind,
        ErrorKind::TargetBusy | ErrorKind::ConnectionLost | ErrorKind::LockConflict
    ) && attempts.wait_after(error).await
}
