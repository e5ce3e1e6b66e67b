//! The workers that load what is staged: several small objects together where that is clean, else
//! each by itself.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::bad_row_lines::with_lines;
use super::batcher::{Batcher, Work};
use super::download::{Context, Event, ReadyObject, emit, failed};
use super::pause;
use super::row_digest::with_digest;
use super::split_object::load_part;
use crate::error::{Error, ErrorKind, Result};
use crate::ledger::{CommitOutcome, LedgerEntry, Member};
use crate::load::{Batch, BatchOutcome, LoadOutcome, LoadRequest};
use crate::load_data::{LoadStats, Reservation, StagedRows};
use crate::mysql::Session;
use crate::object::Object;
use crate::rejects::ObjectName;
use crate::report::Outcome;
use crate::retry::Attempts;
use crate::split::{Boundary, Scan};
use crate::staging::StagedObject;
use crate::throttle::LoadSlot;
use crate::verify::RowDigest;

/// How long a worker waits before it asks a server that was full for a connection again.
const FULL_SERVER_PAUSE: Duration = Duration::from_secs(1);

/// How often objects are tried together where something other than they is in the way.
const TRIES_TOGETHER: u32 = 3;

/// One of those that load, and what it has to itself.
pub(crate) struct Worker {
    /// Kept for as long as nothing goes wrong on it.
    session: Option<Session>,
    pub(crate) slot: LoadSlot,
}

impl Worker {
    pub(crate) fn new(context: &Context) -> Self {
        Self { session: None, slot: context.limiter.slot() }
    }

    /// Waits for this worker's turn to look for work, without a connection: the server may need it.
    pub(crate) async fn wait_for_slot(&mut self) {
        if self.slot.is_over() {
            self.close().await;
        }
        self.slot.wait().await;
    }

    /// Waits until a transaction may begin; false where none shall any more. A pause may outlast
    /// what the server gives an idle connection.
    pub(crate) async fn begin_slot(&mut self, context: &Context) -> bool {
        if context.limiter.is_paused() {
            self.close().await;
        }
        self.slot.begin(&context.shutdown).await
    }

    /// Takes the session back, which is beyond doubt.
    pub(crate) fn keep(&mut self, session: Session) {
        self.session = Some(session);
    }

    pub(crate) async fn close(&mut self) {
        if let Some(session) = self.session.take() {
            session.close().await;
        }
    }
}

/// Loads what is staged.
pub(crate) async fn load_staged(
    context: Arc<Context>,
    batcher: Arc<Batcher>,
    events: mpsc::Sender<Event>,
) {
    let mut worker = Worker::new(&context);
    loop {
        worker.wait_for_slot().await;
        let mut batch = match batcher.next().await {
            None => break,
            Some(Work::Part(part)) => {
                Box::pin(load_part(&context, &mut worker, *part)).await;
                continue;
            }
            Some(Work::Objects(batch)) => batch,
        };
        if batch.len() > 1 && worker.begin_slot(&context).await {
            batch = load_together(&context, &batcher, &mut worker, batch, &events).await;
        }
        for ready in batch {
            Box::pin(load_alone(&context, &batcher, &mut worker, ready, &events)).await;
        }
    }
    worker.close().await;
}

/// Loads one object, and tells its outcome.
async fn load_alone(
    context: &Context,
    batcher: &Batcher,
    worker: &mut Worker,
    ready: ReadyObject,
    events: &mpsc::Sender<Event>,
) {
    let ReadyObject { selected, staged, scan, began, attempts: downloads, .. } = ready;
    let object = selected.object;
    if !worker.begin_slot(context).await {
        return emit(events, Event::ended(Outcome::NotReached { object })).await;
    }
    let mut attempts = Attempts::new(&context.config.retry);
    let verified = staged.verified;
    let request =
        with_digest(context, request(context, &object, &staged, &scan, selected.had_failed)).await;
    let loaded = match request {
        Ok(request) => load(context, worker, &request, &mut attempts).await,
        Err(error) => Err(error),
    };
    let loaded = match loaded {
        Err(error) => Err(with_lines(context, &staged.file, Boundary::default(), error).await),
        loaded => loaded,
    };
    drop(staged);
    match &loaded {
        Ok(Some(stats)) if !stats.is_clean() => batcher.record_failure(),
        Ok(_) => batcher.record_success(1),
        Err(error) if error.bad_rows().is_empty() => {}
        Err(_) => batcher.record_failure(),
    }
    // A try that failed, in either stage, is one more than the one that it takes.
    let attempts = attempts.made() + downloads - 1;
    let outcome = match loaded {
        Ok(Some(stats)) => {
            let stats = Box::new(stats);
            Outcome::Loaded {
                object,
                stats,
                verified,
                again: selected.again,
                attempts,
                elapsed: began.elapsed(),
            }
        }
        Ok(None) => Outcome::AlreadyLoaded { object },
        Err(error) => failed(context.ledger.as_ref(), object, error, attempts, began).await,
    };
    emit(events, Event::ended(outcome)).await;
    // Only now may other runs try the object.
    drop(selected.claim);
}

