//! Reads the latest runs on a target, and finds out which of them are alive.

use super::{BATCH, Run, RunState};
use crate::error::Result;
use crate::ledger::admin::{LedgerAdmin, NamedRow, time};
use crate::ledger::identity::run_lock_name;
use crate::sql_text::bytes_literal;

/// The number of latest runs that are listed.
const RUNS_LISTED: u64 = 10;
/// The largest number of runs without an end, alive or dead, that are checked.
const OPEN_RUNS_LISTED: u64 = 1000;

impl LedgerAdmin {
    pub(super) async fn runs(&mut self) -> Result<Vec<Run>> {
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
        self.count_unended(&mut runs).await?;
        Ok(runs)
    }

    /// Returns the end of the last run after which every object was in the table, and the seconds
    /// since then.
    pub(super) async fn last_success(&mut self) -> Result<Option<(String, u64)>> {
        if !self.has("runs") {
            return Ok(None);
        }
        let sql = format!(
            "SELECT {}, \
             GREATEST(TIMESTAMPDIFF(SECOND, run.ended_at, UTC_TIMESTAMP(6)), 0) AS age_seconds \
             FROM {} AS run \
             WHERE target = {} AND exit_code IN (0, 7) AND objects_failed = 0 \
             ORDER BY run.ended_at DESC LIMIT 1",
            time("ended_at"),
            self.tables.runs,
            self.target.literal()
        );
        let Some(mut fields) = self.rows(&sql).await?.pop() else { return Ok(None) };
        Ok(Some((fields.text("ended_at")?, fields.take("age_seconds")?)))
    }

    /// Counts what the runs without an end have loaded so far, which their rows do not say.
    async fn count_unended(&mut self, runs: &mut [Run]) -> Result<()> {
        let ids: Vec<String> = runs
            .iter()
            .filter(|run| run.ended_at.is_none())
            .map(|run| bytes_literal(run.run_id.as_bytes()))
            .collect();
        if ids.is_empty() || !self.has("objects") {
            return Ok(());
        }
        let sql = format!(
            "SELECT run_id, COUNT(*) AS object_count, SUM(row_count) AS row_count, \
             SUM(size_bytes) AS size_bytes \
             FROM {} \
             WHERE target = {} AND run_id IN ({}) AND state = 'loaded' \
             GROUP BY run_id",
            self.tables.objects,
            self.target.literal(),
            ids.join(", ")
        );
        for mut fields in self.rows(&sql).await? {
            let id = fields.text("run_id")?;
            if let Some(run) = runs.iter_mut().find(|run| run.run_id == id) {
                run.objects_loaded = fields.take("object_count")?;
                run.rows = fields.take("row_count")?;
                run.bytes = fields.take("size_bytes")?;
            }
        }
        Ok(())
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
