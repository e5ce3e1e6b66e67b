//! The setup for row isolation: what it must know of the server before the first row.

use std::sync::Arc;

use tokio::sync::Mutex;

use super::insert_stats::{InsertStats, OnConflict};
use super::scratch_table::ScratchTable;
use super::shown_keys::ShownKeys;
use crate::error::{ErrorKind, Result};
use crate::load_data::{Layout, Plan, Statement};
use crate::mysql::Conn;
use crate::policy::OnDuplicate;
use crate::sql_text::same_name;

/// The number of layouts whose setup is kept.
const MAX_KEPT: usize = 64;

/// The setups of all loads by one plan. The one for a layout is read from the server when the first
/// load needs it.
#[derive(Debug, Default)]
pub struct SharedSetup(Mutex<Vec<(Arc<Layout>, Arc<IsolationSetup>)>>);

impl SharedSetup {
    /// Returns the setup for objects of this layout. `plan` must be the same at each call.
    pub(crate) async fn get(
        &self,
        plan: &Plan,
        layout: &Arc<Layout>,
        conn: &mut Conn,
    ) -> Result<Arc<IsolationSetup>> {
        let mut kept = self.0.lock().await;
        if let Some((_, setup)) = kept.iter().find(|(of, _)| Arc::ptr_eq(of, layout)) {
            return Ok(Arc::clone(setup));
        }
        let setup = Arc::new(IsolationSetup::read(plan, layout, conn).await?);
        if kept.len() == MAX_KEPT {
            kept.remove(0);
        }
        kept.push((Arc::clone(layout), Arc::clone(&setup)));
        Ok(setup)
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
    pub(crate) async fn read(plan: &Plan, layout: &Layout, conn: &mut Conn) -> Result<Self> {
        let schema = &plan.schema;
        let table = ScratchTable::new(&plan.table, schema, &layout.items(), &plan.format.set);
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
            // The object may lack some, which then keep their values.
            Some(columns) => {
                let is_loaded = |name: &&String| {
                    table.insert_columns().iter().any(|column| same_name(column, name))
                };
                columns.iter().filter(is_loaded).cloned().collect()
            }
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
            shown_keys: ShownKeys::read(plan, layout, conn).await?.map(Arc::new),
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
