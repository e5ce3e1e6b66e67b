//! Rows in the order of their key, where transactions would deadlock otherwise.
//!
//! Two transactions deadlock when they lock rows that both of them have in different orders: each
//! holds what the other one waits for. Loads of files that share keys do, wherever rows stand in no
//! order. Sent in the order of the unique key, by all, they only wait. So from the first lock
//! conflict of a load on, statements are sent that way, where the [key is
//! plain](super::unique_key); before it they are not, because most runs never meet one, and sorting
//! costs a reading of each file and many small ones.
//!
//! Within a run the number of its transactions falls as well, down to one. Several runs can't fall
//! below one each: four, one connection each, REPLACE, 48 files that have the same 1,000 of their
//! 6,000 keys, had 17 to 42 deadlocks; 4 to 23 where each sorted from its own first on (who is
//! never the victim does not know, and goes on in any order); none where all sorted.
//!
//! It changes nothing but the order, and only where nobody can tell:
//!
//! - Rows of one key stay in the order of the files, so that the last still wins under REPLACE, and
//!   the first under IGNORE.
//! - A server names rows by their place in the stream. So whoever sends sorted rows takes the
//!   answer only if it names none that matters, and otherwise rolls back and sends them as they
//!   stand in the file.
//! - A server that has changed a value of the key may hold rows for equal that are not equal here.
//!   It warns then, and the answer is not taken ([`Sorting::are_keys_as_sent`]); nor is there
//!   another try in the run.
//!
//! Memory is for the places and keys of rows, within [`MEMORY_BYTES`] for all statements of a run.
//! What does not fit goes unsorted, as does an object of which one key is not plainly written.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;

use super::chunks::Staged;
use super::infile::{Payload, Piece};
use super::unique_key::UniqueKey;
use super::warnings::Warning;
use crate::config::FormatConfig;
use crate::dialect::Dialect;
use crate::error::{Error, Kind};
use crate::region::Region;
use crate::split::RowCutter;

/// For four batches of 8 MiB with rows of 70 bytes: when there are conflicts, fewer transactions
/// run than might.
const MEMORY_BYTES: usize = 16 * 1024 * 1024;
/// Rows and keys get room in such steps.
const ROWS_STEP: usize = 16 * 1024;
const KEYS_STEP_BYTES: usize = 256 * 1024;
/// What a key of sixteen numbers may have, however short they are written.
const SHORT_KEY_BYTES: usize = 16 * 9;
const BLOCK_BYTES: usize = 256 * 1024;

/// Whether and how the statements of a run are sorted.
#[derive(Debug)]
pub(super) struct Sorting {
    by: Option<Arc<By>>,
    /// There was a conflict.
    is_on: AtomicBool,
    /// The server makes other keys of those that it is sent.
    is_in_vain: AtomicBool,
    memory: Arc<Memory>,
}

#[derive(Debug)]
struct By {
    key: UniqueKey,
    dialect: Dialect,
    fields_per_row: usize,
}

impl Sorting {
    /// `key`: `None` where rows are never sorted.
    pub(super) fn new(
        key: Option<UniqueKey>,
        format: &FormatConfig,
        fields_per_row: usize,
    ) -> Self {
        Self {
            // Nothing may stand between rows, where rows are to stand elsewhere.
            by: key
                .filter(|_| super::can_share_a_stream(format))
                .map(|key| Arc::new(By { key, dialect: format.dialect.clone(), fields_per_row })),
            is_on: AtomicBool::new(false),
            is_in_vain: AtomicBool::new(false),
            memory: Arc::new(Memory { left_bytes: AtomicUsize::new(MEMORY_BYTES) }),
        }
    }

    /// A statement that loads rows ended with this.
    pub(super) fn met(&self, error: &Error) {
        let is_first =
            error.kind == Kind::LockConflict && !self.is_on.swap(true, Ordering::Relaxed);
        if is_first && self.by.is_some() {
            tracing::info!(
                "transactions have met each other's locks: from here on rows are sent in the order of their unique key"
            );
        }
    }

