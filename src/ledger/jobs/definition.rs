//! Compares the definition of the shadow with that of the target.
//!
//! A swap replaces the target's definition with the shadow's. A change to the target since the
//! shadow was made (a column, an index, a partition, a trigger) would be silently undone.

use sha2::{Digest as _, Sha256};

use crate::error::{ErrorKind, Result};
use crate::ledger::handle::Ledger;
use crate::ledger::identity::hex;
use crate::mysql::{Index, Phase, Session, TableDefinition, classify, is_in_foreign_key};
use crate::retry::Attempts;
use crate::sql_text::TableName;

impl Ledger {
    /// Returns the definition of the target, and its first difference to that of `shadow`, if there
    /// is one. `deferred` are indexes that the shadow does not have yet.
    pub(super) async fn compare_definitions(
        &self,
        session: &mut Session,
        shadow: &TableName,
        deferred: &[Index],
    ) -> Result<(TableDefinition, Option<String>)> {
        let target = self.definition_of(session, &self.target.name()).await?;
        if let Some(changed) = self.changed_in_target(session, deferred).await? {
            return Ok((target, Some(format!("index {changed}"))));
        }
        let shadow = self.definition_of(session, shadow).await?;
        // A run that died may have added some of them.
        let deferred: Vec<&str> = deferred.iter().map(|index| index.name.as_str()).collect();
        let difference = target.difference(&shadow, &deferred);
        Ok((target, difference))
    }

    /// Reads the definition of a table in the target's database.
    pub(super) async fn definition_of(
        &self,
        session: &mut Session,
        table: &TableName,
    ) -> Result<TableDefinition> {
        let shown = self.create_table(session, table).await?;
        TableDefinition::read(&mut session.conn, &shown, &self.target.database, &table.table)
            .await
            .map_err(|error| classify(Phase::Transaction, &self.what(), &error))
    }

    /// Returns true if the table is on either side of a foreign key. Waits for a statement that
    /// alters the table, within the bounds of a retry.
    pub(super) async fn is_in_foreign_key(
        &self,
        session: &mut Session,
        attempts: &mut Attempts,
        table: &TableName,
    ) -> Result<bool> {
        loop {
            let error = match is_in_foreign_key(&mut session.conn, table).await {
                Ok(answer) => return Ok(answer),
                Err(error) => self.ddl_failed("looking for foreign keys that refer to it", &error),
            };
            if error.kind != ErrorKind::LockConflict || !attempts.wait_after(&error).await {
                return Err(error);
            }
        }
    }
}

/// Returns the fingerprint of a definition, which fits in the comment of a table.
pub(super) fn fingerprint_of(definition: &TableDefinition) -> String {
    hex(&Sha256::digest(definition.text()))
}
