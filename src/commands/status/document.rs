//! The documents that `status --json` writes. Their names and values are a contract with the
//! programs that read them: new ones may be added, but existing ones never change.

use serde::Serialize;

use super::answer::StatusAnswer;
use super::comparison::SourceComparison;
use crate::ledger::{
    AcknowledgedObject, FailedObject, InFlight, JobStatus, Partial, Run, Status, Sums,
};
use crate::printable::escape_json;
use crate::sql_text::TableName;

/// The document about one table.
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
    /// The comparison with the source. `null` without `--compare-source`.
    source: Option<&'a SourceComparison>,
}

/// The document about all tables of a ledger.
#[derive(Serialize)]
struct LedgerDocument<'a> {
    /// `null` if there is no ledger, or the account cannot see it.
    ledger: Option<LedgerName>,
    tables: Vec<StatusDocument<'a>>,
}

/// The prefix of the names of the ledger's tables, and their database.
#[derive(Serialize)]
struct LedgerName {
    database: Option<String>,
    stem: String,
}

impl LedgerName {
    fn of(ledger: &TableName) -> Self {
        let TableName { database, table: stem } = ledger.clone();
        Self { database, stem }
    }
}

/// Returns the document about one table as indented JSON, with its names in alphabetical order.
pub(super) fn of_table(answer: &StatusAnswer, source: Option<&SourceComparison>) -> String {
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
            source,
        },
        StatusAnswer::Status(status) => StatusDocument { source, ..StatusDocument::of(status) },
    };
    indented(&document)
}

/// Returns the document about all tables. `is_there` is false if there is no ledger.
pub(super) fn of_ledger(ledger: &TableName, is_there: bool, tables: &[Status]) -> String {
    indented(&LedgerDocument {
        ledger: is_there.then(|| LedgerName::of(ledger)),
        tables: tables.iter().map(StatusDocument::of).collect(),
    })
}

impl<'a> StatusDocument<'a> {
    fn of(status: &'a Status) -> Self {
        Self {
            target: status.target.clone(),
            ledger: Some(LedgerName::of(&status.ledger)),
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
            source: None,
        }
    }
}

fn indented(document: &impl Serialize) -> String {
    // This only fails for maps whose keys are not text, and the documents have none.
    let document = format!("{:#}\n", serde_json::to_value(document).unwrap_or_default());
    escape_json(&document).into_owned()
}
