//! What the tasks tell the task that owns the run.

use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::error::Error;
use crate::ledger::{Job, Ledger};
use crate::object::Object;
use crate::report::Outcome;

/// What a stage tells the run.
#[derive(Debug)]
pub(crate) enum Event {
    Began(String),
    Ended(Box<Outcome>),
    /// The listing was ended with objects still to be found.
    ListingCut,
    /// What is left to load can't be found out any more.
    Broken(Error),
}

impl Event {
    pub(crate) fn ended(outcome: Outcome) -> Self {
        Self::Ended(Box::new(outcome))
    }
}

/// The run listens until every stage has ended, so that this can't fail while anybody cares.
pub(crate) async fn emit(events: &mpsc::Sender<Event>, event: Event) {
    let _ = events.send(event).await;
}

pub(crate) async fn failed(
    ledger: Option<&(Ledger, Job)>,
    object: Object,
    error: Error,
    attempts: u32,
    began: Instant,
) -> Outcome {
    record(ledger, &object.bucket, &object.key, &object.etag, &error, attempts).await;
    Outcome::Failed {
        bucket: object.bucket.clone(),
        key: object.key.clone(),
        object: Some(object),
        error,
        attempts,
        elapsed: began.elapsed(),
    }
}

/// The outcome of a key that was listed without an object to go with it.
pub(crate) async fn unreadable(
    ledger: Option<&(Ledger, Job)>,
    bucket: String,
    key: String,
    error: Error,
) -> Outcome {
    record(ledger, &bucket, &key, "", &error, 1).await;
    Outcome::Failed { bucket, key, object: None, error, attempts: 1, elapsed: Duration::ZERO }
}

/// Best effort: the report tells of the failure in any case.
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
        tracing::warn!("a failure is not in the ledger: {}", unrecorded.one_line());
    }
}
