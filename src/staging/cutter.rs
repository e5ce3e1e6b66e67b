//! The work on the bytes of an object that is split: text is cut into parts, and each part written
//! to a file of its own. On blocking threads, without waiting for anything: what it needs, it asks
//! the [stager](super::PartStager) for.

use std::collections::VecDeque;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::Stream;
use tokio::sync::OwnedSemaphorePermit;

use super::area::StagingArea;
use super::budget::shrink;
use super::checksum::{Hasher, combinable};
use super::part_text::{PartText, TextStep};
use super::ranges::PinnedObject;
use super::sink::inside;
use super::text_check::ExpectedText;
use crate::error::{Error, ErrorKind, Result};
use crate::object::{ChecksumAlgorithm, Object, PartChecksum};
use crate::split::{Boundary, PartSplitter, RowReader, Scan, SplitStep, TextPlaces};
use crate::unpack::TextForm;

/// The limit on header lines, which are kept in memory for the reject files of all parts.
const HEAD_LIMIT_BYTES: u64 = 1024 * 1024;

/// The plan for splitting an object.
#[derive(Clone)]
pub(crate) struct PartPlan {
    pub(crate) dir: PathBuf,
    pub(crate) area: StagingArea,
    /// A reader in the state of an object's beginning.
    pub(crate) reader: RowReader,
    pub(crate) part_size_bytes: u64,
    /// Every part gets the header lines.
    pub(crate) keeps_head: bool,
    pub(crate) expected_text: ExpectedText,
    /// The way to the object's text, whose offsets count.
    pub(crate) form: TextForm,
    /// The length of a packed object's header lines, if they are known and kept.
    pub(crate) head_bytes: u64,
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

impl PartPlan {
    pub(super) fn splitter(&self, from: &Boundary) -> PartSplitter {
        PartSplitter::new(self.reader.clone(), from, self.part_size_bytes)
    }

    pub(super) fn text(&self, pinned: &PinnedObject, from: &Boundary, end: u64) -> PartText {
        let algorithm = pinned.checksum.as_ref().map(|checksum| checksum.algorithm);
        if self.form.is_plain() {
            return PartText::plain();
        }
        PartText::packed(&self.form, algorithm, (from.offset, end), self.head_bytes)
    }

    pub(super) fn stream(
        &self,
        pinned: &Arc<PinnedObject>,
        from: &Boundary,
        end: u64,
    ) -> Pin<Box<dyn Stream<Item = Result<Vec<Bytes>>> + Send>> {
        if self.form.is_plain() {
            pinned.stream(from.offset, end)
        } else {
            pinned.stream(0, pinned.object.size_bytes)
        }
    }
}

/// Splits the bytes and writes them, on blocking threads.
pub(super) struct Cutter {
    pub(super) object: Object,
    /// `None` after the end of the object.
    pub(super) splitter: Option<PartSplitter>,
    pub(super) steps: VecDeque<SplitStep>,
    /// The text that the splitter has not seen yet.
    pub(super) text: PartText,
    /// The start of the current part.
    pub(super) start: Boundary,
    pub(super) places: TextPlaces,
    pub(super) open: Option<OpenPart>,
    pub(super) algorithm: Option<ChecksumAlgorithm>,
    pub(super) head: Vec<u8>,
    pub(super) keeps_head: bool,
    pub(super) part_size_bytes: u64,
    /// The minimum size of the current part. An earlier attempt ran out of room.
    pub(super) refused_bytes: u64,
    pub(super) running: Option<Hasher>,
    pub(super) running_at_start: Option<Hasher>,
}

/// The current part.
pub(super) struct OpenPart {
    pub(super) file: File,
    pub(super) permit: OwnedSemaphorePermit,
    pub(super) room_bytes: u64,
    pub(super) written_bytes: u64,
    pub(super) hasher: Option<Hasher>,
}

/// A request or a result of a cutter.
pub(super) enum CutterRequest {
    WantsBytes,
    WantsPart,
    WantsRoom(u64),
    /// The decoder needs this much memory.
    WantsMemory(u64),
    Part(Box<StagedPart>),
    Ended,
}

impl Cutter {
    /// Works until it needs something, or has a result.
    pub(super) fn work(mut self) -> (Self, Result<CutterRequest>) {
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
            match self.text.next(&self.object)? {
                TextStep::Text(text) => {
                    if let Some(head) = self.text.head().filter(|_| self.head.is_empty()) {
                        self.head = head.to_vec();
                    }
                    self.steps.extend(splitter.feed(text));
                    return Ok(None);
                }
                TextStep::WantsBytes => return Ok(Some(CutterRequest::WantsBytes)),
                TextStep::WantsMemory(bytes) => {
                    return Ok(Some(CutterRequest::WantsMemory(bytes)));
                }
                TextStep::Ended => {}
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
                let error =
                    Error::new(ErrorKind::Malformed, format!("{}: {malformed}", self.object));
                Err(inside(error, self.text.codecs()))
            }
        }
    }

    /// Opens a file for the current part.
    pub(super) fn open(&mut self, plan: &PartPlan, permit: OwnedSemaphorePermit) -> Result<()> {
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
    pub(super) fn overhang_bytes(&self, part_size_bytes: u64) -> u64 {
        self.open.as_ref().map_or(0, |open| open.written_bytes.saturating_sub(part_size_bytes))
    }
}

fn unstaged(object: &Object, error: std::io::Error) -> Error {
    Error::new(ErrorKind::StagingFailed, format!("{object}: cannot be staged")).caused_by(error)
}
