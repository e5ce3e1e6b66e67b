//! Computes the digest of rows while their bytes stream past.

use std::sync::Arc;

use crc_fast::{CrcAlgorithm, checksum};
use sha2::{Digest as _, Sha256};

use super::compare_plan::ComparePlan;
use super::digest::{Digest, HASH_BITS, NULL_VALUE};
use crate::split::{CutRow, Field};

/// Adds rows to a digest and subtracts them again.
#[derive(Clone, Debug)]
pub struct RowDigest {
    pub(crate) plan: Arc<ComparePlan>,
    pub(crate) digest: Digest,
    /// The text of the current row.
    pub(crate) text: Vec<u8>,
}

impl RowDigest {
    #[must_use]
    pub fn new(plan: Arc<ComparePlan>) -> Self {
        let digest = plan.no_rows();
        Self { plan, digest, text: Vec::new() }
    }

    /// Continues from an earlier digest.
    #[must_use]
    pub fn with(plan: Arc<ComparePlan>, digest: Digest) -> Self {
        Self { plan, digest, text: Vec::new() }
    }

    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    #[must_use]
    pub fn into_digest(self) -> Digest {
        self.digest
    }

    /// Adds a row.
    pub fn add_row(&mut self, row: &CutRow<'_>) {
        self.take(row, false);
    }

    /// Subtracts a row that was added but is not stored.
    pub fn subtract_row(&mut self, row: &[u8]) {
        self.take(&CutRow::whole(row), true);
    }

    fn take(&mut self, row: &CutRow<'_>, is_off: bool) {
        fn sum64(sum: &mut u64, more: u64, is_off: bool) {
            *sum = if is_off { sum.wrapping_sub(more) } else { sum.wrapping_add(more) };
        }
        let Self { plan, digest, text } = self;
        text.clear();
        let fields = plan.reader.read(row);
        let mut is_whole = true;
        for (column, sums) in plan.columns.iter().zip(&mut digest.columns) {
            let value = match fields.get(column.item) {
                None => {
                    sum64(&mut sums.missing_values, 1, is_off);
                    Err(())
                }
                Some(Field::Missing) => Err(()),
                Some(Field::Value(value))
                    if !plan.null_strings.iter().any(|word| word == value.as_ref()) =>
                {
                    column.encoding.stored(value).map(Some).ok_or(())
                }
                // The server may store a default of its own in a column that cannot be NULL.
                Some(Field::Null | Field::Value(_)) => {
                    if column.is_nullable {
                        Ok(None)
                    } else {
                        Err(())
                    }
                }
            };
            let Ok(value) = value else {
                sum64(&mut sums.odd_values, 1, is_off);
                is_whole = false;
                continue;
            };
            let crc = value
                .as_deref()
                .map_or(NULL_VALUE, |value| checksum(CrcAlgorithm::Crc32IsoHdlc, value));
            sum64(&mut sums.sum, crc, is_off);
            if is_whole {
                column.push_row_text(value.as_deref(), text);
            }
        }
        sum64(&mut digest.rows, 1, is_off);
        if is_whole {
            let hash = hash(text);
            digest.row_sum = if is_off {
                digest.row_sum.wrapping_sub(hash)
            } else {
                digest.row_sum.wrapping_add(hash)
            };
        }
    }
}

pub(crate) fn hash(text: &[u8]) -> u128 {
    let hash = Sha256::digest(text);
    let mut first = [0; 8];
    first.copy_from_slice(&hash[..8]);
    u128::from(u64::from_be_bytes(first) >> (u64::BITS - HASH_BITS))
}
