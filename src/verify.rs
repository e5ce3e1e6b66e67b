//! Verifies that a table holds what its objects hold. It compares sums over rows: the program
//! computes them from the objects' bytes, and the server from what it has stored.
//!
//! Counts and warnings show that the server took every row unchanged. The sums show it again at the
//! end of a job, without trusting any single response of a load. A row that was lost, duplicated,
//! or changed by anyone since then produces a different sum.
//!
//! - A [`ComparePlan`] says which columns can be compared: those whose stored values have exactly
//!   one text on the server, and whose text in the object is that text or determines it. The plan
//!   knows the text for a value, and the SQL that returns the server's text.
//! - A [`Digest`] holds the sums over some rows. Digests can be added, so that each object has its
//!   own in the ledger. Their order does not matter. Rejected rows are subtracted again.
//!
//! # What is summed
//!
//! A whole row is summed by the first 60 bits of the SHA-256 of an unambiguous text of all compared
//! columns, and each single column by the CRC-32 of its value. That is enough to name the columns
//! that differ, and to continue with the other columns if one drops out.
//!
//! A column drops out of a job when any object has a value in it that the server may store as
//! another text without a warning, such as `1e3` in an INT. The remaining columns are then compared
//! one by one, which does not detect values that were swapped between rows. A [`TableVerification`]
//! always reports this: it names every column that was not compared, and why.
//!
//! This module does no I/O.

mod canonical;
mod column;
mod compare_plan;
mod digest;
mod row_digest;

pub use column::Unverified;
pub use compare_plan::{ComparePlan, RowSum, TableVerification};
pub use digest::Digest;
pub use row_digest::RowDigest;
