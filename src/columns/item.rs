//! The items of a column list by their names.

use crate::dialect::ColumnOrVariable;
use crate::sql_text::same_name;

/// Returns true if the item is the column with this name.
pub(crate) fn is_column(item: &ColumnOrVariable, name: &str) -> bool {
    match item {
        ColumnOrVariable::Column(column) => same_name(column, name),
        ColumnOrVariable::Variable(_) => false,
    }
}

/// Returns true if both are the same column or the same variable.
pub(super) fn is_same(one: &ColumnOrVariable, other: &ColumnOrVariable) -> bool {
    match (one, other) {
        (ColumnOrVariable::Column(one), ColumnOrVariable::Column(other))
        | (ColumnOrVariable::Variable(one), ColumnOrVariable::Variable(other)) => {
            same_name(one, other)
        }
        _ => false,
    }
}
