//! Holds the validated settings of one run.
//!
//! [`resolve()`] combines flags, environment, file and defaults. It returns either a [`Config`] in
//! which every value is present, in range and consistent with the others, or all problems at once.
//! Nothing past this module looks at a flag or an environment variable. The [`Config`] itself stops
//! at [`crate::commands`], which hands the layers below only the settings that they need.

mod conflicts;
mod create_table;
mod database_url;
mod format;
mod jobs;
mod json;
mod ledger;
mod load;
mod metrics;
mod other_formats;
mod parquet;
mod readings;
pub(crate) mod resolve;
mod source;
mod target;
#[cfg(test)]
mod tests;
mod throughput;
mod unknown_variables;

pub use jobs::{JobConfig, ResolvedJobs, resolve_jobs};
pub use resolve::{Inputs, Resolved, resolve};

use std::time::Duration;

use crate::create_table::CreateTableConfig;
use crate::dialect::FormatConfig;
use crate::ledger::{AdminOptions, JobOptions, LedgerConfig};
use crate::load_data::LoadConfig;
use crate::metrics::MetricsConfig;
use crate::mysql::{TargetConfig, Timeouts};
use crate::pipeline::PipelineOptions;
use crate::preflight::PreflightOptions;
use crate::report::OutputConfig;
use crate::retry::RetryConfig;
use crate::source::SourceConfig;
use crate::staging::StagingConfig;
use crate::throttle::ThroughputConfig;

/// The validated settings of a run.
#[derive(Clone, Debug)]
pub struct Config {
    pub source: SourceConfig,
    pub staging: StagingConfig,
    pub format: FormatConfig,
    pub target: TargetConfig,
    /// Set if a table that does not exist is to be created.
    pub create_table: Option<CreateTableConfig>,
    pub ledger: LedgerConfig,
    pub load: LoadConfig,
    pub throughput: ThroughputConfig,
    pub retry: RetryConfig,
    /// The time to wait for the database and the store, if they are to be waited for.
    pub wait: Option<Duration>,
    pub output: OutputConfig,
    pub metrics: MetricsConfig,
}

impl Config {
    /// Returns the settings that a preflight checks.
    #[must_use]
    pub fn preflight(&self) -> PreflightOptions<'_> {
        PreflightOptions {
            target: &self.target,
            format: &self.format,
            load: &self.load,
            ledger: &self.ledger,
            retry: &self.retry,
        }
    }

    /// Returns the settings with which `status` and `forget` reach the ledger.
    pub(crate) fn ledger_admin(&self) -> AdminOptions<'_> {
        AdminOptions { target: &self.target, ledger: &self.ledger, timeouts: self.timeouts() }
    }

    /// Returns the limits on waiting for the database server. They are those for the store too.
    #[must_use]
    pub fn timeouts(&self) -> Timeouts {
        Timeouts {
            connect: self.source.connect_timeout,
            stall: self.source.stall_timeout,
            // What waits for a lock is tried again until then, and must not wait longer.
            lock: self.retry.max_elapsed,
        }
    }

    /// Returns the settings that define the job of the run.
    pub(crate) fn job(&self) -> JobOptions<'_> {
        JobOptions {
            source: &self.source,
            format: &self.format,
            mode: self.load.mode,
            swap_keep_old: self.load.swap_keep_old,
            defer_indexes: self.load.defer_indexes,
            force: self.ledger.force,
            on_duplicate: self.load.on_duplicate,
        }
    }

    /// Returns the settings that the tasks of a run share.
    pub(crate) fn pipeline(&self) -> PipelineOptions {
        PipelineOptions {
            uris: self.source.uris.clone(),
            format: self.format.clone(),
            load: self.load.clone(),
            ledger: self.ledger.clone(),
            staging: self.staging.clone(),
            throughput: self.throughput.clone(),
            retry: self.retry.clone(),
        }
    }
}
