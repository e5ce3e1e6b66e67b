//! Loads staged objects: several small ones in one transaction if they are clean, otherwise one by
//! one.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::attempt::{
    Worker, await_resolution, base_request, is_skipped, load, request, session, try_again,
};
use super::bad_row_lines::with_lines;
use super::batcher::{Batcher, Work};
use super::context::Context;
use super::events::{Event, emit, failed};
use super::row_digest::with_digest;
use super::split_load::load_part;
use super::value_pass::{bad_values, fails, first_inexact};
use super::work::ReadyObject;
use crate::error::{Error, ErrorKind, Result};
use crate::ledger::Member;
use crate::load::{Batch, BatchOutcome, LoadOutcome};
use crate::load_data::{LoadStats, ObjectMeter, SendMeter};
use crate::report::{Outcome, Stage};
use crate::retry::Attempts;
use crate::split::Boundary;
use crate::verify::RowDigest;

/// The size from which the progress counts the bytes of an object on their way to the server.
const METERED_BYTES: u64 = 1024 * 1024;

/// The number of attempts to load a batch when the failure has nothing to do with its objects.
const TRIES_TOGETHER: u32 = 3;

/// Loads staged objects and parts until there are no more.
pub(crate) async fn load_staged(
    context: Arc<Context>,
    batcher: Arc<Batcher>,
    events: mpsc::Sender<Event>,
    number: u32,
) {
    let mut worker = Worker::new(&context, number);
    loop {
        worker.wait_for_slot().await;
        let mut batch = match batcher.next().await {
            None => break,
            Some(Work::Part(part)) => {
                Box::pin(load_part(&context, &mut worker, *part, &events)).await;
                continue;
            }
            Some(Work::Objects(batch)) => batch,
        };
        if batch.len() > 1 && worker.begin_slot(&context).await {
            let together = load_together(&context, &batcher, &mut worker, batch, &events);
            batch = Box::pin(together).await;
        }
        for ready in batch {
            Box::pin(load_alone(&context, &batcher, &mut worker, ready, &events)).await;
        }
    }
    worker.close().await;
}

/// Loads one object, and reports its outcome.
async fn load_alone(
    context: &Context,
    batcher: &Batcher,
    worker: &mut Worker,
    ready: ReadyObject,
    events: &mpsc::Sender<Event>,
) {
    let ReadyObject {
        selected, layout, staged, scan, values, mut watch, attempts: downloads, ..
    } = ready;

    let object = selected.object;
    if !worker.begin_slot(context).await {
        return emit(events, Event::ended(Outcome::NotReached { object })).await;
    }
    watch.end(Stage::Wait);
    watch.loads_on(worker.number, 1);
    let mut attempts = Attempts::new(&context.options.retry);
    let (verified, codecs) = (staged.verified, staged.codecs);
    let request = request(
        context,
        (&object, &layout),
        &staged,
        &scan,
        values,
        selected.failed_before.is_recorded(),
    );
    // Lives until the outcome is reported, and counts there.
    let meter = (object.size_bytes >= METERED_BYTES).then(|| ObjectMeter::new(&context.sent_bytes));
    let request = request.map(|mut request| {
        let text_bytes = staged.size_bytes;
        request.staged.meter =
            meter.clone().map(|meter| SendMeter::new(meter, object.size_bytes, text_bytes));
        request
    });
    let loaded = match request {
        Ok(request) if fails(context, &request.values) => {
            Err(bad_values(context, &object, &request).await.unwrap_or_else(|error| error))
        }
        request => match with_digest(context, request).await {
            Ok(request) => load(context, worker, &request, &mut attempts).await,
            Err(error) => Err(error),
        },
    };
    watch.end(Stage::Load);
    if let Ok(Some(_)) = &loaded {
        watch.committed(worker.commit_time());
    }
    let loaded = match loaded {
        Err(error) => {
            Err(with_lines(context, &layout, &staged.file, Boundary::default(), error).await)
        }
        Ok(Some(mut stats)) => {
            let request = base_request(context, (&object, &layout), &staged, &scan, values);
            stats.first_inexact = first_inexact(context, &request).await;
            Ok(Some(stats))
        }
        loaded => loaded,
    };
    drop(staged);
    match &loaded {
        Ok(Some(stats)) if !stats.is_clean() => batcher.record_failure(),
        Ok(_) => batcher.record_success(1),
        Err(error) if error.bad_rows().is_empty() => {}
        Err(_) => batcher.record_failure(),
    }
    // The last download attempt and the first load attempt count as one.
    let attempts = attempts.made() + downloads - 1;
    let outcome = match loaded {
        Ok(Some(stats)) => {
            let stats = Box::new(stats);
            Outcome::Loaded {
                object,
                stats,
                verified,
                codecs,
                again: selected.again,
                attempts,
                timing: watch.timing(),
            }
        }
        Ok(None) => Outcome::AlreadyLoaded { object },
        Err(error) if is_skipped(context, &error) => Outcome::SkippedChanged { object },
        Err(error) => {
            let (before, tried) = (selected.failed_before, (attempts, &watch));
            failed(context.ledger.as_ref(), object, before, error, tried).await
        }
    };
    emit(events, Event::ended(outcome)).await;
    drop(meter);
    // Only now may other runs try the object.
    drop(selected.claim);
}

