//! Loads one object or part, and retries after a failure that allows it.

use std::time::Duration;

use super::context::{Context, Purpose};
use super::shared_pool::IdleSessions;
use super::value_pass::with_values;
use crate::error::{Error, ErrorKind, Result};
use crate::ledger::{CommitOutcome, LedgerEntry};
use crate::load::LoadOutcome;
use crate::load_data::{LoadRequest, LoadStats, ObjectLayout, Reservation, StagedRows};
use crate::mysql::Session;
use crate::object::Object;
use crate::policy::OnChanged;
use crate::rejects::ObjectName;
use crate::retry::{Attempts, warn_of_retry};
use crate::shutdown::pause;
use crate::split::Scan;
use crate::staging::StagedObject;
use crate::throttle::LoadSlot;
use crate::values::ValueCounts;

/// A load worker's connection and its slot of the limiter.
pub(crate) struct Worker {
    /// The connection, reused until an error occurs on it.
    session: Option<Session>,
    /// The place of connections between two transactions, if several pipelines share them.
    idle: Option<IdleSessions>,
    /// The time that the last COMMIT took, if it is known.
    commit_time: Option<Duration>,
    pub(crate) slot: LoadSlot,
    /// The number of this worker, from 1, which stands for its connection in the report.
    pub(crate) number: u32,
}

impl Worker {
    pub(crate) fn new(context: &Context, number: u32) -> Self {
        Self {
            session: None,
            idle: context.idle.clone(),
            commit_time: None,
            slot: context.limiter.slot(),
            number,
        }
    }

    /// Returns the time that the COMMIT of the load that has just succeeded took, if it is known.
    pub(crate) fn commit_time(&self) -> Option<Duration> {
        self.commit_time
    }

    /// Waits until this worker may look for work. It holds no connection meanwhile if the limiter
    /// has taken its slot away, because the server may need the connection.
    pub(crate) async fn wait_for_slot(&mut self) {
        if self.slot.is_over() {
            self.close().await;
        }
        self.slot.wait().await;
    }

    /// Waits until a transaction may begin. Returns false if none may begin any more. A pause may
    /// last longer than the server keeps an idle connection, so the connection is closed first.
    pub(crate) async fn begin_slot(&mut self, context: &Context) -> bool {
        if context.limiter.is_paused() {
            self.close().await;
        }
        self.commit_time = None;
        self.slot.begin(&context.shutdown).await
    }

    /// Keeps a session that is known to be sound for the next load.
    pub(crate) fn keep(&mut self, session: Session) {
        self.commit_time = Some(session.commit_time);
        match &self.idle {
            Some(idle) => idle.put(session),
            None => self.session = Some(session),
        }
    }

    /// Returns a session that was kept, and is now this worker's.
    fn take(&mut self) -> Option<Session> {
        self.commit_time = None;
        self.session.take().or_else(|| self.idle.as_ref()?.take())
    }

    pub(crate) async fn close(&mut self) {
        if let Some(session) = self.session.take() {
            session.close().await;
        }
    }
}

