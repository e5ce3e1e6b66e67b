//! BIT columns, whose fields are numbers.
//!
//! LOAD DATA takes the text of a field for the bytes of a BIT: `1` becomes 49. Therefore the
//! statement sends fields through a variable, and assigns `CAST(@variable AS UNSIGNED)`. The
//! verdicts are about that: a field that is exact consists of digits that are the number.

use super::integer::IntegerRule;
use super::number::Number;
use super::server::Server;
use super::verdict::{BadKind, Verdict};

/// The rule of a BIT column.
#[derive(Clone, Copy, Debug)]
pub(super) struct BitRule(IntegerRule);

impl BitRule {
    pub(super) fn new(bits: u32, server: Server) -> Self {
        Self(IntegerRule::of_bits(bits, server))
    }

    pub(super) fn check(&self, text: &[u8], out: &mut Vec<u8>) -> Verdict {
        match self.0.check(text, out) {
            // A cast would stop at the point of `7.0`, and the blanks are the cast's as well.
            Verdict::Exact if !text.iter().all(u8::is_ascii_digit) => {
                let Some(number) = Number::read(super::number::trim(text)) else {
                    return Verdict::Bad(BadKind::NotBits);
                };
                number.significant().write_rounded(0, out);
                Verdict::ExactAs
            }
            Verdict::Bad(BadKind::NotAnInteger) => Verdict::Bad(BadKind::NotBits),
            verdict => verdict,
        }
    }
}
