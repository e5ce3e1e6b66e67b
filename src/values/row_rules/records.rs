//! The verdicts on records, which are lines of JSON, and their form for the server.

use super::{Item, Rewriting, RowFault, RowRules, RowVerdict, is_rewritten};
use crate::nearest::nearest;
use crate::printable::printable;
use crate::sql_text::{quote_identifier, same_name};
use crate::values::ordinary::Ordinary;
use crate::values::record::{Record, RecordReader};
use crate::values::record_fault::column;
use crate::values::record_value::{ValueText, text};
use crate::values::{BadKind, Field, Verdict};

/// The number that the servers use for a column that does not exist.
const UNKNOWN_COLUMN: u16 = 1054;

const NULL: &[u8] = b"\\N";

impl RowRules {
    pub(super) fn judge_record(
        &self,
        reader: &RecordReader,
        line: &[u8],
        scratch: &mut Vec<u8>,
    ) -> RowVerdict {
        let mut verdict = RowVerdict { rewriting: Rewriting::Form, ..RowVerdict::default() };
        let Ok(record) = reader.read(line) else {
            return RowVerdict { is_bad: true, ..verdict };
        };
        verdict.is_bad = !record.extra.is_empty()
            || record.is_foreign()
            || reader.refuses_missing && record.values.iter().any(Option::is_none);
        for (index, value) in record.values.iter().enumerate() {
            if value.is_some_and(|value| self.is_ordinary_value(index, value)) {
                continue;
            }
            match self.check_value(index, *value, scratch).0 {
                Verdict::Bad(_) => verdict.is_bad = true,
                Verdict::Loss(kind) => {
                    verdict.is_noted = true;
                    if is_rewritten(kind) {
                        verdict.rewriting = Rewriting::Values;
                    }
                }
                Verdict::ExactAs | Verdict::ExactNull => verdict.rewriting = Rewriting::Values,
                Verdict::Exact | Verdict::ServerDecides => {}
            }
        }
        verdict.is_bad |= verdict.is_noted && self.notes_as_bad;
        verdict
    }

    /// Returns true for most values that are exact: strings without escapes, and numbers.
    fn is_ordinary_value(&self, index: usize, value: &str) -> bool {
        let ordinary = self.ordinary[index];
        match value.as_bytes() {
            [b'"', text @ .., b'"'] => {
                memchr::memchr(b'\\', text).is_none() && ordinary.takes(text)
            }
            number @ [b'-' | b'0'..=b'9', ..] => {
                matches!(ordinary, Ordinary::Number(_)) && ordinary.takes(number)
            }
            _ => false,
        }
    }

