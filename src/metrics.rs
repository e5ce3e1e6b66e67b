//! The metrics of a run, for Prometheus: a file for the textfile collector of `node_exporter`, and
//! a push to a Pushgateway.
//!
//! A run is a batch job, so every metric is a gauge about the last run. The time of the last
//! success outlives runs that fail.

mod exposition;
mod options;
mod push;

pub use exposition::{EndMetrics, ObjectCounts, RunMetrics, earlier_end};
pub use options::{Label, LabelError, MetricsConfig, PushUrl, PushUrlError};
pub use push::push;
