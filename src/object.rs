//! The types that all stages share: objects, their bodies and checksums, and table names.

use std::fmt;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::Stream;
use jiff::Timestamp;

use crate::error::Error;
use crate::printable::printable;

/// One listed object. Bucket, key and ETag are its identity: only the bytes that were listed under
/// them may be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    pub bucket: String,
    /// The decoded key: up to 1024 bytes of any Unicode text.
    pub key: String,
    /// The ETag with its quotes, exactly as the store sent it.
    pub etag: String,
    pub size_bytes: u64,
    pub last_modified: Option<Timestamp>,
}

impl Object {
    /// Returns `s3://bucket/key` with the key unescaped.
    #[must_use]
    pub fn uri(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.key)
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Escaped, so that a newline in a key cannot forge a log line.
        write!(f, "s3://{}/{}", printable(&self.bucket), printable(&self.key))
    }
}

/// The bytes and the version of an object that a read requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadFrom {
    pub offset: u64,
    /// The byte after the last one to read; `None` reads to the end of the object.
    pub end: Option<u64>,
    /// The version that an earlier read found under the listed ETag. It remains readable after an
    /// overwrite.
    pub version_id: Option<String>,
}

/// The bytes of an object, from `offset` on, as they arrive from the store.
pub struct Body {
    /// The offset of the first byte in the stream: the requested one, or 0 if the store ignored the
    /// range.
    pub offset: u64,
    /// The ETag of the bytes that the store is sending.
    pub etag: Option<String>,
    /// The size of the whole object, not of the rest.
    pub size_bytes: Option<u64>,
    /// `None` if the bucket keeps no versions, or if the object is older than versioning (`null`).
    pub version_id: Option<String>,
    /// The checksum of the whole object; `None` if the store has none, or only a checksum of part
    /// checksums.
    pub checksum: Option<Checksum>,
    pub stream: Pin<Box<dyn Stream<Item = Result<Bytes, Error>> + Send>>,
}

/// The store's description of an object, without its bytes.
#[derive(Clone, Debug, Default)]
pub struct Stat {
    pub etag: Option<String>,
    pub size_bytes: Option<u64>,
    pub version_id: Option<String>,
    /// The checksum of the whole object, as in [`Body`].
    pub checksum: Option<Checksum>,
}

/// A checksum over all bytes of an object, as the store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checksum {
    pub algorithm: ChecksumAlgorithm,
    /// Base64, as in the `x-amz-checksum-...` header.
    pub value: String,
}

/// The checksum of a part, by an algorithm that can combine such checksums into the object's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartChecksum {
    pub algorithm: ChecksumAlgorithm,
    pub value: u64,
}

/// S3's checksum algorithms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChecksumAlgorithm {
    Crc64Nvme,
    Crc32,
    Crc32c,
    Sha1,
    Sha256,
}

/// Returns true if two ETags name the same bytes. Ignores quotes, because some stores omit them in
/// one place or the other.
#[must_use]
pub fn same_etag(left: &str, right: &str) -> bool {
    left.trim_matches('"') == right.trim_matches('"')
}

/// A table name, with its database if one is named.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct TableName {
    pub database: Option<String>,
    pub table: String,
}

/// The reason why a `--table` value is not a table name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableNameError {
    #[error("the table name is empty")]
    Empty,
    #[error("a backtick is not closed; write a backtick inside quotes twice")]
    UnclosedQuote,
    #[error("there is text after a closing backtick; only a dot and the table name may follow")]
    TextAfterQuote,
    #[error("a name holds a NUL character, which MySQL does not allow")]
    Nul,
}

impl std::str::FromStr for TableName {
    type Err = TableNameError;

    /// Splits at the first dot outside backticks. Backticks quote; a doubled backtick stands for
    /// itself.
    fn from_str(text: &str) -> Result<Self, TableNameError> {
        let (first, rest) = identifier(text)?;
        let name = match rest {
            None => Self { database: None, table: first },
            Some(rest) => {
                // Only the first dot separates: an unquoted table name may hold more.
                let table = if rest.starts_with('`') {
                    let (table, rest) = identifier(rest)?;
                    if rest.is_some() {
                        return Err(TableNameError::TextAfterQuote);
                    }
                    table
                } else {
                    rest.to_owned()
                };
                Self { database: Some(first), table }
            }
        };
        if name.table.is_empty() || name.database.as_ref().is_some_and(String::is_empty) {
            return Err(TableNameError::Empty);
        }
        if text.contains('\0') {
            return Err(TableNameError::Nul);
        }
        Ok(name)
    }
}

/// Returns the first identifier of `text`, and the text after the dot that follows it.
fn identifier(text: &str) -> Result<(String, Option<&str>), TableNameError> {
    let Some(quoted) = text.strip_prefix('`') else {
        return Ok(match text.split_once('.') {
            Some((first, rest)) => (first.to_owned(), Some(rest)),
            None => (text.to_owned(), None),
        });
    };
    let mut name = String::new();
    let mut rest = quoted;
    loop {
        let (part, after) = rest.split_once('`').ok_or(TableNameError::UnclosedQuote)?;
        name.push_str(part);
        if let Some(after) = after.strip_prefix('`') {
            name.push('`');
            rest = after;
        } else if after.is_empty() {
            return Ok((name, None));
        } else {
            return after
                .strip_prefix('.')
                .map(|rest| (name, Some(rest)))
                .ok_or(TableNameError::TextAfterQuote);
        }
    }
}

impl fmt::Display for TableName {
    /// Writes the quoted name for use in SQL.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(database) = &self.database {
            write!(f, "{}.", quote_identifier(database))?;
        }
        f.write_str(&quote_identifier(&self.table))
    }
}

/// Returns `` `name` `` with inner backticks doubled, which is safe in SQL for any name.
#[must_use]
pub fn quote_identifier(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_name_splits_at_its_first_unquoted_dot_only() {
        let parsed = |text: &str| text.parse::<TableName>().map(|name| (name.database, name.table));
        assert_eq!(parsed("t"), Ok((None, "t".into())));
        assert_eq!(parsed("db.t"), Ok((Some("db".into()), "t".into())));
        assert_eq!(parsed("db.t.x"), Ok((Some("db".into()), "t.x".into())));
        assert_eq!(parsed("`d.b`.`t`"), Ok((Some("d.b".into()), "t".into())));
        assert_eq!(parsed("`a``b`"), Ok((None, "a`b".into())));
        assert_eq!(parsed("`a.b`"), Ok((None, "a.b".into())));
        assert_eq!(parsed("`a"), Err(TableNameError::UnclosedQuote));
        assert_eq!(parsed("`a`b"), Err(TableNameError::TextAfterQuote));
        assert_eq!(parsed(""), Err(TableNameError::Empty));
        assert_eq!(parsed("db."), Err(TableNameError::Empty));
        assert_eq!(parsed("``.t"), Err(TableNameError::Empty));
    }

    #[test]
    fn a_backtick_in_a_name_cannot_end_the_identifier() {
        let name = TableName { database: Some("d`b".into()), table: "t`; DROP TABLE x; --".into() };
        assert_eq!(name.to_string(), "`d``b`.`t``; DROP TABLE x; --`");
    }
}
