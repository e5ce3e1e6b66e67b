//! Row isolation: finds exactly which rows of an object the table refuses, and why.
//!
//! An object whose whole load gives no row error never gets here. Isolation runs for the others,
//! and for every object under a policy that rejects rows or updates. It climbs a ladder, and takes
//! the next rung only when the one before does not name the row:
//!
//! 1. The whole: a chunk of rows goes in one LOAD DATA statement, under a savepoint. If the policy
//!    accepts everything that the server says, the chunk is in. So it is if all warnings are about
//!    duplicates whose keys name the rows.
//! 2. The numbered: a warning whose row number is proven flags its row. The chunk is rolled back
//!    and sent again without the flagged rows.
//! 3. The scratch table: duplicates, CHECKs, foreign keys, partitions and views name no row in
//!    their warnings. The rows are loaded into a temporary table without keys, and the server
//!    inserts them into the target from there, one by one, in a way that shows which rows it
//!    refuses.
//! 4. Bisecting: what no warning names is found by halving, down to single rows.
//!
//! Before the first rung, `bad_values` flags the rows whose values do not fit, by the rules of
//! [`crate::values`]. They are not sent.
//!
//! No rung can flag a good row, so the earlier rungs only save time. `ladder` holds the loop and
//! the argument, with a function for each rung. `named_duplicates` and `shown_keys` find duplicates
//! by the key in the warning. `send` sends rows and assesses the answer,
//! `scratch_table`, `insert_select` and `row_markers` are the third rung, and `flagged` records the
//! rows that are found. `setup` is what all of them know of the server.

mod bad_values;
mod flagged;
mod insert_select;
mod insert_stats;
mod ladder;
mod named_duplicates;
mod row_markers;
mod scratch_table;
mod send;
mod setup;
mod shown_keys;
mod state;
mod tally;
mod via_scratch_table;

pub use insert_select::dry_run_insert;
pub use insert_stats::{InsertStats, OnConflict};
pub use scratch_table::ScratchTable;
pub(crate) use scratch_table::{define, ensure_one_statement, unavailable, unlike};
pub(crate) use setup::IsolationSetup;
pub use setup::SharedSetup;
pub(crate) use state::RowIsolation;
pub(crate) use tally::Tally;
