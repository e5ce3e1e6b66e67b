//! Looks up the lines of an object's bad rows in the staged file before the file is deleted.
//!
//! This happens only for an object that failed, and only up to its last bad row that is shown. By
//! then the transaction is rolled back and the connection closed; only the staged file and the
//! object's slot are still held. If the file cannot be read again, only the lines are lost: the
//! failure is reported without them.

use std::io;

use tokio_util::sync::CancellationToken;

use super::context::Context;
use crate::blocking::{BLOCK_BYTES, run_blocking};
use crate::error::{Error, RawRow};
use crate::file_slice::FileSlice;
use crate::load_data::{Layout, warn_of_rule_hole};
use crate::printable::printable;
use crate::split::{Boundary, LocatedRow, RowLocator};
use crate::sql_text::same_name;

/// Returns the same error, with the line number and the bytes of each bad row.
///
/// `from` is where the staged bytes begin: a boundary inside the object if they are a part of it.
pub(crate) async fn with_lines(
    context: &Context,
    layout: &Layout,
    file: &FileSlice,
    from: Boundary,
    mut error: Error,
) -> Error {
    if !context.has_lines() {
        error.bad_rows_mut().iter_mut().for_each(|bad| bad.line = None);
    }
    let rows: Vec<u64> = error.bad_rows().iter().filter_map(|bad| bad.row).collect();
    if rows.is_empty() {
        return error;
    }
    let locator = layout.locator_of(&context.options.format, rows).beginning_at(&from);
    let (file, abandoning) = (file.clone(), context.shutdown.abandoning.clone());
    let located = match run_blocking(move || locate(&file, from.offset, locator, &abandoning)).await
    {
        Ok(Ok(located)) => located,
        Ok(Err(unread)) => {
            tracing::warn!("cannot look up the lines of the bad rows: {unread}");
            Vec::new()
        }
        // The program is exiting.
        Err(_) => Vec::new(),
    };
    let what = error.message().to_owned();
    let set = &context.options.format.set;
    let is_set = |name: &str| set.iter().any(|(column, _)| same_name(column, name));
    for bad in error.bad_rows_mut() {
        if let Some(found) = located.iter().find(|found| Some(found.row) == bad.row) {
            bad.line = context.has_lines().then_some(found.line);
            bad.raw = Some(RawRow { bytes: found.raw.clone(), is_cut: found.is_cut() });
            // The rules know nothing about the value of an expression.
            if !bad.column.as_deref().is_some_and(is_set) {
                warn_of_rule_hole(&layout.values, &what, bad);
            }
        }
    }
    let by_server = error.bad_rows().iter().filter(|bad| !bad.level.is_empty());
    let set = by_server.filter_map(|bad| bad.column.clone()).find(|column| is_set(column));
    match set {
        Some(column) => error.with_hint(format!(
            "--set fills column {}, and its expression gives a value that the column does not take",
            printable(&column)
        )),
        None => error,
    }
}

pub(crate) fn locate(
    file: &FileSlice,
    from: u64,
    mut locator: RowLocator,
    abandoning: &CancellationToken,
) -> io::Result<Vec<LocatedRow>> {
    let mut blocks = BlockReader::new(file, from);
    while !locator.is_done() && !abandoning.is_cancelled() {
        let Some(block) = blocks.next()? else { break };
        locator.feed(block).map_err(io::Error::other)?;
    }
    if abandoning.is_cancelled() {
        return Ok(Vec::new());
    }
    locator.finish().map_err(io::Error::other)
}

/// Reads a staged file in blocks, starting at an offset.
pub(crate) struct BlockReader<'a> {
    file: &'a FileSlice,
    block: Vec<u8>,
    offset: u64,
}

impl<'a> BlockReader<'a> {
    pub(crate) fn new(file: &'a FileSlice, offset: u64) -> Self {
        Self { file, block: vec![0; BLOCK_BYTES], offset }
    }

    /// Returns the next block, or `None` at the end of the file.
    pub(crate) fn next(&mut self) -> io::Result<Option<&[u8]>> {
        loop {
            match self.file.read_at(&mut self.block, self.offset) {
                Ok(0) => return Ok(None),
                Ok(length) => {
                    self.offset += length as u64;
                    return Ok(Some(&self.block[..length]));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}
