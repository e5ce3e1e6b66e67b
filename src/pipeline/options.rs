//! The settings that the pipeline needs.

use crate::dialect::FormatConfig;
use crate::ledger::LedgerConfig;
use crate::load_data::LoadConfig;
use crate::retry::RetryConfig;
use crate::s3_uri::SourceUri;
use crate::staging::StagingConfig;
use crate::throttle::ThroughputConfig;

/// The settings of one run that its tasks share.
#[derive(Clone, Debug)]
pub(crate) struct PipelineOptions {
    pub uris: Vec<SourceUri>,
    pub format: FormatConfig,
    pub load: LoadConfig,
    pub ledger: LedgerConfig,
    pub staging: StagingConfig,
    pub throughput: ThroughputConfig,
    pub retry: RetryConfig,
}
