//! Keeps the ledger row of a split object. The row is committed first, as `partial`; then each part
//! commits with a row of its own ([`PartEntry`](super::PartEntry)); at the end the object's row
//! becomes `loaded`.
//!
//! - The object's row records how the object is cut: the part size and a fingerprint of the format.
//!   This row decides, not the settings of the run that resumes the object, so that two runs cannot
//!   cut it differently.
//! - The object becomes `loaded` in a separate transaction, which locks the object's row and adds
//!   up the rows of the parts ([`Ledger::complete_parts`]). A part's transaction cannot do that:
//!   each holds a shared lock on the object's row, and two that wanted an exclusive one would wait
//!   for each other. The separate transaction can be repeated by any run that finds all parts
//!   loaded.

use mysql_async::{Error as Driver, Row};

use super::begin::open_for_loads;
use super::contents::{KeyPolicy, OtherContents};
use super::counts::LoadCounts;
use super::handle::Ledger;
use super::identity::{ensure_fits, etag};
use super::job::Job;
use super::part::{Part, PartRow};
use crate::dialect::FormatConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::ledger::jobs::fingerprint;
use crate::mysql::codes::DUPLICATE_ENTRY;
use crate::mysql::{Phase, Session, classify};
use crate::object::Object;
use crate::retry::Attempts;
use crate::sql_text::bytes_literal;
use crate::verify::Digest;

/// The progress of a split object.
#[derive(Clone, Debug)]
pub enum SplitProgress {
    /// Another run has loaded the object in the meantime.
    AlreadyLoaded,
    Partial {
        part_size_bytes: u64,
        /// The loaded parts, in order.
        parts: Vec<Part>,
        /// The number of rejected rows in these parts.
        rejected: u64,
    },
}

/// Says if all parts of an object are loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completed {
    Yes,
    /// Parts are missing.
    No,
}

/// A split object, as one run loads it.
#[derive(Clone, Debug)]
pub struct SplitObject {
    pub(super) object: Object,
    pub(super) object_id: String,
    key_condition: String,
    pub(super) key: String,
    /// The same condition as `key`, for the table under the alias `split`.
    pub(super) split_key: String,
    pub(super) open_for_loads: String,
    insert: String,
    others: OtherContents,
    fingerprint: Vec<u8>,
    replaces: bool,
}

impl Ledger {
    /// Prepares the ledger rows of `object`, loaded within `job`. The object is split by
    /// `part_size_bytes` unless the ledger says how it is split already.
    ///
    /// # Errors
    /// `UnsupportedFormat` if the ledger cannot hold the object's names.
    pub fn split_object(
        &self,
        job: &Job,
        object: &Object,
        version_id: Option<&str>,
        part_size_bytes: u64,
        (format, fields_per_row, codec): (&FormatConfig, usize, Option<&str>),
        policy: KeyPolicy,
    ) -> Result<SplitObject> {
        ensure_fits(object)?;
        let key_condition = self.key_condition(job, object);
        let others = OtherContents::new(etag(object), policy);
        let etag = bytes_literal(etag(object).as_bytes());
        let fingerprint = fingerprint::of_format(format, fields_per_row, codec);
        let insert = format!(
            "INSERT INTO {objects} (target, generation, bucket, object_key, etag, state, \
             size_bytes, version_id, part_size_bytes, dialect_fingerprint, worker, run_id, \
             tool_version, began_at) \
             SELECT target, {generation}, {bucket}, {key}, {etag}, 'partial', {size_bytes}, \
             {version_id}, {part_size_bytes}, {fingerprint}, {worker}, {run_id}, {tool_version}, \
             UTC_TIMESTAMP(6) \
             FROM {jobs} AS jobs \
             WHERE target = {target} AND {open} \
             LOCK IN SHARE MODE; {all_of_key}",
            all_of_key = OtherContents::query(&self.tables.objects, &key_condition),
            objects = self.tables.objects,
            generation = job.generation,
            bucket = bytes_literal(object.bucket.as_bytes()),
            key = bytes_literal(object.key.as_bytes()),
            size_bytes = object.size_bytes,
            version_id = bytes_literal(version_id.unwrap_or_default().as_bytes()),
            fingerprint = bytes_literal(&fingerprint),
            worker = bytes_literal(self.run.worker.as_bytes()),
            run_id = bytes_literal(self.run.id.as_bytes()),
            tool_version = bytes_literal(env!("CARGO_PKG_VERSION").as_bytes()),
            jobs = self.tables.jobs,
            target = self.target.literal(),
            open = open_for_loads(job),
        );
        Ok(SplitObject {
            object: object.clone(),
            object_id: self.object_id(job, object),
            split_key: format!("{} AND split.etag = {etag}", self.place_in("split.", job, object)),
            key: format!("{key_condition} AND etag = {etag}"),
            key_condition,
            open_for_loads: open_for_loads(job),
            insert,
            others,
            fingerprint,
            replaces: policy.replaces,
        })
    }

