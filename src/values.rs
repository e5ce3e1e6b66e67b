//! What a field may become in a column.

mod rows;

pub use rows::{RowFault, RowRewriter, RowRules, RowVerdict, ValueCounts};

/// The facts about a column.
#[derive(Clone, Debug)]
pub struct ColumnRule {
    label: String,
    is_integer: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Exact,
    ExactAs,
    Loss,
    Bad,
    ServerDecides,
}

impl ColumnRule {
    #[must_use]
    pub fn new(column: &crate::mysql::ColumnSchema) -> Self {
        Self {
            label: format!("{} ({})", column.name, column.column_type),
            is_integer: column.data_type.ends_with("int"),
        }
    }
    pub fn check(&self, field: Option<&[u8]>, out: &mut Vec<u8>) -> Verdict {
        out.clear();
        match field {
            Some(b"true") if self.is_integer => {
                out.push(b'1');
                Verdict::ExactAs
            }
            Some(field) if self.is_integer => {
                if field.iter().all(u8::is_ascii_digit) && !field.is_empty() {
                    Verdict::Exact
                } else {
                    Verdict::Bad
                }
            }
            _ => Verdict::ServerDecides,
        }
    }
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }
}
