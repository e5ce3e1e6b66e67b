//! Cuts a staged object after the rows that a sample asks for.

use std::io;

use tokio_util::sync::CancellationToken;

use super::bad_row_lines::{BlockReader, locate};
use crate::error::{Error, ErrorKind, Result};
use crate::file_slice::FileSlice;
use crate::split::{RowLocator, RowReader, Scan};
use crate::staging::StagedObject;

/// Cuts a staged file behind the last row that its locator looks for, and reads what is left as if
/// that was the object.
pub(crate) async fn cut_to_sample(
    staged: &StagedObject,
    locator: RowLocator,
    reader: RowReader,
    abandoning: &CancellationToken,
) -> Result<(Scan, u64)> {
    let (file, abandoning) = (staged.file.clone(), abandoning.clone());
    match tokio::task::spawn_blocking(move || cut(&file, locator, reader, &abandoning)).await {
        Ok(cut) => cut.map_err(|error| {
            Error::new(ErrorKind::StagingFailed, "its sample can't be cut off").caused_by(error)
        }),
        Err(died) if died.is_panic() => std::panic::resume_unwind(died.into_panic()),
        Err(died) => {
            Err(Error::new(ErrorKind::Interrupted, "the program is leaving").caused_by(died))
        }
    }
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
        .ok_or_else(|| io::Error::other("its last row is not there"))?;
    let sample = file.clone().truncate(end);
    let mut blocks = BlockReader::new(&sample, 0);
    while let Some(block) = blocks.next()? {
        reader.feed(block).map_err(io::Error::other)?;
    }
    Ok((reader.finish().map_err(io::Error::other)?, end))
}
