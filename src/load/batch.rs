//! Several small objects in one transaction and, where their statement's text is the same, through
//! one LOAD DATA.
//!
//! A statement and a COMMIT of its own cost the server as much as twenty to thirty rows, and on a
//! long path five round trips. What is committed together is beyond doubt: the server took as many
//! rows as were counted in all the objects, skipped, replaced and deleted none, and warned of
//! nothing. Anything else is rolled back, and the objects are loaded one by one, so that each has
//! its own counts and its own error. So this has no policies: what is clean is what every policy
//! wants.
//!
//! Objects follow each other in the stream without a mark. That is right where each begins and ends
//! between two rows, which the [splitter](crate::split) has seen, and where the last byte of one
//! and the first byte of the next can't be one character
//! ([`is_self_contained`](crate::dialect::Charset::is_self_contained)).

use tokio_util::sync::CancellationToken;

use crate::error::{Error, ErrorKind, Result};
use crate::isolate::Plan;
use crate::ledger::{BatchEntry, BeginOutcome};
use crate::load_data::{ExchangeOutcome, LoadRequest, Payload, load_data};
use crate::mysql::Session;

/// Objects that are sent together.
#[derive(Debug)]
pub struct Batch {
    /// For messages.
    pub what: String,
    /// At least one.
    pub requests: Vec<LoadRequest>,
    /// Their ledger rows, where there is a ledger.
    pub entry: Option<BatchEntry>,
}

/// How a batch ended well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BatchOutcome {
    Committed,
    /// Nothing was done, and nothing is known of any single object.
    Fallback(String),
}

impl Session {
    /// Loads a batch and commits, or does nothing.
    ///
    /// If this is dropped half-way nothing is committed, unless COMMIT was already on its way;
    /// either way the session must be destroyed then, as after any error.
    ///
    /// # Errors
    /// Those of [`Session::load`] that are not about rows.
    pub async fn load_batch(
        &mut self,
        batch: &Batch,
        plan: &Plan,
        abandoning: &CancellationToken,
    ) -> Result<BatchOutcome> {
        let what = &batch.what;
        let doubt = tokio::select! {
            biased;
            () = abandoning.cancelled() => {
                Err(Error::new(ErrorKind::Interrupted, format!("{what}: the run was stopped; rolled back")))
            }
            doubt = self.send(batch, plan) => doubt,
        }?;
        if let Some(doubt) = doubt {
            return Ok(BatchOutcome::Fallback(doubt));
        }
        self.commit(what, abandoning).await.map(|()| BatchOutcome::Committed)
    }

    /// Everything before COMMIT. What makes it doubtful, where something does: it is rolled back
    /// then.
    async fn send(&mut self, batch: &Batch, plan: &Plan) -> Result<Option<String>> {
        let what = &batch.what;
        match &batch.entry {
            None => self.query(what, "START TRANSACTION").await?,
            Some(entry) if entry.begin(&mut self.conn).await? == BeginOutcome::AlreadyLoaded => {
                return Ok(Some("another run has loaded one of them".to_owned()));
            }
            Some(_) => {}
        }
        for together in statements(batch) {
            let Some(first) = together.first() else { continue };
            let rows = together.iter().map(|request| request.rows).sum();
            let payload = Payload::joined(together.iter().map(|request| request.staged.whole()));
            let answer = load_data(
                &mut self.conn,
                what,
                &first.sql,
                payload,
                rows,
                plan.policy.stall_timeout,
            )
            .await?;
            let doubt = match answer {
                ExchangeOutcome::Accepted { counts, .. } if counts.is_all_of(rows) => None,
                ExchangeOutcome::Accepted { counts, .. } => {
                    Some(format!("{rows} rows were sent, and the server says {counts}"))
                }
                ExchangeOutcome::Refused { error, .. } => Some(error.one_line()),
            };
            if doubt.is_some() {
                // At once, so that no lock is in the way of what follows.
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

/// The shipments by the text of their statements.
fn statements(batch: &Batch) -> Vec<Vec<&LoadRequest>> {
    let mut statements: Vec<Vec<&LoadRequest>> = Vec::new();
    for request in &batch.requests {
        match statements
            .iter_mut()
            .find(|together| together.iter().any(|first| first.sql == request.sql))
        {
            Some(together) => together.push(request),
            None => statements.push(vec![request]),
        }
    }
    statements
}
