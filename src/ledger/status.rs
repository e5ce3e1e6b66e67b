//! The status of one target, read from the ledger.
//!
//! It is quick on large ledgers: every query is a range of a primary key, and fetches only what is
//! listed. Nothing is locked, so the answers are from slightly different moments: a run in progress
//! may show in one answer and not yet in another.

use std::collections::HashMap;

use serde::Serialize;
use strum::IntoStaticStr;

use super::admin::{LedgerAdmin, NamedRow, time};
use super::identity::{object_id, run_lock_name};
use super::parts::numbers;
use crate::error::Result;
use crate::sql_text::{TableName, bytes_literal};

/// The number of latest runs that are listed.
const RUNS_LISTED: u64 = 10;
/// The largest number of runs without an end, alive or dead, that are checked.
const OPEN_RUNS_LISTED: u64 = 1000;
/// The number of hashes in one query.
const BATCH: usize = 500;

/// The status of one target, as its ledger records it.
#[derive(Clone, Debug)]
pub struct Status {
    pub target: TableName,
    pub ledger: TableName,
    /// The target's job. `None` if nothing has been loaded with this ledger.
    pub job: Option<JobStatus>,
    /// The contents of the table that readers see.
    pub table: Sums,
    /// The contents of the table that a swap in progress will put in its place.
    pub shadow: Option<Sums>,
    pub partial: Vec<Partial>,
    pub in_flight: Vec<InFlight>,
    /// The failed objects, or the first of them if not all were requested.
    pub failed: Vec<FailedObject>,
    pub objects_failed: u64,
    /// The latest runs, newest first, then any older runs that are alive.
    pub runs: Vec<Run>,
}

/// The job that all runs on the target share.
#[derive(Clone, Debug, Serialize)]
pub struct JobStatus {
    /// The generation of the rows that the job loads.
    pub generation: u32,
    /// The generation of the rows that readers see.
    pub table_generation: u32,
    /// `append`, `truncate` or `swap`.
    pub mode: String,
    /// How far the job has come.
    pub state: String,
    /// The table that the last swap kept. `null` if there is none.
    pub old_table: Option<String>,
    /// The run that began the job.
    pub run_id: String,
    /// The version of the program that began it.
    pub tool_version: String,
    /// RFC 3339, in UTC.
    pub begun_at: String,
    /// RFC 3339, in UTC.
    pub changed_at: String,
    /// The definitions of the secondary indexes that the job must still add: to the table itself
    /// for a truncate, to the table that will take its place for a swap.
    pub deferred_indexes: Vec<String>,
}

/// The sums over one generation of the table's rows.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Sums {
    pub generation: u32,
    /// Objects whose rows are all in the table.
    pub objects_loaded: u64,
    /// Objects of which some parts are in the table.
    pub objects_partial: u64,
    /// Data rows in these objects and parts.
    pub rows: u64,
    /// Rows that the server did not store, because of their keys or for a reason that the policy
    /// accepts.
    pub skipped: u64,
    /// Rows of the table that `--on-duplicate replace` deleted, or `update` found.
    pub deleted: u64,
    /// Rows that were written to reject files instead of the table.
    pub rejected: u64,
    /// Warnings that the server gave.
    pub warnings: u64,
    /// Bytes of the loaded objects.
    pub bytes: u64,
}

/// An object with some, but not all, of its parts loaded.
#[derive(Clone, Debug, Serialize)]
pub struct Partial {
    pub generation: u32,
    pub bucket: String,
    pub key: String,
    pub etag: String,
    pub size_bytes: u64,
    pub part_size_bytes: u64,
    /// The number of parts that the object has.
    pub parts: u64,
    /// The number of parts that are loaded.
    pub parts_loaded: u64,
}

/// An object whose transaction is open: it has inserted its ledger row, but nothing counts that row
/// yet.
#[derive(Clone, Debug, Serialize)]
pub struct InFlight {
    pub generation: u32,
    pub bucket: String,
    pub key: String,
    pub etag: String,
    pub size_bytes: u64,
    /// The host that loads it.
    pub worker: String,
    /// The run that loads it.
    pub run_id: String,
    /// RFC 3339, in UTC.
    pub since: String,
}

/// An object that could not be loaded.
#[derive(Clone, Debug, Serialize)]
pub struct FailedObject {
    pub generation: u32,
    pub bucket: String,
    pub key: String,
    pub etag: String,
    /// Why it failed last.
    pub error: FailureReason,
    /// How often it was tried, over all runs.
    pub attempts: u64,
    /// RFC 3339, in UTC.
    pub first_failed_at: String,
    /// RFC 3339, in UTC.
    pub last_failed_at: String,
    /// The host that tried it last.
    pub worker: String,
    /// The run that tried it last.
    pub run_id: String,
}

/// Why an object could not be loaded.
#[derive(Clone, Debug, Serialize)]
pub struct FailureReason {
    /// The stable name of the kind of error.
    pub code: String,
    pub message: String,
}

/// One execution of the program.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    pub run_id: String,
    /// 0 if the run ended before it knew its generation.
    pub generation: u32,
    /// `append`, `truncate` or `swap`.
    pub mode: String,
    /// The URIs and the file of keys that it was given.
    pub source: String,
    /// The host that it ran on.
    pub worker: String,
    pub tool_version: String,
    /// RFC 3339, in UTC.
    pub started_at: String,
    /// RFC 3339, in UTC. `null` if the run has not ended, or died.
    pub ended_at: Option<String>,
    pub state: RunState,
    /// `null` if the run has not ended, or died.
    pub exit_code: Option<u64>,
    pub objects_loaded: u64,
    pub objects_already_loaded: u64,
    pub objects_failed: u64,
    pub rows: u64,
    pub bytes: u64,
}

