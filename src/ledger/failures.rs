//! The failures that outlive a run: which objects could not be loaded, why, how often they were
//! tried, and when.

use super::handle::Ledger;
use super::identity::{BUCKET_LIMIT_BYTES, ETAG_LIMIT_BYTES, KEY_LIMIT_BYTES, fitting};
use crate::error::{Consequence, Error, ErrorKind, Result};
use crate::object::Object;
use crate::sql_text::bytes_literal;

/// The length of the column `message`.
const MESSAGE_LIMIT_BYTES: usize = 4000;

impl Ledger {
    /// Records that an object could not be loaded. Failures of the run rather than of the object
    /// are not recorded, nor are failures whose outcome is unknown. `FailedBefore` is not recorded
    /// either: it would replace the real reason.
    ///
    /// # Errors
    /// Any error of the connection. There is no retry, because the report names the failure too.
    pub async fn record_failure(
        &self,
        generation: u32,
        bucket: &str,
        key: &str,
        etag: &str,
        error: &Error,
        attempts: u32,
    ) -> Result<()> {
        let is_the_objects =
            matches!(error.kind.consequence(), Consequence::Retry | Consequence::FailObject);
        if !is_the_objects
            || matches!(error.kind, ErrorKind::OutcomeUnknown | ErrorKind::FailedBefore)
        {
            return Ok(());
        }
        let message = error.full_text();
        let sql = format!(
            "INSERT INTO {failures} (target, generation, bucket, object_key, etag, error_code, \
             message, attempts, first_failed_at, last_failed_at, worker, run_id) \
             VALUES ({target}, {generation}, {bucket}, {key}, {etag}, {code}, {message}, \
             {attempts}, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), {worker}, {run_id}) \
             ON DUPLICATE KEY UPDATE \
             first_failed_at = IF(etag = VALUES(etag), first_failed_at, VALUES(first_failed_at)), \
             attempts = IF(etag = VALUES(etag), attempts, 0) + VALUES(attempts), \
             etag = VALUES(etag), error_code = VALUES(error_code), message = VALUES(message), \
             last_failed_at = VALUES(last_failed_at), worker = VALUES(worker), \
             run_id = VALUES(run_id)",
            failures = self.tables.failures,
            target = self.target.literal(),
            bucket = bytes_literal(fitting(bucket, BUCKET_LIMIT_BYTES).as_bytes()),
            key = bytes_literal(fitting(key, KEY_LIMIT_BYTES).as_bytes()),
            etag = bytes_literal(fitting(etag.trim_matches('"'), ETAG_LIMIT_BYTES).as_bytes()),
            code = bytes_literal(error.kind.code().as_bytes()),
            message = bytes_literal(fitting(&message, MESSAGE_LIMIT_BYTES).as_bytes()),
            worker = bytes_literal(self.run.worker.as_bytes()),
            run_id = bytes_literal(self.run.id.as_bytes()),
        );
        self.query_unless_unreachable(&sql).await.map(|_| ())
    }

    /// Deletes the record of a failure of `object`, after there turned out to be nothing to load.
    ///
    /// # Errors
    /// Any error of the connection. There is no retry, because the next run does the same.
    pub async fn clear_failure(&self, generation: u32, object: &Object) -> Result<()> {
        let sql = format!(
            "DELETE FROM {} \
             WHERE target = {} AND generation = {generation} AND bucket = {} AND object_key = {}",
            self.tables.failures,
            self.target.literal(),
            bytes_literal(object.bucket.as_bytes()),
            bytes_literal(object.key.as_bytes()),
        );
        self.query_unless_unreachable(&sql).await.map(|_| ())
    }
}
