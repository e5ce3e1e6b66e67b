//! The names that decide which column gets a value: those in an object's header, those in the path
//! of its key, and those of the facts about the object.
//!
//! Nothing here does I/O, and nothing looks at rows.

mod item;
mod json_columns;
mod key_facts;
mod name_matcher;
mod partitions;

pub(crate) use item::is_column;
pub(crate) use json_columns::json_columns;
pub(crate) use key_facts::{KeyFact, partition};
pub(crate) use name_matcher::{NameMatcher, NameProblem};
pub(crate) use partitions::{Partition, partitions};
