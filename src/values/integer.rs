//! Columns of whole numbers, and `true` and `false` in TINYINT(1).

use super::column_type::IntegerSize;
use super::number::{Number, trim};
use super::server::Server;
use super::verdict::{BadKind, Verdict};

/// The rule of a column of whole numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct IntegerRule {
    /// The absolute value of the lowest number.
    lowest: u64,
    highest: u64,
    is_boolean: bool,
    server: Server,
}

impl IntegerRule {
    pub(super) fn new(
        size: IntegerSize,
        is_unsigned: bool,
        is_boolean: bool,
        server: Server,
    ) -> Self {
        let all = u64::MAX >> (64 - size.bits());
        let (lowest, highest) = if is_unsigned { (0, all) } else { (all / 2 + 1, all / 2) };
        Self { lowest, highest, is_boolean, server }
    }

    /// Creates the rule of a BIT column with this many bits. It differs in its errors alone.
    pub(super) fn of_bits(bits: u32, server: Server) -> Self {
        Self {
            lowest: 0,
            highest: u64::MAX >> (64 - bits.clamp(1, 64)),
            is_boolean: bits == 1,
            server,
        }
    }

    pub(super) fn check(&self, text: &[u8], out: &mut Vec<u8>) -> Verdict {
        let trimmed = trim(text);
        if trimmed.is_empty() {
            return Verdict::Bad(BadKind::Empty);
        }
        if self.is_boolean {
            let truth = if trimmed.eq_ignore_ascii_case(b"true") {
                Some(b'1')
            } else if trimmed.eq_ignore_ascii_case(b"false") {
                Some(b'0')
            } else {
                None
            };
            if let Some(digit) = truth {
                out.push(digit);
                return Verdict::ExactAs;
            }
        }
        let Some(number) = Number::read(trimmed) else {
            return Verdict::Bad(BadKind::NotAnInteger);
        };
        let significant = number.significant();
        if significant.decimals() > 0 {
            return Verdict::Bad(BadKind::NotWhole);
        }
        if significant.point > 20 {
            return out_of_range();
        }
        let value = significant.whole_value();
        let limit = if number.is_negative { self.lowest } else { self.highest };
        if value > u128::from(limit) {
            return out_of_range();
        }
        if number.is_plain && are_blanks_taken(text, trimmed, self.server) {
            return Verdict::Exact;
        }
        significant.write_rounded(0, out);
        Verdict::ExactAs
    }
}

fn out_of_range() -> Verdict {
    Verdict::Bad(BadKind::OutOfRange)
}

/// Returns true if the server takes the text as a number without a word, with the blanks around
/// it.
pub(super) fn are_blanks_taken(text: &[u8], trimmed: &[u8], server: Server) -> bool {
    if text.len() == trimmed.len() {
        return true;
    }
    match server {
        // MySQL takes blanks in front of a number only on the same line.
        Server::MySql => {
            text.iter().all(|&byte| !matches!(byte, b'\n'..=b'\r')) || text.starts_with(trimmed)
        }
        // MariaDB notes blanks behind it.
        Server::MariaDb => text.ends_with(trimmed),
    }
}
