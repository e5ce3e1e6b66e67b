//! Runs one LOAD DATA statement.
//!
//! This module builds the statement's text, sends the bytes that the server asks for, reads the
//! server's counts and warnings, and assesses them under the policy.

mod assess;
mod diagnostic;
mod exchange;
mod layout;
mod layout_maker;
mod message;
mod null_times;
mod options;
mod payload;
mod plan;
mod reject_budget;
mod request;
mod row_numbers;
mod rule_hole;
mod rule_source;
mod send_meter;
pub(crate) mod staged_rows;
mod statement;
mod stats;
mod warnings;

pub use assess::Policy;
pub(crate) use assess::{Assessment, RowErrorKind, assess, miscounted};
pub use diagnostic::Diagnostic;
pub(crate) use diagnostic::ServerCounts;
pub(crate) use exchange::{ExchangeOutcome, load_data};
pub(crate) use layout::{AddedField, RequiredValue};
pub use layout::{Layout, ObjectLayout};
pub(crate) use layout_maker::LayoutKey;
pub use layout_maker::LayoutMaker;
pub use options::LoadConfig;
pub(crate) use payload::Payload;
pub use plan::Plan;
pub use reject_budget::{RejectBudget, Reservation};
pub use request::{LoadRequest, PartContext};
pub(crate) use row_numbers::{renumbered, renumbered_text};
pub(crate) use rule_hole::warn_of_rule_hole;
pub use send_meter::{ObjectMeter, SendMeter};
pub(crate) use staged_rows::Chunks;
pub use staged_rows::StagedRows;
pub use statement::Statement;
pub use stats::LoadStats;
pub(crate) use warnings::{quote, show};
