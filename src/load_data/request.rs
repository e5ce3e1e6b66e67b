//! A request to load one object or one part of it.

use std::sync::Arc;

use super::assess::Policy;
use super::layout::ObjectLayout;
use super::reject_budget::RejectBudget;
use super::staged_rows::StagedRows;
use crate::ledger::LedgerEntry;
use crate::rejects::ObjectName;
use crate::values::ValueCounts;
use crate::verify::RowDigest;

/// One object, or one part of it, that is ready to be sent.
#[derive(Clone, Debug)]
pub struct LoadRequest {
    /// The name of the object in messages.
    pub what: String,
    /// The text of the LOAD DATA statement.
    pub sql: String,
    /// The columns that the fields go to, and what is added to them.
    pub layout: ObjectLayout,
    pub staged: StagedRows,
    /// The number of rows, by our own count.
    pub rows: u64,
    /// The ledger row of the object or the part; `None` without a ledger.
    pub entry: Option<LedgerEntry>,
    /// The name for its reject file; `None` if rows are not rejected.
    pub name: Option<ObjectName>,
    /// The context of a part; `None` for a whole object.
    pub part: Option<PartContext>,
    /// The digest of the rows, if the job is verified by it.
    pub digest: Option<RowDigest>,
    /// The verdicts on the values of its rows.
    pub values: ValueCounts,
}

impl LoadRequest {
    /// Returns true if one statement can load the rows of both.
    pub(crate) fn shares_statement(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.layout.shared, &other.layout.shared) && self.sql == other.sql
    }

    /// Returns how many of its rows may be rejected. A limit given as a share applies to each part,
    /// so that the whole object keeps it.
    pub(crate) fn max_rejects(&self, policy: &Policy) -> u64 {
        let limit = policy.max_rejects.map_or(u64::MAX, |limit| limit.of(self.rows));
        match self.part.as_ref().and_then(|part| part.reject_budget.as_ref()) {
            Some(budget) => limit.min(budget.left()),
            None => limit,
        }
    }
}

/// The facts that a part needs about its object.
#[derive(Clone, Debug)]
pub struct PartContext {
    pub number: u32,
    /// The number of the object's rows before this part.
    pub rows_before: u64,
    /// The rows that all parts of the object may still reject together, if their number is limited.
    pub reject_budget: Option<Arc<RejectBudget>>,
}
