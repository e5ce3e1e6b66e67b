//! Cuts a staged object after the rows that a sample asks for.

use std::io;

use tokio_util::sync::CancellationToken;

use super::bad_row_lines::{BlockReader, locate};
use crate::blocking::run_blocking;
use crate::error::{Error, ErrorKind, Result};
use crate::file_slice::FileSlice;
use crate::split::{RowLocator, RowReader, Scan};
use crate::staging::StagedObject;

/// Finds the end of the last row that `locator` looks for, and scans the file up to there as if it
/// were the whole object. Returns the scan and the length in bytes.
pub(crate) async fn cut_to_sample(
    staged: &StagedObject,
    locator: RowLocator,
    reader: RowReader,
    abandoning: &CancellationToken,
) -> Result<(Scan, u64)> {
    let (file, abandoning) = (staged.file.clone(), abandoning.clone());
    let cut = run_blocking(move || cut(&file, locator, reader, &abandoning)).await?;
    cut.map_err(|error| {
        Error::new(ErrorKind::StagingFailed, "cannot cut its sample from the staged file")
            .caused_by(error)
    })
}

pub(crate) fn cut(
    file: &FileSlice,
    locator: RowLocator,
    mut reader: RowReader,
    abandoning: &CancellationToken,
) -> io::Result<(Scan, u64)> {
    let located = locate(file, 0, locator, abandoning)?;
    let end = located
        .last()
        .map(|row| row.end)
        .ok_or_else(|| io::Error::other("the last row of the sample is missing"))?;
    let sample = file.clone().truncate(end);
    let mut blocks = BlockReader::new(&sample, 0);
    while let Some(block) = blocks.next()? {
        reader.feed(block).map_err(io::Error::other)?;
    }
    Ok((reader.finish().map_err(io::Error::other)?, end))
}
