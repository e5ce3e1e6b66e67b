//! The items of LOAD DATA's column list.

/// One item of LOAD DATA's column list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ColumnOrVariable {
    Column(String),
    /// The name without its `@`.
    Variable(String),
}
