//! Checks everything about the target that could go wrong, before the first byte is read.

mod options;
mod swap;
mod unfilled;
mod verify;

pub use options::PreflightOptions;

use std::sync::Arc;
use std::time::Instant;

use crate::dialect::ColumnOrVariable;
use crate::error::{Error, ErrorKind, Result};
use crate::isolate::Plan;
use crate::ledger::Target;
use crate::load_data::{ExchangeOutcome, Payload, Policy, Statement, load_data};
use crate::mysql::{
    Conn, Connector, Flavor, Phase, Server, Session, SqlMode, TableSchema, classify, table_names,
};
use crate::policy::{OnBadRow, OnDuplicate};
use crate::retry::Attempts;
use crate::sql_text::TableName;
use crate::values;
use crate::values::{ColumnFacts, ColumnRule, RowRules};

/// A target that is ready to be loaded.
#[derive(Clone, Debug)]
pub struct Preflight {
    pub server: Server,
    /// The target, in the server's own spelling.
    pub target: Target,
    pub schema: Arc<TableSchema>,
    pub columns: Vec<ColumnOrVariable>,
    /// The rules for the values of rows.
    pub values: Arc<RowRules>,
    pub statement: Statement,
    /// The number of fields in a row: the items of the column list.
    pub fields_per_row: usize,
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

const SPLITS_LOAD_DATA: &str =
    "wsrep_load_data_splitting is ON: the cluster commits every 10,000 rows of a load by itself";

/// The engines that can roll back.
const TRANSACTIONAL_ENGINES: [&str; 4] = ["InnoDB", "ROCKSDB", "TokuDB", "ndbcluster"];

/// Checks the target, and runs the real statement without data in a transaction that is rolled
/// back. Everything runs on one connection, which is returned as a session like those that load.
///
/// # Errors
/// Returns all problems, not only the first.
pub async fn preflight(
    connector: &mut Connector,
    options: &PreflightOptions<'_>,
) -> std::result::Result<(Preflight, Session), Vec<Error>> {
    let mut attempts = Attempts::new(options.retry);
    let (mut conn, mut server) = loop {
        match connector.probe().await {
            Ok(probed) => break probed,
            // Of all problems before a run, only a lack of free connections goes away by itself.
            Err(error)
                if error.kind == ErrorKind::TargetBusy && attempts.wait_after(&error).await => {}
            Err(error) => return Err(vec![error]),
        }
    };
    let asked = Instant::now();
    let schema = match read_schema(&mut conn, options).await {
        Ok(schema) => Arc::new(schema),
        Err(error) => return Err(vec![error]),
    };
    let table = Table { name: format!("table {}", options.target.table), schema: &schema };
    server.answered_within(asked.elapsed());
    let findings = match swap::check(&mut conn, options, &schema, server.flavor).await {
        Ok(findings) => findings,
        Err(error) => return Err(vec![error]),
    };
    let columns = options.format.columns.clone().unwrap_or_else(|| {
        schema
            .columns
            .iter()
            .filter(|column| !column.is_invisible)
            .map(|column| ColumnOrVariable::Column(column.name.clone()))
            .collect()
    });
    let verification = match verify::plan(options, &schema, &columns) {
        Ok(verification) => verification,
        Err(errors) => return Err(errors),
    };

    let policy = Policy {
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
    };
    let values = RowRules::new(
        &columns,
        options.format,
        options.load.notes_as_bad && options.load.on_bad_row != OnBadRow::Accept,
        |name| {
            let column = schema.column(name)?;
            let facts = ColumnFacts {
                name: &column.name,
                column_type: &column.column_type,
                charset: column.charset.as_deref(),
                collation: column.collation.as_deref(),
                // The trigger may replace a NULL.
                is_nullable: column.is_nullable || schema.has_before_insert_trigger(),
                is_auto_increment: column.is_auto_increment,
                is_generated: column.is_generated,
                is_json: column.is_json,
            };
            let kind = match server.flavor {
                Flavor::Mariadb => values::Server::MariaDb,
                Flavor::Mysql => values::Server::MySql,
            };
            let (charset, readings) = (&options.format.charset, &options.load.readings);
            let rule = ColumnRule::new(&facts, kind, charset, readings);
            // Only the server knows what a time means in a zone that a statement sets.
            let is_timestamp = column.data_type.eq_ignore_ascii_case("timestamp");
            let is_for_server = is_timestamp && options.sets_time_zone();
            Some(if is_for_server { rule.leaving_values_to_server() } else { rule })
        },
    );
    let values = Arc::new(values.with_triggers(!schema.triggers.is_empty()));
    let plan = Plan::new(
        schema.name(),
        Arc::clone(&schema),
        columns.clone(),
        options.format,
        options.load,
        policy,
        Arc::clone(&values),
    );

    let unfilled = match unfilled::find(&mut conn, options, &schema, &columns, server.flavor).await
    {
        Ok(unfilled) => unfilled,
        Err(error) => return Err(vec![error]),
    };
    let mut problems = table.problems(options, &server, &columns);
    problems.extend(findings);
    problems.extend(unfilled.problem);
    if !problems.is_empty() {
        // With missing columns, the server would only report the same problem in its own words.
        let _ = conn.disconnect().await;
        return Err(problems);
    }
    let session = match rehearse(connector, &mut server, conn, &plan, &options.target.table).await {
        Ok(session) => session,
        Err(error) => return Err(vec![error]),
    };
    connector.tell_of_compression(&server);
    let is_alone = server.misleads_replicas() && table.may_number_rows();
    let mut load_concurrency = options.load.load_concurrency;
    if load_concurrency > 1
        && let Some(reason) = table.is_loaded_one_at_a_time(&server)
    {
        // This overrides even an explicit setting: more connections would only wait, each with an
        // open transaction, or harm the replicas.
        let what =
            if schema.has_auto_increment() { "an AUTO_INCREMENT column" } else { "a trigger" };
        tracing::info!("{} has {what} and {reason}: only one connection loads", table.name);
        load_concurrency = 1;
    }
    let mut warnings = table.warnings(options, &server, &columns);
    warnings.extend(unfilled.warning);
    let fields_per_row = columns.len();
    // This statement names the table as the user did, because people read it.
    let statement = Statement::new(
        &options.target.table,
        &schema,
        &columns,
        options.format,
        &options.load.readings,
        options.load.on_duplicate,
    );
    let preflight = Preflight {
        server,
        target: Target { database: schema.database.clone(), table: schema.table.clone() },
        schema,
        columns,
        values,
        statement,
        fields_per_row,
        policy,
        load_concurrency,
        is_alone,
        verification,
        warnings,
    };
    Ok((preflight, session))
}

/// Runs the real statement, without data, on a session like those that load.
async fn rehearse(
    connector: &Connector,
    server: &mut Server,
    conn: Conn,
    plan: &Plan,
    table: &TableName,
) -> Result<Session> {
    let sql_mode = SqlMode::of(plan.policy.on_bad_row);
    let mut session = connector.pool(server, sql_mode, 1).adopt(conn).await?;
    let what = format!("table {table} at {}", session.target_name());
    let conn = &mut session.conn;
    let tried = async {
        let asked = Instant::now();
        conn.query_drop("START TRANSACTION")
            .await
            .map_err(|error| classify(Phase::Transaction, &what, &error))?;
        server.answered_within(asked.elapsed());
        let sql = plan.statement.sql(b"\n");
        // One byte is the command's. The server answers a longer packet by hanging up.
        if sql.len() >= server.max_packet_bytes() {
            let message = format!(
                "{what}: the statement needs {} bytes, but the server's max_allowed_packet is {}",
                sql.len() + 1,
                server.max_packet_bytes()
            );
            return Err(Error::new(ErrorKind::TargetRefused, message)
                .with_hint("an administrator must raise max_allowed_packet on the server"));
        }
        match load_data(conn, &what, &sql, Payload::empty(), 0).await? {
            ExchangeOutcome::Refused { error, .. } => return Err(error),
            ExchangeOutcome::Accepted { counts, shown } if counts.warnings > 0 => {
                let said =
                    shown.first().map(|warning| format!(": {} {}", warning.code, warning.message));
                let message = format!(
                    "{what}: the server warns about the statement itself{}",
                    said.unwrap_or_default()
                );
                return Err(Error::new(ErrorKind::TargetRefused, message));
            }
            ExchangeOutcome::Accepted { .. } => {}
        }
        if plan.policy.on_duplicate == OnDuplicate::Update {
            plan.isolation_setup(conn).await?.rehearse(conn).await?;
        }
        Ok(())
    }
    .await;
    let rolled_back = session.conn.query_drop("ROLLBACK").await;
    let failed = match (tried, rolled_back) {
        (Ok(()), Ok(())) => return Ok(session),
        (Ok(()), Err(error)) => classify(Phase::Transaction, &what, &error),
        // The data is empty, so the error is about the statement.
        (Err(error), _) if error.kind == ErrorKind::StatementFailed => {
            error.as_kind(ErrorKind::TargetRefused)
        }
        (Err(error), _) => error,
    };
    session.destroy().await;
    Err(failed)
}

/// Reads the target from the server.
async fn read_schema(conn: &mut Conn, options: &PreflightOptions<'_>) -> Result<TableSchema> {
    let table = &options.target.table;
    let what = format!("table {table}");
    let Some(database) = table.database.as_deref().or(options.target.database.as_deref()) else {
        return Err(Error::new(ErrorKind::TargetRefused, format!("{what}: no database is named"))
            .with_hint(
                "write --table database.table, or name the database in --database or the URL",
            ));
    };
    match TableSchema::read(conn, database, &table.table).await {
        Ok(Some(schema)) => Ok(schema),
        Ok(None) => Err(missing(conn, table, database).await),
        Err(error) => Err(classify(Phase::Connect, &what, &error)),
    }
}

async fn missing(conn: &mut Conn, table: &TableName, database: &str) -> Error {
    let error = Error::new(
        ErrorKind::TargetRefused,
        format!("table {table} does not exist, or the account cannot see it"),
    );
    let names = table_names(conn, database, "").await.unwrap_or_default();
    match nearest(&table.table, names.iter().map(String::as_str)) {
        Some(name) => error.with_hint(format!("did you mean {name:?}?")),
        None => error.with_hint(format!(
            "create the table first, or check --table; database {database:?} has {} tables \
             that the account can see",
            names.len()
        )),
    }
}

/// The target, and its name in messages.
struct Table<'a> {
    name: String,
    schema: &'a TableSchema,
}

