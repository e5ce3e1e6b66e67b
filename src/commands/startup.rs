//! The start of a run: checks everything that must be right before the first object, reports all
//! problems together, then opens the ledger, which is the first thing that a run changes.
//!
//! The preflight, the ledger and the job of an append share one connection and send several
//! statements in one packet, because round trips dominate the start of a run on a slow network.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::exit_code;
use crate::ledger::{Job, Ledger, RunId, RunTotals, Tables};
use crate::limits;
use crate::mysql::{Connector, Session, SqlMode};
use crate::pipeline::{DownloadSlots, LISTED_AHEAD, ObjectStream, Prepared, SharedPool};
use crate::policy::Mode;
use crate::preflight::{self, Preflight};
use crate::progress::ListingProgress;
use crate::rejects::Rejects;
use crate::source::{Listing, ListingSink, S3, SkippedKeys};
use crate::staging::{Budget, is_memory_backed};
use crate::verify::ComparePlan;

/// The clients of store and server, with the limits that all tables of a run share.
#[derive(Clone, Debug)]
pub(crate) struct Clients {
    s3: S3,
    budget: Budget,
    pub(super) connector: Connector,
    downloads: DownloadSlots,
    pool: Option<SharedPool>,
}

impl Clients {
    /// Makes the clients. Does not connect. Nothing waits long for the server after `abandoning` is
    /// cancelled.
    ///
    /// # Errors
    /// Returns all problems that were found.
    pub(crate) async fn open(
        config: &Config,
        abandoning: &CancellationToken,
    ) -> std::result::Result<Self, Vec<Error>> {
        let s3 = S3::new(&config.source).await.map_err(|error| vec![error])?;
        let s3 = s3.with_max_rate(config.throughput.max_rate);
        let budget = Budget::new(&config.staging);
        let connector = Connector::new(&config.target, config.timeouts())
            .map(|connector| connector.until(abandoning));
        let downloads = DownloadSlots::new(s3.readers(config.staging.download_concurrency));
        match (budget, connector) {
            (Ok(budget), Ok(connector)) => {
                Ok(Self { s3, budget, connector, downloads, pool: None })
            }
            (budget, connector) => {
                Err([budget.err(), connector.err()].into_iter().flatten().collect())
            }
        }
    }

    /// Makes clients for several tables, which share the connections.
    pub(crate) fn for_several(self, load_concurrency: usize) -> Self {
        Self { pool: Some(SharedPool::new(load_concurrency)), ..self }
    }

    /// Closes the connections that several tables share.
    pub(crate) async fn close(self) {
        if let Some(pool) = self.pool {
            pool.close().await;
        }
    }
}

/// Starts the listing and checks source, staging and target side by side.
///
/// # Errors
/// Returns all problems that were found. The listing has ended then.
pub(crate) async fn prepare(
    config: &Config,
    clients: Clients,
    found: &Arc<ListingProgress>,
) -> std::result::Result<Prepared, Vec<Error>> {
    let Clients { s3, budget, mut connector, downloads, pool } = clients;
    let listing = Listing::new(s3.clone(), &config.source, &config.retry);
    let listing = Arc::new(listing.map_err(|error| vec![error])?);
    let (sender, mut rest) = mpsc::channel(LISTED_AHEAD);
    let mut running =
        spawn_listing(Arc::clone(&listing), ListingSink::new(sender, counter(found)), found);
    let preflight_options = config.preflight();
    let (checked, first, preflight) = tokio::join!(
        listing.check(),
        rest.recv(),
        Box::pin(preflight::preflight(&mut connector, &preflight_options))
    );
    let mut problems: Vec<Error> = checked.into_iter().collect();
    // If nothing was found, the listing has ended and its result says why.
    if first.is_none() {
        running = nothing_listed(running, config.source.allow_empty, &mut problems).await;
    }
    let begun = match preflight {
        Ok(begun) => Some(begun),
        Err(errors) => {
            problems.extend(errors);
            None
        }
    };
    let (true, Some((preflight, session))) = (problems.is_empty(), begun) else {
        running.abort();
        return Err(problems);
    };
    let warnings = warnings(config, &preflight, &budget);
    let about_target = format!(
        "target {} on {} {}, time zone {}, staging up to {}",
        config.target.table,
        preflight.server.flavor,
        preflight.server.version,
        config.load.readings.time_zone_name(),
        budget.total()
    );
    // One line for each of many tables is enough, and comes at its end.
    match &pool {
        None => tracing::info!("{about_target}"),
        Some(_) => tracing::debug!("{about_target}"),
    }
    Ok(Prepared {
        s3,
        budget,
        connector,
        downloads,
        pool,
        preflight,
        session: Some(session),
        rejects: None,
        throttle: None,
        listing: running,
        objects: ObjectStream { first, rest },
        warnings,
    })
}

