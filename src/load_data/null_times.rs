//! Makes NULL a bad value for TIMESTAMP columns that are NOT NULL.
//!
//! The servers warn about a NULL in every other NOT NULL column (code 1263). In a TIMESTAMP, LOAD
//! DATA stores the time of loading instead and says nothing. Therefore the fields of such columns
//! go through a variable, and the statement assigns `COALESCE(@variable, 'NULL')`. The text `NULL`
//! is no date, so the server warns, with the number of the row, or refuses the row. An expression
//! of `--set` is treated in the same way if it reads a variable: the NULL may come from a field.
//!
//! The server's warning says only that data was truncated. [`NullTimes::explain`] reads the field
//! and says what is wrong with it.

use crate::dialect::{ColumnOrVariable, FormatConfig};
use crate::mysql::TableSchema;
use crate::split::{Field, FieldReader};
use crate::sql_text::same_name;

/// The codes of the server's warnings and errors about the text `NULL`, and about the zero date
/// that a scratch table has in its place.
const CODES: [u16; 3] = [1264, 1265, 1292];

/// The TIMESTAMP columns that are NOT NULL and take a field of the object.
#[derive(Clone, Debug)]
pub(crate) struct NullTimes {
    columns: Vec<NullTime>,
    null_strings: Vec<String>,
    reader: FieldReader,
}

#[derive(Clone, Debug)]
struct NullTime {
    column: String,
    /// The type as in CREATE TABLE.
    column_type: String,
    /// The index of the field in a row.
    field: usize,
}

/// Returns true if LOAD DATA stores the time of loading where this column's value is NULL.
pub(super) fn takes_null_as_now(schema: &TableSchema, name: &str) -> bool {
    schema.column(name).is_some_and(|column| {
        column.data_type.eq_ignore_ascii_case("timestamp")
            && !column.is_nullable
            && !column.is_generated
    })
}

/// Returns the expression with a text in the place of NULL that no TIMESTAMP column accepts.
pub(super) fn null_as_text(expression: &str) -> String {
    format!("COALESCE({expression}, 'NULL')")
}

impl NullTimes {
    pub(crate) fn new(
        schema: &TableSchema,
        columns: &[ColumnOrVariable],
        format: &FormatConfig,
    ) -> Self {
        let place = |(field, item): (usize, &ColumnOrVariable)| match item {
            ColumnOrVariable::Column(name) if takes_null_as_now(schema, name) => {
                schema.column(name).map(|column| NullTime {
                    column: column.name.clone(),
                    column_type: column.column_type.clone(),
                    field,
                })
            }
            _ => None,
        };
        Self {
            columns: columns.iter().enumerate().filter_map(place).collect(),
            null_strings: format.null_strings.clone(),
            reader: FieldReader::new(&format.dialect, columns.len()),
        }
    }

    /// Returns a better text for a server's message about this column of `row`, if the field is
    /// NULL. The row comes without its line terminator.
    pub(crate) fn explain(
        &self,
        code: u16,
        column: Option<&str>,
        number: u64,
        row: &[u8],
    ) -> Option<String> {
        if !CODES.contains(&code) {
            return None;
        }
        let column = column?;
        let time = self.columns.iter().find(|time| same_name(&time.column, column))?;
        let is_null = match self.reader.read(row).get(time.field)? {
            Field::Null => true,
            Field::Value(value) => {
                self.null_strings.iter().any(|word| word.as_bytes() == value.as_ref())
            }
            Field::Missing => false,
        };
        is_null.then(|| {
            format!(
                "NULL for {} NOT NULL column '{}' at row {number}",
                time.column_type, time.column
            )
        })
    }
}
