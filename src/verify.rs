//! Whether a table holds what its objects hold: sums over rows, made here of the objects' bytes and
//! there by the server of what it has stored.
//!
//! Counts and warnings tell that the server took every row as it stood. The sums tell it again, at
//! the end of a job and without having to trust a single answer of a load: a row that was lost,
//! doubled, or changed by anybody since makes another sum.
//!
//! - A [`ComparePlan`] says which columns can be compared: those for whose stored value the server has one
//!   text only, and that an object writes in that text, or in one of which it follows. It knows
//!   that text for a value, and the SQL that gives the server's.
//! - A [`Digest`] is the sums over some rows. Digests add up, so that each object has its own in
//!   the ledger, and their order means nothing; rows that are held back are taken off again.
//!
//! # What is summed
//!
//! For whole rows the first 60 bits of the SHA-256 of an unambiguous text of all compared columns.
//! For each column by itself the CRC-32 of its value: enough to name the columns that differ, and
//! to go on comparing the others where a column drops out.
//!
//! A column drops out of a job when any object has a value in it that the server may have stored as
//! another text without a warning, such as `1e3` in an INT. What is left is compared column by
//! column then, which does not show values that have changed places between rows. That is told,
//! never passed over: a [`TableVerification`] names every column and why.
//!
//! Pure: no I/O.

mod canonical;
mod column;
mod compare_plan;
mod digest;
mod row_digest;

pub use column::{ColumnFacts, Unverified};
pub use compare_plan::{ComparePlan, RowSum, TableVerification};
pub use digest::Digest;
pub use row_digest::RowDigest;
