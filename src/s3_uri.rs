//! S3 URIs, on the command line and in the files that `--keys-from` reads and `--failed-keys`
//! writes.
//!
//! The part after the bucket is the literal key. Nothing is percent-decoded, because `%`, `+`, `?`
//! and `#` are ordinary characters of keys. One line of a key file is one of these:
//!
//! - `s3://bucket/key`, where the key runs to the end of the line, including spaces;
//! - `"s3://bucket/key\n"`, a JSON string, for keys that a plain line cannot hold;
//! - an empty line, or a comment that starts with `#`.

use std::fmt;

use crate::printable::{escape_json, is_unprintable, printable};

/// The limit of S3 on the length of a key, in bytes of UTF-8.
const KEY_LIMIT_BYTES: usize = 1024;

/// The reason why a text is not the URI of an object or a prefix.
///
/// No message repeats more of the text than its scheme, because the text may be a URL with a
/// password that was put here by mistake.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceUriError {
    #[error(
        "it starts with {scheme}://; write s3://BUCKET/KEY, and give the address of the store as \
         --endpoint-url"
    )]
    Http { scheme: String },
    #[error("it starts with {scheme}://, but sources start with s3://")]
    OtherScheme { scheme: String },
    #[error("an S3 URI starts with s3:// (two slashes)")]
    MissingSlash,
    #[error("an S3 URI starts with s3://, as in s3://BUCKET/PREFIX/")]
    NotAUri,
    #[error("the bucket is empty; write s3://BUCKET/KEY")]
    EmptyBucket,
    #[error(
        "the bucket name holds a character that bucket names cannot hold; the part up to the first \
         slash is the bucket"
    )]
    BucketCharacter,
    #[error("the key is longer than 1024 bytes, which S3 does not allow")]
    KeyTooLong,
    #[error("the key is missing; each line names one object")]
    KeyMissing,
}

/// The reason why a line of a key file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyLineError {
    #[error("a line that starts with a quote is one JSON string, and this one is not valid")]
    Json,
    #[error(transparent)]
    Uri(#[from] SourceUriError),
}

impl SourceUri {
    /// Parses a URI. It is a prefix if it ends in `/` or has no key, or if `force_prefix` is set;
    /// otherwise it is an exact key.
    ///
    /// # Errors
    ///
    /// Fails if the text is not `s3://BUCKET/…`.
    pub fn parse(text: &str, force_prefix: bool) -> Result<Self, SourceUriError> {
        let (bucket, key) = split(text)?;
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        Ok(if force_prefix || key.is_empty() || key.ends_with('/') {
            Self::Prefix { bucket, prefix: key }
        } else {
            Self::Key { bucket, key }
        })
    }

    /// Parses the URI of one object, even if its key ends in `/`.
    ///
    /// # Errors
    ///
    /// Fails like [`Self::parse`], and if the key is missing.
    pub fn parse_key(text: &str) -> Result<Self, SourceUriError> {
        let (bucket, key) = split(text)?;
        if key.is_empty() {
            return Err(SourceUriError::KeyMissing);
        }
        Ok(Self::Key { bucket: bucket.to_owned(), key: key.to_owned() })
    }

    /// Parses one line of a key file. Returns `None` for an empty line or a comment.
    ///
    /// # Errors
    ///
    /// Fails like [`Self::parse_key`], and if a JSON string is not valid.
    pub fn from_key_line(line: &str) -> Result<Option<Self>, KeyLineError> {
        // Editors on Windows add both. A key that really ends in \r is written as JSON.
        let line = line.strip_prefix('\u{feff}').unwrap_or(line);
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.trim().is_empty() || line.starts_with('#') {
            return Ok(None);
        }
        if line.starts_with('"') {
            let text: String = serde_json::from_str(line).map_err(|_| KeyLineError::Json)?;
            return Ok(Some(Self::parse_key(&text)?));
        }
        Ok(Some(Self::parse_key(line)?))
    }

    /// Returns the URI as [`Self::parse`] reads it, not escaped.
    #[must_use]
    pub fn literal(&self) -> String {
        match self {
            Self::Prefix { bucket, prefix: key } | Self::Key { bucket, key } => {
                format!("s3://{bucket}/{key}")
            }
        }
    }

