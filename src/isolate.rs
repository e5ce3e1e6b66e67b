//! TODO: the doc of isolate.

mod flagged;
mod insert_select;
mod ladder;
mod row_markers;
mod scratch_table;
mod state;
mod via_scratch_table;

pub use insert_select::{DryRunRow, InsertStats, OnConflict, dry_run_insert};
pub(crate) use ladder::miscounted;
pub use scratch_table::ScratchTable;
pub(crate) use scratch_table::{define, unavailable, unlike};
pub(crate) use state::RowIsolation;
