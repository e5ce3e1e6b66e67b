//! The commands: each takes a [`crate::config::Config`], does its work and returns a [`RunResult`].
//!
//! `load`, `plan` and `check` begin in the same way (`startup`): they list the objects and check
//! the source, the staging directory and the target at the same time, and report all problems
//! together. `load` and `check` then run the pipeline. `status`, `forget` and `ack` use only the
//! ledger, and `report` only the reports of runs. `wait`, like `--wait`, only waits until both
//! sides answer (`waiting`).
//!
//! The commands are the only code that sees the whole configuration. They hand each layer below
//! only the settings that it needs.

mod ack;
mod check;
mod forget;
mod jobs;
mod load;
mod metrics;
mod new_table;
mod outcome;
mod plan;
mod report;
mod startup;
mod status;
mod waiting;

pub use ack::ack;
pub use check::check;
pub use forget::forget;
pub use jobs::{check_jobs, load_jobs, plan_jobs, status_jobs};
pub use load::load;
pub use outcome::RunResult;
pub use plan::plan;
pub use report::report;
pub use status::{StatusForm, status};
pub use waiting::wait;
