//! The notations of numbers that a column of numbers does not give back.

use super::number::Number;

/// Returns the reason why a number would come back from a column of numbers in another form.
pub(super) fn why_changed(text: &[u8], number: Number<'_>) -> Option<&'static str> {
    let (whole, fraction) = number.written();
    if text.starts_with(b"+") {
        Some("has a plus sign")
    } else if whole.is_empty() || fraction.is_empty() && text.contains(&b'.') {
        Some("has no digit on one side of its point")
    } else if whole.len() > 1 && whole.starts_with(b"0") {
        Some("has a leading zero")
    } else if number.significant().is_zero() && number.is_negative {
        Some("is a zero with a sign")
    } else {
        None
    }
}

/// Returns true if a number comes back from a column of numbers as it is written, apart from the
/// digits after its point. The exponents of a column of floating-point numbers may change.
pub(super) fn comes_back(text: &[u8], is_float: bool) -> bool {
    let number = Number::read(text);
    number
        .is_some_and(|number| why_changed(text, number).is_none() && (number.is_plain || is_float))
}
