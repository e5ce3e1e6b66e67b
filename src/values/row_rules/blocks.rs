//! The verdicts on many rows at a time.
//!
//! Rows with the same number of fields are judged column by column. The kind of the column is then
//! decided once, and the loop over its fields has few branches.

use super::{RowRules, RowScratch, RowVerdict, ValueCounts};
use crate::split::{FieldTable, FieldText, RowBlock};
use crate::values::ordinary::Ordinary;

impl RowRules {
    /// Counts the verdicts on these rows, which are those of [`Self::judge`].
    pub fn count(&self, block: &RowBlock<'_>, scratch: &mut RowScratch, counts: &mut ValueCounts) {
        if self.records.is_none()
            && let RowBlock::Indexed(rows) = block
            && let Some(table) = rows.table()
            && !self.items.is_empty()
            && table.width() >= self.items.len()
        {
            self.judge_table(&table, scratch);
            scratch.verdicts.iter().for_each(|&verdict| counts.add(verdict));
            return;
        }
        for row in block.rows() {
            counts.add(self.judge(&row, &mut scratch.text));
        }
    }

    /// Writes the verdicts on rows with at least the listed number of fields.
    fn judge_table(&self, table: &FieldTable<'_>, scratch: &mut RowScratch) {
        scratch.verdicts.clear();
        scratch.verdicts.resize(table.row_count(), RowVerdict::default());
        for (column, &ordinary) in self.ordinary.iter().enumerate() {
            // One loop for each kind, into which its test is compiled.
            match ordinary {
                Ordinary::Anything => {}
                Ordinary::Nothing => self.judge_column(table, column, |_, _| false, scratch),
                Ordinary::Short(limit) => {
                    self.judge_column(table, column, |_, text| text.text_bytes() <= limit, scratch);
                }
                Ordinary::Number(digits) => self.judge_column(
                    table,
                    column,
                    |before, text| match text {
                        FieldText::Value(text) => digits.takes_end(before, text),
                        FieldText::Unresolved(_) => false,
                    },
                    scratch,
                ),
                Ordinary::Date | Ordinary::DateTime | Ordinary::Timestamp => self.judge_column(
                    table,
                    column,
                    |_, text| matches!(text, FieldText::Value(text) if ordinary.takes(text)),
                    scratch,
                ),
            }
        }
        for (verdict, rest) in scratch.verdicts.iter_mut().zip(table.rests(self.items.len())) {
            verdict.is_bad |= !rest.is_empty() || verdict.is_noted && self.notes_as_bad;
        }
    }

    #[inline]
    fn judge_column(
        &self,
        table: &FieldTable<'_>,
        column: usize,
        is_known: impl Fn(&[u8], FieldText<'_>) -> bool,
        scratch: &mut RowScratch,
    ) {
        let Some(rule) = self.rule(column) else { return };
        let RowScratch { text, verdicts } = scratch;
        self.reader.for_each_unknown_of_column(table, column, is_known, |row, read| {
            self.judge_field(rule, &read, text, &mut verdicts[row]);
        });
    }
}
