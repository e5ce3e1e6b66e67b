//! Acknowledgements: failures that somebody has settled, so that no run tries them again until the
//! object changes.
//!
//! An acknowledgement takes the place of the failure, in one transaction, and keeps all that the
//! failure said. It names the content by its `ETag`, and has no generation: it outlives a truncate
//! or swap. A load that is in progress meanwhile may still load the object, or fail again: then
//! [`Status`](super::Status) shows that the object is loaded, or still that it is acknowledged.

use super::admin::{LedgerAdmin, NamedRow, time};
use super::forget::keys;
use super::schema::ACKS;
use super::status::{AcknowledgedObject, FailureReason};
use crate::error::{Error, ErrorKind, Result};
use crate::object::shown_uri;
use crate::s3_uri::SourceUri;
use crate::sql_text::bytes_literal;

/// The length of the column `reason`.
const REASON_LIMIT_BYTES: usize = 1000;

/// The columns that a failure and its acknowledgement share.
const SHARED: &str = "target, bucket, object_key, etag, error_code, message, attempts, \
                      first_failed_at, last_failed_at, worker, run_id";

impl LedgerAdmin {
    /// Acknowledges the failures of these objects, all or none, and returns them. A reason that was
    /// given before is replaced.
    ///
    /// # Errors
    /// `Usage` if one of the URIs names no failed object. Any error of a query. Do not use the
    /// connection after an error.
    pub async fn acknowledge(
        &mut self,
        uris: &[SourceUri],
        reason: &str,
    ) -> Result<Vec<AcknowledgedObject>> {
        if reason.trim().is_empty() || reason.len() > REASON_LIMIT_BYTES {
            let message = format!("the reason must have 1 to {REASON_LIMIT_BYTES} bytes");
            return Err(Error::new(ErrorKind::Usage, message));
        }
        if self.is_there() {
            self.ensure_acks().await?;
        }
        let (failures, acks) = (self.tables.failures.clone(), self.tables.acks.clone());
        let generations = self.current_generations().await?;
        let signature = format!("{}, USER(), UTC_TIMESTAMP(6)", bytes_literal(reason.as_bytes()));
        let mut acknowledged = Vec::new();
        self.change("START TRANSACTION").await?;
        for uri in uris {
            let failed = format!("{generations} AND {}", keys(uri, None));
            self.ensure_etags_known(&failed).await?;
            self.change(&format!(
                "INSERT INTO {acks} ({SHARED}, reason, acknowledged_by, acknowledged_at) \
                 SELECT {SHARED}, {signature} \
                 FROM {failures} AS failure \
                 WHERE {failed} \
                 ORDER BY generation \
                 ON DUPLICATE KEY UPDATE {}",
                updates(&acks)
            ))
            .await?;
            let moved = self.change(&format!("DELETE FROM {failures} WHERE {failed}")).await?;
            let known = format!("target = {} AND {}", self.target.literal(), keys(uri, None));
            if moved == 0 {
                self.change(&format!("UPDATE {acks} SET {} WHERE {known}", signed(reason))).await?;
            }
            let mut found = self.acknowledged(&known, u64::MAX).await?;
            if found.is_empty() {
                return Err(self.no_failure(uri).await?);
            }
            acknowledged.append(&mut found);
        }
        self.change("COMMIT").await?;
        Ok(acknowledged)
    }

    /// Locks the failures that meet the condition, and checks that each names its content.
    async fn ensure_etags_known(&mut self, failed: &str) -> Result<()> {
        let sql = format!(
            "SELECT bucket, object_key, etag FROM {} AS failure WHERE {failed} FOR UPDATE",
            self.tables.failures
        );
        for mut fields in self.rows(&sql).await? {
            if !fields.text("etag")?.is_empty() {
                continue;
            }
            let uri = shown_uri(&fields.text("bucket")?, &fields.text("object_key")?);
            let message = format!(
                "{uri}: it failed before its ETag was known, so nothing would show when it changes"
            );
            return Err(Error::new(ErrorKind::Usage, message)
                .with_hint("correct the cause, or leave the key out with --exclude"));
        }
        Ok(())
    }

