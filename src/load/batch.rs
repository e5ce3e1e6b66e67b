//! Loads several small objects in one transaction and, if their statements have the same text,
//! through one LOAD DATA.
//!
//! A statement and a COMMIT cost the server as much as twenty to thirty rows, and five round trips
//! on a long path. A batch is committed only if it is beyond doubt: the server took exactly the
//! rows that were counted in all its objects, skipped, replaced and deleted none, and warned about
//! nothing. Anything else is rolled back, and the objects are loaded one by one, so that each has
//! its own counts and its own error. So a batch has no policies: a clean result satisfies every
//! policy.
//!
//! Objects follow each other in the stream without a separator. That is correct if each begins and
//! ends between two rows, which the [splitter](crate::split) has checked, and if the last byte of
//! one and the first byte of the next cannot form one character
//! ([`is_self_contained`](crate::dialect::Charset::is_self_contained)).

use tokio_util::sync::CancellationToken;

use crate::error::{Error, ErrorKind, Result};
use crate::ledger::{BatchEntry, BeginOutcome};
use crate::load_data::{ExchangeOutcome, LoadRequest, Payload, load_data};
use crate::mysql::Session;

/// Small objects that are loaded together.
#[derive(Debug)]
pub struct Batch {
    /// The name of the batch in messages.
    pub what: String,
    /// The load requests, at least one.
    pub requests: Vec<LoadRequest>,
    /// The ledger rows of the objects; `None` without a ledger.
    pub entry: Option<BatchEntry>,
}

/// The successful outcomes of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BatchOutcome {
    Committed,
    /// Nothing was loaded, and nothing is known about any single object. Contains the reason.
    Fallback(String),
}

impl Session {
    /// Loads a batch and commits, or does nothing.
    ///
    /// If this future is dropped, nothing is committed, unless COMMIT was already on its way.
    /// Either way the session must then be destroyed, as after any error.
    ///
    /// # Errors
    /// The errors of [`Session::load`] that are not about rows.
    pub async fn load_batch(
        &mut self,
        batch: &Batch,
        abandoning: &CancellationToken,
    ) -> Result<BatchOutcome> {
        let what = &batch.what;
        let doubt = tokio::select! {
            biased;
            () = abandoning.cancelled() => {
                let message = format!("{what}: the run was stopped; rolled back");
                Err(Error::new(ErrorKind::Interrupted, message))
            }
            doubt = self.send(batch) => doubt,
        }?;
        if let Some(doubt) = doubt {
            return Ok(BatchOutcome::Fallback(doubt));
        }
        self.commit(what, abandoning).await.map(|()| BatchOutcome::Committed)
    }

    /// Does everything before COMMIT. Returns the reason for doubt, if there is one; the batch is
    /// then rolled back.
    async fn send(&mut self, batch: &Batch) -> Result<Option<String>> {
        let what = &batch.what;
        match &batch.entry {
            None => self.query(what, "START TRANSACTION").await?,
            // One byte is the command's.
            Some(entry) if entry.statement_bytes() >= self.max_packet_bytes() => {
                return Ok(Some(format!(
                    "its ledger rows take {} bytes, and the server's max_allowed_packet is {}",
                    entry.statement_bytes(),
                    self.max_packet_bytes()
                )));
            }
            Some(entry) if entry.begin(&mut self.conn).await? == BeginOutcome::AlreadyLoaded => {
                return Ok(Some("another run has loaded one of them".to_owned()));
            }
            Some(_) => {}
        }
        for together in statements(batch) {
            let Some(first) = together.first() else { continue };
            let rows = together.iter().map(|request| request.rows).sum();
            let payload = Payload::joined(together.iter().map(|request| request.staged.whole()));
            let answer = load_data(&mut self.conn, what, &first.sql, payload, rows).await?;
            let doubt = match answer {
                ExchangeOutcome::Accepted { counts, .. } if counts.is_all_of(rows) => None,
                ExchangeOutcome::Accepted { counts, .. } => {
                    Some(format!("{rows} rows were sent, but the server counted {counts}"))
                }
                ExchangeOutcome::Refused { error, .. } => Some(error.one_line()),
            };
            if doubt.is_some() {
                // Rolled back at once, so that no lock is in the way of the next loads.
                self.query(what, "ROLLBACK").await?;
                return Ok(doubt);
            }
        }
        if let Some(entry) = &batch.entry {
            entry.complete(&mut self.conn).await?;
        }
        Ok(None)
    }
}

/// Groups the load requests by their layouts and the texts of their statements.
fn statements(batch: &Batch) -> Vec<Vec<&LoadRequest>> {
    let mut statements: Vec<Vec<&LoadRequest>> = Vec::new();
    for request in &batch.requests {
        match statements
            .iter_mut()
            .find(|together| together.first().is_some_and(|first| first.shares_statement(request)))
        {
            Some(together) => together.push(request),
            None => statements.push(vec![request]),
        }
    }
    statements
}
