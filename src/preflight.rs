//! Checks everything about the target that could go wrong, before the first byte is read.

mod missing_table;
mod names;
mod options;
mod problems;
mod rehearse;
mod swap;
mod unfilled;
mod verify;

pub(crate) use missing_table::{MissingTable, create_table, find_missing};
pub use options::PreflightOptions;

use std::sync::Arc;
use std::time::Instant;

use crate::error::{Error, ErrorKind, Result};
use crate::ledger::Target;
use crate::load_data::{Layout, LayoutMaker, Plan, Policy};
use crate::mysql::{Conn, Connector, Phase, Server, Session, TableSchema, classify, missing_table};
use crate::retry::Attempts;
use problems::TargetTable;
use rehearse::rehearse;

/// A target that is ready to be loaded.
#[derive(Clone, Debug)]
pub struct Preflight {
    pub server: Server,
    /// The target, in the server's own spelling.
    pub target: Target,
    pub schema: Arc<TableSchema>,
    /// The layout of objects by position, or else of objects with every column. Its statement names
    /// the table as the user did, because people read it.
    pub layout: Layout,
    pub layouts: LayoutMaker,
    pub policy: Policy,
    /// The number of connections that may load at once.
    pub load_concurrency: usize,
    /// True if the loads of other runs, too, must not run beside those of this one.
    pub is_alone: bool,
    /// The plan of the comparison at the end of the job, if one is wanted.
    pub verification: Option<Arc<crate::verify::ComparePlan>>,
    /// Problems that do not prevent the load.
    pub warnings: Vec<String>,
}

/// Checks the target, and runs the real statement without data in a transaction that is rolled
/// back. Everything runs on one connection, which is returned as a session like those that load.
///
/// # Errors
/// Returns all problems, not only the first.
pub async fn preflight(
    connector: &mut Connector,
    options: &PreflightOptions<'_>,
) -> std::result::Result<(Preflight, Session), Vec<Error>> {
    let alone = |error| vec![error];
    let (mut conn, mut server) = probe(connector, options).await.map_err(alone)?;
    let asked = Instant::now();
    let schema = Arc::new(read_schema(&mut conn, options).await.map_err(alone)?);
    server.answered_within(asked.elapsed());
    let table = TargetTable { name: format!("table {}", options.target.table), schema: &schema };
    let of_the_mode =
        swap::check(&mut conn, options, &schema, server.flavor).await.map_err(alone)?;
    let mut layouts = LayoutMaker::new(
        &schema,
        options.format,
        options.load,
        server.flavor,
        &options.target.init_sql,
    );
    let columns = layouts.possible_items();
    let verification = verify::plan(options, &schema, &columns)?;
    layouts.verification.clone_from(&verification);
    let unfilled = unfilled::find(&mut conn, options, &schema, &columns, server.flavor)
        .await
        .map_err(alone)?;
    let mut problems = table.problems(options, &server, &columns);
    problems.extend(names::problems(options, &schema, &layouts));
    problems.extend(of_the_mode);
    problems.extend(unfilled.problem);
    if !problems.is_empty() {
        // With missing columns, the server would only report the same problem in its own words.
        let _ = conn.disconnect().await;
        return Err(problems);
    }

    let policy = policy(options, &table);
    let plan_for =
        |table| Plan::new(table, Arc::clone(&schema), options.format, options.load, policy);
    let plan = plan_for(schema.name());
    let layout = layouts.rehearsed_layout(&plan);
    let session = rehearse(connector, &mut server, conn, (&plan, &layout), &options.target.table)
        .await
        .map_err(alone)?;
    connector.tell_of_compression(&server);
    let is_alone = server.misleads_replicas() && table.may_number_rows();
    let load_concurrency = load_concurrency(options, &server, &table);
    let mut warnings = table.warnings(options, &server, &columns);
    warnings.extend(unfilled.warning);
    // People read its statement, so it names the table as the user did.
    let layout = layouts.ordinary_layout(&plan_for(options.target.table.clone()));
    let preflight = Preflight {
        server,
        target: Target { database: schema.database.clone(), table: schema.table.clone() },
        schema,
        layout,
        layouts,
        policy,
        load_concurrency,
        is_alone,
        verification,
        warnings,
    };
    Ok((preflight, session))
}

/// Connects, and reads the properties of the server.
async fn probe(
    connector: &mut Connector,
    options: &PreflightOptions<'_>,
) -> Result<(Conn, Server)> {
    let mut attempts = Attempts::new(options.retry);
    loop {
        match connector.probe().await {
            // Of all problems before a run, only a lack of free connections goes away by itself.
            Err(error)
                if error.kind == ErrorKind::TargetBusy && attempts.wait_after(&error).await => {}
            probed => return probed,
        }
    }
}

fn policy(options: &PreflightOptions<'_>, table: &TargetTable<'_>) -> Policy {
    let schema = table.schema;
    Policy {
        on_bad_row: options.load.on_bad_row,
        on_duplicate: options.load.on_duplicate,
        notes_as_bad: options.load.notes_as_bad,
        show_bad_rows: options.load.show_bad_rows,
        max_rejects: options.load.max_rejects,
        // Nothing is known about the table behind a view.
        skips_only_duplicates: !schema.is_view()
            && !schema.is_partitioned
            && schema.foreign_keys.is_empty(),
        rolls_back: table.rolls_back(),
    }
}

/// Returns the number of connections that may load at once.
fn load_concurrency(
    options: &PreflightOptions<'_>,
    server: &Server,
    table: &TargetTable<'_>,
) -> usize {
    let wanted = options.load.load_concurrency;
    let Some(reason) = table.is_loaded_one_at_a_time(server).filter(|_| wanted > 1) else {
        return wanted;
    };
    // This overrides even an explicit setting: more connections would only wait, each with an open
    // transaction, or harm the replicas.
    let what =
        if table.schema.has_auto_increment() { "an AUTO_INCREMENT column" } else { "a trigger" };
    tracing::info!("{} has {what} and {reason}: only one connection loads", table.name);
    1
}

/// Reads the target from the server.
async fn read_schema(conn: &mut Conn, options: &PreflightOptions<'_>) -> Result<TableSchema> {
    let table = &options.target.table;
    let what = format!("table {table}");
    let database = database(options)?;
    match TableSchema::read(conn, database, &table.table).await {
        Ok(Some(schema)) => Ok(schema),
        Ok(None) => Err(missing_table(conn, table, database).await),
        Err(error) => Err(classify(Phase::Connect, &what, &error)),
    }
}

/// Returns the database of the target.
fn database<'a>(options: &PreflightOptions<'a>) -> Result<&'a str> {
    let table = &options.target.table;
    table.database.as_deref().or(options.target.database.as_deref()).ok_or_else(|| {
        let message = format!("table {table}: no database is named");
        Error::new(ErrorKind::TargetRefused, message).with_hint(
            "write --table database.table, or name the database in --database or the URL",
        )
    })
}
