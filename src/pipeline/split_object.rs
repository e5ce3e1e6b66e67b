//! Loads one large object part by part, from its ranges to the completed ledger row.
//!
//! Each split object has a task, its only owner. The task creates the object's row in the ledger,
//! stages one part after the other ([`stage_parts`]), hands each part to the load workers
//! ([`super::split_load`]), and collects the results. At the end the task sets the ledger row to
//! `loaded`.
//!
//! The task holds nothing of the staging budget while it waits for more of it. It also takes none
//! of the slots that whole downloads wait for while they hold permits. So neither can wait for the
//! other in a circle.
//!
//! - After a part has failed, no further part begins; those under way are finished. The object
//!   stays `partial`, and the next run reads and loads what is missing.
//! - If the run is stopped, the same happens, but without a failure.

use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc};

use super::attempt::is_skipped;
use super::context::{Context, Purpose};
use super::events::{Event, emit, failed, without_object};
use super::header::{HEADER_BYTES, header_too_long};
use super::options::PipelineOptions;
use super::pin::pin;
use super::stage_parts::{PartsStaged, stage_parts};
use super::work::{PartEnded, PartOutcome, Ready, Selected, Split};
use crate::error::{Consequence, Error, ErrorKind, Result};
use crate::ledger::{Completed, Job, Ledger, SplitProgress};
use crate::load_data::{LoadStats, ObjectLayout, ObjectMeter, RejectBudget};
use crate::object::Object;
use crate::policy::MaxRejects;
use crate::rejects::ObjectName;
use crate::report::{Outcome, Stopwatch};
use crate::s3_uri::SourceUri;
use crate::source::S3;
use crate::split::can_split;
use crate::staging::{Budget, Integrity, PinnedObject, first_text};
use crate::units::ByteSize;
use crate::unpack::{Codec, Codecs, HEAD_BYTES, TextForm};

/// The number of objects that are split at the same time. Each has ranges in memory and several
/// connections of its own.
pub(crate) const MAX_SPLIT_OBJECTS: usize = 2;
/// The maximum number of parts of one object. More would only bloat the ledger.
const MAX_PARTS: u64 = 1 << 20;
/// The minimum number of parts that fit into the staging budget: one that downloads, one that
/// waits, and two that load.
const PARTS_STAGED: u64 = 4;

/// The way in which an object is loaded.
pub(crate) enum Route {
    Whole,
    Split,
    None(Error),
}

/// Returns the route for an object: by its size, unless its ledger row shows that it is split
/// already.
pub(crate) fn route(context: &Context, selected: &Selected) -> Route {
    let Purpose::Load(loader) = &context.purpose else { return Route::Whole };
    if context.options.format.parquet.is_some() {
        return Route::Whole;
    }
    let is_whole_only = context.options.throughput.part_size.is_none();
    if selected.is_partial && is_whole_only {
        let message = format!(
            "{}: parts of it are loaded, so --no-split cannot load it as a whole",
            selected.object
        );
        return Route::None(Error::new(ErrorKind::PartialConflict, message).with_hint(
            "run without --no-split to load the missing parts; or delete its rows from the table, \
             then remove the object from the ledger with `s3-to-mysql forget`",
        ));
    }
    let has_ledger = context.ledger.is_some();
    let is_large =
        is_large(&context.options, &context.budget, has_ledger, selected.object.size_bytes);
    if selected.is_partial || is_large && loader.plan.policy.rolls_back {
        Route::Split
    } else {
        Route::Whole
    }
}

/// Returns true if an object of this size is split, provided that nothing else prevents it.
pub(crate) fn is_large(
    options: &PipelineOptions,
    budget: &Budget,
    has_ledger: bool,
    size_bytes: u64,
) -> bool {
    let Some(part_size) = options.throughput.part_size else { return false };
    let exceeds = size_bytes > part_size.bytes() || size_bytes > budget.total().bytes();
    exceeds && has_ledger && can_split(options.format.rows(), &options.format.charset)
}

/// Returns the part size for an object that is not split yet.
fn part_size_bytes(context: &Context, object: &Object) -> u64 {
    let part_size = context.options.throughput.part_size.map_or(u64::MAX, ByteSize::bytes);
    let fitting = (context.budget.total().bytes() / PARTS_STAGED).max(1);
    part_size.min(fitting).max(object.size_bytes / MAX_PARTS).max(1)
}

/// The result of a split object that did not fail.
enum SplitOutcome {
    Loaded(Box<LoadStats>, Integrity, Option<Codecs>),
    AlreadyLoaded,
    NotReached,
}

