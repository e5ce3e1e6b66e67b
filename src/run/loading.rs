//! The workers that load what is staged: several small objects together where that is clean, else
//! each by itself.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::digest::with_digest;
use super::gather::{Queue, Work};
use super::governor::Turn;
use super::locate::with_lines;
use super::parts::load_part;
use super::pause;
use super::stages::{Context, Event, ReadyObject, failed, tell};
use crate::error::{Error, Kind, Result};
use crate::ledger::{LedgerEntry, Member, Settled};
use crate::load::{self, Account, Attempted, Batch, Shipment, Together};
use crate::mysql::Session;
use crate::object::Object;
use crate::rejects::ObjectName;
use crate::report::Outcome;
use crate::retry::Attempts;
use crate::split::{Boundary, Scan};
use crate::staging::Staged;
use crate::verify::RowDigest;

/// How long a worker waits before it asks a server that was full for a connection again.
const FULL_SERVER_PAUSE: Duration = Duration::from_secs(1);

/// How often objects are tried together where something other than they is in the way.
const TRIES_TOGETHER: u32 = 3;

/// One of those that load, and what it has to itself.
pub(super) struct Worker {
    /// Kept for as long as nothing goes wrong on it.
    session: Option<Session>,
    pub(super) turn: Turn,
}

impl Worker {
    pub(super) fn new(context: &Context) -> Self {
        Self { session: None, turn: context.governor.turn() }
    }

    /// Waits for this worker's turn to look for work, without a connection: the server may need it.
    pub(super) async fn wait_for_turn(&mut self) {
        if self.turn.is_over() {
            self.close().await;
        }
        self.turn.wait().await;
    }

    /// Waits until a transaction may begin; false where none shall any more. A pause may outlast
    /// what the server gives an idle connection.
    pub(super) async fn begin_turn(&mut self, context: &Context) -> bool {
        if context.governor.is_paused() {
            self.close().await;
        }
        self.turn.begin(&context.shutdown).await
    }

    /// Takes the session back, which is beyond doubt.
    pub(super) fn keep(&mut self, session: Session) {
        self.session = Some(session);
    }

    pub(super) async fn close(&mut self) {
        if let Some(session) = self.session.take() {
            session.close().await;
        }
    }
}

/// Loads what is staged.
pub(super) async fn load_staged(
    context: Arc<Context>,
    queue: Arc<Queue>,
    events: mpsc::Sender<Event>,
) {
    let mut worker = Worker::new(&context);
    loop {
        worker.wait_for_turn().await;
        let mut batch = match queue.next().await {
            None => break,
            Some(Work::Part(part)) => {
                Box::pin(load_part(&context, &mut worker, *part)).await;
                continue;
            }
            Some(Work::Objects(batch)) => batch,
        };
        if batch.len() > 1 && worker.begin_turn(&context).await {
            batch = load_together(&context, &queue, &mut worker, batch, &events).await;
        }
        for ready in batch {
            Box::pin(load_alone(&context, &queue, &mut worker, ready, &events)).await;
        }
    }
    worker.close().await;
}

/// Loads one object, and tells its outcome.
async fn load_alone(
    context: &Context,
    queue: &Queue,
    worker: &mut Worker,
    ready: ReadyObject,
    events: &mpsc::Sender<Event>,
) {
    let ReadyObject { wanted, staged, scan, began, attempts: downloads, .. } = ready;
    let object = wanted.object;
    if !worker.begin_turn(context).await {
        return tell(events, Event::ended(Outcome::NotReached { object })).await;
    }
    let mut attempts = Attempts::new(&context.config.retry);
    let verified = staged.verified;
    let shipment =
        with_digest(context, shipment(context, &object, &staged, &scan, wanted.had_failed)).await;
    let loaded = match shipment {
        Ok(shipment) => load(context, worker, &shipment, &mut attempts).await,
        Err(error) => Err(error),
    };
    let loaded = match loaded {
        Err(error) => Err(with_lines(context, &staged.file, Boundary::default(), error).await),
        loaded => loaded,
    };
    drop(staged);
    match &loaded {
        Ok(Some(account)) if !account.is_clean() => queue.were_doubtful(),
        Ok(_) => queue.were_clean(1),
        Err(error) if error.bad_rows().is_empty() => {}
        Err(_) => queue.were_doubtful(),
    }
    // A try that failed, in either stage, is one more than the one that it takes.
    let attempts = attempts.made() + downloads - 1;
    let outcome = match loaded {
        Ok(Some(account)) => {
            let account = Box::new(account);
            Outcome::Loaded {
                object,
                account,
                verified,
                again: wanted.again,
                attempts,
                elapsed: began.elapsed(),
            }
        }
        Ok(None) => Outcome::AlreadyLoaded { object },
        Err(error) => failed(context.ledger.as_ref(), object, error, attempts, began).await,
    };
    tell(events, Event::ended(outcome)).await;
    // Only now may other runs try the object.
    drop(wanted.claim);
}

