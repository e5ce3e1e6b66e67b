//! Dispatches selected objects, and downloads them into staging files.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;

use super::attempt::base_request;
use super::bad_row_lines::with_lines;
use super::context::{Context, Purpose};
use super::download_slots::DownloadSlots;
use super::events::{Event, emit, failed};
use super::parquet_object::{check_footer, usual_space};
use super::row_counter::{Judging, RowCounter};
use super::split_object::{Route, load_in_parts};
use super::value_pass::{judge_values, value_counts};
use super::work::{Ready, ReadyObject, Selected};
use super::{sample, split_object};
use crate::error::{Error, Result};
use crate::load_data::ObjectLayout;
use crate::object::Object;
use crate::policy::OnBadRow;
use crate::report::{Outcome, Stage, Stopwatch};
use crate::retry::Attempts;
use crate::split::{Boundary, Scan};
use crate::staging::{ByteObserver, Reserved, Staged, StagedObject, Wanted, stage};
use crate::values::ValueCounts;

/// Takes objects as the staging budget allows, and downloads them concurrently.
pub(crate) async fn dispatch(
    context: Arc<Context>,
    mut objects: mpsc::Receiver<Selected>,
    staged: mpsc::Sender<Ready>,
    events: mpsc::Sender<Event>,
) {
    let draining = &context.shutdown.draining;
    let slots = context.downloads.clone();
    let split_slots = Arc::new(Semaphore::new(
        split_object::MAX_SPLIT_OBJECTS.min(context.options.staging.download_concurrency),
    ));
    let mut downloads = JoinSet::new();
    // Objects that arrive while the run drains get their outcome below.
    while let Some(selected) = objects.recv().await {
        // Reap finished tasks, so that the set does not grow with the number of objects.
        while let Some(joined) = downloads.try_join_next() {
            rethrow(joined);
        }
        let watch = Stopwatch::start();
        match split_object::route(&context, &selected) {
            Route::Whole => {}
            Route::Split => {
                let (context, staged, events) =
                    (Arc::clone(&context), staged.clone(), events.clone());
                let slots = Arc::clone(&split_slots);
                downloads.spawn(async move {
                    load_in_parts(&context, selected, staged, &events, &slots).await;
                });
                continue;
            }
            Route::None(error) => {
                let (object, before) = (selected.object, selected.failed_before);
                let ledger = context.ledger.as_ref();
                let outcome = failed(ledger, object, before, error, (1, &watch)).await;
                emit(&events, Event::ended(outcome)).await;
                continue;
            }
        }
        let reserved = tokio::select! {
            biased;
            () = draining.cancelled() => None,
            reserved = async {
                let usual = usual_space(&context, &selected.object);
                let reserved = context.staging.reserve(&selected.object, usual).await?;
                Ok((reserved, slots.take(selected.object.size_bytes).await?))
            } => Some(reserved),
        };
        match reserved {
            None => {
                emit(&events, Event::ended(Outcome::NotReached { object: selected.object })).await;
            }
            Some(Err(error)) => {
                let (object, before) = (selected.object, selected.failed_before);
                let ledger = context.ledger.as_ref();
                let outcome = failed(ledger, object, before, error, (1, &watch)).await;
                emit(&events, Event::ended(outcome)).await;
            }
            Some(Ok(space)) => {
                let (context, staged, events) =
                    (Arc::clone(&context), staged.clone(), events.clone());
                let (slots, split_slots) = (slots.clone(), Arc::clone(&split_slots));
                downloads.spawn(async move {
                    let to_split =
                        stage_whole(&context, selected, space, &slots, &staged, &events).await;
                    if let Some(selected) = to_split {
                        load_in_parts(&context, selected, staged, &events, &split_slots).await;
                    }
                });
            }
        }
    }
    while let Some(joined) = downloads.join_next().await {
        rethrow(joined);
    }
}

/// Downloads an object whole, and hands it to the load workers. Returns a packed object whose text
/// is so long that it is to be split.
async fn stage_whole(
    context: &Arc<Context>,
    selected: Selected,
    space: (Reserved, OwnedSemaphorePermit),
    slots: &DownloadSlots,
    staged: &mpsc::Sender<Ready>,
    events: &mpsc::Sender<Event>,
) -> Option<Selected> {
    let mut watch = Stopwatch::start();
    emit(events, Event::Began(selected.object.to_string())).await;
    let mut attempts = Attempts::new(&context.options.retry);
    let tried = tokio::select! {
        biased;
        () = context.shutdown.draining.cancelled() => None,
        tried = download(context, &selected.object, slots, space, &mut attempts) => Some(tried),
    };
    let attempts = attempts.made();
    watch.end(Stage::Download);
    let (downloaded, _slot) = match tried {
        None => {
            let object = selected.object;
            emit(events, Event::ended(Outcome::NotReached { object })).await;
            return None;
        }
        Some(Err(error)) => {
            let ledger = context.ledger.as_ref();
            let (object, before) = (selected.object, selected.failed_before);
            let outcome = failed(ledger, object, before, error, (attempts, &watch)).await;
            emit(events, Event::ended(outcome)).await;
            return None;
        }
        Some(Ok(None)) => return Some(selected),
        Some(Ok(Some((downloaded, slot)))) => (downloaded, slot),
    };
    let Downloaded { layout, staged: file, scan, values } = downloaded;
    // An object that failed before is likely to fail again. A forced one replaces a row of the
    // ledger.
    let may_share = !selected.failed_before.is_recorded()
        && !selected.again
        && attempts == 1
        && (values.bad_rows == 0 || context.preflight.policy.on_bad_row == OnBadRow::Accept);
    let object = selected.object.clone();
    let ready =
        ReadyObject { selected, layout, staged: file, scan, values, watch, attempts, may_share };
    // The workers outlive the downloads, so only a dead worker leaves an object behind.
    if staged.send(Ready::Object(ready)).await.is_err() {
        emit(events, Event::ended(Outcome::NotReached { object })).await;
    }
    None
}

