//! Builds the text of the LOAD DATA statement.
//!
//! Identifiers are quoted and delimiters are hexadecimal literals. The text contains nothing of an
//! object's name or content, so the objects of one run share one text. It never contains `IGNORE n
//! LINES`: header lines are stripped before.

use std::fmt::Write as _;

use super::null_times::{null_as_text, takes_null_as_now};
use crate::choices::BinaryReading;
use crate::dialect::{ColumnOrVariable, FormatConfig};
use crate::mysql::TableSchema;
use crate::policy::OnDuplicate;
use crate::sql_text::{TableName, bytes_literal, quote_identifier};
use crate::values::{ColumnType, Readings};

/// The file name in the statement. A server shows it in its process list, and sends it back when it
/// asks for the bytes.
pub(crate) const INFILE_NAME: &str = "s3-to-mysql";

/// A LOAD DATA statement that lacks only the line terminator, which may differ between objects.
#[derive(Clone, Debug)]
pub struct Statement {
    before_terminator: String,
    after_terminator: String,
}

impl Statement {
    /// Builds the statement for `table`, whose fields are read into `columns`. `schema` is that of
    /// the target: `table` has the same columns.
    #[must_use]
    pub fn new(
        table: &TableName,
        schema: &TableSchema,
        columns: &[ColumnOrVariable],
        format: &FormatConfig,
        readings: &Readings,
        on_duplicate: OnDuplicate,
    ) -> Self {
        let dialect = &format.dialect;
        let duplicates = match on_duplicate {
            // LOCAL skips duplicates in any case; IGNORE says so.
            OnDuplicate::Error
            | OnDuplicate::Ignore
            | OnDuplicate::Update
            | OnDuplicate::Reject => "IGNORE ",
            OnDuplicate::Replace => "REPLACE ",
        };
        let mut before_terminator = format!(
            "LOAD DATA LOCAL INFILE '{INFILE_NAME}' {duplicates}INTO TABLE {table} \
             CHARACTER SET {} FIELDS TERMINATED BY {}",
            format.charset.name(),
            bytes_literal(&dialect.fields_terminated_by)
        );
        if let Some(enclosure) = dialect.fields_enclosed_by {
            let optionally = if dialect.fields_optionally_enclosed { " OPTIONALLY" } else { "" };
            push(
                &mut before_terminator,
                format_args!("{optionally} ENCLOSED BY {}", bytes_literal(&[enclosure])),
            );
        }
        let escape = dialect
            .fields_escaped_by
            .map_or_else(|| "''".to_owned(), |escape| bytes_literal(&[escape]));
        push(&mut before_terminator, format_args!(" ESCAPED BY {escape} LINES TERMINATED BY "));
        Self {
            before_terminator,
            after_terminator: columns_and_set(schema, columns, format, readings),
        }
    }

    /// Returns the whole text for objects with this line terminator.
    #[must_use]
    pub fn sql(&self, lines_terminated_by: &[u8]) -> String {
        format!(
            "{}{}{}",
            self.before_terminator,
            bytes_literal(lines_terminated_by),
            self.after_terminator
        )
    }
}

/// Returns the SQL around the value of a column whose fields do not stand for their own bytes: the
/// number of a BIT, and binary data in hexadecimal digits. The rules for values make sure that the
/// server gets nothing else in such a field.
fn conversion(
    schema: &TableSchema,
    name: &str,
    readings: &Readings,
) -> Option<(&'static str, &'static str)> {
    let column = schema.column(name)?;
    match ColumnType::parse(&column.column_type) {
        ColumnType::Bit(_) if readings.binary != BinaryReading::Raw => {
            Some(("CAST(", " AS UNSIGNED)"))
        }
        ColumnType::FixedBinary(_) | ColumnType::Binary(_)
            if matches!(readings.binary, BinaryReading::Hex | BinaryReading::Base64) =>
        {
            Some(("UNHEX(", ")"))
        }
        _ => None,
    }
}

/// Returns the column list and the SET clause. If some words mean NULL, each column's field goes
/// through a variable, and so do the fields of columns in which a NULL would be silent.
fn columns_and_set(
    schema: &TableSchema,
    columns: &[ColumnOrVariable],
    format: &FormatConfig,
    readings: &Readings,
) -> String {
    let mut list = Vec::with_capacity(columns.len());
    let mut set = Vec::new();
    let nulls: Vec<String> =
        format.null_strings.iter().map(|word| bytes_literal(word.as_bytes())).collect();
    for (index, item) in columns.iter().enumerate() {
        match item {
            ColumnOrVariable::Variable(name) => list.push(format!("@{}", quote_identifier(name))),
            ColumnOrVariable::Column(name)
                if nulls.is_empty()
                    && !takes_null_as_now(schema, name)
                    && conversion(schema, name, readings).is_none() =>
            {
                list.push(quote_identifier(name));
            }
            ColumnOrVariable::Column(name) => {
                let variable = format!("@s3_to_mysql_{}", index + 1);
                let mut value = variable.clone();
                if !nulls.is_empty() {
                    // The comparison is of bytes: a collation would treat 'null' and 'NULL ' like
                    // 'NULL'.
                    value = format!(
                        "IF(CAST({variable} AS BINARY) IN ({}), NULL, {variable})",
                        nulls.join(", ")
                    );
                }
                if takes_null_as_now(schema, name) {
                    value = null_as_text(&value);
                }
                if let Some((before, after)) = conversion(schema, name, readings) {
                    value = format!("{before}{value}{after}");
                }
                set.push(format!("{} = {value}", quote_identifier(name)));
                list.push(variable);
            }
        }
    }
    set.extend(format.set.iter().map(|(column, expression)| {
        // An expression without a variable is left alone, because `NOW()` says more than its text.
        let value = if expression.contains('@') && takes_null_as_now(schema, column) {
            null_as_text(&one(expression))
        } else {
            one(expression)
        };
        format!("{} = {value}", quote_identifier(column))
    }));
    let mut text = format!(" ({})", list.join(", "));
    if !set.is_empty() {
        push(&mut text, format_args!(" SET {}", set.join(", ")));
    }
    text
}

/// Returns the expression in parentheses, so that the server takes nothing in it for a clause of
/// the statement. `DEFAULT` is a clause of its own.
fn one(expression: &str) -> String {
    if expression.eq_ignore_ascii_case("DEFAULT") {
        expression.to_owned()
    } else {
        format!("({expression})")
    }
}

/// Appends to `text`. Writing to a String cannot fail.
fn push(text: &mut String, more: std::fmt::Arguments<'_>) {
    let _ = text.write_fmt(more);
}
