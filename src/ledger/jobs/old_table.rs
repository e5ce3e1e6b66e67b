//! The table that a swap has replaced: it is checked, and then dropped or kept.
//!
//! The marker says what its definition was at the last look before the RENAME. If it is another
//! one now, somebody altered the table in between, and that change exists nowhere else. Then the
//! table is not touched, and every run of a job says so until somebody has dealt with it. The same
//! holds if foreign keys of other tables refer to it: they were meant for the target.

use std::collections::HashMap;

use super::definition::fingerprint_of;
use super::marker::Marker;
use super::row::JobRow;
use super::swap::{NAME_LIMIT, REFERRING_KEY};
use crate::error::{Error, ErrorKind, Result};
use crate::ledger::handle::Ledger;
use crate::mysql::Session;
use crate::retry::Attempts;
use crate::sql_text::TableName;

impl Ledger {
    /// Returns the name under which `--swap-keep-old` keeps the old table.
    fn kept_name(&self) -> TableName {
        TableName {
            database: Some(self.target.database.clone()),
            table: format!("{}_old", self.target.table),
        }
    }

    /// Returns an error if the old table cannot be kept.
    ///
    /// # Errors
    /// `TargetRefused` if the name under which it would be kept is too long, or is the name of a
    /// table that no swap has made.
    pub(super) async fn ensure_kept_name_is_free(
        &self,
        session: &mut Session,
        row: &JobRow,
    ) -> Result<()> {
        let kept = self.kept_name();
        let refused = |problem: &str, hint: String| {
            let message = format!(
                "{}: --swap-keep-old would keep its rows as {kept}, {problem}",
                self.what()
            );
            Err(Error::new(ErrorKind::TargetRefused, message).with_hint(hint))
        };
        if kept.table.chars().count() > NAME_LIMIT {
            return refused(
                "a name that is too long",
                format!("names have at most {NAME_LIMIT} characters"),
            );
        }
        let marker = self.swap_names()?.kept;
        let found = self.comments(session, [&kept, &marker]).await?;
        if found.contains_key(&kept.table) && !self.is_kept_by_a_swap(row, &found)? {
            return refused(
                "a table that no swap has made",
                "rename or drop it, or swap without --swap-keep-old".to_owned(),
            );
        }
        Ok(())
    }

    /// Returns true if a swap has made the table under the kept name. `found` has the comments of
    /// that table and of its marker.
    fn is_kept_by_a_swap(&self, row: &JobRow, found: &HashMap<String, String>) -> Result<bool> {
        let marker = self.swap_names()?.kept;
        Ok(row.old_table == self.kept_name().table
            && found.get(&marker.table).is_some_and(|comment| Marker::parse(comment).is_some()))
    }

    /// Returns what was changed of the replaced table since the marker was made, in words, or what
    /// else would be lost with it.
    pub(super) async fn change_of_old(
        &self,
        session: &mut Session,
        attempts: &mut Attempts,
        marker: &Marker,
    ) -> Result<Option<String>> {
        let old = self.swap_names()?.old;
        let definition = self.definition_of(session, &old).await?;
        if marker.definition.as_ref().is_some_and(|known| *known != fingerprint_of(&definition)) {
            let now = self.definition_of(session, &self.target.name()).await?;
            let change = definition.difference(&now, &[]);
            return Ok(Some(change.unwrap_or_else(|| "its definition".to_owned())));
        }
        let is_referred_to = self.is_in_foreign_key(session, attempts, &old).await?;
        Ok(is_referred_to.then(|| REFERRING_KEY.to_owned()))
    }

    /// Drops the old table, or renames it to the name under which it is kept, and then drops the
    /// marker. Readers no longer depend on any of these tables.
    pub(super) async fn tidy_up(
        &self,
        session: &mut Session,
        attempts: &mut Attempts,
        mut row: JobRow,
    ) -> Result<JobRow> {
        let names = self.swap_names()?;
        let (done, old, kept) = (&names.done, &names.old, &self.kept_name());
        let kept_marker = &names.kept;
        let found = self.comments(session, [done, old, kept, kept_marker]).await?;
        let Some(comment) = found.get(&done.table) else { return Ok(row) };
        let marker = Marker::parse(comment);
        if let Some(marker) = &marker
            && found.contains_key(&old.table)
            && let Some(change) = self.change_of_old(session, attempts, marker).await?
        {
            let message = format!(
                "{}: swapped, but its old table, which stays as {old}, was altered right before \
                 ({change})",
                self.what()
            );
            return Err(Error::new(ErrorKind::TargetRefused, message).with_hint(format!(
                "make that change to {} too, drop or rename {old}, and run again",
                self.target.name()
            )));
        }
        let keeps_old = marker.is_some_and(|marker| marker.keeps_old);
        if found.contains_key(&old.table) && keeps_old {
            if found.contains_key(&kept.table) && !self.is_kept_by_a_swap(&row, &found)? {
                // The table appeared after the last check. No foreign table is dropped to make
                // room.
                let message = format!(
                    "{}: swapped, but its old table is still {old}, because a table {kept} exists \
                     now",
                    self.what()
                );
                return Err(Error::new(ErrorKind::TargetRefused, message)
                    .with_hint("rename that table, and run again"));
            }
            if !found.contains_key(&kept.table) || self.drop_old(session, attempts, kept).await? {
                let recorded = JobRow { old_table: kept.table.clone(), ..row.clone() };
                row = self.change(session, &row, &recorded).await?;
                if found.contains_key(&kept_marker.table) {
                    let sql = format!("DROP TABLE {kept_marker}");
                    self.ddl(session, attempts, &sql, &sql).await?;
                }
                let sql = format!("RENAME TABLE {old} TO {kept}, {done} TO {kept_marker}");
                self.ddl(session, attempts, "RENAME TABLE", &sql).await?;
                return Ok(row);
            }
        } else if found.contains_key(&old.table) {
            self.drop_old(session, attempts, old).await?;
        }
        // Last, because the marker says what remains to be done.
        self.ddl(session, attempts, &format!("DROP TABLE {done}"), &format!("DROP TABLE {done}"))
            .await?;
        Ok(row)
    }

    /// Drops the old table. Returns false if foreign keys refer to it, so that it cannot be
    /// dropped: it stays then, which hurts no reader.
    async fn drop_old(
        &self,
        session: &mut Session,
        attempts: &mut Attempts,
        old: &TableName,
    ) -> Result<bool> {
        match self
            .ddl(session, attempts, &format!("DROP TABLE {old}"), &format!("DROP TABLE {old}"))
            .await
        {
            Ok(()) => Ok(true),
            Err(error) if error.kind == ErrorKind::TargetRefused => {
                tracing::warn!(
                    "{}: swapped, but the old table stays as {old}: {}; foreign keys that referred \
                     to the target now refer to that table",
                    self.what(),
                    error.one_line()
                );
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}
