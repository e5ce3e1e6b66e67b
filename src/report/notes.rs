//! The objects whose rows are loaded with other values than they have.

use crate::error::BadRows;

/// The maximum number of objects that are named. The report has all of them.
const NAMED: usize = 3;

/// The objects whose rows have notes, or are accepted although they are bad.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// The text about the first of them.
    text: String,
    named: usize,
    /// The number of the others.
    more: u64,
}

impl Notes {
    /// Adds an object.
    pub(super) fn add(&mut self, headline: &str, rows: &BadRows) {
        if self.named < NAMED {
            self.named += 1;
            self.text.push_str(&rows.below(headline));
            self.text.push('\n');
        } else {
            self.more += 1;
        }
    }

    /// Returns the lines about them, each with its end.
    pub(super) fn text(&self) -> String {
        match self.more {
            0 => self.text.clone(),
            more => {
                let text = &self.text;
                format!("{text}with notes: and {more} more objects; --report FILE has them\n")
            }
        }
    }
}
