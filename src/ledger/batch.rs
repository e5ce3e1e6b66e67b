//! The ledger rows of several objects that are loaded in one transaction.
//!
//! The rows are inserted first and completed last, as with one object ([`Entry`]), by an UPDATE
//! that must find all of them. Their counts are there from the start: objects are committed
//! together only if none of their rows is skipped, deleted or has a warning.

use std::collections::BTreeMap;

use mysql_async::{Error as Driver, from_row_opt};

use super::begin::{BeginOutcome, ledger_row_lost, open_for_loads, superseded};
use super::contents::{KeyPolicy, content_changed, count_of_others};
use super::control::list;
use super::handle::Ledger;
use super::identity::{ensure_fits, etag};
use super::job::Job;
use super::transaction::{CommitOutcome, Entry, LedgerEntry};
use crate::error::{Error, ErrorKind, Result};
use crate::mysql::codes::DUPLICATE_ENTRY;
use crate::mysql::{Conn, Phase, classify};
use crate::object::Object;
use crate::sql_text::bytes_literal;
use crate::verify::Digest;

/// One object of the batch.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    pub object: &'a Object,
    pub version_id: Option<&'a str>,
    /// The number of rows that this program counted.
    pub rows: u64,
    /// The digest of its rows, if the job will be verified by it.
    pub digest: Option<&'a Digest>,
}

/// The statements for the ledger rows of several objects.
#[derive(Clone, Debug)]
pub struct BatchEntry {
    what: String,
    objects: u64,
    begin: String,
    complete: String,
    /// The entry of any one of the objects: the transaction commits all of them or none.
    first: Entry,
}

impl Ledger {
    /// Prepares the ledger rows of `members`, loaded within `job`. The ledger must know of no
    /// failure of these objects. `what` is for messages.
    ///
    /// # Errors
    /// `UnsupportedFormat` if the ledger cannot hold an object's names. `ContentChanged` if two
    /// members have the same key. `Bug` if `members` is empty.
    pub fn batch_entry(
        &self,
        job: &Job,
        what: &str,
        members: &[Member<'_>],
        policy: KeyPolicy,
    ) -> Result<BatchEntry> {
        // In the order of the primary key: two transactions that lock rows in the same order cannot
        // deadlock over them.
        let mut members: Vec<&Member<'_>> = members.iter().collect();
        members.sort_by_key(|member| (&member.object.bucket, &member.object.key));
        let Some(first) = members.first() else {
            return Err(Error::new(ErrorKind::Bug, "a batch without objects"));
        };
        for pair in members.windows(2) {
            if let [one, other] = pair
                && (&one.object.bucket, &one.object.key)
                    == (&other.object.bucket, &other.object.key)
            {
                return Err(content_changed(other.object, etag(one.object), etag(other.object)));
            }
        }
        let first = self.entry(job, first.object, first.version_id, false, policy)?;

        let (target, generation) = (self.target.literal(), job.generation);
        let run_id = bytes_literal(self.run.id.as_bytes());
        let worker = bytes_literal(self.run.worker.as_bytes());
        let tool_version = bytes_literal(env!("CARGO_PKG_VERSION").as_bytes());
        let mut rows = Vec::with_capacity(members.len());
        let mut keys_by_bucket: BTreeMap<&str, Vec<&[u8]>> = BTreeMap::new();
        for Member { object, version_id, rows: row_count, digest } in &members {
            ensure_fits(object)?;
            keys_by_bucket.entry(&object.bucket).or_default().push(object.key.as_bytes());
            rows.push(format!(
                "(@s3m_target, {generation}, {bucket}, {object_key}, {etag}, 'loading', \
                 {size_bytes}, {row_count}, {version_id}, {digest}, @s3m_worker, @s3m_run, \
                 @s3m_version, UTC_TIMESTAMP(6))",
                bucket = bytes_literal(object.bucket.as_bytes()),
                object_key = bytes_literal(object.key.as_bytes()),
                etag = bytes_literal(etag(object).as_bytes()),
                size_bytes = object.size_bytes,
                version_id = bytes_literal(version_id.unwrap_or_default().as_bytes()),
                digest = digest
                    .map_or_else(|| "NULL".to_owned(), |digest| bytes_literal(&digest.to_bytes())),
            ));
        }
        let begin = format!(
            "START TRANSACTION; \
             SET @s3m_target = {target}, @s3m_worker = {worker}, @s3m_run = {run_id}, @s3m_version \
             = {tool_version}; \
             SELECT generation \
             FROM {jobs} AS jobs \
             WHERE target = {target} AND {open} \
             {load_lock}; \
             INSERT INTO {objects} (target, generation, bucket, object_key, etag, state, \
             size_bytes, row_count, version_id, content_digest, worker, run_id, tool_version, \
             began_at) \
             VALUES {rows}; {others}",
            load_lock = self.load_lock,
            others = count_of_others(
                &self.tables.objects,
                (&target, generation),
                members.iter().map(|member| member.object),
                &format!("others.state = 'loading' AND others.run_id = {run_id}"),
                policy,
            ),
            jobs = self.tables.jobs,
            open = open_for_loads(job),
            objects = self.tables.objects,
            rows = rows.join(", "),
        );
        let places: Vec<String> = keys_by_bucket
            .into_iter()
            .map(|(bucket, keys)| {
                format!(
                    "bucket = {} AND object_key IN {}",
                    bytes_literal(bucket.as_bytes()),
                    list(keys.into_iter())
                )
            })
            .collect();
        // The state and the run distinguish the row from rows of the same key with other ETags.
        let complete = format!(
            "UPDATE {} \
             SET state = 'loaded', loaded_at = UTC_TIMESTAMP(6) \
             WHERE target = {target} AND generation = {generation} AND ({}) AND state = 'loading' \
             AND run_id = {run_id}",
            self.tables.objects,
            places.join(" OR "),
        );
        Ok(BatchEntry {
            what: what.to_owned(),
            objects: members.len() as u64,
            begin,
            complete,
            first,
        })
    }

    /// Finds the outcome of a batch's COMMIT: see [`Ledger::resolve_commit`].
    ///
    /// # Errors
    /// The errors of [`Ledger::resolve_commit`].
    pub async fn resolve_batch_commit(&self, entry: &BatchEntry) -> Result<CommitOutcome> {
        self.resolve_commit(&LedgerEntry::Object(entry.first.clone())).await
    }
}

impl BatchEntry {
    /// Returns the size of the longest of its statements.
    #[must_use]
    pub fn statement_bytes(&self) -> usize {
        self.begin.len().max(self.complete.len())
    }

