//! TODO: the doc of load_data.

mod assess;
mod decimal_truncation;
mod exchange;
mod payload;
mod plan;
mod row_numbers;
pub(crate) mod staged_rows;
mod statement;
mod stats;
mod target_columns;
mod warnings;

pub use assess::Policy;
pub(crate) use assess::{Assessment, RowErrorKind, assess};
pub(crate) use decimal_truncation::Decimals;
pub(crate) use exchange::{ExchangeOutcome, load_data};
pub(crate) use payload::Payload;
pub(crate) use plan::{IsolationSetup, Scratch};
pub use plan::{Plan, RejectBudget, Reservation};
pub(crate) use row_numbers::{renumbered, renumbered_text};
pub(crate) use staged_rows::Chunks;
pub use staged_rows::StagedRows;
pub use statement::Statement;
pub(crate) use statement::hex;
pub use stats::LoadStats;
pub use target_columns::TargetColumns;
pub(crate) use target_columns::{TargetColumn, same_name};
pub(crate) use warnings::{Diagnostic, ServerCounts, quote, show};
