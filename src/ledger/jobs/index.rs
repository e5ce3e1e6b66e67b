//! The secondary indexes of a table, as SHOW CREATE TABLE prints them, and the ones among them that
//! a load can do without.
//!
//! The definitions keep the server's own text instead of being rebuilt: it has prefix lengths,
//! order, comments, parsers, visibility, and whatever the next version adds. This module parses
//! only where a definition ends, its name and its columns.
//!
//! These are kept, besides the primary key:
//! - UNIQUE keys: without them a duplicate is no error, and none is skipped, replaced or updated.
//! - Keys over an expression or a virtual column. The server refuses a row if it cannot compute the
//!   expression for the index entry. Without the index it would accept the row, and then refuse to
//!   add the index again.
//! - Keys that begin with a column of a foreign key, on either side, and keys that begin with the
//!   `AUTO_INCREMENT` column unless a kept key does too: the server needs these.
//! - Kinds that this program does not know.

use std::collections::HashSet;

/// A secondary index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Index {
    pub(super) name: String,
    /// The text after ADD in an ALTER TABLE.
    pub(super) definition: String,
}

impl Index {
    /// Parses a definition as SHOW CREATE TABLE prints it. Returns `None` for anything that is not
    /// an index, or an index of an unknown kind.
    pub(super) fn from_definition(definition: &str) -> Option<Self> {
        let rest = ["KEY ", "FULLTEXT KEY ", "SPATIAL KEY "]
            .iter()
            .find_map(|kind| definition.strip_prefix(kind))?;
        let (name, _) = identifier(rest)?;
        Some(Self { name, definition: definition.to_owned() })
    }

    pub(super) fn is_fulltext(&self) -> bool {
        self.definition.starts_with("FULLTEXT")
    }

    /// Returns the names of the columns, in order, or `None` if one of the key parts is an
    /// expression.
    fn columns(&self) -> Option<Vec<String>> {
        columns(&self.definition)
    }
}

/// The columns of a table that the server computes or numbers.
#[derive(Debug, Default)]
pub(super) struct ServerFilledColumns {
    pub(super) virtual_columns: Vec<String>,
    pub(super) auto_increment: Option<String>,
}

/// Returns all secondary indexes of known kinds, or `None` if the text cannot be parsed.
pub(super) fn secondary(create_table: &str) -> Option<Vec<Index>> {
    Some(definitions(create_table)?.into_iter().filter_map(Index::from_definition).collect())
}

/// Returns the indexes that a load can do without, in order, or `None` if the text cannot be
/// parsed.
pub(super) fn deferrable(create_table: &str, facts: &ServerFilledColumns) -> Option<Vec<Index>> {
    let definitions = definitions(create_table)?;
    // Both sides, since the table may refer to itself. If they are the names of another table's
    // columns, an index is kept unnecessarily, which is harmless.
    let mut needed_first = HashSet::new();
    for foreign in definitions.iter().filter_map(|text| keyword(text, "FOREIGN KEY")) {
        needed_first.extend(columns(foreign)?);
        needed_first.extend(columns(keyword(foreign, "REFERENCES")?)?);
    }
    if let Some(numbered) = &facts.auto_increment {
        let is_covered = definitions
            .iter()
            .filter(|text| text.starts_with("PRIMARY KEY") || text.starts_with("UNIQUE KEY"))
            .any(|text| columns(text).is_some_and(|columns| columns.first() == Some(numbered)));
        if !is_covered {
            needed_first.insert(numbered.clone());
        }
    }
    let can_go = |index: &Index| {
        index.columns().is_some_and(|columns| {
            columns.first().is_some_and(|first| !needed_first.contains(first))
                && !columns.iter().any(|column| facts.virtual_columns.contains(column))
        })
    };
    Some(definitions.into_iter().filter_map(Index::from_definition).filter(can_go).collect())
}

/// Returns the texts between the commas of CREATE TABLE's outermost parentheses.
fn definitions(create_table: &str) -> Option<Vec<&str>> {
    let open = outside_quotes(create_table).find(|(_, byte)| *byte == b'(')?.0;
    parts(&create_table[open..])
}

