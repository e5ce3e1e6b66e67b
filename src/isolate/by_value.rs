//! Flags the rows that are bad by their values, before the server sees them.
//!
//! The rules of [`crate::values`] know such a row from its bytes. So it is never sent, and no
//! statement has to be repeated for it.

use super::state::{Flagged, RowError, RowIsolation};
use crate::blocking::run_blocking;
use crate::error::Result;
use crate::load_data::{Diagnostic, RowErrorKind, staged_rows};
use crate::policy::OnBadRow;
use crate::split::LocatedRow;
use crate::values::RowFault;

impl RowIsolation<'_> {
    /// Returns the rows of a chunk that are bad by their values, if the policy does not accept such
    /// rows.
    pub(super) async fn flag_by_values(&self, chunk: &[LocatedRow]) -> Result<Flagged> {
        let is_judged =
            self.request.values.bad_rows > 0 && self.policy.on_bad_row != OnBadRow::Accept;
        let (Some(first), Some(last)) = (chunk.first(), chunk.last().filter(|_| is_judged)) else {
            return Ok(Flagged::new());
        };
        let start = first.offset;
        let length_bytes = last.offset + last.size_bytes - start;
        let places: Vec<(u64, u64)> =
            chunk.iter().map(|row| (row.offset - start, row.size_bytes)).collect();
        let (file, rules) = (self.request.staged.file.clone(), self.values.clone());
        let found = run_blocking(move || {
            let mut bytes = vec![0; usize::try_from(length_bytes).map_err(std::io::Error::other)?];
            file.read_exact_at(&mut bytes, start)?;
            let mut scratch = Vec::new();
            let mut found = Vec::new();
            for (index, (from, size_bytes)) in places.into_iter().enumerate() {
                let place = |at| usize::try_from(at).map_err(std::io::Error::other);
                let row = &bytes[place(from)?..place(from + size_bytes)?];
                if rules.judge(row, &mut scratch).is_bad {
                    found.push((index, rules.faults(row)));
                }
            }
            Ok::<_, std::io::Error>(found)
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
