//! Jobs: the progress of a truncate or a swap, recorded so that each happens once, whoever dies.
//!
//! TRUNCATE and RENAME commit implicitly, so no transaction can hold them together with the ledger.
//! The state of the target's row in the ledger's jobs table does it instead:
//!
//! ```text
//! truncate: begun -TRUNCATE-> emptied -> loading -> done
//! swap:     begun -CREATE shadow-> loading -> swapping -RENAME-> swapped
//! ```
//!
//! - After each step the row is in a state from which it is safe to repeat the step, or to check
//!   its outcome. A run that finds an unfinished job of its own mode and source resumes it.
//!   Otherwise it begins a new generation, for which the ledger rows of older generations do not
//!   count.
//! - A transaction that loads reads the row in share mode, and goes on only in the state that it
//!   needs. So an UPDATE of the row waits for the transactions in flight, and none that needs the
//!   old state can follow it.
//! - Every step runs on one session, which takes the target's advisory lock before it reads the
//!   row ([`lock`] says why).
//! - The row lists the secondary indexes that `--defer-indexes` must add again, before they are
//!   dropped ([`deferred`]). A job with such indexes does not end.
//!
//! If the future of a call is dropped halfway, the job is where its row says, and the next call
//! continues from there.

mod ddl;
mod deferred;
mod definition;
pub(super) mod fingerprint;
mod index;
mod live_runs;
mod lock;
mod marker;
mod old_table;
mod older_generations;
mod row;
mod swap;
mod truncate;

use tokio_util::sync::CancellationToken;

use super::handle::Ledger;
use super::job::Job;
use super::options::JobOptions;
use super::verification::TableCheck;
use crate::error::{Error, ErrorKind, Result};
use crate::mysql::Session;
use crate::policy::Mode;
use crate::retry::{Attempts, warn_of_retry};
use crate::verify::{ComparePlan, TableVerification};
use row::{JobRow, JobState};

/// The outcome of ending a job whose objects are all loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finished {
    /// An append needs no end: it is finished with its last object.
    NothingToDo,
    /// This run has ended the job.
    Now,
    /// Another run that shared the job has ended it.
    Before,
}

impl Ledger {
    /// Returns the job for a run of this configuration: the unfinished one, or a new one, after the
    /// target was emptied or the shadow table made.
    ///
    /// # Errors
    /// `TargetRefused` if the job cannot begin: a live run works on another job, an append meets an
    /// unfinished truncate, or the account lacks a privilege. `LockConflict` or `TargetBusy` if the
    /// table or the server stayed busy past the retry bounds. `Interrupted` by `stop`.
    pub async fn begin_job(
        &self,
        options: &JobOptions<'_>,
        stop: &CancellationToken,
    ) -> Result<Job> {
        if options.mode == Mode::Append {
            let row = tokio::select! {
                biased;
                () = stop.cancelled() => return Err(self.stopped()),
                row = self.job_row_on_own() => row?,
            };
            // Otherwise there is more to check, and perhaps a job to end, which takes a session of
            // its own.
            if row.state != JobState::Swapping && !row.is_to_be_emptied() {
                return Ok(self.append_to(&row));
            }
        }
        let begin = async |session: &mut Session, attempts: &mut Attempts| {
            self.begin_on(session, attempts, options).await
        };
        self.on_session_of_its_own(stop, begin).await
    }

    /// Ends a job whose objects are all loaded, with no failures. For a swap, verifies the shadow
    /// table and puts it in the target's place.
    ///
    /// # Errors
    /// `CountMismatch` if the shadow table does not have the number of rows that the ledger says.
    /// `ChecksumDiffers` or `ChecksumMissing` if what `verification` compares differs or cannot be
    /// compared. In these cases nothing is swapped and the job stays open. `Superseded` if another
    /// job has taken this one's place. Other errors as for [`Ledger::begin_job`].
    pub async fn finish_job(
        &self,
        job: &Job,
        options: &JobOptions<'_>,
        verification: Option<&ComparePlan>,
        stop: &CancellationToken,
    ) -> Result<(Finished, Option<TableVerification>)> {
        if job.mode == Mode::Append {
            return Ok((Finished::NothingToDo, None));
        }
        let check = TableCheck::new(verification);
        let finish = async |session: &mut Session, attempts: &mut Attempts| {
            self.finish_on(session, attempts, job, options, &check).await
        };
        let finished = self.on_session_of_its_own(stop, finish).await?;
        Ok((finished, check.passed()))
    }

