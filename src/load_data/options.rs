//! How rows go into the table.

use crate::policy::{MaxRejects, Mode, OnBadRow, OnDuplicate, Verify};
use crate::rejects::RejectsTo;

/// How rows go in.
#[derive(Clone, Debug)]
pub struct LoadConfig {
    pub mode: Mode,
    /// Keep the table that a swap replaced.
    pub swap_keep_old: bool,
    /// Connections that load at once, at most: how many is found out.
    pub load_concurrency: usize,
    /// Secondary indexes are added at the end of the job.
    pub defer_indexes: bool,
    pub on_bad_row: OnBadRow,
    pub on_duplicate: OnDuplicate,
    /// What `OnDuplicate::Update` sets; `None`: every loaded column that is in no unique key.
    pub update_columns: Option<Vec<String>>,
    /// A Note of the server's is about a bad row, as a Warning is.
    pub notes_as_bad: bool,
    /// Bad rows that an error shows.
    pub show_bad_rows: usize,
    /// Where rejected rows are written; set wherever rows may be rejected.
    pub rejects: Option<RejectsTo>,
    /// Of one object.
    pub max_rejects: Option<MaxRejects>,
    /// Of the run.
    pub max_rejects_total: Option<u64>,
    pub verify: Verify,
}

impl LoadConfig {
    /// Whether rows may be held back and written to a reject file.
    #[must_use]
    pub fn may_reject(&self) -> bool {
        self.on_bad_row == OnBadRow::Reject || self.on_duplicate == OnDuplicate::Reject
    }
}
