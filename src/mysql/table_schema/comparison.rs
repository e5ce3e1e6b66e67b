//! Compares the definitions of two tables.
//!
//! A definition is what SHOW CREATE TABLE says, and the triggers. So it has everything that the
//! server knows of a table, also what this program does not. These are left out, because CREATE
//! TABLE ... LIKE does not copy them: the next `AUTO_INCREMENT` value, directories, and the names
//! of constraints.

use super::text;
use crate::mysql::conn::Conn;
use crate::mysql::create_table::{CreateTable, Definition, DefinitionKind, words};
use crate::sql_text::{quoted_identifier, text_literal};

/// A table's definition, in a form that can be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TableDefinition {
    /// The columns, in the table's order.
    columns: Vec<Named>,
    /// Sorted: an index that is dropped and added again comes last.
    indexes: Vec<Named>,
    /// Sorted, without their names.
    constraints: Vec<Named>,
    partitions: Vec<Named>,
    options: Vec<Named>,
    triggers: Vec<Named>,
}

/// A part of a definition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Named {
    /// The name for messages. Empty if the part has none.
    name: String,
    text: String,
}

impl TableDefinition {
    /// Returns the definition of the table that `shown` describes. Reads its triggers.
    ///
    /// # Errors
    /// The errors of the driver.
    pub(crate) async fn read(
        conn: &mut Conn,
        shown: &CreateTable,
        database: &str,
        table: &str,
    ) -> mysql_async::Result<Self> {
        let sql = format!(
            "SELECT TRIGGER_NAME, ACTION_TIMING, EVENT_MANIPULATION, ACTION_STATEMENT \
             FROM information_schema.TRIGGERS \
             WHERE EVENT_OBJECT_SCHEMA = {} AND EVENT_OBJECT_TABLE = {} \
             ORDER BY TRIGGER_NAME",
            text_literal(database),
            text_literal(table)
        );
        let rows = conn.query_sets(&sql).await?.next_rows_of(4)?;
        let trigger = |row: &mysql_async::Row| Named {
            name: text(row, 0),
            text: [text(row, 1), text(row, 2), text(row, 3)].join(" "),
        };
        Ok(Self { triggers: rows.iter().map(trigger).collect(), ..Self::new(shown) })
    }

    fn new(shown: &CreateTable) -> Self {
        let mut definition = Self {
            columns: Vec::new(),
            indexes: Vec::new(),
            constraints: Vec::new(),
            partitions: vec![Named::unnamed(copied(&shown.partitions))],
            options: vec![Named::unnamed(copied(&shown.options))],
            triggers: Vec::new(),
        };
        for part in &shown.definitions {
            match part.kind {
                DefinitionKind::Column => definition.columns.push(Named::of(part)),
                DefinitionKind::Check | DefinitionKind::ForeignKey => {
                    let text = part.without_constraint_name().to_owned();
                    definition.constraints.push(Named::unnamed(text));
                }
                _ => definition.indexes.push(Named::of(part)),
            }
        }
        definition.indexes.sort();
        definition.constraints.sort();
        definition
    }

    /// Returns the first difference to `other`, such as "column x". The indexes of these names are
    /// not compared.
    pub(crate) fn difference(&self, other: &Self, without_indexes: &[&str]) -> Option<String> {
        let compared = |parts: &[Named]| -> Vec<Named> {
            let is_compared = |part: &&Named| !without_indexes.contains(&part.name.as_str());
            parts.iter().filter(is_compared).cloned().collect()
        };
        let (here, there) = (compared(&self.indexes), compared(&other.indexes));
        let parts = [
            ("column", &self.columns, &other.columns),
            ("index", &here, &there),
            ("partition", &self.partitions, &other.partitions),
            ("a constraint", &self.constraints, &other.constraints),
            ("trigger", &self.triggers, &other.triggers),
            ("a table option", &self.options, &other.options),
        ];
        let (what, here, there) = parts.into_iter().find(|(_, here, there)| here != there)?;
        let only_here = here.iter().find(|part| !there.contains(part));
        let differs = only_here.or_else(|| there.iter().find(|part| !here.contains(part)));
        Some(match differs {
            Some(part) if !part.name.is_empty() => format!("{what} {}", part.name),
            _ => what.to_owned(),
        })
    }

