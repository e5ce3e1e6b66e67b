//! Stages the missing parts of a split object, one after the other, for the load workers.
//!
//! Loaded parts leave gaps between them. Each gap is downloaded from the boundary that the ledger
//! has for it, and must end exactly at the next one.
//!
//! The part that is staged last is handed over only if the checksum of the whole object is right,
//! or if the store has no checksum to compare. So an object whose bytes do not match its checksum
//! stays `partial`.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::context::Context;
use super::work::{PartEnded, Ready, ReadyPart, Split};
use crate::error::{Error, ErrorKind, Result};
use crate::ledger::Part;
use crate::object::PartChecksum;
use crate::report::{Stage, Stopwatch};
use crate::split::Boundary;
use crate::staging::{Integrity, PartPlan, PartStager, PinnedObject, verify_parts};
use crate::unpack::Codecs;

/// The result of staging all missing parts.
pub(super) struct PartsStaged {
    pub(super) verified: Integrity,
    /// The length of the object's text.
    pub(super) text_bytes: u64,
    pub(super) codecs: Option<Codecs>,
}

/// Stages the missing parts of the object, and hands them to the workers. Returns `None` if it was
/// stopped before the end.
pub(super) async fn stage_parts(
    context: &Context,
    pinned: &Arc<PinnedObject>,
    split: &Arc<Split>,
    part_size_bytes: u64,
    known: Vec<Part>,
    staged: &mpsc::Sender<Ready>,
    ended: mpsc::UnboundedSender<PartEnded>,
) -> Result<Option<PartsStaged>> {
    let object_bytes = split.object.size_bytes;
    // What a packed object unpacks to is known only at its end.
    let end_of_text = if split.form.is_plain() { object_bytes } else { u64::MAX };
    let plan = plan_of(context, split, part_size_bytes, &known);
    let Some(head) = head_of(pinned, split, &plan, &known).await? else { return Ok(None) };
    let mut gap_stager = GapStager {
        pinned,
        split,
        plan,
        head,
        checksums: known.iter().map(checksum_of).collect(),
        end_of_text,
        result: PartsStaged { verified: Integrity::Length, text_bytes: object_bytes, codecs: None },
        staged,
        ended,
    };
    let gaps = gaps(&known, end_of_text);
    for (index, gap) in gaps.iter().enumerate() {
        if gap_stager.stage(gap, index + 1 == gaps.len()).await? == GapOutcome::Stopped {
            return Ok(None);
        }
    }
    Ok(Some(gap_stager.result))
}

fn plan_of(context: &Context, split: &Split, part_size_bytes: u64, known: &[Part]) -> PartPlan {
    let layout = &split.layout;
    let keeps_head = split.name.is_some();
    let first = known.first().filter(|part| keeps_head && part.start.offset == 0);
    PartPlan {
        dir: context.options.staging.dir.clone(),
        area: context.staging.clone(),
        reader: layout.reader.clone(),
        part_size_bytes,
        keeps_head,
        expected_text: context.expected_text(layout.fields_per_row()),
        form: split.form.clone(),
        head_bytes: first.map_or(0, |part| part.data_start),
    }
}

/// Returns the header lines, if a part that is loaded already has them. Returns `None` if it was
/// stopped.
async fn head_of(
    pinned: &PinnedObject,
    split: &Split,
    plan: &PartPlan,
    known: &[Part],
) -> Result<Option<Vec<u8>>> {
    // The header lines of a packed object are read on the way to its missing parts.
    let first = known.first().filter(|part| {
        plan.form.is_plain() && plan.keeps_head && part.start.offset == 0 && part.data_start > 0
    });
    match first {
        None => Ok(Some(Vec::new())),
        Some(first) => {
            split.stopping.run_until_cancelled(pinned.head(first.data_start)).await.transpose()
        }
    }
}

/// Stages one gap after the other.
struct GapStager<'a> {
    pinned: &'a Arc<PinnedObject>,
    split: &'a Arc<Split>,
    plan: PartPlan,
    head: Vec<u8>,
    checksums: Vec<ChecksumAt>,
    end_of_text: u64,
    result: PartsStaged,
    staged: &'a mpsc::Sender<Ready>,
    ended: mpsc::UnboundedSender<PartEnded>,
}

/// The checksum of a part, with its offset and size in bytes.
type ChecksumAt = (u64, u64, Option<PartChecksum>);

#[derive(PartialEq, Eq)]
enum GapOutcome {
    Staged,
    Stopped,
}

