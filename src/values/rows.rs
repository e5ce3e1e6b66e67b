//! The verdicts on whole rows: each field by the rule of its column, and the number of fields.

use std::sync::Arc;

use super::{ColumnRule, Verdict};
use crate::dialect::{ColumnOrVariable, Dialect, FormatConfig, LineTerminator};
use crate::split::{Field, FieldReader, Malformed, RowCutter, RowRest};

/// The number that the servers use for a row with too few fields.
const TOO_FEW_FIELDS: u16 = 1261;
/// The number that the servers use for a row with too many fields.
const TOO_MANY_FIELDS: u16 = 1262;

/// The rules for the rows of an object: one for each item of the column list.
#[derive(Clone, Debug)]
pub struct RowRules {
    reader: FieldReader,
    items: Vec<Item>,
    null_strings: Vec<Vec<u8>>,
    encoding: Encoding,
    notes_as_bad: bool,
}

#[derive(Clone, Debug)]
struct Item {
    /// The name of the column or variable.
    name: String,
    /// `None` for a variable.
    rule: Option<ColumnRule>,
}

/// The verdict on one row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowVerdict {
    /// True if the row must not be loaded.
    pub is_bad: bool,
    /// True if a value loses something that is only noted.
    pub is_noted: bool,
    /// True if the server must get another text than the row's for one of its fields.
    pub is_rewritten: bool,
}

/// One thing that is wrong with a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowFault {
    /// The column; `None` if the row has another number of fields.
    pub column: Option<String>,
    /// The number that the servers use for such a fault.
    pub code: u16,
    pub text: String,
}

impl RowRules {
    /// Returns the rules for rows whose fields go to `columns`. `rule` returns the rule of a column.
    pub fn new(
        columns: &[ColumnOrVariable],
        format: &FormatConfig,
        notes_as_bad: bool,
        mut rule: impl FnMut(&str) -> Option<ColumnRule>,
    ) -> Self {
        let items = columns.iter().map(|item| match item {
            ColumnOrVariable::Column(name) => Item { name: name.clone(), rule: rule(name) },
            ColumnOrVariable::Variable(name) => Item { name: format!("@{name}"), rule: None },
        });
        Self {
            reader: FieldReader::new(&format.dialect, columns.len()),
            items: items.collect(),
            null_strings: format.null_strings.iter().map(|word| word.as_bytes().to_vec()).collect(),
            encoding: Encoding::new(&format.dialect),
            notes_as_bad,
        }
    }

    /// Returns the verdict on a row, given without its line terminator. `scratch` is overwritten.
    pub fn judge(&self, row: &[u8], scratch: &mut Vec<u8>) -> RowVerdict {
        let mut verdict = RowVerdict::default();
        let rest = self.reader.for_each(row, |index, _, field| {
            let Some(rule) = self.items.get(index).and_then(|item| item.rule.as_ref()) else {
                return;
            };
            match rule.check(self.value(&field), scratch) {
                Verdict::Exact | Verdict::ServerDecides => {}
                Verdict::ExactAs => verdict.is_rewritten = true,
                Verdict::Loss => {
                    verdict.is_noted = true;
                    verdict.is_rewritten |= !scratch.is_empty();
                }
                Verdict::Bad => verdict.is_bad = true,
            }
        });
        verdict.is_bad |= self.count_fault(rest).is_some() || verdict.is_noted && self.notes_as_bad;
        verdict
    }

    /// Returns everything that is wrong with a row that is bad or noted.
    #[must_use]
    pub fn faults(&self, row: &[u8]) -> Vec<RowFault> {
        let mut faults = Vec::new();
        let mut scratch = Vec::new();
        let rest = self.reader.for_each(row, |index, _, field| {
            let Some(item) = self.items.get(index) else { return };
            let Some(rule) = &item.rule else { return };
            let value = self.value(&field);
            if matches!(rule.check(value, &mut scratch), Verdict::Bad | Verdict::Loss) {
                faults.push(RowFault {
                    column: Some(item.name.clone()),
                    code: 1366,
                    text: format!("{:?}", value.map(|value| value.escape_ascii().to_string())),
                });
            }
        });
        faults.extend(self.count_fault(rest));
        faults
    }

