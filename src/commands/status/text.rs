//! The state of a table as text for people, on a terminal of 120 columns.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

use indicatif::{HumanBytes, HumanCount};

use super::answer::{NAMED, StatusAnswer, shown_age};
use super::comparison::{GoneObject, SourceComparison};
use crate::ledger::{
    AcknowledgedObject, FailedObject, InFlight, JobStatus, Partial, Run, RunState, Status, Sums,
};
use crate::object::shown_uri;
use crate::printable::{printable, shortened};

/// The width of a line about a failure, unless all details are wanted.
const WIDTH_CHARACTERS: usize = 120;
/// The width of the name of a worker.
const WORKER_CHARACTERS: usize = 24;

/// Returns the text. It omits lines that would say nothing. Without `has_details`, a failure has
/// one line.
pub(super) fn text(
    answer: &StatusAnswer,
    compared: Option<&SourceComparison>,
    has_details: bool,
) -> String {
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
        Some(job) => write_job(&mut text, job, status),
        None => line(
            &mut text,
            "mode",
            "none: nothing has been loaded into this table with this ledger",
        ),
    }
    if let Some(time) = &status.last_success_at {
        line(&mut text, "last success", second(time));
    }
    write_sums(&mut text, &status.table);
    line(&mut text, "objects failed", HumanCount(status.objects_failed));
    if let Some(time) = &status.oldest_failure_at {
        line(&mut text, "oldest failure", second(time));
    }
    if status.objects_acknowledged > 0 {
        line(&mut text, "objects acknowledged", HumanCount(status.objects_acknowledged));
    }
    line(&mut text, "objects in flight", HumanCount(status.in_flight.len() as u64));
    if let Some(compared) = compared {
        write_comparison(&mut text, compared);
    }
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
    write_objects(&mut text, status, has_details);
    write_gone(&mut text, compared, has_details);
    write_runs(&mut text, &status.runs);
    text
}

fn write_comparison(text: &mut String, compared: &SourceComparison) {
    line(text, "objects in source", HumanCount(compared.objects_listed));
    line(text, "gone from source", HumanCount(compared.objects_gone));
    if let (Some(time), Some(age)) =
        (&compared.newest_object_at, compared.newest_object_age_seconds)
    {
        let age = shown_age(Duration::from_secs(age));
        line(text, "newest object", format_args!("{}, {age} ago", second(time)));
    }
}

/// Names the objects that are loaded and gone from the source.
fn write_gone(text: &mut String, compared: Option<&SourceComparison>, has_details: bool) {
    let Some(compared) = compared.filter(|compared| compared.objects_gone > 0) else { return };
    text.push('\n');
    let named = if has_details { usize::MAX } else { NAMED };
    for GoneObject { bucket, key } in compared.gone.iter().take(named) {
        sentence(text, format_args!("loaded and gone: {}", shown_uri(bucket, key)));
    }
    let more = compared.gone.len().saturating_sub(named);
    if more > 0 {
        let more = HumanCount(more as u64);
        push(text, format_args!("loaded and gone: and {more} more; --details has them all\n"));
    }
}

fn write_job(text: &mut String, job: &JobStatus, status: &Status) {
    let is_at_work = status.runs.iter().any(|run| run.state == RunState::Running);
    // An append never ends: there may always be more to load.
    let state = match (job.mode.as_str(), is_at_work) {
        ("append", false) => String::new(),
        ("append", true) => ", a run is at work".to_owned(),
        (_, false) => format!(", {}", job.state),
        (_, true) => format!(", {}, a run is at work", job.state),
    };
    line(text, "mode", format_args!("{}{state}", job.mode));
    line(text, "generation", format_args!("{}, since {}", job.generation, second(&job.begun_at)));
    if let Some(old_table) = &job.old_table {
        line(text, "table kept", old_table);
    }
    let label = if job.mode == "swap" { "index to come" } else { "index missing" };
    for definition in &job.deferred_indexes {
        line(text, label, definition);
    }
}

fn write_sums(text: &mut String, sums: &Sums) {
    line(text, "objects loaded", HumanCount(sums.objects_loaded));
    if sums.objects_partial > 0 {
        line(text, "objects partial", HumanCount(sums.objects_partial));
    }
    line(text, "rows", HumanCount(sums.rows));
    for (label, number) in [
        ("rows skipped", sums.skipped),
        ("rows replaced", sums.deleted),
        ("rows rejected", sums.rejected),
        ("warnings", sums.warnings),
    ] {
        if number > 0 {
            line(text, label, HumanCount(number));
        }
    }
    line(text, "size", HumanBytes(sums.bytes));
}

