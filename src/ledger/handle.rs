//! The ledger of one target, as one run uses it.

use std::sync::Arc;
use std::time::Duration;

use mysql_async::prelude::FromRow;
use tokio::sync::Mutex;

use super::control::{ControlConnection, get_locks};
use super::identity::{RunId, Target};
use super::job::Job;
use super::schema::{ACKS, Tables};
use crate::error::{Error, ErrorKind, Result};
use crate::mysql::{Phase, ResultSets, Session, Sessions, classify};
use crate::retry::{Attempts, RetryConfig};

/// The room for one lock in a statement, which is more than its name takes.
const NAME_BYTES: usize = 100;

/// The ledger of one target, as one run uses it.
#[derive(Clone, Debug)]
pub struct Ledger {
    pub(crate) tables: Tables,
    pub(crate) target: Target,
    pub(crate) run: RunId,
    /// Sessions with strict SQL mode, outside the pool that loads.
    pub(crate) sessions: Sessions,
    pub(crate) control: Arc<Mutex<ControlConnection>>,
    pub(crate) retry: RetryConfig,
    /// The lock on the job's row that a transaction takes to load.
    pub(crate) load_lock: &'static str,
    /// True if the table of acknowledgements existed when the run began.
    pub(crate) has_acks: bool,
}

/// Lets loads run side by side, and keeps a job from emptying or swapping the table meanwhile.
const SHARED: &str = "LOCK IN SHARE MODE";
/// Lets one transaction load at a time, of whatever run it is.
const EXCLUSIVE: &str = "FOR UPDATE";

impl Ledger {
    /// Returns the ledger of a run whose transactions load alone if `is_alone`.
    #[must_use]
    pub fn loading_alone(self, is_alone: bool) -> Self {
        Self { load_lock: if is_alone { EXCLUSIVE } else { SHARED }, ..self }
    }

    /// Connects, unless there is an `idle` session, and creates the missing tables.
    ///
    /// # Errors
    /// `TargetRefused` if the ledger has a newer version, if a table is not a ledger's, or if the
    /// account may not create the tables.
    pub async fn open(
        tables: Tables,
        target: Target,
        run: RunId,
        sessions: Sessions,
        idle: Option<Session>,
        retry: RetryConfig,
    ) -> Result<Self> {
        let ensure = async |session: &mut Session| tables.ensure(session).await;
        let (session, has_acks) = on_idle_session(&sessions, idle, ensure).await?;
        Ok(Self {
            tables,
            target,
            run,
            sessions,
            control: ControlConnection::holding(session),
            retry,
            load_lock: SHARED,
            has_acks,
        })
    }

    /// Connects, unless there is an `idle` session, to an existing ledger, and reads which
    /// generation the table holds. Changes nothing.
    ///
    /// # Errors
    /// `TargetRefused` as in [`Ledger::open`].
    pub async fn look_into(
        tables: Tables,
        target: Target,
        sessions: Sessions,
        idle: Option<Session>,
        retry: RetryConfig,
    ) -> Result<Option<(Self, u32)>> {
        let look = async |session: &mut Session| tables.present(session).await;
        let (session, present) = on_idle_session(&sessions, idle, look).await?;
        if !Tables::are_all(&present) {
            session.close().await;
            return Ok(None);
        }
        let ledger = Self {
            tables,
            target,
            run: RunId::new(),
            sessions,
            control: ControlConnection::holding(session),
            retry,
            load_lock: SHARED,
            has_acks: present.contains(&ACKS),
        };
        let sql = format!(
            "SELECT table_generation FROM {} WHERE target = {}",
            ledger.tables.jobs,
            ledger.target.literal()
        );
        let generation = ledger.query::<u32>(&sql).await?.first().copied();
        Ok(generation.map(|generation| (ledger, generation)))
    }