    /// Takes the acknowledgements of these objects back, all or none, and returns the objects. They
    /// count as failed again, unless they have been loaded in the meantime.
    ///
    /// # Errors
    /// The errors of [`LedgerAdmin::acknowledge`].
    pub async fn take_back(&mut self, uris: &[SourceUri]) -> Result<Vec<AcknowledgedObject>> {
        let mut taken_back = Vec::new();
        let (failures, acks) = (self.tables.failures.clone(), self.tables.acks.clone());
        let generation = self.latest_generation().await?;
        self.change("START TRANSACTION").await?;
        for uri in uris {
            let mut found = Vec::new();
            if self.has(ACKS) {
                let known = format!("target = {} AND {}", self.target.literal(), keys(uri, None));
                found = self.acknowledged(&known, u64::MAX).await?;
                // A failure that another version of the program has recorded since is newer.
                self.change(&format!(
                    "INSERT IGNORE INTO {failures} (generation, {SHARED}) \
                     SELECT {generation}, {SHARED} FROM {acks} AS ack WHERE {known} AND NOT EXISTS \
                     (SELECT 1 FROM {objects} AS loaded WHERE loaded.target = ack.target AND \
                     loaded.generation = {generation} AND loaded.bucket = ack.bucket AND \
                     loaded.object_key = ack.object_key AND loaded.etag = ack.etag AND \
                     loaded.state = 'loaded')",
                    objects = self.tables.objects,
                ))
                .await?;
                self.change(&format!("DELETE FROM {acks} WHERE {known}")).await?;
            }
            if found.is_empty() {
                let message = format!("{uri}: no failure of it is acknowledged");
                return Err(Error::new(ErrorKind::Usage, message)
                    .with_hint("`s3-to-mysql status` lists what is acknowledged"));
            }
            taken_back.append(&mut found);
        }
        self.change("COMMIT").await?;
        Ok(taken_back)
    }

    /// Returns the number of acknowledgements of these objects.
    pub(super) async fn count_acks(&mut self, uri: &SourceUri) -> Result<u64> {
        if !self.has(ACKS) {
            return Ok(0);
        }
        let sql = format!(
            "SELECT COUNT(*) AS ack_count FROM {} WHERE target = {} AND {}",
            self.tables.acks,
            self.target.literal(),
            keys(uri, None)
        );
        match self.rows(&sql).await?.pop() {
            Some(mut fields) => fields.take("ack_count"),
            None => Ok(0),
        }
    }

    /// Removes acknowledgements. Returns how many there were.
    pub(super) async fn forget_acks(&mut self, uri: &SourceUri) -> Result<u64> {
        if !self.has(ACKS) {
            return Ok(0);
        }
        let condition = format!("target = {} AND {}", self.target.literal(), keys(uri, None));
        self.change(&format!("DELETE FROM {} WHERE {condition}", self.tables.acks)).await
    }

    /// Returns the acknowledgements that meet the condition, in the order of their keys.
    pub(super) async fn acknowledged(
        &mut self,
        condition: &str,
        limit: u64,
    ) -> Result<Vec<AcknowledgedObject>> {
        if !self.has(ACKS) {
            return Ok(Vec::new());
        }
        let sql = format!(
            "SELECT bucket, object_key, etag, error_code, message, attempts, reason, \
             acknowledged_by, {}, {}, {} \
             FROM {} AS ack \
             WHERE {condition} \
             ORDER BY bucket, object_key LIMIT {limit}",
            time("first_failed_at"),
            time("last_failed_at"),
            time("acknowledged_at"),
            self.tables.acks
        );
        let row = |mut fields: NamedRow| {
            Ok(AcknowledgedObject {
                bucket: fields.text("bucket")?,
                key: fields.text("object_key")?,
                etag: fields.text("etag")?,
                error: FailureReason {
                    code: fields.text("error_code")?,
                    message: fields.text("message")?,
                },
                attempts: fields.take("attempts")?,
                first_failed_at: fields.text("first_failed_at")?,
                last_failed_at: fields.text("last_failed_at")?,
                reason: fields.text("reason")?,
                acknowledged_by: fields.text("acknowledged_by")?,
                acknowledged_at: fields.text("acknowledged_at")?,
            })
        };
        self.rows(&sql).await?.into_iter().map(row).collect()
    }

