//! The way from the fields of an object to the columns of the table.

use std::ops::Deref;
use std::sync::Arc;

use super::statement::Statement;
use crate::columns::KeyFact;
use crate::dialect::{ColumnOrVariable, FormatConfig};
use crate::split::{RowLocator, RowReader};
use crate::values::{ColumnRule, RowRules};
use crate::verify::ComparePlan;

/// Everything that depends on the columns that an object's fields go to. Objects with the same
/// layout share it, and only they may share a statement.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The items of the column list for the fields of the object's rows.
    pub columns: Vec<ColumnOrVariable>,
    /// The values that the key and other facts add to each row.
    pub(crate) added: Vec<AddedField>,
    /// The partitions that are also fields of the rows, each with the index of the field.
    pub(crate) repeated: Vec<(usize, String)>,
    /// The rules for the values of the object's own fields.
    pub values: Arc<RowRules>,
    /// The statement that loads such objects.
    pub statement: Statement,
    /// Stands at the beginning of an object. Each object clones it.
    pub reader: RowReader,
    /// Finds every row of an object, from its beginning on.
    pub locator: RowLocator,
    /// The plan of the comparison at the end of the job, if one is wanted.
    pub(crate) verification: Option<Arc<ComparePlan>>,
}

/// A value that is added to each row of an object, after its own fields.
#[derive(Clone, Debug)]
pub(crate) struct AddedField {
    pub(crate) item: ColumnOrVariable,
    pub(crate) fact: KeyFact,
    /// The rule of the column; `None` for a variable.
    pub(crate) rule: Option<ColumnRule>,
}

/// The layout of one object, and what its key and other facts add to it.
#[derive(Clone, Debug)]
pub struct ObjectLayout {
    pub(crate) shared: Arc<Layout>,
    /// The bytes that follow the own fields of each row, for the server.
    pub(crate) added: Arc<[u8]>,
    /// The values that fields must have in every row.
    pub(crate) required: Arc<[RequiredValue]>,
}

/// A value that a field must have in every row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequiredValue {
    pub(crate) field: usize,
    pub(crate) name: String,
    /// `None` for NULL.
    pub(crate) value: Option<String>,
}

impl Layout {
    /// Creates the layout of objects whose fields are read into `columns`.
    #[must_use]
    pub fn new(
        columns: Vec<ColumnOrVariable>,
        values: Arc<RowRules>,
        statement: Statement,
        format: &FormatConfig,
    ) -> Self {
        let FormatConfig { charset, ignore_lines, .. } = format;
        Self {
            reader: RowReader::new(format.rows(), charset, columns.len(), *ignore_lines),
            locator: RowLocator::every(format.rows(), charset, columns.len(), *ignore_lines),
            columns,
            added: Vec::new(),
            repeated: Vec::new(),
            values,
            statement,
            verification: None,
        }
    }

    /// Returns the number of fields in a row of the object.
    #[must_use]
    pub fn fields_per_row(&self) -> usize {
        self.columns.len()
    }

    /// Returns the whole column list of the statement.
    pub(crate) fn items(&self) -> Vec<ColumnOrVariable> {
        let added = self.added.iter().map(|added| &added.item);
        self.columns.iter().chain(added).cloned().collect()
    }

    /// Returns a locator of these rows.
    pub(crate) fn locator_of(
        &self,
        format: &FormatConfig,
        rows: impl IntoIterator<Item = u64>,
    ) -> RowLocator {
        let FormatConfig { charset, ignore_lines, .. } = format;
        RowLocator::new(format.rows(), charset, self.fields_per_row(), *ignore_lines, rows)
    }
}

impl From<Layout> for ObjectLayout {
    /// Returns the layout of an object to which nothing is added.
    fn from(layout: Layout) -> Self {
        Self { shared: Arc::new(layout), added: Arc::default(), required: Arc::default() }
    }
}

impl Deref for ObjectLayout {
    type Target = Layout;

    fn deref(&self) -> &Layout {
        &self.shared
    }
}
