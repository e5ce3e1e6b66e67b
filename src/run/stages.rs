//! The stages of a run after the choice, each a task: dispatching, downloading, loading.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, Semaphore, mpsc};
use tokio::task::JoinSet;

use super::check::{self, Checking};
use super::choose::Wanted;
use super::digest::with_digest;
use super::locate::with_lines;
use super::pause;
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::ledger::{Job, Ledger, Settled};
use crate::load::{self, Account, Attempted, Plan, Preflight, Shipment};
use crate::mysql::{Session, Sessions};
use crate::object::Object;
use crate::rejects::ObjectName;
use crate::report::Outcome;
use crate::retry::Attempts;
use crate::shutdown::Shutdown;
use crate::source::S3;
use crate::split::{RowLocator, RowReader, Scan};
use crate::staging::{Budget, Staged, Watch, stage};

/// How long a worker waits before it asks a server that was full for a connection again.
const FULL_SERVER_PAUSE: Duration = Duration::from_secs(1);

/// What the stages share.
pub(super) struct Context {
    pub(super) config: Config,
    pub(super) s3: S3,
    pub(super) budget: Budget,
    pub(super) preflight: Preflight,
    pub(super) purpose: Purpose,
    /// `None`: at least once.
    pub(super) ledger: Option<(Ledger, Job)>,
    pub(super) sessions: Sessions,
    pub(super) shutdown: Shutdown,
}

/// What staged objects are for.
pub(super) enum Purpose {
    /// The table that the job loads into.
    Load(Box<Plan>),
    Check(Checking),
}

impl Context {
    /// How objects are sent first.
    fn plan(&self) -> &Plan {
        match &self.purpose {
            Purpose::Load(plan) => plan,
            Purpose::Check(checking) => &checking.check.survey,
        }
    }
}

/// What a stage tells the run.
#[derive(Debug)]
pub(super) enum Event {
    Began(String),
    Ended(Box<Outcome>),
    /// The listing was ended with objects still to be found.
    ListingCut,
    /// What is left to load can't be found out any more.
    Broken(Error),
}

impl Event {
    pub(super) fn ended(outcome: Outcome) -> Self {
        Self::Ended(Box::new(outcome))
    }
}

/// An object that is ready to be loaded.
pub(super) struct Ready {
    pub(super) wanted: Wanted,
    pub(super) staged: Staged,
    pub(super) scan: Scan,
    pub(super) began: Instant,
    /// Tries that the download took, the first included.
    pub(super) attempts: u32,
}

/// Takes objects as the budget allows and downloads them side by side.
pub(super) async fn dispatch(
    context: Arc<Context>,
    mut objects: mpsc::Receiver<Wanted>,
    staged: mpsc::Sender<Ready>,
    events: mpsc::Sender<Event>,
) {
    let draining = &context.shutdown.draining;
    let turns = Arc::new(Semaphore::new(context.config.staging.download_concurrency));
    let mut downloads = JoinSet::new();
    // What comes while the run drains is passed on too, and gets its outcome below.
    while let Some(wanted) = objects.recv().await {
        // Reaps what has ended, so that the set does not grow with the number of objects.
        while let Some(joined) = downloads.try_join_next() {
            rethrow(joined);
        }
        let began = Instant::now();
        let reserved = tokio::select! {
            biased;
            () = draining.cancelled() => None,
            reserved = async {
                let permit = context.budget.reserve(&wanted.object).await?;
                let turn = Arc::clone(&turns).acquire_owned().await;
                Ok((permit, turn.map_err(|error| Error::new(Kind::Bug, "downloads were closed").caused_by(error))?))
            } => Some(reserved),
        };
        match reserved {
            None => tell(&events, Event::ended(Outcome::NotReached { object: wanted.object })).await,
            Some(Err(error)) => {
                let outcome = failed(context.ledger.as_ref(), wanted.object, error, 1, began).await;
                tell(&events, Event::ended(outcome)).await;
            }
            Some(Ok((permit, turn))) => {
                let (context, staged, events) = (Arc::clone(&context), staged.clone(), events.clone());
                downloads.spawn(async move {
                    tell(&events, Event::Began(wanted.object.to_string())).await;
                    let mut attempts = Attempts::new(&context.config.retry);
                    let tried = tokio::select! {
                        biased;
                        () = context.shutdown.draining.cancelled() => None,
                        tried = download(&context, &wanted.object, permit, &mut attempts) => Some(tried),
                    };
                    let attempts = attempts.made();
                    match tried {
                        None => tell(&events, Event::ended(Outcome::NotReached { object: wanted.object })).await,
                        Some(Err(error)) => {
                            let outcome = failed(context.ledger.as_ref(), wanted.object, error, attempts, began).await;
                            tell(&events, Event::ended(outcome)).await;
                        }
                        Some(Ok((file, scan))) => {
                            let ready = Ready { wanted, staged: file, scan, began, attempts };
                            // The workers outlive the downloads: only a dead one leaves an object behind.
                            if let Err(lost) = staged.send(ready).await {
                                let object = lost.0.wanted.object;
                                tell(&events, Event::ended(Outcome::NotReached { object })).await;
                            }
                        }
                    }
                    drop(turn);
                });
            }
        }
    }
    while let Some(joined) = downloads.join_next().await {
        rethrow(joined);
    }
}