    /// Returns the error for a URI that names no failed object, with what the ledger knows of it.
    async fn no_failure(&mut self, uri: &SourceUri) -> Result<Error> {
        if let SourceUri::Prefix { .. } = uri {
            let message = format!("{uri}: no object below it has failed");
            return Ok(Error::new(ErrorKind::Usage, message));
        }
        let generations = self.current_generations().await?;
        let sql = format!(
            "SELECT CAST(state AS CHAR) AS state, {} \
             FROM {} AS entry \
             WHERE {generations} AND {} AND state IN ('loaded', 'partial') \
             ORDER BY entry.loaded_at DESC LIMIT 1",
            time("loaded_at"),
            self.tables.objects,
            keys(uri, None)
        );
        let what = match self.rows(&sql).await?.pop() {
            None => "the ledger has never seen it".to_owned(),
            Some(mut fields) => {
                let since = fields.optional_text("loaded_at")?.unwrap_or_default();
                let day = since.split('T').next().unwrap_or_default();
                if fields.text("state")? == "partial" {
                    "parts of it are loaded, and none has failed".to_owned()
                } else {
                    format!("it is loaded, since {day}")
                }
            }
        };
        let message = format!("{uri}: no failure to acknowledge: {what}");
        Ok(Error::new(ErrorKind::Usage, message)
            .with_hint("`s3-to-mysql status` lists the objects that failed"))
    }

    /// Returns the condition for the rows that count for the table or for the job in progress.
    async fn current_generations(&mut self) -> Result<String> {
        let (table, latest) = self.generations_of_job().await?;
        let target = self.target.literal();
        Ok(format!("target = {target} AND generation IN ({table}, {latest})"))
    }

    async fn latest_generation(&mut self) -> Result<u32> {
        self.generations_of_job().await.map(|(_, latest)| latest)
    }

    async fn generations_of_job(&mut self) -> Result<(u32, u32)> {
        if !self.is_there() {
            let message = format!(
                "the ledger {} does not exist, or the account cannot see its tables",
                self.ledger()
            );
            return Err(Error::new(ErrorKind::Usage, message));
        }
        let sql = format!(
            "SELECT table_generation, generation FROM {} WHERE target = {}",
            self.tables.jobs,
            self.target.literal()
        );
        match self.rows(&sql).await?.pop() {
            Some(mut fields) => Ok((fields.take("table_generation")?, fields.take("generation")?)),
            None => Ok((1, 1)),
        }
    }
}

/// Returns the assignments that replace an earlier acknowledgement of the key.
fn updates(acks: &str) -> String {
    let columns = [
        "etag",
        "error_code",
        "message",
        "attempts",
        "first_failed_at",
        "last_failed_at",
        "worker",
        "run_id",
        "reason",
        "acknowledged_by",
        "acknowledged_at",
    ];
    let assign = |column: &&str| format!("{acks}.{column} = VALUES({column})");
    columns.iter().map(assign).collect::<Vec<_>>().join(", ")
}

/// Returns the assignments that sign acknowledgements anew.
fn signed(reason: &str) -> String {
    format!(
        "reason = {}, acknowledged_by = USER(), acknowledged_at = UTC_TIMESTAMP(6)",
        bytes_literal(reason.as_bytes())
    )
}
