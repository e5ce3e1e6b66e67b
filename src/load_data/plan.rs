//! The plan by which all objects of a run are loaded: the policy, the statement, the definition of
//! the table, and the destination of bad rows.

use std::sync::Arc;

use super::assess::Policy;
use super::options::LoadConfig;
use super::reject_budget::RejectBudget;
use super::statement::Statement;
use crate::dialect::{ColumnOrVariable, FormatConfig};
use crate::mysql::{Flavor, TableSchema};
use crate::rejects::Rejects;
use crate::sql_text::TableName;
use crate::values::{Readings, RowRules};

/// The plan by which all objects of a run are loaded. It is made once, and all connections read it.
#[derive(Debug)]
pub struct Plan {
    pub policy: Policy,
    /// The statement that loads into the job's table.
    pub statement: Statement,
    /// The destination of rejected rows.
    pub rejects: Option<Rejects>,
    pub reject_budget: RejectBudget,
    /// The table that is loaded into, with its database.
    pub(crate) table: TableName,
    /// The target's definition. The table that is loaded into has the same columns.
    pub(crate) schema: Arc<TableSchema>,
    pub(crate) columns: Vec<ColumnOrVariable>,
    pub(crate) format: FormatConfig,
    pub(crate) readings: Readings,
    pub(crate) update_columns: Option<Vec<String>>,
    /// The rules for the values of rows.
    pub values: Arc<RowRules>,
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
        columns: Vec<ColumnOrVariable>,
        format: &FormatConfig,
        load: &LoadConfig,
        policy: Policy,
        values: Arc<RowRules>,
    ) -> Self {
        Self {
            statement: Statement::new(
                &table,
                &schema,
                &columns,
                format,
                &load.readings,
                policy.on_duplicate,
            ),
            policy,
            rejects: None,
            reject_budget: RejectBudget::new(load.max_rejects_total),
            values,
            table,
            schema,
            columns,
            format: format.clone(),
            readings: load.readings.clone(),
            update_columns: load.update_columns.clone(),
            flavor: None,
        }
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
