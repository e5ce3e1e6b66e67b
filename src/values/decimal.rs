//! DECIMAL columns.

use super::integer::are_blanks_taken;
use super::number::{Number, trim};
use super::server::Server;
use super::verdict::{BadKind, LossKind, Verdict};

/// The servers' buffer has room for more digits than any column, but not for any text.
const MAX_WRITTEN_DIGITS: usize = 65;

/// The rule of a DECIMAL column.
#[derive(Clone, Copy, Debug)]
pub(super) struct DecimalRule {
    /// The digits before the point.
    whole: i64,
    scale: i64,
    is_unsigned: bool,
    server: Server,
}

impl DecimalRule {
    pub(super) fn new(precision: u32, scale: u32, is_unsigned: bool, server: Server) -> Self {
        Self {
            whole: i64::from(precision) - i64::from(scale),
            scale: i64::from(scale),
            is_unsigned,
            server,
        }
    }

    pub(super) fn check(&self, text: &[u8], out: &mut Vec<u8>) -> Verdict {
        let trimmed = trim(text);
        let Some(number) = Number::read(trimmed) else {
            return Verdict::Bad(not_a_number(trimmed));
        };
        let significant = number.significant();
        if significant.is_zero() {
            if number.is_plain
                && number.written_digits() <= MAX_WRITTEN_DIGITS
                && are_blanks_taken(text, trimmed, self.server)
            {
                return Verdict::Exact;
            }
            out.push(b'0');
            return Verdict::ExactAs;
        }
        if significant.point > self.whole || (self.is_unsigned && number.is_negative) {
            return Verdict::Bad(BadKind::OutOfRange);
        }
        if significant.decimals() > self.scale {
            let start = out.len();
            significant.write_rounded(self.scale, out);
            let rounded = &out[start..];
            let rounded = rounded.strip_prefix(b"-").unwrap_or(rounded);
            let whole = rounded.iter().position(|&byte| byte == b'.').unwrap_or(rounded.len());
            // A zero before the point is no digit.
            let whole = if rounded.starts_with(b"0") { 0 } else { whole };
            if i64::try_from(whole).is_ok_and(|whole| whole > self.whole) {
                out.truncate(start);
                return Verdict::Bad(BadKind::OutOfRange);
            }
            return Verdict::Loss(LossKind::Decimals);
        }
        if number.is_plain
            && number.written_digits() <= MAX_WRITTEN_DIGITS
            && are_blanks_taken(text, trimmed, self.server)
        {
            return Verdict::Exact;
        }
        significant.write_rounded(self.scale, out);
        Verdict::ExactAs
    }
}

/// Returns the reason why a text without blanks around it is no number.
pub(super) fn not_a_number(text: &[u8]) -> BadKind {
    let unsigned = text.strip_prefix(b"-").or_else(|| text.strip_prefix(b"+")).unwrap_or(text);
    if text.is_empty() {
        BadKind::Empty
    } else if [&b"nan"[..], b"inf", b"infinity"]
        .iter()
        .any(|word| unsigned.eq_ignore_ascii_case(word))
    {
        BadKind::NotFinite
    } else {
        BadKind::NotANumber
    }
}
