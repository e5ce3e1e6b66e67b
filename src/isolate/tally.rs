//! Counts everything that is wrong with an object, for a check.

use std::collections::BTreeMap;

use crate::error::BadRow;
use crate::load_data::Diagnostic;

/// The flagged rows of an object, by reason.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) by_code: BTreeMap<u16, u64>,
    pub(crate) shown: Vec<BadRow>,
}

impl Tally {
    /// Counts the warnings about one row.
    pub(crate) fn count<'w>(&mut self, warnings: impl Iterator<Item = &'w Diagnostic>) {
        for warning in warnings {
            *self.by_code.entry(warning.code).or_default() += 1;
        }
    }
}