    #[must_use]
    pub fn bucket(&self) -> &str {
        match self {
            Self::Prefix { bucket, .. } | Self::Key { bucket, .. } => bucket,
        }
    }
}

impl fmt::Display for SourceUri {
    /// Writes the URI escaped, so that a newline in a key cannot forge a log line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prefix { bucket, prefix: key } | Self::Key { bucket, key } => {
                write!(f, "s3://{}/{}", printable(bucket), printable(key))
            }
        }
    }
}

/// Returns the line, without its end, that [`SourceUri::from_key_line`] parses to exactly this
/// object.
#[must_use]
pub fn key_line(bucket: &str, key: &str) -> String {
    let uri = format!("s3://{bucket}/{key}");
    // A space at the end would survive our own parser, but not every editor.
    if uri.contains(is_unprintable) || uri.ends_with(char::is_whitespace) {
        escape_json(&serde_json::Value::String(uri).to_string()).into_owned()
    } else {
        uri
    }
}

/// Splits a URI into bucket and key. The key may be empty.
fn split(text: &str) -> Result<(&str, &str), SourceUriError> {
    let Some(rest) = strip_prefix_ignore_case(text, "s3://") else {
        return Err(not_s3(text));
    };
    let (bucket, key) = match access_point_end(rest) {
        Some(end) => (&rest[..end], rest[end..].strip_prefix('/').unwrap_or_default()),
        None => rest.split_once('/').unwrap_or((rest, "")),
    };
    if bucket.is_empty() {
        return Err(SourceUriError::EmptyBucket);
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if !bucket.starts_with("arn:") && !bucket.chars().all(allowed) {
        return Err(SourceUriError::BucketCharacter);
    }
    if key.len() > KEY_LIMIT_BYTES {
        return Err(SourceUriError::KeyTooLong);
    }
    Ok((bucket, key))
}

/// Returns the end of an access point ARN in the place of a bucket. Such an ARN holds a slash:
/// `arn:aws:s3:REGION:ACCOUNT:accesspoint/NAME`.
fn access_point_end(rest: &str) -> Option<usize> {
    let resource = ":accesspoint/";
    let arn_end = rest.starts_with("arn:").then(|| rest.find(resource))??;
    let slash = rest.find('/')?;
    let name_start = arn_end + resource.len();
    // Otherwise, the match is in the key.
    (slash + 1 == name_start)
        .then(|| rest[name_start..].find('/').map_or(rest.len(), |end| name_start + end))
}

fn not_s3(text: &str) -> SourceUriError {
    if let Some((scheme, _)) = text.split_once("://") {
        let is_scheme = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
        if !scheme.is_empty() && scheme.chars().all(is_scheme) {
            let scheme = scheme.to_ascii_lowercase();
            return if scheme == "http" || scheme == "https" {
                SourceUriError::Http { scheme }
            } else {
                SourceUriError::OtherScheme { scheme }
            };
        }
    }
    if strip_prefix_ignore_case(text, "s3:").is_some() {
        SourceUriError::MissingSlash
    } else {
        SourceUriError::NotAUri
    }
}

fn strip_prefix_ignore_case<'t>(text: &'t str, prefix: &str) -> Option<&'t str> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// One S3 URI, as on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceUri {
    Prefix { bucket: String, prefix: String },
    Key { bucket: String, key: String },
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn prefix(bucket: &str, prefix: &str) -> SourceUri {
        SourceUri::Prefix { bucket: bucket.into(), prefix: prefix.into() }
    }

    fn key(bucket: &str, key: &str) -> SourceUri {
        SourceUri::Key { bucket: bucket.into(), key: key.into() }
    }

    #[test]
    fn a_uri_is_a_prefix_if_it_ends_in_a_slash_or_has_no_key() {
        assert_eq!(SourceUri::parse("s3://b", false), Ok(prefix("b", "")));
        assert_eq!(SourceUri::parse("s3://b/", false), Ok(prefix("b", "")));
        assert_eq!(SourceUri::parse("s3://b/a/", false), Ok(prefix("b", "a/")));
        assert_eq!(SourceUri::parse("s3://b/a", false), Ok(key("b", "a")));
        assert_eq!(SourceUri::parse("s3://b/a", true), Ok(prefix("b", "a")));
    }

    #[test]
    fn a_key_is_taken_as_it_is() {
        for odd in ["/a", "a//b", "a%20b", "a+b", "a b", "a?b#c", "ä\n\"", "s3://x/y"] {
            assert_eq!(SourceUri::parse(&format!("S3://b/{odd}"), false), Ok(key("b", odd)));
        }
    }

    #[test]
    fn an_access_point_arn_stands_in_for_a_bucket() {
        let arn = "arn:aws:s3:eu-west-1:123456789012:accesspoint/ap";
        assert_eq!(SourceUri::parse(&format!("s3://{arn}/a/b"), false), Ok(key(arn, "a/b")));
        assert_eq!(SourceUri::parse(&format!("s3://{arn}"), false), Ok(prefix(arn, "")));
    }

    #[test]
    fn what_is_no_s3_uri_is_refused_with_its_reason() {
        let reason = |text: &str| SourceUri::parse(text, false).unwrap_err();
        assert_eq!(
            reason("https://b.s3.amazonaws.com/k"),
            SourceUriError::Http { scheme: "https".into() }
        );
        assert_eq!(reason("gs://b/k"), SourceUriError::OtherScheme { scheme: "gs".into() });
        assert_eq!(reason("s3:/b/k"), SourceUriError::MissingSlash);
        assert_eq!(reason("s3:b"), SourceUriError::MissingSlash);
        assert_eq!(reason("b/k"), SourceUriError::NotAUri);
        assert_eq!(reason(""), SourceUriError::NotAUri);
        assert_eq!(reason("s3://"), SourceUriError::EmptyBucket);
        assert_eq!(reason("s3:///k"), SourceUriError::EmptyBucket);
        assert_eq!(reason("s3://b?x/k"), SourceUriError::BucketCharacter);
        assert_eq!(reason(&format!("s3://b/{}", "k".repeat(1025))), SourceUriError::KeyTooLong);
    }

    #[test]
    fn a_refusal_never_repeats_a_secret() {
        for text in ["mysql://u:hunter2@h/db", "s3://AKIA:hunter2@b/k", "u:hunter2@h://x"] {
            let message = SourceUri::parse(text, false).unwrap_err().to_string();
            assert!(!message.contains("hunter2"), "{message}");
        }
    }

    #[test]
    fn a_key_file_has_uris_json_strings_comments_and_empty_lines() {
        let line = SourceUri::from_key_line;
        assert_eq!(line("s3://b/k 1 "), Ok(Some(key("b", "k 1 "))));
        assert_eq!(line("s3://b/k\r"), Ok(Some(key("b", "k"))));
        assert_eq!(line("\u{feff}s3://b/k"), Ok(Some(key("b", "k"))));
        assert_eq!(line(r#""s3://b/k\n\u00e4""#), Ok(Some(key("b", "k\nä"))));
        assert_eq!(line("s3://b/dir/"), Ok(Some(key("b", "dir/"))), "an exact key even so");
        assert_eq!(line(""), Ok(None));
        assert_eq!(line("  \t"), Ok(None));
        assert_eq!(line("# s3://b/k"), Ok(None));
        assert_eq!(line("\"s3://b/k"), Err(KeyLineError::Json));
        assert_eq!(line("s3://b/"), Err(KeyLineError::Uri(SourceUriError::KeyMissing)));
    }

    proptest! {
        #[test]
        fn a_written_key_line_reads_back_as_the_same_object(
            name in prop_oneof![any::<String>(), "[ab/\r\n\t\\\\\"# \u{85}\u{feff}\u{2028}]{1,8}"],
        ) {
            prop_assume!(!name.is_empty() && name.len() <= KEY_LIMIT_BYTES);
            let line = key_line("b", &name);
            prop_assert!(!line.contains(['\n', '\r']));
            prop_assert_eq!(SourceUri::from_key_line(&line), Ok(Some(key("b", &name))));
        }
    }
}
