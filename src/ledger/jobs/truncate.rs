//! Empties the target, which is how a truncate job begins.

use super::row::{JobRow, JobState};
use crate::error::{Error, ErrorKind, Result};
use crate::ledger::handle::Ledger;
use crate::mysql::Session;
use crate::retry::Attempts;

impl Ledger {
    /// Empties the target, unless that is done. Until the state is `loading`, the table has no row
    /// of this generation, so emptying it again does no harm.
    pub(super) async fn empty_target(
        &self,
        session: &mut Session,
        attempts: &mut Attempts,
        mut row: JobRow,
        defers_indexes: bool,
    ) -> Result<JobRow> {
        let target = self.target.name();
        if row.state == JobState::Begun {
            self.drop_leftovers(session, attempts).await?;
            self.ddl(session, attempts, "TRUNCATE TABLE", &format!("TRUNCATE TABLE {target}"))
                .await?;
            row = self.change(session, &row, &row.with_state(JobState::Emptied)).await?;
        }
        if row.state == JobState::Emptied {
            if defers_indexes {
                let indexes = self.to_be_deferred(session, &row, &target).await?;
                if indexes != row.deferred_indexes {
                    row = self
                        .change(session, &row, &JobRow { deferred_indexes: indexes, ..row.clone() })
                        .await?;
                }
                self.drop_indexes(session, attempts, &target, &row.deferred_indexes).await?;
            } else {
                row = self.add_indexes(session, attempts, row, &target).await?;
            }
            row = self.change(session, &row, &row.with_state(JobState::Loading)).await?;
        }
        Ok(row)
    }

    /// Returns the error for an append to a table that a TRUNCATE is still going to empty.
    pub(super) async fn still_to_be_emptied(
        &self,
        session: &mut Session,
        row: &JobRow,
    ) -> Result<Error> {
        if let Some(run) = self.run_at_work(session, row).await? {
            let message = format!("{}: {run} is emptying it", self.what());
            return Ok(Error::new(ErrorKind::TargetBusy, message)
                .with_hint("run again after it has been emptied"));
        }
        let message = format!(
            "{}: an unfinished truncate job, generation {} of run {}, has not emptied it yet",
            self.what(),
            row.generation,
            row.run_id
        );
        Ok(Error::new(ErrorKind::TargetRefused, message).with_hint(
            "run that --mode truncate command again first: rows appended now would be lost",
        ))
    }
}
