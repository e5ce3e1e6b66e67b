//! Finds losses in DECIMAL columns that MySQL reports only as a note.
//!
//! MySQL rounds `1.005` for a DECIMAL(9,2) column, with Note 1265: data truncated. It cuts `12.50
//! EUR` and `12,50` off where they stop being a number, with exactly the same note. The first is
//! harmless, the others are bad rows. The server does not distinguish them, so this module reads
//! the field itself: a note is harmless only if the field is a number from its first character to
//! its last.

use super::diagnostic::Diagnostic;
use crate::split::{Field, FieldReader};

const DATA_TRUNCATED: u16 = 1265;

/// The fields that go into DECIMAL columns unchanged.
#[derive(Clone, Debug)]
pub(crate) struct Decimals {
    /// Each column's name and the index of its field in a row.
    columns: Vec<(String, usize)>,
    reader: FieldReader,
}

impl Decimals {
    pub(crate) fn new(columns: Vec<(String, usize)>, reader: FieldReader) -> Self {
        Self { columns, reader }
    }

    /// Returns true if the note may be about a value that lost something.
    pub(crate) fn suspects(&self, warning: &Diagnostic) -> bool {
        warning.code == DATA_TRUNCATED && warning.is_note() && self.field(warning).is_some()
    }

    /// Returns true if the field of a suspected note is a number, so that it lost only digits.
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

/// Returns true for numbers such as `-12`, `.5`, `1.` and `2.5e-3`, with or without blanks around
/// them.
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
