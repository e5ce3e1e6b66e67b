//! The settings that a preflight needs.

use crate::dialect::FormatConfig;
use crate::ledger::LedgerConfig;
use crate::load_data::LoadConfig;
use crate::mysql::TargetConfig;
use crate::retry::RetryConfig;

/// The settings that a preflight checks against the target.
#[derive(Clone, Copy, Debug)]
pub struct PreflightOptions<'a> {
    pub target: &'a TargetConfig,
    pub format: &'a FormatConfig,
    pub load: &'a LoadConfig,
    pub ledger: &'a LedgerConfig,
    pub retry: &'a RetryConfig,
}
