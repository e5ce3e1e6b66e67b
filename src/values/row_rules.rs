//! The verdicts on whole rows: each field by the rule of its column, and the number of fields.

mod blocks;
mod records;

use super::field_encoding::FieldEncoding;
use super::ordinary::Ordinary;
use super::record::RecordReader;
use super::{BadKind, ColumnRule, Field, LossKind, Verdict};
use crate::dialect::{ColumnOrVariable, EXTRA_VARIABLE, FormatConfig};
use crate::split::{CutRow, Field as Read, FieldReader, FieldText, RowRest};
use crate::sql_text::{TableName, same_name};

/// The number that the servers use for a row with too few fields.
const TOO_FEW_FIELDS: u16 = 1261;
/// The number that the servers use for a row with too many fields.
const TOO_MANY_FIELDS: u16 = 1262;

/// The most names of columns in a message.
const SHOWN_NAMES: usize = 40;

/// The number that the servers use for a value that lost something.
const DATA_TRUNCATED: u16 = 1265;

/// The rules for the rows of an object: one for each item of the column list.
#[derive(Clone, Debug)]
pub struct RowRules {
    pub(super) reader: FieldReader,
    /// Reads rows that are records instead.
    records: Option<RecordReader>,
    items: Vec<Item>,
    /// The texts that no rule need read, for each item.
    ordinary: Vec<Ordinary>,
    pub(super) null_strings: Vec<Vec<u8>>,
    pub(super) encoding: FieldEncoding,
    notes_as_bad: bool,
    /// True if triggers may change values before the server judges them.
    has_triggers: bool,
}

#[derive(Clone, Debug)]
struct Item {
    /// The name of the column, or of the variable with its `@`, for messages.
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
    pub rewriting: Rewriting,
}

/// The difference between a row, or several, and what the server must get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rewriting {
    #[default]
    None,
    /// The values must be taken out of their record.
    Form,
    /// A value must get another text, too.
    Values,
}

/// The verdicts on all rows of an object or a part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ValueCounts {
    pub rows: u64,
    /// The rows that are bad by their values or by the number of their fields.
    pub bad_rows: u64,
    /// The rows, not counted as bad, with a loss that is only noted.
    pub noted_rows: u64,
    /// The most that must be rewritten in a row.
    pub rewriting: Rewriting,
}

impl ValueCounts {
    /// Counts a row.
    pub fn add(&mut self, verdict: RowVerdict) {
        self.rows += 1;
        self.bad_rows += u64::from(verdict.is_bad);
        self.noted_rows += u64::from(verdict.is_noted && !verdict.is_bad);
        self.rewriting = self.rewriting.max(verdict.rewriting);
    }
}

/// The memory in which rows are judged.
#[derive(Debug, Default)]
pub struct RowScratch {
    text: Vec<u8>,
    verdicts: Vec<RowVerdict>,
}

/// One thing that is wrong with a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowFault {
    /// The column; `None` if the row has another number of fields.
    pub column: Option<String>,
    /// The number that the servers use for such a fault.
    pub code: u16,
    /// The message, without the place of the row.
    pub text: String,
    /// The remedies, each on one line.
    pub remedies: Vec<String>,
}

impl RowRules {
    /// Returns the rules for rows whose fields go to `columns`. `rule` returns the rule of a
    /// column, or `None` for a column about whose values only the server knows.
    pub fn new(
        columns: &[ColumnOrVariable],
        format: &FormatConfig,
        notes_as_bad: bool,
        mut rule: impl FnMut(&str) -> Option<ColumnRule>,
    ) -> Self {
        let items = columns.iter().map(|item| match item {
            ColumnOrVariable::Column(name) => Item { name: name.clone(), rule: rule(name) },
            ColumnOrVariable::Variable(name) if name == EXTRA_VARIABLE => {
                Item { name: "(left out)".to_owned(), rule: None }
            }
            ColumnOrVariable::Variable(name) => Item { name: format!("@{name}"), rule: None },
        });
        let items: Vec<Item> = items.collect();
        let ordinary = items.iter().map(|item| match &item.rule {
            None => Ordinary::Anything,
            // A text that means NULL may be one.
            Some(_) if !format.null_strings.is_empty() => Ordinary::Nothing,
            Some(rule) => rule.ordinary(),
        });
        Self {
            reader: FieldReader::new(&format.dialect, columns.len()),
            records: format.json.as_ref().map(|json| RecordReader::new(columns, json)),
            ordinary: ordinary.collect(),
            items,
            null_strings: format.null_strings.iter().map(|word| word.as_bytes().to_vec()).collect(),
            encoding: FieldEncoding::new(&format.dialect),
            notes_as_bad,
            has_triggers: false,
        }
    }

    /// Tells the rules that triggers may change values before the server judges them.
    #[must_use]
    pub fn with_triggers(self, has_triggers: bool) -> Self {
        Self { has_triggers, ..self }
    }