/// Returns the load request of an object with its own ledger row and reject file.
pub(crate) fn request(
    context: &Context,
    (object, layout): (&Object, &ObjectLayout),
    staged: &StagedObject,
    scan: &Scan,
    values: ValueCounts,
    had_failed: bool,
) -> Result<LoadRequest> {
    let mut request = base_request(context, (object, layout), staged, scan, values);
    request.entry = match &context.ledger {
        Some((ledger, job)) => {
            let version_id = staged.version_id.as_deref();
            Some(LedgerEntry::Object(ledger.entry(
                job,
                object,
                version_id,
                had_failed,
                context.options.ledger.key_policy(context.options.ledger.force),
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

/// Returns the load request of an object's rows alone, without ledger row or reject file.
pub(crate) fn base_request(
    context: &Context,
    (object, layout): (&Object, &ObjectLayout),
    staged: &StagedObject,
    scan: &Scan,
    values: ValueCounts,
) -> LoadRequest {
    let request = LoadRequest {
        what: object.to_string(),
        sql: layout.statement.sql(&scan.lines_terminated_by),
        layout: layout.clone(),
        staged: StagedRows {
            file: staged.file.clone(),
            locator: layout.locator.clone(),
            from: 0,
            data_start: scan.data_start,
            head_bytes: scan.data_start,
            lines_terminated_by: scan.lines_terminated_by.clone(),
            needs_terminator: scan.needs_terminator,
            last_row: scan.rows,
            end: staged.size_bytes,
            rewriter: None,
            meter: None,
        },
        rows: scan.rows,
        entry: None,
        name: None,
        part: None,
        digest: None,
        values: ValueCounts::default(),
    };
    with_values(context, request, values)
}

/// Loads one object or part, and retries where that is safe. Returns `None` if another run has
/// loaded it. The session is kept only if it is known to be sound.
pub(crate) async fn load(
    context: &Context,
    worker: &mut Worker,
    request: &LoadRequest,
    attempts: &mut Attempts,
) -> Result<Option<LoadStats>> {
    let what = &request.what;
    let Purpose::Load(loader) = &context.purpose else {
        return Err(Error::new(ErrorKind::Bug, format!("{what}: a check loads nothing")));
    };
    let mut stats = LoadStats::default();
    loop {
        let error = match session(context, worker, what, "loaded").await {
            Err(error) => error,
            Ok(mut session) => {
                let mut reserved = Vec::new();
                let abandoning = &context.shutdown.abandoning;
                let attempted =
                    session.load(request, loader, abandoning, &mut stats, &mut reserved).await;
                let settled = match attempted {
                    Ok(outcome) => {
                        worker.keep(session);
                        Ok(outcome)
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

/// Returns the session that was kept, or else a new one.
pub(crate) async fn session(
    context: &Context,
    worker: &mut Worker,
    what: &str,
    to_be: &str,
) -> Result<Session> {
    if let Some(session) = worker.take() {
        return Ok(session);
    }
    loop {
        let error = tokio::select! {
            biased;
            () = context.shutdown.abandoning.cancelled() => {
                return Err(Error::new(
                    ErrorKind::Interrupted,
                    format!("{what}: the run was stopped before it was {to_be}"),
                ));
            }
            session = context.sessions.get() => match session {
                Ok(session) => return Ok(session),
                Err(error) => error,
            },
        };
        // The server is full, partly with our own connections. The loads that have one go on, and
        // this one waits without using up its attempts.
        let is_full_of_us = error.kind == ErrorKind::TargetBusy && context.sessions.in_use() > 0;
        if !is_full_of_us || context.shutdown.draining.is_cancelled() {
            return Err(error);
        }
        tracing::debug!("{}; waiting for a connection", error.one_line());
        context.limiter.server_is_full(context.sessions.in_use());
        pause(&context.shutdown, FULL_SERVER_PAUSE).await;
    }
}

/// Waits before the next attempt. Returns the error if no further attempt is allowed.
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
    warn_of_retry(attempts.made(), &error, wait);
    pause(&context.shutdown, wait).await;
    if worker.begin_slot(context).await {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Interrupted,
        format!("{what}: the run was stopped before it was retried"),
    ))
}

/// Returns true if the object is not loaded because other content of its key is, and that is what
/// was asked for.
pub(crate) fn is_skipped(context: &Context, error: &Error) -> bool {
    error.kind == ErrorKind::ContentChanged && context.options.ledger.on_changed == OnChanged::Skip
}

/// Asks the ledger for the outcome of a COMMIT that is unknown. Returns any other error, and any
/// error of a run without a ledger, as it is.
pub(crate) async fn resolve_commit(
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

/// Waits for the ledger's answer about the outcome of a COMMIT.
pub(crate) async fn await_resolution(
    context: &Context,
    what: &str,
    error: Error,
    answer: impl Future<Output = Result<CommitOutcome>>,
) -> Result<LoadOutcome> {
    tracing::warn!("{}; asking the ledger", error.one_line());
    let settled = tokio::select! {
        biased;
        settled = answer => settled?,
        // The next run reads it from the ledger.
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

/// The pause before a worker asks a full server for a connection again.
pub(crate) const FULL_SERVER_PAUSE: Duration = Duration::from_secs(1);
