//! Handles flagged rows: shows them in the error, counts them, writes them to the reject file, and
//! takes them off the object's digest.

use std::sync::Arc;

use super::state::{Flagged, RowError, RowIsolation};
use crate::blocking::run_blocking;
use crate::error::{BadRow, Error, ErrorKind, RawRow, Result};
use crate::load_data::{Diagnostic, RowErrorKind, renumbered, staged_rows, warn_of_rule_hole};
use crate::rejects::{Reason, ReasonKind, RejectedRow};
use crate::split::LocatedRow;
use crate::verify::RowDigest;

/// The number of bytes of a row that an error keeps.
const SHOWN_BYTES: u64 = 1024;

impl RowIsolation<'_> {
    /// Records the flagged rows of a finished chunk.
    pub(super) async fn record_flagged(
        &mut self,
        chunk: &Arc<Vec<LocatedRow>>,
        flagged: Flagged,
        digest: &mut Option<RowDigest>,
    ) -> Result<()> {
        if flagged.is_empty() {
            return Ok(());
        }
        let policy = self.policy;
        self.rows_flagged += flagged.len() as u64;
        if let Some(tally) = &mut self.tally {
            for row_errors in flagged.values() {
                tally.count(row_errors.iter().map(|row_error| &row_error.warning));
            }
        }
        let mut to_show = Vec::new();
        let mut to_reject = Vec::new();
        for (index, row_errors) in flagged {
            let kind = if row_errors.iter().any(|row_error| row_error.kind == RowErrorKind::BadRow)
            {
                RowErrorKind::BadRow
            } else {
                RowErrorKind::Duplicate
            };
            if kind == RowErrorKind::Duplicate {
                self.stats.rejected_duplicates += 1;
            }
            if !policy.rejects(kind) && self.fatal != Some(RowErrorKind::BadRow) {
                self.fatal = Some(kind);
            }
            // What is only rejected gives way to what fails the object.
            let is_fatal = self.tally.is_none() && !policy.rejects(kind);
            let shown = if is_fatal { &self.fatal_shown } else { &self.shown };
            let room = policy.show_bad_rows.saturating_sub(shown.len());
            let waiting = to_show.iter().filter(|(_, _, other)| *other == is_fatal).count();
            if waiting < room {
                to_show.push((index, row_errors.clone(), is_fatal));
            }
            to_reject.push((index, row_errors));
        }
        let file = self.request.staged.file.clone();
        let (rows, what) = (Arc::clone(chunk), self.request.what.clone());
        let terminator = self.request.staged.lines_terminated_by.clone();
        let mut rejects = if self.fatal.is_none() { self.rejects.take() } else { None };
        let mut sums = digest.take();
        let rewriter = self.request.staged.rewriter.clone();
        let rules = Arc::clone(self.values);
        let written = run_blocking(move || {
            let unread = |error| staged_rows::unread(&what, error);
            let mut shown = Vec::new();
            let mut fatal_shown = Vec::new();
            for (index, row_errors, is_fatal) in to_show {
                let row = &rows[index];
                let bytes = staged_rows::raw(&file, row, SHOWN_BYTES).map_err(unread)?;
                let raw = RawRow { is_cut: row.size_bytes > bytes.len() as u64, bytes };
                for row_error in &row_errors {
                    let bad = bad_row(row, &row_error.warning, &raw);
                    warn_of_rule_hole(&rules, &what, &bad);
                    if is_fatal { fatal_shown.push(bad) } else { shown.push(bad) }
                }
            }
            if let Some(rejects) = &mut rejects {
                for (index, row_errors) in to_reject {
                    let row = &rows[index];
                    let raw = staged_rows::raw(&file, row, u64::MAX).map_err(unread)?;
                    if let Some(sums) = &mut sums {
                        match &rewriter {
                            Some(rewriter) => sums.subtract_row(&rewriter.row(&raw)),
                            None => sums.subtract_row(&raw),
                        }
                    }
                    let texts: Vec<String> = row_errors
                        .iter()
                        .map(|row_error| renumbered(&row_error.warning, row.row))
                        .collect();
                    let reasons: Vec<Reason<'_>> = row_errors
                        .iter()
                        .zip(&texts)
                        .map(|(row_error, text)| reason(row_error, text))
                        .collect();
                    rejects.add(&RejectedRow {
                        row: row.row,
                        line: row.line,
                        offset: row.offset,
                        raw: &raw,
                        terminator: &terminator,
                        reasons: &reasons,
                    })?;
                }
            }
            Ok::<_, Error>((shown, fatal_shown, rejects, sums))
        });
        let (shown, fatal_shown, rejects, sums) = written.await??;
        self.shown.extend(shown);
        self.fatal_shown.extend(fatal_shown);
        (self.rejects, *digest) = (rejects, sums);
        let limit = self.request.max_rejects(&policy);
        if self.fatal.is_none() && self.rows_flagged > limit {
            let message = format!(
                "{}: more than {limit} of {} rows would be rejected, which --max-rejects does not \
                 allow; rolled back",
                self.request.what, self.request.rows
            );
            return Err(
                Error::new(ErrorKind::TooManyRejects, message).with_bad_rows(self.take_shown())
            );
        }
        Ok(())
    }
}

fn reason<'a>(row_error: &'a RowError, text: &'a str) -> Reason<'a> {
    Reason {
        kind: match row_error.kind {
            RowErrorKind::BadRow => ReasonKind::BadRow,
            RowErrorKind::Duplicate => ReasonKind::Duplicate,
        },
        code: row_error.warning.code,
        column: row_error.warning.column.as_deref(),
        reason: text,
    }
}

fn bad_row(row: &LocatedRow, warning: &Diagnostic, raw: &RawRow) -> BadRow {
    BadRow {
        line: Some(row.line),
        row: Some(row.row),
        is_misnumbered: false,
        column: warning.column.clone(),
        level: warning.level.clone(),
        code: warning.code,
        reason: renumbered(warning, row.row),
        raw: Some(raw.clone()),
    }
}
