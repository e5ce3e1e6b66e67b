//! Local disk: a budget in bytes, and temporary files that hold whole, verified objects, or whole
//! parts of large ones.
//!
//! An object's permits are taken for all of its bytes before the first one is asked for, and travel
//! inside the [`Staged`] file they pay for. Files have no name, so nothing is left behind however
//! the process ends. Nothing that leaves this module is shorter, longer or other than what was
//! listed, but for what is [`Verified::Part`]; a part is shown to be what was listed by its length
//! and `ETag`, and all of them together by the checksum.

mod budget;
mod checksum;
mod download;
mod parts;
mod place;
mod ranges;
mod signature;

pub use budget::{Budget, is_memory_backed};
pub(crate) use download::stage;
pub use download::{Staged, Verified, Watch};
pub(crate) use parts::{PartPlan, PartStager, StagedPart, verify_parts};
pub use place::{Place, Places};
pub(crate) use ranges::Pinned;