/// A staged object with its counts.
struct Downloaded {
    layout: ObjectLayout,
    staged: StagedObject,
    scan: Scan,
    values: ValueCounts,
}

/// Downloads `object` in a slot. A packed object that needs more space than is free gives up its
/// slot, too, while it waits for the space: those who hold space wait for slots. Returns `None` for
/// one that is to be split.
async fn download(
    context: &Arc<Context>,
    object: &Object,
    slots: &DownloadSlots,
    (mut reserved, mut slot): (Reserved, OwnedSemaphorePermit),
    attempts: &mut Attempts,
) -> Result<Option<(Downloaded, OwnedSemaphorePermit)>> {
    check_footer(context, object).await?;
    let is_split = context.options.format.parquet.is_none();
    loop {
        match Box::pin(try_download(context, object, reserved, attempts)).await? {
            Tried::Done(downloaded) => return Ok(Some((*downloaded, slot))),
            Tried::Wants(wanted) if is_split && context.staging.splits(wanted) => return Ok(None),
            Tried::Wants(wanted) => {
                drop(slot);
                tracing::debug!("{object}: it waits for {wanted:?}, and begins again");
                reserved = context.staging.reserve(object, Some(wanted)).await?;
                slot = slots.take(object.size_bytes).await?;
            }
        }
    }
}

enum Tried {
    Done(Box<Downloaded>),
    Wants(Wanted),
}

/// Downloads `object`, counts its rows on the way and judges their values.
async fn try_download(
    context: &Arc<Context>,
    object: &Object,
    reserved: Reserved,
    attempts: &mut Attempts,
) -> Result<Tried> {
    let sample = match &context.purpose {
        Purpose::Load(_) => None,
        Purpose::Check(checking) => checking.sample,
    };
    // By position, the key alone decides the layout.
    let ordinary = if context.layouts.go_by_name() {
        context.layouts.ordinary.clone()
    } else {
        context.layout(object, None)?
    };
    let counter = || RowCounter::new(context, object, &ordinary, sample);
    let space = (&context.staging, reserved);
    let open = |from| context.s3.get(object, from);
    let (mut staged, mut counter) = match stage(object, space, attempts, open, counter).await? {
        Staged::Whole(staged, counter) => (staged, counter),
        Staged::Wants(wanted) => return Ok(Tried::Wants(wanted)),
    };
    let settled = counter.settle_layout(&staged.file);
    let layout = settled.map_err(|refusal| staged.naming_codecs(refusal))?;
    let (scan, judging) = match sample {
        Some(rows) if counter.is_satisfied() => {
            let locator = layout.locator_of(&context.options.format, [rows]);
            let reader = layout.reader.clone();
            let abandoning = &context.shutdown.abandoning;
            let cut = sample::cut_to_sample(&staged, locator, reader, abandoning).await;
            let (scan, size_bytes) =
                cut.map_err(|error| Error::new(error.kind, object.to_string()).caused_by(error))?;
            staged.file = staged.file.truncate(size_bytes);
            staged.size_bytes = size_bytes;
            (scan, Judging::Impossible)
        }
        _ => {
            let finished = counter.finish(&staged.file);
            finished.map_err(|refusal| staged.naming_codecs(refusal))?
        }
    };
    // Without rows, nothing can be in the wrong column.
    if let Some(header) = context.header.as_ref().filter(|_| scan.rows > 0) {
        header.check_staged(object, &staged.file, scan.data_start, &layout.columns)?;
    }
    let request = base_request(context, (object, &layout), &staged, &scan, ValueCounts::default());
    let values = match judging.finish(request.staged.missing_terminator()) {
        Some(judged) => value_counts(&request, judged),
        None => judge_values(context, &request).await,
    };
    let values = match values {
        Ok(values) => values,
        Err(error) => {
            let from = Boundary::default();
            return Err(with_lines(context, &layout, &staged.file, from, error).await);
        }
    };
    Ok(Tried::Done(Box::new(Downloaded { layout, staged, scan, values })))
}

/// Passes on the panic of a download, so that the run learns of the defect.
fn rethrow(joined: std::result::Result<(), tokio::task::JoinError>) {
    if let Err(error) = joined
        && error.is_panic()
    {
        std::panic::resume_unwind(error.into_panic());
    }
}
