//! TODO: the doc of isolate.

mod flagged;
mod insert_select;
mod insert_stats;
mod ladder;
mod plan;
mod row_markers;
mod scratch_table;
mod state;
mod tally;
mod via_scratch_table;

pub use insert_select::dry_run_insert;
pub use insert_stats::{DryRunRow, InsertStats, OnConflict};
pub use plan::Plan;
pub use scratch_table::ScratchTable;
pub(crate) use scratch_table::{define, unavailable, unlike};
pub(crate) use state::RowIsolation;
pub(crate) use tally::Tally;
