//! Parses the destination of the rejected rows.

use std::fmt;
use std::path::PathBuf;

use crate::printable::printable;
use crate::s3_uri::{SourceUri, SourceUriError};

/// The length limit of a prefix: S3's limit for a key, minus the longest name of a reject file.
const PREFIX_LIMIT_BYTES: usize = 1024 - crate::rejects::NAME_LIMIT_BYTES;

/// The place that `--rejects` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RejectsTo {
    Directory(PathBuf),
    /// The prefix is empty or ends in `/`.
    S3 {
        bucket: String,
        prefix: String,
    },
}

/// The reason why a text does not name a place for rejects.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RejectsToError {
    #[error("it is empty; name a directory, or s3://BUCKET/PREFIX/")]
    Empty,
    #[error(
        "the prefix is longer than {PREFIX_LIMIT_BYTES} bytes, \
         which leaves no room for names below it"
    )]
    PrefixTooLong,
    #[error(transparent)]
    Uri(#[from] SourceUriError),
}

impl RejectsTo {
    /// Parses `s3://BUCKET/PREFIX/`, of which the final slash is optional, or else a directory.
    ///
    /// # Errors
    ///
    /// Refuses an empty text, and any other URI: `https://…` is not meant as the name of a
    /// directory.
    pub fn parse(text: &str) -> Result<Self, RejectsToError> {
        if text.is_empty() {
            return Err(RejectsToError::Empty);
        }
        let is_s3 = text.get(..3).is_some_and(|scheme| scheme.eq_ignore_ascii_case("s3:"));
        if !is_s3 && !text.contains("://") {
            return Ok(Self::Directory(PathBuf::from(text)));
        }
        let (SourceUri::Prefix { bucket, prefix: mut key } | SourceUri::Key { bucket, mut key }) =
            SourceUri::parse(text, true)?;
        if !key.is_empty() && !key.ends_with('/') {
            key.push('/');
        }
        if key.len() > PREFIX_LIMIT_BYTES {
            return Err(RejectsToError::PrefixTooLong);
        }
        Ok(Self::S3 { bucket, prefix: key })
    }

    /// Returns true if `source` contains the reject files, so that the next run would load them.
    #[must_use]
    pub fn lies_within(&self, source: &SourceUri) -> bool {
        match (self, source) {
            (
                Self::S3 { bucket, prefix },
                SourceUri::Prefix { bucket: source_bucket, prefix: source_prefix },
            ) => bucket == source_bucket && prefix.starts_with(source_prefix.as_str()),
            _ => false,
        }
    }
}

impl fmt::Display for RejectsTo {
    /// Writes the text that `parse` reads, but escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => write!(f, "{}", printable(&path.to_string_lossy())),
            Self::S3 { bucket, prefix } => {
                write!(f, "s3://{}/{}", printable(bucket), printable(prefix))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s3(prefix: &str) -> RejectsTo {
        RejectsTo::S3 { bucket: "b".into(), prefix: prefix.into() }
    }

    #[test]
    fn an_s3_uri_is_a_prefix_and_anything_else_a_directory() {
        assert_eq!(RejectsTo::parse("s3://b"), Ok(s3("")));
        assert_eq!(RejectsTo::parse("S3://b/a/c/"), Ok(s3("a/c/")));
        assert_eq!(RejectsTo::parse("s3://b/a"), Ok(s3("a/")));
        for directory in ["rejects", "/var/lib/x", "./s3", "a:b", "é"] {
            assert_eq!(RejectsTo::parse(directory), Ok(RejectsTo::Directory(directory.into())));
        }
    }

    #[test]
    fn what_was_meant_to_be_a_uri_is_not_made_a_directory() {
        for text in ["https://b.s3.amazonaws.com/r", "gs://b/r", "s3:/b/r", "s3:b", "s3:///r"] {
            assert!(matches!(RejectsTo::parse(text), Err(RejectsToError::Uri(_))), "{text}");
        }
        assert_eq!(RejectsTo::parse(""), Err(RejectsToError::Empty));
    }

    #[test]
    fn a_prefix_leaves_room_for_the_longest_name() {
        let longest = format!("s3://b/{}/", "p".repeat(PREFIX_LIMIT_BYTES - 1));
        assert!(RejectsTo::parse(&longest).is_ok());
        assert_eq!(
            RejectsTo::parse(&longest.replace("b/", "b/p")),
            Err(RejectsToError::PrefixTooLong)
        );
    }

    #[test]
    fn rejects_below_a_source_prefix_would_be_loaded_as_objects() {
        let source = |prefix: &str| SourceUri::Prefix { bucket: "b".into(), prefix: prefix.into() };
        assert!(s3("data/rejects/").lies_within(&source("data/")));
        assert!(s3("data/").lies_within(&source("")));
        assert!(s3("data-rejects/").lies_within(&source("data")));
        assert!(!s3("rejects/").lies_within(&source("data/")));
        assert!(!s3("").lies_within(&source("data/")));
        assert!(
            !s3("data/").lies_within(&SourceUri::Key { bucket: "b".into(), key: "data/1".into() })
        );
        assert!(!RejectsTo::Directory("data/".into()).lies_within(&source("data/")));
    }
}
