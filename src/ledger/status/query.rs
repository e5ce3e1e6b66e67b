//! Reads the status of a target from the ledger.
//!
//! It is quick on large ledgers: every query is a range of a primary key, and fetches only what is
//! listed. Nothing is locked, so the answers are from slightly different moments: a run in progress
//! may show in one answer and not yet in another.

use std::collections::HashMap;

use super::{
    AcknowledgedObject, BATCH, FailedObject, FailureReason, InFlight, JobStatus, Partial, Status,
    Sums,
};
use crate::error::Result;
use crate::ledger::admin::{LedgerAdmin, NamedRow, time};
use crate::ledger::identity::object_id;
use crate::ledger::part::numbers;
use crate::ledger::schema::ACKS;
use crate::mysql::Index;

impl LedgerAdmin {
    /// Returns everything that the ledger says about the target, with at most `failures_listed`
    /// failures.
    ///
    /// # Errors
    /// Any error of a query. Do not use the connection after that.
    pub async fn status(&mut self, failures_listed: u64) -> Result<Status> {
        let job = self.job().await?;
        let table_generation = job.as_ref().map_or(1, |job| job.table_generation);
        let shadow_generation =
            job.as_ref().map(|job| job.generation).filter(|other| *other != table_generation);
        let generations: Vec<u32> =
            std::iter::once(table_generation).chain(shadow_generation).collect();
        let where_target = self.where_target(&generations);

        let table = self.sums(table_generation).await?;
        let shadow = match shadow_generation {
            Some(generation) => Some(self.sums(generation).await?),
            None => None,
        };
        let partial =
            if table.objects_partial + shadow.as_ref().map_or(0, |sums| sums.objects_partial) > 0 {
                self.partial(&where_target).await?
            } else {
                Vec::new()
            };
        let in_flight = self.in_flight(&where_target).await?;
        let (failed, objects_failed) = self.failed(&where_target, failures_listed).await?;
        let (acknowledged, objects_acknowledged) =
            self.shown_acknowledged(&generations, failures_listed).await?;
        let oldest_failure_at = self.oldest_failure(&where_target).await?;
        let (last_success_at, last_success_age_seconds) = self.last_success().await?.unzip();
        let runs = self.runs().await?;
        Ok(Status {
            last_success_at,
            last_success_age_seconds,
            oldest_failure_at,
            target: self.target.name(),
            ledger: self.ledger(),
            job,
            table,
            shadow,
            partial,
            in_flight,
            failed,
            objects_failed,
            acknowledged,
            objects_acknowledged,
            runs,
        })
    }

    fn where_target(&self, generations: &[u32]) -> String {
        let generations: Vec<String> = generations.iter().map(ToString::to_string).collect();
        format!("target = {} AND generation IN ({})", self.target.literal(), generations.join(", "))
    }

    async fn job(&mut self) -> Result<Option<JobStatus>> {
        if !self.has("jobs") {
            return Ok(None);
        }
        let sql = format!(
            "SELECT generation, table_generation, mode, state, old_table, run_id, tool_version, \
             deferred_indexes, {}, {} \
             FROM {} \
             WHERE target = {}",
            time("begun_at"),
            time("changed_at"),
            self.tables.jobs,
            self.target.literal()
        );
        let Some(mut fields) = self.rows(&sql).await?.pop() else { return Ok(None) };
        let deferred_indexes = match fields.optional_text("deferred_indexes")? {
            Some(text) => match serde_json::from_str::<Vec<Index>>(&text) {
                Ok(indexes) => indexes.iter().map(Index::to_string).collect(),
                // Text that cannot be parsed is shown as it is.
                Err(_) => vec![text],
            },
            None => Vec::new(),
        };
        Ok(Some(JobStatus {
            deferred_indexes,
            generation: fields.take("generation")?,
            table_generation: fields.take("table_generation")?,
            mode: fields.text("mode")?,
            state: fields.text("state")?,
            old_table: Some(fields.text("old_table")?).filter(|table| !table.is_empty()),
            run_id: fields.text("run_id")?,
            tool_version: fields.text("tool_version")?,
            begun_at: fields.text("begun_at")?,
            changed_at: fields.text("changed_at")?,
        }))
    }

