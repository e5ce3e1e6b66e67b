//! The way by the private table, for rows of which the target's own statement says too little.

use super::insert_select;
use super::insert_stats::OnConflict;
use super::plan::Scratch;
use super::state::{Flagged, ROLLBACK, RowError, RowIsolation, SAVEPOINT, SendOutcome};
use crate::error::{ErrorKind, Result};
use crate::load_data::{Diagnostic, ExchangeOutcome, LoadStats};
use crate::split::LocatedRow;

/// What came of the way by the private table.
pub(crate) enum ScratchOutcome {
    /// The rows are in, but for those that are held back now.
    Loaded,
    /// Some rows are held back now: the others are to be sent again.
    Retry,
    /// Not this way; nor, if for good, for any piece of these rows.
    Unavailable { is_for_good: bool },
}

impl RowIsolation<'_> {
    /// Loads rows by way of the private table, from which the server takes each to the target or
    /// says what it has against it.
    ///
    /// Not under REPLACE, which does something else with a row whose key is there.
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
                match self.told(chunk, sent, counts, &shown).await? {
                    SendOutcome::Clean(kept) => {
                        self.take_over(scratch, sent, kept, flagged).await?
                    }
                    // Whether NULL is let in, only the target's triggers know.
                    SendOutcome::RowErrors(row_errors)
                        if !row_errors
                            .iter()
                            .any(|row_error| matches!(row_error.warning.code, 1263 | 1048)) =>
                    {
                        // What an expression of --set says of a value names no row here either.
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

    /// Takes the rows of the private table to the target, and holds those back that it refuses.
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
                // A server that tells too little of its warnings.
                Err(error) if error.kind == ErrorKind::TargetRefused => {
                    tracing::debug!("{}", error.one_line());
                    self.query(ROLLBACK).await?;
                    return Ok(ScratchOutcome::Unavailable { is_for_good: true });
                }
                Err(error) => return Err(error),
            };
        let warnings: Vec<Diagnostic> = inserted.warnings.iter().map(Diagnostic::from).collect();
        let rejected: Vec<Diagnostic> = inserted.rejected.iter().map(Diagnostic::from).collect();
        let row_errors = self.row_errors(&warnings);
        if !row_errors.is_empty() {
            // They are in the target, but not as they were.
            self.query(ROLLBACK).await?;
            Self::flag_numbered(&row_errors, sent, flagged);
            // What refused the same rows is a reason, too; other rows may have been refused for
            // these.
            let is_held = |row_error: &RowError| {
                row_errors.iter().any(|flagged| flagged.warning.row == row_error.warning.row)
            };
            let rejected: Vec<RowError> =
                self.row_errors(&rejected).into_iter().filter(is_held).collect();
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

    /// Which of the rows REPLACE would end at, as far as that can be said: not one that it would
    /// take. `None` where a smaller piece has to be asked for.
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
        // What is refused here, too, halving finds.
        if let ExchangeOutcome::Accepted { counts, shown } = answer {
            is_hidden = counts.warnings > shown.len() as u64;
            // The target's own statement ends at its first bad value: this one tells of all.
            said.extend(shown);
            if !is_hidden {
                match insert_select::dry_run_insert(&mut self.session.conn, &scratch.table, false)
                    .await
                {
                    Ok(dry_run) => said.extend(
                        dry_run.rejected.iter().chain(&dry_run.warnings).map(Diagnostic::from),
                    ),
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
