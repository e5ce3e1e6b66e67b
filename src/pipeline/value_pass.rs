//! The verdicts on the values of an object's rows, before a transaction begins.
//!
//! The rows of a whole object are judged while it downloads. Those of a part or of a sample, and of
//! an object whose line terminator was found late, are read once more from the staged file, which
//! is still in the system's cache.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::context::Context;
use super::row_judge::{Judged, RowJudge, UnequalRow};
use crate::blocking::{BLOCK_BYTES, run_blocking};
use crate::columns::partitions;
use crate::dialect::PartitionColumns;
use crate::error::{BadRow, BadRows, Error, ErrorKind, RawRow, Result};
use crate::load_data::{Chunks, Diagnostic, LoadRequest, RequiredValue, StagedRows, staged_rows};
use crate::mysql::codes;
use crate::object::Object;
use crate::policy::OnBadRow;
use crate::split::CutRow;
use crate::sql_text::option_identifier;
use crate::values::{Rewriting, RowRewriter, RowVerdict, ValueCounts};

/// Staged rows of up to this size are judged at once. A blocking thread would cost more.
const SMALL_BYTES: u64 = 32 * 1024;
/// The number of bytes of a row that an error keeps.
const SHOWN_BYTES: u64 = 1024;

/// Judges all staged rows of an object or a part.
///
/// # Errors
/// `StagingFailed` if the file cannot be read again; `Interrupted` if the run is stopped; the
/// errors of [`value_counts`].
pub(crate) async fn judge_values(context: &Context, request: &LoadRequest) -> Result<ValueCounts> {
    value_counts(request, judged(context, request).await?)
}

/// Returns the verdicts on the values of `request`.
///
/// # Errors
/// `Malformed` if a row and the key of the object differ; `Bug` if the number of rows differs from
/// the count of the download.
pub(super) fn value_counts(request: &LoadRequest, judged: Judged) -> Result<ValueCounts> {
    let LoadRequest { what, rows, .. } = request;
    let Judged { counts, unequal } = judged;
    if let Some(unequal) = unequal {
        return Err(contradiction(request, &unequal));
    }
    if counts.rows == *rows {
        return Ok(counts);
    }
    let message = format!("{what}: {} rows were judged, but {rows} were counted", counts.rows);
    Err(Error::new(ErrorKind::Bug, message))
}

/// Returns the error of an object with a row that contradicts its key.
fn contradiction(request: &LoadRequest, unequal: &UnequalRow) -> Error {
    let LoadRequest { what, layout, part, .. } = request;
    let RequiredValue { name, value, .. } = &layout.required[unequal.required];
    let of_key = value.as_deref().map_or_else(|| "NULL".to_owned(), |it| format!("'{it}'"));
    let bad = BadRow {
        line: None,
        row: Some(unequal.row + part.as_ref().map_or(0, |part| part.rows_before)),
        is_misnumbered: false,
        column: Some(name.clone()),
        level: String::new(),
        code: 0,
        reason: format!("{} is not the value in the key, {of_key}", unequal.value),
        raw: None,
    };
    let message = format!("{what}: a row and the key differ in {name}; no row was loaded");
    Error::new(ErrorKind::Malformed, message)
        .with_bad_rows(BadRows { shown: vec![bad], more: 0, count: None })
        .with_hint("--partition-columns none reads such columns from the rows alone")
}

/// Returns the request with these verdicts on its values.
pub(crate) fn with_values(
    context: &Context,
    mut request: LoadRequest,
    values: ValueCounts,
) -> LoadRequest {
    request.values = values;
    let added = &request.layout.added;
    // No line of JSON is sent as it is, not even one without a row.
    let is_json = context.options.format.json.is_some();
    if values.rewriting > Rewriting::None || !added.is_empty() || is_json {
        let rewriter = RowRewriter::new(
            Arc::clone(&request.layout.values),
            context.options.format.rows(),
            &request.staged.lines_terminated_by,
        );
        let rewriter = rewriter.adding(added, values.rewriting);
        request.staged.rewriter = Some(Arc::new(rewriter));
    }
    request
}

