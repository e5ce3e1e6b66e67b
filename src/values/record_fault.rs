//! The words for records that cannot be read.

use serde::de::IgnoredAny;
use serde_json::error::Category;

use crate::printable::printable;

/// The reason why a line is no record whose values can be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RecordFault {
    /// The message, with the column in the line.
    pub(super) text: String,
    pub(super) remedies: Vec<String>,
}

/// The name of a member that an object inside a record has twice.
pub(super) struct Twice(pub(super) String);

const SPANNING: &str = "--format json reads records that span lines, or share one";

impl RecordFault {
    pub(super) fn not_utf8(line: &[u8]) -> Self {
        let valid = std::str::from_utf8(line).map_or_else(|error| error.valid_up_to(), str::len);
        let before = String::from_utf8_lossy(&line[..valid]);
        let text = format!("the record is not UTF-8 (column {})", before.chars().count() + 1);
        Self { text, remedies: vec!["JSON is UTF-8: convert the object first".to_owned()] }
    }

    /// Describes an error of the parser, which began after `skipped` bytes of the line.
    pub(super) fn not_json(line: &str, skipped: usize, error: &serde_json::Error) -> Self {
        let at = (skipped + error.column()).saturating_sub(1);
        let column = column(line, at);
        let message = error.to_string();
        let what = message.rsplit_once(" at line ").map_or(message.as_str(), |(what, _)| what);
        let spans = error.classify() == Category::Eof || what == "trailing characters";
        let text = match error.classify() {
            Category::Data if serde_json::from_str::<IgnoredAny>(&line[skipped..]).is_ok() => {
                "the record is JSON, but not an object".to_owned()
            }
            Category::Data => "the record is not JSON: it does not begin with a brace".to_owned(),
            _ => {
                let what = what.replace("EOF while parsing", "it ends inside");
                let what = what.replace("trailing characters", "more follows the record");
                format!("the record is not JSON: {what} (column {column})")
            }
        };
        Self { text, remedies: spans.then(|| SPANNING.to_owned()).into_iter().collect() }
    }

    /// Describes a name that an object has twice. Its value begins at byte `at`.
    pub(super) fn twice(line: &str, at: usize, name: &str) -> Self {
        let (name, column) = (printable(name), column(line, at));
        let text = format!("the record has the key {name} more than once (column {column})");
        Self { text, remedies: Vec::new() }
    }
}

/// Returns the column of a byte, from 1.
pub(super) fn column(line: &str, at: usize) -> usize {
    line.char_indices().take_while(|(start, _)| *start < at).count() + 1
}
