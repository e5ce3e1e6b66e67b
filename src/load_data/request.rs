//! A request to load one object, or one part of it.

use std::sync::Arc;

use super::assess::Policy;
use super::reject_budget::RejectBudget;
use super::staged_rows::StagedRows;
use crate::ledger::LedgerEntry;
use crate::rejects::ObjectName;
use crate::verify::RowDigest;

/// One object, ready to be sent.
#[derive(Clone, Debug)]
pub struct LoadRequest {
    /// For messages.
    pub what: String,
    /// LOAD DATA.
    pub sql: String,
    pub staged: StagedRows,
    /// By our own count.
    pub rows: u64,
    /// The ledger row of the object, or of the part that this is, where there is a ledger.
    pub entry: Option<LedgerEntry>,
    /// What its reject file is named after; `None` where rows are not rejected.
    pub name: Option<ObjectName>,
    /// Where this is a part of the object only.
    pub part: Option<PartContext>,
    /// Of the rows, where the job is to be verified by it.
    pub digest: Option<RowDigest>,
}

impl LoadRequest {
    /// How many of its rows may be rejected. Where that is a share of them, each part has to keep
    /// it, so that the object does.
    pub(crate) fn max_rejects(&self, policy: &Policy) -> u64 {
        let limit = policy.max_rejects.map_or(u64::MAX, |limit| limit.of(self.rows));
        match self.part.as_ref().and_then(|part| part.reject_budget.as_ref()) {
            Some(budget) => limit.min(budget.left()),
            None => limit,
        }
    }
}

/// What a part has to know of its object.
#[derive(Clone, Debug)]
pub struct PartContext {
    pub number: u32,
    /// Rows of the object that come before it.
    pub rows_before: u64,
    /// Rows that parts of the object may still reject, where that is limited by their number.
    pub reject_budget: Option<Arc<RejectBudget>>,
}
