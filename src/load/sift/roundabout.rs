//! The way by the private table, for rows of which the target's own statement says too little.

use super::super::account::Account;
use super::super::answer::Answer;
use super::super::insertion::{self, OnConflict};
use super::super::plan::Private;
use super::super::warnings::Warning;
use super::{Held, Offence, ROLLBACK, SAVEPOINT, Sift, Told};
use crate::error::{Kind, Result};
use crate::split::LocatedRow;

/// What came of the way by the private table.
pub(super) enum Roundabout {
    /// The rows are in, but for those that are held back now.
    Through,
    /// Some rows are held back now: the others are to be sent again.
    Again,
    /// Not this way; nor, if for good, for any piece of these rows.
    Closed { is_for_good: bool },
}

impl Sift<'_> {
    /// Loads rows by way of the private table, from which the server takes each to the target or
    /// says what it has against it.
    ///
    /// Not under REPLACE, which does something else with a row whose key is there.
    pub(super) async fn roundabout(
        &mut self,
        chunk: &[LocatedRow],
        sent: &[usize],
        held: &mut Held,
    ) -> Result<Roundabout> {
        let Some(private) = &self.careful.private else {
            return Ok(Roundabout::Closed { is_for_good: true });
        };
        private.table.create(&mut self.session.conn).await?;
        let taken = match self.fill(private, chunk, sent).await? {
            Answer::Taken { counts, shown } => {
                match self.told(chunk, sent, counts, &shown).await? {
                    Told::Fine(kept) => self.take_over(private, sent, kept, held).await?,
                    // Whether NULL is let in, only the target's triggers know.
                    Told::Offences(offences)
                        if !offences
                            .iter()
                            .any(|offence| matches!(offence.warning.code, 1263 | 1048)) =>
                    {
                        // What an expression of --set says of a value names no row here either.
                        if Self::hold_numbered(&offences, sent, held) {
                            Roundabout::Again
                        } else {
                            Roundabout::Closed { is_for_good: true }
                        }
                    }
                    Told::Hidden { .. } => Roundabout::Closed { is_for_good: false },
                    Told::Offences(_) => Roundabout::Closed { is_for_good: true },
                }
            }
            Answer::Refused { .. } => Roundabout::Closed { is_for_good: false },
        };
        private.table.drop(&mut self.session.conn).await?;
        self.prefers_roundabout = !matches!(taken, Roundabout::Closed { .. });
        Ok(taken)
    }

    /// Takes the rows of the private table to the target, and holds those back that it refuses.
    async fn take_over(
        &mut self,
        private: &Private,
        sent: &[usize],
        mut kept: Account,
        held: &mut Held,
    ) -> Result<Roundabout> {
        self.query(SAVEPOINT).await?;
        let inserted =
            match private.table.insert_into(&mut self.session.conn, OnConflict::Skip).await {
                Ok(inserted) => inserted,
                // A server that tells too little of its warnings.
                Err(error) if error.kind == Kind::TargetRefused => {
                    tracing::debug!("{}", error.one_line());
                    self.query(ROLLBACK).await?;
                    return Ok(Roundabout::Closed { is_for_good: true });
                }
                Err(error) => return Err(error),
            };
        let remarks: Vec<Warning> = inserted.remarks.iter().map(Warning::from).collect();
        let refused: Vec<Warning> = inserted.refused.iter().map(Warning::from).collect();
        let offences = self.offences(&remarks);
        if !offences.is_empty() {
            // They are in the target, but not as they were.
            self.query(ROLLBACK).await?;
            Self::hold_numbered(&offences, sent, held);
            // What refused the same rows is a reason, too; other rows may have been refused for
            // these.
            let is_held = |offence: &Offence| {
                offences.iter().any(|held| held.warning.row == offence.warning.row)
            };
            let refused: Vec<Offence> =
                self.offences(&refused).into_iter().filter(is_held).collect();
            Self::hold_numbered(&refused, sent, held);
            return Ok(Roundabout::Again);
        }
        let offences = self.offences(&refused);
        Self::hold_numbered(&offences, sent, held);
        let accepted = |warning: &&Warning| self.policy.offence(warning).is_none();
        let skipped: Vec<Warning> = refused.iter().filter(accepted).cloned().collect();
        kept.loaded.skipped += skipped.len() as u64;
        kept.count(&skipped);
        kept.count(&remarks);
        self.keep((sent.len() - offences.len()) as u64, kept);
        Ok(Roundabout::Through)
    }

    /// Which of the rows REPLACE would end at, as far as that can be said: not one that it would
    /// take. `None` where a smaller piece has to be asked for.
    pub(super) async fn foresee(
        &mut self,
        chunk: &[LocatedRow],
        left: &[usize],
    ) -> Result<Option<Vec<(usize, Offence)>>> {
        let Some(private) = self.careful.private.as_ref().filter(|_| !left.is_empty()) else {
            return Ok(Some(Vec::new()));
        };
        private.table.create(&mut self.session.conn).await?;
        let answer = self.fill(private, chunk, left).await?;
        let mut said = Vec::new();
        let mut is_hidden = false;
        // What is refused here, too, halving finds.
        if let Answer::Taken { counts, shown } = answer {
            is_hidden = counts.warnings > shown.len() as u64;
            // The target's own statement ends at its first bad value: this one tells of all.
            said.extend(shown);
            if !is_hidden {
                match insertion::foresee(&mut self.session.conn, &private.table, false).await {
                    Ok(foreseen) => said.extend(
                        foreseen.refused.iter().chain(&foreseen.remarks).map(Warning::from),
                    ),
                    Err(error) if error.kind == Kind::TargetRefused => {
                        tracing::debug!("{}", error.one_line())
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        private.table.drop(&mut self.session.conn).await?;
        if is_hidden {
            return Ok(None);
        }
        let place = |offence: Offence| {
            let row = usize::try_from(offence.warning.row?).ok()?;
            Some((*left.get(row.checked_sub(1)?)?, offence))
        };
        Ok(Some(self.offences(&said).into_iter().filter_map(place).collect()))
    }
}
