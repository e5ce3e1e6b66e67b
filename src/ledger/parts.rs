//! The ledger rows of a split object. The object's row is committed first, as `partial`; then each
//! part commits with a row of its own; at the end the object's row becomes `loaded`.
//!
//! - The object's row records how the object is cut: the part size and a fingerprint of the format.
//!   This row decides, not the settings of the run that resumes the object, so that two runs cannot
//!   cut it differently.
//! - A part's transaction reads the object's row and the job's row under a shared lock, and inserts
//!   its own row first. It completes that row last ([`PartEntry`]). So each part is in the table
//!   once, and no part gets in after the object was forgotten.
//! - The object becomes `loaded` in a separate transaction, which locks the object's row and adds
//!   up the rows of the parts ([`Ledger::complete_parts`]). A part's transaction cannot do that:
//!   each holds a shared lock on the object's row, and two that wanted an exclusive one would wait
//!   for each other. The separate transaction can be repeated by any run that finds all parts
//!   loaded.
//! - A part's row holds all that is needed to continue after the part, or to load what is missing
//!   before it.

use mysql_async::{Error as Driver, Row};

use super::begin::{BeginOutcome, open_for_loads};
use super::contents::{KeyPolicy, OtherContents};
use super::counts::LoadCounts;
use super::handle::Ledger;
use super::identity::{ensure_fits, etag, object_id};
use super::job::Job;
use crate::dialect::FormatConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::ledger::jobs::fingerprint;
use crate::mysql::codes::DUPLICATE_ENTRY;
use crate::mysql::{Conn, Phase, Session, classify};
use crate::object::{ChecksumAlgorithm, Object, PartChecksum};
use crate::retry::Attempts;
use crate::split::{Boundary, LineEnding};
use crate::sql_text::bytes_literal;
use crate::verify::Digest;

/// The number of object hashes in one query.
const PARTIAL_AT_ONCE: usize = 500;

/// A part, as its ledger row describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    pub number: u32,
    pub start: Boundary,
    /// The offset of the first byte of its rows.
    pub data_start: u64,
    pub end: Boundary,
    pub checksum: Option<PartChecksum>,
}

impl Part {
    /// Returns how many part numbers of the object this part covers. That is more than one if a row
    /// is longer than a part.
    #[must_use]
    pub fn numbers(&self, part_size_bytes: u64, size_bytes: u64) -> u64 {
        numbers(self.number.into(), self.end.offset, part_size_bytes, size_bytes)
    }
}

pub(super) fn numbers(number: u64, end_offset: u64, part_size_bytes: u64, size_bytes: u64) -> u64 {
    let part_size_bytes = part_size_bytes.max(1);
    let next = if end_offset >= size_bytes {
        size_bytes.div_ceil(part_size_bytes)
    } else {
        end_offset / part_size_bytes
    };
    next.saturating_sub(number).max(1)
}

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
    object: Object,
    object_id: String,
    key_condition: String,
    key: String,
    /// The same condition as `key`, for the table under the alias `split`.
    split_key: String,
    open_for_loads: String,
    insert: String,
    others: OtherContents,
    fingerprint: Vec<u8>,
    replaces: bool,
}

/// The statements for one part's row.
#[derive(Clone, Debug)]
pub struct PartEntry {
    pub(super) what: String,
    begin: String,
    parts: String,
    key: String,
    object_state: String,
    run_id: String,
}

