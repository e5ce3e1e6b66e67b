//! The ledger row of an object, in the transaction that loads the object.
//!
//! The row is inserted first and completed last. It is first so that a second run that has come as
//! far with the same object waits before it loads, not after. It is completed last, by an UPDATE
//! that must find the row, because the server may have rolled back without an error here (a
//! deadlock leaves the session in autocommit). Then the row no longer exists. An INSERT at the end
//! would commit "loaded" without the data.
//!
//! Behind the INSERT, in the same packet, all rows of the key are read under a shared lock, so that
//! the table gets only one content of an overwritten key ([`contents`](super::contents)).
//!
//! The INSERT reads the job's row under a shared lock. So a job that empties or swaps the table
//! waits for the loads in progress, and no load of an earlier generation gets in after it.

use mysql_async::Error as Driver;

use super::begin::{BeginOutcome, ledger_row_lost, open_for_loads, superseded};
use super::contents::{KeyPolicy, OtherContents};
use super::counts::LoadCounts;
use super::handle::Ledger;
use super::identity::{ensure_fits, etag, object_id};
use super::job::Job;
use super::part_entry::PartEntry;
use crate::error::{Error, ErrorKind, Result};
use crate::mysql::codes::DUPLICATE_ENTRY;
use crate::mysql::{Conn, Phase, classify};
use crate::object::Object;
use crate::retry::Attempts;
use crate::sql_text::bytes_literal;
use crate::verify::Digest;

/// The row that a transaction inserts into the ledger: that of an object, or of a part of one.
#[derive(Clone, Debug)]
pub enum LedgerEntry {
    Object(Entry),
    Part(PartEntry),
}

impl LedgerEntry {
    /// Begins the transaction and inserts the row.
    ///
    /// # Errors
    /// The errors of [`Entry::begin`].
    pub async fn begin(&self, conn: &mut Conn) -> Result<BeginOutcome> {
        match self {
            Self::Object(entry) => entry.begin(conn).await,
            Self::Part(entry) => entry.begin(conn).await,
        }
    }

    /// Completes the row. This is the last statement before COMMIT.
    ///
    /// # Errors
    /// The errors of [`Entry::complete`].
    pub async fn complete(
        &self,
        conn: &mut Conn,
        loaded: LoadCounts,
        digest: Option<&Digest>,
    ) -> Result<()> {
        match self {
            Self::Object(entry) => entry.complete(conn, loaded, digest).await,
            Self::Part(entry) => entry.complete(conn, loaded, digest).await,
        }
    }

    fn what(&self) -> &str {
        match self {
            Self::Object(entry) => &entry.what,
            Self::Part(entry) => &entry.what,
        }
    }

    /// Returns the locking query for the row's state, and for a flag that is true if the row is
    /// this run's.
    fn state_query(&self) -> String {
        match self {
            Self::Object(entry) => {
                format!(
                    "SELECT state, run_id = {} FROM {} WHERE {} FOR UPDATE",
                    entry.run_id, entry.objects, entry.key
                )
            }
            Self::Part(entry) => entry.state_query(),
        }
    }

    fn replaces(&self) -> bool {
        matches!(self, Self::Object(entry) if entry.replaces)
    }
}

/// The statements for the ledger row of one object.
#[derive(Clone, Debug)]
pub struct Entry {
    what: String,
    begin: String,
    objects: String,
    /// The primary key as a condition.
    key: String,
    run_id: String,
    /// The statement that removes the record of an earlier failure. Empty if there is no such
    /// record.
    clear_failure: String,
    replaces: bool,
    others: OtherContents,
}

/// The outcome of a COMMIT whose answer never came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitOutcome {
    Committed,
    CommittedByAnother,
    RolledBack,
}

impl Ledger {
    /// Returns the id of `object`, loaded within `job`. It is the same at every try.
    #[must_use]
    pub fn object_id(&self, job: &Job, object: &Object) -> String {
        object_id(&self.target, job.generation, &object.bucket, &object.key, etag(object))
    }

