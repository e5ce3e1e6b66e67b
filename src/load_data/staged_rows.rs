//! The rows of a staged object, cut at row boundaries into pieces that can be sent, and rolled
//! back, one by one.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use super::payload::Payload;
use super::send_meter::SendMeter;
use crate::blocking::{BLOCK_BYTES, run_blocking};
use crate::error::{Error, ErrorKind, Result};
use crate::file_slice::FileSlice;
use crate::split::{LocatedRow, RowLocator};
use crate::values::RowRewriter;

/// The maximum number of rows in a chunk. A statement of a thousand rows is as fast as a longer
/// one. A longer chunk would mean more to send again, and more to remember, when it has a bad row.
const CHUNK_ROWS: usize = 16_384;
/// The maximum number of bytes in a chunk, because rows may be long.
const CHUNK_BYTES: u64 = 2 * 1024 * 1024;
const UNREAD: &str = "the staged file cannot be read again";

/// The rows of an object in its staged file, and how to read them.
#[derive(Clone, Debug)]
pub struct StagedRows {
    pub file: FileSlice,
    pub locator: RowLocator,
    /// The offset at which the locator begins: 0, or the beginning of a part. A part's bytes are at
    /// the same offsets as in the object.
    pub from: u64,
    /// The offset at which the data begins, after a byte order mark and header lines.
    pub data_start: u64,
    /// The length of the object's byte order mark and header lines, at the beginning of the file.
    pub head_bytes: u64,
    pub lines_terminated_by: Vec<u8>,
    /// True if the last row lacks its terminator.
    pub needs_terminator: bool,
    /// The number of the last row.
    pub last_row: u64,
    /// The offset after the last byte.
    pub end: u64,
    /// Set if the server must get other text than stands in the object for some fields.
    pub rewriter: Option<Arc<RowRewriter>>,
    /// Counts the bytes that are sent. `None` for objects whose way to the server is short.
    pub meter: Option<Arc<SendMeter>>,
}

impl StagedRows {
    /// Returns the bytes that are sent to load it as a whole.
    pub(crate) fn whole(&self) -> Payload {
        let stretch = self.data_start..self.end;
        let missing = self.missing_terminator();
        let terminator = (!missing.is_empty()).then_some(missing);
        Payload::of(&self.file, vec![stretch], terminator)
            .rewritten_by(self.rewriter.as_ref())
            .metered_by(self.meter.as_ref())
    }

    /// Returns the line terminator that the last row lacks; empty if it lacks none.
    pub(crate) fn missing_terminator(&self) -> &[u8] {
        if self.needs_terminator { &self.lines_terminated_by } else { &[] }
    }

    /// Reads the bytes before the data: a byte order mark and header lines.
    ///
    /// # Errors
    /// `StagingFailed` if the staged file of `what` cannot be read again.
    pub(crate) async fn head(&self, what: &str) -> Result<Vec<u8>> {
        let (file, length) = (self.file.clone(), self.head_bytes);
        let read = run_blocking(move || {
            let mut head = vec![0; usize::try_from(length).map_err(io::Error::other)?];
            file.read_exact_at(&mut head, 0).map(|()| head)
        });
        read.await?.map_err(|error| unread(what, error))
    }
}

/// Yields the rows of a staged object, a chunk at a time.
#[derive(Debug)]
pub(crate) struct Chunks {
    file: FileSlice,
    locator: Option<RowLocator>,
    offset: u64,
    found: VecDeque<LocatedRow>,
}

impl Chunks {
    pub(crate) fn new(staged: &StagedRows) -> Self {
        let (file, locator) = (staged.file.clone(), Some(staged.locator.clone()));
        Self { file, locator, offset: staged.from, found: VecDeque::new() }
    }

    /// Returns the next rows, or none at the end. Reads on a blocking thread.
    ///
    /// # Errors
    /// `StagingFailed` if the staged file cannot be read again as it was.
    pub(crate) async fn next(mut self) -> Result<(Self, Vec<LocatedRow>)> {
        let read = run_blocking(move || {
            let rows = self.read()?;
            Ok((self, rows))
        });
        read.await?.map_err(|error: io::Error| {
            Error::new(ErrorKind::StagingFailed, UNREAD).caused_by(error)
        })
    }

