//! The stages of a run after the choice, each a task: dispatching, downloading, loading.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;

use super::check::{self, Checking};
use super::choose::Wanted;
use super::governor::Governor;
use super::parts::{self, ReadyPart, Way, load_in_parts};
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::ledger::{Job, Ledger};
use crate::load::{Plan, Preflight};
use crate::mysql::Sessions;
use crate::object::Object;
use crate::report::Outcome;
use crate::retry::Attempts;
use crate::shutdown::Shutdown;
use crate::source::S3;
use crate::split::{RowLocator, RowReader, Scan};
use crate::staging::{Budget, Places, Staged, Watch, stage};

/// What the stages share.
pub(super) struct Context {
    pub(super) config: Config,
    pub(super) s3: S3,
    pub(super) budget: Budget,
    pub(super) places: Places,
    pub(super) preflight: Preflight,
    /// At the beginning of an object, for each to be cloned.
    pub(super) reader: RowReader,
    pub(super) locator: RowLocator,
    pub(super) purpose: Purpose,
    /// `None`: at least once.
    pub(super) ledger: Option<(Ledger, Job)>,
    pub(super) sessions: Sessions,
    pub(super) governor: Arc<Governor>,
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
    pub(super) fn plan(&self) -> &Plan {
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

/// What is ready to be loaded.
pub(super) enum Ready {
    Object(ReadyObject),
    Part(ReadyPart),
}

/// An object that is ready to be loaded.
pub(super) struct ReadyObject {
    pub(super) wanted: Wanted,
    pub(super) staged: Staged,
    pub(super) scan: Scan,
    pub(super) began: Instant,
    /// Tries that the download took, the first included.
    pub(super) attempts: u32,
    /// It may be loaded in one transaction with others.
    pub(super) may_share: bool,
}

/// Objects of up to this size take a [`Turns::SMALL_SHARE`]th of a turn: what they cost is the wait
/// for the answer, and hardly any memory.
const SMALL_BYTES: u64 = 64 * 1024;

/// How many downloads there may be at once.
struct Turns {
    shares: Arc<Semaphore>,
    /// Of a turn.
    large: u32,
}

impl Turns {
    const SMALL_SHARE: u32 = 4;

    /// `turns` at once, of small objects more; 1 is one object after the other.
    fn new(turns: usize) -> Self {
        let large = if turns == 1 { 1 } else { Self::SMALL_SHARE };
        Self { shares: Arc::new(Semaphore::new(turns * large as usize)), large }
    }

    async fn take(&self, size_bytes: u64) -> Result<OwnedSemaphorePermit> {
        let shares = if size_bytes <= SMALL_BYTES { 1 } else { self.large };
        let taken = Arc::clone(&self.shares).acquire_many_owned(shares).await;
        taken.map_err(|error| Error::new(Kind::Bug, "downloads were closed").caused_by(error))
    }
}

/// Takes objects as the budget allows and downloads them side by side.
pub(super) async fn dispatch(
    context: Arc<Context>,
    mut objects: mpsc::Receiver<Wanted>,
    staged: mpsc::Sender<Ready>,
    events: mpsc::Sender<Event>,
) {
    let draining = &context.shutdown.draining;
    let turns = Turns::new(context.s3.readers(context.config.staging.download_concurrency));
    let split_turns =
        Arc::new(Semaphore::new(parts::AT_ONCE.min(context.config.staging.download_concurrency)));
    let mut downloads = JoinSet::new();
    // What comes while the run drains is passed on too, and gets its outcome below.
    while let Some(wanted) = objects.recv().await {
        // Reaps what has ended, so that the set does not grow with the number of objects.
        while let Some(joined) = downloads.try_join_next() {
            rethrow(joined);
        }
        let began = Instant::now();
        match parts::way(&context, &wanted) {
            Way::Whole => {}
            Way::Split => {
                let (context, staged, events) =
                    (Arc::clone(&context), staged.clone(), events.clone());
                let turns = Arc::clone(&split_turns);
                downloads.spawn(async move {
                    load_in_parts(&context, wanted, staged, &events, &turns).await
                });
                continue;
            }
            Way::None(error) => {
                let outcome = failed(context.ledger.as_ref(), wanted.object, error, 1, began).await;
                tell(&events, Event::ended(outcome)).await;
                continue;
            }
        }
        let reserved = tokio::select! {
            biased;
            () = draining.cancelled() => None,
            reserved = async {
                let permit = context.budget.reserve(&wanted.object).await?;
                Ok((permit, turns.take(wanted.object.size_bytes).await?))
            } => Some(reserved),
        };
        match reserved {
            None => {
                tell(&events, Event::ended(Outcome::NotReached { object: wanted.object })).await
            }
            Some(Err(error)) => {
                let outcome = failed(context.ledger.as_ref(), wanted.object, error, 1, began).await;
                tell(&events, Event::ended(outcome)).await;
            }
            Some(Ok((permit, turn))) => {
                let (context, staged, events) =
                    (Arc::clone(&context), staged.clone(), events.clone());
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
                            // What failed before is likely to fail again; what is forced replaces a
                            // row of the ledger.
                            let may_share = !wanted.had_failed && !wanted.again && attempts == 1;
                            let object = wanted.object.clone();
                            let ready = ReadyObject { wanted, staged: file, scan, began, attempts, may_share };
                            // The workers outlive the downloads: only a dead one leaves an object
                            // behind.
                            if staged.send(Ready::Object(ready)).await.is_err() {
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
    let reader = || context.reader.clone();
    let sample = match &context.purpose {
        Purpose::Load(_) => None,
        Purpose::Check(checking) => checking.sample,
    };
    let counter = || RowCounter { reader: reader(), object: object.to_string(), sample };
    let place = context.places.take(object, permit)?;
    let open = |from| context.s3.get(object, from);
    let (mut staged, counter) = stage(object, place, attempts, open, counter).await?;
    let scan = match sample {
        Some(rows) if counter.is_satisfied() => {
            let locator = RowLocator::new(
                &format.dialect,
                &format.charset,
                context.preflight.fields_per_row,
                format.ignore_lines,
                [rows],
            );
            let cut =
                check::cut_to_sample(&staged, locator, reader(), &context.shutdown.abandoning)
                    .await;
            let (scan, size_bytes) =
                cut.map_err(|error| Error::new(error.kind, object.to_string()).caused_by(error))?;
            staged.file = staged.file.cut_to(size_bytes);
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

/// The outcome of a key that was listed without an object to go with it.
pub(super) async fn unreadable(
    ledger: Option<&(Ledger, Job)>,
    bucket: String,
    key: String,
    error: Error,
) -> Outcome {
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
async fn record(
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
