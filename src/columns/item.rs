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
