//! Stages a large object, from the store's ranges to verified parts, each in its own file.
//!
//! The bytes are processed in order, because the end of a row depends on everything before it. The
//! requests for them do not wait for each other ([`super::ranges`]). A part is passed on when all
//! of it is on disk.
//!
//! A part takes its permits before its first byte: for its nominal size, and some more for the row
//! that extends beyond its end. If a row needs more and no permit is free, the part drops all that
//! it holds and starts again with room for the row. So no part waits for more of the budget while
//! it holds some of it.
//!
//! A part's bytes have the same offsets in its file as in the object, after a hole. If the header
//! lines are kept, they are at the beginning of the file. So later readers need no offsets but the
//! object's. Dropping the stager drops the file, its permits and the connections.

use std::collections::VecDeque;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use tokio::sync::OwnedSemaphorePermit;

use super::budget::{Budget, shrink};
use super::checksum::{Hasher, combinable, matches, of_parts};
use super::download::Integrity;
use super::ranges::PinnedObject;
use super::signature::TAIL_BYTES;
use super::text_check::TextCheck;
use crate::blocking::run_blocking;
use crate::dialect::Dialect;
use crate::error::{Error, ErrorKind, Result};
use crate::object::{ChecksumAlgorithm, Object, PartChecksum};
use crate::split::{Boundary, PartSplitter, RowReader, Scan, SplitStep, TextPlaces};

/// The least room for a part's last row. Most rows are shorter than a sixteenth of a part or, if
/// parts are small, than this.
const LEAST_OVERHANG_BYTES: u64 = 64 * 1024;
/// The limit on header lines, which are kept in memory for the reject files of all parts.
const HEAD_LIMIT_BYTES: u64 = 1024 * 1024;

/// The plan for splitting an object.
#[derive(Clone)]
pub(crate) struct PartPlan {
    pub(crate) dir: PathBuf,
    pub(crate) budget: Budget,
    pub(crate) dialect: Dialect,
    /// A reader in the state of an object's beginning.
    pub(crate) reader: RowReader,
    pub(crate) part_size_bytes: u64,
    /// Every part gets the header lines.
    pub(crate) keeps_head: bool,
    /// True if the rows must have more than one field.
    pub(crate) refuses_json_lines: bool,
}

/// A whole part on local disk, with its share of the budget.
#[derive(Debug)]
pub(crate) struct StagedPart {
    /// The part's bytes are at their offsets in the object.
    pub(crate) file: Arc<File>,
    pub(crate) number: u32,
    pub(crate) start: Boundary,
    /// The first byte of its rows: for the first part, after a byte order mark and header lines.
    pub(crate) data_start: u64,
    /// The end of the part, with the object's row and line counts up to it.
    pub(crate) end: Boundary,
    /// The length of the object's byte order mark and header lines, which are the first bytes of
    /// the file if they are kept.
    pub(crate) head_bytes: u64,
    pub(crate) lines_terminated_by: Vec<u8>,
    pub(crate) needs_terminator: bool,
    pub(crate) checksum: Option<PartChecksum>,
    /// True for the last part of the requested range.
    pub(crate) is_last: bool,
    /// Released together with the file.
    _permit: OwnedSemaphorePermit,
}

/// The bytes that arrived while the previous ones were being written.
enum Ahead {
    NotAsked,
    Fetched(Result<Vec<Bytes>>),
    End,
}

/// Stages the parts of a range of an object one after the other.
pub(crate) struct PartStager {
    pinned: Arc<PinnedObject>,
    plan: PartPlan,
    end: u64,
    stream: Pin<Box<dyn Stream<Item = Result<Vec<Bytes>>> + Send>>,
    ahead: Ahead,
    /// `None` only while a blocking thread works on it.
    cutter: Option<Cutter>,
    overhang_bytes: u64,
    is_looked_at: bool,
}

impl PartStager {
    /// Creates a stager for the range from a boundary to `end`, which is the end of the object or
    /// another boundary. `head` is the object's head, if it has been read before.
    pub(crate) fn new(
        pinned: Arc<PinnedObject>,
        plan: PartPlan,
        from: Boundary,
        end: u64,
        head: Vec<u8>,
    ) -> Self {
        let algorithm = pinned.checksum.as_ref().map(|checksum| checksum.algorithm);
        let is_whole = from.offset == 0 && end == pinned.object.size_bytes;
        let running = algorithm
            .filter(|algorithm| is_whole && combinable(*algorithm).is_none())
            .map(Hasher::new);
        let cutter = Cutter {
            object: pinned.object.clone(),
            splitter: Some(plan.splitter(&from)),
            steps: VecDeque::new(),
            raw: VecDeque::new(),
            has_ended: false,
            start: from,
            places: TextPlaces::new(&plan.reader),
            open: None,
            algorithm,
            head,
            keeps_head: plan.keeps_head,
            part_size_bytes: plan.part_size_bytes.max(1),
            refused_bytes: 0,
            running_at_start: running.clone(),
            running,
        };
        Self {
            stream: pinned.stream(from.offset, end),
            ahead: Ahead::NotAsked,
            cutter: Some(cutter),
            overhang_bytes: (plan.part_size_bytes / 16).max(LEAST_OVERHANG_BYTES),
            is_looked_at: from.offset > 0,
            pinned,
            plan,
            end,
        }
    }

