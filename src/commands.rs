//! TODO: the doc of commands.

mod forget;
mod plan;
mod startup;
mod status;

pub use forget::forget;
pub use plan::plan;
pub(crate) use startup::{ObjectStream, Prepared, open_ledger, open_rejects, prepare};
pub use status::status;
