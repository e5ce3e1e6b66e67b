//! The foundation of the tests: real servers, a real S3 endpoint, and the program, run from
//! outside.

pub mod conversation;
pub mod lines;
pub mod link;
pub mod many_bad_rows;
pub mod numbered_rows;
pub mod program;
pub mod proxy;
pub mod raw_store;
pub mod read_all;
pub mod rogue;
pub mod round_trip_log;
pub mod s3;
pub mod servers;
pub mod terminal;
pub mod thief;
pub mod tpch;
pub mod until;
pub mod values;

pub use test_tools::hive;
