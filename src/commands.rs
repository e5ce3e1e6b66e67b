//! TODO: the doc of commands.

mod check;
mod forget;
mod load;
mod outcome;
mod plan;
mod startup;
mod status;

pub use check::check;
pub use forget::forget;
pub use load::load;
pub use outcome::RunResult;
pub use plan::plan;
pub use status::status;
