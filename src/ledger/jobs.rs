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
//!   row. If a client dies, its TRUNCATE or RENAME may stay on the server, waiting for the table.
//!   Its session keeps the advisory lock until that statement has ended, so no later run can
//!   conclude that the statement never began.
//! - With `--defer-indexes` the row lists the secondary indexes that must be added again, before
//!   they are dropped ([`deferred`]). A job with such indexes does not end.
//!
//! If the future of a call is dropped halfway, the job is where its row says, and the next call
//! continues from there.

mod deferred;
mod definition;
pub(super) mod fingerprint;
mod index;
mod marker;
mod old_table;
mod row;
mod swap;

use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use super::handle::Ledger;
use super::identity::{hex, run_lock_name};
use super::job::Job;
use super::options::JobOptions;
use super::verification::TableCheck;
use crate::error::{Error, ErrorKind, Result};
use crate::mysql::{Phase, Session, classify};
use crate::policy::Mode;
use crate::retry::Attempts;
use crate::sql_text::bytes_literal;
use crate::verify::{ComparePlan, TableVerification};
use row::{JobRow, JobState};

/// A DDL statement that waits for a reader blocks everybody who comes after it, so it must not wait
/// long. MySQL's own limit is a year.
const DDL_LOCK_WAIT_SECONDS: u32 = 5;
/// The length of one wait for the advisory lock. After each wait the run checks if there is time
/// left.
const ADVISORY_LOCK_WAIT_SECONDS: u32 = 5;
/// The number of rows that one cleaning statement deletes. Its transaction is short, so no run
/// waits for it.
const FORGOTTEN_ROWS: u64 = 10_000;

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
            tracing::warn!(attempt = attempts.made(), "{}; trying again", error.one_line());
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
        Ok(Job { mode, generation: row.generation, load_into, is_resumed, was_partial: true })
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
                "{}: the {} job of this run, generation {}, was given up for generation {} ({}, \
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

    /// Empties the target, unless that is done. Until the state is `loading`, the table has no row
    /// of this generation, so emptying it again does no harm.
    async fn empty_target(
        &self,
        session: &mut Session,
        attempts: &mut Attempts,
        mut row: JobRow,
        defers_indexes: bool,
    ) -> Result<JobRow> {
        let target = self.target.name();
        if row.state == JobState::Begun {
            self.drop_leftovers(session, attempts).await?;
            self.ddl(session, attempts, "TRUNCATE TABLE", &format!("TRUNCATE TABLE {target}"))
                .await?;
            row = self.change(session, &row, &row.with_state(JobState::Emptied)).await?;
        }
        if row.state == JobState::Emptied {
            if defers_indexes {
                let indexes = self.to_be_deferred(session, &row, &target).await?;
                if indexes != row.deferred_indexes {
                    row = self
                        .change(session, &row, &JobRow { deferred_indexes: indexes, ..row.clone() })
                        .await?;
                }
                self.drop_indexes(session, attempts, &target, &row.deferred_indexes).await?;
            } else {
                row = self.add_indexes(session, attempts, row, &target).await?;
            }
            row = self.change(session, &row, &row.with_state(JobState::Loading)).await?;
        }
        Ok(row)
    }

    /// Runs a statement that commits implicitly. Each try waits a while for the transactions that
    /// have the table open.
    async fn ddl(
        &self,
        session: &mut Session,
        attempts: &mut Attempts,
        what: &str,
        sql: &str,
    ) -> Result<()> {
        loop {
            let Err(error) = session.conn.query_drop(sql).await else { return Ok(()) };
            let error = self.ddl_failed(what, &error);
            if error.kind != ErrorKind::LockConflict {
                return Err(error);
            }
            if !attempts.wait_after(&error).await {
                return Err(error);
            }
        }
    }

    fn ddl_failed(&self, statement: &str, error: &mysql_async::Error) -> Error {
        let what = format!("{}: {statement}", self.what());
        let code = if let mysql_async::Error::Server(server) = error { server.code } else { 0 };
        let folded = classify(Phase::Transaction, &what, error);
        match code {
            1205 => {
                let message = format!("{what} waits for a transaction that has the table open");
                Error::new(ErrorKind::LockConflict, message).with_hint(
                    "end that transaction (SHOW PROCESSLIST) and run again: the job \
                     continues from there",
                )
            }
            1142 | 1044 | 1227 => folded.as_kind(ErrorKind::TargetRefused).with_hint(
                "--mode truncate needs the DROP privilege on the table, and with --defer-indexes \
                 ALTER, CREATE and INSERT; --mode swap needs SELECT, INSERT, CREATE, ALTER and \
                 DROP on its database",
            ),
            1701 => folded.as_kind(ErrorKind::TargetRefused).with_hint(
                "foreign keys of other tables refer to it, so it cannot be emptied; drop them \
                 first, or use --mode append",
            ),
            _ if folded.kind == ErrorKind::StatementFailed => {
                folded.as_kind(ErrorKind::TargetRefused)
            }
            _ => folded,
        }
    }

    /// Takes the advisory lock that every step of a job needs. Waits for it as long as a retry may
    /// take.
    async fn lock_jobs(&self, session: &mut Session) -> Result<()> {
        let failed = |error: mysql_async::Error| classify(Phase::Transaction, &self.what(), &error);
        session
            .conn
            .query_drop(format!("SET SESSION lock_wait_timeout = {DDL_LOCK_WAIT_SECONDS}"))
            .await
            .map_err(failed)?;
        let sql =
            format!("SELECT GET_LOCK('{}', {ADVISORY_LOCK_WAIT_SECONDS})", self.jobs_lock_name());
        let began = std::time::Instant::now();
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

    async fn is_any_run_alive(&self, session: &mut Session) -> Result<bool> {
        let runs = self.open_runs(session, "TRUE").await?;
        Ok(self.first_alive(session, runs).await?.is_some())
    }

    async fn unlock_jobs(&self, session: &mut Session) -> Result<()> {
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

    fn what(&self) -> String {
        format!("table {}", self.target.name())
    }

    /// Returns a live run that works on this job, if the job is unfinished: the run that began it,
    /// or one that has joined it.
    async fn run_at_work(&self, session: &mut Session, row: &JobRow) -> Result<Option<String>> {
        if !row.is_unfinished() {
            return Ok(None);
        }
        // The run that began the job may not yet have recorded that in its own row.
        let condition = format!(
            "(mode = '{}' AND generation = {} OR run_id = {})",
            row.mode.word(),
            row.generation,
            bytes_literal(row.run_id.as_bytes())
        );
        let runs = self.open_runs(session, &condition).await?;
        self.first_alive(session, runs).await
    }

    /// Returns the runs of this target that have not recorded their end, each with a name for
    /// people.
    async fn open_runs(
        &self,
        session: &mut Session,
        condition: &str,
    ) -> Result<Vec<(String, String)>> {
        let sql = format!(
            "SELECT run_id, worker \
             FROM {} \
             WHERE target = {} AND ended_at IS NULL AND {condition} \
             ORDER BY started_at DESC",
            self.tables.runs,
            self.target.literal()
        );
        let runs: Vec<(Vec<u8>, Vec<u8>)> = session
            .conn
            .query(sql)
            .await
            .map_err(|error| classify(Phase::Transaction, &self.what(), &error))?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(runs
            .into_iter()
            .map(|(run_id, worker)| (text(run_id), text(worker)))
            .map(|(run_id, worker)| {
                let name = format!("run {} ({})", run_id.escape_debug(), worker.escape_debug());
                (run_id, name)
            })
            .collect())
    }

    async fn first_alive(
        &self,
        session: &mut Session,
        runs: Vec<(String, String)>,
    ) -> Result<Option<String>> {
        for (run_id, name) in runs {
            if run_id == self.run.id {
                continue;
            }
            let sql = format!("SELECT IS_USED_LOCK('{}') IS NOT NULL", run_lock_name(&run_id));
            let alive: Option<bool> = session
                .conn
                .query_first(sql)
                .await
                .map_err(|error| classify(Phase::Transaction, &self.what(), &error))?;
            if alive == Some(true) {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }

    fn occupied(&self, row: &JobRow, run: &str) -> Error {
        let message = format!(
            "{}: {run} is at work on an unfinished {} job, generation {}; this run would begin \
             another one",
            self.what(),
            row.mode.word(),
            row.generation
        );
        Error::new(ErrorKind::TargetRefused, message).with_hint(
            "wait for that run to end, or stop it: another job can begin as soon as no run is at \
             work on it",
        )
    }

    /// Returns the error for an append to a table that a TRUNCATE is still going to empty.
    async fn still_to_be_emptied(&self, session: &mut Session, row: &JobRow) -> Result<Error> {
        if let Some(run) = self.run_at_work(session, row).await? {
            let message = format!("{}: {run} is emptying it", self.what());
            return Ok(Error::new(ErrorKind::TargetBusy, message)
                .with_hint("run again after it has been emptied"));
        }
        let message = format!(
            "{}: an unfinished truncate job, generation {} of run {}, has not emptied it yet",
            self.what(),
            row.generation,
            row.run_id
        );
        Ok(Error::new(ErrorKind::TargetRefused, message).with_hint(
            "run that --mode truncate command again first: rows appended now would be lost",
        ))
    }

    async fn warn_of_appends(&self, session: &mut Session) -> Result<()> {
        let appends = self.open_runs(session, "mode = 'append'").await?;
        if let Some(run) = self.first_alive(session, appends).await? {
            tracing::warn!(
                "{}: {run} is appending to it: its loaded rows will be removed, and its next load \
                 will fail",
                self.what()
            );
        }
        Ok(())
    }

    /// Removes the ledger rows that no job can need any more. They do no harm, so an error here
    /// does not fail the run.
    async fn forget_older_generations(&self, session: &mut Session, generation: u32) {
        if let Err(error) = self.forget_older_parts(session, generation).await {
            let error = classify(Phase::Transaction, &self.what(), &error);
            tracing::warn!(
                "ledger rows of earlier generations are kept for now: \
                 {}",
                error.one_line()
            );
            return;
        }
        for table in [&self.tables.objects, &self.tables.failures] {
            let sql = format!(
                "DELETE FROM {table} \
                 WHERE target = {} AND generation < {generation} LIMIT {FORGOTTEN_ROWS}",
                self.target.literal()
            );
            loop {
                if let Err(error) = session.conn.query_drop(sql.as_str()).await {
                    let error = classify(Phase::Transaction, &self.what(), &error);
                    tracing::warn!(
                        "ledger rows of earlier generations are kept for now: {}",
                        error.one_line()
                    );
                    return;
                }
                if session.conn.affected_rows() < FORGOTTEN_ROWS {
                    break;
                }
            }
        }
    }
}