    /// Prepares the ledger row of `object`, loaded within `job`. `had_failed` says that the ledger
    /// has a failure of the object.
    ///
    /// # Errors
    /// `UnsupportedFormat` if the ledger cannot hold the object's names.
    pub fn entry(
        &self,
        job: &Job,
        object: &Object,
        version_id: Option<&str>,
        had_failed: bool,
        policy: KeyPolicy,
    ) -> Result<Entry> {
        ensure_fits(object)?;
        let objects = self.tables.objects.clone();
        let target = self.target.literal();
        let generation = job.generation;
        let bucket = bytes_literal(object.bucket.as_bytes());
        let object_key = bytes_literal(object.key.as_bytes());
        let etag = bytes_literal(etag(object).as_bytes());
        let key_condition = self.key_condition(job, object);
        let key = format!("{key_condition} AND etag = {etag}");
        let open_for_loads = open_for_loads(job);
        // A row in state `partial` cannot be replaced.
        let removal = if policy.replaces {
            format!("DELETE FROM {objects} WHERE {key} AND state = 'loaded'; ")
        } else {
            String::new()
        };
        let begin = format!(
            "START TRANSACTION; {removal}INSERT INTO {objects} (target, generation, bucket, \
             object_key, etag, state, size_bytes, version_id, worker, run_id, tool_version, \
             began_at) \
             SELECT target, {generation}, {bucket}, {object_key}, {etag}, 'loading', {size_bytes}, \
             {version_id}, {worker}, {run_id}, {tool_version}, UTC_TIMESTAMP(6) \
             FROM {jobs} AS jobs \
             WHERE target = {target} AND {open_for_loads} \
             {load_lock}; {all_of_key}",
            load_lock = self.load_lock,
            all_of_key = OtherContents::query(&objects, &key_condition),
            size_bytes = object.size_bytes,
            version_id = bytes_literal(version_id.unwrap_or_default().as_bytes()),
            worker = bytes_literal(self.run.worker.as_bytes()),
            run_id = bytes_literal(self.run.id.as_bytes()),
            tool_version = bytes_literal(env!("CARGO_PKG_VERSION").as_bytes()),
            jobs = self.tables.jobs,
        );
        let clear_failure = if had_failed {
            format!("DELETE FROM {} WHERE {key_condition}; ", self.tables.failures)
        } else {
            String::new()
        };
        Ok(Entry {
            what: object.to_string(),
            begin,
            objects,
            key,
            run_id: bytes_literal(self.run.id.as_bytes()),
            clear_failure,
            replaces: policy.replaces,
            others: OtherContents::new(self::etag(object), policy),
        })
    }

    /// Returns the condition for the rows of `object`'s key.
    pub(crate) fn key_condition(&self, job: &Job, object: &Object) -> String {
        self.place_in("", job, object)
    }

    /// Returns the same condition with `table` (such as `split.`) before every column.
    pub(crate) fn place_in(&self, table: &str, job: &Job, object: &Object) -> String {
        format!(
            "{table}target = {} AND {table}generation = {} AND {table}bucket = {} AND \
             {table}object_key = {}",
            self.target.literal(),
            job.generation,
            bytes_literal(object.bucket.as_bytes()),
            bytes_literal(object.key.as_bytes())
        )
    }

    /// Finds the outcome of `entry`'s transaction, with a locking read on a new connection. The
    /// read waits for a COMMIT in progress, whose row a plain read would not see.
    ///
    /// # Errors
    /// `OutcomeUnknown` if the server does not decide, or does not answer, within the retry bounds.
    pub async fn resolve_commit(&self, entry: &LedgerEntry) -> Result<CommitOutcome> {
        let mut attempts = Attempts::new(&self.retry);
        loop {
            let error = match self.read_locked(entry).await {
                Ok(settled) => return Ok(settled),
                Err(error) => error,
            };
            if !attempts.wait_after(&error).await {
                let message = format!(
                    "{}: the connection was lost during COMMIT, and the outcome cannot be \
                     determined",
                    entry.what()
                );
                return Err(Error::new(ErrorKind::OutcomeUnknown, message)
                    .with_hint("run again: the ledger tells whether it was committed")
                    .caused_by(error));
            }
        }
    }

