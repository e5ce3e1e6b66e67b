//! The record of what is loaded, in the target's own database: what makes loading exactly once.
//!
//! # Why it is right
//!
//! - An object's rows and the ledger row that says they are loaded commit in one transaction
//!   ([`Entry`]). So whatever dies, and whenever, both are there or neither.
//! - The row's primary key is the object's identity: table, generation, bucket, key and `ETag`. Two
//!   runs that load the same object at the same time meet there; one waits, and finds the other's
//!   row.
//! - A COMMIT whose answer is lost may still be under way. A locking read on a new connection waits
//!   for it, and then knows ([`Ledger::resolve_commit`]). Until the server has decided, nothing is loaded
//!   again.
//! - An object that is split has a row for each part, with the same rules, below its own row, which
//!   says `partial` until all of them are there ([`SplitObject`]).
//! - Everything else is convenience: the comparison of the listing with the ledger
//!   ([`Ledger::look_up`]) spares work, claims ([`Claims`]) share it out, failures and runs are for
//!   people. All of it may be wrong or lost without a row too many or too few.
//!
//! # Generations
//!
//! A table that is emptied or replaced begins a new generation, which the rows of earlier ones do
//! not satisfy. The job's row ([`Job`]) says which generation the table holds, and every load reads
//! it under a shared lock.
//!
//! # When it fails
//!
//! A ledger that can't be reached ends the run: what it would load might be loaded. One that was
//! made by a newer version, or is no ledger, is refused before anything is read.

mod admin;
mod batch;
mod claims;
mod control;
mod failures;
mod forget;
mod history;
mod identity;
mod jobs;
mod parts;
mod runs;
mod schema;
pub mod status;
mod transaction;
mod verification;

pub use admin::LedgerAdmin;
pub use batch::{BatchEntry, Member};
pub use claims::{Claim, Claimed, Claims, InHand};
pub use forget::{Forgotten, Removed};
pub use history::{EarlierFailure, ObjectState};
pub use identity::{RunId, Target};
pub use jobs::{Finished, Job};
pub use parts::{Completed, Part, PartEntry, SplitObject, SplitProgress};
pub use runs::RunTotals;
pub use schema::Tables;
pub use status::{InFlight, JobStatus, Partial, Run, Status, Sums};
pub use transaction::{BeginOutcome, CommitOutcome, Entry, LedgerEntry, LoadCounts};

use std::sync::Arc;

use tokio::sync::Mutex;

use crate::config::RetryConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::mysql::{Session, Sessions};
use control::ControlConnection;

/// The ledger of one target, as one run uses it.
#[derive(Clone, Debug)]
pub struct Ledger {
    tables: Tables,
    target: Target,
    run: RunId,
    /// Strict, and outside the pool of those that load.
    sessions: Sessions,
    control: Arc<Mutex<ControlConnection>>,
    retry: RetryConfig,
}

impl Ledger {
    /// Connects, unless there is an `idle` session, and makes the tables that are missing.
    ///
    /// # Errors
    /// `TargetRefused` for a ledger of a newer version, tables that are no ledger's, and tables
    /// that may not be made.
    pub async fn open(
        tables: Tables,
        target: Target,
        run: RunId,
        sessions: Sessions,
        idle: Option<Session>,
        retry: RetryConfig,
    ) -> Result<Self> {
        let ensure = async |session: &mut Session| tables.ensure(session).await;
        let (session, ()) = on_idle_session(&sessions, idle, ensure).await?;
        Ok(Self {
            tables,
            target,
            run,
            sessions,
            control: ControlConnection::holding(session),
            retry,
        })
    }

    /// Connects, unless there is an `idle` session, to a ledger that is there, and finds which
    /// generation the table holds. Changes nothing.
    ///
    /// # Errors
    /// `TargetRefused` as [`Ledger::open`].
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
        };
        let sql = format!(
            "SELECT table_generation FROM {} WHERE target = {}",
            ledger.tables.jobs,
            ledger.target.literal()
        );
        let generation = ledger.query::<u32>(&sql).await?.first().copied();
        Ok(generation.map(|generation| (ledger, generation)))
    }

    #[must_use]
    pub fn run(&self) -> &RunId {
        &self.run
    }

    /// Records which job the run works on. Unless rows are to be loaded again anyway, refuses to
    /// call objects loaded whose rows somebody has removed all. Gives whether parts of some objects
    /// are loaded, and others not.
    ///
    /// # Errors
    /// `TargetEmptied` where the ledger has rows of this generation and the table has none; what a
    /// connection can meet, past the retry bounds.
    pub async fn join_job(&self, job: &Job, may_be_emptied: bool) -> Result<bool> {
        // The ledger before the table: rows that it knows were committed with it.
        let stored = format!(
            "SELECT COUNT(*) FROM (SELECT 1 FROM {} WHERE target = {} AND generation = {} AND state = 'loaded' AND row_count > skipped_count + rejected_count LIMIT 1) AS loaded_rows",
            self.tables.objects,
            self.target.literal(),
            job.generation
        );
        let asked = [self.joining(job), stored, self.partial_objects_sql(job)].join("; ");
        let mut answers = self.query_all(&asked).await?.skip(1);
        let is_stored = answers.next_rows::<u64>().first() == Some(&1);
        let partial = answers.next_rows();
        if !may_be_emptied && (is_stored || self.has_loaded_parts(job, &partial).await?) {
            self.ensure_not_emptied(job).await?;
        }
        Ok(!partial.is_empty())
    }

    async fn ensure_not_emptied(&self, job: &Job) -> Result<()> {
        let what = format!("table {}", job.load_into);
        let filled =
            format!("SELECT COUNT(*) FROM (SELECT 1 FROM {} LIMIT 1) AS table_rows", job.load_into);
        match self.query::<u64>(&filled).await {
            Ok(filled) if filled.first() == Some(&0) => {}
            // An account that may only INSERT can't look; that is no reason not to load.
            Err(error) if error.kind != ErrorKind::TargetRefused => return Err(error),
            _ => return Ok(()),
        }
        let message = format!(
            "{what} is empty, but {} says that objects were loaded into it: somebody has emptied it",
            self.tables.title()
        );
        Err(Error::new(ErrorKind::TargetEmptied, message))
    }
}

/// Does `work` on the idle session, or where there is none, or it was closed for its idleness, on a
/// new one.
async fn on_idle_session<T>(
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
