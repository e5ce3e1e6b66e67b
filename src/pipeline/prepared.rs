//! The prepared run that startup hands to the pipeline.

use tokio::task::JoinHandle;

use super::download_slots::DownloadSlots;
use super::shared_pool::SharedPool;
use super::work::ObjectStream;
use crate::error::Result;
use crate::mysql::{Connector, Session};
use crate::preflight::Preflight;
use crate::rejects::Rejects;
use crate::source::{S3, SkippedKeys};
use crate::staging::Budget;
use crate::throttle::Throttle;

/// A run that is ready to begin, with its listing under way.
pub(crate) struct Prepared {
    pub(crate) s3: S3,
    pub(crate) budget: Budget,
    pub(crate) connector: Connector,
    pub(crate) downloads: DownloadSlots,
    /// The connections of several tables. `None` if the run has one table.
    pub(crate) pool: Option<SharedPool>,
    pub(crate) preflight: Preflight,
    /// The preflight's connection, idle until something takes it.
    pub(crate) session: Option<Session>,
    /// The destination of rejected rows, once startup has opened it.
    pub(crate) rejects: Option<Rejects>,
    /// The throttle that pauses the run, if one is configured.
    pub(crate) throttle: Option<Throttle>,
    pub(crate) listing: JoinHandle<Result<SkippedKeys>>,
    pub(crate) objects: ObjectStream,
    pub(crate) warnings: Vec<String>,
}
