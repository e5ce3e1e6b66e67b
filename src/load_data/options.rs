//! The settings that decide how rows are loaded.

use crate::policy::{MaxRejects, Mode, OnBadRow, OnDuplicate, Verify};
use crate::rejects::RejectsTo;
use crate::values::Readings;

/// The settings that decide how rows are loaded.
#[derive(Clone, Debug)]
pub struct LoadConfig {
    pub mode: Mode,
    /// True if a swap keeps the table that it replaced.
    pub swap_keep_old: bool,
    /// The maximum number of connections that load at once. The limiter finds the best number below
    /// it.
    pub load_concurrency: usize,
    /// True if secondary indexes are added at the end of the job.
    pub defer_indexes: bool,
    pub on_bad_row: OnBadRow,
    pub on_duplicate: OnDuplicate,
    /// The columns that `OnDuplicate::Update` sets. `None` means every loaded column that is in no
    /// unique key.
    pub update_columns: Option<Vec<String>>,
    /// True if rows that the server only notes (level Note) are bad rows, like rows with a Warning.
    pub notes_as_bad: bool,
    /// The number of bad rows that an error shows.
    pub show_bad_rows: usize,
    /// The destination of rejected rows. Set whenever rows may be rejected.
    pub rejects: Option<RejectsTo>,
    /// The limit on rejected rows of one object.
    pub max_rejects: Option<MaxRejects>,
    /// The limit on rejected rows of the whole run.
    pub max_rejects_total: Option<u64>,
    pub verify: Verify,
    /// The notations of the texts of fields.
    pub readings: Readings,
}

impl LoadConfig {
    /// Returns true if rows may be rejected and written to a reject file.
    #[must_use]
    pub fn may_reject(&self) -> bool {
        self.on_bad_row == OnBadRow::Reject || self.on_duplicate == OnDuplicate::Reject
    }
}
