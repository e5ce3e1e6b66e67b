//! An object of good rows with bad ones between them, which knows the position of each.

use std::ops::Range;

use super::cases::{COLUMNS, Case, Column, Field};

/// The options with which the objects here are read. The bits are bytes, as for the server.
pub(super) const ARGS: [&str; 6] = ["--preset", "csv", "--ignore-lines", "1", "--binary", "raw"];

/// The same dialect for the server. Without an escape character, the unquoted word NULL means NULL.
pub(super) const DIALECT: &str = "CHARACTER SET utf8mb4 FIELDS TERMINATED BY ',' OPTIONALLY \
     ENCLOSED BY '\"' \
     ESCAPED BY '' LINES TERMINATED BY '\\n'";

pub(super) struct Torture {
    /// The bytes, with a header line.
    pub(super) bytes: Vec<u8>,
    pub(super) header: String,
    pub(super) rows: Vec<TortureRow>,
}

pub(super) struct TortureRow {
    /// The row's number among the data rows, from 1.
    pub(super) number: u64,
    /// The line on which it begins, from 1, the header's included.
    pub(super) line: u64,
    /// The range of its bytes, without the terminator.
    pub(super) range: Range<usize>,
    pub(super) id: u64,
    /// The case; `None` for a good row.
    pub(super) case: Option<&'static Case>,
}

pub(super) fn columns() -> impl Iterator<Item = &'static Column> {
    COLUMNS.iter().filter(|column| !column.is_generated)
}

impl Torture {
    /// Puts a good row before each case and after the last one. The first row's key is `first_id`.
    /// Good rows of two objects whose keys do not overlap are never duplicates.
    pub(super) fn new(cases: impl IntoIterator<Item = &'static Case>, first_id: u64) -> Self {
        let names: Vec<&str> = columns().map(|column| column.name).collect();
        let mut torture =
            Self { bytes: Vec::new(), header: names.join(",") + "\n", rows: Vec::new() };
        torture.bytes.extend(torture.header.as_bytes());
        torture.push(None, first_id);
        for case in cases {
            torture.push(Some(case), first_id);
            torture.push(None, first_id);
        }
        torture
    }

    fn push(&mut self, case: Option<&'static Case>, first_id: u64) {
        let id = first_id + self.rows.len() as u64;
        let text = match case {
            Some(case) => row(case, id, first_id),
            None => good_row(id),
        };
        let line = 1 + self.bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        let from = self.bytes.len();
        self.bytes.extend(text.as_bytes());
        let number = self.rows.len() as u64 + 1;
        self.rows.push(TortureRow { number, line, range: from..self.bytes.len(), id, case });
        self.bytes.push(b'\n');
    }

    pub(super) fn text(&self, row: &TortureRow) -> &str {
        std::str::from_utf8(&self.bytes[row.range.clone()]).unwrap_or_default()
    }

    /// Returns the rows that are not good.
    pub(super) fn cases(&self) -> impl Iterator<Item = (&TortureRow, &'static Case)> {
        self.rows.iter().filter_map(|row| row.case.map(|case| (row, case)))
    }

    /// Returns the data rows, without the header.
    pub(super) fn data(&self) -> &[u8] {
        &self.bytes[self.header.len()..]
    }
}

/// Returns the case's row with the good field in its place, or with the missing or extra field
/// corrected.
pub(super) fn good_row(id: u64) -> String {
    let fields: Vec<String> = columns().map(|column| written(&good(column, id))).collect();
    fields.join(",")
}

pub(super) fn row(case: &Case, id: u64, first_id: u64) -> String {
    let mut fields: Vec<String> = columns()
        .map(|column| match value(case, column, id, first_id) {
            Some(value) => written(&value),
            None => "NULL".to_owned(),
        })
        .collect();
    match case.field {
        Field::Missing => drop(fields.pop()),
        Field::Extra => fields.push("extra".to_owned()),
        _ => {}
    }
    fields.join(",")
}

/// Returns a column's value in a case's row. `None` is NULL.
pub(super) fn value(case: &Case, column: &Column, id: u64, first_id: u64) -> Option<String> {
    if column.name != case.column {
        return Some(good(column, id));
    }
    match case.field {
        Field::Text(text) => Some(text.to_owned()),
        Field::Repeated(text, count) => Some(text.repeat(count)),
        Field::Null => None,
        Field::First => Some(first_id.to_string()),
        Field::Missing | Field::Extra => Some(good(column, id)),
    }
}

fn good(column: &Column, id: u64) -> String {
    column.good.replace('#', &id.to_string())
}

/// Returns the value as it is written: in quotes if it could be read as anything else.
fn written(value: &str) -> String {
    let is_plain =
        value.chars().all(|c| c.is_alphanumeric() || " .:-+".contains(c)) && value != "NULL";
    if is_plain { value.to_owned() } else { format!("\"{}\"", value.replace('"', "\"\"")) }
}
