//! Finds the secondary indexes that a load can do without.
//!
//! These are kept, besides the primary key:
//! - UNIQUE keys: without them a duplicate is no error, and none is skipped, replaced or updated.
//! - Keys over an expression or a virtual column: the server refuses a row if it cannot compute the
//!   expression for the index entry. Without the index it would accept the row, and then refuse to
//!   add the index again.
//! - Keys that begin with a column of a foreign key, on either side, and keys that begin with the
//!   `AUTO_INCREMENT` column unless a kept key does too: the server needs these.
//! - Kinds and options that this program does not know.

use std::collections::HashSet;

use crate::mysql::{CreateTable, DefinitionKind, Index};

/// Returns the secondary indexes that this program can drop and add again.
pub(super) fn secondary(table: &CreateTable) -> Vec<Index> {
    table
        .of_kind(DefinitionKind::Index)
        .filter_map(|definition| Index::parse(&definition.text))
        .collect()
}

/// Returns the indexes that a load can do without, in order, or `None` if the columns of a foreign
/// key cannot be parsed.
pub(super) fn deferrable(table: &CreateTable) -> Option<Vec<Index>> {
    // Both sides, since the table may refer to itself. If they are the names of another table's
    // columns, an index is kept unnecessarily, which is harmless.
    let mut needed_first = HashSet::new();
    for foreign in table.of_kind(DefinitionKind::ForeignKey) {
        needed_first.extend(foreign.columns()?);
        needed_first.extend(foreign.referenced_columns()?);
    }
    for numbered in table.columns_with("AUTO_INCREMENT") {
        let is_covered = [DefinitionKind::PrimaryKey, DefinitionKind::UniqueKey]
            .into_iter()
            .flat_map(|kind| table.of_kind(kind))
            .any(|key| key.columns().is_some_and(|columns| columns.first() == Some(&numbered)));
        if !is_covered {
            needed_first.insert(numbered);
        }
    }
    let virtual_columns = table.columns_with("VIRTUAL");
    let can_go = |index: &Index| {
        index.columns.first().is_some_and(|first| !needed_first.contains(&first.column))
            && !index.has_any_of(&virtual_columns)
    };
    Some(secondary(table).into_iter().filter(can_go).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mysql::INTRICATE_TABLE as TABLE;

    fn names(create_table: &str) -> Vec<String> {
        let table = CreateTable::parse(create_table).unwrap();
        deferrable(&table).unwrap().into_iter().map(|index| index.name).collect()
    }

    #[test]
    fn what_the_server_or_the_accounting_needs_stays() {
        assert_eq!(names(TABLE), ["o`dd, (", "hidden", "place", "words"]);
        // No other key begins with that column.
        let numbered = TABLE.replace("`id` int NOT NULL AUTO_INCREMENT", "`id` int").replace(
            "`p` int DEFAULT NULL",
            "`p` int DEFAULT NULL, `n` int NOT NULL AUTO_INCREMENT, KEY `numbers` (`n`)",
        );
        assert_eq!(names(&numbered), ["o`dd, (", "hidden", "place", "words"]);
    }
}
