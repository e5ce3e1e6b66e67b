//! The settings that a preflight needs.

use crate::dialect::FormatConfig;
use crate::ledger::LedgerConfig;
use crate::load_data::LoadConfig;
use crate::mysql::TargetConfig;
use crate::retry::RetryConfig;
use crate::sql_text::may_set_time_zone;

/// The settings that a preflight checks against the target.
#[derive(Clone, Copy, Debug)]
pub struct PreflightOptions<'a> {
    pub target: &'a TargetConfig,
    pub format: &'a FormatConfig,
    pub load: &'a LoadConfig,
    pub ledger: &'a LedgerConfig,
    pub retry: &'a RetryConfig,
}

impl PreflightOptions<'_> {
    /// Returns true if the user's own statements may set the time zone of the sessions.
    pub(crate) fn sets_time_zone(&self) -> bool {
        self.target.init_sql.iter().any(|sql| may_set_time_zone(sql))
    }
}
