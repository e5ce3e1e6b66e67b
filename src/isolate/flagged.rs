//! Handles flagged rows: shows them in the error, counts them, writes them to the reject file, and
//! takes them off the object's digest.

use std::sync::Arc;

use super::state::{Flagged, RowError, RowIsolation};
use crate::blocking::run_blocking;
use crate::error::{BadRow, Error, ErrorKind, RawRow, Result};
use crate::file_slice::FileSlice;
use crate::load_data::{Diagnostic, RowErrorKind, renumbered, staged_rows, warn_of_rule_hole};
use crate::rejects::{Reason, ReasonKind, RejectFile, RejectedRow};
use crate::split::LocatedRow;
use crate::values::{RowRewriter, RowRules};
use crate::verify::RowDigest;

/// The number of bytes of a row that an error keeps.
const SHOWN_BYTES: u64 = 1024;

/// A flagged row that is shown in the error or the report.
struct RowToShow {
    /// Its place in the chunk.
    index: usize,
    row_errors: Vec<RowError>,
    is_fatal: bool,
}

/// The flagged rows of a chunk, and everything that reading and writing them needs. A blocking
/// thread takes it.
struct FlaggedRows {
    what: String,
    file: FileSlice,
    rows: Arc<Vec<LocatedRow>>,
    terminator: Vec<u8>,
    rewriter: Option<Arc<RowRewriter>>,
    rules: Arc<RowRules>,
    to_show: Vec<RowToShow>,
    to_reject: Vec<(usize, Vec<RowError>)>,
    /// The reject file; `None` if no row is rejected.
    rejects: Option<RejectFile>,
    digest: Option<RowDigest>,
}

/// The flagged rows as they are kept.
struct Recorded {
    shown: Vec<BadRow>,
    fatal_shown: Vec<BadRow>,
    rejects: Option<RejectFile>,
    digest: Option<RowDigest>,
}

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
        self.rows_flagged += flagged.len() as u64;
        if let Some(tally) = &mut self.tally {
            for row_errors in flagged.values() {
                tally.count(row_errors.iter().map(|row_error| &row_error.warning));
            }
        }
        let to_show = self.count_flagged(&flagged);
        let flagged = FlaggedRows {
            what: self.request.what.clone(),
            file: self.request.staged.file.clone(),
            rows: Arc::clone(chunk),
            terminator: self.request.staged.lines_terminated_by.clone(),
            rewriter: self.request.staged.rewriter.clone(),
            rules: Arc::clone(self.values),
            to_show,
            to_reject: flagged.into_iter().collect(),
            rejects: if self.fatal.is_none() { self.rejects.take() } else { None },
            digest: digest.take(),
        };
        let recorded = run_blocking(move || flagged.record()).await??;
        self.shown.extend(recorded.shown);
        self.fatal_shown.extend(recorded.fatal_shown);
        (self.rejects, *digest) = (recorded.rejects, recorded.digest);
        self.ensure_limit()
    }

    /// Counts the flagged rows by their kind, and notes the first kind that fails the object.
    /// Returns the rows for which there is room in the error.
    fn count_flagged(&mut self, flagged: &Flagged) -> Vec<RowToShow> {
        let policy = self.policy;
        let mut to_show: Vec<RowToShow> = Vec::new();
        for (&index, row_errors) in flagged {
            let is_bad = row_errors.iter().any(|row_error| row_error.kind == RowErrorKind::BadRow);
            let kind = if is_bad { RowErrorKind::BadRow } else { RowErrorKind::Duplicate };
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
            if to_show.iter().filter(|row| row.is_fatal == is_fatal).count() < room {
                to_show.push(RowToShow { index, row_errors: row_errors.clone(), is_fatal });
            }
        }
        to_show
    }

    /// Fails the object if more of its rows are rejected than `--max-rejects` allows.
    fn ensure_limit(&mut self) -> Result<()> {
        let limit = self.request.max_rejects(&self.policy);
        if self.fatal.is_some() || self.rows_flagged <= limit {
            return Ok(());
        }
        let message = format!(
            "{}: more than {limit} of {} rows would be rejected, which --max-rejects does not \
             allow; rolled back",
            self.request.what, self.request.rows
        );
        Err(Error::new(ErrorKind::TooManyRejects, message).with_bad_rows(self.take_shown()))
    }
}

impl FlaggedRows {
    /// Reads the rows again, writes them to the reject file, and takes them off the digest.
    fn record(mut self) -> Result<Recorded> {
        let (shown, fatal_shown) = self.show()?;
        if let Some(mut rejects) = self.rejects.take() {
            self.reject(&mut rejects)?;
            self.rejects = Some(rejects);
        }
        Ok(Recorded { shown, fatal_shown, rejects: self.rejects, digest: self.digest })
    }

    /// Returns the rows to show, and apart from them those that fail the object.
    fn show(&self) -> Result<(Vec<BadRow>, Vec<BadRow>)> {
        let (mut shown, mut fatal_shown) = (Vec::new(), Vec::new());
        for RowToShow { index, row_errors, is_fatal } in &self.to_show {
            let row = &self.rows[*index];
            let bytes = self.read(row, SHOWN_BYTES)?;
            let raw = RawRow { is_cut: row.size_bytes > bytes.len() as u64, bytes };
            for row_error in row_errors {
                let bad = bad_row(row, &row_error.warning, &raw);
                warn_of_rule_hole(&self.rules, &self.what, &bad);
                if *is_fatal { fatal_shown.push(bad) } else { shown.push(bad) }
            }
        }
        Ok((shown, fatal_shown))
    }

    fn reject(&mut self, rejects: &mut RejectFile) -> Result<()> {
        for (index, row_errors) in &self.to_reject {
            let row = &self.rows[*index];
            let raw = self.read(row, u64::MAX)?;
            if let Some(digest) = &mut self.digest {
                match &self.rewriter {
                    Some(rewriter) => digest.subtract_row(&rewriter.row(&raw)),
                    None => digest.subtract_row(&raw),
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
                terminator: &self.terminator,
                reasons: &reasons,
            })?;
        }
        Ok(())
    }

    /// Reads a row's bytes, at most `limit` of them.
    fn read(&self, row: &LocatedRow, limit: u64) -> Result<Vec<u8>> {
        staged_rows::raw(&self.file, row, limit)
            .map_err(|error| staged_rows::unread(&self.what, error))
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