/// Downloads `object`, counting its rows on the way.
async fn download(
    context: &Context,
    object: &Object,
    permit: tokio::sync::OwnedSemaphorePermit,
    attempts: &mut Attempts,
) -> Result<(Staged, Scan)> {
    let format = &context.config.format;
    let reader =
        || RowReader::new(&format.dialect, &format.charset, context.preflight.fields_per_row, format.ignore_lines);
    let sample = match &context.purpose {
        Purpose::Load(_) => None,
        Purpose::Check(checking) => checking.sample,
    };
    let counter = || RowCounter { reader: reader(), object: object.to_string(), sample };
    let open = |from| context.s3.get(object, from);
    let (mut staged, counter) = stage(object, &context.config.staging.dir, permit, attempts, open, counter).await?;
    let scan = match sample {
        Some(rows) if counter.is_satisfied() => {
            let locator = RowLocator::new(
                &format.dialect,
                &format.charset,
                context.preflight.fields_per_row,
                format.ignore_lines,
                [rows],
            );
            let cut = check::cut_to_sample(&staged, locator, reader(), &context.shutdown.abandoning).await;
            let (scan, size_bytes) =
                cut.map_err(|error| Error::new(error.kind, object.to_string()).caused_by(error))?;
            staged.size_bytes = size_bytes;
            scan
        }
        _ => counter.reader.finish().map_err(|malformed| refused(&counter.object, &malformed))?,
    };
    Ok((staged, scan))
}

/// The splitter, as the staging sees it.
struct RowCounter {
    reader: RowReader,
    object: String,
    /// Only so many rows are wanted.
    sample: Option<u64>,
}

impl Watch for RowCounter {
    fn feed(&mut self, chunk: &[u8]) -> Result<()> {
        if self.is_satisfied() {
            return Ok(());
        }
        self.reader.feed(chunk).or_else(|malformed| {
            // Beyond the sample nobody looks.
            let is_beyond = self.sample.is_some_and(|rows| malformed.row > rows);
            if is_beyond { Ok(()) } else { Err(refused(&self.object, &malformed)) }
        })
    }

    fn is_satisfied(&self) -> bool {
        self.sample.is_some_and(|rows| self.reader.rows() >= rows)
    }
}

fn refused(object: &str, malformed: &crate::split::Malformed) -> Error {
    Error::new(Kind::Malformed, format!("{object}: {malformed}"))
}