    /// Returns the next part, or `None` after the last. Must not be called again after an error.
    ///
    /// # Errors
    /// The errors of requests; `Malformed`, `UnsupportedFormat`, `StagingFailed`, `ObjectTooLarge`.
    pub(crate) async fn next(&mut self) -> Result<Option<StagedPart>> {
        loop {
            let Some(cutter) = self.cutter.take() else { return Ok(None) };
            let wants_ahead = matches!(self.ahead, Ahead::NotAsked);
            let stream = &mut self.stream;
            let (worked, fetched) = tokio::join!(run_blocking(move || cutter.work()), async {
                if wants_ahead { Some(stream.next().await) } else { None }
            });
            if let Some(fetched) = fetched {
                self.ahead = fetched.map_or(Ahead::End, Ahead::Fetched);
            }
            let (mut cutter, turn) = worked?;
            let mut part = None;
            match turn? {
                CutterRequest::WantsBytes => {
                    match std::mem::replace(&mut self.ahead, Ahead::NotAsked) {
                        Ahead::Fetched(fetched) => {
                            let fetched = fetched?;
                            self.look_at(&fetched).await?;
                            cutter.raw.extend(fetched);
                        }
                        _ => cutter.has_ended = true,
                    }
                }
                CutterRequest::WantsPart => {
                    let wanted_bytes = self.wanted_bytes(&cutter);
                    // This stager holds no permits while it waits.
                    let permit =
                        self.plan.budget.reserve_part(&self.pinned.object, wanted_bytes).await?;
                    cutter.open(&self.plan, permit)?;
                }
                CutterRequest::WantsRoom(size_bytes) => {
                    let is_extended = cutter.open.as_mut().is_some_and(|open| {
                        let is_extended = self.plan.budget.try_extend(&mut open.permit, size_bytes);
                        open.room_bytes += if is_extended { size_bytes } else { 0 };
                        is_extended
                    });
                    self.overhang_bytes = self
                        .overhang_bytes
                        .max(cutter.overhang_bytes(self.plan.part_size_bytes) + size_bytes);
                    if !is_extended {
                        self.overhang_bytes = self.overhang_bytes.saturating_mul(2);
                        let held = cutter.open.as_ref().map_or(0, |open| open.room_bytes);
                        cutter.refused_bytes = held + size_bytes + cutter.head.len() as u64;
                        cutter = self.begin_part_again(cutter);
                    }
                }
                CutterRequest::Part(staged) => part = Some(*staged),
                CutterRequest::Ended => return Ok(part),
            }
            self.cutter = Some(cutter);
            if part.is_some() {
                return Ok(part);
            }
        }
    }

    /// Returns the object's byte order mark and header lines, if they are kept and have arrived.
    pub(crate) fn head(&self) -> Vec<u8> {
        self.cutter.as_ref().map(|cutter| cutter.head.clone()).unwrap_or_default()
    }

    /// Returns the checksum of the whole object, if checksums of parts cannot be combined and this
    /// stager has read all of it.
    pub(crate) fn running_checksum(&self) -> Option<String> {
        self.cutter.as_ref().and_then(|cutter| cutter.running.clone()).map(Hasher::finish)
    }

    /// Returns how many bytes to reserve for the next part.
    fn wanted_bytes(&self, cutter: &Cutter) -> u64 {
        let total = self.plan.budget.total().bytes();
        let left = self.end - cutter.start.offset;
        let head_bytes = cutter.head.len() as u64;
        let least = left.min(self.plan.part_size_bytes) + head_bytes;
        let wanted = left.min(self.plan.part_size_bytes + self.overhang_bytes) + head_bytes;
        // At most the whole budget. Only the row can tell if that is enough.
        if least < total { wanted.min(total.max(cutter.refused_bytes)) } else { wanted }
    }

    /// Drops the staged bytes of the current part, and reads it from its beginning again.
    fn begin_part_again(&mut self, cutter: Cutter) -> Cutter {
        let start = cutter.start;
        self.stream = self.pinned.stream(start.offset, self.end);
        self.ahead = Ahead::NotAsked;
        Cutter {
            splitter: Some(self.plan.splitter(&start)),
            steps: VecDeque::new(),
            raw: VecDeque::new(),
            has_ended: false,
            open: None,
            running: cutter.running_at_start.clone(),
            ..cutter
        }
    }

