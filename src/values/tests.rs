//! The rules, type by type, as tables: a field, the verdict, and what the column reads back.

mod blocks;
mod dates;
mod kinds;
mod messages;
mod numbers;
mod options;
mod ordinary;
mod page;
mod records;
mod rows;
mod texts;
mod timing;
