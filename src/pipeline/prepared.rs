//! What startup hands to the pipeline.

use tokio::task::JoinHandle;

use super::work::ObjectStream;
use crate::error::Result;
use crate::mysql::{Connector, Session};
use crate::preflight::Preflight;
use crate::rejects::Rejects;
use crate::source::{S3, SkippedKeys};
use crate::staging::Budget;
use crate::throttle::Throttle;

/// A run that can begin: its listing is under way.
pub(crate) struct Prepared {
    pub(crate) s3: S3,
    pub(crate) budget: Budget,
    pub(crate) connector: Connector,
    pub(crate) preflight: Preflight,
    /// The connection of the preflight, idle until somebody takes it.
    pub(crate) session: Option<Session>,
    /// Where rejected rows go, once [`open_rejects`] has looked there.
    pub(crate) rejects: Option<Rejects>,
    /// What makes the run pause, where something shall.
    pub(crate) throttle: Option<Throttle>,
    pub(crate) listing: JoinHandle<Result<SkippedKeys>>,
    pub(crate) objects: ObjectStream,
    pub(crate) warnings: Vec<String>,
}
