//! The text of SHOW CREATE TABLE, taken apart.
//!
//! The session's `sql_mode` must not hold `ANSI_QUOTES`, `NO_BACKSLASH_ESCAPES` or another mode
//! that changes how the server quotes. Both servers escape line breaks in comments and defaults, so
//! a line break outside quotes is one of the statement's own.

use crate::sql_text::quoted_identifier;

/// A table's definition as the server shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CreateTable {
    /// The columns, keys and constraints, in order.
    pub(crate) definitions: Vec<Definition>,
    /// The text after the closing parenthesis, without partitions: `ENGINE=InnoDB ...`.
    pub(crate) options: String,
    /// The text after that: `PARTITION BY ...`, perhaps in a comment that only some versions
    /// execute.
    pub(crate) partitions: String,
}

/// A column, key or constraint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Definition {
    pub(crate) kind: DefinitionKind,
    pub(crate) text: String,
}

/// The kind of a definition. The kinds that the program does not tell apart are `Other`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DefinitionKind {
    Column,
    PrimaryKey,
    UniqueKey,
    /// A secondary index that is not unique: KEY, FULLTEXT KEY or SPATIAL KEY.
    Index,
    ForeignKey,
    Check,
    Other,
}

impl CreateTable {
    /// Parses the server's text. Returns `None` for a view, and for a text that ends too early.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let rest = ["CREATE TABLE ", "CREATE TEMPORARY TABLE "]
            .iter()
            .find_map(|s| text.strip_prefix(s))?;
        let (_, rest) = quoted_identifier(rest)?;
        let (definitions, rest) = list(rest.strip_prefix(' ')?)?;
        let (options, partitions) = rest.trim_start().split_once('\n').unwrap_or((rest.trim(), ""));
        Some(Self {
            definitions: definitions.into_iter().map(Definition::new).collect(),
            options: options.to_owned(),
            partitions: partitions.to_owned(),
        })
    }

    pub(crate) fn is_partitioned(&self) -> bool {
        self.partitions.contains("PARTITION BY")
    }

    /// Returns the definitions of this kind.
    pub(crate) fn of_kind(&self, kind: DefinitionKind) -> impl Iterator<Item = &Definition> {
        self.definitions.iter().filter(move |definition| definition.kind == kind)
    }

    /// Returns the names of the columns whose definition holds `word` outside parentheses.
    pub(crate) fn columns_with(&self, word: &str) -> Vec<String> {
        self.of_kind(DefinitionKind::Column)
            .filter(|column| {
                outside_parentheses(&column.text).split_whitespace().any(|other| other == word)
            })
            .filter_map(|column| quoted_identifier(&column.text))
            .map(|(name, _)| name)
            .collect()
    }
}

impl Definition {
    fn new(text: &str) -> Self {
        let named = without_constraint_name(text);
        let kinds = [
            ("`", DefinitionKind::Column),
            ("PRIMARY KEY ", DefinitionKind::PrimaryKey),
            ("UNIQUE KEY ", DefinitionKind::UniqueKey),
            ("KEY ", DefinitionKind::Index),
            ("FULLTEXT KEY ", DefinitionKind::Index),
            ("SPATIAL KEY ", DefinitionKind::Index),
            ("FOREIGN KEY ", DefinitionKind::ForeignKey),
            ("CHECK ", DefinitionKind::Check),
        ];
        let kind = kinds
            .iter()
            .find(|(prefix, _)| named.starts_with(prefix))
            .map_or(DefinitionKind::Other, |(_, kind)| *kind);
        Self { kind, text: text.to_owned() }
    }

    pub(crate) fn without_constraint_name(&self) -> &str {
        without_constraint_name(&self.text)
    }

    /// Returns the names in the first parenthesized list, or `None` if it holds anything but names
    /// of columns.
    pub(crate) fn columns(&self) -> Option<Vec<String>> {
        names(&self.text)
    }

    /// Returns the columns that a foreign key refers to.
    pub(crate) fn referenced_columns(&self) -> Option<Vec<String>> {
        let keyword = "REFERENCES";
        let found = outside_quotes(&self.text)
            .find(|(at, _)| self.text.as_bytes()[*at..].starts_with(keyword.as_bytes()))?
            .0;
        names(&self.text[found + keyword.len()..])
    }
}

fn without_constraint_name(text: &str) -> &str {
    text.strip_prefix("CONSTRAINT ")
        .and_then(quoted_identifier)
        .map_or(text, |(_, rest)| rest.trim_start())
}

/// Returns the texts between blanks and line breaks outside of names and strings.
pub(super) fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut start = 0;
    for (at, byte) in outside_quotes(text) {
        if byte.is_ascii_whitespace() {
            words.push(&text[start..at]);
            start = at + 1;
        }
    }
    words.push(&text[start..]);
    words.retain(|word| !word.is_empty());
    words
}

/// Returns the names at the start of the parts of the first parenthesized list.
fn names(text: &str) -> Option<Vec<String>> {
    let open = outside_quotes(text).find(|(_, byte)| *byte == b'(')?.0;
    let (parts, _) = list(&text[open..])?;
    parts.into_iter().map(|part| quoted_identifier(part).map(|(name, _)| name)).collect()
}

