//! Describes a loaded part, as its ledger row does.
//!
//! The row holds all that is needed to continue after the part, or to load what is missing before
//! it.

use mysql_async::Row;

use super::counts::LoadCounts;
use crate::object::{ChecksumAlgorithm, PartChecksum};
use crate::split::{Boundary, LineEnding};
use crate::verify::Digest;

/// A part, as its ledger row describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    pub number: u32,
    pub start: Boundary,
    /// The offset of the first byte of its rows.
    pub data_start: u64,
    pub end: Boundary,
    pub checksum: Option<PartChecksum>,
}

impl Part {
    /// Returns how many part numbers of the object this part covers. That is more than one if a row
    /// is longer than a part.
    #[must_use]
    pub fn numbers(&self, part_size_bytes: u64, size_bytes: u64) -> u64 {
        numbers(self.number.into(), self.end.offset, part_size_bytes, size_bytes)
    }
}

pub(super) fn numbers(number: u64, end_offset: u64, part_size_bytes: u64, size_bytes: u64) -> u64 {
    let part_size_bytes = part_size_bytes.max(1);
    let next = if end_offset >= size_bytes {
        size_bytes.div_ceil(part_size_bytes)
    } else {
        end_offset / part_size_bytes
    };
    next.saturating_sub(number).max(1)
}

/// The full ledger row of a part.
pub(super) struct PartRow {
    pub(super) part: Part,
    pub(super) loaded: LoadCounts,
    pub(super) digest: Option<Digest>,
}

impl PartRow {
    pub(super) fn read(mut row: Row) -> Option<Self> {
        let mut number =
            |column: &str| row.take_opt::<u64, _>(column).and_then(std::result::Result::ok);
        let (size_bytes, offset) = (number("size_bytes")?, number("start_offset")?);
        let (rows_before, lines_before) = (number("rows_before")?, number("lines_before")?);
        let loaded = LoadCounts {
            rows: number("row_count")?,
            skipped: number("skipped_count")?,
            deleted: number("deleted_count")?,
            rejected: number("rejected_count")?,
            warnings: number("warning_count")?,
        };
        let (part_number, data_start, line_count) =
            (number("part_number")?, number("data_offset")?, number("line_count")?);
        let value = number("checksum")?;
        let ending = LineEnding::of(&row.take_opt::<Vec<u8>, _>("line_ending")?.ok()?);
        let algorithm: Vec<u8> = row.take_opt("checksum_algorithm")?.ok()?;
        let digest: Option<Vec<u8>> = row.take_opt("content_digest")?.ok()?;
        Some(Self {
            part: Part {
                number: u32::try_from(part_number).ok()?,
                start: Boundary { offset, rows: rows_before, lines: lines_before, ending },
                data_start,
                end: Boundary {
                    offset: offset.checked_add(size_bytes)?,
                    rows: rows_before.checked_add(loaded.rows)?,
                    lines: lines_before.checked_add(line_count)?,
                    ending,
                },
                checksum: combinable(&algorithm).map(|algorithm| PartChecksum { algorithm, value }),
            },
            loaded,
            digest: digest.and_then(|bytes| Digest::from_bytes(&bytes)),
        })
    }
}

/// Returns the algorithm with this name if checksums of parts can be combined under it.
fn combinable(name: &[u8]) -> Option<ChecksumAlgorithm> {
    let algorithm = str::from_utf8(name).ok()?.parse().ok()?;
    match algorithm {
        ChecksumAlgorithm::Crc64Nvme | ChecksumAlgorithm::Crc32 | ChecksumAlgorithm::Crc32c => {
            Some(algorithm)
        }
        ChecksumAlgorithm::Sha1 | ChecksumAlgorithm::Sha256 => None,
    }
}
