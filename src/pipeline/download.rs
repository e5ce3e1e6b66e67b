//! The stages of a run after the choice, each a task: dispatching, downloading, loading.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;

use super::check_worker::Checking;
use super::select::Selected;
use super::split_object::{ReadyPart, Route, load_in_parts};
use super::{check_worker, split_object};
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::ledger::{Job, Ledger};
use crate::load_data::Plan;
use crate::mysql::Sessions;
use crate::object::Object;
use crate::preflight::Preflight;
use crate::report::Outcome;
use crate::retry::Attempts;
use crate::shutdown::Shutdown;
use crate::source::S3;
use crate::split::{RowLocator, RowReader, Scan};
use crate::staging::{Budget, ByteObserver, StagedObject, StagingFiles, stage};
use crate::throttle::ConcurrencyLimiter;

/// What the stages share.
pub(crate) struct Context {
    pub(crate) config: Config,
    pub(crate) s3: S3,
    pub(crate) budget: Budget,
    pub(crate) staging_files: StagingFiles,
    pub(crate) preflight: Preflight,
    /// At the beginning of an object, for each to be cloned.
    pub(crate) reader: RowReader,
    pub(crate) locator: RowLocator,
    pub(crate) purpose: Purpose,
    /// `None`: at least once.
    pub(crate) ledger: Option<(Ledger, Job)>,
    pub(crate) sessions: Sessions,
    pub(crate) limiter: Arc<ConcurrencyLimiter>,
    pub(crate) shutdown: Shutdown,
}

/// What staged objects are for.
pub(crate) enum Purpose {
    /// The table that the job loads into.
    Load(Box<Plan>),
    Check(Checking),
}

impl Context {
    /// How objects are sent first.
    pub(crate) fn plan(&self) -> &Plan {
        match &self.purpose {
            Purpose::Load(plan) => plan,
            Purpose::Check(checking) => &checking.check.collect_all,
        }
    }
}

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

/// What is ready to be loaded.
pub(crate) enum Ready {
    Object(ReadyObject),
    Part(ReadyPart),
}

/// An object that is ready to be loaded.
pub(crate) struct ReadyObject {
    pub(crate) selected: Selected,
    pub(crate) staged: StagedObject,
    pub(crate) scan: Scan,
    pub(crate) began: Instant,
    /// Tries that the download took, the first included.
    pub(crate) attempts: u32,
    /// It may be loaded in one transaction with others.
    pub(crate) may_share: bool,
}

/// Objects of up to this size take a [`DownloadSlots::SMALL_SHARE`]th of a turn: what they cost is the wait
/// for the answer, and hardly any memory.
const SMALL_BYTES: u64 = 64 * 1024;

/// How many downloads there may be at once.
struct DownloadSlots {
    shares: Arc<Semaphore>,
    /// Of a turn.
    large: u32,
}

impl DownloadSlots {
    const SMALL_SHARE: u32 = 4;

    /// `slots` at once, of small objects more; 1 is one object after the other.
    fn new(slots: usize) -> Self {
        let large = if slots == 1 { 1 } else { Self::SMALL_SHARE };
        Self { shares: Arc::new(Semaphore::new(slots * large as usize)), large }
    }

    async fn take(&self, size_bytes: u64) -> Result<OwnedSemaphorePermit> {
        let shares = if size_bytes <= SMALL_BYTES { 1 } else { self.large };
        let taken = Arc::clone(&self.shares).acquire_many_owned(shares).await;
        taken.map_err(|error| Error::new(ErrorKind::Bug, "downloads were closed").caused_by(error))
    }
}

