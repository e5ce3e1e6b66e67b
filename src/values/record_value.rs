//! The meaning of a value of a record in a column.

use std::borrow::Cow;

use super::column::ColumnRule;
use super::column_type::ColumnType;
use super::verdict::{BadKind, Field, Verdict};

/// The text of a value, with escapes resolved; `None` for NULL.
pub(super) type ValueText<'line> = Option<Cow<'line, [u8]>>;

/// Returns the text of a value in a variable, or `None` if it has no text.
pub(super) fn text(value: &str) -> Option<ValueText<'_>> {
    match value.as_bytes() {
        [b'n', ..] => Some(None),
        [b'"', ..] => Some(Some(string(value)?)),
        bytes => Some(Some(Cow::Borrowed(bytes))),
    }
}

/// Returns the text of a string, or `None` if it has half of a surrogate pair.
fn string(value: &str) -> Option<Cow<'_, [u8]>> {
    let inner = value.get(1..value.len() - 1)?;
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Some(Cow::Borrowed(inner.as_bytes()));
    }
    serde_json::from_str::<String>(value).ok().map(|text| Cow::Owned(text.into_bytes()))
}

impl ColumnRule {
    /// Returns the verdict on a value, and the text that it is about. The text for the server is in
    /// `out` as it is after [`Self::check`].
    pub(super) fn check_value<'line>(
        &self,
        value: &'line str,
        out: &mut Vec<u8>,
    ) -> (Verdict, ValueText<'line>) {
        let raw = value.as_bytes();
        let as_written = || Some(Cow::Borrowed(raw));
        let Some(text) = self.text(value) else {
            return (Verdict::Bad(BadKind::LoneSurrogate), as_written());
        };
        let Some(text) = text else { return (self.check(Field::Null, out), None) };
        let verdict = match raw {
            _ if self.column_type == ColumnType::Json => self.check_number(raw, out),
            [b'"', ..] => self.check(Field::Bytes(&text), out),
            _ if !self.takes_kind(raw) => return (Verdict::Bad(BadKind::JsonKind), as_written()),
            // A point in a number of JSON separates decimals, whatever it does in texts.
            _ => self.check_number(&text, out),
        };
        (verdict, Some(text))
    }

    /// Returns the text of a value in the column, or `None` if it has no text.
    pub(super) fn text<'line>(&self, value: &'line str) -> Option<ValueText<'line>> {
        let takes_words = self.takes_digits() && !self.keeps_forms;
        Some(Some(match value.as_bytes() {
            [b'n', ..] => return Some(None),
            raw if self.column_type == ColumnType::Json => Cow::Borrowed(raw),
            [b'"', ..] => string(value)?,
            b"true" if takes_words => Cow::Borrowed(b"1"),
            b"false" if takes_words => Cow::Borrowed(b"0"),
            raw => Cow::Borrowed(raw),
        }))
    }

    fn takes_digits(&self) -> bool {
        self.column_type.is_number() || self.column_type == ColumnType::Year
    }

    /// Returns true if the column takes values of this kind. The value is no string.
    fn takes_kind(&self, value: &[u8]) -> bool {
        let is_number = matches!(value.first(), Some(b'-' | b'0'..=b'9'));
        let is_nested = matches!(value.first(), Some(b'{' | b'['));
        match self.column_type {
            ColumnType::Characters(_) | ColumnType::Text(_) | ColumnType::Json => true,
            _ if is_nested => false,
            _ if self.column_type.is_date() => is_number && self.has_date_format(),
            ColumnType::Time { .. } => is_number,
            ColumnType::FixedBinary(_) | ColumnType::Binary(_) => false,
            // The server would take the digits for bytes.
            ColumnType::Bit(_) => self.reads_numbers(),
            _ => true,
        }
    }
}
