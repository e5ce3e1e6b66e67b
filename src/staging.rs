//! Local disk: a budget in bytes, and temporary files that hold whole, verified objects, or whole
//! parts of large ones.
//!
//! An object takes permits for all of its bytes before it requests the first one. The permits stay
//! inside the [`StagedObject`] that they pay for. Files have no name, so nothing remains on disk
//! however the process ends.
//!
//! The bytes that leave this module equal the listed bytes in length and content, except
//! [`Integrity::Part`]. Length and `ETag` verify each part of a split object; the checksum verifies
//! all of them together.

mod budget;
mod checksum;
mod download;
mod json_lines;
mod options;
mod parts;
mod ranges;
mod signature;
mod slot;
mod text_check;

pub use budget::{Budget, is_memory_backed};
pub use download::{ByteObserver, Integrity, StagedObject, stage};
pub use options::StagingConfig;
pub(crate) use parts::{PartPlan, PartStager, StagedPart, verify_parts};
pub(crate) use ranges::PinnedObject;
pub use slot::{StagingFiles, StagingSlot};
