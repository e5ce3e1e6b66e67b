//! Names and literals in the text of SQL: how they are quoted, and how quoted names are read back.
//!
//! Every name and value that becomes part of a statement passes through this module, so that no
//! text from outside can end a name or a literal.

use std::borrow::Cow;
use std::fmt;
use std::fmt::Write as _;

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
        let (first, rest) = name_before_dot(text)?;
        let name = match rest {
            None => Self { database: None, table: first },
            Some(rest) => {
                // Only the first dot separates: an unquoted table name may hold more.
                let table = if rest.starts_with('`') {
                    let (table, rest) = name_before_dot(rest)?;
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

/// Returns the first name of `text`, and the text after the dot that follows it.
fn name_before_dot(text: &str) -> Result<(String, Option<&str>), TableNameError> {
    if !text.starts_with('`') {
        return Ok(match text.split_once('.') {
            Some((first, rest)) => (first.to_owned(), Some(rest)),
            None => (text.to_owned(), None),
        });
    }
    let (name, after) = quoted_identifier(text).ok_or(TableNameError::UnclosedQuote)?;
    match after.strip_prefix('.') {
        Some(rest) => Ok((name, Some(rest))),
        None if after.is_empty() => Ok((name, None)),
        None => Err(TableNameError::TextAfterQuote),
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

impl TableName {
    /// Returns the name for people and programs, as `database.table`. A name that is not plain is
    /// quoted.
    #[must_use]
    pub fn plain(&self) -> String {
        let table = option_identifier(&self.table);
        match &self.database {
            Some(database) => format!("{}.{table}", option_identifier(database)),
            None => table.into_owned(),
        }
    }
}

/// Returns true if the statement may set the time zone of a session.
pub(crate) fn may_set_time_zone(sql: &str) -> bool {
    sql.to_ascii_lowercase().contains("time_zone")
}

/// Returns `` `name` `` with inner backticks doubled, which is safe in SQL for any name.
#[must_use]
pub fn quote_identifier(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// Returns the name as `--columns` and `--set` take it: in backticks only if it needs them.
#[must_use]
pub fn option_identifier(name: &str) -> Cow<'_, str> {
    let is_plain = !name.is_empty()
        && name.chars().all(|character| character.is_alphanumeric() || "_$".contains(character));
    if is_plain { Cow::Borrowed(name) } else { Cow::Owned(quote_identifier(name)) }
}

/// Returns the name in backticks at the start of `text`, and the text after it. Returns `None` if
/// the text does not begin with a backtick, or the name is not closed.
#[must_use]
pub fn quoted_identifier(text: &str) -> Option<(String, &str)> {
    let mut rest = text.strip_prefix('`')?;
    let mut name = String::new();
    loop {
        let (before, after) = rest.split_once('`')?;
        name.push_str(before);
        match after.strip_prefix('`') {
            Some(more) => {
                name.push('`');
                rest = more;
            }
            None => return Some((name, after)),
        }
    }
}

/// Returns the last name of a quoted path such as `` `database`.`table` ``, or `None` if the text
/// is anything else.
#[must_use]
pub fn last_identifier(text: &str) -> Option<String> {
    let (name, rest) = quoted_identifier(text)?;
    match rest.strip_prefix('.') {
        Some(next) => last_identifier(next),
        None => rest.is_empty().then_some(name),
    }
}

/// Returns true if both servers take the two as one name of a column: they ignore case.
#[must_use]
pub fn same_name(left: &str, right: &str) -> bool {
    left.eq_ignore_ascii_case(right) || left.to_lowercase() == right.to_lowercase()
}

/// Returns a literal for these bytes that means the same under every `sql_mode`.
#[must_use]
pub fn bytes_literal(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(3 + 2 * bytes.len());
    text.push_str("X'");
    for byte in bytes {
        let _ = write!(text, "{byte:02X}");
    }
    text.push('\'');
    text
}

/// Returns a literal for this text that means the same under every `sql_mode`. The server compares
/// it by the collation of the other side.
#[must_use]
pub fn text_literal(text: &str) -> String {
    format!("_utf8mb4 {}", bytes_literal(text.as_bytes()))
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

    #[test]
    fn a_plain_name_is_quoted_only_where_it_must_be() {
        let name = |text: &str| text.parse::<TableName>().unwrap().plain();
        assert_eq!(name("shop.orders"), "shop.orders");
        assert_eq!(name("`my shop`.`a.b`"), "`my shop`.`a.b`");
        assert_eq!(name("orders"), "orders");
    }

    #[test]
    fn a_quoted_name_is_read_back() {
        assert_eq!(quoted_identifier("`a``b` int"), Some(("a`b".into(), " int")));
        assert_eq!(quoted_identifier("`a``"), None);
        assert_eq!(quoted_identifier("a"), None);
        assert_eq!(last_identifier("`d`.`t``.x`"), Some("t`.x".into()));
        assert_eq!(last_identifier("`d`.`t` "), None);
    }

    #[test]
    fn a_literal_is_its_bytes() {
        assert_eq!(bytes_literal(b"'\\\0"), "X'275C00'");
        assert_eq!(text_literal("é"), "_utf8mb4 X'C3A9'");
    }
}
