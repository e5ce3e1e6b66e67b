//! Finds the objects of which only some parts are loaded, and removes the part rows of older
//! generations.

use super::handle::Ledger;
use super::identity::object_id;
use super::job::Job;
use crate::error::Result;
use crate::mysql::Session;

/// The number of object hashes in one query.
const PARTIAL_AT_ONCE: usize = 500;

/// Bucket, key and `ETag`.
pub(super) type PartialObject = (String, String, String);

impl Ledger {
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
}
