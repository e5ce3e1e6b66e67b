//! Removes the ledger rows of generations that no job can need any more.

use crate::ledger::handle::Ledger;
use crate::mysql::{Phase, Session, classify};

/// The number of rows that one cleaning statement deletes. Its transaction is short, so no run
/// waits for it.
const FORGOTTEN_ROWS: u64 = 10_000;

impl Ledger {
    /// Removes the ledger rows that no job can need any more. They do no harm, so an error here
    /// does not fail the run.
    pub(super) async fn forget_older_generations(&self, session: &mut Session, generation: u32) {
        if let Err(error) = self.forget_older_parts(session, generation).await {
            let error = classify(Phase::Transaction, &self.what(), &error);
            tracing::warn!(
                "ledger rows of earlier generations are kept for now: \
                 {}",
                error.one_line()
            );
            return;
        }
        for table in [&self.tables.objects, &self.tables.failures] {
            let sql = format!(
                "DELETE FROM {table} \
                 WHERE target = {} AND generation < {generation} LIMIT {FORGOTTEN_ROWS}",
                self.target.literal()
            );
            loop {
                if let Err(error) = session.conn.query_drop(sql.as_str()).await {
                    let error = classify(Phase::Transaction, &self.what(), &error);
                    tracing::warn!(
                        "ledger rows of earlier generations are kept for now: {}",
                        error.one_line()
                    );
                    return;
                }
                if session.conn.affected_rows() < FORGOTTEN_ROWS {
                    break;
                }
            }
        }
    }
}
