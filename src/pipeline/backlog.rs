//! Holds the objects that the selector has not passed on yet.
//!
//! Objects that another run has claimed are set apart here with the time since when they wait, so
//! that a claim that no run holds is noticed.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use crate::object::Object;

/// The objects that the selector holds.
#[derive(Default)]
pub(super) struct Backlog {
    /// Objects that the ledger did not show as loaded, and that are not claimed yet.
    pub(super) page: VecDeque<Object>,
    /// Objects that other runs had claimed.
    pub(super) claimed_elsewhere: VecDeque<Object>,
    /// The waits for these, by bucket and key.
    pub(super) waits: HashMap<(String, String), ClaimWait>,
}

/// The wait for the claim of one object.
#[derive(Clone, Copy)]
pub(super) struct ClaimWait {
    pub(super) since: Instant,
    /// True if it was reported that the holder is no run.
    pub(super) is_reported: bool,
}

impl Backlog {
    pub(super) fn set_aside(&mut self, object: Object) {
        let place = (object.bucket.clone(), object.key.clone());
        let wait = ClaimWait { since: Instant::now(), is_reported: false };
        self.waits.entry(place).or_insert(wait);
        self.claimed_elsewhere.push_back(object);
    }

    pub(super) fn wait(&mut self, object: &Object) -> Option<&mut ClaimWait> {
        self.waits.get_mut(&(object.bucket.clone(), object.key.clone()))
    }
}
