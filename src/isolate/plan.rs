//! The plan by which all objects of a run are loaded. It is made once, and all connections read it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::sync::OnceCell;

use super::by_key::ShownKeys;
use super::insert_stats::{InsertStats, OnConflict};
use super::scratch_table::ScratchTable;
use crate::dialect::{ColumnOrVariable, FormatConfig};
use crate::error::{ErrorKind, Result};
use crate::load_data::{LoadConfig, Policy, RejectBudget, Statement};
use crate::mysql::{Conn, Flavor, Phase, TableSchema, classify};
use crate::policy::OnDuplicate;
use crate::rejects::Rejects;
use crate::sql_text::{TableName, same_name};
use crate::values::{Readings, RowRules};

/// The plan by which all objects of a run are loaded.
#[derive(Debug)]
pub struct Plan {
    pub policy: Policy,
    /// The statement that loads into the job's table.
    pub statement: Statement,
    /// The destination of rejected rows.
    pub rejects: Option<Rejects>,
    pub reject_budget: RejectBudget,
    /// The table that is loaded into, with its database.
    table: TableName,
    /// The target's definition. The table that is loaded into has the same columns.
    schema: Arc<TableSchema>,
    columns: Vec<ColumnOrVariable>,
    format: FormatConfig,
    readings: Readings,
    update_columns: Option<Vec<String>>,
    /// The rules for the values of rows.
    pub values: Arc<RowRules>,
    /// True once a whole-object statement did not identify the bad rows. Later objects skip that
    /// attempt.
    pub(crate) skip_whole_attempt: AtomicBool,
    isolation_setup: OnceCell<IsolationSetup>,
    /// The server; `None` if it does not matter here.
    flavor: Option<Flavor>,
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
            skip_whole_attempt: AtomicBool::new(false),
            isolation_setup: OnceCell::new(),
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

    /// Returns the setup for row isolation. The first call reads it from the server.
    pub(crate) async fn isolation_setup(&self, conn: &mut Conn) -> Result<&IsolationSetup> {
        self.isolation_setup.get_or_try_init(|| IsolationSetup::read(self, conn)).await
    }
}

/// The setup for row isolation.
#[derive(Debug)]
pub(crate) struct IsolationSetup {
    /// The scratch table; `None` if the account cannot create temporary tables.
    pub(crate) scratch: Option<Scratch>,
    /// The columns that `--on-duplicate update` sets.
    update_columns: Vec<String>,
    /// The keys by which the server names duplicates, if there are any.
    pub(super) shown_keys: Option<Arc<ShownKeys>>,
}

/// A scratch table, and the statement that loads it.
#[derive(Debug)]
pub(crate) struct Scratch {
    pub(crate) table: ScratchTable,
    pub(crate) statement: Statement,
}

impl IsolationSetup {
    async fn read(plan: &Plan, conn: &mut Conn) -> Result<Self> {
        let schema = &plan.schema;
        let table = ScratchTable::new(&plan.table, schema, &plan.columns, &plan.format.set);
        let statement = Statement::new(
            table.table(),
            schema,
            table.load_columns(),
            &plan.format,
            &plan.readings,
            OnDuplicate::Ignore,
        );
        let is_key = |name: &str| schema.unique_key_columns.iter().any(|key| same_name(key, name));
        let update_columns = match &plan.update_columns {
            Some(columns) => columns.clone(),
            None => table.insert_columns().iter().filter(|name| !is_key(name)).cloned().collect(),
        };
        let scratch = match table.create(conn).await {
            Ok(()) => {
                table.drop(conn).await?;
                Some(Scratch { table, statement })
            }
            // Isolation finds everything without it, but more slowly.
            Err(error)
                if error.kind == ErrorKind::TargetRefused
                    && plan.policy.on_duplicate != OnDuplicate::Update =>
            {
                tracing::warn!(
                    "skipped rows are searched for by halving, which is slow: {}",
                    error.one_line()
                );
                None
            }
            Err(error) => return Err(error),
        };
        Ok(Self {
            scratch,
            update_columns,
            shown_keys: shown_keys(plan, conn).await?.map(Arc::new),
        })
    }

    /// Runs all statements of an update, without any row.
    pub(crate) async fn rehearse(&self, conn: &mut Conn) -> Result<()> {
        let Some(Scratch { table, .. }) = &self.scratch else { return Ok(()) };
        table.create(conn).await?;
        table.rehearse(conn, OnConflict::Update(&self.update_columns)).await?;
        table.drop(conn).await
    }

    /// Upserts the rows of the scratch table into the target.
    pub(crate) async fn update(&self, conn: &mut Conn, scratch: &Scratch) -> Result<InsertStats> {
        scratch.table.insert_into(conn, OnConflict::Update(&self.update_columns)).await
    }
}

/// Returns the keys by which the server names duplicates.
async fn shown_keys(plan: &Plan, conn: &mut Conn) -> Result<Option<ShownKeys>> {
    let Plan { schema, policy, columns, format, .. } = plan;
    let (OnDuplicate::Reject, true, Some(flavor)) =
        (policy.on_duplicate, policy.skips_only_duplicates, plan.flavor)
    else {
        return Ok(None);
    };
    let failed = |error| classify(Phase::Transaction, &format!("table {}", plan.table), &error);
    // A trigger can change a key.
    let are_unchanged =
        schema.triggers.is_empty() && schema.shows_triggers(conn, flavor).await.map_err(failed)?;
    if !are_unchanged {
        return Ok(None);
    }
    let keys =
        ShownKeys::new(schema.unique_keys(conn).await.map_err(failed)?, schema, columns, format);
    Ok((!keys.is_empty()).then_some(keys))
}
