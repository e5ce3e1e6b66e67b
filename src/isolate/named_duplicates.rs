//! Flags duplicates by the key that the server's warning shows.
//!
//! A warning about a duplicate has no row number, but it has the value of the key: `Duplicate entry
//! '7' for key 'orders.PRIMARY'`. If that text belongs to one row only, the row is found without
//! loading anything again. If several rows of a statement have the same key, the server stores the
//! first or none of them, and the number of warnings shows which.
//!
//! This is exact under the conditions that are checked here and in [`super::shown_keys`]: the
//! server shows each row's key exactly as the row has it, no trigger or assignment changes the key,
//! and only duplicates make the server skip rows. Otherwise the scratch table finds the rows.

use std::sync::Arc;

use super::state::{Flagged, RowError, RowIsolation, flag};
use crate::blocking::run_blocking;
use crate::error::Result;
use crate::load_data::{Diagnostic, LoadStats, RowErrorKind, ServerCounts, staged_rows};
use crate::policy::{OnBadRow, OnDuplicate};
use crate::split::LocatedRow;
use crate::values::Rewriting;

impl RowIsolation<'_> {
    /// Flags the rows that the server skipped, if all that it says against the rows is that some
    /// are duplicates, and if it shows which. Returns the counts of the others then.
    pub(super) async fn flag_named_duplicates(
        &self,
        chunk: &Arc<Vec<LocatedRow>>,
        sent: &[usize],
        counts: ServerCounts,
        said: &[Diagnostic],
        flagged: &mut Flagged,
    ) -> Result<Option<LoadStats>> {
        let Some(keys) = self.isolation_setup.shown_keys.clone() else { return Ok(None) };
        let (duplicates, others): (Vec<_>, Vec<_>) =
            said.iter().cloned().partition(Diagnostic::is_duplicate);
        let is_certain = self.policy.on_duplicate == OnDuplicate::Reject
            // An accepted bad value would be shown as the server changed it.
            && self.policy.on_bad_row != OnBadRow::Accept
            // The server gets other texts than the rows have.
            && self.request.values.rewriting == Rewriting::None
            && !duplicates.is_empty()
            && counts.skipped == duplicates.len() as u64
            && counts.records == sent.len() as u64
            && counts.warnings == said.len() as u64
            && others.iter().all(|warning| self.policy.row_error(warning).is_none());
        if !is_certain {
            return Ok(None);
        }
        let (file, chunk) = (self.request.staged.file.clone(), Arc::clone(chunk));
        let indexes = sent.to_vec();
        let found = run_blocking(move || {
            let bytes = staged_rows::raw_rows(&file, indexes.iter().map(|&index| &chunk[index]))?;
            let texts: Vec<&[u8]> = bytes.iter().collect();
            let warnings: Vec<&Diagnostic> = duplicates.iter().collect();
            let found = keys.find(&texts, &warnings);
            Ok(found.map(|found| (found, duplicates)))
        });
        let found = found.await?.map_err(|error| staged_rows::unread(&self.request.what, error))?;
        let Some((found, duplicates)) = found else { return Ok(None) };
        for (row, warning) in found {
            let warning = duplicates[warning].clone();
            flag(flagged, sent[row], RowError { kind: RowErrorKind::Duplicate, warning });
        }
        let mut kept = LoadStats::default();
        kept.count(&others);
        Ok(Some(kept))
    }
}
