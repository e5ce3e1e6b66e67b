//! Counts the bytes of large objects on their way to the server, for the progress.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The bytes of one object that are sent and not yet counted as loaded. They no longer count when
/// this is dropped: then the object has its outcome.
#[derive(Debug)]
pub struct ObjectMeter {
    /// The sum over all objects of the run.
    all: Arc<AtomicU64>,
    counted: AtomicU64,
}

impl ObjectMeter {
    #[must_use]
    pub fn new(all: &Arc<AtomicU64>) -> Arc<Self> {
        Arc::new(Self { all: Arc::clone(all), counted: AtomicU64::new(0) })
    }

    fn add(&self, bytes: u64) {
        self.all.fetch_add(bytes, Ordering::Relaxed);
        self.counted.fetch_add(bytes, Ordering::Relaxed);
    }

    fn subtract(&self, bytes: u64) {
        self.all.fetch_sub(bytes, Ordering::Relaxed);
        self.counted.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Drop for ObjectMeter {
    fn drop(&mut self) {
        self.all.fetch_sub(*self.counted.get_mut(), Ordering::Relaxed);
    }
}

/// The bytes that the current attempt at an object, or at a part of it, has sent. Rows that are
/// sent twice, because the first time was not accepted, count once.
#[derive(Debug)]
pub struct SendMeter {
    object: Arc<ObjectMeter>,
    /// The bytes that the text counts for. A packed object has fewer bytes than its text.
    size_bytes: u64,
    text_bytes: u64,
    sent_bytes: AtomicU64,
}

impl SendMeter {
    #[must_use]
    pub fn new(object: Arc<ObjectMeter>, size_bytes: u64, text_bytes: u64) -> Arc<Self> {
        Arc::new(Self { object, size_bytes, text_bytes, sent_bytes: AtomicU64::new(0) })
    }

    pub(super) fn add(&self, bytes: u64) {
        let before = self.sent_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.object.add(self.share(before + bytes) - self.share(before));
    }

    /// Begins a new attempt: the server has rolled the last one back.
    pub(crate) fn restart(&self) {
        let sent = self.sent_bytes.swap(0, Ordering::Relaxed);
        self.object.subtract(self.share(sent));
    }

    fn share(&self, sent_bytes: u64) -> u64 {
        let sent = u128::from(sent_bytes.min(self.text_bytes));
        let share = sent * u128::from(self.size_bytes) / u128::from(self.text_bytes.max(1));
        u64::try_from(share).unwrap_or(self.size_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_count_once_until_they_are_rolled_back_or_the_object_has_its_outcome() {
        let all = Arc::new(AtomicU64::new(0));
        let counted = || all.load(Ordering::Relaxed);
        let object = ObjectMeter::new(&all);
        let other = ObjectMeter::new(&all);
        // Packed to a tenth of its text.
        let part = SendMeter::new(Arc::clone(&object), 100, 1000);
        let next = SendMeter::new(Arc::clone(&object), 50, 50);
        SendMeter::new(other, 7, 7).add(7);
        assert_eq!(counted(), 0, "the other object has its outcome");
        part.add(333);
        next.add(10);
        assert_eq!(counted(), 33 + 10);
        part.add(333);
        part.add(1);
        assert_eq!(counted(), 66 + 10);
        // Rows are sent again, one by one.
        part.add(1000);
        assert_eq!(counted(), 100 + 10);
        part.restart();
        assert_eq!(counted(), 10);
        part.add(1000);
        drop((part, next));
        assert_eq!(counted(), 110);
        drop(object);
        assert_eq!(counted(), 0);
    }
}
