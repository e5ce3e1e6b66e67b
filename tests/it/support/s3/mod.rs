//! The S3 endpoint of `tests/tools`, and clients of the AWS SDK for it.

mod client;

pub use client::{anonymous_client, client, client_with_keys};
pub use test_tools::s3::*;