/// Returns the error of an object whose bad rows fail it, with the first of them.
///
/// # Errors
/// `StagingFailed` if the file cannot be read again.
pub(crate) async fn bad_values(
    context: &Context,
    object: &Object,
    request: &LoadRequest,
) -> Result<Error> {
    let bad = request.values.bad_rows;
    let found = first_rows(context, request, bad, |verdict| verdict.is_bad).await?;
    let more = bad.saturating_sub(found.len() as u64);
    let mut shown = Vec::new();
    let mut remedies: Vec<String> = Vec::new();
    for (bad, of_it) in found.into_iter().flatten() {
        shown.push(bad);
        for remedy in of_it {
            if !remedies.contains(&remedy) {
                remedies.push(remedy);
            }
        }
    }
    let message = match request.rows {
        1 => format!("{}: its only row is bad; it was not loaded", request.what),
        rows => format!("{}: {bad} of {rows} rows are bad; no row was loaded", request.what),
    };
    let error = Error::new(ErrorKind::BadRows, message).with_bad_rows(BadRows {
        shown,
        more,
        count: Some(bad),
    });
    remedies.extend(columns_in_key(context, object, error.bad_rows()));
    // JSON cannot be accepted as it is.
    if remedies.is_empty() && context.options.format.json.is_some() {
        remedies.push("fix the rows, or use --on-bad-row reject to load the others".to_owned());
    }
    Ok(if remedies.is_empty() { error } else { error.with_hint(remedies.join("\n")) })
}

/// Returns the remedy for rows with too few fields, if the key has columns that they may lack.
fn columns_in_key(context: &Context, object: &Object, bad: &[BadRow]) -> Option<String> {
    let is_short = |bad: &BadRow| bad.column.is_none() && bad.code == codes::TOO_FEW_FIELDS;
    let names = &context.options.format.names;
    if names.partition_columns != PartitionColumns::None || !bad.iter().any(is_short) {
        return None;
    }
    let partitions = partitions(&object.key);
    let columns = partitions.iter().filter_map(|it| context.preflight.schema.column(&it.name));
    let columns = columns.filter(|column| !column.is_generated);
    let columns: Vec<Cow<'_, str>> = columns.map(|it| option_identifier(&it.name)).collect();
    let list = columns.join(",");
    (!list.is_empty())
        .then(|| format!("--partition-columns '{list}' takes from the key what the rows may lack"))
}

/// Returns the first rows that a load stores with other values than they have: those with a note,
/// and bad ones that are accepted. The rows are missing if the file cannot be read again.
pub(crate) async fn first_inexact(context: &Context, request: &LoadRequest) -> BadRows {
    let ValueCounts { bad_rows, noted_rows, .. } = request.values;
    if context.preflight.policy.on_bad_row != OnBadRow::Accept {
        return first_noted(context, request).await;
    }
    let pick = |verdict: RowVerdict| verdict.is_noted || verdict.is_bad;
    shown(context, request, noted_rows + bad_rows, pick).await
}

/// Returns the first rows that are good, but have a note.
pub(crate) async fn first_noted(context: &Context, request: &LoadRequest) -> BadRows {
    let pick = |verdict: RowVerdict| verdict.is_noted && !verdict.is_bad;
    shown(context, request, request.values.noted_rows, pick).await
}

async fn shown(
    context: &Context,
    request: &LoadRequest,
    count: u64,
    pick: impl Fn(RowVerdict) -> bool + Copy + Send + 'static,
) -> BadRows {
    if count == 0 {
        return BadRows::default();
    }
    match first_rows(context, request, count, pick).await {
        Ok(found) => {
            let more = count.saturating_sub(found.len() as u64);
            let shown = found.into_iter().flatten().map(|(row, _)| row).collect();
            BadRows { shown, more, count: Some(count) }
        }
        Err(error) => {
            tracing::warn!("cannot look up the rows with notes: {}", error.one_line());
            BadRows { shown: Vec::new(), more: count, count: Some(count) }
        }
    }
}

/// One thing to say about a row, and the remedies.
type RowNote = (BadRow, Vec<String>);

