//! Waits for the database and the store, for `--wait` and for the command `wait`.
//!
//! A server in a container accepts connections, and goes away once more while it initializes. So a
//! load that meets this before its first object waits again, for what is left of the time.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::outcome::RunResult;
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::mysql::Connector;
use crate::retry::RetryConfig;
use crate::source::{Listing, S3};

/// The first pause between two tries, which doubles up to the longest one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// The time that every try has.
const SHORTEST_TRY: Duration = Duration::from_secs(1);
/// The time between two lines that say why the wait goes on.
const TOLD_EVERY: Duration = Duration::from_secs(5);

/// The time that the command `wait` waits unless it is told.
const DEFAULT_LIMIT: Duration = Duration::from_mins(1);

/// A wait that begins when this is made.
#[derive(Debug)]
pub(super) struct Waiting {
    started: Instant,
    /// `None` if nothing is waited for.
    limit: Option<Duration>,
}

impl Waiting {
    pub(super) fn new(limit: Option<Duration>) -> Self {
        Self { started: Instant::now(), limit }
    }

    /// Returns once the database and the buckets of the sources answer, or at once if there is no
    /// wait.
    ///
    /// # Errors
    /// Returns at once what does not pass by itself, and otherwise the last reasons when the time
    /// is over.
    pub(super) async fn until_ready(
        &self,
        config: &Config,
        abandoning: &CancellationToken,
    ) -> std::result::Result<(), Vec<Error>> {
        let Some(limit) = self.limit else { return Ok(()) };
        let connector = Connector::new(&config.target, config.timeouts());
        let mut connector = connector.map_err(|error| vec![error])?.until(abandoning);
        let listing = listing(config).await.map_err(|error| vec![error])?;
        let left = limit.saturating_sub(self.started.elapsed());
        let names: Vec<String> = std::iter::once(connector.name().to_owned())
            .chain(config.source.uris.iter().map(|uri| format!("s3://{}/", uri.bucket())))
            .collect();
        let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
        names.dedup();
        tracing::info!("waiting up to {:.0} s for {}", left.as_secs_f64(), names.join(" and "));
        let mut told = Instant::now();
        let mut pause = FIRST_PAUSE;
        let mut last: Vec<Error> = Vec::new();
        loop {
            // The last try begins when the time is over, and has time for an answer, too.
            let left = limit.saturating_sub(self.started.elapsed()).max(SHORTEST_TRY);
            let trying = async { tokio::join!(database(&mut connector), store(listing.as_ref())) };
            let tried = tokio::time::timeout(left, Box::pin(trying)).await;
            let (database, store) = match tried {
                Ok(tried) => tried,
                Err(_) if !last.is_empty() => return Err(self.with_time(last)),
                Err(_) => (Err(no_answer(&names)), Vec::new()),
            };
            // At this point, the server has refused nothing but a database that does not exist.
            let is_database_missing =
                database.as_ref().is_err_and(|error| error.kind == ErrorKind::TargetRefused);
            let is_passing = database.as_ref().err().is_none_or(passes) || is_database_missing;
            let is_passing = is_passing && store.iter().all(passes);
            let mut reasons: Vec<Error> = database.err().into_iter().collect();
            reasons.extend(store);
            if reasons.is_empty() {
                if !last.is_empty() {
                    let seconds = self.started.elapsed().as_secs_f64();
                    tracing::info!("everything answers after {seconds:.1} s");
                }
                return Ok(());
            }
            let left = limit.saturating_sub(self.started.elapsed());
            if !is_passing {
                return Err(reasons);
            }
            if left.is_zero() {
                return Err(self.with_time(reasons));
            }
            if told.elapsed() >= TOLD_EVERY {
                told = Instant::now();
                let reasons: Vec<String> = reasons.iter().map(Error::one_line).collect();
                tracing::info!("still waiting, {} s left: {}", left.as_secs(), reasons.join("; "));
            }
            last = reasons;
            tokio::time::sleep(pause.min(left)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Returns true if a run that could not begin because of `problems` should wait again.
    pub(super) fn goes_on_after(&self, problems: &[Error]) -> bool {
        let is_time_left = self.limit.is_some_and(|limit| self.started.elapsed() < limit);
        let goes_on = is_time_left && !problems.is_empty() && problems.iter().all(passes);
        if goes_on {
            let problems: Vec<String> = problems.iter().map(Error::one_line).collect();
            tracing::info!("{}; waiting again", problems.join("; "));
        }
        goes_on
    }

    fn with_time(&self, reasons: Vec<Error>) -> Vec<Error> {
        let waited = format!(" (waited {} s)", self.started.elapsed().as_secs());
        reasons.into_iter().map(|reason| reason.adding(&waited)).collect()
    }
}

/// Returns true if the error may pass by itself, because something is about to start.
fn passes(error: &Error) -> bool {
    matches!(
        error.kind,
        ErrorKind::TargetUnreachable
            | ErrorKind::TargetBusy
            | ErrorKind::ConnectionLost
            | ErrorKind::LoadStalled
            | ErrorKind::SourceUnreachable
            | ErrorKind::SourceBusy
            | ErrorKind::ListingBroken
            | ErrorKind::BucketMissing
    )
}

/// Returns the listing whose buckets are waited for, if there are any. It asks each only once.
async fn listing(config: &Config) -> Result<Option<Listing>> {
    if config.source.uris.is_empty() {
        return Ok(None);
    }
    let once = RetryConfig { max_attempts: 1, ..config.retry.clone() };
    let s3 = S3::new(&config.source).await?;
    Listing::new(s3, &config.source, &once).map(Some)
}

/// Logs in once.
async fn database(connector: &mut Connector) -> Result<()> {
    let (conn, _) = connector.probe().await?;
    // The server closes the connection, too, if it does not hear of its end.
    let _ = conn.disconnect().await;
    Ok(())
}

/// Asks each bucket once. Returns what is wrong.
async fn store(listing: Option<&Listing>) -> Vec<Error> {
    match listing {
        Some(listing) => listing.check().await,
        None => Vec::new(),
    }
}

fn no_answer(names: &[&str]) -> Error {
    let message = format!("{}: no answer", names.join(" and "));
    Error::new(ErrorKind::TargetUnreachable, message)
}

/// Runs the command `s3-to-mysql wait`.
pub async fn wait(config: Config) -> RunResult {
    let limit = config.wait.unwrap_or(DEFAULT_LIMIT);
    let waiting = Waiting::new(Some(limit));
    match waiting.until_ready(&config, &CancellationToken::new()).await {
        Ok(()) => RunResult::default(),
        Err(problems) => RunResult::before_it_began(problems),
    }
}
