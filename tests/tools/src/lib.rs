//! Servers and generators that the demo, the tests and the benchmarks run beside the program.
//!
//! They are a package of their own, so that the demo builds this package and the program, and
//! nothing that only the tests need.

#![allow(
    clippy::missing_errors_doc,
    clippy::must_use_candidate,
    clippy::return_self_not_must_use,
    reason = "the library is not published; all of its callers are in this repository"
)]

pub mod hive;
pub mod s3;
