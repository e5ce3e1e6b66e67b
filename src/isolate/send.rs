//! Sends rows of a chunk in one statement, and assesses the server's answer.

use std::sync::Arc;

use super::setup::Scratch;
use super::state::{Flagged, RowError, RowIsolation, SendOutcome};
use crate::error::{Error, ErrorKind, Result};
use crate::load_data::{
    Assessment, Diagnostic, ExchangeOutcome, LoadStats, RowErrorKind, ServerCounts, assess,
    load_data, miscounted, staged_rows,
};
use crate::policy::{OnBadRow, OnDuplicate};
use crate::split::LocatedRow;

impl RowIsolation<'_> {
    /// Sends some of a chunk's rows, and assesses the answer. Flags the duplicates that their keys
    /// name.
    pub(super) async fn attempt(
        &mut self,
        chunk: &Arc<Vec<LocatedRow>>,
        sent: &[usize],
        flagged: &mut Flagged,
    ) -> Result<SendOutcome> {
        let policy = self.policy;
        if policy.on_duplicate == OnDuplicate::Update {
            return self.attempt_update(chunk, sent).await;
        }
        let sql = self.request.sql.clone();
        match self.send(&sql, chunk, sent).await? {
            ExchangeOutcome::Accepted { counts, shown } => {
                match self.flag_named_duplicates(chunk, sent, counts, &shown, flagged).await? {
                    Some(kept) => Ok(SendOutcome::Clean(kept)),
                    None => self.assess_answer(sent.len() as u64, counts, &shown),
                }
            }
            // The number may come from a statement in a trigger, which counts its own rows.
            ExchangeOutcome::Refused { warning, .. } => {
                Ok(SendOutcome::RowErrors(vec![unnumbered(warning)]))
            }
        }
    }

    /// Loads the rows into the scratch table, then upserts them into the target.
    async fn attempt_update(
        &mut self,
        chunk: &[LocatedRow],
        sent: &[usize],
    ) -> Result<SendOutcome> {
        let Some(scratch) = &self.isolation_setup.scratch else {
            return Err(Error::new(
                ErrorKind::Bug,
                format!("{}: an update needs a scratch table", self.request.what),
            ));
        };
        scratch.table.create(&mut self.session.conn).await?;
        let outcome = match self.fill(scratch, chunk, sent).await? {
            ExchangeOutcome::Accepted { counts, shown } => {
                self.assess_answer(sent.len() as u64, counts, &shown)?
            }
            ExchangeOutcome::Refused { warning, .. } => {
                SendOutcome::RowErrors(vec![unnumbered(warning)])
            }
        };
        let outcome = match outcome {
            SendOutcome::Clean(mut kept) => {
                let inserted = self.isolation_setup.update(&mut self.session.conn, scratch).await?;
                kept.loaded.skipped += inserted.rejected.len() as u64;
                kept.updated += inserted.updated;
                kept.unchanged += inserted.unchanged();
                let said = [inserted.rejected, inserted.warnings].concat();
                kept.count(&said);
                let row_errors = self.row_errors(&said);
                if row_errors.is_empty() {
                    SendOutcome::Clean(kept)
                } else {
                    SendOutcome::RowErrors(row_errors)
                }
            }
            refused => refused,
        };
        scratch.table.drop(&mut self.session.conn).await?;
        Ok(outcome)
    }

    /// Loads rows into the scratch table.
    pub(super) async fn fill(
        &mut self,
        scratch: &Scratch,
        chunk: &[LocatedRow],
        rows: &[usize],
    ) -> Result<ExchangeOutcome> {
        let sql = scratch.statement.sql(&self.request.staged.lines_terminated_by);
        self.send(&sql, chunk, rows).await
    }

    async fn send(
        &mut self,
        sql: &str,
        chunk: &[LocatedRow],
        sent: &[usize],
    ) -> Result<ExchangeOutcome> {
        let payload = staged_rows::payload(&self.request.staged, chunk, sent);
        let what = &self.request.what;
        load_data(&mut self.session.conn, what, sql, payload, sent.len() as u64).await
    }

    /// Assesses the answer to a statement that was sent `rows` rows.
    pub(super) fn assess_answer(
        &self,
        rows: u64,
        counts: ServerCounts,
        shown: &[Diagnostic],
    ) -> Result<SendOutcome> {
        match assess(rows, counts, shown, &self.policy) {
            Assessment::Clean => Ok(SendOutcome::Clean(LoadStats::of(rows, counts, shown))),
            // There is no smaller piece to send.
            Assessment::TruncatedWarnings
                if rows == 1 && self.policy.on_bad_row == OnBadRow::Accept =>
            {
                Ok(SendOutcome::Clean(LoadStats::of(rows, counts, shown)))
            }
            Assessment::TruncatedWarnings => Ok(SendOutcome::TruncatedWarnings {
                warnings: counts.warnings,
                shown: shown.len() as u64,
            }),
            Assessment::RowErrors(row_errors) => Ok(if counts.warnings > shown.len() as u64 {
                SendOutcome::TruncatedWarnings {
                    warnings: counts.warnings,
                    shown: shown.len() as u64,
                }
            } else {
                let row_error = |(kind, warning): &(RowErrorKind, &Diagnostic)| RowError {
                    kind: *kind,
                    warning: (*warning).clone(),
                };
                SendOutcome::RowErrors(row_errors.iter().map(row_error).collect())
            }),
            Assessment::UnexplainedSkips(_) => {
                let text = "the row was skipped, and no warning says why".to_owned();
                Ok(SendOutcome::RowErrors(vec![unnumbered(Diagnostic::new(
                    "Warning".to_owned(),
                    0,
                    text,
                ))]))
            }
            Assessment::CountMismatch => Err(miscounted(&self.request.what, rows, counts)),
        }
    }

    pub(super) fn row_errors(&self, shown: &[Diagnostic]) -> Vec<RowError> {
        let row_error = |warning: &Diagnostic| {
            let kind = self.policy.row_error(warning)?;
            Some(RowError { kind, warning: warning.clone() })
        };
        shown.iter().filter_map(row_error).collect()
    }
}

/// Builds a row error for an unknown row among those that were sent.
fn unnumbered(mut warning: Diagnostic) -> RowError {
    warning.row = None;
    RowError {
        kind: if warning.is_duplicate() { RowErrorKind::Duplicate } else { RowErrorKind::BadRow },
        warning,
    }
}
