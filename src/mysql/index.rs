//! A secondary index as data: read from the server's text, kept as JSON, and written as SQL.
//!
//! An [`Index`] is what this module understands to the last byte. An index with an option that it
//! does not know is none, and is never dropped. The SQL consists of words of this module and of
//! quoted names and strings, so that an index that was read from a table cannot carry a statement.

use std::fmt;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::create_table::list;
use crate::sql_text::{quote_identifier, quoted_identifier};

/// A secondary index that is not unique.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Index {
    pub(crate) name: String,
    pub(crate) kind: IndexKind,
    pub(crate) columns: Vec<KeyPart>,
    /// The algorithm, if the definition names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    algorithm: Option<Algorithm>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key_block_size: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
    /// The parser of a FULLTEXT index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parser: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    visibility: Option<Visibility>,
}

/// The kind of an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum IndexKind {
    Plain,
    Fulltext,
    Spatial,
}

/// A column of an index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyPart {
    pub(crate) column: String,
    /// The number of characters or bytes at the start of the column, if not all of it is indexed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    prefix_length: Option<u32>,
    #[serde(default)]
    descending: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Algorithm {
    Btree,
    Hash,
    Rtree,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Visibility {
    /// MySQL's word for an index that the optimizer does not use.
    Invisible,
    /// MariaDB's word for the same.
    Ignored,
}

const KINDS: [(&str, IndexKind); 3] = [
    ("KEY ", IndexKind::Plain),
    ("FULLTEXT KEY ", IndexKind::Fulltext),
    ("SPATIAL KEY ", IndexKind::Spatial),
];
const ALGORITHMS: [(&str, Algorithm); 3] =
    [("BTREE", Algorithm::Btree), ("HASH", Algorithm::Hash), ("RTREE", Algorithm::Rtree)];

impl Index {
    /// Parses a definition as SHOW CREATE TABLE prints it, to its end. Returns `None` for anything
    /// that is not an index of a known kind, with columns and known options alone.
    pub(crate) fn parse(definition: &str) -> Option<Self> {
        let (kind, rest) = KINDS
            .iter()
            .find_map(|(word, kind)| definition.strip_prefix(word).map(|rest| (*kind, rest)))?;
        let (name, rest) = quoted_identifier(rest)?;
        let (parts, mut rest) = list(rest.strip_prefix(' ')?)?;
        let columns = parts.into_iter().map(KeyPart::parse).collect::<Option<Vec<_>>>()?;
        let mut index = Self {
            name,
            kind,
            columns,
            algorithm: None,
            key_block_size: None,
            comment: None,
            parser: None,
            visibility: None,
        };
        while !rest.trim().is_empty() {
            rest = index.read_option(rest.trim_start())?;
        }
        Some(index)
    }

    /// Reads the option at the start of `text`, and returns the text after it.
    fn read_option<'text>(&mut self, text: &'text str) -> Option<&'text str> {
        if let Some(rest) = text.strip_prefix("/*!") {
            // A comment that only some versions execute: a number, then options.
            let (inside, after) = rest.split_once("*/")?;
            let mut inside = inside.trim_start_matches(|digit: char| digit.is_ascii_digit()).trim();
            while !inside.is_empty() {
                inside = self.read_option(inside)?.trim();
            }
            return Some(after);
        }
        if let Some(rest) = text.strip_prefix("USING ") {
            let (word, algorithm) = ALGORITHMS.iter().find(|(word, _)| rest.starts_with(word))?;
            self.algorithm = Some(*algorithm);
            return Some(&rest[word.len()..]);
        }
        if let Some(rest) = text.strip_prefix("KEY_BLOCK_SIZE=") {
            let (number, rest) = number(rest)?;
            self.key_block_size = Some(number);
            return Some(rest);
        }
        if let Some(rest) = text.strip_prefix("COMMENT ") {
            let (comment, rest) = string(rest)?;
            self.comment = Some(comment);
            return Some(rest);
        }
        if let Some(rest) = text.strip_prefix("WITH PARSER ") {
            let (parser, rest) = quoted_identifier(rest)?;
            self.parser = Some(parser);
            return Some(rest);
        }
        if let Some(rest) = text.strip_prefix("INVISIBLE") {
            self.visibility = Some(Visibility::Invisible);
            return Some(rest);
        }
        let rest = text.strip_prefix("IGNORED")?;
        self.visibility = Some(Visibility::Ignored);
        Some(rest)
    }

    /// Returns true if a column of the index is in `columns`.
    pub(crate) fn has_any_of(&self, columns: &[String]) -> bool {
        self.columns.iter().any(|part| columns.contains(&part.column))
    }
}

impl fmt::Display for Index {
    /// Writes the definition as it follows ADD in an ALTER TABLE. The session's `sql_mode` must not
    /// hold `NO_BACKSLASH_ESCAPES`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = KINDS.iter().find(|(_, kind)| *kind == self.kind).map_or("", |(word, _)| word);
        write!(f, "{word}{} (", quote_identifier(&self.name))?;
        for (at, part) in self.columns.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{}", quote_identifier(&part.column))?;
            if let Some(length) = part.prefix_length {
                write!(f, "({length})")?;
            }
            if part.descending {
                f.write_str(" DESC")?;
            }
        }
        f.write_char(')')?;
        if let Some(algorithm) = self.algorithm {
            let word = ALGORITHMS.iter().find(|(_, known)| *known == algorithm);
            write!(f, " USING {}", word.map_or("", |(word, _)| word))?;
        }
        if let Some(size) = self.key_block_size {
            write!(f, " KEY_BLOCK_SIZE={size}")?;
        }
        if let Some(comment) = &self.comment {
            write!(f, " COMMENT {}", quote_string(comment))?;
        }
        if let Some(parser) = &self.parser {
            write!(f, " WITH PARSER {}", quote_identifier(parser))?;
        }
        f.write_str(match self.visibility {
            Some(Visibility::Invisible) => " INVISIBLE",
            Some(Visibility::Ignored) => " IGNORED",
            None => "",
        })
    }
}