fn write_objects(text: &mut String, status: &Status, has_details: bool) {
    if !(status.partial.is_empty()
        && status.in_flight.is_empty()
        && status.failed.is_empty()
        && status.acknowledged.is_empty())
    {
        text.push('\n');
    }
    for object in status.partial.iter().take(NAMED) {
        let Partial { parts_loaded: loaded, parts, .. } = object;
        let uri = shown_uri(&object.bucket, &object.key);
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
        let uri = shown_uri(&object.bucket, &object.key);
        let (size, since) = (HumanBytes(*size_bytes), second(since));
        sentence(
            text,
            format_args!("in flight: {uri}: {size} by {worker}, run {run_id}, since {since}"),
        );
    }
    write_more(text, "in flight", status.in_flight.len() as u64);
    for object in status.failed.iter().take(NAMED) {
        write_failure(text, object, has_details);
    }
    write_more(text, "failed", status.objects_failed);
    for object in status.acknowledged.iter().take(NAMED) {
        write_acknowledged(text, object, has_details);
    }
    write_more(text, "acknowledged", status.objects_acknowledged);
    if !has_details && !status.failed.is_empty() {
        text.push_str("--details shows the whole messages\n");
    }
}

fn write_failure(text: &mut String, object: &FailedObject, has_details: bool) {
    let uri = shown_uri(&object.bucket, &object.key);
    let FailedObject { attempts, error, .. } = object;
    let attempts = match attempts {
        1 => "1 attempt".to_owned(),
        more => format!("{more} attempts"),
    };
    let (first, last) = (second(&object.first_failed_at), second(&object.last_failed_at));
    // The message begins with the object, and its rows are on lines of their own.
    let message = error.message.strip_prefix(&uri).and_then(|rest| rest.strip_prefix(": "));
    let message = message.unwrap_or(&error.message);
    if !has_details {
        let message = message.lines().next().unwrap_or_default();
        let day = first.split('T').next().unwrap_or_default();
        let code = &error.code;
        let line = format!("failed: {uri}: {code} since {day}, {attempts}: {message}");
        push(text, format_args!("{}\n", shortened(&printable(&line), WIDTH_CHARACTERS)));
        return;
    }
    let code = &error.code;
    sentence(text, format_args!("failed: {uri}: {code}, {attempts} from {first} to {last}"));
    for line in message.lines() {
        sentence(text, format_args!("  {line}"));
    }
}

fn write_acknowledged(text: &mut String, object: &AcknowledgedObject, has_details: bool) {
    let uri = shown_uri(&object.bucket, &object.key);
    let AcknowledgedObject { error, reason, acknowledged_by, acknowledged_at, .. } = object;
    let day = acknowledged_at.split('T').next().unwrap_or_default();
    let code = &error.code;
    let line = format!("acknowledged: {uri}: {code}, since {day} by {acknowledged_by}: {reason}");
    let line = printable(&line);
    if !has_details {
        push(text, format_args!("{}\n", shortened(&line, WIDTH_CHARACTERS)));
        return;
    }
    push(text, format_args!("{line}\n"));
    let message = error.message.strip_prefix(&uri).and_then(|rest| rest.strip_prefix(": "));
    for line in message.unwrap_or(&error.message).lines() {
        sentence(text, format_args!("  {line}"));
    }
}

fn write_more(text: &mut String, label: &str, count: u64) {
    let more = count.saturating_sub(NAMED as u64);
    if more > 0 {
        let more = HumanCount(more);
        push(text, format_args!("{label}: and {more} more; --json has them all\n"));
    }
}

fn write_runs(text: &mut String, runs: &[Run]) {
    if runs.is_empty() {
        return;
    }
    text.push_str("\nlast runs\n");
    let mut table = vec![
        [
            "started", "ended", "mode", "worker", "exit", "loaded", "already", "failed", "rows",
            "size",
        ]
        .map(str::to_owned),
    ];
    table.extend(runs.iter().map(|run| {
        [
            second(&run.started_at),
            run.ended_at.as_deref().map_or_else(|| run.state.name().to_owned(), second),
            run.mode.clone(),
            shortened(&printable(&run.worker), WORKER_CHARACTERS),
            run.exit_code.map_or_else(|| "-".to_owned(), |code| code.to_string()),
            HumanCount(run.objects_loaded).to_string(),
            HumanCount(run.objects_already_loaded).to_string(),
            HumanCount(run.objects_failed).to_string(),
            HumanCount(run.rows).to_string(),
            HumanBytes(run.bytes).to_string(),
        ]
    }));
    write_table(text, &table, 4);
}

/// Appends one line about things that come from the ledger.
fn sentence(text: &mut String, line: std::fmt::Arguments<'_>) {
    push(text, format_args!("{}\n", printable(&line.to_string())));
}

fn line(text: &mut String, label: &str, value: impl std::fmt::Display) {
    push(text, format_args!("{label:<18} {}\n", printable(&value.to_string())));
}

/// Writes columns as wide as their longest cell, escaped. Numbers, from the column `first_number`
/// on, are aligned to the right.
pub(super) fn write_table<const COLUMNS: usize>(
    text: &mut String,
    table: &[[String; COLUMNS]],
    first_number: usize,
) {
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
                if column < first_number {
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
pub(super) fn second(time: &str) -> String {
    time.split_once('.').map_or_else(|| time.to_owned(), |(whole, _)| format!("{whole}Z"))
}

/// Appends to a text, which cannot fail.
fn push(text: &mut String, more: std::fmt::Arguments<'_>) {
    let _ = text.write_fmt(more);
}
