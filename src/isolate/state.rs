//! Holds the state of row isolation for one object.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::setup::IsolationSetup;
use super::tally::Tally;
use crate::error::BadRow;
use crate::load_data::{Diagnostic, LoadRequest, LoadStats, Plan, Policy, RowErrorKind};
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

/// Adds a reason for which a row is flagged.
pub(super) fn flag(flagged: &mut Flagged, index: usize, row_error: RowError) {
    flagged.entry(index).or_default().push(row_error);
}