    /// Returns a text that is equal for equal definitions only.
    pub(crate) fn text(&self) -> String {
        format!("{self:?}")
    }
}

impl Named {
    fn of(part: &Definition) -> Self {
        let text = part.text.clone();
        let from = text.find('`').unwrap_or(text.len());
        let is_primary = part.kind == DefinitionKind::PrimaryKey;
        let name = if is_primary { None } else { quoted_identifier(&text[from..]) };
        Self { name: name.map_or_else(|| "PRIMARY".to_owned(), |(name, _)| name), text }
    }

    fn unnamed(text: String) -> Self {
        Self { name: String::new(), text }
    }
}

/// Returns the table options or partitions without what CREATE TABLE ... LIKE does not copy.
fn copied(options: &str) -> String {
    let mut copied = Vec::new();
    let mut left = words(options).into_iter().peekable();
    while let Some(word) = left.next() {
        let is_directory = matches!(word, "DATA" | "INDEX")
            && left.peek().is_some_and(|next| next.starts_with("DIRECTORY"));
        if is_directory {
            // `DATA DIRECTORY='/x'` for a table, `DATA DIRECTORY = '/x'` for a partition.
            if left.next() == Some("DIRECTORY") {
                left.nth(1);
            }
        } else if !word.starts_with("AUTO_INCREMENT=") {
            copied.push(word);
        }
    }
    copied.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "CREATE TABLE `t` (
  `id` int NOT NULL AUTO_INCREMENT,
  `a` varchar(10) DEFAULT 'x' COMMENT 'c',
  PRIMARY KEY (`id`),
  KEY `k` (`a` DESC),
  KEY `l` (`a`,`id`),
  CONSTRAINT `t_chk_1` CHECK ((`id` <> 7))
) ENGINE=InnoDB AUTO_INCREMENT=7 DEFAULT CHARSET=utf8mb4 COMMENT='AUTO_INCREMENT=5 x' \
                         DATA DIRECTORY='/a b'
/*!50100 PARTITION BY RANGE (`id`)
(PARTITION p0 VALUES LESS THAN (10) DATA DIRECTORY = '/x' ENGINE = InnoDB) */";

    fn definition(text: &str) -> TableDefinition {
        TableDefinition::new(&CreateTable::parse(text).unwrap())
    }

    #[test]
    fn what_like_does_not_copy_is_no_difference() {
        let copy = TABLE
            .replace("CREATE TABLE `t`", "CREATE TABLE `u`")
            .replace("t_chk_1", "u_chk_1")
            .replace(" AUTO_INCREMENT=7", "")
            .replace(" DATA DIRECTORY='/a b'", "")
            .replace(" DATA DIRECTORY = '/x'", "");
        assert_eq!(definition(TABLE).difference(&definition(&copy), &[]), None);
        assert_eq!(definition(TABLE).text(), definition(&copy).text());
        let reordered = TABLE
            .replace("  KEY `k` (`a` DESC),\n", "")
            .replace("(`a`,`id`),\n", "(`a`,`id`),\n  KEY `k` (`a` DESC),\n");
        assert_eq!(definition(TABLE).difference(&definition(&reordered), &[]), None);
    }

    #[test]
    fn everything_else_is_one_and_has_a_name() {
        for (from, to, named) in [
            ("'c'", "'d'", "column a"),
            ("DEFAULT 'x'", "DEFAULT 'y'", "column a"),
            ("`a` DESC", "`a`", "index k"),
            ("KEY `l`", "KEY `m`", "index l"),
            ("PRIMARY KEY (`id`)", "PRIMARY KEY (`id`,`a`)", "index PRIMARY"),
            ("<> 7", "<> 8", "a constraint"),
            ("=5 x", "=6 x", "a table option"),
            ("THAN (10)", "THAN (11)", "partition"),
        ] {
            let other = definition(&TABLE.replace(from, to));
            assert_eq!(definition(TABLE).difference(&other, &[]).as_deref(), Some(named));
            assert_ne!(definition(TABLE).text(), other.text());
        }
        let without = definition(&TABLE.replace("  KEY `l` (`a`,`id`),\n", ""));
        assert_eq!(definition(TABLE).difference(&without, &["l"]), None);
        assert_eq!(definition(TABLE).difference(&without, &[]).as_deref(), Some("index l"));
    }
}
