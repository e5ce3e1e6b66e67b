//! The command `s3-to-mysql status`: shows the state of a table in the ledger, as text for people,
//! as one JSON document, or as a verdict for monitoring.

mod answer;
mod health;
mod text;

use std::time::Duration;

use serde::Serialize;

use super::outcome::RunResult;
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::ledger::{
    AcknowledgedObject, FailedObject, InFlight, JobStatus, LedgerAdmin, Partial, Run, Sums,
};
use crate::printable::escape_json;
use crate::retry::Attempts;
use crate::sql_text::TableName;
use answer::{NAMED, StatusAnswer};

/// The form in which the state is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusForm {
    /// The text for people, with whole error messages or only their beginnings.
    Text {
        has_details: bool,
    },
    Json,
    /// A verdict for monitoring. The last success must not be older than `max_age`, if it is given.
    Check {
        max_age: Option<Duration>,
    },
}

/// Reads the ledger, without changing anything.
pub async fn status(config: Config, form: StatusForm) -> RunResult {
    let failures_listed = if form == StatusForm::Json { u64::MAX } else { NAMED as u64 };
    let mut attempts = Attempts::new(&config.retry);
    let answer = loop {
        match ask(&config, failures_listed).await {
            Ok(answer) => break Ok(answer),
            Err(error) if is_tried_again(&mut attempts, &error).await => {}
            Err(error) => break Err(error),
        }
    };
    match (form, answer) {
        (StatusForm::Check { max_age }, answer) => health::verdict(&answer, max_age),
        (_, Err(error)) => RunResult::of_ledger_failed(error),
        (StatusForm::Json, Ok(answer)) => RunResult::of_ledger(json(&answer)),
        (StatusForm::Text { has_details }, Ok(answer)) => {
            RunResult::of_ledger(text::text(&answer, has_details))
        }
    }
}

/// Returns true after a pause if the error is worth another attempt. An unreachable server is
/// reported at once, because a person may be waiting.
pub(crate) async fn is_tried_again(attempts: &mut Attempts, error: &Error) -> bool {
    matches!(
        error.kind,
        ErrorKind::TargetBusy | ErrorKind::ConnectionLost | ErrorKind::LockConflict
    ) && attempts.wait_after(error).await
}

async fn ask(config: &Config, failures_listed: u64) -> Result<StatusAnswer> {
    let mut records = LedgerAdmin::open(&config.ledger_admin()).await?;
    if !records.is_there() {
        let answer =
            StatusAnswer::NoLedger { target: records.target().name(), ledger: records.ledger() };
        let missing = records.missing_target().await;
        records.close().await;
        return missing.map_or(Ok(answer), Err);
    }
    match records.status(failures_listed).await {
        Ok(status) => {
            // The ledger may know a table that has been dropped since.
            let missing = match &status.job {
                None => records.missing_target().await,
                Some(_) => None,
            };
            records.close().await;
            missing.map_or_else(|| Ok(StatusAnswer::Status(Box::new(status))), Err)
        }
        Err(error) => {
            records.destroy().await;
            Err(error)
        }
    }
}

/// The document that `status --json` writes. Its names and values are a contract with the programs
/// that read it: new ones may be added, but existing ones never change.
#[derive(Serialize)]
struct StatusDocument<'a> {
    target: TableName,
    /// `null` if there is no ledger, or the account cannot see it.
    ledger: Option<LedgerName>,
    /// `null` if nothing has been loaded with this ledger.
    job: Option<&'a JobStatus>,
    /// The sums over what readers see in the table. `null` if there is no ledger.
    table: Option<&'a Sums>,
    /// The sums over the shadow table of an unfinished swap. `null` without one.
    shadow: Option<&'a Sums>,
    /// The number of objects that could not be loaded.
    objects_failed: u64,
    /// The number of objects that could not be loaded, and that somebody has acknowledged. They are
    /// not among the failed ones.
    objects_acknowledged: u64,
    /// The end of the last run after which every object was in the table. RFC 3339, in UTC.
    last_success_at: Option<&'a str>,
    /// The first failure of the object that failed first of all. RFC 3339, in UTC.
    oldest_failure_at: Option<&'a str>,
    partial: &'a [Partial],
    in_flight: &'a [InFlight],
    failed: &'a [FailedObject],
    acknowledged: &'a [AcknowledgedObject],
    /// The last runs, with the latest first, and all runs that have not ended.
    runs: &'a [Run],
}

/// The prefix of the names of the ledger's tables, and their database.
#[derive(Serialize)]
struct LedgerName {
    database: Option<String>,
    stem: String,
}

/// Returns the document as indented JSON, with its names in alphabetical order.
fn json(answer: &StatusAnswer) -> String {
    let document = match answer {
        StatusAnswer::NoLedger { target, .. } => StatusDocument {
            target: target.clone(),
            ledger: None,
            job: None,
            table: None,
            shadow: None,
            objects_failed: 0,
            objects_acknowledged: 0,
            last_success_at: None,
            oldest_failure_at: None,
            partial: &[],
            in_flight: &[],
            failed: &[],
            acknowledged: &[],
            runs: &[],
        },
        StatusAnswer::Status(status) => {
            let TableName { database, table: stem } = status.ledger.clone();
            StatusDocument {
                target: status.target.clone(),
                ledger: Some(LedgerName { database, stem }),
                job: status.job.as_ref(),
                table: Some(&status.table),
                shadow: status.shadow.as_ref(),
                objects_failed: status.objects_failed,
                objects_acknowledged: status.objects_acknowledged,
                last_success_at: status.last_success_at.as_deref(),
                oldest_failure_at: status.oldest_failure_at.as_deref(),
                partial: &status.partial,
                in_flight: &status.in_flight,
                failed: &status.failed,
                acknowledged: &status.acknowledged,
                runs: &status.runs,
            }
        }
    };
    // This only fails for maps whose keys are not text, and the document has none.
    let document = format!("{:#}\n", serde_json::to_value(document).unwrap_or_default());
    escape_json(&document).into_owned()
}