/// Loads staged objects, one at a time, on a session that is kept for as long as nothing goes wrong on it.
pub(super) async fn load_staged(
    context: Arc<Context>,
    staged: Arc<Mutex<mpsc::Receiver<Ready>>>,
    events: mpsc::Sender<Event>,
) {
    let mut session = None;
    loop {
        // The guard must not be held while loading: it would make the workers one.
        let ready = { staged.lock().await.recv().await };
        let Some(Ready { wanted, staged, scan, began, attempts: downloads }) = ready else { break };
        let Wanted { object, claim, had_failed, again } = wanted;
        if context.shutdown.draining.is_cancelled() {
            tell(&events, Event::ended(Outcome::NotReached { object })).await;
            continue;
        }
        let mut attempts = Attempts::new(&context.config.retry);
        let verified = staged.verified;
        let shipment = shipment(&context, &object, &staged, &scan, had_failed);
        let shipment = with_digest(&context, shipment).await;
        let loaded = match shipment {
            Ok(shipment) => load(&context, &mut session, &shipment, &mut attempts).await,
            Err(error) => Err(error),
        };
        let loaded = match loaded {
            Err(error) => Err(with_lines(&context, &staged, error).await),
            loaded => loaded,
        };
        drop(staged);
        // A try that failed, in either stage, is one more than the one that it takes.
        let attempts = attempts.made() + downloads - 1;
        let outcome = match loaded {
            Ok(Some(account)) => {
                let account = Box::new(account);
                Outcome::Loaded { object, account, verified, again, attempts, elapsed: began.elapsed() }
            }
            Ok(None) => Outcome::AlreadyLoaded { object },
            Err(error) => failed(context.ledger.as_ref(), object, error, attempts, began).await,
        };
        tell(&events, Event::ended(outcome)).await;
        // Only now may other runs try the object.
        drop(claim);
    }
    if let Some(session) = session {
        session.close().await;
    }
}

pub(super) fn shipment(
    context: &Context,
    object: &Object,
    staged: &Staged,
    scan: &Scan,
    had_failed: bool,
) -> Result<Shipment> {
    let entry = match &context.ledger {
        Some((ledger, job)) => {
            let version_id = staged.version_id.as_deref();
            Some(ledger.entry(job, object, version_id, had_failed, context.config.ledger.force)?)
        }
        None => None,
    };
    let format = &context.config.format;
    let name = context.plan().rejects.as_ref().map(|_| ObjectName {
        bucket: object.bucket.clone(),
        key: object.key.clone(),
        etag: object.etag.clone(),
        object_id: match &context.ledger {
            Some((ledger, job)) => ledger.object_id(job, object),
            None => context.preflight.target.name().to_string(),
        },
    });
    Ok(Shipment {
        what: object.to_string(),
        sql: context.plan().statement.sql(&scan.lines_terminated_by),
        staged: load::Staged {
            file: Arc::clone(&staged.file),
            locator: RowLocator::every(
                &format.dialect,
                &format.charset,
                context.preflight.fields_per_row,
                format.ignore_lines,
            ),
            data_start: scan.data_start,
            lines_terminated_by: scan.lines_terminated_by.clone(),
            needs_terminator: scan.needs_terminator,
            rows: scan.rows,
            size_bytes: staged.size_bytes,
        },
        rows: scan.rows,
        entry,
        name,
        digest: None,
    })
}

/// Loads one object, again where that is safe; `None` where another run has loaded it. The session is put back only when it
/// is beyond doubt.
async fn load(
    context: &Context,
    kept: &mut Option<Session>,
    shipment: &Shipment,
    attempts: &mut Attempts,
) -> Result<Option<Account>> {
    let what = &shipment.what;
    let mut account = Account::default();
    loop {
        let error = match session(context, kept, what, "loaded").await {
            Err(error) => error,
            Ok(mut session) => {
                let loaded = session.load(shipment, context.plan(), &context.shutdown.abandoning, &mut account).await;
                let settled = match loaded {
                    Ok(attempted) => {
                        *kept = Some(session);
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
                        }
                        settled
                    }
                };
                match settled {
                    Ok(Attempted::Committed) => return Ok(Some(account)),
                    Ok(Attempted::AlreadyLoaded) => return Ok(None),
                    Err(error) => error,
                }
            }
        };
        pause_or_fail(context, attempts, error).await?;
    }
}