/// Bucket, key and `ETag`.
pub(super) type PartialObject = (String, String, String);

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
        (format, fields_per_row): (&FormatConfig, usize),
        policy: KeyPolicy,
    ) -> Result<SplitObject> {
        ensure_fits(object)?;
        let key_condition = self.key_condition(job, object);
        let others = OtherContents::new(etag(object), policy);
        let etag = bytes_literal(etag(object).as_bytes());
        let fingerprint = fingerprint::of_format(format, fields_per_row);
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

    /// Marks the object `loaded`, with the sums of its parts, if all parts are there.
    ///
    /// # Errors
    /// `PartialConflict` if the object's row is gone. Any error of a transaction that outlasts the
    /// retry bounds.
    pub async fn complete_parts(&self, split: &SplitObject) -> Result<Completed> {
        let mut attempts = Attempts::new(&self.retry);
        loop {
            let mut session = self.session(&mut attempts).await?;
            let completed = Box::pin(self.complete_parts_on(&mut session, split)).await;
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

    /// Returns true if parts of these partially loaded objects have put rows into the table.
    pub(super) async fn has_loaded_parts(
        &self,
        job: &Job,
        partial: &[PartialObject],
    ) -> Result<bool> {
        for objects in partial.chunks(PARTIAL_AT_ONCE) {
            let ids: Vec<String> = objects
                .iter()
                .map(|(bucket, key, etag)| {
                    format!("X'{}'", object_id(&self.target, job.generation, bucket, key, etag))
                })
                .collect();
            let sql = format!(
                "SELECT COUNT(*) \
                 FROM (SELECT 1 \
                 FROM {} \
                 WHERE object_id IN ({}) AND row_count > skipped_count + rejected_count LIMIT 1) \
                 AS loaded_rows",
                self.tables.parts,
                ids.join(", ")
            );
            if self.query::<u64>(&sql).await?.first() == Some(&1) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Removes the part rows of objects of earlier generations.
    pub(super) async fn forget_older_parts(
        &self,
        session: &mut Session,
        generation: u32,
    ) -> mysql_async::Result<()> {
        let sql = format!(
            "SELECT generation, CONVERT(bucket USING utf8mb4), CONVERT(object_key USING utf8mb4), \
             CONVERT(etag USING utf8mb4) \
             FROM {} \
             WHERE target = {} AND generation < {generation} AND part_size_bytes > 0",
            self.tables.objects,
            self.target.literal()
        );
        let split: Vec<(u32, String, String, String)> = session.conn.query(sql).await?;
        for (generation, bucket, key, etag) in split {
            let id = object_id(&self.target, generation, &bucket, &key, &etag);
            session
                .conn
                .query_drop(format!("DELETE FROM {} WHERE object_id = X'{id}'", self.tables.parts))
                .await?;
        }
        Ok(())
    }

    /// Returns the objects of which only some parts are loaded.
    ///
    /// # Errors
    /// Any error of the connection that outlasts the retry bounds.
    pub async fn partial_objects(&self, job: &Job) -> Result<Vec<PartialObject>> {
        self.query(&self.partial_objects_sql(job)).await
    }

    pub(super) fn partial_objects_sql(&self, job: &Job) -> String {
        format!(
            "SELECT CONVERT(bucket USING utf8mb4), CONVERT(object_key USING utf8mb4), CONVERT(etag \
             USING utf8mb4) \
             FROM {} \
             WHERE target = {} AND generation = {} AND state = 'partial'",
            self.tables.objects,
            self.target.literal(),
            job.generation
        )
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
        if end != object.size_bytes {
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

    /// Prepares the ledger row of a part.
    #[must_use]
    pub fn part_entry(&self, split: &SplitObject, part: &Part) -> PartEntry {
        let SplitObject { object_id, key, .. } = split;
        let run_id = bytes_literal(self.run.id.as_bytes());
        let Part { number, start, data_start, end, checksum } = part;
        let (algorithm, checksum) = checksum
            .map_or(("", 0), |checksum| (algorithm_name(checksum.algorithm), checksum.value));
        let begin = format!(
            "START TRANSACTION; \
             INSERT INTO {parts} (object_id, part_number, size_bytes, start_offset, data_offset, \
             rows_before, lines_before, line_count, line_ending, checksum_algorithm, checksum, \
             worker, run_id, began_at) \
             SELECT X'{object_id}', {number}, {size_bytes}, {start_offset}, {data_start}, {rows}, \
             {lines}, {line_count}, {ending}, {algorithm}, {checksum}, {worker}, {run_id}, \
             UTC_TIMESTAMP(6) \
             FROM {objects} AS split, {jobs} AS jobs \
             WHERE {split_key} AND split.state = 'partial' AND jobs.target = {target} AND {open} \
             LOCK IN SHARE MODE",
            parts = self.tables.parts,
            objects = self.tables.objects,
            jobs = self.tables.jobs,
            split_key = split.split_key,
            size_bytes = end.offset - start.offset,
            start_offset = start.offset,
            rows = start.rows,
            lines = start.lines,
            line_count = end.lines - start.lines,
            // Includes what the part itself has shown.
            ending = bytes_literal(end.ending.map_or(&[], |ending: LineEnding| ending.bytes())),
            algorithm = bytes_literal(algorithm.as_bytes()),
            worker = bytes_literal(self.run.worker.as_bytes()),
            target = self.target.literal(),
            open = split.open_for_loads,
        );
        PartEntry {
            what: format!("{}: part {number}", split.object),
            begin,
            parts: self.tables.parts.clone(),
            key: format!("object_id = X'{object_id}' AND part_number = {number}"),
            object_state: format!("SELECT state FROM {} WHERE {key}", self.tables.objects),
            run_id,
        }
    }
}

impl PartEntry {
    /// Begins the transaction and inserts the row.
    ///
    /// # Errors
    /// `Superseded` if the job has moved on. `PartialConflict` if the object was forgotten.
    /// Otherwise any error of a transaction; the transaction is still open then.
    pub(super) async fn begin(&self, conn: &mut Conn) -> Result<BeginOutcome> {
        let failed = |error: Driver| classify(Phase::Transaction, &self.what, &error);
        match conn.query_drop(&self.begin).await {
            Ok(()) if conn.affected_rows() == 1 => Ok(BeginOutcome::Yes),
            Ok(()) => {
                conn.query_drop("ROLLBACK").await.map_err(failed)?;
                let state: Option<String> =
                    conn.query_first(&self.object_state).await.map_err(failed)?;
                match state.as_deref() {
                    Some("loaded") => Ok(BeginOutcome::AlreadyLoaded),
                    Some(_) => Err(superseded(&self.what)),
                    None => Err(forgotten(&self.what)),
                }
            }
            Err(Driver::Server(server)) if server.code == DUPLICATE_ENTRY => {
                // The loser's rows must never be committed, and its locks block its neighbours.
                conn.query_drop("ROLLBACK").await.map_err(failed)?;
                let sql =
                    format!("SELECT loaded_at IS NOT NULL FROM {} WHERE {}", self.parts, self.key);
                match conn.query_first(sql).await.map_err(failed)? {
                    Some(true) => Ok(BeginOutcome::AlreadyLoaded),
                    Some(false) => {
                        let message = format!(
                            "{}: its ledger row is not complete, and no transaction is under way",
                            self.what
                        );
                        Err(Error::new(ErrorKind::StatementFailed, message).with_hint(
                            "check if its rows are in the table, then remove the object's row with \
                             `s3-to-mysql forget`",
                        ))
                    }
                    None => Err(Error::new(
                        ErrorKind::LockConflict,
                        format!(
                            "{}: another run is changing its ledger row at the same time",
                            self.what
                        ),
                    )),
                }
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// Completes the row. This is the last statement before COMMIT.
    ///
    /// # Errors
    /// `LedgerRowLost` if the row is gone.
    pub(super) async fn complete(
        &self,
        conn: &mut Conn,
        loaded: LoadCounts,
        digest: Option<&Digest>,
    ) -> Result<()> {
        let digest =
            digest.map_or_else(|| "NULL".to_owned(), |digest| bytes_literal(&digest.to_bytes()));
        let LoadCounts { rows, skipped, deleted, rejected, warnings } = loaded;
        let sql = format!(
            "UPDATE {} \
             SET row_count = {rows}, skipped_count = {skipped}, deleted_count = {deleted}, \
             rejected_count = {rejected}, warning_count = {warnings}, content_digest = {digest}, \
             loaded_at = UTC_TIMESTAMP(6) \
             WHERE {} AND loaded_at IS NULL AND run_id = {}",
            self.parts, self.key, self.run_id,
        );
        conn.query_drop(sql)
            .await
            .map_err(|error| classify(Phase::Transaction, &self.what, &error))?;
        if conn.affected_rows() == 1 {
            return Ok(());
        }
        let message = format!(
            "{}: the transaction has lost its ledger row, so the server has ended it by itself; it \
             is not known if the part's rows stayed",
            self.what
        );
        Err(Error::new(ErrorKind::LedgerRowLost, message).with_hint(
            "check if its rows are in the table before you load it again; does \
             --init-sql change autocommit, or does a cluster split the load?",
        ))
    }

    pub(super) fn state_query(&self) -> String {
        format!(
            "SELECT IF(loaded_at IS NULL, 'loading', 'loaded'), run_id = {} \
             FROM {} \
             WHERE {} \
             FOR UPDATE",
            self.run_id, self.parts, self.key
        )
    }
}

/// The full ledger row of a part.
struct PartRow {
    part: Part,
    loaded: LoadCounts,
    digest: Option<Digest>,
}

impl PartRow {
    fn read(mut row: Row) -> Option<Self> {
        let mut number =
            |column: &str| row.take_opt::<u64, _>(column).and_then(std::result::Result::ok);
        let (size_bytes, offset) = (number("size_bytes")?, number("start_offset")?);
        let (rows_before, lines_before) = (number("rows_before")?, number("lines_before")?);
        let loaded = LoadCounts {
            rows: number("row_count")?,
            skipped: number("skipped_count")?,
            deleted: number("deleted_count")?,
            rejected: number("rejected_count")?,
            warnings: number("warning_count")?,
        };
        let (part_number, data_start, line_count) =
            (number("part_number")?, number("data_offset")?, number("line_count")?);
        let value = number("checksum")?;
        let ending = LineEnding::of(&row.take_opt::<Vec<u8>, _>("line_ending")?.ok()?);
        let algorithm: Vec<u8> = row.take_opt("checksum_algorithm")?.ok()?;
        let digest: Option<Vec<u8>> = row.take_opt("content_digest")?.ok()?;
        Some(Self {
            part: Part {
                number: u32::try_from(part_number).ok()?,
                start: Boundary { offset, rows: rows_before, lines: lines_before, ending },
                data_start,
                end: Boundary {
                    offset: offset.checked_add(size_bytes)?,
                    rows: rows_before.checked_add(loaded.rows)?,
                    lines: lines_before.checked_add(line_count)?,
                    ending,
                },
                checksum: algorithm_named(&algorithm)
                    .map(|algorithm| PartChecksum { algorithm, value }),
            },
            loaded,
            digest: digest.and_then(|bytes| Digest::from_bytes(&bytes)),
        })
    }
}

/// Returns the name that the column stores.
fn algorithm_name(algorithm: ChecksumAlgorithm) -> &'static str {
    match algorithm {
        ChecksumAlgorithm::Crc64Nvme => "crc64nvme",
        ChecksumAlgorithm::Crc32 => "crc32",
        ChecksumAlgorithm::Crc32c => "crc32c",
        ChecksumAlgorithm::Sha1 => "sha1",
        ChecksumAlgorithm::Sha256 => "sha256",
    }
}

fn algorithm_named(name: &[u8]) -> Option<ChecksumAlgorithm> {
    [ChecksumAlgorithm::Crc64Nvme, ChecksumAlgorithm::Crc32, ChecksumAlgorithm::Crc32c]
        .into_iter()
        .find(|algorithm| algorithm_name(*algorithm).as_bytes() == name)
}

fn superseded(what: &str) -> Error {
    let message =
        format!("{what}: another run has emptied or replaced the table since this one began");
    Error::new(ErrorKind::Superseded, message)
}

fn forgotten(what: &str) -> Error {
    let message = format!("{what}: somebody has removed the object from the ledger meanwhile");
    Error::new(ErrorKind::PartialConflict, message).with_hint(
        "its loaded parts are still in the table: remove their rows before you load it \
         again",
    )
}
