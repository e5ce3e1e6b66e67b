//! The names and values of JSON.

use super::guess::{Guess, MOST_ROWS};
use super::members::Members;
use super::names::ensure_distinct;
use super::options::Head;
use crate::dialect::{ColumnOrVariable, ExtraColumns, JsonFormat, JsonLayout};
use crate::error::Result;
use crate::printable::printable;
use crate::sql_text::same_name;
use crate::values::value_at;

const BYTE_ORDER_MARK: char = '\u{feff}';
const REMEDY: &str = "--columns lists the keys to load, --extra-columns ignore leaves the others \
                      out, and --field COLUMN='$.key' gives a key the name of a column";

impl Guess<'_> {
    /// Adds the records of JSON, one a line. Lines that are no records are bad rows of the load.
    pub(super) fn add_records(&mut self, head: &Head<'_>) -> Result<()> {
        let format = self.options.format;
        let Some(json) = &format.json else { return Ok(()) };
        // The last line of a text that goes on may be cut.
        let end = memchr::memrchr(b'\n', head.text).map_or(0, |at| at + 1);
        let text = if head.is_whole { head.text } else { &head.text[..end] };
        let key = printable(&head.object.key);
        let what = head.object.to_string();
        let takes_keys = format.columns.is_some()
            || json.fields.is_empty()
            || json.extra_columns == ExtraColumns::Error;
        let mut records = 0;
        for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
            if records == MOST_ROWS {
                break;
            }
            let Ok(line) = std::str::from_utf8(line) else { continue };
            let line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line).trim();
            let Ok(Members(members)) = serde_json::from_str(line) else { continue };
            records += 1;
            let number = index + 1;
            let place = || match json.layout {
                JsonLayout::Lines => format!("{key} line {number}"),
                JsonLayout::Document(_) => format!("{key} record {number}"),
            };
            if takes_keys {
                let is_wanted = |name: &str| self.is_wanted(name) && !is_field(json, name);
                let members: Vec<_> =
                    members.into_iter().filter(|(name, _)| is_wanted(name)).collect();
                let names = members.iter().map(|(name, _)| name.as_ref());
                ensure_distinct(names, &format!("{what}: {}", place()), REMEDY)?;
                for (name, value) in members {
                    let column = self.column(&name, &what, REMEDY)?;
                    self.add_json(column, value, &place);
                }
            }
            for (item, path) in &json.fields {
                let ColumnOrVariable::Column(name) = item else { continue };
                let column = self.column(name, &what, REMEDY)?;
                match value_at(line, &path.steps) {
                    Some(value) => self.add_json(column, value, &place),
                    None => self.add_null(column),
                }
            }
        }
        self.rows += records;
        Ok(())
    }
}

/// Returns true if `--field` fills the column with this name.
fn is_field(json: &JsonFormat, name: &str) -> bool {
    json.fields.iter().any(|(item, _)| match item {
        ColumnOrVariable::Column(column) => same_name(column, name),
        ColumnOrVariable::Variable(_) => false,
    })
}