    fn read(&mut self) -> io::Result<Vec<LocatedRow>> {
        let mut block = vec![0; BLOCK_BYTES];
        let is_full = |found: &VecDeque<LocatedRow>| {
            let stretch =
                found.front().zip(found.back()).map_or(0, |(first, last)| last.end - first.offset);
            found.len() >= CHUNK_ROWS || stretch >= CHUNK_BYTES
        };
        while !is_full(&self.found)
            && let Some(locator) = &mut self.locator
        {
            let length = match self.file.read_at(&mut block, self.offset) {
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            self.offset += length as u64;
            if length > 0 {
                locator.feed(&block[..length]).map_err(io::Error::other)?;
                self.found.extend(locator.take());
            } else if let Some(locator) = self.locator.take() {
                self.found.extend(locator.finish().map_err(io::Error::other)?);
            }
        }
        let Some(first) = self.found.front().map(|row| row.offset) else { return Ok(Vec::new()) };
        // A row that exceeds the limit goes alone.
        let fitting = self.found.iter().take_while(|row| row.end - first <= CHUNK_BYTES).count();
        Ok(self.found.drain(..fitting.clamp(1, CHUNK_ROWS).min(self.found.len())).collect())
    }
}

/// Returns the error of an object whose staged file cannot be read again.
pub(crate) fn unread(what: &str, error: io::Error) -> Error {
    Error::new(ErrorKind::StagingFailed, format!("{what}: {UNREAD}")).caused_by(error)
}

/// Returns the bytes of the chunk's rows with the given indexes.
pub(crate) fn payload(staged: &StagedRows, chunk: &[LocatedRow], sent: &[usize]) -> Payload {
    let mut stretches: Vec<std::ops::Range<u64>> = Vec::new();
    for &index in sent {
        let row = &chunk[index];
        match stretches.last_mut() {
            Some(last) if last.end == row.offset => last.end = row.end,
            _ => stretches.push(row.offset..row.end),
        }
    }
    let has_last = sent.last().is_some_and(|&index| chunk[index].row == staged.last_row);
    let terminator =
        (has_last && staged.needs_terminator).then_some(staged.lines_terminated_by.as_slice());
    Payload::of(&staged.file, stretches, terminator)
        .rewritten_by(staged.rewriter.as_ref())
        .metered_by(staged.meter.as_ref())
}

/// Reads a row's bytes without its terminator, at most `limit` of them.
pub(crate) fn raw(file: &FileSlice, row: &LocatedRow, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(row.size_bytes.min(limit)).map_err(io::Error::other)?];
    file.read_exact_at(&mut bytes, row.offset)?;
    Ok(bytes)
}

/// The bytes of rows, without their terminators.
#[derive(Debug)]
pub(crate) struct RawRows {
    bytes: Vec<u8>,
    places: Vec<std::ops::Range<usize>>,
}

impl RawRows {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.places.iter().map(|place| &self.bytes[place.clone()])
    }
}

/// Reads the bytes of some of a chunk's rows, in order.
pub(crate) fn raw_rows<'a>(
    file: &FileSlice,
    rows: impl IntoIterator<Item = &'a LocatedRow>,
) -> io::Result<RawRows> {
    let (mut start, mut end) = (None, 0);
    let mut places = Vec::new();
    let place = |at: u64| usize::try_from(at).map_err(io::Error::other);
    for row in rows {
        let start = *start.get_or_insert(row.offset);
        end = row.offset + row.size_bytes;
        places.push(place(row.offset - start)?..place(end - start)?);
    }
    let start = start.unwrap_or(end);
    let mut bytes = vec![0; place(end - start)?];
    file.read_exact_at(&mut bytes, start)?;
    Ok(RawRows { bytes, places })
}
