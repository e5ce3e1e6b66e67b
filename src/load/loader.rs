//! Everything that the loads of a run share.

use std::sync::atomic::AtomicBool;

use crate::isolate::SharedSetup;
use crate::load_data::Plan;

/// A plan, with what the loads by it learn of the server. All connections share it.
#[derive(Debug)]
pub struct Loader {
    pub plan: Plan,
    pub(crate) isolation_setup: SharedSetup,
    /// True once a whole-object statement did not identify the bad rows. Later objects skip that
    /// attempt.
    pub(super) skip_whole_attempt: AtomicBool,
}

impl Loader {
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        Self {
            plan,
            isolation_setup: SharedSetup::default(),
            skip_whole_attempt: AtomicBool::new(false),
        }
    }
}
