//! Local disk: a budget in bytes, and temporary files that hold whole, verified objects, or whole
//! parts of large ones.
//!
//! An object takes permits for all of its bytes before it requests the first one. The permits stay
//! inside the [`StagedObject`] that they pay for. A packed object is unpacked while it downloads
//! ([`crate::unpack`]): the staged file holds its text, and the budget counts the text. Files have
//! no name, so nothing remains on disk however the process ends.
//!
//! An object that must be whole before it can be read, such as Parquet, is staged as it is and then
//! decoded into a second file ([`FileDecoder`]). The budget counts both until it is decoded.
//!
//! The bytes that leave this module equal the listed bytes in length and content, except
//! [`Integrity::Part`]. Length and `ETag` verify each part of a split object; the checksum verifies
//! all of them together.

mod area;
mod budget;
mod checksum;
mod cutter;
mod download;
mod first_text;
mod json_lines;
mod observer;
mod options;
mod part_text;
mod parts;
mod ranges;
mod signature;
mod sink;
mod slot;
mod text_check;

pub use area::{Reserved, StagingArea, Wanted};
pub use budget::{Budget, is_memory_backed};
pub(crate) use cutter::{PartPlan, StagedPart};
pub use download::{Integrity, Staged, StagedObject, stage};
pub(crate) use first_text::{FirstText, first_text};
pub use observer::{ByteObserver, FileDecoder};
pub use options::StagingConfig;
pub(crate) use parts::{PartStager, verify_parts};
pub(crate) use ranges::PinnedObject;
pub use text_check::ExpectedText;