    /// The rows of these, in order and in one statement; `None` where they are to be sent as they
    /// stand.
    pub(super) async fn sorted<'s>(
        &self,
        what: &str,
        staged: impl Iterator<Item = &'s Staged>,
    ) -> Option<Payload> {
        let by = self.by.as_ref().filter(|_| self.is_on.load(Ordering::Relaxed))?;
        if self.is_in_vain.load(Ordering::Relaxed) {
            return None;
        }
        let staged: Vec<Staged> = staged.cloned().collect();
        let (by, memory) = (Arc::clone(by), Arc::clone(&self.memory));
        let sorted =
            tokio::task::spawn_blocking(move || SortedRows::read(&by, &staged, memory)).await;
        match sorted {
            Ok(Ok(rows)) => Some(Payload::sorted(rows)),
            Ok(Err(why)) => {
                tracing::debug!("{what}: not sorted by key: {why}");
                None
            }
            Err(died) if died.is_panic() => std::panic::resume_unwind(died.into_panic()),
            // The runtime is shutting down.
            Err(_) => None,
        }
    }

    /// Whether nothing is said against the keys being those that the rows were sorted by.
    pub(super) fn are_keys_as_sent(&self, shown: &[Warning]) -> bool {
        let Some(by) = &self.by else { return true };
        let is_about_key =
            |warning: &Warning| warning.column.as_ref().is_none_or(|column| by.key.has(column));
        let are_as_sent =
            !shown.iter().any(|warning| !warning.is_duplicate() && is_about_key(warning));
        if !are_as_sent && !self.is_in_vain.swap(true, Ordering::Relaxed) {
            tracing::debug!(
                "the server has changed keys, or may have: rows are not sent in their order any more"
            );
        }
        are_as_sent
    }
}

/// What may be held for sorting, by all who do.
#[derive(Debug)]
struct Memory {
    left_bytes: AtomicUsize,
}

/// Given back when dropped.
#[derive(Debug)]
struct Held {
    of: Arc<Memory>,
    bytes: usize,
}

impl Held {
    fn more(&mut self, bytes: usize) -> Result<(), Unsorted> {
        let left = &self.of.left_bytes;
        left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes))
            .map_err(|_| Unsorted::NoRoom)?;
        self.bytes += bytes;
        Ok(())
    }

    fn less(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        self.of.left_bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.less(self.bytes);
    }
}

/// Why rows stay as they stand.
#[derive(Debug, thiserror::Error)]
enum Unsorted {
    #[error("they are in order")]
    InOrder,
    #[error("there are too many rows")]
    NoRoom,
    #[error("the key of row {0} is not plain")]
    NotPlain(usize),
    #[error("its rows are not where they were")]
    Elsewhere,
    #[error("it can't be read again")]
    Unread(#[from] io::Error),
}

/// Where the rows of some staged files stand, and their order.
#[derive(Debug)]
pub(super) struct SortedRows {
    sources: Vec<Source>,
    /// As they stand.
    rows: Vec<Row>,
    /// The rows' indices.
    order: Vec<u32>,
    _held: Held,
}

#[derive(Debug)]
struct Source {
    file: Region,
    end: u64,
    /// What its last row lacks.
    terminator: Option<Bytes>,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    start: u64,
    size_bytes: u32,
    source: u32,
}

/// Rows and keys while they are read.
struct Reading<'b> {
    by: &'b By,
    rows: Vec<Row>,
    keys: Vec<u8>,
    /// Where the key of each row ends.
    key_ends: Vec<u32>,
    /// No key was less than the one before it.
    is_in_order: bool,
    /// Where the next row begins.
    row_start: u64,
    held: Held,
}

