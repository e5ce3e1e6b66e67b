//! The stages of a run, each a task: dispatching, downloading, loading.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, Semaphore, mpsc};
use tokio::task::JoinSet;

use super::pause;
use super::prepare::Objects;
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::load::{Loaded, Payload, Preflight};
use crate::mysql::{Session, Sessions};
use crate::object::Object;
use crate::report::Outcome;
use crate::retry::Attempts;
use crate::shutdown::Shutdown;
use crate::source::{Listed, S3};
use crate::split::{RowReader, Scan};
use crate::staging::{Budget, Staged, Watch, stage};

/// How long a worker waits before it asks a server that was full for a connection again.
const FULL_SERVER_PAUSE: Duration = Duration::from_secs(1);

/// What the stages share.
pub(super) struct Context {
    pub(super) config: Config,
    pub(super) s3: S3,
    pub(super) budget: Budget,
    pub(super) preflight: Preflight,
    pub(super) sessions: Sessions,
    pub(super) shutdown: Shutdown,
}

/// What a stage tells the run.
#[derive(Debug)]
pub(super) enum Event {
    Began(String),
    Ended(Box<Outcome>),
    /// The listing was ended with objects still to be found.
    ListingCut,
}

impl Event {
    fn ended(outcome: Outcome) -> Self {
        Self::Ended(Box::new(outcome))
    }
}

/// An object that is ready to be loaded.
pub(super) struct Ready {
    object: Object,
    staged: Staged,
    scan: Scan,
    began: Instant,
    /// Tries that the download took, the first included.
    attempts: u32,
}