/// Returns the texts between the commas of the parenthesized list at the start of `text`.
fn parts(text: &str) -> Option<Vec<&str>> {
    let (mut depth, mut start) = (0_usize, 1);
    let mut parts = Vec::new();
    for (at, byte) in outside_quotes(text) {
        match byte {
            b'(' => depth += 1,
            b')' if depth == 1 => {
                parts.push(text[start..at].trim());
                return Some(parts);
            }
            b')' => depth = depth.checked_sub(1)?,
            b',' if depth == 1 => {
                parts.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    None
}

/// Returns the names of the columns in the first parenthesized list, or `None` if it holds anything
/// but columns.
fn columns(definition: &str) -> Option<Vec<String>> {
    let open = outside_quotes(definition).find(|(_, byte)| *byte == b'(')?.0;
    parts(&definition[open..])?
        .into_iter()
        .map(|part| identifier(part).map(|(name, _)| name))
        .collect()
}

/// Returns the text after a keyword. Names and strings are not searched.
fn keyword<'text>(text: &'text str, keyword: &str) -> Option<&'text str> {
    let found = outside_quotes(text)
        .find(|(at, _)| text.as_bytes()[*at..].starts_with(keyword.as_bytes()))?
        .0;
    Some(&text[found + keyword.len()..])
}

/// Returns the quoted name at the start of `text`, and the rest.
fn identifier(text: &str) -> Option<(String, &str)> {
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

/// Returns the bytes outside of names and strings, with their positions.
fn outside_quotes(text: &str) -> impl Iterator<Item = (usize, u8)> {
    let mut quote = None;
    let mut escaped = false;
    text.bytes().enumerate().filter(move |&(_, byte)| {
        match quote {
            _ if escaped => escaped = false,
            // In names, a backslash stands for itself.
            Some(b'\'' | b'"') if byte == b'\\' => escaped = true,
            // A doubled quote ends one quoted text and begins the next.
            Some(open) if byte == open => quote = None,
            Some(_) => {}
            None if matches!(byte, b'`' | b'\'' | b'"') => quote = Some(byte),
            None => return true,
        }
        false
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "CREATE TABLE `t (1` (
  `id` int NOT NULL AUTO_INCREMENT,
  `a` varchar(10) DEFAULT 'KEY `x` (`y`), \\'(',
  `b` varchar(100) DEFAULT NULL COMMENT 'FOREIGN KEY (`b`)',
  `p` int DEFAULT NULL,
  `v` int GENERATED ALWAYS AS ((`a` + 0)) VIRTUAL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `u` (`b`),
  KEY `o``dd, (` (`a` DESC,`b`(5)) COMMENT 'it''s; \\n (x, \\\\',
  KEY `by_expression` ((cast(`a` as unsigned))),
  KEY `mixed` (`b`,(upper(`a`))),
  KEY `hidden` (`b`,`a`) /*!80000 INVISIBLE */,
  KEY `child` (`p`,`a`),
  KEY `by_virtual` (`a`,`v`),
  SPATIAL KEY `place` (`b`),
  VECTOR KEY `near` (`b`),
  FULLTEXT KEY `words` (`b`) /*!50100 WITH PARSER `ngram` */ ,
  CONSTRAINT `FOREIGN KEY (` FOREIGN KEY (`p`) REFERENCES `q` (`id`, `a(`) ON DELETE CASCADE
) ENGINE=InnoDB COMMENT='KEY `z` (`a`)'
/*!50100 PARTITION BY RANGE (`id`) (PARTITION low VALUES LESS THAN (10)) */";

    fn names(facts: &ServerFilledColumns) -> Vec<String> {
        deferrable(TABLE, facts).unwrap().into_iter().map(|index| index.name).collect()
    }

    #[test]
    fn what_the_server_or_the_accounting_needs_stays() {
        let facts = ServerFilledColumns {
            virtual_columns: vec!["v".into()],
            auto_increment: Some("id".into()),
        };
        assert_eq!(names(&facts), ["o`dd, (", "hidden", "place", "words"]);
        // No other key begins with that column.
        let facts = ServerFilledColumns {
            auto_increment: Some("a".into()),
            ..ServerFilledColumns::default()
        };
        assert_eq!(names(&facts), ["hidden", "place", "words"]);
    }

    #[test]
    fn a_definition_is_the_servers_own_text() {
        let found = deferrable(TABLE, &ServerFilledColumns::default()).unwrap();
        assert_eq!(
            found[0].definition,
            "KEY `o``dd, (` (`a` DESC,`b`(5)) COMMENT 'it''s; \\n (x, \\\\'"
        );
        assert_eq!(
            found.last().unwrap().definition,
            "FULLTEXT KEY `words` (`b`) /*!50100 WITH PARSER `ngram` */"
        );
        for index in &found {
            assert_eq!(Index::from_definition(&index.definition).as_ref(), Some(index));
        }
    }

    #[test]
    fn a_text_that_ends_too_early_is_not_followed() {
        assert_eq!(
            deferrable(
                "CREATE TABLE `t` (\n  `a` int,\n  KEY `k` (`a`)",
                &ServerFilledColumns::default()
            ),
            None
        );
        assert_eq!(
            deferrable("CREATE VIEW `v` AS SELECT 1", &ServerFilledColumns::default()),
            None
        );
    }
}
