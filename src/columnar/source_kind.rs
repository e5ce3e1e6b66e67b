//! The kinds of columns in files.

/// The kind of a column, as far as the text of its values depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::VariantArray)]
pub(crate) enum SourceKind {
    Boolean,
    Integer,
    Float,
    Double,
    Decimal,
    Date,
    Time,
    /// The time that a clock showed, wherever it hung.
    LocalTime,
    /// A point in time.
    Instant,
    Text,
    Bytes,
    Uuid,
    /// Bytes in a format of their own.
    Opaque,
    /// A column of which every value is NULL.
    Null,
    Nested,
    /// A type without a meaning in a table.
    Unsupported,
}
