//! The text that the server shows for a number, a date or a time in an object.
//!
//! Each function returns `None` if that text is not certain, as for `1e3`, `2026-1-1` or a fraction
//! that must be rounded. The server took the value without a warning, so ranges are not checked.

use std::borrow::Cow;

/// A number of digits that no column has.
const DIGITS_LIMIT: usize = 81;

pub(super) fn integer(value: &[u8]) -> Option<Cow<'_, [u8]>> {
    let (is_negative, digits) = sign(value);
    if digits.is_empty() || digits.len() > DIGITS_LIMIT || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digits = without_leading_zeros(digits);
    if is_negative && digits != b"0" {
        // If no zero was dropped, the value is already canonical.
        return Some(if value.len() == digits.len() + 1 {
            Cow::Borrowed(value)
        } else {
            Cow::Owned([b"-", digits].concat())
        });
    }
    Some(Cow::Borrowed(digits))
}

/// Returns the decimal with `scale` digits, rounded half away from zero, as the server does.
pub(super) fn decimal(value: &[u8], scale: usize) -> Option<Vec<u8>> {
    let (is_negative, number) = sign(value);
    let mut parts = number.splitn(2, |&byte| byte == b'.');
    let whole = parts.next().unwrap_or_default();
    let fraction = parts.next().unwrap_or_default();
    let are_digits = whole.iter().chain(fraction).all(u8::is_ascii_digit);
    if whole.len() + fraction.len() == 0 || number.len() > DIGITS_LIMIT || !are_digits {
        return None;
    }
    let mut digits = vec![b'0'];
    digits.extend_from_slice(whole);
    digits.extend_from_slice(&fraction[..fraction.len().min(scale)]);
    digits.resize(1 + whole.len() + scale, b'0');
    if fraction.get(scale).is_some_and(|&digit| digit >= b'5') {
        for digit in digits.iter_mut().rev() {
            if *digit == b'9' {
                *digit = b'0';
            } else {
                *digit += 1;
                break;
            }
        }
    }
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let is_zero = digits.iter().all(|&digit| digit == b'0');
    let mut text = Vec::with_capacity(digits.len() + 2);
    if is_negative && !is_zero {
        text.push(b'-');
    }
    text.extend_from_slice(without_leading_zeros(whole));
    if scale > 0 {
        text.push(b'.');
        text.extend_from_slice(fraction);
    }
    Some(text)
}

/// Accepts the values of a YEAR only. The server takes other four-digit values for two-digit ones.
pub(super) fn year(value: &[u8]) -> Option<Cow<'_, [u8]>> {
    let is_year =
        is_like(value, b"dddd") && (value == b"0000" || (&b"1901"[..]..=b"2155").contains(&value));
    is_year.then_some(Cow::Borrowed(value))
}

pub(super) fn date(value: &[u8]) -> Option<Cow<'_, [u8]>> {
    is_like(value, b"dddd-dd-dd").then_some(Cow::Borrowed(value))
}

pub(super) fn date_time(value: &[u8], fraction_digits: usize) -> Option<Cow<'_, [u8]>> {
    const SECONDS: usize = b"dddd-dd-dd dd:dd:dd".len();
    if is_like(value, b"dddd-dd-dd") {
        let midnight = [value, b" 00:00:00"].concat();
        return with_fraction(Cow::Owned(midnight), b"", fraction_digits);
    }
    let (seconds, fraction) = value.split_at(value.len().min(SECONDS));
    if is_like(seconds, b"dddd-dd-dd dd:dd:dd") {
        return with_fraction_of(value, seconds, fraction, fraction_digits);
    }
    if is_like(seconds, b"dddd-dd-ddTdd:dd:dd") {
        let mut spaced = seconds.to_vec();
        spaced[b"dddd-dd-dd".len()] = b' ';
        return with_fraction(Cow::Owned(spaced), fraction, fraction_digits);
    }
    None
}

pub(super) fn time(value: &[u8], fraction_digits: usize) -> Option<Cow<'_, [u8]>> {
    let unsigned = value.strip_prefix(b"-").unwrap_or(value);
    let is_zero = unsigned.iter().all(|byte| matches!(byte, b'0' | b':' | b'.'));
    let seconds_bytes = unsigned.iter().position(|&byte| byte == b'.').unwrap_or(unsigned.len());
    let (seconds, fraction) = unsigned.split_at(seconds_bytes);
    let is_plain =
        is_like(seconds, b"dd:dd:dd") || is_like(seconds, b"ddd:dd:dd") && seconds[0] != b'0';
    if !is_plain || is_zero && value.len() > unsigned.len() {
        return None;
    }
    let signed_bytes = value.len() - fraction.len();
    with_fraction_of(value, &value[..signed_bytes], fraction, fraction_digits)
}

/// Returns `value` itself if its fraction already has the column's length.
fn with_fraction_of<'value>(
    value: &'value [u8],
    seconds: &'value [u8],
    fraction: &[u8],
    fraction_digits: usize,
) -> Option<Cow<'value, [u8]>> {
    let length = if fraction_digits == 0 { 0 } else { 1 + fraction_digits };
    if fraction.len() == length && fraction_text(fraction).is_some() {
        return Some(Cow::Borrowed(value));
    }
    with_fraction(Cow::Borrowed(seconds), fraction, fraction_digits)
}

