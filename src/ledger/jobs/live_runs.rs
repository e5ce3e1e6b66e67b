//! Finds the other runs on the target that are alive, and reports the conflicts with them.
//!
//! A run is alive while a connection holds its advisory lock. So a run that died without recording
//! its end is in nobody's way.

use super::row::JobRow;
use crate::error::{Error, ErrorKind, Result};
use crate::ledger::handle::Ledger;
use crate::ledger::identity::run_lock_name;
use crate::mysql::{Phase, Session, classify};
use crate::sql_text::bytes_literal;

impl Ledger {
    /// Returns a live run that works on this job, if the job is unfinished: the run that began it,
    /// or one that has joined it.
    pub(super) async fn run_at_work(
        &self,
        session: &mut Session,
        row: &JobRow,
    ) -> Result<Option<String>> {
        if !row.is_unfinished() {
            return Ok(None);
        }
        // The run that began the job may not yet have recorded that in its own row.
        let condition = format!(
            "(mode = '{}' AND generation = {} OR run_id = {})",
            row.mode.word(),
            row.generation,
            bytes_literal(row.run_id.as_bytes())
        );
        let runs = self.open_runs(session, &condition).await?;
        self.first_alive(session, runs).await
    }

    pub(super) async fn is_any_run_alive(&self, session: &mut Session) -> Result<bool> {
        let runs = self.open_runs(session, "TRUE").await?;
        Ok(self.first_alive(session, runs).await?.is_some())
    }

    /// Returns the runs of this target that have not recorded their end, each with a name for
    /// people.
    async fn open_runs(
        &self,
        session: &mut Session,
        condition: &str,
    ) -> Result<Vec<(String, String)>> {
        let sql = format!(
            "SELECT run_id, worker \
             FROM {} \
             WHERE target = {} AND ended_at IS NULL AND {condition} \
             ORDER BY started_at DESC",
            self.tables.runs,
            self.target.literal()
        );
        let runs: Vec<(Vec<u8>, Vec<u8>)> = session
            .conn
            .query(sql)
            .await
            .map_err(|error| classify(Phase::Transaction, &self.what(), &error))?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(runs
            .into_iter()
            .map(|(run_id, worker)| (text(run_id), text(worker)))
            .map(|(run_id, worker)| {
                let name = format!("run {} ({})", run_id.escape_debug(), worker.escape_debug());
                (run_id, name)
            })
            .collect())
    }

    async fn first_alive(
        &self,
        session: &mut Session,
        runs: Vec<(String, String)>,
    ) -> Result<Option<String>> {
        for (run_id, name) in runs {
            if run_id == self.run.id {
                continue;
            }
            let sql = format!("SELECT IS_USED_LOCK('{}') IS NOT NULL", run_lock_name(&run_id));
            let alive: Option<bool> = session
                .conn
                .query_first(sql)
                .await
                .map_err(|error| classify(Phase::Transaction, &self.what(), &error))?;
            if alive == Some(true) {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }

    pub(super) fn occupied(&self, row: &JobRow, run: &str) -> Error {
        let message = format!(
            "{}: {run} is at work on an unfinished {} job, generation {}; this run would begin \
             another one",
            self.what(),
            row.mode.word(),
            row.generation
        );
        Error::new(ErrorKind::TargetRefused, message).with_hint(
            "wait for that run to end, or stop it: another job can begin as soon as no run is at \
             work on it",
        )
    }

    pub(super) async fn warn_of_appends(&self, session: &mut Session) -> Result<()> {
        let appends = self.open_runs(session, "mode = 'append'").await?;
        if let Some(run) = self.first_alive(session, appends).await? {
            tracing::warn!(
                "{}: {run} is appending to it: its loaded rows will be removed, and its next load \
                 will fail",
                self.what()
            );
        }
        Ok(())
    }
}
