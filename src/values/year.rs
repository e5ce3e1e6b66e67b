//! YEAR columns.

use super::integer::are_blanks_taken;
use super::number::trim;
use super::server::Server;
use super::verdict::{BadKind, Verdict};

/// Checks a field of a YEAR column: four digits, from 1901 to 2155, or `0000`.
pub(super) fn check(text: &[u8], server: Server, out: &mut Vec<u8>) -> Verdict {
    let trimmed = trim(text);
    if trimmed.is_empty() {
        return Verdict::Bad(BadKind::Empty);
    }
    if trimmed.len() != 4 || !trimmed.iter().all(u8::is_ascii_digit) {
        return Verdict::Bad(BadKind::NotAYear);
    }
    // Texts of the same length compare as the numbers.
    if !(b"1901".as_slice()..=b"2155".as_slice()).contains(&trimmed) && trimmed != b"0000" {
        return Verdict::Bad(BadKind::OutOfRange);
    }
    // With a blank, the servers take 0000 for a year of fewer digits: 2000.
    let has_blanks = text.len() > trimmed.len();
    if are_blanks_taken(text, trimmed, server) && !(has_blanks && trimmed == b"0000") {
        return Verdict::Exact;
    }
    out.extend_from_slice(trimmed);
    Verdict::ExactAs
}
