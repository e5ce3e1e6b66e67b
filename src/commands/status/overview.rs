//! The state of all tables of a ledger: a line for each, and one verdict.

use indicatif::HumanCount;

use super::super::outcome::RunResult;
use super::answer::{StatusForm, is_tried_again};
use super::text::{second, write_table};
use super::{document, health};
use crate::config::Config;
use crate::error::Result;
use crate::ledger::{LedgerAdmin, RunState, Status};
use crate::printable::printable;
use crate::retry::Attempts;
use crate::sql_text::TableName;

/// The tables of a ledger.
struct Overview {
    ledger: TableName,
    /// False if there is no ledger, or the account cannot see it.
    is_there: bool,
    tables: Vec<Status>,
}

/// Shows the state of all tables.
pub(super) async fn status_of_all(config: &Config, form: StatusForm) -> RunResult {
    let failures_listed = if form == StatusForm::Json { u64::MAX } else { 0 };
    let mut attempts = Attempts::new(&config.retry);
    let overview = loop {
        match ask(config, failures_listed).await {
            Ok(overview) => break Ok(overview),
            Err(error) if is_tried_again(&mut attempts, &error).await => {}
            Err(error) => break Err(error),
        }
    };
    match (form, overview) {
        (StatusForm::Check { max_age }, overview) => health::verdict_of_all(
            overview.as_ref().map(|overview| (&overview.ledger, overview.tables.as_slice())),
            max_age,
        ),
        (_, Err(error)) => RunResult::of_ledger_failed(error),
        (StatusForm::Json, Ok(Overview { ledger, is_there, tables })) => {
            RunResult::of_ledger(document::of_ledger(&ledger, is_there, &tables))
        }
        (StatusForm::Text { .. }, Ok(overview)) => RunResult::of_ledger(text(&overview)),
    }
}

async fn ask(config: &Config, failures_listed: u64) -> Result<Overview> {
    let mut records = LedgerAdmin::open(&config.ledger_admin()).await?;
    let mut overview =
        Overview { ledger: records.ledger(), is_there: records.is_there(), tables: Vec::new() };
    let read = async {
        for target in records.targets().await? {
            records.turn_to(target);
            overview.tables.push(records.status(failures_listed).await?);
        }
        Ok(())
    };
    match read.await {
        Ok(()) => {
            records.close().await;
            Ok(overview)
        }
        Err(error) => {
            records.destroy().await;
            Err(error)
        }
    }
}

/// Returns one line for each table.
fn text(overview: &Overview) -> String {
    let Overview { ledger, tables, .. } = overview;
    if tables.is_empty() {
        let line = format!(
            "ledger {ledger}: no run has loaded into a table, or the account cannot see the ledger"
        );
        return format!("{}\n", printable(&line));
    }
    let mut rows = vec![
        ["table", "last success", "running", "loaded", "failed", "acknowledged", "rows"]
            .map(str::to_owned),
    ];
    rows.extend(tables.iter().map(|status| {
        let running = status.runs.iter().filter(|run| run.state == RunState::Running).count();
        [
            plain_name(&status.target, &overview.ledger),
            status.last_success_at.as_deref().map_or_else(|| "never".to_owned(), second),
            match running {
                0 => "no".to_owned(),
                1 => "1 run".to_owned(),
                more => format!("{more} runs"),
            },
            HumanCount(status.table.objects_loaded).to_string(),
            HumanCount(status.objects_failed).to_string(),
            HumanCount(status.objects_acknowledged).to_string(),
            HumanCount(status.table.rows).to_string(),
        ]
    }));
    let mut text = String::new();
    write_table(&mut text, &rows, 3);
    text
}

/// Returns the name without quotes, and without a database that is that of the ledger.
fn plain_name(target: &TableName, ledger: &TableName) -> String {
    match &target.database {
        Some(database) if target.database != ledger.database => {
            format!("{database}.{}", target.table)
        }
        _ => target.table.clone(),
    }
}
