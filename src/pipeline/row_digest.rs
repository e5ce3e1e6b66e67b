//! Computes the digest of an object's rows from the staged file before the load, if the job is to
//! be verified by digests.
//!
//! This reads the staged file a second time rather than digesting rows during the download, so that
//! a run without `--verify` pays nothing.

use std::io;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::context::Context;
use crate::blocking::{BLOCK_BYTES, run_blocking};
use crate::error::{Error, ErrorKind, Result};
use crate::load_data::{LoadRequest, StagedRows, staged_rows};
use crate::split::{CutRow, RowCutter};
use crate::verify::RowDigest;

/// Returns the load request with the digest that the ledger keeps of it.
///
/// # Errors
/// `StagingFailed` if the file cannot be read again; `Interrupted` if the run is stopped; `Bug` if
/// the number of rows differs from the count of the download.
pub(crate) async fn with_digest(
    context: &Context,
    request: Result<LoadRequest>,
) -> Result<LoadRequest> {
    let mut request = request?;
    let Some(plan) = &request.layout.verification else { return Ok(request) };
    let plan = Arc::clone(plan);
    let cutter = RowCutter::new(
        context.options.format.rows(),
        &request.staged.lines_terminated_by,
        request.layout.fields_per_row(),
    );
    let (digest, staged) = (RowDigest::new(plan), request.staged.clone());
    let abandoning = context.shutdown.abandoning.clone();
    let what = &request.what;
    let summed = run_blocking(move || sum(&staged, cutter, digest, &abandoning)).await?;
    let Some(digest) = summed.map_err(|error| staged_rows::unread(what, error))? else {
        let message = format!("{what}: the run was stopped before it was loaded");
        return Err(Error::new(ErrorKind::Interrupted, message));
    };
    let rows = digest.digest().rows();
    if rows != request.rows {
        let message =
            format!("{what}: {rows} rows were digested, but {} were counted", request.rows);
        return Err(Error::new(ErrorKind::Bug, message));
    }
    request.digest = Some(digest);
    Ok(request)
}

/// Computes the digest of the staged rows. Returns `None` if the run was stopped.
fn sum(
    staged: &StagedRows,
    mut cutter: RowCutter,
    mut digest: RowDigest,
    abandoning: &CancellationToken,
) -> io::Result<Option<RowDigest>> {
    let StagedRows { file, data_start, end, .. } = staged;
    let mut block = vec![0; BLOCK_BYTES];
    // The server shows what it got.
    let mut add = |row: CutRow<'_>| match &staged.rewriter {
        Some(rewriter) => digest.add_row(&CutRow::whole(&rewriter.row(row.bytes))),
        None => digest.add_row(&row),
    };
    let mut offset = *data_start;
    while offset < *end {
        if abandoning.is_cancelled() {
            return Ok(None);
        }
        let length =
            usize::try_from(end - offset).map_or(BLOCK_BYTES, |left| left.min(BLOCK_BYTES));
        file.read_exact_at(&mut block[..length], offset)?;
        cutter.feed(&block[..length], &mut add).map_err(io::Error::other)?;
        offset += length as u64;
    }
    if staged.needs_terminator {
        cutter.feed(&staged.lines_terminated_by, &mut add).map_err(io::Error::other)?;
    }
    cutter.finish(&mut add).map_err(io::Error::other)?;
    Ok(Some(digest))
}