    /// Commits the object's row as `partial` unless it exists, and reads which parts are loaded.
    ///
    /// # Errors
    /// `PartialConflict` if loading began with another format. `ContentChanged` or
    /// `PartialChanged` if other content of the key is loaded. `Superseded` if the job has moved
    /// on. Any error of a transaction that outlasts the retry bounds.
    pub async fn begin_parts(&self, split: &SplitObject) -> Result<SplitProgress> {
        let mut attempts = Attempts::new(&self.retry);
        loop {
            let mut session = self.session(&mut attempts).await?;
            let begun = Box::pin(self.begin_parts_on(&mut session, split)).await;
            if let Some(begun) = Self::ended(session, begun, &mut attempts).await? {
                return Ok(begun);
            }
        }
    }

    /// Marks the object `loaded`, with the sums of its parts, if all parts are there: `text_bytes`
    /// in all, which is the object's size unless it is packed.
    ///
    /// # Errors
    /// `PartialConflict` if the object's row is gone. Any error of a transaction that outlasts the
    /// retry bounds.
    pub async fn complete_parts(&self, split: &SplitObject, text_bytes: u64) -> Result<Completed> {
        let mut attempts = Attempts::new(&self.retry);
        loop {
            let mut session = self.session(&mut attempts).await?;
            let completed = Box::pin(self.complete_parts_on(&mut session, split, text_bytes)).await;
            if let Some(completed) = Self::ended(session, completed, &mut attempts).await? {
                return Ok(completed);
            }
        }
    }

    /// Returns the parts of the object that are loaded now. There is no retry, because this is
    /// called after something else has failed.
    ///
    /// # Errors
    /// Any error of the connection.
    pub async fn loaded_parts(&self, split: &SplitObject) -> Result<Vec<Part>> {
        let mut session = self.sessions.dedicated().await?;
        let rows = self.part_rows(&mut session, split, "").await;
        session.close().await;
        Ok(rows?.into_iter().map(|row| row.part).collect())
    }

    /// Opens a dedicated session.
    async fn session(&self, attempts: &mut Attempts) -> Result<Session> {
        loop {
            let error = match self.sessions.dedicated().await {
                Ok(session) => return Ok(session),
                Err(error) => error,
            };
            if !attempts.wait_after(&error).await {
                return Err(error);
            }
        }
    }

    /// Closes the session. Returns `None` if the work must be tried again, which is safe: all work
    /// here can be repeated.
    async fn ended<T>(
        session: Session,
        ended: Result<T>,
        attempts: &mut Attempts,
    ) -> Result<Option<T>> {
        match ended {
            Ok(done) => {
                session.close().await;
                Ok(Some(done))
            }
            Err(error) => {
                session.destroy().await;
                // The next try shows if the COMMIT took effect.
                let is_unknown = error.kind == ErrorKind::OutcomeUnknown;
                let error =
                    if is_unknown { error.as_kind(ErrorKind::ConnectionLost) } else { error };
                if attempts.wait_after(&error).await { Ok(None) } else { Err(error) }
            }
        }
    }

