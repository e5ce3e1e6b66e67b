//! Losses that MySQL calls a note.
//!
//! `1.005` into DECIMAL(9,2) is rounded, with a Note 1265: data truncated. `12.50 EUR` and `12,50`
//! are cut off where they stop to be a number, with the same note, word for word. The first is
//! harmless, the others are bad rows. The server does not tell them apart, so that the field itself
//! is looked at: a note stands only about a field that is a number from its first character to its
//! last.

use super::diagnostic::Diagnostic;
use crate::split::{Field, FieldReader};

const DATA_TRUNCATED: u16 = 1265;

/// The fields that go into DECIMAL columns as they are.
#[derive(Clone, Debug)]
pub(crate) struct Decimals {
    /// The column's name, and which field of a row is its.
    columns: Vec<(String, usize)>,
    reader: FieldReader,
}

impl Decimals {
    pub(crate) fn new(columns: Vec<(String, usize)>, reader: FieldReader) -> Self {
        Self { columns, reader }
    }

    /// Whether the note may be about a value of which something was lost.
    pub(crate) fn suspects(&self, warning: &Diagnostic) -> bool {
        warning.code == DATA_TRUNCATED && warning.is_note() && self.field(warning).is_some()
    }

    /// Whether a suspected note is about a number, of which nothing but digits was lost.
    pub(crate) fn is_harmless(&self, warning: &Diagnostic, row: &[u8]) -> bool {
        let Some(index) = self.field(warning) else { return true };
        match self.reader.read(row).get(index) {
            Some(Field::Value(value)) => is_number(value),
            _ => true,
        }
    }

    fn field(&self, warning: &Diagnostic) -> Option<usize> {
        let column = warning.column.as_ref()?.to_lowercase();
        self.columns.iter().find(|(name, _)| name.to_lowercase() == column).map(|(_, index)| *index)
    }
}

/// `-12`, `.5`, `1.`, `2.5e-3`, with blanks around it.
fn is_number(text: &[u8]) -> bool {
    let text = text.trim_ascii();
    let text = text.strip_prefix(b"-").or_else(|| text.strip_prefix(b"+")).unwrap_or(text);
    let exponent = text.iter().position(|byte| matches!(byte, b'e' | b'E'));
    let (mantissa, exponent) =
        exponent.map_or((text, None), |at| (&text[..at], Some(&text[at + 1..])));
    let are_digits = |text: &[u8]| text.iter().all(u8::is_ascii_digit);
    let point = mantissa.iter().position(|&byte| byte == b'.');
    let (whole, fraction) =
        point.map_or((mantissa, &b""[..]), |at| (&mantissa[..at], &mantissa[at + 1..]));
    let has_digit = whole.len() + fraction.len() > 0;
    let is_exponent = exponent.is_none_or(|exponent| {
        let digits =
            exponent.strip_prefix(b"-").or_else(|| exponent.strip_prefix(b"+")).unwrap_or(exponent);
        !digits.is_empty() && are_digits(digits)
    });
    has_digit && are_digits(whole) && are_digits(fraction) && is_exponent
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_one_from_its_first_character_to_its_last() {
        for text in ["1.005", "-12", "+.5", "1.", "2.5e-3", "1E9", "  7.125 ", "0"] {
            assert!(is_number(text.as_bytes()), "{text}");
        }
        for text in [
            "12.50 EUR",
            "12,50",
            "",
            ".",
            "e5",
            "1e",
            "1e+",
            "--1",
            "1.2.3",
            "0x1F",
            "1_000",
            "NaN",
            "١٢",
        ] {
            assert!(!is_number(text.as_bytes()), "{text}");
        }
    }
}