impl GapStager<'_> {
    /// Stages the parts of `gap`.
    async fn stage(&mut self, gap: &Gap, is_last_gap: bool) -> Result<GapOutcome> {
        let Split { object, stopping, .. } = &**self.split;
        let end = gap.to.map_or(self.end_of_text, |to| to.offset);
        let (plan, head) = (self.plan.clone(), self.head.clone());
        let mut parts = PartStager::new(Arc::clone(self.pinned), plan, gap.from, end, head);
        loop {
            let mut watch = Stopwatch::start();
            let Some(next) = stopping.run_until_cancelled(Box::pin(parts.next())).await else {
                return Ok(GapOutcome::Stopped);
            };
            let Some(staged) = next? else { return Ok(GapOutcome::Staged) };
            if self.plan.keeps_head && (staged.start.offset == 0 || !self.plan.form.is_plain()) {
                self.head = parts.head();
            }
            if let Some(to) = gap.to.filter(|_| staged.is_last)
                && (staged.end.rows, staged.end.lines, staged.needs_terminator)
                    != (to.rows, to.lines, false)
            {
                let message = format!("{object}: its parts in the ledger do not match its bytes");
                return Err(Error::new(ErrorKind::PartialConflict, message));
            }
            let part = Part {
                number: staged.number,
                start: staged.start,
                data_start: staged.data_start,
                end: staged.end,
                checksum: staged.checksum,
            };
            self.checksums.push(checksum_of(&part));
            if staged.is_last && is_last_gap {
                if gap.to.is_none() {
                    self.result.text_bytes = part.end.offset;
                    self.result.codecs = parts.codecs();
                }
                self.result.verified = self.verify(&parts)?;
            }
            // All of a packed object's text is loaded, and only that had to be found out.
            if part.start.offset > 0 && part.start.offset == part.end.offset {
                continue;
            }
            watch.end(Stage::Download);
            let (split, ended) = (Arc::clone(self.split), self.ended.clone());
            let ready = ReadyPart { split, staged, part, watch, ended };
            // The workers outlive the downloads, so only a dead worker leaves a part behind.
            if self.staged.send(Ready::Part(ready)).await.is_err() {
                return Ok(GapOutcome::Stopped);
            }
        }
    }

    /// Compares the checksums of all parts with that of the object.
    fn verify(&mut self, parts: &PartStager) -> Result<Integrity> {
        self.checksums.sort_unstable_by_key(|(offset, ..)| *offset);
        let in_order = self.checksums.iter().map(|&(_, size_bytes, sum)| (sum, size_bytes));
        verify_parts(self.pinned, parts.running_checksum(), in_order).map_err(|error| {
            error.with_hint(
                "the last part was not loaded; run again to read it again; if that does not help, \
                 another part arrived with wrong bytes: delete all rows of the object from the \
                 table, forget the object, and load it again",
            )
        })
    }
}

fn checksum_of(part: &Part) -> ChecksumAt {
    (part.start.offset, part.end.offset - part.start.offset, part.checksum)
}

/// A stretch of the object without any loaded part.
struct Gap {
    from: Boundary,
    /// `None` if the gap reaches to the end of the object.
    to: Option<Boundary>,
}

fn gaps(known: &[Part], size_bytes: u64) -> Vec<Gap> {
    let mut gaps = Vec::new();
    let mut from = Boundary::default();
    for part in known {
        if part.start.offset > from.offset {
            gaps.push(Gap { from, to: Some(part.start) });
        }
        from = part.end;
    }
    if from.offset < size_bytes {
        gaps.push(Gap { from, to: None });
    }
    gaps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(start: u64, end: u64) -> Part {
        let at = |offset| Boundary { offset, ..Boundary::default() };
        Part { number: 0, start: at(start), data_start: start, end: at(end), checksum: None }
    }

    fn missing(known: &[Part]) -> Vec<(u64, Option<u64>)> {
        gaps(known, 100).iter().map(|gap| (gap.from.offset, gap.to.map(|to| to.offset))).collect()
    }

    #[test]
    fn what_is_missing_lies_between_known_boundaries() {
        assert_eq!(missing(&[]), [(0, None)]);
        assert_eq!(missing(&[part(0, 10), part(30, 40)]), [(10, Some(30)), (40, None)]);
        assert_eq!(missing(&[part(20, 60), part(60, 100)]), [(0, Some(20))]);
        assert_eq!(missing(&[part(0, 60), part(60, 100)]), []);
    }
}
