//! Talks to S3: lists objects, reads their bytes, and makes the program's few writes.
//!
//! `s3` and the files of its folder alone import the AWS SDK, and a test holds them to it. Nothing
//! outside knows its types: requests take and return the nouns of [`object`](crate::object) and of
//! this module. The other files list, filter and limit the rate.
//!
//! This module guarantees that:
//!
//! - every [`Object`](crate::object::Object) carries the ETag under which its bytes can be read;
//! - a listing is passed on page by page and never held in memory, and a page is used only if it is
//!   whole and the one that was requested;
//! - every answer has a limit in time, and in size if it is held in memory;
//! - `s3::error` maps every SDK error to an [`ErrorKind`](crate::error::ErrorKind).
//!
//! This module retries list and HEAD requests, through the one layer in [`retry`](crate::retry). It
//! does not retry a GET, because only the caller knows how many bytes it already has; nor a PUT,
//! because only the caller knows what is left to do.

mod filter;
mod fingerprints;
mod key_file;
mod key_order;
mod lake;
mod listing;
mod options;
mod rate;
mod s3;
mod sdk_files;

pub use fingerprints::Fingerprints;
pub use listing::{Listed, Listing, ListingSink, SkippedKeys};
pub use options::SourceConfig;
pub(crate) use s3::PUT_LIMIT_BYTES;
pub use s3::S3;
