//! What the isolation of one object's bad rows knows while it runs.

use std::collections::BTreeMap;

use super::plan::{IsolationSetup, Plan};
use super::tally::Tally;
use crate::error::BadRow;
use crate::load_data::{Decimals, Diagnostic, LoadRequest, LoadStats, Policy, RowErrorKind};
use crate::mysql::Session;
use crate::rejects::RejectFile;

pub(super) const SAVEPOINT: &str = "SAVEPOINT s3_to_mysql";
pub(super) const ROLLBACK: &str = "ROLLBACK TO SAVEPOINT s3_to_mysql";

/// What is wrong with one row.
#[derive(Clone, Debug)]
pub(super) struct RowError {
    pub(super) class: RowErrorKind,
    pub(super) warning: Diagnostic,
}

/// The rows of a chunk that are held back, by their index.
pub(super) type Flagged = BTreeMap<usize, Vec<RowError>>;

pub(crate) struct RowIsolation<'a> {
    pub(super) session: &'a mut Session,
    pub(super) request: &'a LoadRequest,
    pub(super) policy: Policy,
    pub(super) decimals: &'a Decimals,
    pub(super) isolation_setup: &'a IsolationSetup,
    pub(super) rejects: Option<RejectFile>,
    pub(super) stats: LoadStats,
    /// Rows that one statement is sent: fewer where its warnings are more than the server shows.
    pub(super) statement_rows: usize,
    pub(super) rows_kept: u64,
    pub(super) rows_flagged: u64,
    /// The first bad rows, for the error.
    pub(super) shown: Vec<BadRow>,
    /// The last piece went by way of the private table, and so will the next.
    pub(super) prefers_scratch_table: bool,
    /// Some row is one for which the object is refused.
    pub(super) fatal: Option<RowErrorKind>,
    /// Where what is held back is to be counted by its reasons.
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
            decimals: &plan.decimals,
            isolation_setup,
            rejects,
            stats: LoadStats::default(),
            statement_rows: usize::MAX,
            rows_kept: 0,
            rows_flagged: 0,
            shown: Vec::new(),
            prefers_scratch_table: false,
            fatal: None,
            tally: None,
        }
    }

    /// Also counts what is held back by its reasons, and hands over the first of it.
    pub(crate) fn with_tally(mut self, tally: &'a mut Tally) -> Self {
        self.tally = Some(tally);
        self
    }
}

/// What came of sending some rows.
pub(super) enum SendOutcome {
    /// They are in, and this became of them.
    Clean(LoadStats),
    TruncatedWarnings {
        warnings: u64,
        shown: u64,
    },
    RowErrors(Vec<RowError>),
}