/// Loads objects in one transaction and tells their outcomes; those that are to be loaded one by
/// one come back.
async fn load_together(
    context: &Context,
    queue: &Queue,
    worker: &mut Worker,
    batch: Vec<ReadyObject>,
    events: &mpsc::Sender<Event>,
) -> Vec<ReadyObject> {
    let objects = batch.len();
    let what = match batch.first() {
        Some(first) => format!("{} and {} more", first.wanted.object, objects - 1),
        None => return batch,
    };
    let tried = match consignment(context, &what, &batch).await {
        Ok(consignment) => send(context, worker, &consignment).await,
        // It is told of the object that it is about.
        Err(_) => return batch,
    };
    match tried {
        Ok(Together::Committed) => {
            queue.were_clean(objects);
            for ReadyObject { wanted, staged, scan, began, attempts, .. } in batch {
                let account = Box::new(Account::clean(scan.rows));
                let verified = staged.verified;
                drop(staged);
                let (object, again, elapsed) = (wanted.object, wanted.again, began.elapsed());
                let outcome =
                    Outcome::Loaded { object, account, verified, again, attempts, elapsed };
                tell(events, Event::ended(outcome)).await;
                drop(wanted.claim);
            }
            Vec::new()
        }
        Ok(Together::OneByOne(doubt)) => {
            tracing::debug!("{what}: {doubt}; loading them one by one");
            queue.were_doubtful();
            batch
        }
        Err(error)
            if matches!(
                error.kind,
                Kind::OutcomeUnknown | Kind::LedgerRowLost | Kind::Interrupted
            ) =>
        {
            for ReadyObject { wanted, began, attempts, .. } in batch {
                let of_it =
                    Error::new(error.kind, format!("{}: {}", wanted.object, error.one_line()));
                let of_it = match error.hint() {
                    Some(hint) => of_it.with_hint(hint),
                    None => of_it,
                };
                let outcome =
                    failed(context.ledger.as_ref(), wanted.object, of_it, attempts, began).await;
                tell(events, Event::ended(outcome)).await;
                drop(wanted.claim);
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

async fn consignment(context: &Context, what: &str, batch: &[ReadyObject]) -> Result<Batch> {
    let mut shipments = Vec::with_capacity(batch.len());
    for ReadyObject { wanted, staged, scan, .. } in batch {
        shipments
            .push(with_digest(context, Ok(cargo(context, &wanted.object, staged, scan))).await?);
    }
    let entry = match &context.ledger {
        Some((ledger, job)) => {
            let members: Vec<Member<'_>> = batch
                .iter()
                .zip(&shipments)
                .map(|(ready, shipment)| Member {
                    object: &ready.wanted.object,
                    version_id: ready.staged.version_id.as_deref(),
                    rows: shipment.rows,
                    digest: shipment.digest.as_ref().map(RowDigest::digest),
                })
                .collect();
            Some(ledger.batch_entry(job, what, &members)?)
        }
        None => None,
    };
    Ok(Batch { what: what.to_owned(), shipments, entry })
}

/// Sends a batch, again where that is safe and something other than its objects was in the way.
async fn send(context: &Context, worker: &mut Worker, batch: &Batch) -> Result<Together> {
    let mut attempts = Attempts::new(&context.config.retry);
    loop {
        let error = match session(context, worker, &batch.what, "loaded").await {
            Err(error) => error,
            Ok(mut session) => match session
                .load_batch(batch, context.plan(), &context.shutdown.abandoning)
                .await
            {
                Ok(together) => {
                    worker.turn.loaded(
                        batch.shipments.iter().map(|shipment| shipment.staged.size_bytes()).sum(),
                    );
                    worker.keep(session);
                    return Ok(together);
                }
                Err(error) => {
                    session.destroy().await;
                    match settle_batch(context, batch, error).await {
                        Ok(together) => return Ok(together),
                        Err(error) => error,
                    }
                }
            },
        };
        worker.turn.met(&error);
        if attempts.made() >= TRIES_TOGETHER {
            return Err(error);
        }
        try_again(context, worker, &mut attempts, &batch.what, error).await?;
    }
}

/// An object with its own ledger row and reject file.
pub(super) fn shipment(
    context: &Context,
    object: &Object,
    staged: &Staged,
    scan: &Scan,
    had_failed: bool,
) -> Result<Shipment> {
    let mut shipment = cargo(context, object, staged, scan);
    shipment.entry = match &context.ledger {
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
    shipment.name = context.plan().rejects.as_ref().map(|_| ObjectName {
        bucket: object.bucket.clone(),
        key: object.key.clone(),
        etag: object.etag.clone(),
        object_id: match &context.ledger {
            Some((ledger, job)) => ledger.object_id(job, object),
            None => context.preflight.target.name().to_string(),
        },
    });
    Ok(shipment)
}

/// An object's rows and nothing else.
fn cargo(context: &Context, object: &Object, staged: &Staged, scan: &Scan) -> Shipment {
    Shipment {
        what: object.to_string(),
        sql: context.plan().statement.sql(&scan.lines_terminated_by),
        staged: load::Staged {
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
pub(super) async fn load(
    context: &Context,
    worker: &mut Worker,
    shipment: &Shipment,
    attempts: &mut Attempts,
) -> Result<Option<Account>> {
    let what = &shipment.what;
    let mut account = Account::default();
    loop {
        let error = match session(context, worker, what, "loaded").await {
            Err(error) => error,
            Ok(mut session) => {
                let loaded = session
                    .load(shipment, context.plan(), &context.shutdown.abandoning, &mut account)
                    .await;
                let settled = match loaded {
                    Ok(attempted) => {
                        worker.keep(session);
                        Ok(attempted)
                    }
                    Err(error) => {
                        session.destroy().await;
                        let was_unknown = error.kind == Kind::OutcomeUnknown;
                        let settled = settle(context, shipment, error).await;
                        // They were spent for a COMMIT that might have come through.
                        let is_known_not_to_be = match &settled {
                            Ok(attempted) => *attempted == Attempted::AlreadyLoaded,
                            Err(error) => error.kind == Kind::ConnectionLost,
                        };
                        if was_unknown && is_known_not_to_be {
                            context.plan().rejects_left.give_back(account.loaded.rejected);
                            if let Some(left) =
                                shipment.part.as_ref().and_then(|part| part.rejects_left.as_ref())
                            {
                                left.give_back(account.loaded.rejected);
                            }
                        }
                        settled
                    }
                };
                match settled {
                    Ok(Attempted::Committed) => {
                        worker.turn.loaded(shipment.staged.size_bytes());
                        return Ok(Some(account));
                    }
                    Ok(Attempted::AlreadyLoaded) => return Ok(None),
                    Err(error) => error,
                }
            }
        };
        worker.turn.met(&error);
        try_again(context, worker, attempts, what, error).await?;
    }
}

/// A session, the one that was kept if there is one.
pub(super) async fn session(
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
                return Err(Error::new(Kind::Interrupted, format!("{what}: the run was stopped before it was {to_be}")));
            }
            session = context.sessions.get() => match session {
                Ok(session) => return Ok(session),
                Err(error) => error,
            },
        };
        // The server is full, with our own connections among those that fill it: the load that has
        // one goes on, and this one waits without using up its tries.
        let is_full_of_us = error.kind == Kind::TargetBusy && context.sessions.in_use() > 0;
        if !is_full_of_us || context.shutdown.draining.is_cancelled() {
            return Err(error);
        }
        tracing::debug!("{}; waiting for a connection", error.one_line());
        context.governor.server_is_full(context.sessions.in_use());
        pause(&context.shutdown, FULL_SERVER_PAUSE).await;
    }
}

/// Waits before the next try; the error, where there shall be none.
pub(super) async fn try_again(
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
    if worker.begin_turn(context).await {
        return Ok(());
    }
    Err(Error::new(
        Kind::Interrupted,
        format!("{what}: the run was stopped before it was tried again"),
    ))
}

/// Finds out what became of a COMMIT whose outcome is unknown, where there is a ledger to ask. Any
/// other error stands.
async fn settle(context: &Context, shipment: &Shipment, error: Error) -> Result<Attempted> {
    let (Kind::OutcomeUnknown, Some((ledger, _)), Some(entry)) =
        (error.kind, &context.ledger, &shipment.entry)
    else {
        return Err(error);
    };
    asked(context, &shipment.what, error, ledger.settle(entry)).await
}

/// As [`settle`], of objects that were sent together.
async fn settle_batch(context: &Context, batch: &Batch, error: Error) -> Result<Together> {
    let (Kind::OutcomeUnknown, Some((ledger, _)), Some(entry)) =
        (error.kind, &context.ledger, &batch.entry)
    else {
        return Err(error);
    };
    match asked(context, &batch.what, error, ledger.settle_batch(entry)).await? {
        Attempted::Committed => Ok(Together::Committed),
        Attempted::AlreadyLoaded => {
            Ok(Together::OneByOne("another run has loaded one of them".to_owned()))
        }
    }
}

/// The ledger's answer to what became of a COMMIT.
async fn asked(
    context: &Context,
    what: &str,
    error: Error,
    answer: impl Future<Output = Result<Settled>>,
) -> Result<Attempted> {
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
        Settled::Committed => Ok(Attempted::Committed),
        Settled::CommittedByAnother => Ok(Attempted::AlreadyLoaded),
        Settled::RolledBack => {
            let message =
                format!("{what}: the connection was lost during COMMIT, which was rolled back");
            Err(Error::new(Kind::ConnectionLost, message).caused_by(error))
        }
    }
}
