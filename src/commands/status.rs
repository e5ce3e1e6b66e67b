//! The command `s3-to-mysql status`: shows the state of a table in the ledger, as text for people
//! or as one JSON document.

use std::borrow::Cow;
use std::fmt::Write as _;

use indicatif::HumanBytes;
use serde::Serialize;

use super::outcome::RunResult;
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::ledger::{FailedObject, InFlight, JobStatus, LedgerAdmin, Partial, Run, Status, Sums};
use crate::printable::{escape_json, printable};
use crate::retry::Attempts;
use crate::sql_text::TableName;

/// The number of failures, partial objects and objects in flight that the text names. The JSON
/// document has all of them.
const NAMED: usize = 10;

/// Reads the ledger, without changing anything.
pub async fn status(config: Config, as_json: bool) -> RunResult {
    let failures_listed = if as_json { u64::MAX } else { NAMED as u64 };
    let mut attempts = Attempts::new(&config.retry);
    let answer = loop {
        match ask(&config, failures_listed).await {
            Ok(answer) => break Ok(answer),
            Err(error) if is_tried_again(&mut attempts, &error).await => {}
            Err(error) => break Err(error),
        }
    };
    match answer {
        Ok(answer) if as_json => RunResult::of_ledger(json(&answer)),
        Ok(answer) => RunResult::of_ledger(text(&answer)),
        Err(error) => RunResult::of_ledger_failed(error),
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

/// The answer of the ledger.
enum StatusAnswer {
    NoLedger { target: TableName, ledger: TableName },
    Status(Box<Status>),
}

async fn ask(config: &Config, failures_listed: u64) -> Result<StatusAnswer> {
    let mut records = LedgerAdmin::open(&config.ledger_admin()).await?;
    if !records.is_there() {
        let answer =
            StatusAnswer::NoLedger { target: records.target().name(), ledger: records.ledger() };
        records.close().await;
        return Ok(answer);
    }
    match records.status(failures_listed).await {
        Ok(status) => {
            records.close().await;
            Ok(StatusAnswer::Status(Box::new(status)))
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
    partial: &'a [Partial],
    in_flight: &'a [InFlight],
    failed: &'a [FailedObject],
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
            partial: &[],
            in_flight: &[],
            failed: &[],
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
                partial: &status.partial,
                in_flight: &status.in_flight,
                failed: &status.failed,
                runs: &status.runs,
            }
        }
    };
    // This only fails for maps whose keys are not text, and the document has none.
    let document = format!("{:#}\n", serde_json::to_value(document).unwrap_or_default());
    escape_json(&document).into_owned()
}

/// Returns the text for people. It omits lines that would say nothing.
fn text(answer: &StatusAnswer) -> String {
    let mut text = String::new();
    let status = match answer {
        StatusAnswer::NoLedger { target, ledger } => {
            line(&mut text, "target", target);
            let none = format_args!(
                "none: no run has loaded into this database with {ledger}, \
                 or the account cannot see its tables"
            );
            line(&mut text, "ledger", none);
            return text;
        }
        StatusAnswer::Status(status) => status,
    };
    line(&mut text, "target", &status.target);
    line(&mut text, "ledger", &status.ledger);
    match &status.job {
        Some(job) => {
            line(&mut text, "mode", format_args!("{}, {}", job.mode, job.state));
            line(
                &mut text,
                "generation",
                format_args!("{}, since {}", job.generation, second(&job.begun_at)),
            );
            if let Some(old_table) = &job.old_table {
                line(&mut text, "table kept", old_table);
            }
            let label = if job.mode == "swap" { "index to come" } else { "index missing" };
            for definition in &job.deferred_indexes {
                line(&mut text, label, definition);
            }
        }
        None => line(
            &mut text,
            "mode",
            "none: nothing has been loaded into this table with this ledger",
        ),
    }
    write_sums(&mut text, &status.table);
    line(&mut text, "objects failed", status.objects_failed);
    line(&mut text, "objects in flight", status.in_flight.len());
    if let Some(shadow) = &status.shadow {
        push(
            &mut text,
            format_args!(
                "\nin the table that the swap will put in its place, generation {}:\n",
                shadow.generation
            ),
        );
        write_sums(&mut text, shadow);
    }
    write_objects(&mut text, status);
    if status.runs.is_empty() {
        return text;
    }
    text.push_str("\nlast runs\n");
    let mut table = vec![
        [
            "run", "worker", "mode", "started", "ended", "exit", "loaded", "already", "failed",
            "rows", "bytes",
        ]
        .map(str::to_owned),
    ];
    table.extend(status.runs.iter().map(|run| {
        [
            run.run_id.clone(),
            run.worker.clone(),
            run.mode.clone(),
            second(&run.started_at),
            run.ended_at.as_deref().map_or_else(|| run.state.name().to_owned(), second),
            run.exit_code.map_or_else(|| "-".to_owned(), |code| code.to_string()),
            run.objects_loaded.to_string(),
            run.objects_already_loaded.to_string(),
            run.objects_failed.to_string(),
            run.rows.to_string(),
            run.bytes.to_string(),
        ]
    }));
    write_table(&mut text, &table);
    text
}

fn write_sums(text: &mut String, sums: &Sums) {
    line(text, "objects loaded", sums.objects_loaded);
    if sums.objects_partial > 0 {
        line(text, "objects partial", sums.objects_partial);
    }
    line(text, "rows", sums.rows);
    for (label, number) in [
        ("rows skipped", sums.skipped),
        ("rows replaced", sums.deleted),
        ("rows rejected", sums.rejected),
        ("warnings", sums.warnings),
    ] {
        if number > 0 {
            line(text, label, number);
        }
    }
    line(text, "bytes", format_args!("{} ({})", sums.bytes, HumanBytes(sums.bytes)));
}

fn write_objects(text: &mut String, status: &Status) {
    if !(status.partial.is_empty() && status.in_flight.is_empty() && status.failed.is_empty()) {
        text.push('\n');
    }
    for object in status.partial.iter().take(NAMED) {
        let Partial { parts_loaded: loaded, parts, .. } = object;
        let uri = uri(&object.bucket, &object.key);
        // The number of parts that a packed object unpacks to is known only at its end.
        if loaded > parts {
            sentence(text, format_args!("partial: {uri}: {loaded} parts"));
        } else {
            sentence(text, format_args!("partial: {uri}: {loaded} of {parts} parts"));
        }
    }
    write_more(text, "partial", status.partial.len() as u64);
    for object in status.in_flight.iter().take(NAMED) {
        let InFlight { size_bytes, worker, run_id, since, .. } = object;
        let uri = uri(&object.bucket, &object.key);
        let since = second(since);
        sentence(
            text,
            format_args!(
                "in flight: {uri}: {size_bytes} bytes by {worker}, run {run_id}, since {since}"
            ),
        );
    }
    write_more(text, "in flight", status.in_flight.len() as u64);
    for object in status.failed.iter().take(NAMED) {
        sentence(
            text,
            format_args!(
                "failed: {}: {}, {} attempts from {} to {}: {}",
                uri(&object.bucket, &object.key),
                object.error.code,
                object.attempts,
                second(&object.first_failed_at),
                second(&object.last_failed_at),
                object.error.message
            ),
        );
    }
    write_more(text, "failed", status.objects_failed);
}

fn write_more(text: &mut String, label: &str, count: u64) {
    let more = count.saturating_sub(NAMED as u64);
    if more > 0 {
        push(text, format_args!("{label}: and {more} more; --json has them all\n"));
    }
}

/// Returns the URI, escaped so that a newline in a key cannot forge a line.
pub(crate) fn uri(bucket: &str, key: &str) -> String {
    format!("s3://{}/{}", printable(bucket), printable(key))
}

/// Appends one line about things that come from the ledger.
fn sentence(text: &mut String, line: std::fmt::Arguments<'_>) {
    push(text, format_args!("{}\n", printable(&line.to_string())));
}

fn line(text: &mut String, label: &str, value: impl std::fmt::Display) {
    push(text, format_args!("{label:<18} {}\n", printable(&value.to_string())));
}

/// Writes columns as wide as their longest cell, escaped. Numbers, from the sixth column on, are
/// aligned to the right.
fn write_table<const COLUMNS: usize>(text: &mut String, table: &[[String; COLUMNS]]) {
    const FIRST_NUMBER: usize = 5;
    let table: Vec<[Cow<'_, str>; COLUMNS]> =
        table.iter().map(|cells| cells.each_ref().map(|cell| printable(cell))).collect();
    let widths: [usize; COLUMNS] = std::array::from_fn(|column| {
        table.iter().map(|cells| cells[column].chars().count()).max().unwrap_or(0)
    });
    for cells in &table {
        let line: Vec<String> = cells
            .iter()
            .zip(widths)
            .enumerate()
            .map(|(column, (cell, width))| {
                if column < FIRST_NUMBER {
                    format!("{cell:<width$}")
                } else {
                    format!("{cell:>width$}")
                }
            })
            .collect();
        push(text, format_args!("{}\n", line.join("  ").trim_end()));
    }
}

/// Returns a time without its fraction of a second.
fn second(time: &str) -> String {
    time.split_once('.').map_or_else(|| time.to_owned(), |(whole, _)| format!("{whole}Z"))
}

/// Appends to a text, which cannot fail.
fn push(text: &mut String, more: std::fmt::Arguments<'_>) {
    let _ = text.write_fmt(more);
}
