//! The kinds of columns in tables.

use crate::values::ColumnType;

/// The kind of a column, as far as the text for it depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::VariantArray)]
pub(crate) enum TargetKind {
    Integer,
    Decimal,
    Float,
    Bit,
    Year,
    Labels,
    Date,
    DateTime,
    Timestamp,
    Time,
    Text,
    Json,
    Binary,
    Other,
    Variable,
}

/// The destination of a column of a file.
#[derive(Clone, Debug)]
pub(crate) struct ColumnTarget {
    pub(super) kind: TargetKind,
    /// The type as messages name it.
    pub(super) type_name: String,
    /// The length of all values of a BINARY column.
    pub(super) fixed_bytes: Option<u64>,
}

impl ColumnTarget {
    /// Returns the target for a variable of `--set`.
    pub(crate) fn variable() -> Self {
        let type_name = "a variable".to_owned();
        Self { kind: TargetKind::Variable, type_name, fixed_bytes: None }
    }

    /// Returns the target for a column of the table, whose type `information_schema` writes like
    /// this. `is_json` is true for a JSON column, which MariaDB has as a text.
    pub(crate) fn column(type_name: &str, is_json: bool) -> Self {
        let column_type = ColumnType::parse(type_name);
        let mut fixed_bytes = None;
        let kind = match column_type {
            _ if is_json => TargetKind::Json,
            ColumnType::Integer { .. } => TargetKind::Integer,
            ColumnType::Decimal { .. } => TargetKind::Decimal,
            ColumnType::Float { .. } => TargetKind::Float,
            ColumnType::Bit(_) => TargetKind::Bit,
            ColumnType::Year => TargetKind::Year,
            ColumnType::Enum(_) | ColumnType::Set(_) => TargetKind::Labels,
            ColumnType::Date => TargetKind::Date,
            ColumnType::DateTime { .. } => TargetKind::DateTime,
            ColumnType::Timestamp { .. } => TargetKind::Timestamp,
            ColumnType::Time { .. } => TargetKind::Time,
            ColumnType::Characters(_) | ColumnType::Text(_) => TargetKind::Text,
            ColumnType::Json => TargetKind::Json,
            ColumnType::FixedBinary(length) => {
                fixed_bytes = Some(length);
                TargetKind::Binary
            }
            ColumnType::Binary(_) => TargetKind::Binary,
            ColumnType::Other => TargetKind::Other,
        };
        let type_name = if is_json { "json".to_owned() } else { type_name.to_owned() };
        Self { kind, type_name, fixed_bytes }
    }
}
