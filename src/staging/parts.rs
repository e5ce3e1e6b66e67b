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
//! A part's bytes have the same offsets in its file as in the object, after a hole. The offsets of
//! a packed object are those of its text. If the header lines are kept, they are at the beginning
//! of the file. So later readers need no offsets but the object's. Dropping the stager drops the
//! file, its permits and the connections.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use tokio::sync::OwnedSemaphorePermit;

use super::checksum::{Hasher, combinable, matches, of_parts};
use super::cutter::{Cutter, CutterRequest, PartPlan, StagedPart};
use super::download::Integrity;
use super::ranges::PinnedObject;
use super::signature::TAIL_BYTES;
use super::text_check::TextCheck;
use crate::blocking::run_blocking;
use crate::error::{Error, ErrorKind, Result};
use crate::object::PartChecksum;
use crate::split::{Boundary, TextPlaces};
use crate::unpack::Codecs;

/// The least room for a part's last row. Most rows are shorter than a sixteenth of a part or, if
/// parts are small, than this.
const LEAST_OVERHANG_BYTES: u64 = 64 * 1024;

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
    /// The memory of the decoders of a packed object.
    memory: Option<OwnedSemaphorePermit>,
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
        let is_whole = plan.form.is_plain() && from.offset == 0 && end == pinned.object.size_bytes;
        let running = algorithm
            .filter(|algorithm| is_whole && combinable(*algorithm).is_none())
            .map(Hasher::new);
        let cutter = Cutter {
            object: pinned.object.clone(),
            splitter: Some(plan.splitter(&from)),
            steps: VecDeque::new(),
            text: plan.text(&pinned, &from, end),
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
            stream: plan.stream(&pinned, &from, end),
            ahead: Ahead::NotAsked,
            cutter: Some(cutter),
            overhang_bytes: (plan.part_size_bytes / 16).max(LEAST_OVERHANG_BYTES),
            is_looked_at: from.offset > 0 || plan.form.codec.is_some(),
            memory: None,
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
        if let Some(cutter) = &self.cutter
            && !self.plan.form.is_plain()
            && self.memory.is_none()
        {
            let memory_bytes = cutter.text.memory_bytes();
            self.memory = Some(self.plan.area.reserve_memory(memory_bytes).await?);
        }
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
                            cutter.text.push(fetched);
                        }
                        _ => cutter.text.end(),
                    }
                }
                CutterRequest::WantsPart => {
                    let wanted_bytes = self.wanted_bytes(&cutter);
                    // This stager holds no permits while it waits.
                    let permit = self
                        .plan
                        .area
                        .budget
                        .reserve_part(&self.pinned.object, wanted_bytes)
                        .await?;
                    cutter.open(&self.plan, permit)?;
                }
                CutterRequest::WantsRoom(size_bytes) => {
                    let is_extended = cutter.open.as_mut().is_some_and(|open| {
                        let is_extended =
                            self.plan.area.budget.try_extend(&mut open.permit, size_bytes);
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
                CutterRequest::WantsMemory(needed_bytes) => {
                    let memory_bytes = needed_bytes + cutter.text.memory_bytes();
                    if self.plan.area.try_memory(&mut self.memory, memory_bytes) {
                        cutter.text.allow(needed_bytes);
                    } else {
                        // Nothing is held while this waits.
                        cutter = self.begin_part_again(cutter);
                        self.memory = None;
                        self.memory = Some(self.plan.area.reserve_memory(memory_bytes).await?);
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
        let cutter = self.cutter.as_ref()?;
        cutter.running.clone().map(Hasher::finish).or_else(|| cutter.text.checksum())
    }

    /// Returns the codecs of a packed object.
    pub(crate) fn codecs(&self) -> Option<Codecs> {
        self.cutter.as_ref().and_then(|cutter| cutter.text.codecs())
    }

    /// Returns how many bytes to reserve for the next part.
    fn wanted_bytes(&self, cutter: &Cutter) -> u64 {
        let total = self.plan.area.budget.total().bytes();
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
        self.stream = self.plan.stream(&self.pinned, &start, self.end);
        self.ahead = Ahead::NotAsked;
        Cutter {
            splitter: Some(self.plan.splitter(&start)),
            steps: VecDeque::new(),
            text: self.plan.text(&self.pinned, &start, self.end),
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
        let mut text = TextCheck::new(self.plan.expected_text);
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
