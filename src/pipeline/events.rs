//! The events that tasks send to the owner of the run.

use jiff::Timestamp;
use tokio::sync::mpsc;

use super::work::FailedBefore;
use crate::error::{Error, ErrorKind};
use crate::ledger::{Job, Ledger};
use crate::object::Object;
use crate::report::{EndedPart, Outcome, Stopwatch, Timing};

/// An event that a task sends to the owner of the run.
#[derive(Debug)]
pub(crate) enum Event {
    Began(String),
    Ended(Box<Outcome>),
    PartEnded(Box<EndedPart>),
    /// The listing was stopped before it had found all objects.
    ListingCut,
    /// The run can no longer determine what is left to load.
    Broken(Error),
}

impl Event {
    pub(crate) fn ended(outcome: Outcome) -> Self {
        Self::Ended(Box::new(outcome))
    }
}

/// Sends an event. The run receives events until every task has ended, so this fails only when no
/// one needs the event.
pub(crate) async fn emit(events: &mpsc::Sender<Event>, event: Event) {
    let _ = events.send(event).await;
}

pub(crate) async fn failed(
    ledger: Option<&(Ledger, Job)>,
    object: Object,
    before: FailedBefore,
    error: Error,
    (attempts, watch): (u32, &Stopwatch),
) -> Outcome {
    record(ledger, &object.bucket, &object.key, &object.etag, &error, attempts).await;
    Outcome::Failed {
        bucket: object.bucket.clone(),
        key: object.key.clone(),
        object: Some(object),
        is_known: before == FailedBefore::SameContent,
        error,
        attempts,
        timing: watch.timing(),
    }
}

/// Returns the outcome of a key that the listing returned without a usable object. A key that does
/// not exist is a slip of the user, or was deleted meanwhile. The ledger does not keep it: no run
/// would ever clear it.
pub(crate) async fn unreadable(
    ledger: Option<&(Ledger, Job)>,
    bucket: String,
    key: String,
    error: Error,
) -> Outcome {
    if error.kind != ErrorKind::ObjectMissing {
        record(ledger, &bucket, &key, "", &error, 1).await;
    }
    without_object(bucket, key, error)
}

/// Returns the outcome of a key that has no object to try.
pub(crate) fn without_object(bucket: String, key: String, error: Error) -> Outcome {
    Outcome::Failed {
        bucket,
        key,
        object: None,
        is_known: false,
        error,
        attempts: 1,
        timing: Timing::starting_at(Timestamp::now()),
    }
}

/// Records a failure in the ledger, as a best effort: the report shows the failure in any case.
pub(crate) async fn record(
    ledger: Option<&(Ledger, Job)>,
    bucket: &str,
    key: &str,
    etag: &str,
    error: &Error,
    attempts: u32,
) {
    if let Some((ledger, job)) = ledger
        && let Err(unrecorded) =
            ledger.record_failure(job.generation, bucket, key, etag, error, attempts).await
    {
        tracing::warn!("cannot record a failure in the ledger: {}", unrecorded.one_line());
    }
}