/// Takes objects as the budget allows and downloads them side by side.
pub(super) async fn dispatch(
    context: Arc<Context>,
    mut objects: Objects,
    staged: mpsc::Sender<Ready>,
    events: mpsc::Sender<Event>,
) {
    let draining = &context.shutdown.draining;
    let turns = Arc::new(Semaphore::new(context.config.staging.download_concurrency));
    let mut downloads = JoinSet::new();
    while let Some(listed) = tokio::select! {
        biased;
        () = draining.cancelled() => None,
        listed = objects.next() => listed,
    } {
        // Reaps what has ended, so that the set does not grow with the number of objects.
        while let Some(joined) = downloads.try_join_next() {
            rethrow(joined);
        }
        let object = match listed {
            Listed::Object(object) => object,
            Listed::Failed { bucket, key, error } => {
                tell(&events, Event::ended(unreadable(bucket, key, error))).await;
                continue;
            }
        };
        let began = Instant::now();
        let reserved = tokio::select! {
            biased;
            () = draining.cancelled() => None,
            reserved = async {
                let permit = context.budget.reserve(&object).await?;
                let turn = Arc::clone(&turns).acquire_owned().await;
                Ok((permit, turn.map_err(|error| Error::new(Kind::Bug, "downloads were closed").caused_by(error))?))
            } => Some(reserved),
        };
        match reserved {
            None => tell(&events, Event::ended(Outcome::NotReached { object })).await,
            Some(Err(error)) => tell(&events, Event::ended(failed(object, error, 1, began))).await,
            Some(Ok((permit, turn))) => {
                let (context, staged, events) = (Arc::clone(&context), staged.clone(), events.clone());
                downloads.spawn(async move {
                    tell(&events, Event::Began(object.to_string())).await;
                    let mut attempts = Attempts::new(&context.config.retry);
                    let tried = tokio::select! {
                        biased;
                        () = context.shutdown.draining.cancelled() => None,
                        tried = download(&context, &object, permit, &mut attempts) => Some(tried),
                    };
                    let attempts = attempts.made();
                    match tried {
                        None => tell(&events, Event::ended(Outcome::NotReached { object })).await,
                        Some(Err(error)) => tell(&events, Event::ended(failed(object, error, attempts, began))).await,
                        Some(Ok((file, scan))) => {
                            let ready = Ready { object, staged: file, scan, began, attempts };
                            // The workers outlive the downloads: only a dead one leaves an object behind.
                            if let Err(lost) = staged.send(ready).await {
                                tell(&events, Event::ended(Outcome::NotReached { object: lost.0.object })).await;
                            }
                        }
                    }
                    drop(turn);
                });
            }
        }
    }
    if draining.is_cancelled() {
        if !objects.close() {
            tell(&events, Event::ListingCut).await;
        }
        // What was listed is accounted for, also where nobody had looked at it yet.
        while let Some(listed) = objects.next().await {
            let outcome = match listed {
                Listed::Object(object) => Outcome::NotReached { object },
                Listed::Failed { bucket, key, error } => unreadable(bucket, key, error),
            };
            tell(&events, Event::ended(outcome)).await;
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
    let reader = || RowCounter {
        reader: RowReader::new(&format.dialect, &format.charset, context.preflight.fields_per_row, format.ignore_lines),
        object: object.to_string(),
    };
    let open = |from| context.s3.get(object, from);
    let (staged, counter) = stage(object, &context.config.staging.dir, permit, attempts, open, reader).await?;
    let scan = counter.reader.finish().map_err(|malformed| refused(&counter.object, &malformed))?;
    Ok((staged, scan))
}

/// The splitter, as the staging sees it.
struct RowCounter {
    reader: RowReader,
    object: String,
}

impl Watch for RowCounter {
    fn feed(&mut self, chunk: &[u8]) -> Result<()> {
        self.reader.feed(chunk).map_err(|malformed| refused(&self.object, &malformed))
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
        let Some(Ready { object, staged, scan, began, attempts: downloads }) = ready else { break };
        if context.shutdown.draining.is_cancelled() {
            tell(&events, Event::ended(Outcome::NotReached { object })).await;
            continue;
        }
        let mut attempts = Attempts::new(&context.config.retry);
        let verified = staged.verified;
        let loaded = load(&context, &mut session, &object, staged, &scan, &mut attempts).await;
        // A try that failed, in either stage, is one more than the one that it takes.
        let attempts = attempts.made() + downloads - 1;
        let outcome = match loaded {
            Ok(loaded) => Outcome::Loaded { object, loaded, verified, attempts, elapsed: began.elapsed() },
            Err(error) => failed(object, error, attempts, began),
        };
        tell(&events, Event::ended(outcome)).await;
    }
    if let Some(session) = session {
        session.close().await;
    }
}

/// Loads one object, again where that is safe. The session is put back only when it is beyond doubt.
async fn load(
    context: &Context,
    kept: &mut Option<Session>,
    object: &Object,
    staged: Staged,
    scan: &Scan,
    attempts: &mut Attempts,
) -> Result<Loaded> {
    let what = object.to_string();
    let sql = context.preflight.statement.sql(&scan.lines_terminated_by);
    let terminator = if scan.needs_terminator { scan.lines_terminated_by.clone() } else { Vec::new() };
    let Staged { file, size_bytes, .. } = &staged;
    let payload = Payload { file: Some(Arc::clone(file)), from: scan.data_start, to: *size_bytes, terminator };
    loop {
        let tried = match kept.take() {
            Some(session) => Ok(session),
            None => tokio::select! {
                biased;
                () = context.shutdown.abandoning.cancelled() => {
                    Err(Error::new(Kind::Interrupted, format!("{what}: the run was stopped before it was loaded")))
                }
                session = context.sessions.get() => session,
            },
        };
        let error = match tried {
            // The server is full, with our own connections among those that fill it: the load that has one goes on, and
            // this one waits without using up its tries.
            Err(error) if error.kind == Kind::TargetBusy && context.sessions.in_use() > 0 => {
                if context.shutdown.draining.is_cancelled() {
                    return Err(error);
                }
                tracing::debug!("{}; waiting for a connection", error.one_line());
                pause(&context.shutdown, FULL_SERVER_PAUSE).await;
                continue;
            }
            Err(error) => error,
            Ok(mut session) => {
                let Context { preflight, shutdown, .. } = context;
                let loading =
                    session.load(&what, &sql, payload.clone(), scan.rows, preflight.policy, &shutdown.abandoning);
                match loading.await {
                    Ok(loaded) => {
                        *kept = Some(session);
                        return Ok(loaded);
                    }
                    Err(error) => {
                        session.destroy().await;
                        error
                    }
                }
            }
        };
        let Some(wait) = attempts.pause_after(&error) else { return Err(error) };
        if context.shutdown.draining.is_cancelled() {
            return Err(error);
        }
        tracing::warn!(attempt = attempts.made(), "{}; trying again", error.one_line());
        pause(&context.shutdown, wait).await;
    }
}

fn unreadable(bucket: String, key: String, error: Error) -> Outcome {
    Outcome::Failed { bucket, key, object: None, error, attempts: 1, elapsed: Duration::ZERO }
}

fn failed(object: Object, error: Error, attempts: u32, began: Instant) -> Outcome {
    Outcome::Failed {
        bucket: object.bucket.clone(),
        key: object.key.clone(),
        object: Some(object),
        error,
        attempts,
        elapsed: began.elapsed(),
    }
}

/// The run listens until every stage has ended, so that this can't fail while anybody cares.
async fn tell(events: &mpsc::Sender<Event>, event: Event) {
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