    /// Begins the transaction and inserts the rows. On `AlreadyLoaded`, at least one of the objects
    /// is loaded already, or other content of its key is, and the transaction has been rolled back.
    ///
    /// # Errors
    /// The errors of [`Entry::begin`].
    pub async fn begin(&self, conn: &mut Conn) -> Result<BeginOutcome> {
        let failed = |error: Driver| classify(Phase::Transaction, &self.what, &error);
        let others = match conn.query_answers(&self.begin).await.as_deref_mut() {
            // START TRANSACTION, SET, the job's row, INSERT, and the rows of other contents.
            Ok([_, _, (_, job), (inserted, _), (_, others)]) => {
                if job.is_empty() {
                    return Err(superseded(&self.what));
                }
                if *inserted != self.objects {
                    return Err(ledger_row_lost(&self.what));
                }
                others.pop().and_then(|row| from_row_opt(row).ok())
            }
            Ok(_) => return Err(ledger_row_lost(&self.what)),
            Err(Driver::Server(server)) if server.code == DUPLICATE_ENTRY => None,
            Err(error) => return Err(classify(Phase::Transaction, &self.what, error)),
        };
        if others == Some(0_u64) {
            return Ok(BeginOutcome::Yes);
        }
        // Its locks block its neighbors.
        conn.query_drop("ROLLBACK").await.map_err(failed)?;
        Ok(BeginOutcome::AlreadyLoaded)
    }

    /// Completes the rows. This is the last statement before COMMIT.
    ///
    /// # Errors
    /// `LedgerRowLost` if a row is gone.
    pub async fn complete(&self, conn: &mut Conn) -> Result<()> {
        conn.query_drop(self.complete.as_str())
            .await
            .map_err(|error| classify(Phase::Transaction, &self.what, &error))?;
        if conn.affected_rows() == self.objects { Ok(()) } else { Err(ledger_row_lost(&self.what)) }
    }
}
