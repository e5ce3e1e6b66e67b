//! Local disk: a budget in bytes, and temporary files that hold whole, verified objects, or whole
//! parts of large ones.
//!
//! An object's permits are taken for all of its bytes before the first one is asked for, and travel
//! inside the [`StagedObject`] file they pay for. Files have no name, so nothing is left behind however
//! the process ends. Nothing that leaves this module is shorter, longer or other than what was
//! listed, but for what is [`Integrity::Part`]; a part is shown to be what was listed by its length
//! and `ETag`, and all of them together by the checksum.

mod budget;
mod checksum;
mod download;
mod options;
mod parts;
mod ranges;
mod signature;
mod slot;

pub use budget::{Budget, is_memory_backed};
pub(crate) use download::stage;
pub use download::{ByteObserver, Integrity, StagedObject};
pub use options::StagingConfig;
pub(crate) use parts::{PartPlan, PartStager, StagedPart, verify_parts};
pub(crate) use ranges::PinnedObject;
pub use slot::{StagingFiles, StagingSlot};
