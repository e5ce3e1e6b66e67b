//! Compares the definition of the shadow with that of the target.
//!
//! A swap replaces the target's definition with the shadow's. A change to the target since the
//! shadow was made (a column, an index, a partition, a trigger) would be silently undone.

use crate::error::Result;
use crate::ledger::handle::Ledger;
use crate::mysql::{Index, Phase, Session, TableDefinition, classify};
use crate::sql_text::TableName;

impl Ledger {
    /// Returns the first difference between the target and `shadow`, if there is one. `deferred`
    /// are indexes that the shadow does not have yet.
    pub(super) async fn difference(
        &self,
        session: &mut Session,
        shadow: &TableName,
        deferred: &[Index],
    ) -> Result<Option<String>> {
        if let Some(changed) = self.changed_in_target(session, deferred).await? {
            return Ok(Some(format!("index {changed}")));
        }
        let tables = [self.target.table.as_str(), shadow.table.as_str()];
        let [target, shadow] =
            TableDefinition::read_two(&mut session.conn, &self.target.database, tables)
                .await
                .map_err(|error| classify(Phase::Transaction, &self.what(), &error))?;
        // A run that died may have added some of them.
        let deferred: Vec<&str> = deferred.iter().map(|index| index.name.as_str()).collect();
        Ok(target.difference(&shadow, &deferred))
    }
}
