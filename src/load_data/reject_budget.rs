//! Limits how many rows may be rejected.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, ErrorKind, Result};

/// The number of rows that the run, or one object, may still reject.
#[derive(Debug)]
pub struct RejectBudget {
    pub(crate) limit: u64,
    pub(crate) left: AtomicU64,
}

impl RejectBudget {
    pub(crate) fn new(limit: Option<u64>) -> Self {
        let limit = limit.unwrap_or(u64::MAX);
        Self { limit, left: AtomicU64::new(limit) }
    }

    /// Budget for one object: `limit` minus the rows that earlier runs rejected.
    #[must_use]
    pub fn of_object(limit: u64, rejected_before: u64) -> Self {
        Self { limit, left: AtomicU64::new(limit.saturating_sub(rejected_before)) }
    }

    pub(crate) fn left(&self) -> u64 {
        self.left.load(Ordering::Relaxed)
    }

    /// Returns the error for an object whose parts together have used up its budget.
    pub(crate) fn too_many(&self, what: &str) -> Error {
        let message = format!(
            "{what}: with its rejected rows and those of the object's other parts there would be \
             more than {}, which --max-rejects does not allow; rolled back",
            self.limit
        );
        Error::new(ErrorKind::TooManyRejects, message)
    }

    /// Takes `rows` from the budget. They go back when the reservation is dropped, unless
    /// [`Reservation::commit`] was called.
    pub(crate) fn reserve(&self, what: &str, rows: u64) -> Result<Reservation<'_>> {
        let reserved = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(rows));
        if reserved.is_err() {
            let message = format!(
                "{what}: with its {rows} rejected rows the run would have more than {}, which \
                 --max-rejects-total does not allow; rolled back",
                self.limit
            );
            return Err(Error::new(ErrorKind::RejectsExhausted, message));
        }
        Ok(Reservation { budget: self, rows })
    }
}

/// Rejected rows of a transaction that is not committed yet.
#[derive(Debug)]
pub struct Reservation<'a> {
    pub(crate) budget: &'a RejectBudget,
    pub(crate) rows: u64,
}

impl Reservation<'_> {
    /// Uses the rows up: the transaction is committed.
    pub fn commit(mut self) {
        self.rows = 0;
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        self.budget.left.fetch_add(self.rows, Ordering::Relaxed);
    }
}