    async fn begin_parts_on(
        &self,
        session: &mut Session,
        split: &SplitObject,
    ) -> Result<SplitProgress> {
        let SplitObject { object, key, .. } = split;
        let failed = |error: Driver| classify(Phase::Transaction, &object.to_string(), &error);
        let conn = &mut session.conn;
        conn.query_drop("START TRANSACTION").await.map_err(failed)?;
        if split.replaces {
            let removed =
                format!("DELETE FROM {} WHERE {key} AND state = 'loaded'", self.tables.objects);
            conn.query_drop(removed).await.map_err(failed)?;
        }
        match conn.query_answers(&split.insert).await.as_deref_mut() {
            Ok([(1, _), (_, of_key)]) => {
                if let Some(refusal) = split.others.refusal(object, std::mem::take(of_key)) {
                    return Err(refusal);
                }
                // Rows of a replaced object, or of one whose row was removed by hand. They do not
                // belong to this one.
                let sql = format!(
                    "DELETE FROM {} WHERE object_id = X'{}'",
                    self.tables.parts, split.object_id
                );
                conn.query_drop(sql).await.map_err(failed)?;
            }
            Ok(_) => return Err(superseded(&object.to_string())),
            Err(Driver::Server(server)) if server.code == DUPLICATE_ENTRY => {
                conn.query_drop("ROLLBACK").await.map_err(failed)?;
            }
            Err(error) => {
                return Err(classify(Phase::Transaction, &object.to_string(), error));
            }
        }
        conn.query_drop("COMMIT")
            .await
            .map_err(|error| classify(Phase::Commit, &object.to_string(), &error))?;

        let sql = format!(
            "SELECT state, part_size_bytes, dialect_fingerprint = {} FROM {} WHERE {key}",
            bytes_literal(&split.fingerprint),
            self.tables.objects
        );
        let row: Option<(String, u64, bool)> =
            session.conn.query_first(sql).await.map_err(failed)?;
        let (state, part_size_bytes, is_same_format) = row.ok_or_else(|| {
            Error::new(
                ErrorKind::LockConflict,
                format!(
                    "{object}: its ledger row has been removed \
                     again"
                ),
            )
        })?;
        if state == "loaded" {
            return Ok(SplitProgress::AlreadyLoaded);
        }
        if !is_same_format || part_size_bytes == 0 {
            let message = format!(
                "{object}: parts of it were loaded with other format options or other columns, so \
                 this run would cut or read it differently"
            );
            return Err(Error::new(ErrorKind::PartialConflict, message));
        }
        let rows = self.part_rows(session, split, "").await?;
        let rejected = rows.iter().map(|row| row.loaded.rejected).sum();
        let parts: Vec<Part> = rows.into_iter().map(|row| row.part).collect();
        if parts.is_sorted_by(|left, right| left.end.offset <= right.start.offset) {
            Ok(SplitProgress::Partial { part_size_bytes, parts, rejected })
        } else {
            Err(Error::new(
                ErrorKind::PartialConflict,
                format!("{object}: the ledger rows of its parts contradict each other"),
            ))
        }
    }

