//! The nouns that every stage shares: what an object is, its body on the way in, and what a table
//! is called.

use std::fmt;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::Stream;
use jiff::Timestamp;

use crate::error::Error;

/// One listed object. Bucket, key and ETag are its identity: the bytes that were listed under them
/// are the only ones that may be loaded for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    pub bucket: String,
    /// Up to 1024 bytes of any unicode, decoded.
    pub key: String,
    /// With its quotes, exactly as the store sent it.
    pub etag: String,
    pub size_bytes: u64,
    pub last_modified: Option<Timestamp>,
}

impl Object {
    /// `s3://bucket/key`, the key as it is.
    #[must_use]
    pub fn uri(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.key)
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Escaped, so that a newline in a key cannot forge a log line.
        write!(f, "s3://{}/{}", self.bucket.escape_debug(), self.key.escape_debug())
    }
}

/// Which bytes of an object are read, and of which of its versions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadFrom {
    pub offset: u64,
    /// The byte after the last one that is wanted, where that is not the object's last.
    pub end: Option<u64>,
    /// The version that an earlier read found under the listed ETag: it can be read also after an
    /// overwrite.
    pub version_id: Option<String>,
}

/// An object's bytes on their way from the store, from `offset` on.
pub struct Body {
    /// The first byte that the stream yields: what was asked for, or 0 where the store ignored the
    /// range.
    pub offset: u64,
    /// What the store says of the bytes it is sending.
    pub etag: Option<String>,
    /// The whole object's, not what is left of it.
    pub size_bytes: Option<u64>,
    /// Absent where the bucket keeps no versions, and where the object is older than its versions
    /// (`null`).
    pub version_id: Option<String>,
    /// Over the whole object; absent where the store has none, or only a checksum of part
    /// checksums.
    pub checksum: Option<Checksum>,
    pub stream: Pin<Box<dyn Stream<Item = Result<Bytes, Error>> + Send>>,
}

/// What the store says of an object without sending it.
#[derive(Clone, Debug, Default)]
pub struct Stat {
    pub etag: Option<String>,
    pub size_bytes: Option<u64>,
    pub version_id: Option<String>,
    /// Over the whole object, as in [`Body`].
    pub checksum: Option<Checksum>,
}

/// A checksum over all bytes of an object, as the store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checksum {
    pub algorithm: ChecksumAlgorithm,
    /// Base64, as in the `x-amz-checksum-...` header.
    pub value: String,
}

/// Of a part's bytes, by an algorithm whose checksums can be put together to that of the object.
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

/// Whether two ETags name the same bytes: quotes aside, which some stores leave out in one place or
/// the other.
#[must_use]
pub fn same_etag(left: &str, right: &str) -> bool {
    left.trim_matches('"') == right.trim_matches('"')
}

/// A table, with the database it is in where that was named.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct TableName {
    pub database: Option<String>,
    pub table: String,
}

/// Why a `--table` value is not a table name.
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

    /// Splits at the first dot outside backticks: backticks quote, and stand doubled for
    /// themselves.
    fn from_str(text: &str) -> Result<Self, TableNameError> {
        let (first, rest) = identifier(text)?;
        let name = match rest {
            None => Self { database: None, table: first },
            Some(rest) => {
                // An unquoted table name may hold further dots: only the first one separates.
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

/// The first identifier of `text`, and what follows the dot after it.
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
    /// Quoted, ready for SQL.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(database) = &self.database {
            write!(f, "{}.", quote_identifier(database))?;
        }
        f.write_str(&quote_identifier(&self.table))
    }
}

/// `` `name` `` with inner backticks doubled: safe in SQL whatever the name holds.
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