/// Takes objects as the budget allows and downloads them side by side.
pub(crate) async fn dispatch(
    context: Arc<Context>,
    mut objects: mpsc::Receiver<Selected>,
    staged: mpsc::Sender<Ready>,
    events: mpsc::Sender<Event>,
) {
    let draining = &context.shutdown.draining;
    let slots = DownloadSlots::new(context.s3.readers(context.config.staging.download_concurrency));
    let split_slots = Arc::new(Semaphore::new(
        split_object::MAX_SPLIT_OBJECTS.min(context.config.staging.download_concurrency),
    ));
    let mut downloads = JoinSet::new();
    // What comes while the run drains is passed on too, and gets its outcome below.
    while let Some(selected) = objects.recv().await {
        // Reaps what has ended, so that the set does not grow with the number of objects.
        while let Some(joined) = downloads.try_join_next() {
            rethrow(joined);
        }
        let began = Instant::now();
        match split_object::route(&context, &selected) {
            Route::Whole => {}
            Route::Split => {
                let (context, staged, events) =
                    (Arc::clone(&context), staged.clone(), events.clone());
                let slots = Arc::clone(&split_slots);
                downloads.spawn(async move {
                    load_in_parts(&context, selected, staged, &events, &slots).await;
                });
                continue;
            }
            Route::None(error) => {
                let outcome =
                    failed(context.ledger.as_ref(), selected.object, error, 1, began).await;
                emit(&events, Event::ended(outcome)).await;
                continue;
            }
        }
        let reserved = tokio::select! {
            biased;
            () = draining.cancelled() => None,
            reserved = async {
                let permit = context.budget.reserve(&selected.object).await?;
                Ok((permit, slots.take(selected.object.size_bytes).await?))
            } => Some(reserved),
        };
        match reserved {
            None => {
                emit(&events, Event::ended(Outcome::NotReached { object: selected.object })).await;
            }
            Some(Err(error)) => {
                let outcome =
                    failed(context.ledger.as_ref(), selected.object, error, 1, began).await;
                emit(&events, Event::ended(outcome)).await;
            }
            Some(Ok((permit, slot))) => {
                let (context, staged, events) =
                    (Arc::clone(&context), staged.clone(), events.clone());
                downloads.spawn(async move {
                    emit(&events, Event::Began(selected.object.to_string())).await;
                    let mut attempts = Attempts::new(&context.config.retry);
                    let tried = tokio::select! {
                        biased;
                        () = context.shutdown.draining.cancelled() => None,
                        tried = download(&context, &selected.object, permit, &mut attempts) => Some(tried),
                    };
                    let attempts = attempts.made();
                    match tried {
                        None => emit(&events, Event::ended(Outcome::NotReached { object: selected.object })).await,
                        Some(Err(error)) => {
                            let outcome = failed(context.ledger.as_ref(), selected.object, error, attempts, began).await;
                            emit(&events, Event::ended(outcome)).await;
                        }
                        Some(Ok((file, scan))) => {
                            // What failed before is likely to fail again; what is forced replaces a
                            // row of the ledger.
                            let may_share = !selected.had_failed && !selected.again && attempts == 1;
                            let object = selected.object.clone();
                            let ready = ReadyObject { selected, staged: file, scan, began, attempts, may_share };
                            // The workers outlive the downloads: only a dead one leaves an object
                            // behind.
                            if staged.send(Ready::Object(ready)).await.is_err() {
                                emit(&events, Event::ended(Outcome::NotReached { object })).await;
                            }
                        }
                    }
                    drop(slot);
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
) -> Result<(StagedObject, Scan)> {
    let format = &context.config.format;
    let reader = || context.reader.clone();
    let sample = match &context.purpose {
        Purpose::Load(_) => None,
        Purpose::Check(checking) => checking.sample,
    };
    let counter = || RowCounter { reader: reader(), object: object.to_string(), sample };
    let place = context.staging_files.take(object, permit)?;
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
            let cut = check_worker::cut_to_sample(
                &staged,
                locator,
                reader(),
                &context.shutdown.abandoning,
            )
            .await;
            let (scan, size_bytes) =
                cut.map_err(|error| Error::new(error.kind, object.to_string()).caused_by(error))?;
            staged.file = staged.file.truncate(size_bytes);
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

impl ByteObserver for RowCounter {
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
    Error::new(ErrorKind::Malformed, format!("{object}: {malformed}"))
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
pub(crate) async fn emit(events: &mpsc::Sender<Event>, event: Event) {
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