impl Table<'_> {
    /// Returns true if the engine can roll back. A view's engine is unknown, and counts as one that
    /// can.
    fn rolls_back(&self) -> bool {
        self.schema.engine.as_deref().is_none_or(|engine| {
            TRANSACTIONAL_ENGINES.iter().any(|known| known.eq_ignore_ascii_case(engine))
        })
    }

    /// Returns why a second LOAD must wait for the end of the first one, if it must.
    fn is_loaded_one_at_a_time(&self, server: &Server) -> Option<&'static str> {
        let reason = server.serialises_auto_increment()?;
        let numbers_rows = if server.misleads_replicas() {
            self.may_number_rows()
        } else {
            self.schema.has_auto_increment()
        };
        numbers_rows.then_some(reason)
    }

    /// Returns true if loads number rows, here or by triggers in other tables.
    fn may_number_rows(&self) -> bool {
        self.schema.has_auto_increment() || !self.schema.triggers.is_empty()
    }

    fn problems(
        &self,
        options: &PreflightOptions<'_>,
        server: &Server,
        columns: &[ColumnOrVariable],
    ) -> Vec<Error> {
        let mut problems = Vec::new();
        if !self.rolls_back() && options.ledger.table.is_some() {
            let engine = self.schema.engine.as_deref().unwrap_or_default();
            let message = format!(
                "{}: its engine {engine} does not roll back, so a failed object would leave some \
                 of its rows behind, and no ledger could be right about them",
                self.name
            );
            problems.push(Error::new(ErrorKind::TargetRefused, message).with_hint(
                "ALTER TABLE ... ENGINE=InnoDB, or load into an InnoDB table first; --no-ledger \
                 loads into the table as it is, without any guarantee",
            ));
        }
        if !self.rolls_back()
            && (options.load.may_reject() || options.load.on_duplicate == OnDuplicate::Update)
        {
            let message = format!(
                "{}: bad rows cannot be removed after they are loaded, because its engine does not \
                 roll back",
                self.name
            );
            problems.push(
                Error::new(ErrorKind::TargetRefused, message)
                    .with_hint("ALTER TABLE ... ENGINE=InnoDB, or leave out reject and update"),
            );
        }
        if self.schema.is_view() && options.ledger.table.is_some() {
            let message = format!(
                "{} is a view: the ledger would not know which table has the rows, nor if that \
                 table can roll back",
                self.name
            );
            problems.push(Error::new(ErrorKind::TargetRefused, message).with_hint(
                "name the base table in --table; --no-ledger loads through the view, at least once",
            ));
        }
        if server.splits_load_data() && options.ledger.table.is_some() {
            let message = format!("{SPLITS_LOAD_DATA}, and no ledger could be right about them");
            problems.push(Error::new(ErrorKind::TargetRefused, message).with_hint(
                "have wsrep_load_data_splitting switched off, or use --no-ledger, which loads each \
                 object at least once",
            ));
        }
        let named = columns
            .iter()
            .filter_map(|item| match item {
                ColumnOrVariable::Column(name) => Some((name, "--columns")),
                ColumnOrVariable::Variable(_) => None,
            })
            .chain(options.format.set.iter().map(|(name, _)| (name, "--set")))
            .chain(
                options.load.update_columns.iter().flatten().map(|name| (name, "--update-columns")),
            );
        for (name, flag) in named {
            // Both servers compare column names without case.
            if self.schema.column(name).is_some() {
                continue;
            }
            let error = Error::new(
                ErrorKind::TargetRefused,
                format!("{}: there is no column {name:?}, named in {flag}", self.name),
            );
            problems.push(
                match nearest(name, self.schema.columns.iter().map(|column| column.name.as_str())) {
                    Some(near) => error.with_hint(format!("did you mean {near:?}?")),
                    None => error,
                },
            );
        }
        // MariaDB would accept such a statement, but not set the column.
        for name in options.load.update_columns.iter().flatten() {
            if self.schema.column(name).is_some_and(|column| column.is_generated) {
                let message = format!(
                    "{}: the server computes column {name:?}, named in --update-columns",
                    self.name
                );
                problems.push(
                    Error::new(ErrorKind::TargetRefused, message)
                        .with_hint("leave it out: the server sets it from the other columns"),
                );
            }
        }
        problems
    }

    fn warnings(
        &self,
        options: &PreflightOptions<'_>,
        server: &Server,
        columns: &[ColumnOrVariable],
    ) -> Vec<String> {
        let mut warnings = Vec::new();
        if !self.rolls_back() {
            warnings.push(format!(
                "{}: its engine does not roll back: an object that fails may leave rows behind, \
                 and is not tried again",
                self.name
            ));
        }
        if server.splits_load_data() && options.ledger.table.is_none() {
            warnings.push(format!(
                "{SPLITS_LOAD_DATA}, so a failed object leaves rows behind; have it switched off"
            ));
        }
        let ignored: Vec<&str> = self
            .schema
            .columns
            .iter()
            .filter(|column| column.is_generated)
            .map(|column| column.name.as_str())
            .filter(|name| {
                columns.iter().any(|item| {
                    matches!(
                        item,
                        ColumnOrVariable::Column(listed) if listed.eq_ignore_ascii_case(name)
                    )
                })
            })
            .collect();
        if !ignored.is_empty() {
            warnings.push(format!(
                "{}: the server computes {} and ignores their fields in the objects; list \
                 @variables for them in --columns to confirm this",
                self.name,
                ignored.join(", ")
            ));
        }
        if self.schema.is_view() {
            warnings.push(format!(
                "{} is a view: it is unknown if its base table can roll back",
                self.name
            ));
        }
        if options.load.on_bad_row == OnBadRow::Accept {
            warnings.push(
                "--on-bad-row accept: MySQL changes values that do not fit; see the warnings per \
                 object"
                    .to_owned(),
            );
        }
        warnings
    }
}

/// Returns the known name closest to `name`, if it is close enough for a typo.
fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|candidate| {
            (
                strsim::damerau_levenshtein(&name.to_lowercase(), &candidate.to_lowercase()),
                candidate,
            )
        })
        .filter(|(distance, candidate)| *distance <= candidate.chars().count().max(3) / 3)
        .min()
        .map(|(_, candidate)| candidate)
}
