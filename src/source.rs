//! S3: which objects there are, and their bytes.
//!
//! This module and its children are the only place that imports `aws_*`. They promise that every
//! [`Object`](crate::object::Object) carries the ETag under which its bytes can be read, that a
//! listing is handed on page by page and never held in memory, and that every SDK error is folded
//! into [`ErrorKind`](crate::error::Kind) in `s3_error`. A page or a HEAD is tried again here, by the
//! one layer in [`retry`](crate::retry); a GET is not, since only its caller knows how many bytes
//! it already has, and neither is a PUT, since only its caller knows what is left to do.

mod filter;
mod listing;
mod options;
mod rate;
mod s3;
mod s3_error;

pub use listing::{Listed, Listing, ListingSink, SkippedKeys};
pub use options::SourceConfig;
pub(crate) use s3::PUT_LIMIT_BYTES;
pub use s3::S3;
