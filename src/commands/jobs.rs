//! The commands for a jobs file: one process, and one verdict, for many tables.
//!
//! All tables share the staging budget, the downloads, the connections that load and the limits on
//! all of these. Up to eight tables are loaded at once, each by a pipeline of its own, parents
//! before the tables whose foreign keys refer to them.

mod load;
mod order;
mod others;
mod survey;

pub use load::load_jobs;
pub use others::{check_jobs, plan_jobs, status_jobs};

use crate::config::JobConfig;
use crate::source::SourceConfig;

/// Returns the sources of all jobs, for what is done once for all of them.
fn all_sources(first: &JobConfig, jobs: &[JobConfig]) -> SourceConfig {
    SourceConfig {
        uris: jobs.iter().flat_map(|job| job.config.source.uris.clone()).collect(),
        keys_from: None,
        ..first.config.source.clone()
    }
}

fn names_of(jobs: &[JobConfig], indexes: &[usize]) -> Vec<String> {
    indexes.iter().filter_map(|index| jobs.get(*index)).map(|job| job.name.clone()).collect()
}
