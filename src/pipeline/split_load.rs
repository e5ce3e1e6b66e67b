//! Loads one staged part of a split object, in a transaction of its own.
//!
//! The load workers take parts as they take whole objects. The result goes to the task that owns
//! the object ([`super::split_object`]). After a part has failed, no further part of the object
//! begins; those under way are finished.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::attempt::{Worker, load};
use super::bad_row_lines::with_lines;
use super::context::Context;
use super::events::{Event, emit};
use super::row_digest::with_digest;
use super::value_pass::{bad_values, fails, first_inexact, judge_values, with_values};
use super::work::{PartEnded, PartOutcome, ReadyPart, Split};
use crate::error::Result;
use crate::file_slice::FileSlice;
use crate::ledger::{LedgerEntry, Part};
use crate::load_data::{LoadRequest, LoadStats, PartContext, SendMeter, StagedRows};
use crate::object::Object;
use crate::report::{EndedPart, PartStatus, Stage};
use crate::retry::Attempts;
use crate::staging::StagedPart;
use crate::values::ValueCounts;

/// Loads one part, and reports the result to the object's task.
pub(crate) async fn load_part(
    context: &Context,
    worker: &mut Worker,
    ready: ReadyPart,
    events: &mpsc::Sender<Event>,
) {
    let ReadyPart { split, staged, part, mut watch, ended } = ready;
    let mut attempts = Attempts::new(&context.options.retry);
    let outcome = if split.stopping.is_cancelled() || !worker.begin_slot(context).await {
        PartOutcome::NotReached
    } else {
        watch.end(Stage::Wait);
        watch.loads_on(worker.number, 1);
        let request = request(&split, &staged, &part);
        let loaded =
            Box::pin(load_judged(context, worker, &split.object, request, &mut attempts)).await;
        watch.end(Stage::Load);
        match loaded {
            Ok(Some(stats)) => {
                watch.committed(worker.commit_time());
                PartOutcome::Loaded(Box::new(stats))
            }
            Ok(None) => PartOutcome::AlreadyLoaded,
            Err(error) => {
                split.stopping.cancel();
                let file = file_slice(&staged);
                PartOutcome::Failed(
                    with_lines(context, &split.layout, &file, staged.start, error).await,
                )
            }
        }
    };
    if let Some(status) = status(&outcome) {
        let ended = EndedPart {
            object: split.object.clone(),
            number: part.number,
            status,
            offset: part.start.offset,
            size_bytes: part.end.offset - part.start.offset,
            rows: staged.end.rows - staged.start.rows,
            attempts: attempts.made(),
            timing: watch.timing(),
        };
        emit(events, Event::PartEnded(Box::new(ended))).await;
    }
    drop(staged);
    // The object's task waits for as long as a sender exists.
    let _ = ended.send(PartEnded { number: part.number, outcome, attempts: attempts.made() });
}

/// Returns the status of a part for the report, if it was tried.
fn status(outcome: &PartOutcome) -> Option<PartStatus> {
    match outcome {
        PartOutcome::Loaded(_) => Some(PartStatus::Loaded),
        PartOutcome::AlreadyLoaded => Some(PartStatus::AlreadyLoaded),
        PartOutcome::Failed(_) => Some(PartStatus::Failed),
        PartOutcome::NotReached => None,
    }
}

/// Judges the values of a part and loads it.
async fn load_judged(
    context: &Context,
    worker: &mut Worker,
    object: &Object,
    request: LoadRequest,
    attempts: &mut Attempts,
) -> Result<Option<LoadStats>> {
    let values = judge_values(context, &request).await?;
    let request = with_values(context, request, values);
    if fails(context, &values) {
        return Err(bad_values(context, object, &request).await?);
    }
    let request = with_digest(context, Ok(request)).await?;
    let mut loaded = load(context, worker, &request, attempts).await?;
    if let Some(stats) = &mut loaded {
        stats.first_inexact = first_inexact(context, &request).await;
    }
    Ok(loaded)
}

fn request(split: &Split, staged: &StagedPart, part: &Part) -> LoadRequest {
    let rows = staged.end.rows - staged.start.rows;
    LoadRequest {
        what: format!("{}: part {}", split.object, part.number),
        sql: split.layout.statement.sql(&staged.lines_terminated_by),
        layout: split.layout.clone(),
        staged: StagedRows {
            file: file_slice(staged),
            locator: split.layout.locator.clone().beginning_at(&staged.start),
            from: staged.start.offset,
            data_start: staged.data_start,
            head_bytes: staged.head_bytes,
            lines_terminated_by: staged.lines_terminated_by.clone(),
            needs_terminator: staged.needs_terminator,
            last_row: staged.end.rows,
            end: staged.end.offset,
            rewriter: None,
            meter: split.form.is_plain().then(|| meter(split, staged)),
        },
        rows,
        entry: Some(LedgerEntry::Part(split.ledger.part_entry(&split.row, part))),
        name: split.name.clone(),
        part: Some(PartContext {
            number: part.number,
            rows_before: staged.start.rows,
            reject_budget: split.reject_budget.clone(),
        }),
        digest: None,
        values: ValueCounts::default(),
    }
}

/// Returns the meter of a part. The text of a part of a packed object is of unknown weight.
fn meter(split: &Split, staged: &StagedPart) -> Arc<SendMeter> {
    let bytes = staged.end.offset - staged.start.offset;
    SendMeter::new(Arc::clone(&split.meter), bytes, bytes)
}

/// Returns the file slice of a part, whose bytes have the same offsets in its file as in the
/// object.
fn file_slice(staged: &StagedPart) -> FileSlice {
    FileSlice::new(Arc::clone(&staged.file), 0, staged.end.offset)
}