/// Loads objects in one transaction and reports their outcomes. Returns the objects that must be
/// loaded one by one.
async fn load_together(
    context: &Context,
    batcher: &Batcher,
    worker: &mut Worker,
    mut batch: Vec<ReadyObject>,
    events: &mpsc::Sender<Event>,
) -> Vec<ReadyObject> {
    let objects = batch.len();
    let what = match batch.first() {
        Some(first) => format!("{} and {} more", first.selected.object, objects - 1),
        None => return batch,
    };
    for ready in &mut batch {
        ready.watch.end(Stage::Wait);
    }
    let tried = match build_batch(context, &what, &batch).await {
        Ok(batch) => send(context, worker, &batch).await,
        // Loading them one by one reports the error for the object that caused it.
        Err(_) => return batch,
    };
    for ready in &mut batch {
        ready.watch.end(Stage::Load);
        ready.watch.loads_on(worker.number, objects);
    }
    match tried {
        Ok(BatchOutcome::Committed) => {
            batcher.record_success(objects);
            let on_bad_row = context.preflight.policy.on_bad_row;
            for ReadyObject {
                selected, layout, staged, scan, values, mut watch, attempts, ..
            } in batch
            {
                watch.committed(worker.commit_time());
                let mut stats = LoadStats::clean(scan.rows).with_values(&values, on_bad_row);
                let request =
                    base_request(context, (&selected.object, &layout), &staged, &scan, values);
                stats.first_inexact = first_inexact(context, &request).await;
                let stats = Box::new(stats);
                let (verified, codecs) = (staged.verified, staged.codecs);
                drop(staged);
                let (object, again, timing) = (selected.object, selected.again, watch.timing());
                let outcome =
                    Outcome::Loaded { object, stats, verified, codecs, again, attempts, timing };
                emit(events, Event::ended(outcome)).await;
                drop(selected.claim);
            }
            Vec::new()
        }
        Ok(BatchOutcome::Fallback(doubt)) => {
            tracing::debug!("{what}: {doubt}; loading them one by one");
            batcher.record_failure();
            batch
        }
        Err(error)
            if matches!(
                error.kind,
                ErrorKind::OutcomeUnknown | ErrorKind::LedgerRowLost | ErrorKind::Interrupted
            ) =>
        {
            for ReadyObject { selected, watch, attempts, .. } in batch {
                let of_it =
                    Error::new(error.kind, format!("{}: {}", selected.object, error.full_text()));
                let of_it = match error.hint() {
                    Some(hint) => of_it.with_hint(hint),
                    None => of_it,
                };
                let (object, before) = (selected.object, selected.failed_before);
                let ledger = context.ledger.as_ref();
                let outcome = failed(ledger, object, before, of_it, (attempts, &watch)).await;
                emit(events, Event::ended(outcome)).await;
                drop(selected.claim);
            }
            Vec::new()
        }
        // If the error persists, the first object meets it again and reports it.
        Err(error) => {
            tracing::debug!("{}; loading them one by one", error.one_line());
            batch
        }
    }
}

async fn build_batch(context: &Context, what: &str, batch: &[ReadyObject]) -> Result<Batch> {
    let mut requests = Vec::with_capacity(batch.len());
    for ReadyObject { selected, layout, staged, scan, values, .. } in batch {
        let request = base_request(context, (&selected.object, layout), staged, scan, *values);
        requests.push(with_digest(context, Ok(request)).await?);
    }
    let entry = match &context.ledger {
        Some((ledger, job)) => {
            let members: Vec<Member<'_>> = batch
                .iter()
                .zip(&requests)
                .map(|(ready, request)| Member {
                    object: &ready.selected.object,
                    version_id: ready.staged.version_id.as_deref(),
                    rows: request.rows,
                    digest: request.digest.as_ref().map(RowDigest::digest),
                })
                .collect();
            let policy = context.options.ledger.key_policy(false);
            Some(ledger.batch_entry(job, what, &members, policy)?)
        }
        None => None,
    };
    Ok(Batch { what: what.to_owned(), requests, entry })
}

/// Sends a batch, and retries if that is safe and the failure has nothing to do with its objects.
async fn send(context: &Context, worker: &mut Worker, batch: &Batch) -> Result<BatchOutcome> {
    let mut attempts = Attempts::new(&context.options.retry);
    loop {
        let error = match session(context, worker, &batch.what, "loaded").await {
            Err(error) => error,
            Ok(mut session) => {
                match session.load_batch(batch, &context.shutdown.abandoning).await {
                    Ok(together) => {
                        worker.slot.committed();
                        worker.keep(session);
                        return Ok(together);
                    }
                    Err(error) => {
                        session.destroy().await;
                        match resolve_batch_commit(context, batch, error).await {
                            Ok(together) => return Ok(together),
                            Err(error) => error,
                        }
                    }
                }
            }
        };
        worker.slot.met(&error);
        if attempts.made() >= TRIES_TOGETHER {
            return Err(error);
        }
        try_again(context, worker, &mut attempts, &batch.what, error).await?;
    }
}

/// Asks the ledger for the outcome of a batch's COMMIT, as
/// [`resolve_commit`](super::attempt::resolve_commit) does for one object.
async fn resolve_batch_commit(
    context: &Context,
    batch: &Batch,
    error: Error,
) -> Result<BatchOutcome> {
    let (ErrorKind::OutcomeUnknown, Some((ledger, _)), Some(entry)) =
        (error.kind, &context.ledger, &batch.entry)
    else {
        return Err(error);
    };
    match await_resolution(context, &batch.what, error, ledger.resolve_batch_commit(entry)).await? {
        LoadOutcome::Committed => Ok(BatchOutcome::Committed),
        LoadOutcome::AlreadyLoaded => {
            Ok(BatchOutcome::Fallback("another run has loaded one of them".to_owned()))
        }
    }
}