    async fn sums(&mut self, generation: u32) -> Result<Sums> {
        let mut sums = Sums { generation, ..Sums::default() };
        if !self.has("objects") {
            return Ok(sums);
        }
        let sql = format!(
            "SELECT COUNT(IF(state = 'loaded', 1, NULL)) AS objects_loaded, COUNT(IF(state = \
             'partial', 1, NULL)) AS objects_partial, COALESCE(SUM(row_count), 0) AS row_count, \
             COALESCE(SUM(skipped_count), 0) AS skipped_count, COALESCE(SUM(deleted_count), 0) AS \
             deleted_count, COALESCE(SUM(rejected_count), 0) AS rejected_count, \
             COALESCE(SUM(warning_count), 0) AS warning_count, COALESCE(SUM(IF(state = 'loaded', \
             size_bytes, 0)), 0) AS size_bytes \
             FROM {} \
             WHERE {}",
            self.tables.objects,
            self.where_target(&[generation])
        );
        let Some(mut fields) = self.rows(&sql).await?.pop() else { return Ok(sums) };
        sums.objects_loaded = fields.take("objects_loaded")?;
        sums.objects_partial = fields.take("objects_partial")?;
        sums.rows = fields.take("row_count")?;
        sums.skipped = fields.take("skipped_count")?;
        sums.deleted = fields.take("deleted_count")?;
        sums.rejected = fields.take("rejected_count")?;
        sums.warnings = fields.take("warning_count")?;
        sums.bytes = fields.take("size_bytes")?;
        Ok(sums)
    }

    async fn partial(&mut self, where_target: &str) -> Result<Vec<Partial>> {
        let sql = format!(
            "SELECT generation, bucket, object_key, etag, size_bytes, part_size_bytes \
             FROM {} \
             WHERE {where_target} AND state = 'partial' \
             ORDER BY generation, bucket, object_key, etag",
            self.tables.objects
        );
        let mut partial = Vec::new();
        for mut fields in self.rows(&sql).await? {
            let (size_bytes, part_size_bytes) =
                (fields.take("size_bytes")?, fields.take("part_size_bytes")?);
            partial.push(Partial {
                generation: fields.take("generation")?,
                bucket: fields.text("bucket")?,
                key: fields.text("object_key")?,
                etag: fields.text("etag")?,
                size_bytes,
                part_size_bytes,
                parts: u64::div_ceil(size_bytes, u64::max(part_size_bytes, 1)),
                parts_loaded: 0,
            });
        }
        if !self.has("parts") {
            return Ok(partial);
        }
        for batch in partial.chunks_mut(BATCH) {
            let id = |of: &Partial| {
                object_id(&self.target, of.generation, &of.bucket, &of.key, &of.etag)
            };
            let ids: Vec<String> = batch.iter().map(id).collect();
            let literals: Vec<String> = ids.iter().map(|id| format!("X'{id}'")).collect();
            let sql = format!(
                "SELECT LOWER(HEX(object_id)) AS object_id, part_number, start_offset + size_bytes \
                 AS end_offset \
                 FROM {} \
                 WHERE object_id IN ({}) AND loaded_at IS NOT NULL",
                self.tables.parts,
                literals.join(", ")
            );
            let mut loaded: HashMap<String, Vec<(u64, u64)>> = HashMap::new();
            for mut fields in self.rows(&sql).await? {
                let part = (fields.take("part_number")?, fields.take("end_offset")?);
                loaded.entry(fields.text("object_id")?).or_default().push(part);
            }
            for (partial, id) in batch.iter_mut().zip(&ids) {
                let parts = loaded.get(id).map_or(&[][..], Vec::as_slice);
                let numbers = |(number, end)| {
                    numbers(number, end, partial.part_size_bytes, partial.size_bytes)
                };
                partial.parts_loaded = parts.iter().copied().map(numbers).sum();
            }
        }
        Ok(partial)
    }

    /// Returns the objects in flight. Their rows are not committed, so only a read of uncommitted
    /// rows finds them.
    async fn in_flight(&mut self, where_target: &str) -> Result<Vec<InFlight>> {
        if !self.has("objects") {
            return Ok(Vec::new());
        }
        // Applies only to the next statement.
        self.change("SET TRANSACTION ISOLATION LEVEL READ UNCOMMITTED").await?;
        let sql = format!(
            "SELECT generation, bucket, object_key, etag, size_bytes, worker, run_id, {} \
             FROM {} AS entry \
             WHERE {where_target} AND state = 'loading' \
             ORDER BY entry.began_at, bucket, object_key",
            time("began_at"),
            self.tables.objects
        );
        let row = |mut fields: NamedRow| {
            Ok(InFlight {
                generation: fields.take("generation")?,
                bucket: fields.text("bucket")?,
                key: fields.text("object_key")?,
                etag: fields.text("etag")?,
                size_bytes: fields.take("size_bytes")?,
                worker: fields.text("worker")?,
                run_id: fields.text("run_id")?,
                since: fields.text("began_at")?,
            })
        };
        self.rows(&sql).await?.into_iter().map(row).collect()
    }