/// Returns what is to be said about the first rows with such a verdict, of which there are `count`.
async fn first_rows(
    context: &Context,
    request: &LoadRequest,
    count: u64,
    pick: impl Fn(RowVerdict) -> bool + Copy + Send + 'static,
) -> Result<Vec<Vec<RowNote>>> {
    let limit = context.preflight.policy.show_bad_rows;
    let wanted = usize::try_from(count).map_or(limit, |count| count.min(limit));
    let mut rows: Vec<Vec<RowNote>> = Vec::new();
    let mut chunks = Chunks::new(&request.staged);
    while rows.len() < wanted {
        let (rest, chunk) = chunks.next().await?;
        chunks = rest;
        if chunk.is_empty() {
            break;
        }
        let (file, rules) = (request.staged.file.clone(), Arc::clone(&request.layout.values));
        let (room, has_lines) = (wanted - rows.len(), context.has_lines());
        let found = run_blocking(move || {
            let mut scratch = Vec::new();
            let mut found = Vec::new();
            for row in &chunk {
                let raw = staged_rows::raw(&file, row, u64::MAX)?;
                if found.len() < room && pick(rules.judge(&CutRow::whole(&raw), &mut scratch)) {
                    let size = raw.len().min(usize::try_from(SHOWN_BYTES).unwrap_or(usize::MAX));
                    let shown = RawRow { is_cut: raw.len() > size, bytes: raw[..size].to_vec() };
                    let notes = rules.faults(&raw).into_iter().map(|mut fault| {
                        let remedies = std::mem::take(&mut fault.remedies);
                        let note = BadRow {
                            line: has_lines.then_some(row.line),
                            row: Some(row.row),
                            raw: Some(shown.clone()),
                            ..Diagnostic::by_value(fault).bad_row()
                        };
                        (note, remedies)
                    });
                    found.push(notes.collect());
                }
            }
            Ok::<_, io::Error>(found)
        });
        let found = found.await?.map_err(|error| staged_rows::unread(&request.what, error))?;
        rows.extend(found);
    }
    Ok(rows)
}

/// Returns true if the object fails for its values.
pub(crate) fn fails(context: &Context, counts: &ValueCounts) -> bool {
    counts.bad_rows > 0 && context.preflight.policy.on_bad_row == OnBadRow::Fail
}

async fn judged(context: &Context, request: &LoadRequest) -> Result<Judged> {
    let LoadRequest { what, layout, staged, .. } = request;
    let judge = RowJudge::new(layout, &context.options.format, &staged.lines_terminated_by);
    let abandoning = context.shutdown.abandoning.clone();
    let judged = if staged.end - staged.data_start <= SMALL_BYTES {
        judge_staged(staged, judge, &abandoning)
    } else {
        let staged = staged.clone();
        run_blocking(move || judge_staged(&staged, judge, &abandoning)).await?
    };
    match judged {
        Ok(Some(judged)) => Ok(judged),
        Ok(None) => {
            let message = format!("{what}: the run was stopped before it was loaded");
            Err(Error::new(ErrorKind::Interrupted, message))
        }
        Err(error) => Err(staged_rows::unread(what, error)),
    }
}

/// Judges the staged rows. Returns `None` if the run was stopped.
fn judge_staged(
    staged: &StagedRows,
    mut judge: RowJudge,
    abandoning: &CancellationToken,
) -> io::Result<Option<Judged>> {
    let length = staged.end - staged.data_start;
    let mut block =
        vec![0; usize::try_from(length).map_or(BLOCK_BYTES, |all| all.min(BLOCK_BYTES))];
    let mut offset = staged.data_start;
    while offset < staged.end {
        if abandoning.is_cancelled() {
            return Ok(None);
        }
        let left = usize::try_from(staged.end - offset).unwrap_or(usize::MAX);
        let length = block.len().min(left);
        staged.file.read_exact_at(&mut block[..length], offset)?;
        judge.feed(&block[..length]).map_err(io::Error::other)?;
        offset += length as u64;
    }
    judge.finish(staged.missing_terminator()).map(Some).map_err(io::Error::other)
}
