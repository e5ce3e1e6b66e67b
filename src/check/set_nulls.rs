//! Counts the rows in which an expression of `--set` makes NULL of fields that are neither NULL nor
//! empty.
//!
//! Many functions do so without a warning: `NULLIF` and `IF`, on some servers also `UNHEX('0g')`
//! and `FROM_BASE64('###')`. The target clone gets one more column for each such expression. LOAD
//! DATA assigns in order, so the additional column sees the value that the expression has given,
//! and keeps the fields if it is NULL. Nothing is evaluated twice.

use std::sync::Arc;

use crate::dialect::{ColumnOrVariable, FormatConfig, names_in};
use crate::error::Result;
use crate::isolate::unlike;
use crate::mysql::{ColumnSchema, Conn, Phase, TableSchema, classify};
use crate::sql_text::{TableName, quote_identifier, same_name};

/// The number of bytes of an example.
const SHOWN_BYTES: u32 = 100;

/// The expressions of `--set` that read fields.
#[derive(Clone, Debug)]
pub struct SetNulls {
    watched: Vec<Watched>,
}

#[derive(Clone, Debug)]
struct Watched {
    /// The column that the expression is assigned to.
    column: String,
    /// The additional column of the clone.
    witness: String,
    /// The value of the additional column.
    expression: String,
}

/// The rows of an object in which an expression makes NULL of fields that are not empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetNull {
    pub column: String,
    pub rows: u64,
    /// The fields of one of the rows, separated by commas.
    pub example: Vec<u8>,
}

impl SetNulls {
    /// Finds the expressions that read fields.
    #[must_use]
    pub fn new(schema: &TableSchema, columns: &[ColumnOrVariable], format: &FormatConfig) -> Self {
        let mut watched: Vec<Watched> = Vec::new();
        for (column, expression) in &format.set {
            let names = names_in(expression);
            let fields: Vec<String> = columns
                .iter()
                .filter_map(|item| {
                    let (name, sql) = match item {
                        ColumnOrVariable::Column(name) => (name.clone(), quote_identifier(name)),
                        ColumnOrVariable::Variable(name) => {
                            (format!("@{name}"), format!("@{}", quote_identifier(name)))
                        }
                    };
                    names.iter().any(|used| same_name(used, &name)).then_some(sql)
                })
                .collect();
            if fields.is_empty() {
                continue;
            }
            let are_full: Vec<String> =
                fields.iter().map(|field| format!("LENGTH({field}) > 0")).collect();
            let is_taken = |name: &str| {
                schema.column(name).is_some() || watched.iter().any(|other| other.witness == name)
            };
            watched.push(Watched {
                column: column.clone(),
                witness: unlike("s3_to_mysql_null", is_taken),
                expression: format!(
                    "IF({} IS NULL AND {}, LEFT(CAST(CONCAT_WS(', ', {}) AS BINARY), \
                     {SHOWN_BYTES}), NULL)",
                    quote_identifier(column),
                    are_full.join(" AND "),
                    fields.join(", ")
                ),
            });
        }
        Self { watched }
    }

    /// Returns the definitions of the clone's additional columns.
    pub(super) fn definitions(&self) -> impl Iterator<Item = String> {
        self.watched.iter().map(|watched| format!("{} BLOB", quote_identifier(&watched.witness)))
    }

    /// Returns the target's schema with the clone's additional columns.
    pub(super) fn schema(&self, schema: &Arc<TableSchema>) -> Arc<TableSchema> {
        let mut schema = TableSchema::clone(schema);
        schema.columns.extend(self.watched.iter().map(|watched| ColumnSchema {
            name: watched.witness.clone(),
            data_type: "blob".to_owned(),
            column_type: "blob".to_owned(),
            is_nullable: true,
            has_default: true,
            ..ColumnSchema::default()
        }));
        Arc::new(schema)
    }

    /// Returns the format with the assignments to the clone's additional columns.
    pub(super) fn format(&self, format: &FormatConfig) -> FormatConfig {
        let mut format = format.clone();
        let more = self.watched.iter();
        format.set.extend(more.map(|it| (it.witness.clone(), it.expression.clone())));
        format
    }

    /// Returns what the rows in the clone tell.
    pub(super) async fn read(&self, conn: &mut Conn, clone: &TableName) -> Result<Vec<SetNull>> {
        let mut found = Vec::new();
        for Watched { column, witness, .. } in &self.watched {
            let witness = quote_identifier(witness);
            let failed = |error| classify(Phase::Transaction, "counting NULL", &error);
            let sql = format!("SELECT COUNT({witness}) FROM {clone}");
            let rows: u64 = conn.query_first(sql).await.map_err(failed)?.unwrap_or_default();
            if rows > 0 {
                let sql =
                    format!("SELECT {witness} FROM {clone} WHERE {witness} IS NOT NULL LIMIT 1");
                let example = conn.query_first(sql).await.map_err(failed)?.unwrap_or_default();
                found.push(SetNull { column: column.clone(), rows, example });
            }
        }
        Ok(found)
    }
}