impl SortedRows {
    fn read(by: &By, staged: &[Staged], memory: Arc<Memory>) -> Result<Self, Unsorted> {
        let mut reading = Reading {
            by,
            rows: Vec::new(),
            keys: Vec::new(),
            key_ends: Vec::new(),
            is_in_order: true,
            row_start: 0,
            held: Held { of: memory, bytes: 0 },
        };
        for (staged, source) in staged.iter().zip(0..) {
            reading.source(staged, source)?;
        }
        let Reading { rows, keys, key_ends, is_in_order, mut held, .. } = reading;
        if is_in_order {
            return Err(Unsorted::InOrder);
        }
        held.more(rows.len() * size_of::<u32>())?;
        let mut order: Vec<u32> = (0..).take(rows.len()).collect();
        let key = |index: u32| key_of(&keys, &key_ends, index as usize);
        // By place where keys are equal: what a stable sort does, without its memory.
        order.sort_unstable_by(|&left, &right| key(left).cmp(key(right)).then(left.cmp(&right)));
        held.less(keys.capacity() + key_ends.capacity() * size_of::<u32>());
        let source = |staged: &Staged| Source {
            file: staged.file.clone(),
            end: staged.end,
            terminator: staged
                .needs_terminator
                .then(|| Bytes::copy_from_slice(&staged.lines_terminated_by)),
        };
        Ok(Self { sources: staged.iter().map(source).collect(), rows, order, _held: held })
    }

    /// The bytes of the statement, row by row.
    pub(super) fn pieces(self: Arc<Self>) -> impl Iterator<Item = Piece> + Send {
        (0..self.order.len()).flat_map(move |place| {
            let Row { start, size_bytes, source } = self.rows[self.order[place] as usize];
            let Source { file, end, terminator } = &self.sources[source as usize];
            let row = start..start + u64::from(size_bytes);
            let terminator = terminator.clone().filter(|_| row.end == *end);
            std::iter::once(Piece::Staged(file.clone(), row))
                .chain(terminator.map(Piece::Terminator))
        })
    }

    pub(super) fn size_bytes(&self) -> u64 {
        let rows: u64 = self.rows.iter().map(|row| u64::from(row.size_bytes)).sum();
        let terminators = self.sources.iter().filter_map(|source| source.terminator.as_ref());
        rows + terminators.map(|terminator| terminator.len() as u64).sum::<u64>()
    }
}

fn key_of<'k>(keys: &'k [u8], ends: &[u32], index: usize) -> &'k [u8] {
    let start = index.checked_sub(1).map_or(0, |before| ends[before] as usize);
    &keys[start..ends[index] as usize]
}

