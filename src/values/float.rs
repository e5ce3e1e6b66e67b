//! FLOAT and DOUBLE columns.

use super::decimal::not_a_number;
use super::integer::are_blanks_taken;
use super::number::{Number, trim};
use super::server::Server;
use super::verdict::{BadKind, LossKind, Verdict};

/// The rule of a FLOAT or DOUBLE column.
#[derive(Clone, Copy, Debug)]
pub(super) struct FloatRule {
    is_double: bool,
    /// The digits of FLOAT(M,D) before and after the point.
    digits: Option<(i64, i64)>,
    is_unsigned: bool,
    server: Server,
}

impl FloatRule {
    pub(super) fn new(
        is_double: bool,
        digits: Option<(u32, u32)>,
        is_unsigned: bool,
        server: Server,
    ) -> Self {
        let digits = digits
            .map(|(precision, scale)| (i64::from(precision) - i64::from(scale), i64::from(scale)));
        Self { is_double, digits, is_unsigned, server }
    }

    pub(super) fn check(&self, text: &[u8], out: &mut Vec<u8>) -> Verdict {
        let trimmed = trim(text);
        let Some(number) = Number::read(trimmed) else {
            return Verdict::Bad(not_a_number(trimmed));
        };
        let significant = number.significant();
        let is_taken = are_blanks_taken(text, trimmed, self.server);
        if significant.is_zero() {
            // MariaDB takes 0e999 as well, but it is not worth a rule.
            if number.is_plain && is_taken {
                return Verdict::Exact;
            }
            out.push(b'0');
            return Verdict::ExactAs;
        }
        if self.is_unsigned && number.is_negative {
            return Verdict::Bad(BadKind::OutOfRange);
        }
        // Every number of so few digits before the point and behind it is far from both limits.
        let is_ordinary = (-30..=30).contains(&significant.point);
        if !is_ordinary {
            match self.range(trimmed) {
                FloatRange::Within => {}
                FloatRange::Below => {
                    out.push(b'0');
                    return Verdict::Loss(LossKind::Underflow);
                }
                FloatRange::Above => return Verdict::Bad(BadKind::OutOfRange),
                FloatRange::RoundsToHighest => {
                    out.extend_from_slice(f64::from(f32::MAX).to_string().as_bytes());
                    if number.is_negative {
                        out.insert(0, b'-');
                    }
                    return Verdict::ExactAs;
                }
            }
        }
        if let Some((whole, scale)) = self.digits {
            if significant.point > whole {
                return Verdict::Bad(BadKind::OutOfRange);
            }
            if significant.decimals() > scale {
                let mut rounded = Vec::new();
                significant.write_rounded(scale, &mut rounded);
                let digits = rounded.strip_prefix(b"-").unwrap_or(&rounded);
                let end = digits.iter().position(|&byte| byte == b'.').unwrap_or(digits.len());
                if !digits.starts_with(b"0") && i64::try_from(end).is_ok_and(|end| end > whole) {
                    return Verdict::Bad(BadKind::OutOfRange);
                }
                out.extend_from_slice(trimmed);
                return Verdict::Loss(LossKind::Decimals);
            }
        }
        if is_taken {
            return Verdict::Exact;
        }
        out.extend_from_slice(trimmed);
        Verdict::ExactAs
    }

    fn range(&self, text: &[u8]) -> FloatRange {
        let value = std::str::from_utf8(text).ok().and_then(|text| text.parse::<f64>().ok());
        let Some(value) = value.map(f64::abs) else { return FloatRange::Above };
        if self.is_double {
            return if value == 0.0 {
                FloatRange::Below
            } else if value.is_infinite() {
                FloatRange::Above
            } else {
                FloatRange::Within
            };
        }
        #[expect(clippy::cast_possible_truncation, reason = "the server rounds in this way, too")]
        let nearest = value as f32;
        if nearest == 0.0 {
            FloatRange::Below
        } else if nearest.is_infinite() {
            FloatRange::Above
        } else if value > f64::from(f32::MAX) {
            // 3.4028235e38 is how many programs write the highest FLOAT. The servers refuse it.
            FloatRange::RoundsToHighest
        } else {
            FloatRange::Within
        }
    }
}

enum FloatRange {
    Within,
    /// Nearer to zero than to any other number of the type.
    Below,
    Above,
    /// Above the highest FLOAT, but nearer to it than to anything else.
    RoundsToHighest,
}
