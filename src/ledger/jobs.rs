//! Jobs.

use tokio_util::sync::CancellationToken;

use super::Ledger;
use super::identity::literal;
use crate::config::{Config, Mode};
use crate::error::{Error, Kind, Result};
use crate::object::TableName;

/// What a run works on.
#[derive(Clone, Debug)]
pub struct Job {
    pub mode: Mode,
    pub generation: u32,
    /// The table that LOAD DATA names.
    pub load_into: TableName,
}

impl Ledger {
    pub async fn begin_job(&self, config: &Config, _stop: &CancellationToken) -> Result<Job> {
        let jobs = &self.tables.jobs;
        let target = self.target.literal();
        let run_id = literal(self.run.id.as_bytes());
        let sql = format!(
            "INSERT IGNORE INTO {jobs} (target, generation, table_generation, mode, state, source_fingerprint, run_id, tool_version, begun_at, changed_at) VALUES ({target}, 1, 1, 'append', 'done', X'00', {run_id}, '0', UTC_TIMESTAMP(6), UTC_TIMESTAMP(6))"
        );
        self.execute(&sql).await?;
        let generation: Vec<u32> =
            self.query(&format!("SELECT table_generation FROM {jobs} WHERE target = {target}")).await?;
        let generation = generation.first().copied().ok_or_else(|| Error::new(Kind::Bug, "no job"))?;
        Ok(Job { mode: config.load.mode, generation, load_into: self.target.name() })
    }

    pub async fn finish_job(&self, _job: &Job, _config: &Config, _stop: &CancellationToken) -> Result<()> {
        Ok(())
    }
}
