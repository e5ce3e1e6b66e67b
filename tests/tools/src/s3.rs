//! An S3 endpoint for the tests, the demo and the benchmarks.
//!
//! It listens on a real socket of 127.0.0.1, checks `SigV4` signatures, and does what S3 does for
//! the operations that the program relies on: `ListObjectsV2`, `GetObject`, `HeadObject` and
//! `HeadBucket`. It also supports `PutObject`, `DeleteObject`, `CreateBucket` and
//! `PutBucketVersioning`, so that the contract suite can fill any store the same way. The `s3s`
//! crate provides the protocol; this module decides what is stored, which errors are returned and
//! which faults occur. The tests' `contract.rs` runs the same checks against this endpoint and
//! against an independent one, so that the endpoint is not tested by its author's own assumptions.
//!
//! - [`Backend`] holds buckets of [`Object`]s in memory, or serves a folder. It is shared: a test
//!   may change it while the endpoint runs.
//! - [`Faults`] makes the endpoint misbehave for an operation and a set of keys, for the next few
//!   requests or permanently, and reports to the test when a fault took effect.
//! - [`RequestLog`] records every request that passed the signature check, and the maximum number
//!   of GETs and bytes in flight.
//!
//! Nothing is kept when the process ends. An [`Endpoint`] stops when it is dropped: its listener
//! and every connection are closed, even in the middle of a body. It uses little CPU, because it
//! shares the machine with what is measured: bodies in memory are sent without a copy, and a file
//! is read in chunks.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "lengths are those of objects that tests make, far from any limit"
)]

mod access;
mod backend;
mod body;
mod checksum;
mod fault;
mod folder;
mod listing;
mod log;
mod object;
mod server;
mod service;

pub use access::{ACCESS_KEY, REGION, SECRET_KEY};
pub use backend::Backend;
pub use checksum::Algorithm;
pub use fault::{Edit, Fault, Faults, Injection, Keys, Refusal, Times};
pub use log::{Operation, Request, RequestLog};
pub use object::Object;
pub use server::Endpoint;
