//! Takes the target's advisory lock, which every step of a job needs.
//!
//! Every step runs on one session, which takes the lock before it reads the job's row. If a client
//! dies, its TRUNCATE or RENAME may stay on the server, waiting for the table. Its session keeps
//! the lock until that statement has ended, so no later run can conclude that the statement never
//! began.

use std::time::Instant;

use sha2::{Digest as _, Sha256};

use crate::error::{Error, ErrorKind, Result};
use crate::ledger::handle::Ledger;
use crate::ledger::identity::hex;
use crate::mysql::{Phase, Session, classify};

/// A DDL statement that waits for a reader blocks everybody who comes after it, so it must not wait
/// long. MySQL's own limit is a year.
const DDL_LOCK_WAIT_SECONDS: u32 = 5;

/// The length of one wait for the advisory lock. After each wait the run checks if there is time
/// left.
const ADVISORY_LOCK_WAIT_SECONDS: u32 = 5;

impl Ledger {
    /// Takes the advisory lock that every step of a job needs. Waits for it as long as a retry may
    /// take.
    pub(super) async fn lock_jobs(&self, session: &mut Session) -> Result<()> {
        let failed = |error: mysql_async::Error| classify(Phase::Transaction, &self.what(), &error);
        session
            .conn
            .query_drop(format!("SET SESSION lock_wait_timeout = {DDL_LOCK_WAIT_SECONDS}"))
            .await
            .map_err(failed)?;
        let sql =
            format!("SELECT GET_LOCK('{}', {ADVISORY_LOCK_WAIT_SECONDS})", self.jobs_lock_name());
        let began = Instant::now();
        loop {
            let taken: Option<Option<u64>> =
                session.conn.query_first(sql.as_str()).await.map_err(failed)?;
            if taken.flatten() == Some(1) {
                return Ok(());
            }
            // Another run that adds indexes to a full table takes as long as it takes.
            if began.elapsed() >= self.retry.max_elapsed
                && !(self.adds_indexes(session).await? && self.is_any_run_alive(session).await?)
            {
                let message = format!(
                    "{}: another run has been changing the table's job the whole time",
                    self.what()
                );
                return Err(Error::new(ErrorKind::LockConflict, message).with_hint(format!(
                    "see SHOW PROCESSLIST for its TRUNCATE, RENAME, ALTER TABLE or COUNT(*); \
                     SELECT IS_USED_LOCK('{}') tells whose connection it is",
                    self.jobs_lock_name()
                )));
            }
            tracing::info!(
                "{}: waiting for another run that is changing the table's \
                 job",
                self.what()
            );
        }
    }

    pub(super) async fn unlock_jobs(&self, session: &mut Session) -> Result<()> {
        let sql = format!("DO RELEASE_LOCK('{}')", self.jobs_lock_name());
        session
            .conn
            .query_drop(sql)
            .await
            .map_err(|error| classify(Phase::Transaction, &self.what(), &error))
    }

    fn jobs_lock_name(&self) -> String {
        hex(&Sha256::digest(format!("s3-to-mysql jobs of {}", self.target.name())))
    }
}