/// A session, the one that was kept if there is one.
pub(super) async fn session(context: &Context, kept: &mut Option<Session>, what: &str, to_be: &str) -> Result<Session> {
    if let Some(session) = kept.take() {
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
        // The server is full, with our own connections among those that fill it: the load that has one goes on, and
        // this one waits without using up its tries.
        let is_full_of_us = error.kind == Kind::TargetBusy && context.sessions.in_use() > 0;
        if !is_full_of_us || context.shutdown.draining.is_cancelled() {
            return Err(error);
        }
        tracing::debug!("{}; waiting for a connection", error.one_line());
        pause(&context.shutdown, FULL_SERVER_PAUSE).await;
    }
}

/// Waits before the next try; the error, where there shall be none.
pub(super) async fn pause_or_fail(context: &Context, attempts: &mut Attempts, error: Error) -> Result<()> {
    let Some(wait) = attempts.pause_after(&error) else { return Err(error) };
    if context.shutdown.draining.is_cancelled() {
        return Err(error);
    }
    tracing::warn!(attempt = attempts.made(), "{}; trying again", error.one_line());
    pause(&context.shutdown, wait).await;
    Ok(())
}

/// Finds out what became of a COMMIT whose outcome is unknown, where there is a ledger to ask. Any other error stands.
async fn settle(context: &Context, shipment: &Shipment, error: Error) -> Result<Attempted> {
    let (Kind::OutcomeUnknown, Some((ledger, _)), Some(entry)) = (error.kind, &context.ledger, &shipment.entry) else {
        return Err(error);
    };
    tracing::warn!("{}; asking the ledger", error.one_line());
    let settled = tokio::select! {
        biased;
        settled = ledger.settle(entry) => settled?,
        // The next run finds out.
        () = context.shutdown.abandoning.cancelled() => {
            return Err(error.with_hint("run again: the ledger tells whether it was committed"));
        }
    };
    match settled {
        Settled::Committed => Ok(Attempted::Committed),
        Settled::CommittedByAnother => Ok(Attempted::AlreadyLoaded),
        Settled::RolledBack => {
            let message = format!("{}: the connection was lost during COMMIT, which was rolled back", shipment.what);
            Err(Error::new(Kind::ConnectionLost, message).caused_by(error))
        }
    }
}

/// The outcome of a key that was listed without an object to go with it.
pub(super) async fn unreadable(ledger: Option<&(Ledger, Job)>, bucket: String, key: String, error: Error) -> Outcome {
    record(ledger, &bucket, &key, "", &error, 1).await;
    Outcome::Failed { bucket, key, object: None, error, attempts: 1, elapsed: Duration::ZERO }
}

pub(super) async fn failed(
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

/// Best effort: the report tells of the failure in any case.
async fn record(ledger: Option<&(Ledger, Job)>, bucket: &str, key: &str, etag: &str, error: &Error, attempts: u32) {
    if let Some((ledger, job)) = ledger
        && let Err(unrecorded) = ledger.record_failure(job.generation, bucket, key, etag, error, attempts).await
    {
        tracing::warn!("a failure is not in the ledger: {}", unrecorded.one_line());
    }
}

/// The run listens until every stage has ended, so that this can't fail while anybody cares.
pub(super) async fn tell(events: &mpsc::Sender<Event>, event: Event) {
    let _ = events.send(event).await;
}

/// A download that panicked is a defect: its panic is passed on, so that the run learns of it.
fn rethrow(joined: std::result::Result<(), tokio::task::JoinError>) {
    if let Err(error) = joined
        && error.is_panic()
    {
        std::panic::resume_unwind(error.into_panic());
    }
}