    /// Returns the verdict on a value of a record, and its text. A value that is missing is NULL.
    fn check_value<'line>(
        &self,
        index: usize,
        value: Option<&'line str>,
        scratch: &mut Vec<u8>,
    ) -> (Verdict, ValueText<'line>) {
        scratch.clear();
        let value = value.unwrap_or("null");
        match self.rule(index) {
            Some(rule) => rule.check_value(value, scratch),
            None => match text(value) {
                Some(text) => (Verdict::Exact, text),
                None => (Verdict::Bad(BadKind::LoneSurrogate), Some(value.as_bytes().into())),
            },
        }
    }

    /// Returns the text of a value as [`Self::check_value`] does.
    fn own_text<'line>(&self, index: usize, value: Option<&'line str>) -> ValueText<'line> {
        let value = value?;
        let text = match self.rule(index) {
            Some(rule) => rule.text(value),
            None => text(value),
        };
        text.unwrap_or(Some(value.as_bytes().into()))
    }

    /// Returns everything that is wrong with a record that is bad, or its losses if it is not.
    pub(super) fn record_faults(&self, reader: &RecordReader, line: &[u8]) -> Vec<RowFault> {
        let record = match reader.read(line) {
            Ok(record) => record,
            Err(fault) => {
                let (text, remedies) = (fault.text, fault.remedies);
                return vec![RowFault {
                    column: None,
                    code: BadKind::NotJson.code(),
                    text,
                    remedies,
                }];
            }
        };
        let mut bad = self.extra_keys(reader, &record, line);
        if bad.is_empty() && record.is_foreign() {
            bad.push(RowFault {
                column: None,
                code: UNKNOWN_COLUMN,
                text: "the record has nothing for any column".to_owned(),
                remedies: vec![
                    "if the records are in an array of the document, --format json --rows-at \
                     '$.Records' reads them"
                        .to_owned(),
                ],
            });
        }
        let mut noted = Vec::new();
        let mut scratch = Vec::new();
        for (index, (item, value)) in self.items.iter().zip(&record.values).enumerate() {
            if reader.refuses_missing && value.is_none() {
                bad.push(missing(item));
                continue;
            }
            let (verdict, text) = self.check_value(index, *value, &mut scratch);
            let field = text.as_deref().map_or(Field::Null, Field::Bytes);
            let fault = |code, text, remedies| RowFault {
                column: Some(item.name.clone()),
                code,
                text,
                remedies,
            };
            match (verdict, &item.rule) {
                (Verdict::Bad(kind), Some(rule)) => {
                    let remedies = rule.remedies(kind, field).into_iter();
                    let remedies = remedies.map(|remedy| remedy.line(rule.name())).collect();
                    bad.push(fault(kind.code(), rule.describe_bad(kind, field), remedies));
                }
                (Verdict::Bad(kind), None) => {
                    let text = format!("{}: half of a surrogate pair", item.name);
                    bad.push(fault(kind.code(), text, Vec::new()));
                }
                (Verdict::Loss(kind), Some(rule)) => {
                    let text = rule.describe_loss(kind, field);
                    noted.push(fault(super::DATA_TRUNCATED, text, Vec::new()));
                }
                _ => {}
            }
        }
        if bad.is_empty() || self.notes_as_bad {
            bad.extend(noted);
        }
        bad
    }

    fn extra_keys(&self, reader: &RecordReader, record: &Record<'_>, line: &[u8]) -> Vec<RowFault> {
        let line = std::str::from_utf8(line).unwrap_or_default();
        let fault = |(key, at): &(std::borrow::Cow<'_, str>, usize)| {
            let mut remedies =
                vec!["--extra-columns ignore passes over keys that have no column".to_owned()];
            let names = self.items.iter().filter(|item| item.rule.is_some());
            if let Some(near) = nearest(key, names.map(|item| item.name.as_str())) {
                remedies.insert(0, format!("did you mean {near:?}?"));
            }
            if let Some(table) = &reader.table {
                let (column, column_type) = (quote_identifier(key), usual_type(&line[*at..]));
                remedies.push(format!(
                    "ALTER TABLE {table} ADD COLUMN {column} {column_type}; adds it, if that is \
                     its type"
                ));
            }
            RowFault {
                column: None,
                code: UNKNOWN_COLUMN,
                text: format!(
                    "the key {:?} is no column of the table (column {} of the record)",
                    printable(key),
                    column(line, *at)
                ),
                remedies,
            }
        };
        record.extra.iter().map(fault).collect()
    }

    pub(super) fn takes_of_record(&self, reader: &RecordReader, line: &[u8], column: &str) -> bool {
        let is_it = |item: &Item| item.rule.is_some() && same_name(&item.name, column);
        let Some(index) = self.items.iter().position(is_it) else { return false };
        let Ok(record) = reader.read(line) else { return false };
        let verdict = self.check_value(index, record.values[index], &mut Vec::new()).0;
        matches!(verdict, Verdict::Exact | Verdict::ExactAs | Verdict::ExactNull)
            && !self.has_triggers
    }

    /// Writes the record in the dialect that the server reads. A line that cannot be read is a row
    /// of NULLs, which is never loaded. Without `has_other_texts`, each value goes to the server in
    /// its own text.
    pub(super) fn rewrite_record(
        &self,
        reader: &RecordReader,
        line: &[u8],
        has_other_texts: bool,
        out: &mut Vec<u8>,
    ) {
        let record = reader.read(line);
        let mut scratch = Vec::new();
        for index in 0..self.items.len() {
            if index > 0 {
                out.push(b'\t');
            }
            let Ok(record) = &record else {
                out.extend_from_slice(NULL);
                continue;
            };
            let value = record.values[index];
            if !has_other_texts {
                match self.own_text(index, value) {
                    Some(text) => write_escaped(&text, out),
                    None => out.extend_from_slice(NULL),
                }
                continue;
            }
            let (verdict, text) = self.check_value(index, value, &mut scratch);
            match (verdict, text) {
                (Verdict::ExactNull, _) | (_, None) => out.extend_from_slice(NULL),
                (Verdict::ExactAs, _) => write_escaped(&scratch, out),
                (Verdict::Loss(kind), _) if is_rewritten(kind) => write_escaped(&scratch, out),
                (_, Some(text)) => write_escaped(&text, out),
            }
        }
    }
}

/// Returns the usual type of a column for the value that the text begins with.
fn usual_type(value: &str) -> &'static str {
    let end = value.find([',', '}', ']']).unwrap_or(value.len());
    match value.as_bytes().first() {
        Some(b'{' | b'[') => "JSON",
        _ if value[..end].trim().parse::<i64>().is_ok() => "BIGINT",
        _ => "VARCHAR(255)",
    }
}

fn missing(item: &Item) -> RowFault {
    let place = match &item.rule {
        Some(rule) => rule.place(),
        None => format!("variable {}", printable(&item.name)),
    };
    RowFault {
        column: Some(item.name.clone()),
        code: BadKind::Null.code(),
        text: format!("{place}: the record does not have it"),
        remedies: vec!["--missing-keys null loads NULL where a key is missing".to_owned()],
    }
}

/// Writes a value as the server reads it by the preset `mysql`.
fn write_escaped(value: &[u8], out: &mut Vec<u8>) {
    let mut copied = 0;
    for at in memchr::memchr3_iter(b'\\', b'\t', b'\n', value) {
        out.extend_from_slice(&value[copied..at]);
        out.extend_from_slice(match value[at] {
            b'\t' => b"\\t",
            b'\n' => b"\\n",
            _ => b"\\\\",
        });
        copied = at + 1;
    }
    out.extend_from_slice(&value[copied..]);
}
