//! Flags the rows that are bad by their values, before the server sees them.
//!
//! The rules of [`crate::values`] know such a row from its bytes. So it is never sent, and no
//! statement has to be repeated for it.

use std::sync::Arc;

use super::state::{Flagged, RowError, RowIsolation};
use crate::blocking::run_blocking;
use crate::error::Result;
use crate::load_data::{Diagnostic, RowErrorKind, staged_rows};
use crate::policy::OnBadRow;
use crate::split::{CutRow, LocatedRow};
use crate::values::RowFault;

impl RowIsolation<'_> {
    /// Returns the rows of a chunk that are bad by their values, if the policy does not accept such
    /// rows.
    pub(super) async fn flag_bad_values(&self, chunk: &Arc<Vec<LocatedRow>>) -> Result<Flagged> {
        let is_judged =
            self.request.values.bad_rows > 0 && self.policy.on_bad_row != OnBadRow::Accept;
        if !is_judged {
            return Ok(Flagged::new());
        }
        let (file, rules, rows) =
            (self.request.staged.file.clone(), self.values.clone(), Arc::clone(chunk));
        let found = run_blocking(move || {
            let bytes = staged_rows::raw_rows(&file, rows.iter())?;
            let mut scratch = Vec::new();
            let bad = bytes
                .iter()
                .enumerate()
                .filter(|(_, row)| rules.judge(&CutRow::whole(row), &mut scratch).is_bad)
                .map(|(index, row)| (index, rules.faults(row)));
            Ok(bad.collect::<Vec<_>>())
        });
        let found = found.await?.map_err(|error| staged_rows::unread(&self.request.what, error))?;
        let row_errors = |faults: Vec<RowFault>| {
            let row_error = |fault: RowFault| RowError {
                kind: RowErrorKind::BadRow,
                warning: Diagnostic::by_value(fault),
            };
            faults.into_iter().map(row_error).collect()
        };
        Ok(found.into_iter().map(|(index, faults)| (index, row_errors(faults))).collect())
    }
}
