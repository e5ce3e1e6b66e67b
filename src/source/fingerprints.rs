//! A set of texts that remembers sixteen bytes of each.

use std::collections::HashSet;
use std::hash::{BuildHasher, Hash, RandomState};

/// A set of 128-bit hashes: with a million members, the probability of a false match is below
/// 1e-26.
#[derive(Debug, Default)]
pub struct Fingerprints {
    hashes: HashSet<u128>,
    states: [RandomState; 2],
}

impl Fingerprints {
    /// Returns false if the member was inserted before.
    pub fn insert(&mut self, member: impl Hash) -> bool {
        let hash = self.hash(member);
        self.hashes.insert(hash)
    }

    #[must_use]
    pub fn contains(&self, member: impl Hash) -> bool {
        !self.hashes.is_empty() && self.hashes.contains(&self.hash(member))
    }

    pub(super) fn len(&self) -> usize {
        self.hashes.len()
    }

    fn hash(&self, member: impl Hash) -> u128 {
        let [high, low] = self.states.each_ref().map(|state| u128::from(state.hash_one(&member)));
        high << 64 | low
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_named_twice_is_taken_once_and_buckets_are_told_apart() {
        let mut named = Fingerprints::default();
        assert!(named.insert(("b", "k")));
        assert!(!named.insert(("b", "k")));
        assert!(named.insert(("bk", "")));
        assert!(named.contains(("b", "k")));
        assert!(!named.contains(("b", "kk")));
        assert_eq!(named.len(), 2);
    }
}