    async fn read_locked(&self, entry: &LedgerEntry) -> Result<CommitOutcome> {
        let mut session = self.sessions.dedicated().await?;
        let read = async {
            let failed = |error: Driver| classify(Phase::Transaction, entry.what(), &error);
            if !session.is_where_the_run_began().await.map_err(failed)? {
                let message = format!(
                    "{}: connections now lead to another server, which does not know the outcome",
                    entry.what()
                );
                return Err(Error::new(ErrorKind::OutcomeUnknown, message));
            }
            session.conn.query_drop("START TRANSACTION").await.map_err(failed)?;
            let row: Option<(String, bool)> =
                session.conn.query_first(entry.state_query()).await.map_err(failed)?;
            Ok(match row {
                Some((state, true)) if state == "loaded" => CommitOutcome::Committed,
                Some((state, false)) if state == "loaded" && !entry.replaces() => {
                    CommitOutcome::CommittedByAnother
                }
                _ => CommitOutcome::RolledBack,
            })
        }
        .await;
        // The lock must not outlive the query.
        session.close().await;
        read
    }
}

impl Entry {
    /// Begins the transaction and inserts the row.
    ///
    /// # Errors
    /// `Superseded` if the job has moved on. `ContentChanged` or `PartialChanged` if other content
    /// of the key is loaded. Otherwise any error of a transaction. The transaction is still open
    /// then.
    pub async fn begin(&self, conn: &mut Conn) -> Result<BeginOutcome> {
        let failed = |error: Driver| classify(Phase::Transaction, &self.what, &error);
        match conn.query_answers(&self.begin).await.as_deref_mut() {
            Ok([.., (1, _), (_, of_key)]) => {
                match self.others.refusal(&self.what, std::mem::take(of_key)) {
                    None => Ok(BeginOutcome::Yes),
                    Some(refusal) => Err(refusal),
                }
            }
            Ok(_) => Err(superseded(&self.what)),
            Err(Driver::Server(server)) if server.code == DUPLICATE_ENTRY => {
                // The loser's rows must never be committed, and its locks block its neighbors.
                conn.query_drop("ROLLBACK").await.map_err(failed)?;
                let state: Option<String> = conn
                    .query_first(format!("SELECT state FROM {} WHERE {}", self.objects, self.key))
                    .await
                    .map_err(failed)?;
                match state.as_deref() {
                    Some("loaded") if !self.replaces => Ok(BeginOutcome::AlreadyLoaded),
                    // Inserted by another run that forces too, or removed by now: begin again.
                    Some("loaded") | None => Err(Error::new(
                        ErrorKind::LockConflict,
                        format!(
                            "{}: another run is changing its ledger row at the same time",
                            self.what
                        ),
                    )),
                    Some("partial") => {
                        let message = format!(
                            "{}: parts of it are loaded, so it can no longer be loaded as a whole",
                            self.what
                        );
                        Err(Error::new(ErrorKind::PartialConflict, message))
                    }
                    Some(state) => {
                        let message = format!(
                            "{}: its ledger row says {state:?}, and no transaction is under way",
                            self.what
                        );
                        Err(Error::new(ErrorKind::StatementFailed, message).with_hint(
                            "check if its rows are in the table, then remove the row with \
                             `s3-to-mysql forget`",
                        ))
                    }
                }
            }
            Err(error) => Err(classify(Phase::Transaction, &self.what, error)),
        }
    }

    /// Completes the row. This is the last statement before COMMIT. `digest` is that of the rows
    /// that the transaction has stored, if the job will be verified by it.
    ///
    /// # Errors
    /// `LedgerRowLost` if the row is gone.
    pub async fn complete(
        &self,
        conn: &mut Conn,
        loaded: LoadCounts,
        digest: Option<&Digest>,
    ) -> Result<()> {
        let digest = digest
            .map(|digest| format!(", content_digest = {}", bytes_literal(&digest.to_bytes())));
        let LoadCounts { rows, skipped, deleted, rejected, warnings } = loaded;
        let sql = format!(
            "{}UPDATE {} \
             SET state = 'loaded', row_count = {rows}, skipped_count = {skipped}, deleted_count = \
             {deleted}, rejected_count = {rejected}, warning_count = {warnings}{digest}, loaded_at \
             = UTC_TIMESTAMP(6) \
             WHERE {} AND state = 'loading' AND run_id = {}",
            self.clear_failure,
            self.objects,
            self.key,
            self.run_id,
            digest = digest.unwrap_or_default(),
        );
        conn.query_drop(sql)
            .await
            .map_err(|error| classify(Phase::Transaction, &self.what, &error))?;
        if conn.affected_rows() == 1 {
            return Ok(());
        }
        Err(ledger_row_lost(&self.what))
    }
}
