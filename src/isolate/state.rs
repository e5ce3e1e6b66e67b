//! Holds the state of row isolation for one object.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::setup::IsolationSetup;
use super::tally::Tally;
use crate::error::BadRow;
use crate::load_data::{
    Diagnostic, LoadRequest, LoadStats, Plan, Policy, RowErrorKind, renumbered,
};
use crate::mysql::Session;
use crate::rejects::RejectFile;
use crate::values::RowRules;

pub(super) const SAVEPOINT: &str = "SAVEPOINT s3_to_mysql";
pub(super) const ROLLBACK: &str = "ROLLBACK TO SAVEPOINT s3_to_mysql";

/// A reason for which a row is flagged.
#[derive(Clone, Debug)]
pub(super) struct RowError {
    pub(super) kind: RowErrorKind,
    pub(super) warning: Diagnostic,
}

/// The flagged rows of a chunk, by index.
pub(super) type Flagged = BTreeMap<usize, Vec<RowError>>;

pub(crate) struct RowIsolation<'a> {
    pub(super) session: &'a mut Session,
    pub(super) request: &'a LoadRequest,
    pub(super) policy: Policy,
    pub(super) values: &'a Arc<RowRules>,
    pub(super) isolation_setup: &'a IsolationSetup,
    pub(super) rejects: Option<RejectFile>,
    pub(super) stats: LoadStats,
    /// The number of rows per statement. It shrinks when there are more warnings than the server
    /// shows.
    pub(super) statement_rows: usize,
    pub(super) rows_kept: u64,
    pub(super) rows_flagged: u64,
    /// The first bad rows, to show in the error.
    pub(super) shown: Vec<BadRow>,
    /// The first rows that fail the object, and are not only rejected.
    pub(super) fatal_shown: Vec<BadRow>,
    /// True if the last piece went via the scratch table, so that the next one will too.
    pub(super) prefers_scratch_table: bool,
    /// The kind of row error for which the object fails, once there is one.
    pub(super) fatal: Option<RowErrorKind>,
    /// The tally of flagged rows by reason, if one is wanted.
    pub(super) tally: Option<&'a mut Tally>,
}

impl<'a> RowIsolation<'a> {
    pub(crate) fn new(
        session: &'a mut Session,
        request: &'a LoadRequest,
        plan: &'a Plan,
        isolation_setup: &'a IsolationSetup,
        rejects: Option<RejectFile>,
    ) -> Self {
        Self {
            session,
            request,
            policy: plan.policy,
            values: &request.layout.values,
            isolation_setup,
            rejects,
            stats: LoadStats::default(),
            statement_rows: usize::MAX,
            rows_kept: 0,
            rows_flagged: 0,
            shown: Vec::new(),
            fatal_shown: Vec::new(),
            prefers_scratch_table: false,
            fatal: None,
            tally: None,
        }
    }

    /// Also counts the flagged rows by reason, and passes the first ones to `tally`.
    pub(crate) fn with_tally(mut self, tally: &'a mut Tally) -> Self {
        self.tally = Some(tally);
        self
    }
}

/// The outcome of sending some rows.
pub(super) enum SendOutcome {
    /// The rows are in, except those that are flagged now. The counts are those of the rows that
    /// are in.
    Clean(LoadStats),
    TruncatedWarnings {
        warnings: u64,
        shown: u64,
    },
    RowErrors(Vec<RowError>),
}

/// Adds a reason for which a row is flagged. One that the server gave before is not repeated: a row
/// that is sent again has the same notes again.
pub(super) fn flag(flagged: &mut Flagged, index: usize, row_error: RowError) {
    let row_errors = flagged.entry(index).or_default();
    // The numbers in the messages are those of the row in its statement.
    let text = |warning: &Diagnostic| renumbered(warning, 0);
    let is_known = row_errors.iter().any(|known| {
        let (known, warning) = (&known.warning, &row_error.warning);
        known.code == warning.code && known.column == warning.column && text(known) == text(warning)
    });
    if !is_known {
        row_errors.push(row_error);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_that_comes_again_is_listed_once() {
        let row_error = |code, message: &str| RowError {
            kind: RowErrorKind::BadRow,
            warning: Diagnostic::new("Note".to_owned(), code, message.to_owned()),
        };
        let mut flagged = Flagged::new();
        for (code, message) in [
            (1265, "Data truncated for column 'a' at row 78"),
            (1265, "Data truncated for column 'a' at row 1"),
            (1265, "Data truncated for column 'b' at row 1"),
            (1261, "Row 3 doesn't contain data for all columns"),
            (1261, "Row 1 doesn't contain data for all columns"),
        ] {
            flag(&mut flagged, 77, row_error(code, message));
        }
        flag(&mut flagged, 78, row_error(1265, "Data truncated for column 'a' at row 79"));
        assert_eq!((flagged[&77].len(), flagged[&78].len()), (3, 1));
    }
}
