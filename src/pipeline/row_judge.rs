//! Judges the values of rows while the bytes of their text come in order.

use std::sync::Arc;

use crate::dialect::FormatConfig;
use crate::load_data::{ObjectLayout, RequiredValue};
use crate::split::{Malformed, RowBlock, RowCutter};
use crate::values::{RowRules, RowScratch, ValueCounts};

/// Judges the rows of one text, which has no header lines.
pub(super) struct RowJudge {
    cutter: RowCutter,
    rows: RowVerdicts,
}

/// The verdicts on all rows so far, and the first row that contradicts the key of its object.
#[derive(Default)]
pub(super) struct Judged {
    pub(super) counts: ValueCounts,
    pub(super) unequal: Option<UnequalRow>,
}

/// A row with another value than the key of its object has.
pub(super) struct UnequalRow {
    /// Its number among the rows of the text.
    pub(super) row: u64,
    /// The index of the required value.
    pub(super) required: usize,
    pub(super) value: String,
}

struct RowVerdicts {
    rules: Arc<RowRules>,
    required: Arc<[RequiredValue]>,
    scratch: RowScratch,
    judged: Judged,
}

impl RowJudge {
    pub(super) fn new(
        layout: &ObjectLayout,
        format: &FormatConfig,
        lines_terminated_by: &[u8],
    ) -> Self {
        Self {
            cutter: RowCutter::new(format.rows(), lines_terminated_by, layout.fields_per_row()),
            rows: RowVerdicts {
                rules: Arc::clone(&layout.values),
                required: Arc::clone(&layout.required),
                scratch: RowScratch::default(),
                judged: Judged::default(),
            },
        }
    }

    /// Judges the rows that end in the next bytes.
    ///
    /// # Errors
    /// The errors of [`RowCutter::feed_blocks`].
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        let Self { cutter, rows } = self;
        cutter.feed_blocks(bytes, |block| rows.add(&block))
    }

    /// Returns the verdicts on all rows. `missing_terminator` is the line terminator that the last
    /// row lacks, or empty.
    ///
    /// # Errors
    /// The errors of [`RowCutter::feed_blocks`].
    pub(super) fn finish(mut self, missing_terminator: &[u8]) -> Result<Judged, Malformed> {
        self.feed(missing_terminator)?;
        let Self { cutter, mut rows } = self;
        cutter.finish_blocks(|block| rows.add(&block))?;
        Ok(rows.judged)
    }
}

impl RowVerdicts {
    fn add(&mut self, block: &RowBlock<'_>) {
        let Self { rules, required, scratch, judged } = self;
        let rows_before = judged.counts.rows;
        rules.count(block, scratch, &mut judged.counts);
        if judged.unequal.is_some() || required.is_empty() {
            return;
        }
        judged.unequal = (rows_before + 1..).zip(block.rows()).find_map(|(number, row)| {
            required.iter().enumerate().find_map(|(index, wanted)| {
                let value = rules.differing(&row, wanted.field, wanted.value.as_deref())?;
                Some(UnequalRow { row: number, required: index, value })
            })
        });
    }
}