    /// Refuses an object that is not text before any of it goes to the server.
    async fn look_at(&mut self, first: &[Bytes]) -> Result<()> {
        if std::mem::replace(&mut self.is_looked_at, true) {
            return Ok(());
        }
        let PinnedObject { object, .. } = &*self.pinned;
        let mut text = TextCheck::new(self.plan.refuses_json_lines);
        for bytes in first {
            text.feed(object, bytes)?;
        }
        let mut tail = None;
        if text.needs_tail() {
            let from = object.size_bytes.saturating_sub(TAIL_BYTES as u64);
            tail = Some(self.pinned.fetch(from, object.size_bytes).await?.concat());
        }
        let first_bytes: u64 = first.iter().map(|bytes| bytes.len() as u64).sum();
        text.finish(object, first_bytes == object.size_bytes, tail.as_deref())
    }
}

impl PartPlan {
    fn splitter(&self, from: &Boundary) -> PartSplitter {
        PartSplitter::new(self.reader.clone(), &self.dialect, from, self.part_size_bytes)
    }
}

/// Splits the bytes and writes them, on blocking threads.
struct Cutter {
    object: Object,
    /// `None` after the end of the object.
    splitter: Option<PartSplitter>,
    steps: VecDeque<SplitStep>,
    /// Bytes that the splitter has not seen yet.
    raw: VecDeque<Bytes>,
    /// No bytes follow `raw`.
    has_ended: bool,
    /// The start of the current part.
    start: Boundary,
    places: TextPlaces,
    open: Option<OpenPart>,
    algorithm: Option<ChecksumAlgorithm>,
    head: Vec<u8>,
    keeps_head: bool,
    part_size_bytes: u64,
    /// The minimum size of the current part. An earlier attempt ran out of room.
    refused_bytes: u64,
    running: Option<Hasher>,
    running_at_start: Option<Hasher>,
}

/// The current part.
struct OpenPart {
    file: File,
    permit: OwnedSemaphorePermit,
    room_bytes: u64,
    written_bytes: u64,
    hasher: Option<Hasher>,
}

/// A request or a result of a cutter.
enum CutterRequest {
    WantsBytes,
    WantsPart,
    WantsRoom(u64),
    Part(Box<StagedPart>),
    Ended,
}

impl Cutter {
    /// Works until it needs something, or has a result.
    fn work(mut self) -> (Self, Result<CutterRequest>) {
        let turn = loop {
            match self.step() {
                Ok(None) => {}
                Ok(Some(turn)) => break Ok(turn),
                Err(error) => break Err(error),
            }
        };
        (self, turn)
    }

    fn step(&mut self) -> Result<Option<CutterRequest>> {
        let Some(step) = self.steps.pop_front() else {
            let Some(splitter) = &mut self.splitter else { return Ok(Some(CutterRequest::Ended)) };
            if let Some(raw) = self.raw.pop_front() {
                self.steps.extend(splitter.feed(raw));
                return Ok(None);
            }
            if !self.has_ended {
                return Ok(Some(CutterRequest::WantsBytes));
            }
            let steps = self.splitter.take().map(PartSplitter::finish).unwrap_or_default();
            self.steps.extend(steps);
            return Ok(None);
        };
        if self.open.is_none() && !matches!(step, SplitStep::Broken(_)) {
            self.steps.push_front(step);
            return Ok(Some(CutterRequest::WantsPart));
        }
        match step {
            SplitStep::Bytes(bytes) => {
                let Some(open) = &mut self.open else { return Ok(None) };
                let length = bytes.len() as u64;
                let missing_bytes = (open.written_bytes + length).saturating_sub(open.room_bytes);
                if missing_bytes > 0 {
                    self.steps.push_front(SplitStep::Bytes(bytes));
                    return Ok(Some(CutterRequest::WantsRoom(missing_bytes)));
                }
                open.file
                    .write_all_at(&bytes, self.start.offset + open.written_bytes)
                    .map_err(|error| unstaged(&self.object, error))?;
                open.written_bytes += length;
                for hasher in [&mut open.hasher, &mut self.running].into_iter().flatten() {
                    hasher.update(&bytes);
                }
                Ok(None)
            }
            SplitStep::Boundary(end) => {
                let terminator =
                    self.splitter.as_ref().map(|splitter| splitter.lines_terminated_by(&end));
                let data_start = self.splitter.as_ref().map_or(0, PartSplitter::data_start);
                self.close(end, data_start, terminator.unwrap_or_default(), false, false)
            }
            SplitStep::End(end, scan) => {
                let Scan { data_start, lines_terminated_by, needs_terminator, .. } = scan;
                self.close(end, data_start, lines_terminated_by, needs_terminator, true)
            }
            SplitStep::Broken(mut malformed) => {
                if let Some(OpenPart { file, .. }) = &self.open {
                    let read = |buffer: &mut [u8], at| file.read_exact_at(buffer, at);
                    let Boundary { offset: start, lines, .. } = self.start;
                    malformed
                        .find_places(|offset| self.places.find(read, start, lines, offset).ok());
                }
                Err(Error::new(ErrorKind::Malformed, format!("{}: {malformed}", self.object)))
            }
        }
    }