    /// Writes the row as the server must get it, without its line terminator.
    pub fn rewrite(&self, row: &[u8], out: &mut Vec<u8>) {
        let mut scratch = Vec::new();
        let mut copied = 0;
        self.reader.for_each(row, |index, place, field| {
            let Some(rule) = self.items.get(index).and_then(|item| item.rule.as_ref()) else {
                return;
            };
            let verdict = rule.check(self.value(&field), &mut scratch);
            if verdict == Verdict::ExactAs || verdict == Verdict::Loss && !scratch.is_empty() {
                out.extend_from_slice(&row[copied..place.start]);
                self.encoding.write(&scratch, out);
                copied = place.end;
            }
        });
        out.extend_from_slice(&row[copied..]);
    }

    fn value<'a>(&self, field: &'a Field<'_>) -> Option<&'a [u8]> {
        match field {
            Field::Value(value) if !self.is_null(value) => Some(value),
            _ => None,
        }
    }

    fn is_null(&self, value: &[u8]) -> bool {
        self.null_strings.iter().any(|word| word == value)
    }

    /// Returns the fault of a row with too few or too many fields. An empty field behind the last
    /// one is none: some writers end each row with a field terminator.
    fn count_fault(&self, rest: RowRest<'_>) -> Option<RowFault> {
        let listed = self.items.len();
        let (fields, code) = match rest.bytes {
            None if rest.fields < listed => (rest.fields.to_string(), TOO_FEW_FIELDS),
            Some(bytes) if !bytes.is_empty() => (format!("more than {listed}"), TOO_MANY_FIELDS),
            _ => return None,
        };
        let names: Vec<&str> = self.items.iter().map(|item| item.name.as_str()).collect();
        Some(RowFault {
            column: None,
            code,
            text: format!("{fields} fields, {listed} are listed: {}", names.join(", ")),
        })
    }
}

/// The verdicts on all rows of an object or a part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ValueCounts {
    pub rows: u64,
    /// The rows that are bad by their values or by the number of their fields.
    pub bad_rows: u64,
    /// The rows, not counted as bad, with a loss that is only noted.
    pub noted_rows: u64,
    /// True if the server must get another text for some fields.
    pub are_rewritten: bool,
}

impl ValueCounts {
    /// Counts a row.
    pub fn add(&mut self, verdict: RowVerdict) {
        self.rows += 1;
        self.bad_rows += u64::from(verdict.is_bad);
        self.noted_rows += u64::from(verdict.is_noted && !verdict.is_bad);
        self.are_rewritten |= verdict.is_rewritten;
    }
}

/// Writes rows as the server must get them, while their bytes stream past.
#[derive(Clone, Debug)]
pub struct RowRewriter {
    rules: Arc<RowRules>,
    cutter: RowCutter,
    lines_terminated_by: Vec<u8>,
}

impl RowRewriter {
    /// Creates a rewriter for the rows of an object with this line terminator.
    #[must_use]
    pub fn new(rules: Arc<RowRules>, dialect: &Dialect, lines_terminated_by: &[u8]) -> Self {
        Self {
            cutter: RowCutter::new(dialect, lines_terminated_by, rules.items.len()),
            rules,
            lines_terminated_by: lines_terminated_by.to_vec(),
        }
    }

    /// Reads the next bytes, and returns the rows that end in them.
    ///
    /// # Errors
    /// The errors of [`RowCutter::feed`].
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Vec<u8>, Malformed> {
        let Self { rules, cutter, lines_terminated_by } = self;
        let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 8);
        cutter.feed(bytes, |row| {
            rules.rewrite(row, &mut out);
            out.extend_from_slice(lines_terminated_by);
        })?;
        Ok(out)
    }
}

/// Writes a value as a field of the object's dialect.
#[derive(Clone, Debug)]
struct Encoding {
    quote: Option<u8>,
    escape: Option<u8>,
    /// The first bytes of the terminators.
    terminators: Vec<u8>,
}

impl Encoding {
    fn new(dialect: &Dialect) -> Self {
        let line: &[u8] = match &dialect.lines_terminated_by {
            LineTerminator::Exact(line) => line,
            LineTerminator::Detect => b"\r\n",
        };
        let terminators = [dialect.fields_terminated_by.as_slice(), line].concat();
        Self { quote: dialect.fields_enclosed_by, escape: dialect.fields_escaped_by, terminators }
    }

    /// Writes digits, signs and punctuation.
    fn write(&self, value: &[u8], out: &mut Vec<u8>) {
        let is_special = |byte: &u8| self.terminators.contains(byte) || Some(*byte) == self.escape;
        match self.quote.filter(|_| value.iter().any(is_special)) {
            Some(quote) => {
                out.push(quote);
                out.extend_from_slice(value);
                out.push(quote);
            }
            None => out.extend_from_slice(value),
        }
    }
}
