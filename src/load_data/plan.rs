//! The plan by which all objects of a run are loaded: the policy, the definition of the table, and
//! the destination of bad rows.

use std::sync::Arc;

use super::assess::Policy;
use super::layout::{AddedField, Layout};
use super::options::LoadConfig;
use super::reject_budget::RejectBudget;
use super::statement::Statement;
use crate::dialect::{ColumnOrVariable, Dialect, FormatConfig};
use crate::mysql::{Flavor, TableSchema};
use crate::rejects::Rejects;
use crate::sql_text::TableName;
use crate::values::{Readings, RowRules};

/// The plan by which all objects of a run are loaded. It is made once, and all connections read it.
#[derive(Debug)]
pub struct Plan {
    pub policy: Policy,
    /// The destination of rejected rows.
    pub rejects: Option<Rejects>,
    pub reject_budget: RejectBudget,
    /// The table that is loaded into, with its database.
    pub(crate) table: TableName,
    /// The target's definition. The table that is loaded into has the same columns.
    pub(crate) schema: Arc<TableSchema>,
    pub(crate) format: FormatConfig,
    pub(crate) readings: Readings,
    pub(crate) update_columns: Option<Vec<String>>,
    /// The server; `None` if it does not matter.
    pub(crate) flavor: Option<Flavor>,
}

impl Plan {
    /// Makes a plan. `table` is the one that is loaded into, with its database: the target, its
    /// shadow or its clone.
    #[must_use]
    pub fn new(
        table: TableName,
        schema: Arc<TableSchema>,
        format: &FormatConfig,
        load: &LoadConfig,
        policy: Policy,
    ) -> Self {
        Self {
            policy,
            rejects: None,
            reject_budget: RejectBudget::new(load.max_rejects_total),
            table,
            schema,
            format: format.clone(),
            readings: load.readings.clone(),
            update_columns: load.update_columns.clone(),
            flavor: None,
        }
    }

    /// Returns the layout of objects whose fields are read into `columns`, by these rules, and to
    /// whose rows these fields are added.
    pub(crate) fn layout(
        &self,
        columns: Vec<ColumnOrVariable>,
        values: Arc<RowRules>,
        added: Vec<AddedField>,
    ) -> Layout {
        let items = added.iter().map(|added| added.item.clone());
        let items: Vec<ColumnOrVariable> = columns.iter().cloned().chain(items).collect();
        let statement = self.statement(&items);
        Layout { added, ..Layout::new(columns, values, statement, &self.format) }
    }

    pub(crate) fn dialect(&self) -> &Dialect {
        &self.format.dialect
    }

    /// Returns the statement that reads fields into `columns` of the plan's table.
    #[must_use]
    pub fn statement(&self, columns: &[ColumnOrVariable]) -> Statement {
        let Self { table, schema, format, readings, .. } = self;
        Statement::new(table, schema, columns, format, readings, self.policy.on_duplicate)
    }

    /// Sets the server.
    #[must_use]
    pub(crate) fn on(self, flavor: Flavor) -> Self {
        Self { flavor: Some(flavor), ..self }
    }

    /// Sets the destination of rejected rows.
    #[must_use]
    pub fn rejecting_to(mut self, rejects: Option<Rejects>) -> Self {
        self.rejects = rejects;
        self
    }
}
