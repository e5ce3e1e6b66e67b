//! The options of staging: the directory and the space that staged objects may take.

use std::path::PathBuf;

use crate::units::ByteSize;

/// The directory and the limits of staging.
#[derive(Clone, Debug)]
pub struct StagingConfig {
    pub dir: PathBuf,
    /// `None` stands for 2 GiB, at most half of the space that is free when the run starts.
    pub budget: Option<ByteSize>,
    pub download_concurrency: usize,
}
