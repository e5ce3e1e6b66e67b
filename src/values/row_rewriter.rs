//! Writes rows as the server must get them, while their bytes stream past.

use std::sync::Arc;

use super::row_rules::RowRules;
use crate::dialect::RowFormat;
use crate::split::{CutRow, Malformed, RowCutter};

/// Writes rows as the server must get them.
#[derive(Clone, Debug)]
pub struct RowRewriter {
    rules: Arc<RowRules>,
    cutter: RowCutter,
    lines_terminated_by: Vec<u8>,
}

impl RowRewriter {
    /// Creates a rewriter for the rows of an object with this line terminator.
    #[must_use]
    pub fn new(rules: Arc<RowRules>, format: RowFormat<'_>, lines_terminated_by: &[u8]) -> Self {
        Self {
            cutter: RowCutter::new(format, lines_terminated_by, rules.fields_per_row()),
            rules,
            lines_terminated_by: lines_terminated_by.to_vec(),
        }
    }

    /// Reads the next bytes, and returns the rows that end in them.
    ///
    /// # Errors
    /// The errors of [`RowCutter::feed`].
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Vec<u8>, Malformed> {
        let Self { rules, cutter, lines_terminated_by } = self;
        let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 8);
        cutter.feed(bytes, |row| {
            rules.rewrite(&row, &mut out);
            out.extend_from_slice(lines_terminated_by);
        })?;
        Ok(out)
    }

    /// Returns the rest of the rows, after the last bytes.
    ///
    /// # Errors
    /// The errors of [`RowCutter::finish`].
    pub fn finish(self) -> Result<Vec<u8>, Malformed> {
        let Self { rules, cutter, lines_terminated_by } = self;
        let mut out = Vec::new();
        cutter.finish(|row| {
            rules.rewrite(&row, &mut out);
            out.extend_from_slice(&lines_terminated_by);
        })?;
        Ok(out)
    }

    /// Returns the row as the server must get it, without its line terminator.
    #[must_use]
    pub fn row(&self, row: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(row.len());
        self.rules.rewrite(&CutRow::whole(row), &mut out);
        out
    }
}