/// Loads objects in one transaction and tells their outcomes; those that are to be loaded one by
/// one come back.
async fn load_together(
    context: &Context,
    batcher: &Batcher,
    worker: &mut Worker,
    batch: Vec<ReadyObject>,
    events: &mpsc::Sender<Event>,
) -> Vec<ReadyObject> {
    let objects = batch.len();
    let what = match batch.first() {
        Some(first) => format!("{} and {} more", first.selected.object, objects - 1),
        None => return batch,
    };
    let tried = match build_batch(context, &what, &batch).await {
        Ok(batch) => send(context, worker, &batch).await,
        // It is told of the object that it is about.
        Err(_) => return batch,
    };
    match tried {
        Ok(BatchOutcome::Committed) => {
            batcher.record_success(objects);
            for ReadyObject { selected, staged, scan, began, attempts, .. } in batch {
                let stats = Box::new(LoadStats::clean(scan.rows));
                let verified = staged.verified;
                drop(staged);
                let (object, again, elapsed) = (selected.object, selected.again, began.elapsed());
                let outcome = Outcome::Loaded { object, stats, verified, again, attempts, elapsed };
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
            for ReadyObject { selected, began, attempts, .. } in batch {
                let of_it =
                    Error::new(error.kind, format!("{}: {}", selected.object, error.one_line()));
                let of_it = match error.hint() {
                    Some(hint) => of_it.with_hint(hint),
                    None => of_it,
                };
                let outcome =
                    failed(context.ledger.as_ref(), selected.object, of_it, attempts, began).await;
                emit(events, Event::ended(outcome)).await;
                drop(selected.claim);
            }
            Vec::new()
        }
        // Whatever it is, the first of them meets it again and tells.
        Err(error) => {
            tracing::debug!("{}; loading them one by one", error.one_line());
            batch
        }
    }
}

async fn build_batch(context: &Context, what: &str, batch: &[ReadyObject]) -> Result<Batch> {
    let mut requests = Vec::with_capacity(batch.len());
    for ReadyObject { selected, staged, scan, .. } in batch {
        requests.push(
            with_digest(context, Ok(base_request(context, &selected.object, staged, scan))).await?,
        );
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
            Some(ledger.batch_entry(job, what, &members)?)
        }
        None => None,
    };
    Ok(Batch { what: what.to_owned(), requests, entry })
}