impl Reading<'_> {
    /// Reads the rows of one file.
    fn source(&mut self, staged: &Staged, source: u32) -> Result<(), Unsorted> {
        let Staged { file, lines_terminated_by: terminator, data_start, end, .. } = staged;
        let mut cutter = RowCutter::new(&self.by.dialect, terminator, self.by.fields_per_row);
        self.row_start = *data_start;
        let mut ended = Ok(());
        let mut add = |reading: &mut Self, row: &[u8]| {
            if ended.is_ok() {
                let row_end = (reading.row_start + (row.len() + terminator.len()) as u64).min(*end);
                ended = reading.row(row, row_end, source);
            }
            ended.is_ok()
        };
        let mut block = vec![0; BLOCK_BYTES];
        let mut offset = *data_start;
        let mut goes_on = true;
        while goes_on && offset < *end {
            let length =
                usize::try_from(end - offset).map_or(BLOCK_BYTES, |left| left.min(BLOCK_BYTES));
            file.read_exact_at(&mut block[..length], offset)?;
            cutter
                .feed(&block[..length], |row| goes_on = add(self, row))
                .map_err(|_| Unsorted::Elsewhere)?;
            offset += length as u64;
        }
        if goes_on && staged.needs_terminator {
            cutter
                .feed(terminator, |row| goes_on = add(self, row))
                .map_err(|_| Unsorted::Elsewhere)?;
        }
        if goes_on {
            cutter.finish(|row| _ = add(self, row)).map_err(|_| Unsorted::Elsewhere)?;
        }
        ended?;
        if self.row_start == *end { Ok(()) } else { Err(Unsorted::Elsewhere) }
    }

    /// Takes in the next row, which has no terminator here and ends behind it.
    fn row(&mut self, row: &[u8], end: u64, source: u32) -> Result<(), Unsorted> {
        let size_bytes = u32::try_from(end - self.row_start).map_err(|_| Unsorted::NoRoom)?;
        if self.rows.len() == self.rows.capacity() {
            self.held.more(ROWS_STEP * (size_of::<Row>() + size_of::<u32>()))?;
            self.rows.reserve_exact(ROWS_STEP);
            self.key_ends.reserve_exact(ROWS_STEP);
        }
        // At the most, a key has twice the bytes of its fields; or, of numbers of one digit, more
        // than four times.
        let needed = self.keys.len() + 2 * row.len() + SHORT_KEY_BYTES;
        if needed > self.keys.capacity() {
            let capacity = needed.max(self.keys.capacity() + KEYS_STEP_BYTES);
            self.held.more(capacity - self.keys.capacity())?;
            self.keys.reserve_exact(capacity - self.keys.len());
        }
        let key_start = self.keys.len();
        if !self.by.key.put(row, &mut self.keys) {
            return Err(Unsorted::NotPlain(self.rows.len() + 1));
        }
        if let Some(before) = self.rows.len().checked_sub(1) {
            self.is_in_order &=
                key_of(&self.keys, &self.key_ends, before) <= &self.keys[key_start..];
        }
        self.key_ends.push(u32::try_from(self.keys.len()).map_err(|_| Unsorted::NoRoom)?);
        self.rows.push(Row { start: self.row_start, size_bytes, source });
        self.row_start = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use futures_util::StreamExt as _;

    use super::super::infile::Sent;
    use super::super::unique_key::{KeyColumn, KeyPart};
    use super::*;
    use crate::config::ColumnOrVariable;
    use crate::dialect::{Charset, Preset};
    use crate::split::{RowLocator, RowReader};

    fn format() -> FormatConfig {
        FormatConfig {
            dialect: Preset::Csv.dialect(),
            charset: Charset::default(),
            ignore_lines: 1,
            columns: None,
            set: Vec::new(),
            null_strings: Vec::new(),
        }
    }

    /// By the first of two fields, a number.
    fn sorting() -> Sorting {
        let column = KeyColumn {
            name: "a".to_owned(),
            data_type: "int".to_owned(),
            collation: None,
            is_generated: false,
            is_auto_increment: false,
        };
        let part = KeyPart {
            key: "PRIMARY".to_owned(),
            column: Some("a".to_owned()),
            is_prefix: false,
            is_btree: true,
        };
        let items = ["a", "b"].map(|name| ColumnOrVariable::Column(name.to_owned()));
        let key = UniqueKey::plain(&[column], &[part], &items, &format());
        assert!(key.is_some());
        Sorting::new(key, &format(), 2)
    }

    fn conflict() -> Error {
        Error::new(Kind::LockConflict, "a deadlock")
    }

    fn staged(object: &[u8]) -> Staged {
        let FormatConfig { dialect, charset, ignore_lines, .. } = format();
        let mut reader = RowReader::new(&dialect, &charset, 2, ignore_lines);
        reader.feed(object).unwrap();
        let scan = reader.finish().unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(object).unwrap();
        let end = object.len() as u64;
        Staged {
            file: Region::new(Arc::new(file), 0, end),
            locator: RowLocator::every(&dialect, &charset, 2, ignore_lines),
            from: 0,
            data_start: scan.data_start,
            head_bytes: scan.data_start,
            lines_terminated_by: scan.lines_terminated_by,
            needs_terminator: scan.needs_terminator,
            last_row: scan.rows,
            end,
        }
    }

    /// What is sent of these, where it is sorted.
    async fn sent(sorting: &Sorting, objects: &[&[u8]]) -> Option<String> {
        let staged: Vec<Staged> = objects.iter().map(|object| staged(object)).collect();
        let payload = sorting.sorted("these", staged.iter()).await?;
        let size_bytes = payload.size_bytes();
        let blocks: Vec<io::Result<Bytes>> =
            payload.stream(Arc::new(Sent::default())).collect().await;
        let bytes: Vec<u8> = blocks.into_iter().flat_map(Result::unwrap).collect();
        assert_eq!(bytes.len() as u64, size_bytes);
        Some(String::from_utf8(bytes).unwrap())
    }

    #[tokio::test]
    async fn rows_stay_as_they_stand_until_there_is_a_conflict() {
        let sorting = sorting();
        let object: &[u8] = b"a,b\n2,x\n1,y\n";
        assert_eq!(sent(&sorting, &[object]).await, None);
        sorting.met(&Error::new(Kind::ConnectionLost, "gone"));
        assert_eq!(sent(&sorting, &[object]).await, None);
        sorting.met(&conflict());
        assert_eq!(sent(&sorting, &[object]).await.as_deref(), Some("1,y\n2,x\n"));
    }

    #[tokio::test]
    async fn rows_of_a_key_stay_in_order_and_every_row_has_its_terminator() {
        let sorting = sorting();
        sorting.met(&conflict());
        // A header with a line break, a byte order mark; rows that have line breaks, or lack their
        // last one.
        let first = "\u{feff}a,\"b\n\"\n9,first\n-3,\"two\nlines\"\n5,x".as_bytes();
        let second = b"a,b\n9,second\n9,third\n5,\"y\"".as_slice();
        let empty = b"a,b\n".as_slice();
        assert_eq!(
            sent(&sorting, &[first, empty, second]).await.as_deref(),
            Some("-3,\"two\nlines\"\n5,x\n5,\"y\"\n9,first\n9,second\n9,third\n")
        );
        assert_eq!(sent(&sorting, &[b"a,b\r\n2,\r\n1,"]).await.as_deref(), Some("1,\r\n2,\r\n"));
    }

    #[tokio::test]
    async fn what_is_in_order_or_not_plain_is_sent_as_it_stands() {
        let sorting = sorting();
        sorting.met(&conflict());
        assert_eq!(sent(&sorting, &[b"a,b\n1,x\n2,y\n2,z\n10,\n"]).await, None);
        assert_eq!(sent(&sorting, &[b"a,b\n2,x\n1,y\nz,\n"]).await, None);
        assert_eq!(sent(&sorting, &[]).await, None);
        let without_key = Sorting::new(None, &format(), 2);
        without_key.met(&conflict());
        assert_eq!(sent(&without_key, &[b"a,b\n2,x\n1,y\n"]).await, None);
    }

    #[tokio::test]
    async fn a_key_that_the_server_has_changed_ends_it_and_other_warnings_do_not() {
        let sorting = sorting();
        sorting.met(&conflict());
        let warning =
            |code, message: &str| Warning::new("Warning".to_owned(), code, message.to_owned());
        let duplicate = warning(1062, "Duplicate entry '1' for key 't.PRIMARY'");
        let other = warning(1265, "Data truncated for column 'b' at row 1");
        assert!(sorting.are_keys_as_sent(&[duplicate, other]));
        assert!(sent(&sorting, &[b"a,b\n2,x\n1,y\n"]).await.is_some());
        assert!(
            !sorting
                .are_keys_as_sent(&[warning(1264, "Out of range value for column 'A' at row 1")])
        );
        assert_eq!(sent(&sorting, &[b"a,b\n2,x\n1,y\n"]).await, None);
    }

    #[tokio::test]
    async fn memory_is_bounded_for_all_together_and_given_back() {
        let sorting = sorting();
        sorting.met(&conflict());
        let object: String = "a,b\n"
            .chars()
            .chain((0..60_000).rev().flat_map(|n| format!("{n},x\n").into_bytes()).map(char::from))
            .collect();
        let staged = staged(object.as_bytes());
        let mut held = Vec::new();
        while let Some(payload) = sorting.sorted("it", std::iter::once(&staged)).await {
            held.push(payload);
        }
        let left = |sorting: &Sorting| sorting.memory.left_bytes.load(Ordering::Relaxed);
        assert!((9..=12).contains(&held.len()), "{} fit", held.len());
        assert!(left(&sorting) < 3_000_000, "{} bytes were left", left(&sorting));
        held.clear();
        assert_eq!(left(&sorting), MEMORY_BYTES);
        assert!(sorting.sorted("it", std::iter::once(&staged)).await.is_some());
    }
}