/// The task that lists the objects.
type ListingTask = JoinHandle<Result<SkippedKeys>>;

fn spawn_listing(
    listing: Arc<Listing>,
    sink: ListingSink,
    found: &Arc<ListingProgress>,
) -> ListingTask {
    let found = Arc::clone(found);
    tokio::spawn(async move {
        let skipped_keys = listing.run(sink).await;
        found.complete.store(true, Ordering::Relaxed);
        skipped_keys
    })
}

/// Adds the reason for which a listing that has ended found nothing. Returns a task with the same
/// result.
async fn nothing_listed(
    mut listing: ListingTask,
    allow_empty: bool,
    problems: &mut Vec<Error>,
) -> ListingTask {
    match (&mut listing).await {
        Ok(Ok(skipped_keys)) => {
            if !allow_empty && problems.is_empty() {
                problems.push(nothing_matched(skipped_keys));
            }
            return tokio::spawn(async move { Ok(skipped_keys) });
        }
        Ok(Err(error)) => {
            // The check may have reported the same error.
            if !problems.iter().any(|problem| problem.kind == error.kind) {
                problems.push(error);
            }
        }
        Err(error) => {
            problems.push(listing_error(error));
        }
    }
    listing
}

/// Returns the error of a listing task that did not end by itself.
pub(super) fn listing_error(error: JoinError) -> Error {
    Error::new(ErrorKind::Bug, "the listing task panicked").caused_by(error)
}

/// Returns what the user should know, although the run begins.
fn warnings(config: &Config, preflight: &Preflight, budget: &Budget) -> Vec<String> {
    let mut warnings = preflight.warnings.clone();
    if is_memory_backed(&config.staging.dir) {
        warnings.push(format!(
            "--staging-dir {} is on tmpfs: staged objects may use up to {} of memory",
            config.staging.dir.display(),
            budget.total()
        ));
    }
    warnings.extend(too_few_files(config, limits::open_files()));
    warnings
}

/// Checks that rejected rows can be written, if the policy may reject any.
///
/// # Errors
/// The error that prevents the run.
pub(crate) async fn open_rejects(config: &Config, prepared: &mut Prepared) -> Result<()> {
    if let Some(to) = config.load.rejects.as_ref().filter(|_| config.load.may_reject()) {
        let opened =
            Rejects::open(to, prepared.s3.clone(), &config.staging.dir, &config.retry).await?;
        prepared.rejects = Some(opened);
    }
    Ok(())
}

/// Opens the ledger and begins or resumes the job. Returns `None` if the ledger is switched off.
///
/// # Errors
/// The error that prevents the run. A run that was recorded by then is recorded as ended.
pub(crate) async fn open_ledger(
    config: &Config,
    prepared: &mut Prepared,
    run: &RunId,
    stop: &CancellationToken,
) -> Result<Option<(Ledger, Job)>> {
    let idle = take_strict_session(config, prepared).await;
    let Some(stem) = &config.ledger.table else { return Ok(None) };
    let Prepared { connector, preflight, .. } = &*prepared;
    let tables = Tables::new(stem, &preflight.target.database);
    let sessions = connector.pool(&preflight.server, SqlMode::Strict, 1);
    let target = preflight.target.clone();
    let ledger =
        Ledger::open(tables, target, run.clone(), sessions, idle, config.retry.clone()).await?;
    let ledger = ledger.loading_alone(preflight.is_alone);
    let begun = begin(&ledger, config, preflight.verification.as_deref(), stop).await;
    if let Ok(job) = &begun {
        let RunId { id, worker } = ledger.run();
        let about_run = format!("run {id} on {worker}, generation {} of the table", job.generation);
        match &prepared.pool {
            None => tracing::info!("{about_run}"),
            Some(_) => tracing::debug!("{about_run}"),
        }
    }
    if begun.is_err() {
        ledger.close().await;
    }
    Ok(Some((ledger, begun?)))
}

