//! Numbers in decimal notation, and the blanks around them.

/// A number as it is written: sign, digits, a point among them, and an exponent. It has at least
/// one digit. Its value is not computed before it is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Number<'text> {
    pub(super) is_negative: bool,
    /// The digits before the point.
    whole: &'text [u8],
    /// The digits after the point.
    fraction: &'text [u8],
    exponent: i64,
    /// False if there is an exponent.
    pub(super) is_plain: bool,
}

/// The digits of a number from the first to the last that is not zero, and the place of the point:
/// 0.0120 has the digits 1 and 2 and the point at -1.
#[derive(Clone, Copy, Debug)]
pub(super) struct Significant<'text> {
    number: Number<'text>,
    first: usize,
    /// The number of digits. Zero has none.
    pub(super) digits: usize,
    /// The number of digits before the point; negative if zeros follow the point.
    pub(super) point: i64,
}

/// Limits exponents, so that sums with them do not overflow.
const MAX_EXPONENT: i64 = 1 << 40;

impl<'text> Number<'text> {
    /// Reads a text that is a number from its first to its last byte.
    pub(super) fn read(text: &'text [u8]) -> Option<Self> {
        let (is_negative, digits) = match text.first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let (whole, rest) = split_digits(digits);
        let (fraction, rest) = match rest.first() {
            Some(b'.') => split_digits(&rest[1..]),
            _ => (&rest[..0], rest),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let (exponent, is_plain) = match rest.first() {
            None => (0, true),
            Some(b'e' | b'E') => (exponent(&rest[1..])?, false),
            Some(_) => return None,
        };
        Some(Self { is_negative, whole, fraction, exponent, is_plain })
    }

    /// Returns the digits before and after the point, as written.
    pub(super) fn written(&self) -> (&'text [u8], &'text [u8]) {
        (self.whole, self.fraction)
    }

    /// Returns the number of digits as written.
    pub(super) fn written_digits(&self) -> usize {
        self.whole.len() + self.fraction.len()
    }

    /// Returns the power of ten of the last digit, as written.
    pub(super) fn last_power(&self) -> i64 {
        self.exponent - signed(self.fraction.len())
    }

    pub(super) fn significant(self) -> Significant<'text> {
        let is_digit = |digit: &u8| *digit != b'0';
        let in_whole = self.whole.iter().position(is_digit);
        let in_fraction = |at: usize| at + self.whole.len();
        let first = in_whole.or_else(|| self.fraction.iter().position(is_digit).map(in_fraction));
        let Some(first) = first else {
            return Significant { number: self, first: 0, digits: 0, point: 0 };
        };
        let last = self.fraction.iter().rposition(is_digit).map(in_fraction);
        let last = last.or_else(|| self.whole.iter().rposition(is_digit)).unwrap_or(first);
        let point = signed(self.whole.len()) - signed(first) + self.exponent;
        Significant { number: self, first, digits: last - first + 1, point }
    }
}

impl Significant<'_> {
    pub(super) fn is_zero(&self) -> bool {
        self.digits == 0
    }

    /// Returns the number of decimals: of the digits behind the point.
    pub(super) fn decimals(&self) -> i64 {
        (signed(self.digits) - self.point).max(0)
    }

    /// Returns the digit at a place, counted from the first that is not zero; zero outside them.
    pub(super) fn digit(&self, place: i64) -> u8 {
        let Ok(place) = usize::try_from(place) else { return 0 };
        if place >= self.digits {
            return 0;
        }
        let at = self.first + place;
        let whole = self.number.whole;
        let digit =
            if at < whole.len() { whole[at] } else { self.number.fraction[at - whole.len()] };
        digit - b'0'
    }

    /// Returns the absolute value of a whole number of at most 38 digits.
    pub(super) fn whole_value(&self) -> u128 {
        (0..self.point).fold(0, |value, place| value * 10 + u128::from(self.digit(place)))
    }

    /// Appends the number without an exponent, with at most `decimals` decimals, rounded half away
    /// from zero. The number must have a moderate exponent.
    pub(super) fn write_rounded(&self, decimals: i64, out: &mut Vec<u8>) {
        let start = out.len();
        let shown = self.decimals().min(decimals);
        if self.point <= 0 {
            out.push(b'0');
        }
        for place in 0..self.point {
            out.push(b'0' + self.digit(place));
        }
        for place in self.point..self.point + shown {
            out.push(b'0' + self.digit(place));
        }
        if self.digit(self.point + shown) >= 5 {
            let mut at = out.len();
            loop {
                if at == start {
                    out.insert(start, b'1');
                    break;
                }
                at -= 1;
                if out[at] < b'9' {
                    out[at] += 1;
                    break;
                }
                out[at] = b'0';
            }
        }
        if shown > 0 {
            let point = out.len() - usize::try_from(shown).unwrap_or(0);
            out.insert(point, b'.');
        }
        let is_zero = out[start..].iter().all(|byte| matches!(byte, b'0' | b'.'));
        if self.number.is_negative && !is_zero {
            out.insert(start, b'-');
        }
    }
}

fn signed(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(MAX_EXPONENT)
}

fn split_digits(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

fn exponent(text: &[u8]) -> Option<i64> {
    let (is_negative, digits) = match text.first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = digits
        .iter()
        .fold(0, |value: i64, digit| (value * 10 + i64::from(digit - b'0')).min(MAX_EXPONENT));
    Some(if is_negative { -value } else { value })
}

/// Returns true for the bytes that the servers skip around numbers.
pub(super) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// Returns the text without the blanks around it.
pub(super) fn trim(text: &[u8]) -> &[u8] {
    let Some(start) = text.iter().position(|&byte| !is_blank(byte)) else { return &[] };
    let end = text.iter().rposition(|&byte| !is_blank(byte)).unwrap_or(start);
    &text[start..=end]
}