impl KeyPart {
    fn parse(text: &str) -> Option<Self> {
        let (column, rest) = quoted_identifier(text)?;
        let (prefix_length, rest) = match rest.strip_prefix('(') {
            Some(rest) => {
                let (length, rest) = number(rest)?;
                (Some(length), rest.strip_prefix(')')?)
            }
            None => (None, rest),
        };
        let descending = match rest {
            "" | " ASC" => false,
            " DESC" => true,
            _ => return None,
        };
        Some(Self { column, prefix_length, descending })
    }
}

fn number(text: &str) -> Option<(u32, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    Some((text[..digits].parse().ok()?, &text[digits..]))
}

/// Reads the string in single quotes at the start of `text`, with the escapes that the servers
/// write.
fn string(text: &str) -> Option<(String, &str)> {
    let mut rest = text.strip_prefix('\'')?.chars();
    let mut string = String::new();
    loop {
        match rest.next()? {
            '\\' => string.push(match rest.next()? {
                '0' => '\0',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'Z' => '\u{1a}',
                other => other,
            }),
            '\'' => match rest.as_str().strip_prefix('\'') {
                Some(more) => {
                    string.push('\'');
                    rest = more.chars();
                }
                None => return Some((string, rest.as_str())),
            },
            other => string.push(other),
        }
    }
}

fn quote_string(text: &str) -> String {
    let mut quoted = String::from("'");
    for char in text.chars() {
        match char {
            '\0' => quoted.push_str("\\0"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\\' => quoted.push_str("\\\\"),
            '\'' => quoted.push_str("''"),
            other => quoted.push(other),
        }
    }
    quoted.push('\'');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A definition as the server prints it, and as this module writes it.
    const KNOWN: [(&str, &str); 9] = [
        ("KEY `a` (`a`)", "KEY `a` (`a`)"),
        (
            "KEY `o``dd, (` (`a` DESC,`b`(5)) COMMENT 'it''s; \\n (x, \\\\'",
            "KEY `o``dd, (` (`a` DESC,`b`(5)) COMMENT 'it''s; \\n (x, \\\\'",
        ),
        ("KEY `h` (`b`,`a` ASC) /*!80000 INVISIBLE */", "KEY `h` (`b`,`a`) INVISIBLE"),
        ("KEY `i` (`b`) IGNORED", "KEY `i` (`b`) IGNORED"),
        ("KEY `u` (`b`) USING HASH", "KEY `u` (`b`) USING HASH"),
        (
            "KEY `k` (`b`) USING BTREE KEY_BLOCK_SIZE=8 COMMENT ''",
            "KEY `k` (`b`) USING BTREE KEY_BLOCK_SIZE=8 COMMENT ''",
        ),
        ("SPATIAL KEY `s` (`b`(32))", "SPATIAL KEY `s` (`b`(32))"),
        ("FULLTEXT KEY `w` (`b`)", "FULLTEXT KEY `w` (`b`)"),
        (
            "FULLTEXT KEY `w` (`b`) /*!50100 WITH PARSER `ngram` */ ",
            "FULLTEXT KEY `w` (`b`) WITH PARSER `ngram`",
        ),
    ];

    #[test]
    fn an_index_is_read_written_and_kept_without_loss() {
        for (shown, written) in KNOWN {
            let index = Index::parse(shown).unwrap();
            assert_eq!(index.to_string(), written);
            assert_eq!(Index::parse(written).as_ref(), Some(&index), "{written}");
            let kept = serde_json::to_string(&index).unwrap();
            assert_eq!(serde_json::from_str::<Index>(&kept).unwrap(), index, "{kept}");
        }
    }

    #[test]
    fn a_definition_that_is_not_understood_to_its_end_is_no_index() {
        for definition in [
            "KEY `k` (`b`); GRANT ALL PRIVILEGES ON *.* TO app@`%`",
            "KEY `k` (`b`), DROP COLUMN x",
            "KEY `k` (`b`) /*!50100 , DROP COLUMN x */",
            "KEY `k` (`b`) COMMENT 'x', DROP COLUMN `y",
            "KEY `k` (`b`) /*!80021 ENGINE_ATTRIBUTE '{}' */",
            "KEY `k` (`b`) `option`=1",
            "KEY `k` (`b` + 1)",
            "KEY `k` ((upper(`a`)))",
            "KEY `k` (`b`(0x10))",
            "UNIQUE KEY `k` (`b`)",
            "VECTOR KEY `k` (`b`)",
            "KEY k (`b`)",
            "KEY `k` (`b`",
            "",
        ] {
            assert_eq!(Index::parse(definition), None, "{definition}");
        }
    }

    #[test]
    fn a_kept_index_with_a_statement_in_a_name_stays_a_name() {
        let kept = r#"{"name": "k` (`b`); DROP TABLE t; --", "kind": "plain",
                       "columns": [{"column": "b`); DROP TABLE t; --"}],
                       "comment": "'; DROP TABLE t; --\\"}"#;
        let index: Index = serde_json::from_str(kept).unwrap();
        assert_eq!(
            index.to_string(),
            "KEY `k`` (``b``); DROP TABLE t; --` (`b``); DROP TABLE t; --`) \
             COMMENT '''; DROP TABLE t; --\\\\'"
        );
        assert_eq!(Index::parse(&index.to_string()), Some(index));
    }
}