/// Returns `seconds` with `fraction` in the column's length. `fraction` is empty or starts with its
/// point.
fn with_fraction<'value>(
    seconds: Cow<'value, [u8]>,
    fraction: &[u8],
    fraction_digits: usize,
) -> Option<Cow<'value, [u8]>> {
    let digits = fraction_text(fraction)?;
    let significant = digits.iter().rposition(|&digit| digit != b'0').map_or(0, |last| last + 1);
    if significant > fraction_digits {
        return None;
    }
    if fraction_digits == 0 {
        return Some(seconds);
    }
    let mut text = seconds.into_owned();
    text.push(b'.');
    text.extend_from_slice(&digits[..significant]);
    text.resize(text.len() + fraction_digits - significant, b'0');
    Some(Cow::Owned(text))
}

/// Returns the digits of `.123`, at least one and at most the six that a server reads.
fn fraction_text(fraction: &[u8]) -> Option<&[u8]> {
    if fraction.is_empty() {
        return Some(fraction);
    }
    let digits = fraction.strip_prefix(b".")?;
    ((1..=6).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit)).then_some(digits)
}

/// Returns true if `value` matches `pattern`, in which a `d` stands for any digit.
fn is_like(value: &[u8], pattern: &[u8]) -> bool {
    value.len() == pattern.len()
        && value
            .iter()
            .zip(pattern)
            .all(|(byte, like)| if *like == b'd' { byte.is_ascii_digit() } else { byte == like })
}

fn sign(value: &[u8]) -> (bool, &[u8]) {
    match value {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, value),
    }
}

fn without_leading_zeros(digits: &[u8]) -> &[u8] {
    let zeros = digits.iter().take_while(|&&digit| digit == b'0').count();
    &digits[zeros.min(digits.len().saturating_sub(1))..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: Option<impl AsRef<[u8]>>) -> Option<String> {
        value.map(|value| String::from_utf8_lossy(value.as_ref()).into_owned())
    }

    #[test]
    fn integers_lose_what_does_not_count() {
        for (value, stored) in
            [("7", "7"), ("-7", "-7"), ("+007", "7"), ("-007", "-7"), ("000", "0"), ("-0", "0")]
        {
            assert_eq!(text(integer(value.as_bytes())).as_deref(), Some(stored), "{value}");
        }
        for value in ["", "-", "1e3", "1.0", " 1", "1 ", "0x1", "--1", "1-"] {
            assert_eq!(text(integer(value.as_bytes())), None, "{value}");
        }
    }

    #[test]
    fn decimals_are_rounded_half_away_from_zero() {
        for (value, stored) in [
            ("1", "1.00"),
            ("-.5", "-0.50"),
            ("5.", "5.00"),
            ("+007.125", "7.13"),
            ("-7.125", "-7.13"),
            ("9.995", "10.00"),
            ("0.0049", "0.00"),
            ("-0.0049", "0.00"),
            ("-0", "0.00"),
            ("123456789012345678901234567890.1", "123456789012345678901234567890.10"),
        ] {
            assert_eq!(text(decimal(value.as_bytes(), 2)).as_deref(), Some(stored), "{value}");
        }
        assert_eq!(text(decimal(b"9.5", 0)).as_deref(), Some("10"));
        for value in ["", ".", "-", "1e3", "1,5", " 1", "1.2.3"] {
            assert_eq!(text(decimal(value.as_bytes(), 2)), None, "{value}");
        }
    }

    #[test]
    fn times_have_the_columns_fraction_and_are_never_rounded() {
        let of = |value: &str, digits| text(date_time(value.as_bytes(), digits));
        assert_eq!(of("2026-01-02 03:04:05", 0).as_deref(), Some("2026-01-02 03:04:05"));
        assert_eq!(of("2026-01-02 03:04:05.1200", 3).as_deref(), Some("2026-01-02 03:04:05.120"));
        assert_eq!(of("2026-01-02T03:04:05.0", 0).as_deref(), Some("2026-01-02 03:04:05"));
        assert_eq!(of("2026-01-02", 1).as_deref(), Some("2026-01-02 00:00:00.0"));
        for value in [
            "2026-01-02 03:04:05.1234",
            "2026-1-2 3:4:5",
            "2026-01-02 03:04",
            "2026-01-02 03:04:05.",
            "",
        ] {
            assert_eq!(of(value, 3), None, "{value}");
        }
        assert_eq!(of("2026-01-02 03:04:05+01:00", 0), None);

        let of = |value: &str| text(time(value.as_bytes(), 1));
        assert_eq!(of("-101:02:03").as_deref(), Some("-101:02:03.0"));
        assert_eq!(of("01:02:03.4").as_deref(), Some("01:02:03.4"));
        for value in
            ["1:02:03", "001:02:03", "01:02", "-00:00:00", "-00:00:00.0", "010203", "01:02:03.45"]
        {
            assert_eq!(of(value), None, "{value}");
        }
        assert_eq!(text(year(b"1901")).as_deref(), Some("1901"));
        for value in ["1900", "2156", "0060", "60", "02026"] {
            assert_eq!(text(year(value.as_bytes())), None, "{value}");
        }
        assert_eq!(text(date(b"2026-01-02")).as_deref(), Some("2026-01-02"));
        assert_eq!(text(date(b"2026-01-02 00:00:00")), None);
    }
}