    /// Returns the time of the first failure of the object that failed first of all.
    async fn oldest_failure(&mut self, where_target: &str) -> Result<Option<String>> {
        if !self.has("failures") {
            return Ok(None);
        }
        let sql = format!(
            "SELECT {} FROM {} AS failure WHERE {where_target} \
             {} ORDER BY failure.first_failed_at LIMIT 1",
            time("first_failed_at"),
            self.tables.failures,
            self.and_not_acknowledged()
        );
        let first = self.rows(&sql).await?.pop();
        first.map(|mut fields| fields.text("first_failed_at")).transpose()
    }

    /// Returns the condition that a failure is not acknowledged. A version of the program that
    /// knows no acknowledgements may have recorded it again.
    fn and_not_acknowledged(&self) -> String {
        if !self.has(ACKS) {
            return String::new();
        }
        format!(
            " AND NOT EXISTS (SELECT 1 FROM {} AS ack WHERE ack.target = failure.target AND \
             ack.bucket = failure.bucket AND ack.object_key = failure.object_key AND ack.etag = \
             failure.etag)",
            self.tables.acks
        )
    }

    /// Returns the first acknowledgements, and the number of all of them. One of an object that has
    /// been loaded since, or that has changed and failed, is over.
    async fn shown_acknowledged(
        &mut self,
        generations: &[u32],
        listed: u64,
    ) -> Result<(Vec<AcknowledgedObject>, u64)> {
        if !self.has(ACKS) || !self.has("objects") || !self.has("failures") {
            return Ok((Vec::new(), 0));
        }
        let list: Vec<String> = generations.iter().map(ToString::to_string).collect();
        let later = |name: &str, table: &str, overrules: &str| {
            format!(
                "NOT EXISTS (SELECT 1 FROM {table} AS {name} WHERE {name}.target = ack.target AND \
                 {name}.generation IN ({}) AND {name}.bucket = ack.bucket AND {name}.object_key = \
                 ack.object_key AND {overrules})",
                list.join(", ")
            )
        };
        let condition = format!(
            "target = {} AND {} AND {}",
            self.target.literal(),
            later(
                "loaded",
                &self.tables.objects,
                "loaded.state = 'loaded' AND (loaded.etag = ack.etag OR loaded.loaded_at > \
                 ack.acknowledged_at)"
            ),
            later("failure", &self.tables.failures, "failure.etag <> ack.etag")
        );
        let sql = format!(
            "SELECT COUNT(*) AS ack_count FROM {} AS ack WHERE {condition}",
            self.tables.acks
        );
        let count = match self.rows(&sql).await?.pop() {
            Some(mut fields) => fields.take("ack_count")?,
            None => 0,
        };
        Ok((self.acknowledged(&condition, listed).await?, count))
    }

    /// Returns the first failures, and the number of all failures.
    async fn failed(
        &mut self,
        where_target: &str,
        listed: u64,
    ) -> Result<(Vec<FailedObject>, u64)> {
        if !self.has("failures") {
            return Ok((Vec::new(), 0));
        }
        let failures = self.tables.failures.clone();
        let counts = format!("{where_target}{}", self.and_not_acknowledged());
        let sql =
            format!("SELECT COUNT(*) AS failure_count FROM {failures} AS failure WHERE {counts}");
        let count = match self.rows(&sql).await?.pop() {
            Some(mut fields) => fields.take("failure_count")?,
            None => 0,
        };
        let sql = format!(
            "SELECT generation, bucket, object_key, etag, error_code, message, attempts, worker, \
             run_id, {}, {} \
             FROM {failures} AS failure \
             WHERE {counts} \
             ORDER BY generation, bucket, object_key LIMIT {listed}",
            time("first_failed_at"),
            time("last_failed_at")
        );
        let row = |mut fields: NamedRow| {
            Ok(FailedObject {
                generation: fields.take("generation")?,
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
                worker: fields.text("worker")?,
                run_id: fields.text("run_id")?,
            })
        };
        let failed: Result<Vec<FailedObject>> =
            self.rows(&sql).await?.into_iter().map(row).collect();
        Ok((failed?, count))
    }
}
