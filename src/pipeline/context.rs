//! What every task of a run shares.

use std::sync::Arc;

use super::options::PipelineOptions;
use crate::check::Check;
use crate::isolate::Plan;
use crate::ledger::{Job, Ledger};
use crate::mysql::Sessions;
use crate::preflight::Preflight;
use crate::shutdown::Shutdown;
use crate::source::S3;
use crate::split::{RowLocator, RowReader};
use crate::staging::{Budget, StagingFiles};
use crate::throttle::ConcurrencyLimiter;

/// What the stages share.
pub(crate) struct Context {
    pub(crate) options: PipelineOptions,
    pub(crate) s3: S3,
    pub(crate) budget: Budget,
    pub(crate) staging_files: StagingFiles,
    pub(crate) preflight: Preflight,
    /// At the beginning of an object, for each to be cloned.
    pub(crate) reader: RowReader,
    pub(crate) locator: RowLocator,
    pub(crate) purpose: Purpose,
    /// `None`: at least once.
    pub(crate) ledger: Option<(Ledger, Job)>,
    pub(crate) sessions: Sessions,
    pub(crate) limiter: Arc<ConcurrencyLimiter>,
    pub(crate) shutdown: Shutdown,
}

impl Context {
    /// How objects are sent first.
    pub(crate) fn plan(&self) -> &Plan {
        match &self.purpose {
            Purpose::Load(plan) => plan,
            Purpose::Check(checking) => &checking.check.collect_all,
        }
    }
}

/// What staged objects are for.
pub(crate) enum Purpose {
    /// The table that the job loads into.
    Load(Box<Plan>),
    Check(Checking),
}

/// What a check does with staged objects.
pub(crate) struct Checking {
    pub(crate) check: Box<Check>,
    /// Only so many rows of each object are looked at.
    pub(crate) sample: Option<u64>,
}