    /// Tells the rules the names of the table and of all its columns. A key of a record with such a
    /// name is known, even if no field goes into the column.
    #[must_use]
    pub fn with_table_columns<'names>(
        mut self,
        table: TableName,
        names: impl IntoIterator<Item = &'names str>,
    ) -> Self {
        if let Some(records) = &mut self.records {
            records.table = Some(table);
            records.columns = names.into_iter().map(str::to_lowercase).collect();
        }
        self
    }

    /// Returns the remarks about columns, one line each.
    #[must_use]
    pub fn remarks(&self) -> Vec<String> {
        self.items.iter().filter_map(|item| item.rule.as_ref()?.remark()).collect()
    }

    /// Returns the number of fields in a row.
    pub(super) fn fields_per_row(&self) -> usize {
        self.items.len()
    }

    /// Returns the verdict on a row, given without its line terminator. `scratch` is overwritten.
    pub fn judge(&self, row: &CutRow<'_>, scratch: &mut Vec<u8>) -> RowVerdict {
        if let Some(records) = &self.records {
            return self.judge_record(records, row.bytes, scratch);
        }
        let mut verdict = RowVerdict::default();
        let is_known = |index: usize, text: FieldText<'_>| match (self.ordinary[index], text) {
            (ordinary, FieldText::Value(text)) => ordinary.takes(text),
            (ordinary, FieldText::Unresolved(text)) => ordinary.takes_all_of(text.len()),
        };
        let rest = self.reader.for_each_unknown(row, is_known, |index, _, read| {
            if let Some(rule) = self.rule(index) {
                self.judge_field(rule, &read, scratch, &mut verdict);
            }
        });
        verdict.is_bad |= self.count_fault(rest).is_some() || verdict.is_noted && self.notes_as_bad;
        verdict
    }

    fn judge_field(
        &self,
        rule: &ColumnRule,
        read: &Read<'_>,
        scratch: &mut Vec<u8>,
        verdict: &mut RowVerdict,
    ) {
        scratch.clear();
        match rule.check(self.field(read), scratch) {
            Verdict::Exact | Verdict::ServerDecides => {}
            Verdict::ExactAs => {
                verdict.rewriting = Rewriting::Values;
                verdict.is_bad |= !self.encoding.can_write(scratch);
            }
            Verdict::ExactNull => {
                verdict.rewriting = Rewriting::Values;
                verdict.is_bad |= self.encoding.null.is_none();
            }
            Verdict::Loss(kind) => {
                verdict.is_noted = true;
                if is_rewritten(kind) {
                    verdict.rewriting = Rewriting::Values;
                    verdict.is_bad |= !self.encoding.can_write(scratch);
                }
            }
            Verdict::Bad(_) => verdict.is_bad = true,
        }
    }

    /// Returns everything that is wrong with a row that is bad, or its losses if it is not.
    #[must_use]
    pub fn faults(&self, row: &[u8]) -> Vec<RowFault> {
        if let Some(records) = &self.records {
            return self.record_faults(records, row);
        }
        let mut bad = Vec::new();
        let mut noted = Vec::new();
        let mut scratch = Vec::new();
        let rest = self.reader.for_each(row, |index, _, read| {
            let Some(rule) = self.rule(index) else { return };
            scratch.clear();
            let field = self.field(&read);
            let verdict = rule.check(field, &mut scratch);
            let fault = |code, text| RowFault {
                column: Some(rule.name().to_owned()),
                code,
                text,
                remedies: Vec::new(),
            };
            match verdict {
                Verdict::Bad(kind) => bad.push(RowFault {
                    remedies: rule
                        .remedies(kind, field)
                        .into_iter()
                        .map(|remedy| remedy.line(rule.name()))
                        .collect(),
                    ..fault(kind.code(), rule.describe_bad(kind, field))
                }),
                Verdict::Loss(kind) => {
                    noted.push(fault(DATA_TRUNCATED, rule.describe_loss(kind, field)));
                }
                _ => {}
            }
            let cannot_write = match verdict {
                Verdict::ExactAs => !self.encoding.can_write(&scratch),
                Verdict::ExactNull => self.encoding.null.is_none(),
                Verdict::Loss(kind) => is_rewritten(kind) && !self.encoding.can_write(&scratch),
                _ => false,
            };
            if cannot_write {
                let text = format!(
                    "the value would be sent as '{}', which the delimiters of the object do not \
                     allow",
                    scratch.escape_ascii()
                );
                bad.push(fault(BadKind::NotANumber.code(), text));
            }
        });
        bad.extend(self.count_fault(rest));
        if bad.is_empty() || self.notes_as_bad {
            bad.extend(noted);
        }
        bad
    }

    /// Returns true if, by the rules, the server keeps the row's value of this column, and no
    /// trigger can change it.
    #[must_use]
    pub fn takes(&self, row: &[u8], column: &str) -> bool {
        if let Some(records) = &self.records {
            return self.takes_of_record(records, row, column);
        }
        let mut takes = false;
        let mut scratch = Vec::new();
        self.reader.for_each(row, |index, _, read| {
            let Some(rule) = self.rule(index).filter(|rule| same_name(rule.name(), column)) else {
                return;
            };
            scratch.clear();
            let verdict = rule.check(self.field(&read), &mut scratch);
            takes = matches!(verdict, Verdict::Exact | Verdict::ExactAs | Verdict::ExactNull);
        });
        takes && !self.has_triggers
    }

    /// Writes the row as the server must get it, without its line terminator.
    pub fn rewrite(&self, row: &CutRow<'_>, out: &mut Vec<u8>) {
        if let Some(records) = &self.records {
            return self.rewrite_record(records, row.bytes, true, out);
        }
        let mut scratch = Vec::new();
        let mut copied = 0;
        self.reader.for_each_unknown(
            row,
            |_, _| false,
            |index, place, read| {
                let Some(rule) = self.rule(index) else { return };
                scratch.clear();
                let verdict = rule.check(self.field(&read), &mut scratch);
                let is_other = match verdict {
                    Verdict::ExactAs | Verdict::ExactNull => true,
                    Verdict::Loss(kind) => is_rewritten(kind),
                    _ => false,
                };
                if is_other {
                    out.extend_from_slice(&row.bytes[copied..place.start]);
                    match &self.encoding.null {
                        Some(null) if verdict == Verdict::ExactNull => out.extend_from_slice(null),
                        _ => self.encoding.write(&scratch, out),
                    }
                    copied = place.end;
                }
            },
        );
        out.extend_from_slice(&row.bytes[copied..]);
    }

    /// Writes the row of a record like [`Self::rewrite`]. No value of it may have another text for
    /// the server. Other rows are written as they are.
    pub(super) fn copy_texts(&self, row: &CutRow<'_>, out: &mut Vec<u8>) {
        match &self.records {
            Some(records) => self.rewrite_record(records, row.bytes, false, out),
            None => out.extend_from_slice(row.bytes),
        }
    }

    /// Makes `out`, which ends with the bytes of this row, end with the last listed field. What
    /// follows that field is cut off, and fields that are missing become NULL.
    pub(super) fn end_with_last_field(&self, row: &CutRow<'_>, out: &mut Vec<u8>) {
        if self.records.is_some() {
            return;
        }
        let rest = self.reader.for_each_unknown(row, |_, _| true, |_, _, _| {});
        if let Some(bytes) = rest.bytes {
            out.truncate(out.len() - bytes.len() - self.encoding.terminator().len());
        }
        for _ in rest.fields..self.items.len() {
            self.encoding.append_missing(out);
        }
    }

    fn rule(&self, index: usize) -> Option<&ColumnRule> {
        self.items.get(index)?.rule.as_ref()
    }

    fn field<'a>(&self, read: &'a Read<'_>) -> Field<'a> {
        match read {
            Read::Value(value) if !self.null_strings.iter().any(|word| **word == **value) => {
                Field::Bytes(value)
            }
            _ => Field::Null,
        }
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
        let mut names: Vec<&str> =
            self.items.iter().take(SHOWN_NAMES).map(|item| item.name.as_str()).collect();
        if listed > SHOWN_NAMES {
            names.push("...");
        }
        let word = if fields == "1" { "field" } else { "fields" };
        Some(RowFault {
            column: None,
            code,
            text: format!("{fields} {word}, {listed} are listed: {}", names.join(", ")),
            remedies: self.without_generated(rest.fields).into_iter().collect(),
        })
    }

    /// Returns the remedy for rows that lack just the fields of the generated columns.
    fn without_generated(&self, fields: usize) -> Option<String> {
        let is_generated = |item: &&Item| item.rule.as_ref().is_some_and(|rule| rule.is_generated);
        let others: Vec<&str> = self
            .items
            .iter()
            .filter(|item| !is_generated(item))
            .map(|item| item.name.as_str())
            .collect();
        let columns = others.join(",");
        (others.len() == fields && fields < self.items.len())
            .then(|| format!("--columns '{columns}' leaves out the generated columns"))
    }
}

/// Returns true if the server gets what the column keeps, in digits, and not the whole text.
fn is_rewritten(kind: LossKind) -> bool {
    matches!(kind, LossKind::Decimals | LossKind::Fraction | LossKind::TimeOfDay)
}

impl BadKind {
    /// Returns the number that the servers use for such a value.
    fn code(self) -> u16 {
        match self {
            Self::Null => 1048,
            Self::OutOfRange | Self::NotBits => 1264,
            Self::TooLong => 1406,
            Self::NotALabel | Self::LabelNumber => 1265,
            Self::NotADate
            | Self::NotADateTime
            | Self::NotATime
            | Self::DateOrder
            | Self::NoSuchDate
            | Self::OffsetInDate
            | Self::EpochSeconds
            | Self::SkippedByZone
            | Self::TwiceInZone
            | Self::TimeWithoutColon
            | Self::DateBeforeTime
            | Self::NotInFormat => 1292,
            Self::NotJson | Self::JsonTooDeep | Self::JsonKeyTooLong | Self::LoneSurrogate => 3140,
            _ => 1366,
        }
    }
}