    /// Does `work` on a fresh session. Retries it within the bounds if the error may be temporary:
    /// every step can be repeated.
    async fn on_session_of_its_own<T>(
        &self,
        stop: &CancellationToken,
        work: impl AsyncFn(&mut Session, &mut Attempts) -> Result<T>,
    ) -> Result<T> {
        let mut attempts = Attempts::new(&self.retry);
        loop {
            let connected = tokio::select! {
                biased;
                () = stop.cancelled() => return Err(self.stopped()),
                connected = self.sessions.dedicated() => connected,
            };
            let error = match connected {
                Err(error) => error,
                Ok(mut session) => {
                    let worked = tokio::select! {
                        biased;
                        () = stop.cancelled() => Err(self.stopped()),
                        worked = work(&mut session, &mut attempts) => worked,
                    };
                    match worked {
                        Ok(done) => {
                            session.close().await;
                            return Ok(done);
                        }
                        Err(error) => {
                            // This ends its statement too: what this run gave up must not happen
                            // later.
                            session.destroy().await;
                            error
                        }
                    }
                }
            };
            let Some(pause) = attempts.pause_after(&error) else { return Err(error) };
            warn_of_retry(attempts.made(), &error, pause);
            tokio::select! {
                biased;
                () = stop.cancelled() => return Err(self.stopped()),
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    fn stopped(&self) -> Error {
        Error::new(ErrorKind::Interrupted, format!("{}: the run was stopped", self.what()))
    }

    /// Returns the job of a run that appends to what the table holds.
    fn append_to(&self, row: &JobRow) -> Job {
        if row.mode == Mode::Truncate && !row.deferred_indexes.is_empty() {
            tracing::warn!(
                "{}: an unfinished truncate job has left it without {} secondary indexes; run its \
                 command again to add them",
                self.what(),
                row.deferred_indexes.len()
            );
        }
        Job {
            mode: Mode::Append,
            generation: row.table_generation,
            load_into: self.target.name(),
            is_resumed: false,
            was_partial: true,
            was_emptied: false,
        }
    }

    async fn begin_on(
        &self,
        session: &mut Session,
        attempts: &mut Attempts,
        options: &JobOptions<'_>,
    ) -> Result<Job> {
        let mode = options.mode;
        let mut row = self.job_row(session).await?;
        if mode != Mode::Append || row.state == JobState::Swapping {
            self.lock_jobs(session).await?;
            row = self.job_row(session).await?;
            row = self.recover(session, attempts, row).await?;
        }
        if mode == Mode::Append {
            if row.is_to_be_emptied() {
                return Err(self.still_to_be_emptied(session, &row).await?);
            }
            return Ok(self.append_to(&row));
        }

        if options.swap_keep_old && mode == Mode::Swap {
            self.ensure_kept_name_is_free(session, &row).await?;
        }
        let source_fingerprint = fingerprint::of(options);
        // Loading again into the table of an unfinished job would load its rows twice, so `force`
        // means a new job.
        let is_this_job = row.is_unfinished()
            && row.mode == mode
            && row.source_fingerprint == source_fingerprint
            && !options.force;
        let is_resumed = is_this_job && self.can_go_on(session, &row).await?;
        let row = if is_resumed {
            row
        } else {
            if let Some(run) = self.run_at_work(session, &row).await? {
                return Err(self.occupied(&row, &run));
            }
            if row.is_unfinished() {
                tracing::warn!(
                    "{}: giving up the unfinished {} job of run {}, generation {}",
                    self.what(),
                    row.mode.word(),
                    row.run_id,
                    row.generation
                );
            }
            if mode == Mode::Truncate {
                self.warn_of_appends(session).await?;
            } else if row.mode == Mode::Truncate {
                // A shadow is made like the target, which must have all its indexes.
                row = self.add_indexes(session, attempts, row, &self.target.name()).await?;
            }
            self.change(
                session,
                &row,
                &JobRow::new_generation(&row, mode, &source_fingerprint, &self.run),
            )
            .await?
        };
        let row = match mode {
            Mode::Swap => self.make_shadow(session, attempts, row, options.defer_indexes).await?,
            Mode::Truncate | Mode::Append => {
                self.empty_target(session, attempts, row, options.defer_indexes).await?
            }
        };
        let load_into =
            if mode == Mode::Swap { self.swap_names()?.shadow } else { self.target.name() };
        tracing::info!(
            "{}: {} {} job, generation {}",
            self.what(),
            if is_resumed { "going on with the" } else { "beginning a" },
            mode.word(),
            row.generation
        );
        Ok(Job {
            mode,
            generation: row.generation,
            load_into,
            is_resumed,
            was_partial: true,
            was_emptied: false,
        })
    }

    async fn finish_on(
        &self,
        session: &mut Session,
        attempts: &mut Attempts,
        job: &Job,
        options: &JobOptions<'_>,
        check: &TableCheck<'_>,
    ) -> Result<Finished> {
        self.lock_jobs(session).await?;
        let row = self.job_row(session).await?;
        let row = self.recover(session, attempts, row).await?;
        if row.generation != job.generation || row.mode != job.mode {
            // Readers see this job's table: it was swapped in, and then the next job began.
            if job.mode == Mode::Swap && row.table_generation == job.generation {
                return Ok(Finished::Before);
            }
            let message = format!(
                "{}: the {} job of this run, generation {}, was replaced by generation {} ({}, \
                 run {}) while it was loading",
                self.what(),
                job.mode.word(),
                job.generation,
                row.generation,
                row.mode.word(),
                row.run_id
            );
            return Err(Error::new(ErrorKind::Superseded, message).with_hint(
                "the table holds the result of that job; run again if you want this \
                 run's objects",
            ));
        }
        if let Some((bucket, key, _)) = self.partial_objects(job).await?.first() {
            let message = format!(
                "{}: some objects, such as s3://{bucket}/{key}, are loaded only in part, so the {} \
                 job cannot end",
                self.what(),
                job.mode.word()
            );
            return Err(Error::new(ErrorKind::PartialChanged, message));
        }
        match (row.mode, row.state) {
            (_, JobState::Done | JobState::Swapped) => return Ok(Finished::Before),
            (Mode::Truncate, JobState::Loading) => {
                let row = self.add_indexes(session, attempts, row, &self.target.name()).await?;
                self.verify_contents(session, job, check).await?;
                self.change(session, &row, &row.with_state(JobState::Done)).await?;
            }
            (Mode::Swap, JobState::Loading) => {
                self.swap(session, attempts, row, options, (job, check)).await?;
            }
            (_, state) => {
                let message =
                    format!("{}: its job is {}, but must be loading", self.what(), state.word());
                return Err(Error::new(ErrorKind::Bug, message));
            }
        }
        self.unlock_jobs(session).await?;
        self.forget_older_generations(session, job.generation).await;
        Ok(Finished::Now)
    }

    fn what(&self) -> String {
        format!("table {}", self.target.name())
    }
}