    async fn complete_parts_on(
        &self,
        session: &mut Session,
        split: &SplitObject,
        text_bytes: u64,
    ) -> Result<Completed> {
        let SplitObject { object, key, .. } = split;
        let failed = |error: Driver| classify(Phase::Transaction, &object.to_string(), &error);
        session.conn.query_drop("START TRANSACTION").await.map_err(failed)?;
        // From here on, no run is loading a part of the object.
        let sql = format!("SELECT state FROM {} WHERE {key} FOR UPDATE", self.tables.objects);
        let state: Option<String> = session.conn.query_first(sql).await.map_err(failed)?;
        match state.as_deref() {
            Some("loaded") => return Ok(Completed::Yes),
            Some("partial") => {}
            _ => return Err(forgotten(&object.to_string())),
        }
        let rows = self.part_rows(session, split, " LOCK IN SHARE MODE").await?;
        let mut end = 0;
        let mut sums = LoadCounts::default();
        let mut digest: Option<Digest> = None;
        let mut is_digest_whole = true;
        for (index, row) in rows.into_iter().enumerate() {
            if row.part.start.offset != end {
                return Ok(Completed::No);
            }
            end = row.part.end.offset;
            sums.rows += row.loaded.rows;
            sums.skipped += row.loaded.skipped;
            sums.deleted += row.loaded.deleted;
            sums.rejected += row.loaded.rejected;
            sums.warnings += row.loaded.warnings;
            match (row.digest, &mut digest) {
                (Some(first), None) if index == 0 => digest = Some(first),
                (Some(more), Some(digest)) => is_digest_whole &= digest.add(&more),
                _ => is_digest_whole = false,
            }
        }
        if end != text_bytes {
            return Ok(Completed::No);
        }
        let digest = digest.filter(|_| is_digest_whole);
        let digest =
            digest.map_or_else(|| "NULL".to_owned(), |digest| bytes_literal(&digest.to_bytes()));
        let LoadCounts { rows, skipped, deleted, rejected, warnings } = sums;
        let sql = format!(
            "DELETE FROM {failures} \
             WHERE {key_condition}; \
             UPDATE {objects} \
             SET state = 'loaded', row_count = {rows}, skipped_count = {skipped}, deleted_count = \
             {deleted}, rejected_count = {rejected}, warning_count = {warnings}, content_digest = \
             {digest}, loaded_at = UTC_TIMESTAMP(6) \
             WHERE {key} AND state = 'partial'",
            failures = self.tables.failures,
            objects = self.tables.objects,
            key_condition = split.key_condition,
        );
        session.conn.query_drop(sql).await.map_err(failed)?;
        if session.conn.affected_rows() != 1 {
            return Err(Error::new(
                ErrorKind::LedgerRowLost,
                format!("{object}: its ledger row is gone before COMMIT"),
            ));
        }
        session
            .conn
            .query_drop("COMMIT")
            .await
            .map_err(|error| classify(Phase::Commit, &object.to_string(), &error))?;
        Ok(Completed::Yes)
    }

    async fn part_rows(
        &self,
        session: &mut Session,
        split: &SplitObject,
        lock: &str,
    ) -> Result<Vec<PartRow>> {
        let SplitObject { object, .. } = split;
        let sql = format!(
            "SELECT part_number, size_bytes, start_offset, data_offset, rows_before, lines_before, \
             line_count, line_ending, checksum_algorithm, checksum, row_count, skipped_count, \
             deleted_count, rejected_count, warning_count, content_digest \
             FROM {} \
             WHERE object_id = X'{}' AND loaded_at IS NOT NULL \
             ORDER BY part_number{lock}",
            self.tables.parts, split.object_id
        );
        let rows: Vec<Row> = session
            .conn
            .query(sql)
            .await
            .map_err(|error| classify(Phase::Transaction, &object.to_string(), &error))?;
        let unexpected = || {
            let message = format!(
                "{}: a part's row holds what this program never wrote",
                self.tables.title()
            );
            Error::new(ErrorKind::TargetRefused, message)
        };
        rows.into_iter().map(|row| PartRow::read(row).ok_or_else(unexpected)).collect()
    }
}

pub(super) fn superseded(what: &str) -> Error {
    let message =
        format!("{what}: another run has emptied or replaced the table since this one began");
    Error::new(ErrorKind::Superseded, message)
}

pub(super) fn forgotten(what: &str) -> Error {
    let message = format!("{what}: somebody has removed the object from the ledger meanwhile");
    Error::new(ErrorKind::PartialConflict, message).with_hint(
        "its loaded parts are still in the table: remove their rows before you load it \
         again",
    )
}
