//! Writes rows as the server must get them, while their bytes stream past.

use std::sync::Arc;

use super::row_rules::{Rewriting, RowRules};
use crate::dialect::RowFormat;
use crate::split::{CutRow, Malformed, RowCutter};

/// Writes rows as the server must get them.
#[derive(Clone, Debug)]
pub struct RowRewriter {
    rows: RowWriter,
    cutter: RowCutter,
}

#[derive(Clone, Debug)]
struct RowWriter {
    rules: Arc<RowRules>,
    lines_terminated_by: Vec<u8>,
    rewriting: Rewriting,
    /// The fields that follow the fields of each row, each after a field terminator.
    added: Arc<[u8]>,
}

impl RowRewriter {
    /// Creates a rewriter for the rows of an object with this line terminator. It rewrites values
    /// that the server must get in another text.
    #[must_use]
    pub fn new(rules: Arc<RowRules>, format: RowFormat<'_>, lines_terminated_by: &[u8]) -> Self {
        Self {
            cutter: RowCutter::new(format, lines_terminated_by, rules.fields_per_row()),
            rows: RowWriter {
                rules,
                lines_terminated_by: lines_terminated_by.to_vec(),
                rewriting: Rewriting::Values,
                added: Arc::default(),
            },
        }
    }

    /// Adds fields to each row, and rewrites no more than this. `added` is what
    /// [`RowRules::append`] wrote.
    #[must_use]
    pub fn adding(mut self, added: &Arc<[u8]>, rewriting: Rewriting) -> Self {
        self.rows.added = Arc::clone(added);
        self.rows.rewriting = rewriting;
        self
    }

    /// Reads the next bytes, and returns the rows that end in them.
    ///
    /// # Errors
    /// The errors of [`RowCutter::feed`].
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Vec<u8>, Malformed> {
        let Self { rows, cutter } = self;
        let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 8);
        cutter.feed(bytes, |row| rows.write_line(&row, &mut out))?;
        Ok(out)
    }

    /// Returns the rest of the rows, after the last bytes.
    ///
    /// # Errors
    /// The errors of [`RowCutter::finish`].
    pub fn finish(self) -> Result<Vec<u8>, Malformed> {
        let Self { rows, cutter } = self;
        let mut out = Vec::new();
        cutter.finish(|row| rows.write_line(&row, &mut out))?;
        Ok(out)
    }

    /// Returns the row as the server must get it, without its line terminator.
    #[must_use]
    pub fn row(&self, row: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(row.len());
        self.rows.write(&CutRow::whole(row), &mut out);
        out
    }
}

impl RowWriter {
    fn write_line(&self, row: &CutRow<'_>, out: &mut Vec<u8>) {
        self.write(row, out);
        out.extend_from_slice(&self.lines_terminated_by);
    }

    fn write(&self, row: &CutRow<'_>, out: &mut Vec<u8>) {
        match self.rewriting {
            Rewriting::Values => self.rules.rewrite(row, out),
            Rewriting::None | Rewriting::Form => self.rules.copy_texts(row, out),
        }
        if !self.added.is_empty() {
            self.rules.end_with_last_field(row, out);
            out.extend_from_slice(&self.added);
        }
    }
}