/// Opens the ledger for reading. Returns it with the generation of the table, or `None` if there is
/// no ledger.
///
/// # Errors
/// The same errors as [`open_ledger`], but nothing is created or changed.
pub(crate) async fn look_into_ledger(
    config: &Config,
    prepared: &mut Prepared,
) -> Result<Option<(Ledger, u32)>> {
    let idle = take_strict_session(config, prepared).await;
    let Some(stem) = &config.ledger.table else { return Ok(None) };
    let Prepared { connector, preflight, .. } = prepared;
    let tables = Tables::new(stem, &preflight.target.database);
    let sessions = connector.pool(&preflight.server, SqlMode::Strict, 1);
    Ledger::look_into(tables, preflight.target.clone(), sessions, idle, config.retry.clone()).await
}

/// Returns the preflight's session if the ledger can use it, and closes it otherwise. The ledger
/// needs a strict session, whatever the policy for the rows of objects is.
async fn take_strict_session(config: &Config, prepared: &mut Prepared) -> Option<Session> {
    let session = prepared.session.take()?;
    let sql_mode = SqlMode::of(prepared.preflight.policy.on_bad_row);
    if config.ledger.table.is_some() && sql_mode == SqlMode::Strict {
        return Some(session);
    }
    session.close().await;
    None
}

async fn begin(
    ledger: &Ledger,
    config: &Config,
    verification: Option<&ComparePlan>,
    stop: &CancellationToken,
) -> Result<Job> {
    ledger.begin_run(config.load.mode, &config.source.to_string()).await?;
    let begun = async {
        let mut job = ledger.begin_job(&config.job(), stop).await?;
        if let Some(plan) = verification {
            // Fail now rather than after everything is loaded.
            ledger.ensure_verifiable(&job, plan).await?;
        }
        let loads_again = config.ledger.force && job.mode == Mode::Append;
        job.was_partial = ledger.join_job(&job, loads_again).await?;
        if loads_again {
            job.was_emptied = ledger.is_empty(&job).await? == Some(true);
            if job.was_emptied {
                tracing::info!(
                    "--force: objects that are already loaded are loaded again, into a table that \
                     is empty"
                );
            } else {
                tracing::warn!(
                    "--force: objects that are already loaded are loaded again, \
                     which duplicates their rows"
                );
            }
        }
        Ok::<_, Error>(job)
    }
    .await;
    match &begun {
        Ok(job) => {
            if job.mode != Mode::Append {
                tracing::info!("loading into {}", job.load_into);
            }
        }
        Err(error) => {
            // Best effort: the run is over, even if its row is not updated.
            let exit_code = exit_code::of_error(error.kind);
            let _ = ledger.end_run(RunTotals { exit_code, ..RunTotals::default() }).await;
        }
    }
    begun
}

/// Returns a warning if the run may need more open files than the operating system allows it.
fn too_few_files(config: &Config, limit: Option<u64>) -> Option<String> {
    // The runtime, standard streams, report, ledger, listing and their like.
    const OTHERS: u64 = 32;
    // A download has a connection and a file, and so may have a load.
    let pairs = config.staging.download_concurrency + config.load.load_concurrency;
    let needed = OTHERS + 2 * pairs as u64;
    limit.filter(|limit| *limit < needed).map(|limit| {
        format!(
            "ulimit -n is {limit}, and this run may need {needed} open files: raise it, or lower \
             --download-concurrency and --load-concurrency"
        )
    })
}

pub(super) fn nothing_matched(skipped_keys: SkippedKeys) -> Error {
    let SkippedKeys { folder_markers, hidden, filtered_out } = skipped_keys;
    let passed = if folder_markers + hidden + filtered_out > 0 {
        format!(
            "; skipped: {folder_markers} folder markers, {hidden} hidden keys, \
             {filtered_out} filtered out"
        )
    } else {
        String::new()
    };
    Error::new(ErrorKind::NothingMatched, format!("no object matches{passed}"))
}

/// Returns a function that counts the objects that the listing task finds.
pub(crate) fn counter(
    found: &Arc<ListingProgress>,
) -> impl Fn(&crate::object::Object) + Send + Sync + 'static + use<> {
    let found = Arc::clone(found);
    move |object| {
        found.objects.fetch_add(1, Ordering::Relaxed);
        if let Some(time) = object.last_modified {
            found.newest_second.fetch_max(time.as_second(), Ordering::Relaxed);
        }
        // A store may list any size.
        let add = |bytes: u64| Some(bytes.saturating_add(object.size_bytes));
        let _ = found.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }
}