/// Returns the texts between the commas of the parenthesized list at the start of `text`, and the
/// text after the list.
pub(super) fn list(text: &str) -> Option<(Vec<&str>, &str)> {
    text.strip_prefix('(')?;
    let (mut depth, mut start) = (0_usize, 1);
    let mut parts = Vec::new();
    for (at, byte) in outside_quotes(text) {
        match byte {
            b'(' => depth += 1,
            b')' if depth == 1 => {
                parts.push(text[start..at].trim());
                return Some((parts, &text[at + 1..]));
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

/// Returns the bytes outside of names and strings, with their positions.
pub(super) fn outside_quotes(text: &str) -> impl Iterator<Item = (usize, u8)> {
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

/// Returns the ASCII text outside of quotes and parentheses, with a space for what is left out.
fn outside_parentheses(text: &str) -> String {
    let mut depth = 0_usize;
    let mut outside = String::new();
    for (_, byte) in outside_quotes(text) {
        match byte {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            _ if depth == 0 && byte.is_ascii() => {
                outside.push(char::from(byte));
                continue;
            }
            _ => {}
        }
        outside.push(' ');
    }
    outside
}

/// A table of everything that is easily misread, which no server would accept as a whole.
#[cfg(test)]
pub(crate) const INTRICATE_TABLE: &str = "CREATE TABLE `t (1` (
  `id` int NOT NULL AUTO_INCREMENT,
  `a` varchar(10) DEFAULT 'KEY `x` (`y`), VIRTUAL \\'(',
  `b` varchar(100) DEFAULT NULL COMMENT 'FOREIGN KEY (`b`)',
  `p` int DEFAULT NULL,
  `v` int GENERATED ALWAYS AS ((`a` + 0)) VIRTUAL,
  `s` int GENERATED ALWAYS AS ((`VIRTUAL` + 0)) STORED,
  PRIMARY KEY (`id`),
  UNIQUE KEY `u` (`b`),
  KEY `o``dd, (` (`a` DESC,`b`(5)) COMMENT 'it''s; \\n (x, \\\\',
  KEY `by_expression` ((cast(`a` as unsigned))),
  KEY `mixed` (`b`,(upper(`a`))),
  KEY `hidden` (`b`,`a`) /*!80000 INVISIBLE */,
  KEY `child` (`p`,`a`),
  KEY `by_virtual` (`a`,`v`),
  KEY `unknown_option` (`a`) `option`=1,
  SPATIAL KEY `place` (`b`),
  VECTOR KEY `near` (`b`),
  FULLTEXT KEY `words` (`b`) /*!50100 WITH PARSER `ngram` */ ,
  CONSTRAINT `FOREIGN KEY (` FOREIGN KEY (`p`) REFERENCES `q` (`id`, `a(`) ON DELETE CASCADE,
  CONSTRAINT `a `` FOREIGN KEY` CHECK ((`id` <> 7))
) ENGINE=InnoDB AUTO_INCREMENT=7 COMMENT='KEY `z` (`a`)'
/*!50100 PARTITION BY RANGE (`id`) (PARTITION low VALUES LESS THAN (10)) */";

#[cfg(test)]
mod tests {
    use super::INTRICATE_TABLE as TABLE;
    use super::*;

    #[test]
    fn definitions_end_at_commas_outside_quotes_and_parentheses() {
        use DefinitionKind::{Check, Column, ForeignKey, Index, Other, PrimaryKey, UniqueKey};
        let table = CreateTable::parse(TABLE).unwrap();
        let kinds: Vec<DefinitionKind> =
            table.definitions.iter().map(|definition| definition.kind).collect();
        assert_eq!(
            kinds,
            [
                Column, Column, Column, Column, Column, Column, PrimaryKey, UniqueKey, Index,
                Index, Index, Index, Index, Index, Index, Index, Other, Index, ForeignKey, Check
            ]
        );
        assert_eq!(table.options, "ENGINE=InnoDB AUTO_INCREMENT=7 COMMENT='KEY `z` (`a`)'");
        assert!(table.is_partitioned());
        assert_eq!(table.definitions[19].text, "CONSTRAINT `a `` FOREIGN KEY` CHECK ((`id` <> 7))");
    }

    #[test]
    fn words_in_names_strings_and_expressions_say_nothing_about_a_column() {
        let table = CreateTable::parse(TABLE).unwrap();
        assert_eq!(table.columns_with("VIRTUAL"), ["v"]);
        assert_eq!(table.columns_with("AUTO_INCREMENT"), ["id"]);
    }

    #[test]
    fn the_columns_of_a_key_are_known_unless_one_is_an_expression() {
        let table = CreateTable::parse(TABLE).unwrap();
        let foreign = table.of_kind(DefinitionKind::ForeignKey).next().unwrap();
        assert_eq!(foreign.columns(), Some(vec!["p".into()]));
        assert_eq!(foreign.referenced_columns(), Some(vec!["id".into(), "a(".into()]));
        let columns = |name: &str| {
            let mut indexes = table.of_kind(DefinitionKind::Index);
            indexes.find(|index| index.text.contains(name)).unwrap().columns()
        };
        assert_eq!(columns("`mixed`"), None);
        assert_eq!(columns("`words`"), Some(vec!["b".into()]));
    }

    #[test]
    fn a_text_that_ends_too_early_is_no_table() {
        assert_eq!(CreateTable::parse("CREATE TABLE `t` (\n  `a` int,\n  KEY `k` (`a`)"), None);
        assert_eq!(CreateTable::parse("CREATE VIEW `v` AS SELECT 1"), None);
    }
}