/// Loads an object part by part, and reports its outcome.
pub(crate) async fn load_in_parts(
    context: &Context,
    selected: Selected,
    staged: mpsc::Sender<Ready>,
    events: &mpsc::Sender<Event>,
    split_slots: &Semaphore,
) {
    let watch = Stopwatch::start();
    let Selected { object, claim, failed_before, again, .. } = selected;
    let draining = &context.shutdown.draining;
    let slot = tokio::select! {
        biased;
        () = draining.cancelled() => None,
        slot = split_slots.acquire() => slot.ok(),
    };
    let mut attempts = 1;
    // Lives until the outcome is reported, and counts there.
    let meter = ObjectMeter::new(&context.sent_bytes);
    let done = match slot {
        None => Ok(SplitOutcome::NotReached),
        Some(_slot) => {
            emit(events, Event::Began(object.to_string())).await;
            let of = (&object, &meter);
            Box::pin(load_object(context, of, again, &staged, &mut attempts)).await
        }
    };
    // The stages are those of its parts.
    let timing = watch.timing();
    let outcome = match done {
        Ok(SplitOutcome::Loaded(stats, verified, codecs)) => {
            Outcome::Loaded { object, stats, verified, codecs, again, attempts, timing }
        }
        Ok(SplitOutcome::AlreadyLoaded) => Outcome::AlreadyLoaded { object },
        Ok(SplitOutcome::NotReached) => Outcome::NotReached { object },
        Err(error) if is_skipped(context, &error) => Outcome::SkippedChanged { object },
        Err(error) => {
            let tried = (attempts, &watch);
            failed(context.ledger.as_ref(), object, failed_before, error, tried).await
        }
    };
    emit(events, Event::ended(outcome)).await;
    drop(meter);
    // Only now may other runs try the object.
    drop(claim);
}

async fn load_object(
    context: &Context,
    (object, meter): (&Object, &Arc<ObjectMeter>),
    again: bool,
    staged: &mpsc::Sender<Ready>,
    attempts: &mut u32,
) -> Result<SplitOutcome> {
    let Some((ledger, job)) = &context.ledger else {
        return Err(Error::new(ErrorKind::Bug, format!("{object}: it is split without a ledger")));
    };
    let stopping = context.shutdown.draining.child_token();
    let Some(pinned) =
        stopping.run_until_cancelled(pin(&context.s3, object, &context.options)).await
    else {
        return Ok(SplitOutcome::NotReached);
    };
    let pinned = Arc::new(pinned?);
    // Before the object is in the ledger, with the columns of this run.
    let Some(looked) = stopping.run_until_cancelled(look_at_head(context, &pinned)).await else {
        return Ok(SplitOutcome::NotReached);
    };
    let (layout, codec) = looked?;
    let row = ledger.split_object(
        job,
        object,
        pinned.version_id.as_deref(),
        part_size_bytes(context, object),
        (&context.options.format, layout.fields_per_row(), codec.map(Into::into)),
        context.options.ledger.key_policy(again),
    )?;
    let (part_size_bytes, known, rejected) = match ledger.begin_parts(&row).await? {
        SplitProgress::AlreadyLoaded => return Ok(SplitOutcome::AlreadyLoaded),
        SplitProgress::Partial { part_size_bytes, parts, rejected } => {
            (part_size_bytes, parts, rejected)
        }
    };
    if !known.is_empty() {
        tracing::info!("{object}: resuming it: {} of its parts are loaded", known.len());
    }
    let plan = context.plan();
    let split = Arc::new(Split {
        object: object.clone(),
        layout,
        ledger: ledger.clone(),
        row,
        meter: Arc::clone(meter),
        form: TextForm { codec, records: context.records() },
        name: plan.rejects.as_ref().map(|_| ObjectName {
            bucket: object.bucket.clone(),
            key: object.key.clone(),
            etag: object.etag.clone(),
            object_id: ledger.object_id(job, object),
        }),
        reject_budget: match plan.policy.max_rejects {
            Some(MaxRejects::Rows(limit)) => {
                Some(Arc::new(RejectBudget::of_object(limit, rejected)))
            }
            _ => None,
        },
        stopping: stopping.clone(),
    });

    let (ended, results) = mpsc::unbounded_channel();
    let handed =
        Box::pin(stage_parts(context, &pinned, &split, part_size_bytes, known, staged, ended))
            .await;
    let shown_rows = context.preflight.policy.show_bad_rows;
    let parts = collect_results(results, shown_rows, attempts).await;
    *attempts += pinned.retries();
    let PartsStaged { verified, text_bytes, codecs } = match (parts.failure, handed) {
        (Some(error), _) | (None, Err(error)) => {
            return Err(partial(&split, part_size_bytes, error).await);
        }
        (None, Ok(Some(staged))) if parts.are_all_tried => staged,
        (None, Ok(_)) => return Ok(SplitOutcome::NotReached),
    };
    match ledger.complete_parts(&split.row, text_bytes).await? {
        Completed::Yes if parts.is_any_loaded => {
            Ok(SplitOutcome::Loaded(Box::new(parts.stats), verified, codecs))
        }
        Completed::Yes => Ok(SplitOutcome::AlreadyLoaded),
        Completed::No => {
            let message = format!(
                "{object}: its parts were loaded, but some of them are no longer in the ledger"
            );
            Err(Error::new(ErrorKind::LedgerRowLost, message))
        }
    }
}

