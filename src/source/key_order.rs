//! The order of a listing's keys, which shows if a key is listed twice.
//!
//! S3 lists keys in the order of their UTF-8 bytes, so a key that is greater than all before it is
//! new, and nothing else need be remembered. S3 directory buckets and some other stores list in an
//! order of their own. They show it within their first pages; for them, a hash of each key is
//! remembered.

use super::fingerprints::Fingerprints;

/// The number of keys in order after which a store counts as one that lists in order: fifty pages,
/// whose hashes take a MiB.
const ORDERED_KEYS: usize = 50_000;

/// The keys of one listing so far.
#[derive(Debug)]
pub(super) struct KeyOrder {
    greatest: Option<String>,
    /// `None` as soon as the store counts as one that lists in order.
    seen: Option<Fingerprints>,
    is_ordered: bool,
}

/// The reason why a key is not known to be new.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotNew {
    #[error("the listing has it twice")]
    Repeated,
    #[error(
        "the listing has it after a greater key, although it was in order before, so it may be a \
         repeat"
    )]
    OutOfOrder,
}

impl Default for KeyOrder {
    fn default() -> Self {
        Self { greatest: None, seen: Some(Fingerprints::default()), is_ordered: true }
    }
}

impl KeyOrder {
    /// Adds the next key of the listing, unless it may have been listed before.
    pub(super) fn admit(&mut self, key: &str) -> Result<(), NotNew> {
        if let Some(seen) = &mut self.seen
            && !seen.insert(key)
        {
            return Err(NotNew::Repeated);
        }
        match &mut self.greatest {
            Some(greatest) if key <= greatest.as_str() => {
                if self.seen.is_none() {
                    let is_repeated = key == greatest;
                    return Err(if is_repeated { NotNew::Repeated } else { NotNew::OutOfOrder });
                }
                self.is_ordered = false;
            }
            Some(greatest) => key.clone_into(greatest),
            none => *none = Some(key.to_owned()),
        }
        if self.is_ordered && self.seen.as_ref().is_some_and(|seen| seen.len() >= ORDERED_KEYS) {
            self.seen = None;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeat_is_refused_whatever_the_order() {
        let mut order = KeyOrder::default();
        for key in ["b", "a", "c"] {
            assert_eq!(order.admit(key), Ok(()));
        }
        for key in ["a", "b", "c"] {
            assert_eq!(order.admit(key), Err(NotNew::Repeated));
        }
    }

    #[test]
    fn keys_in_order_are_not_remembered() {
        let mut order = KeyOrder::default();
        for number in 0..ORDERED_KEYS {
            assert_eq!(order.admit(&format!("{number:06}")), Ok(()));
        }
        assert!(order.seen.is_none());
        assert_eq!(order.admit("049999"), Err(NotNew::Repeated));
        assert_eq!(order.admit("000007"), Err(NotNew::OutOfOrder));
        assert_eq!(order.admit("050000"), Ok(()));
    }

    #[test]
    fn keys_without_an_order_are_all_remembered() {
        let mut order = KeyOrder::default();
        for number in (0..ORDERED_KEYS + 5).rev() {
            assert_eq!(order.admit(&format!("{number:06}")), Ok(()));
        }
        assert_eq!(order.admit("000007"), Err(NotNew::Repeated));
    }
}