/// Sends a batch, again where that is safe and something other than its objects was in the way.
async fn send(context: &Context, worker: &mut Worker, batch: &Batch) -> Result<BatchOutcome> {
    let mut attempts = Attempts::new(&context.config.retry);
    loop {
        let error = match session(context, worker, &batch.what, "loaded").await {
            Err(error) => error,
            Ok(mut session) => {
                match session.load_batch(batch, context.plan(), &context.shutdown.abandoning).await
                {
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

/// An object with its own ledger row and reject file.
pub(crate) fn request(
    context: &Context,
    object: &Object,
    staged: &StagedObject,
    scan: &Scan,
    had_failed: bool,
) -> Result<LoadRequest> {
    let mut request = base_request(context, object, staged, scan);
    request.entry = match &context.ledger {
        Some((ledger, job)) => {
            let version_id = staged.version_id.as_deref();
            Some(LedgerEntry::Object(ledger.entry(
                job,
                object,
                version_id,
                had_failed,
                context.config.ledger.force,
            )?))
        }
        None => None,
    };
    request.name = context.plan().rejects.as_ref().map(|_| ObjectName {
        bucket: object.bucket.clone(),
        key: object.key.clone(),
        etag: object.etag.clone(),
        object_id: match &context.ledger {
            Some((ledger, job)) => ledger.object_id(job, object),
            None => context.preflight.target.name().to_string(),
        },
    });
    Ok(request)
}

/// An object's rows and nothing else.
fn base_request(
    context: &Context,
    object: &Object,
    staged: &StagedObject,
    scan: &Scan,
) -> LoadRequest {
    LoadRequest {
        what: object.to_string(),
        sql: context.plan().statement.sql(&scan.lines_terminated_by),
        staged: StagedRows {
            file: staged.file.clone(),
            locator: context.locator.clone(),
            from: 0,
            data_start: scan.data_start,
            head_bytes: scan.data_start,
            lines_terminated_by: scan.lines_terminated_by.clone(),
            needs_terminator: scan.needs_terminator,
            last_row: scan.rows,
            end: staged.size_bytes,
        },
        rows: scan.rows,
        entry: None,
        name: None,
        part: None,
        digest: None,
    }
}

/// Loads one object or part, again where that is safe; `None` where another run has loaded it. The
/// session is put back only when it is beyond doubt.
pub(crate) async fn load(
    context: &Context,
    worker: &mut Worker,
    request: &LoadRequest,
    attempts: &mut Attempts,
) -> Result<Option<LoadStats>> {
    let what = &request.what;
    let mut stats = LoadStats::default();
    loop {
        let error = match session(context, worker, what, "loaded").await {
            Err(error) => error,
            Ok(mut session) => {
                let mut reserved = Vec::new();
                let abandoning = &context.shutdown.abandoning;
                let loaded = session
                    .load(request, context.plan(), abandoning, &mut stats, &mut reserved)
                    .await;
                let settled = match loaded {
                    Ok(attempted) => {
                        worker.keep(session);
                        Ok(attempted)
                    }
                    Err(error) => {
                        session.destroy().await;
                        resolve_commit(context, request, error).await
                    }
                };
                match settled {
                    Ok(LoadOutcome::Committed) => {
                        reserved.into_iter().for_each(Reservation::commit);
                        worker.slot.committed();
                        return Ok(Some(stats));
                    }
                    Ok(LoadOutcome::AlreadyLoaded) => return Ok(None),
                    Err(error) => error,
                }
            }
        };
        worker.slot.met(&error);
        try_again(context, worker, attempts, what, error).await?;
    }
}

/// A session, the one that was kept if there is one.
pub(crate) async fn session(
    context: &Context,
    worker: &mut Worker,
    what: &str,
    to_be: &str,
) -> Result<Session> {
    if let Some(session) = worker.session.take() {
        return Ok(session);
    }
    loop {
        let error = tokio::select! {
            biased;
            () = context.shutdown.abandoning.cancelled() => {
                return Err(Error::new(ErrorKind::Interrupted, format!("{what}: the run was stopped before it was {to_be}")));
            }
            session = context.sessions.get() => match session {
                Ok(session) => return Ok(session),
                Err(error) => error,
            },
        };
        // The server is full, with our own connections among those that fill it: the load that has
        // one goes on, and this one waits without using up its tries.
        let is_full_of_us = error.kind == ErrorKind::TargetBusy && context.sessions.in_use() > 0;
        if !is_full_of_us || context.shutdown.draining.is_cancelled() {
            return Err(error);
        }
        tracing::debug!("{}; waiting for a connection", error.one_line());
        context.limiter.server_is_full(context.sessions.in_use());
        pause(&context.shutdown, FULL_SERVER_PAUSE).await;
    }
}

/// Waits before the next try; the error, where there shall be none.
pub(crate) async fn try_again(
    context: &Context,
    worker: &mut Worker,
    attempts: &mut Attempts,
    what: &str,
    error: Error,
) -> Result<()> {
    let Some(wait) = attempts.pause_after(&error) else { return Err(error) };
    if context.shutdown.draining.is_cancelled() {
        return Err(error);
    }
    tracing::warn!(attempt = attempts.made(), "{}; trying again", error.one_line());
    pause(&context.shutdown, wait).await;
    if worker.begin_slot(context).await {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Interrupted,
        format!("{what}: the run was stopped before it was tried again"),
    ))
}

/// Finds out what became of a COMMIT whose outcome is unknown, where there is a ledger to ask. Any
/// other error stands.
async fn resolve_commit(
    context: &Context,
    request: &LoadRequest,
    error: Error,
) -> Result<LoadOutcome> {
    let (ErrorKind::OutcomeUnknown, Some((ledger, _)), Some(entry)) =
        (error.kind, &context.ledger, &request.entry)
    else {
        return Err(error);
    };
    await_resolution(context, &request.what, error, ledger.resolve_commit(entry)).await
}

/// As [`resolve_commit`], of objects that were sent together.
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

/// The ledger's answer to what became of a COMMIT.
async fn await_resolution(
    context: &Context,
    what: &str,
    error: Error,
    answer: impl Future<Output = Result<CommitOutcome>>,
) -> Result<LoadOutcome> {
    tracing::warn!("{}; asking the ledger", error.one_line());
    let settled = tokio::select! {
        biased;
        settled = answer => settled?,
        // The next run finds out.
        () = context.shutdown.abandoning.cancelled() => {
            return Err(error.with_hint("run again: the ledger tells whether it was committed"));
        }
    };
    match settled {
        CommitOutcome::Committed => Ok(LoadOutcome::Committed),
        CommitOutcome::CommittedByAnother => Ok(LoadOutcome::AlreadyLoaded),
        CommitOutcome::RolledBack => {
            let message =
                format!("{what}: the connection was lost during COMMIT, which was rolled back");
            Err(Error::new(ErrorKind::ConnectionLost, message).caused_by(error))
        }
    }
}