/// Returns the layout of the object, and the codec if it is packed. Its header must fit the
/// columns.
async fn look_at_head(
    context: &Context,
    pinned: &PinnedObject,
) -> Result<(ObjectLayout, Option<Codec>)> {
    let object = &pinned.object;
    let first = pinned.head((HEAD_BYTES as u64).min(object.size_bytes)).await?;
    let codec = Codec::of(&first, object.size_bytes <= HEAD_BYTES as u64);
    let goes_by_name = context.layouts.go_by_name();
    let (first, is_cut) = match codec {
        Some(codec) => {
            let fields_per_row = context.layouts.ordinary.fields_per_row();
            let expected_text = context.expected_text(fields_per_row);
            let form = TextForm { codec: Some(codec), records: None };
            let bytes = usize::try_from(HEADER_BYTES).unwrap_or(usize::MAX);
            let first = first_text(pinned, &context.staging, &form, bytes, expected_text).await?;
            (first.text, !first.is_whole)
        }
        None if goes_by_name || context.header.is_some() => {
            let first = pinned.head(HEADER_BYTES.min(object.size_bytes)).await?;
            (first, object.size_bytes > HEADER_BYTES)
        }
        None => return Ok((context.layout(object, None)?, None)),
    };
    if goes_by_name {
        let names = context.header_names(&first, is_cut);
        if names.is_none() && is_cut {
            return Err(header_too_long(object));
        }
        return Ok((context.layout(object, names)?, codec));
    }
    let layout = context.layout(object, None)?;
    if let Some(header) = &context.header {
        header.check(object, &first, is_cut, &layout.columns)?;
    }
    Ok((layout, codec))
}

/// The outcome of the parts that were handed over.
struct PartsEnded {
    stats: LoadStats,
    /// The failure of the first part that failed.
    failure: Option<Error>,
    /// True if this run loaded any part.
    is_any_loaded: bool,
    are_all_tried: bool,
}

/// Waits for every part that was handed over.
async fn collect_results(
    mut results: mpsc::UnboundedReceiver<PartEnded>,
    shown_rows: usize,
    attempts: &mut u32,
) -> PartsEnded {
    let mut stats = LoadStats::default();
    let mut failure: Option<(u32, Error)> = None;
    let (mut is_any_loaded, mut are_all_tried) = (false, true);
    while let Some(PartEnded { number, outcome, attempts: made }) = results.recv().await {
        *attempts += made - 1;
        match outcome {
            PartOutcome::Loaded(part) => {
                is_any_loaded = true;
                stats.add_part(*part, shown_rows);
            }
            PartOutcome::AlreadyLoaded => {}
            PartOutcome::Failed(error) => {
                if failure.as_ref().is_none_or(|(first, _)| number < *first) {
                    failure = Some((number, error));
                }
            }
            PartOutcome::NotReached => are_all_tried = false,
        }
    }
    let failure = failure.map(|(_, error)| error);
    PartsEnded { stats, failure, is_any_loaded, are_all_tried }
}

/// Adds the number of loaded parts to the failure of an object.
async fn partial(split: &Split, part_size_bytes: u64, error: Error) -> Error {
    if !matches!(error.kind.consequence(), Consequence::Retry | Consequence::FailObject) {
        return error;
    }
    if !split.form.is_plain() {
        // The number of its parts is known only when all of it has been unpacked.
        return match split.ledger.loaded_parts(&split.row).await {
            Ok(loaded) => {
                error.adding(&format!("; {} parts of the object are loaded", loaded.len()))
            }
            Err(_) => error.adding("; some of its parts may be loaded"),
        };
    }
    let parts = split.object.size_bytes.div_ceil(part_size_bytes.max(1));
    match split.ledger.loaded_parts(&split.row).await {
        Ok(loaded) => {
            let loaded: u64 = loaded
                .iter()
                .map(|part| part.numbers(part_size_bytes, split.object.size_bytes))
                .sum();
            error.adding(&format!("; {loaded} of {parts} parts of the object are loaded"))
        }
        Err(_) => error.adding(&format!("; some of its {parts} parts may be loaded")),
    }
}

/// Returns failures for objects under the run's URIs that are partly loaded and gone from the
/// store. No listing returns them any more.
pub(crate) async fn fail_missing(
    options: &PipelineOptions,
    s3: &S3,
    ledger: &Ledger,
    job: &Job,
) -> Result<Vec<Outcome>> {
    let mut outcomes = Vec::new();
    for (bucket, key, etag) in ledger.partial_objects(job).await? {
        let is_wanted = options.uris.iter().any(|uri| match uri {
            SourceUri::Prefix { bucket: of, prefix } => {
                *of == bucket && key.starts_with(prefix.as_str())
            }
            SourceUri::Key { bucket: of, key: exactly } => *of == bucket && *exactly == key,
        });
        if !is_wanted || !s3.is_gone(&bucket, &key).await {
            continue;
        }
        let what = Object { bucket, key, etag, size_bytes: 0, last_modified: None };
        let message = format!(
            "{what}: parts of it are loaded, but the object was deleted from the store, so the \
             other parts cannot be loaded"
        );
        let error = Error::new(ErrorKind::PartialChanged, message);
        let Object { bucket, key, etag, .. } = what;
        let _ = ledger.record_failure(job.generation, &bucket, &key, &etag, &error, 1).await;
        outcomes.push(without_object(bucket, key, error));
    }
    Ok(outcomes)
}
