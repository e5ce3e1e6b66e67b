//! Values that are not in an object's rows, but are added to each of them.

use super::row_rules::RowRules;
use super::{ColumnRule, Field, Verdict};
use crate::printable::printable;
use crate::split::{CutRow, Field as ReadField, FieldText};

impl RowRules {
    /// Appends a value as one more field of a row, after a field terminator. A value of a column
    /// must be exact by its rule. Without a rule, it is a text, or NULL if `None`.
    ///
    /// # Errors
    /// The reason why the column does not take the value, or the dialect cannot write it.
    pub fn append(
        &self,
        rule: Option<&ColumnRule>,
        value: Option<&str>,
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        let text = value.map(str::as_bytes);
        let field = match text {
            Some(text) if rule.is_some() && self.is_null_string(text) => Field::Null,
            Some(text) => Field::Bytes(text),
            None => Field::Null,
        };
        let mut canonical = Vec::new();
        let verdict = rule.map_or(Verdict::Exact, |rule| rule.check(field, &mut canonical));
        let written = match (verdict, rule) {
            (Verdict::Exact | Verdict::ServerDecides, _) => match field {
                Field::Bytes(text) => Some(text),
                Field::Null => None,
            },
            (Verdict::ExactAs, _) => Some(canonical.as_slice()),
            (Verdict::ExactNull, _) => None,
            (Verdict::Bad(kind), Some(rule)) => return Err(rule.describe_bad(kind, field)),
            (Verdict::Loss(kind), Some(rule)) => return Err(rule.describe_loss(kind, field)),
            (Verdict::Bad(_) | Verdict::Loss(_), None) => None,
        };
        if self.encoding.append(written, rule.is_some().then_some(&self.null_strings), out) {
            return Ok(());
        }
        let what = value.map_or_else(|| "NULL".to_owned(), |value| format!("'{value}'"));
        Err(format!("the delimiters of the objects cannot express {what}"))
    }

    /// Returns the value of this field as a text for a message, if the row has the field and its
    /// value is not this text, or NULL if `None`.
    pub fn differing(&self, row: &CutRow<'_>, field: usize, value: Option<&str>) -> Option<String> {
        let wanted = value.map(str::as_bytes).filter(|text| !self.is_null_string(text));
        let mut differing = None;
        let is_other = |index: usize, _: FieldText<'_>| index != field;
        self.reader.for_each_unknown(row, is_other, |index, _, read| {
            let found = match &read {
                ReadField::Value(text) if !self.is_null_string(text) => Some(text.as_ref()),
                _ => None,
            };
            if index == field && found != wanted {
                differing = Some(match found {
                    Some(text) => format!("'{}'", printable(&String::from_utf8_lossy(text))),
                    None => "NULL".to_owned(),
                });
            }
        });
        differing
    }

    fn is_null_string(&self, text: &[u8]) -> bool {
        self.null_strings.iter().any(|word| word == text)
    }
}
