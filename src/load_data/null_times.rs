//! Makes NULL a bad value for TIMESTAMP columns that are NOT NULL.
//!
//! The servers warn about a NULL in every other NOT NULL column (code 1263). In a TIMESTAMP, LOAD
//! DATA stores the time of loading instead and says nothing. Therefore the fields of such columns
//! go through a variable, and the statement assigns `COALESCE(@variable, 'NULL')`. The text `NULL`
//! is no date, so the server warns, with the number of the row, or refuses the row. An expression
//! of `--set` is treated in the same way if it reads a variable: the NULL may come from a field.

use crate::mysql::TableSchema;

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
