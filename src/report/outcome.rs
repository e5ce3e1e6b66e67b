//! The outcome of one object.

use super::timing::Timing;
use crate::check::Checked;
use crate::error::Error;
use crate::load_data::LoadStats;
use crate::object::Object;
use crate::staging;
use crate::unpack::Codecs;

/// The outcome of one object.
#[derive(Debug)]
pub enum Outcome {
    Loaded {
        object: Object,
        stats: Box<LoadStats>,
        verified: staging::Integrity,
        /// The codecs of a packed object.
        codecs: Option<Codecs>,
        /// True if the ledger recorded the object as loaded, and `--force` loaded it again.
        again: bool,
        attempts: u32,
        timing: Timing,
    },
    /// `check` assessed the object, without loading it.
    Checked {
        object: Object,
        checked: Box<Checked>,
        verified: staging::Integrity,
        /// The codecs of a packed object.
        codecs: Option<Codecs>,
        attempts: u32,
        timing: Timing,
    },
    /// An earlier run loaded the object, or another run did so in the meantime.
    AlreadyLoaded { object: Object },
    /// The object was loaded with other content, which is to stay.
    SkippedChanged { object: Object },
    /// Somebody has acknowledged that the object cannot be loaded, and it has not changed since.
    Acknowledged { object: Object },
    Failed {
        bucket: String,
        key: String,
        object: Option<Object>,
        /// True if an earlier run failed to load the same content.
        is_known: bool,
        error: Error,
        attempts: u32,
        timing: Timing,
    },
    /// The object was listed, but the run ended first.
    NotReached { object: Object },
}
