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
    let Split { object, layout, stopping, .. } = &**split;
    let plan = PartPlan {
        dir: context.options.staging.dir.clone(),
        area: context.staging.clone(),
        reader: layout.reader.clone(),
        part_size_bytes,
        keeps_head: split.name.is_some(),
        refuses_json_lines: context.refuses_json_lines(layout.fields_per_row()),
        form: split.form.clone(),
        head_bytes: known
            .first()
            .filter(|part| split.name.is_some() && part.start.offset == 0)
            .map_or(0, |part| part.data_start),
    };
    // What a packed object unpacks to is known only at its end.
    let end_of_text = if split.form.is_plain() { object.size_bytes } else { u64::MAX };
    let mut head = Vec::new();
    // The header lines of a packed object are read on the way to its missing parts.
    if let Some(first) = known.first().filter(|part| {
        plan.form.is_plain() && plan.keeps_head && part.start.offset == 0 && part.data_start > 0
    }) {
        let Some(read) = stopping.run_until_cancelled(pinned.head(first.data_start)).await else {
            return Ok(None);
        };
        head = read?;
    }
    let gaps = gaps(&known, end_of_text);
    let mut checksums: Vec<_> =
        known.iter().map(|part| (part.start.offset, size_of(part), part.checksum)).collect();
    let mut verified = Integrity::Length;
    let (mut text_bytes, mut codecs) = (object.size_bytes, None);
    for (index, gap) in gaps.iter().enumerate() {
        let end = gap.to.map_or(end_of_text, |to| to.offset);
        let mut parts =
            PartStager::new(Arc::clone(pinned), plan.clone(), gap.from, end, head.clone());
        loop {
            let mut watch = Stopwatch::start();
            let Some(next) = stopping.run_until_cancelled(Box::pin(parts.next())).await else {
                return Ok(None);
            };
            let Some(part) = next? else { break };
            if plan.keeps_head && (part.start.offset == 0 || !plan.form.is_plain()) {
                head = parts.head();
            }
            if let Some(to) = gap.to.filter(|_| part.is_last)
                && (part.end.rows, part.end.lines, part.needs_terminator)
                    != (to.rows, to.lines, false)
            {
                let message = format!("{object}: its parts in the ledger do not match its bytes");
                return Err(Error::new(ErrorKind::PartialConflict, message));
            }
            let described = Part {
                number: part.number,
                start: part.start,
                data_start: part.data_start,
                end: part.end,
                checksum: part.checksum,
            };
            checksums.push((part.start.offset, size_of(&described), part.checksum));
            if part.is_last && index + 1 == gaps.len() {
                if gap.to.is_none() {
                    (text_bytes, codecs) = (part.end.offset, parts.codecs());
                }
                checksums.sort_unstable_by_key(|(offset, ..)| *offset);
                let in_order =
                    checksums.iter().map(|&(_, size_bytes, checksum)| (checksum, size_bytes));
                let running = parts.running_checksum();
                verified = verify_parts(pinned, running, in_order).map_err(|error| {
                    error.with_hint(
                        "the last part was not loaded; run again to read it again; if that does \
                         not help, another part arrived with wrong bytes: delete all rows of the \
                         object from the table, forget the object, and load it again",
                    )
                })?;
            }
            // All of a packed object's text is loaded, and only that had to be found out.
            if part.start.offset > 0 && part.start.offset == part.end.offset {
                continue;
            }
            watch.end(Stage::Download);
            let ready = ReadyPart {
                watch,
                split: Arc::clone(split),
                staged: part,
                part: described,
                ended: ended.clone(),
            };
            // The workers outlive the downloads, so only a dead worker leaves a part behind.
            if staged.send(Ready::Part(ready)).await.is_err() {
                return Ok(None);
            }
        }
    }
    Ok(Some(PartsStaged { verified, text_bytes, codecs }))
}

fn size_of(part: &Part) -> u64 {
    part.end.offset - part.start.offset
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
