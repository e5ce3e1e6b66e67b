//! Loads rows via the scratch table, when LOAD DATA into the target says too little about them.

use super::insert_select;
use super::insert_stats::{InsertStats, OnConflict};
use super::setup::Scratch;
use super::state::{Flagged, ROLLBACK, RowError, RowIsolation, SAVEPOINT, SendOutcome};
use crate::error::{ErrorKind, Result};
use crate::load_data::{Diagnostic, ExchangeOutcome, LoadStats};
use crate::mysql::codes;
use crate::split::LocatedRow;

/// The outcome of loading via the scratch table.
pub(crate) enum ScratchOutcome {
    /// The rows are in, except those that are flagged now.
    Loaded,
    /// Some rows are flagged now: the others are to be sent again.
    Retry,
    /// The scratch table cannot help with this piece. If `is_for_good`, it cannot help with any
    /// part of it either.
    Unavailable { is_for_good: bool },
}

impl RowIsolation<'_> {
    /// Loads rows via the scratch table, from which the server stores each row in the target or
    /// reports why it refuses it.
    ///
    /// Must not be used under REPLACE, which treats a row whose key exists differently.
    pub(super) async fn load_via_scratch_table(
        &mut self,
        chunk: &[LocatedRow],
        sent: &[usize],
        flagged: &mut Flagged,
    ) -> Result<ScratchOutcome> {
        let Some(scratch) = &self.isolation_setup.scratch else {
            return Ok(ScratchOutcome::Unavailable { is_for_good: true });
        };
        scratch.table.create(&mut self.session.conn).await?;
        let taken = match self.fill(scratch, chunk, sent).await? {
            ExchangeOutcome::Accepted { counts, shown } => {
                match self.assess_answer(sent.len() as u64, counts, &shown)? {
                    SendOutcome::Clean(kept) => {
                        self.take_over(scratch, sent, kept, flagged).await?
                    }
                    // Only the target's triggers decide if NULL is accepted.
                    SendOutcome::RowErrors(row_errors)
                        if !row_errors.iter().any(|row_error| {
                            matches!(
                                row_error.warning.code,
                                codes::NULL_REPLACED | codes::NULL_REFUSED
                            )
                        }) =>
                    {
                        // A warning about an expression of --set names no row here either.
                        if Self::flag_numbered(&row_errors, sent, flagged) {
                            ScratchOutcome::Retry
                        } else {
                            ScratchOutcome::Unavailable { is_for_good: true }
                        }
                    }
                    SendOutcome::TruncatedWarnings { .. } => {
                        ScratchOutcome::Unavailable { is_for_good: false }
                    }
                    SendOutcome::RowErrors(_) => ScratchOutcome::Unavailable { is_for_good: true },
                }
            }
            ExchangeOutcome::Refused { .. } => ScratchOutcome::Unavailable { is_for_good: false },
        };
        scratch.table.drop(&mut self.session.conn).await?;
        self.prefers_scratch_table = !matches!(taken, ScratchOutcome::Unavailable { .. });
        Ok(taken)
    }

    /// Inserts the rows of the scratch table into the target, and flags those that it refuses.
    async fn take_over(
        &mut self,
        scratch: &Scratch,
        sent: &[usize],
        mut kept: LoadStats,
        flagged: &mut Flagged,
    ) -> Result<ScratchOutcome> {
        self.query(SAVEPOINT).await?;
        let inserted =
            match scratch.table.insert_into(&mut self.session.conn, OnConflict::Skip).await {
                Ok(inserted) => inserted,
                // The server shows too few of its warnings.
                Err(error) if error.kind == ErrorKind::TargetRefused => {
                    tracing::debug!("{}", error.one_line());
                    self.query(ROLLBACK).await?;
                    return Ok(ScratchOutcome::Unavailable { is_for_good: true });
                }
                Err(error) => return Err(error),
            };
        let InsertStats { warnings, rejected, .. } = inserted;
        let row_errors = self.row_errors(&warnings);
        if !row_errors.is_empty() {
            // The rows are in the target, but with changed values.
            self.query(ROLLBACK).await?;
            Self::flag_numbered(&row_errors, sent, flagged);
            // A refusal of the same row is a reason, too. Other rows may have been refused only
            // because of these.
            let is_flagged = |row_error: &RowError| {
                row_errors.iter().any(|flagged| flagged.warning.row == row_error.warning.row)
            };
            let rejected: Vec<RowError> =
                self.row_errors(&rejected).into_iter().filter(is_flagged).collect();
            Self::flag_numbered(&rejected, sent, flagged);
            return Ok(ScratchOutcome::Retry);
        }
        let row_errors = self.row_errors(&rejected);
        Self::flag_numbered(&row_errors, sent, flagged);
        let accepted = |warning: &&Diagnostic| self.policy.row_error(warning).is_none();
        let skipped: Vec<Diagnostic> = rejected.iter().filter(accepted).cloned().collect();
        kept.loaded.skipped += skipped.len() as u64;
        kept.count(&skipped);
        kept.count(&warnings);
        self.keep((sent.len() - row_errors.len()) as u64, kept);
        Ok(ScratchOutcome::Loaded)
    }

    /// Returns the rows at which REPLACE would end, as far as a dry run can find them. It never
    /// includes a row that REPLACE would store. Returns `None` if a smaller piece must be tried.
    pub(super) async fn dry_run_insert(
        &mut self,
        chunk: &[LocatedRow],
        left: &[usize],
    ) -> Result<Option<Vec<(usize, RowError)>>> {
        let Some(scratch) = self.isolation_setup.scratch.as_ref().filter(|_| !left.is_empty())
        else {
            return Ok(Some(Vec::new()));
        };
        scratch.table.create(&mut self.session.conn).await?;
        let answer = self.fill(scratch, chunk, left).await?;
        let mut said = Vec::new();
        let mut is_hidden = false;
        // If the scratch table refuses the statement too, halving finds the row.
        if let ExchangeOutcome::Accepted { counts, shown } = answer {
            is_hidden = counts.warnings > shown.len() as u64;
            // LOAD DATA into the target ends at its first bad value; this one reports all of them.
            said.extend(shown);
            if !is_hidden {
                match insert_select::dry_run_insert(&mut self.session.conn, &scratch.table, false)
                    .await
                {
                    Ok(dry_run) => {
                        said.extend(dry_run.rejected);
                        said.extend(dry_run.warnings);
                    }
                    Err(error) if error.kind == ErrorKind::TargetRefused => {
                        tracing::debug!("{}", error.one_line());
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        scratch.table.drop(&mut self.session.conn).await?;
        if is_hidden {
            return Ok(None);
        }
        let place = |row_error: RowError| {
            let row = usize::try_from(row_error.warning.row?).ok()?;
            Some((*left.get(row.checked_sub(1)?)?, row_error))
        };
        Ok(Some(self.row_errors(&said).into_iter().filter_map(place).collect()))
    }
}
