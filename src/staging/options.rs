//! Where objects are staged on local disk, and how much room they may take.

use std::path::PathBuf;

use crate::units::ByteSize;

/// Where and how much may be staged on local disk.
#[derive(Clone, Debug)]
pub struct StagingConfig {
    pub dir: PathBuf,
    /// `None`: 2 GiB, at most half of what is free when the run starts.
    pub budget: Option<ByteSize>,
    pub download_concurrency: usize,
}