    /// Returns how long a run waits for what others hold.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.retry.max_elapsed
    }

    #[must_use]
    pub fn run(&self) -> &RunId {
        &self.run
    }

    /// Records which job the run works on. Returns true if some objects are loaded only in part.
    /// Unless `may_be_emptied`, refuses a table whose rows somebody has removed, since the ledger
    /// says that its objects are loaded, and a ledger whose rows somebody has removed, since its
    /// runs say that they have loaded objects.
    ///
    /// # Errors
    /// `TargetEmptied` if the ledger has rows of this generation and the table has none.
    /// `TargetRefused` if the ledger has no such rows, but runs have loaded some. Any error of the
    /// connection that outlasts the retry bounds.
    pub async fn join_job(&self, job: &Job, may_be_emptied: bool) -> Result<bool> {
        // The ledger first, then the table: rows that the ledger knows were committed with it.
        let stored = format!(
            "SELECT COUNT(*) \
             FROM (SELECT 1 \
             FROM {} \
             WHERE target = {} AND generation = {} AND state = 'loaded' AND row_count > \
             skipped_count + rejected_count LIMIT 1) AS loaded_rows",
            self.tables.objects,
            self.target.literal(),
            job.generation
        );
        let asked = [self.joining(job), stored, self.partial_objects_sql(job), self.lost_sql(job)];
        let mut answers = self.query_all(&asked.join("; ")).await?.skip(1);
        let unexpected = |error: &_| self.unexpected_answer(error);
        let stored: Vec<u64> = answers.next_rows().map_err(|error| unexpected(&error))?;
        let is_stored = stored.first() == Some(&1);
        let partial = answers.next_rows().map_err(|error| unexpected(&error))?;
        let lost: Vec<u64> = answers.next_rows().map_err(|error| unexpected(&error))?;
        let lost = lost.first().copied().unwrap_or_default();
        if !may_be_emptied && lost > 0 {
            self.ensure_nothing_lost(job, lost).await?;
        }
        if !may_be_emptied && (is_stored || self.has_loaded_parts(job, &partial).await?) {
            self.ensure_not_emptied(job).await?;
        }
        Ok(!partial.is_empty())
    }

    /// Returns the query for the number of objects that ended runs have loaded for the job, if the
    /// ledger has no object of it. It is 0 if the ledger has one: then it is not known what is
    /// missing.
    fn lost_sql(&self, job: &Job) -> String {
        let of_job =
            format!("target = {} AND generation = {}", self.target.literal(), job.generation);
        format!(
            "SELECT CAST(COALESCE(SUM(objects_loaded), 0) AS UNSIGNED) \
             FROM {} \
             WHERE {of_job} AND NOT EXISTS (SELECT 1 FROM {} WHERE {of_job})",
            self.tables.runs, self.tables.objects
        )
    }

    async fn ensure_nothing_lost(&self, job: &Job, lost: u64) -> Result<()> {
        if self.is_empty(job).await? == Some(true) {
            return Ok(());
        }
        let message = format!(
            "{} lists no object of table {}, but its runs have loaded {lost}: somebody has removed \
             the rows of {}, or restored an older state, and a run would load these objects again",
            self.tables.title(),
            job.load_into,
            self.tables.objects
        );
        Err(Error::new(ErrorKind::TargetRefused, message).with_hint(
            "restore the ledger's tables; or empty the table; or, to load the objects beside the \
             rows that are there, use `s3-to-mysql forget` or --force",
        ))
    }

    /// Returns true if the table has no rows, and `None` if the account may not read it.
    ///
    /// # Errors
    /// Any error of the connection that outlasts the retry bounds.
    pub(crate) async fn is_empty(&self, job: &Job) -> Result<Option<bool>> {
        let filled =
            format!("SELECT COUNT(*) FROM (SELECT 1 FROM {} LIMIT 1) AS table_rows", job.load_into);
        match self.query::<u64>(&filled).await {
            Ok(filled) => Ok(Some(filled.first() == Some(&0))),
            Err(error) if error.kind == ErrorKind::TargetRefused => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn ensure_not_emptied(&self, job: &Job) -> Result<()> {
        let what = format!("table {}", job.load_into);
        // An account that may only INSERT cannot check; that is no reason not to load.
        if self.is_empty(job).await? != Some(true) {
            return Ok(());
        }
        let message = format!(
            "{what} is empty, but {} says that objects were loaded into it: somebody has emptied \
             it",
            self.tables.title()
        );
        Err(Error::new(ErrorKind::TargetEmptied, message))
    }
}

/// Does `work` on the idle session. Uses a new session if there is no idle one, or if the server
/// has closed it for being idle.
pub(crate) async fn on_idle_session<T>(
    sessions: &Sessions,
    mut idle: Option<Session>,
    work: impl AsyncFn(&mut Session) -> Result<T>,
) -> Result<(Session, T)> {
    loop {
        let was_idle = idle.is_some();
        let mut session = match idle.take() {
            Some(session) => session,
            None => sessions.dedicated().await?,
        };
        match work(&mut session).await {
            Ok(done) => return Ok((session, done)),
            Err(error) => {
                session.close().await;
                if !was_idle || error.kind != ErrorKind::ConnectionLost {
                    return Err(error);
                }
            }
        }
    }
}

impl Ledger {
    /// Returns the rows of `sql`. It must be safe to repeat, because it is repeated if the
    /// connection is lost.
    pub(crate) async fn query<T: FromRow>(&self, sql: &str) -> Result<Vec<T>> {
        self.query_all(sql).await?.next_rows().map_err(|error| self.unexpected_answer(&error))
    }

    /// Returns the error about an answer that is not what was asked for.
    pub(crate) fn unexpected_answer(&self, error: &mysql_async::Error) -> Error {
        classify(Phase::Transaction, &self.tables.title(), error)
    }

    /// Returns the result sets of all statements of `sql`, sent in one packet: on a long network
    /// path every round trip costs. The statements must be safe to repeat.
    pub(crate) async fn query_all(&self, sql: &str) -> Result<ResultSets> {
        let mut attempts = Attempts::new(&self.retry);
        loop {
            let error = match self.query_once(sql).await {
                Ok(answers) => return Ok(answers),
                Err(error) => error,
            };
            if !attempts.wait_after(&error).await {
                return Err(error);
            }
        }
    }

    /// Does the same as [`Ledger::query_all`] without retries, for queries that are not worth
    /// waiting for. A server that did not accept the last connection is not asked for another one:
    /// there may be hundreds of failures to record.
    pub(crate) async fn query_unless_unreachable(&self, sql: &str) -> Result<ResultSets> {
        if self.control.lock().await.is_unreachable {
            let message = format!("{}: the database server cannot be reached", self.tables.title());
            return Err(Error::new(ErrorKind::TargetUnreachable, message));
        }
        self.query_once(sql).await
    }

    /// Does the same as [`Ledger::query_all`] in one try.
    async fn query_once(&self, sql: &str) -> Result<ResultSets> {
        let mut control = self.control.lock().await;
        // Taken out of the lock, so that a query that is dropped halfway does not leave behind a
        // connection with half an answer in it.
        let mut session = match control.session.take() {
            Some(session) => session,
            // Boxed, because the driver's futures are large and this one is part of many others.
            None => Box::pin(self.connect(&mut control)).await?,
        };
        let error = match session.conn.query_sets(sql).await {
            Ok(answers) => {
                control.session = Some(session);
                return Ok(answers);
            }
            Err(error) => classify(Phase::Transaction, &self.tables.title(), &error),
        };
        if matches!(error.kind, ErrorKind::LockConflict | ErrorKind::TargetRefused) {
            // The connection and its locks are unaffected.
            control.session = Some(session);
        } else {
            Box::pin(session.destroy()).await;
        }
        Err(error)
    }

    /// Runs a statement that returns no rows.
    pub(crate) async fn execute(&self, sql: &str) -> Result<()> {
        self.query_all(sql).await.map(|_| ())
    }

    /// Opens a new connection that holds the locks of the lost one.
    async fn connect(&self, control: &mut ControlConnection) -> Result<Session> {
        let what = self.tables.title();
        tracing::warn!(
            "{what}: the connection was lost; re-acquiring its {} claims",
            control.held.len()
        );
        control.is_unreachable = true;
        let mut session = self.sessions.dedicated().await?;
        control.is_unreachable = false;
        let mut names: Vec<&str> = control.held.iter().map(String::as_str).collect();
        let run_lock = self.run.lock_name();
        names.push(&run_lock);
        for names in names.chunks(self.names_in_packet()) {
            if let Err(error) = session.conn.query_drop(get_locks(names)).await {
                session.destroy().await;
                return Err(classify(Phase::Transaction, &what, &error));
            }
        }
        Ok(session)
    }

    /// Returns the number of locks that one statement can name.
    pub(super) fn names_in_packet(&self) -> usize {
        (self.packet_room_bytes() / NAME_BYTES).max(4)
    }

    /// Keeps the server from closing the connection for being idle, and notices if it is lost.
    ///
    /// # Errors
    /// Any error that prevents an immediate reconnect.
    pub async fn ping(&self) -> Result<()> {
        self.query_once("DO 0").await.map(|_| ())
    }

    /// Closes the connection, which releases everything that the run holds.
    pub async fn close(&self) {
        let session = self.control.lock().await.session.take();
        if let Some(session) = session {
            session.close().await;
        }
    }
}
