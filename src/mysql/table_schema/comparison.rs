//! The comparison of the definitions of two tables.

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row, Value};

use crate::sql_text::text_literal;

/// The parts of a definition that are compared, each with its name and its query. Messages show the
/// first column of the query. Names that CREATE TABLE ... LIKE does not copy, such as those of
/// constraints, are left out.
const PARTS: [(&str, &str); 6] = [
    (
        "column",
        "SELECT COLUMN_NAME, ORDINAL_POSITION, COLUMN_DEFAULT, IS_NULLABLE, COLUMN_TYPE, \
         COLLATION_NAME, EXTRA, GENERATION_EXPRESSION \
         FROM information_schema.COLUMNS \
         WHERE TABLE_SCHEMA = <database> AND TABLE_NAME = <table> \
         ORDER BY ORDINAL_POSITION",
    ),
    (
        INDEX,
        "SELECT INDEX_NAME, SEQ_IN_INDEX, NON_UNIQUE, COLUMN_NAME, SUB_PART, INDEX_TYPE \
         FROM information_schema.STATISTICS \
         WHERE TABLE_SCHEMA = <database> AND TABLE_NAME = <table> \
         ORDER BY INDEX_NAME, SEQ_IN_INDEX",
    ),
    (
        "partition",
        "SELECT PARTITION_NAME, SUBPARTITION_NAME, PARTITION_METHOD, PARTITION_EXPRESSION, \
         PARTITION_DESCRIPTION \
         FROM information_schema.PARTITIONS \
         WHERE TABLE_SCHEMA = <database> AND TABLE_NAME = <table> \
         ORDER BY PARTITION_ORDINAL_POSITION, SUBPARTITION_ORDINAL_POSITION",
    ),
    (
        "a constraint",
        "SELECT CONSTRAINT_TYPE, COUNT(*) \
         FROM information_schema.TABLE_CONSTRAINTS \
         WHERE TABLE_SCHEMA = <database> AND TABLE_NAME = <table> \
         GROUP BY CONSTRAINT_TYPE \
         ORDER BY CONSTRAINT_TYPE",
    ),
    (
        "trigger",
        "SELECT TRIGGER_NAME \
         FROM information_schema.TRIGGERS \
         WHERE EVENT_OBJECT_SCHEMA = <database> AND EVENT_OBJECT_TABLE = <table> \
         ORDER BY TRIGGER_NAME",
    ),
    (
        "a table option",
        "SELECT CREATE_OPTIONS, ENGINE, TABLE_COLLATION, TABLE_COMMENT \
         FROM information_schema.TABLES \
         WHERE TABLE_SCHEMA = <database> AND TABLE_NAME = <table>",
    ),
];
const INDEX: &str = "index";

/// A table's definition, in a form that can be compared.
#[derive(Debug)]
pub(crate) struct TableDefinition {
    /// The rows of each of [`PARTS`].
    parts: Vec<Vec<Vec<Value>>>,
}

impl TableDefinition {
    /// Reads the definitions of two tables of a database, in one round trip.
    ///
    /// # Errors
    /// The driver's.
    pub(crate) async fn read_two(
        conn: &mut Conn,
        database: &str,
        tables: [&str; 2],
    ) -> mysql_async::Result<[Self; 2]> {
        let queries: Vec<String> = tables
            .iter()
            .flat_map(|table| PARTS.iter().map(move |(_, sql)| (table, sql)))
            .map(|(table, sql)| {
                sql.replace("<database>", &text_literal(database))
                    .replace("<table>", &text_literal(table))
            })
            .collect();
        let mut results = conn.query_iter(queries.join("; ")).await?;
        let mut definitions = [Self { parts: Vec::new() }, Self { parts: Vec::new() }];
        for definition in &mut definitions {
            for _ in &PARTS {
                let rows: Vec<Row> = results.collect().await?;
                definition.parts.push(rows.into_iter().map(Row::unwrap).collect());
            }
        }
        results.drop_result().await?;
        Ok(definitions)
    }

    /// Returns the first difference to `other`, such as "column x". The indexes of these names are
    /// not compared.
    pub(crate) fn difference(&self, other: &Self, without_indexes: &[&str]) -> Option<String> {
        for ((part, _), (here, there)) in PARTS.iter().zip(self.parts.iter().zip(&other.parts)) {
            let is_compared = |row: &&Vec<Value>| {
                *part != INDEX || !without_indexes.iter().any(|name| is_named(row, name))
            };
            let here: Vec<&Vec<Value>> = here.iter().filter(is_compared).collect();
            let there: Vec<&Vec<Value>> = there.iter().filter(is_compared).collect();
            if here != there {
                let only_here = here.iter().find(|row| !there.contains(row));
                let differs = only_here.or_else(|| there.iter().find(|row| !here.contains(row)));
                return Some(match differs.and_then(|row| row.first()) {
                    Some(Value::Bytes(name)) => format!("{part} {}", String::from_utf8_lossy(name)),
                    _ => (*part).to_owned(),
                });
            }
        }
        None
    }
}

/// Returns true if the first column is `name`.
fn is_named(row: &[Value], name: &str) -> bool {
    matches!(row.first(), Some(Value::Bytes(bytes)) if bytes == name.as_bytes())
}