/// The state of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, Serialize)]
#[serde(into = "&'static str")]
#[strum(serialize_all = "snake_case")]
pub enum RunState {
    /// Its connection holds its advisory lock.
    Running,
    Ended,
    /// The run never recorded its end, and its lock is free.
    Died,
}

impl RunState {
    /// Returns the state's word, which never changes once released.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

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
        let runs = self.runs().await?;
        Ok(Status {
            target: self.target.name(),
            ledger: self.ledger(),
            job,
            table,
            shadow,
            partial,
            in_flight,
            failed,
            objects_failed,
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
            // Text that cannot be parsed is shown as it is.
            Some(text) => serde_json::from_str(&text).unwrap_or_else(|_| vec![text]),
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
        let sql = format!("SELECT COUNT(*) AS failure_count FROM {failures} WHERE {where_target}");
        let count = match self.rows(&sql).await?.pop() {
            Some(mut fields) => fields.take("failure_count")?,
            None => 0,
        };
        let sql = format!(
            "SELECT generation, bucket, object_key, etag, error_code, message, attempts, worker, \
             run_id, {}, {} \
             FROM {failures} \
             WHERE {where_target} \
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

    async fn runs(&mut self) -> Result<Vec<Run>> {
        if !self.has("runs") {
            return Ok(Vec::new());
        }
        let mut runs = self.runs_where("TRUE", RUNS_LISTED).await?;
        let latest = runs.len();
        let open = self.runs_where("ended_at IS NULL", OPEN_RUNS_LISTED).await?;
        let is_new = |run: &Run| runs.iter().all(|known| known.run_id != run.run_id);
        let older: Vec<Run> = open.into_iter().filter(is_new).collect();
        runs.extend(older);
        let alive = self.alive(&runs).await?;
        let mut place = 0;
        runs.retain(|run| {
            place += 1;
            place <= latest || alive.contains(&run.run_id)
        });

        // A run that ended between the read of its row and that of its lock shows neither an end
        // nor a lock. Now its row shows the end.
        let unclear = |run: &&Run| run.ended_at.is_none() && !alive.contains(&run.run_id);
        let unclear: Vec<String> =
            runs.iter().filter(unclear).map(|run| bytes_literal(run.run_id.as_bytes())).collect();
        if !unclear.is_empty() {
            let condition = format!("run_id IN ({})", unclear.join(", "));
            for known_now in self.runs_where(&condition, OPEN_RUNS_LISTED).await? {
                if let Some(run) = runs.iter_mut().find(|run| run.run_id == known_now.run_id) {
                    *run = known_now;
                }
            }
        }
        for run in &mut runs {
            if run.ended_at.is_none() && alive.contains(&run.run_id) {
                run.state = RunState::Running;
            }
        }
        Ok(runs)
    }

    async fn runs_where(&mut self, condition: &str, limit: u64) -> Result<Vec<Run>> {
        let sql = format!(
            "SELECT run_id, generation, mode, source, worker, tool_version, {}, {}, exit_code, \
             objects_loaded, objects_already_loaded, objects_failed, row_count, loaded_bytes \
             FROM {} AS run \
             WHERE target = {} AND {condition} \
             ORDER BY run.started_at DESC, run_id DESC LIMIT {limit}",
            time("started_at"),
            time("ended_at"),
            self.tables.runs,
            self.target.literal()
        );
        let row = |mut fields: NamedRow| {
            let ended_at = fields.optional_text("ended_at")?;
            Ok(Run {
                run_id: fields.text("run_id")?,
                generation: fields.take("generation")?,
                mode: fields.text("mode")?,
                source: fields.text("source")?,
                worker: fields.text("worker")?,
                tool_version: fields.text("tool_version")?,
                started_at: fields.text("started_at")?,
                state: if ended_at.is_some() { RunState::Ended } else { RunState::Died },
                ended_at,
                exit_code: fields.take("exit_code")?,
                objects_loaded: fields.take("objects_loaded")?,
                objects_already_loaded: fields.take("objects_already_loaded")?,
                objects_failed: fields.take("objects_failed")?,
                rows: fields.take("row_count")?,
                bytes: fields.take("loaded_bytes")?,
            })
        };
        self.rows(&sql).await?.into_iter().map(row).collect()
    }

    /// Returns the ids of the runs whose lock is held.
    async fn alive(&mut self, runs: &[Run]) -> Result<Vec<String>> {
        let mut alive = Vec::new();
        for batch in runs.chunks(BATCH) {
            let names: Vec<String> = batch
                .iter()
                .map(|run| {
                    let (id, lock) =
                        (bytes_literal(run.run_id.as_bytes()), run_lock_name(&run.run_id));
                    format!("SELECT {id} AS run_id, '{lock}' AS lock_name")
                })
                .collect();
            let sql = format!(
                "SELECT run_id FROM ({}) AS run WHERE IS_USED_LOCK(lock_name) IS NOT NULL",
                names.join(" UNION ALL ")
            );
            for mut fields in self.rows(&sql).await? {
                alive.push(fields.text("run_id")?);
            }
        }
        Ok(alive)
    }
}
