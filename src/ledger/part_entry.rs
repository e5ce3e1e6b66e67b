//! Writes the ledger row of one part, within the transaction that loads the part.
//!
//! The transaction reads the object's row and the job's row under a shared lock, and inserts its
//! own row first. It completes that row last. So each part is in the table once, and no part gets
//! in after the object was forgotten.

use mysql_async::Error as Driver;

use super::begin::BeginOutcome;
use super::counts::LoadCounts;
use super::handle::Ledger;
use super::part::Part;
use super::parts::{SplitObject, forgotten, superseded};
use crate::error::{Error, ErrorKind, Result};
use crate::mysql::codes::DUPLICATE_ENTRY;
use crate::mysql::{Conn, Phase, classify};
use crate::split::LineEnding;
use crate::sql_text::bytes_literal;
use crate::verify::Digest;

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

impl Ledger {
    /// Prepares the ledger row of a part.
    #[must_use]
    pub fn part_entry(&self, split: &SplitObject, part: &Part) -> PartEntry {
        let SplitObject { object_id, key, .. } = split;
        let run_id = bytes_literal(self.run.id.as_bytes());
        let Part { number, start, data_start, end, checksum } = part;
        let (algorithm, checksum) =
            checksum.map_or(("", 0), |checksum| (<&str>::from(checksum.algorithm), checksum.value));
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
             {load_lock}",
            load_lock = self.load_lock,
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
                // The loser's rows must never be committed, and its locks block its neighbors.
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
            "check if its rows are in the table before you load it again; possible causes: \
             --init-sql changes autocommit, or a cluster splits the load",
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
