//! What is held back: shown in the error, counted, written to the reject file, taken off the
//! object's sums.

use std::sync::Arc;

use super::super::chunks;
use super::super::judge::Class;
use super::super::row_numbers::renumbered;
use super::super::warnings::Warning;
use super::{Held, Offence, Sift};
use crate::error::{BadRow, Error, Kind, RawRow, Result};
use crate::rejects::{Reason, ReasonKind, RejectedRow};
use crate::split::LocatedRow;
use crate::verify::RowDigest;

/// Bytes of a row that an error keeps.
const SHOWN_BYTES: u64 = 1024;

impl Sift<'_> {
    /// Takes down what is held back of a chunk that is through.
    pub(super) async fn keep_account(
        &mut self,
        chunk: &Arc<Vec<LocatedRow>>,
        held: Held,
        digest: &mut Option<RowDigest>,
    ) -> Result<()> {
        if held.is_empty() {
            return Ok(());
        }
        let policy = self.policy;
        self.rows_held += held.len() as u64;
        if let Some(survey) = &mut self.survey {
            for offences in held.values() {
                survey.count(offences.iter().map(|offence| &offence.warning));
            }
        }
        let mut to_show = Vec::new();
        let mut to_reject = Vec::new();
        for (index, offences) in held {
            let class = if offences.iter().any(|offence| offence.class == Class::BadRow) {
                Class::BadRow
            } else {
                Class::Duplicate
            };
            if class == Class::Duplicate {
                self.account.rejected_duplicates += 1;
            }
            if !policy.rejects(class) && self.doomed != Some(Class::BadRow) {
                self.doomed = Some(class);
            }
            if self.shown.len() + to_show.len() < policy.show_bad_rows {
                to_show.push((index, offences.clone()));
            }
            to_reject.push((index, offences));
        }
        let file = self.shipment.staged.file.clone();
        let (rows, what) = (Arc::clone(chunk), self.shipment.what.clone());
        let terminator = self.shipment.staged.lines_terminated_by.clone();
        let mut rejects = if self.doomed.is_none() { self.rejects.take() } else { None };
        let mut sums = digest.take();
        let written = tokio::task::spawn_blocking(move || {
            let unread = |error| {
                Error::new(
                    Kind::StagingFailed,
                    format!("{what}: the staged file can't be read again"),
                )
                .caused_by(error)
            };
            let mut shown = Vec::new();
            for (index, offences) in to_show {
                let row = &rows[index];
                let bytes = chunks::raw(&file, row, SHOWN_BYTES).map_err(unread)?;
                let raw = RawRow { is_cut: row.size_bytes > bytes.len() as u64, bytes };
                shown.extend(offences.iter().map(|offence| bad_row(row, &offence.warning, &raw)));
            }
            if let Some(rejects) = &mut rejects {
                for (index, offences) in to_reject {
                    let row = &rows[index];
                    let raw = chunks::raw(&file, row, u64::MAX).map_err(unread)?;
                    if let Some(sums) = &mut sums {
                        sums.subtract_row(&raw);
                    }
                    let texts: Vec<String> = offences
                        .iter()
                        .map(|offence| renumbered(&offence.warning, row.row))
                        .collect();
                    let reasons: Vec<Reason<'_>> = offences
                        .iter()
                        .zip(&texts)
                        .map(|(offence, text)| reason(offence, text))
                        .collect();
                    rejects.add(&RejectedRow {
                        row: row.row,
                        line: row.line,
                        offset: row.offset,
                        raw: &raw,
                        terminator: &terminator,
                        reasons: &reasons,
                    })?;
                }
            }
            Ok((shown, rejects, sums))
        });
        let (shown, rejects, sums) = match written.await {
            Ok(written) => written?,
            Err(died) if died.is_panic() => std::panic::resume_unwind(died.into_panic()),
            Err(died) => {
                return Err(Error::new(Kind::Interrupted, "the program is leaving").caused_by(died));
            }
        };
        self.shown.extend(shown);
        (self.rejects, *digest) = (rejects, sums);
        let limit = self.shipment.max_rejects(&policy);
        if self.doomed.is_none() && self.rows_held > limit {
            let message = format!(
                "{}: more than {limit} of {} rows would be rejected, which --max-rejects does not allow; rolled back",
                self.shipment.what, self.shipment.rows
            );
            return Err(Error::new(Kind::TooManyRejects, message).with_bad_rows(self.take_shown()));
        }
        Ok(())
    }
}

fn reason<'a>(offence: &'a Offence, text: &'a str) -> Reason<'a> {
    Reason {
        kind: match offence.class {
            Class::BadRow => ReasonKind::BadRow,
            Class::Duplicate => ReasonKind::Duplicate,
        },
        code: offence.warning.code,
        column: offence.warning.column.as_deref(),
        reason: text,
    }
}

fn bad_row(row: &LocatedRow, warning: &Warning, raw: &RawRow) -> BadRow {
    BadRow {
        line: Some(row.line),
        row: Some(row.row),
        is_misnumbered: false,
        column: warning.column.clone(),
        level: warning.level.clone(),
        code: warning.code,
        reason: renumbered(warning, row.row),
        raw: Some(raw.clone()),
    }
}