    /// Opens a file for the current part.
    fn open(&mut self, plan: &PartPlan, permit: OwnedSemaphorePermit) -> Result<()> {
        let file = tempfile::tempfile_in(&plan.dir).map_err(|error| {
            let message = format!(
                "{}: cannot create a temporary file in {}",
                self.object,
                plan.dir.display()
            );
            Error::new(ErrorKind::StagingFailed, message).caused_by(error)
        })?;
        let head_bytes = if self.start.offset > 0 { self.head.len() as u64 } else { 0 };
        if head_bytes > 0 {
            file.write_all_at(&self.head, 0).map_err(|error| unstaged(&self.object, error))?;
        }
        let room_bytes = (permit.num_permits() as u64 * 1024).saturating_sub(head_bytes);
        let hasher =
            self.algorithm.filter(|algorithm| combinable(*algorithm).is_some()).map(Hasher::new);
        self.open = Some(OpenPart { file, permit, room_bytes, written_bytes: 0, hasher });
        self.running_at_start.clone_from(&self.running);
        Ok(())
    }

    fn close(
        &mut self,
        end: Boundary,
        data_start: u64,
        lines_terminated_by: Vec<u8>,
        needs_terminator: bool,
        is_last: bool,
    ) -> Result<Option<CutterRequest>> {
        let Some(OpenPart { file, mut permit, written_bytes, hasher, .. }) = self.open.take()
        else {
            return Ok(None);
        };
        let start = std::mem::replace(&mut self.start, end);
        self.refused_bytes = 0;
        let data_start = data_start.max(start.offset);
        if self.keeps_head && start.offset == 0 {
            if data_start > HEAD_LIMIT_BYTES {
                let message = format!(
                    "{}: its header lines have {data_start} bytes, too many for an object that is \
                     split",
                    self.object
                );
                return Err(Error::new(ErrorKind::UnsupportedFormat, message)
                    .with_hint("--no-split loads the object whole"));
            }
            self.head = vec![0; usize::try_from(data_start).unwrap_or(0)];
            file.read_exact_at(&mut self.head, 0).map_err(|error| unstaged(&self.object, error))?;
        }
        shrink(&mut permit, written_bytes + self.head.len() as u64);
        let part = StagedPart {
            file: Arc::new(file),
            number: u32::try_from(start.offset / self.part_size_bytes).unwrap_or(u32::MAX),
            start,
            data_start,
            end,
            head_bytes: self.head.len() as u64,
            lines_terminated_by,
            needs_terminator,
            checksum: self
                .algorithm
                .zip(hasher)
                .and_then(|(algorithm, hasher)| hasher.part(algorithm)),
            is_last,
            _permit: permit,
        };
        Ok(Some(CutterRequest::Part(Box::new(part))))
    }

    /// Returns by how much the current part exceeds its nominal size.
    fn overhang_bytes(&self, part_size_bytes: u64) -> u64 {
        self.open.as_ref().map_or(0, |open| open.written_bytes.saturating_sub(part_size_bytes))
    }
}

/// Verifies that the parts of an object, in order and with their lengths, have the checksum that
/// the store holds. `running` is the checksum of the whole object, if it was computed.
///
/// # Errors
/// `ChecksumMismatch`.
pub(crate) fn verify_parts(
    pinned: &PinnedObject,
    running: Option<String>,
    parts: impl Iterator<Item = (Option<PartChecksum>, u64)>,
) -> Result<Integrity> {
    let Some(expected) = &pinned.checksum else { return Ok(Integrity::Length) };
    let Some(computed) = running.or_else(|| of_parts(expected.algorithm, parts)) else {
        return Ok(Integrity::Length);
    };
    if matches(expected, &computed) {
        return Ok(Integrity::Checksum);
    }
    let message = format!(
        "{}: the received bytes have the {:?} checksum {computed}, the store holds {}",
        pinned.object, expected.algorithm, expected.value
    );
    Err(Error::new(ErrorKind::ChecksumMismatch, message))
}

fn unstaged(object: &Object, error: std::io::Error) -> Error {
    Error::new(ErrorKind::StagingFailed, format!("{object}: cannot be staged")).caused_by(error)
}
