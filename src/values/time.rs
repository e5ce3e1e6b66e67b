//! TIME columns.

use super::calendar::{fraction, loses_fraction, number, write_fraction, write_padded};
use super::number::trim;
use super::server::Server;
use super::verdict::{BadKind, LossKind, Verdict};

/// The rule of a TIME column.
#[derive(Clone, Copy, Debug)]
pub(super) struct TimeRule {
    digits: usize,
    server: Server,
}

struct Time<'text> {
    is_negative: bool,
    hours: u16,
    minutes: u16,
    seconds: u16,
    fraction: &'text [u8],
}

/// The most hours, 59 minutes and 59 seconds after which TIME ends.
const MAX_HOURS: u16 = 838;

impl TimeRule {
    pub(super) fn new(digits: u8, server: Server) -> Self {
        Self { digits: digits.into(), server }
    }

    pub(super) fn check(&self, text: &[u8], out: &mut Vec<u8>) -> Verdict {
        let trimmed = trim(text);
        let Some(time) = read(trimmed) else { return Verdict::Bad(why_no_time(trimmed)) };
        if time.hours > MAX_HOURS {
            return Verdict::Bad(BadKind::OutOfRange);
        }
        let kept = &time.fraction[..time.fraction.len().min(self.digits)];
        let is_last = (time.hours, time.minutes, time.seconds) == (MAX_HOURS, 59, 59);
        if is_last && self.server == Server::MySql && kept.iter().any(|&digit| digit != b'0') {
            return Verdict::Bad(BadKind::OutOfRange);
        }
        if text.len() == trimmed.len() && time.fraction.len() <= self.digits {
            return Verdict::Exact;
        }
        if time.is_negative {
            out.push(b'-');
        }
        write_padded(time.hours, if time.hours > 99 { 3 } else { 2 }, out);
        out.push(b':');
        write_padded(time.minutes, 2, out);
        out.push(b':');
        write_padded(time.seconds, 2, out);
        write_fraction(time.fraction, self.digits, out);
        if loses_fraction(time.fraction, self.digits) {
            Verdict::Loss(LossKind::Fraction)
        } else {
            Verdict::ExactAs
        }
    }
}

/// Reads `[-]h:mm[:ss[.f]]`.
fn read(text: &[u8]) -> Option<Time<'_>> {
    let (is_negative, rest) = match text {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let (hours, rest) = number(rest, 1, 3)?;
    let (minutes, rest) = number(rest.strip_prefix(b":")?, 2, 2)?;
    let (seconds, fraction, rest) = match rest {
        [b':', rest @ ..] => {
            let (seconds, rest) = number(rest, 2, 2)?;
            let (fraction, rest) = fraction(rest)?;
            (seconds, fraction, rest)
        }
        rest => (0, &b""[..], rest),
    };
    (rest.is_empty() && minutes < 60 && seconds < 60).then_some(Time {
        is_negative,
        hours,
        minutes,
        seconds,
        fraction,
    })
}

fn why_no_time(text: &[u8]) -> BadKind {
    if text.is_empty() {
        BadKind::Empty
    } else if text.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.') {
        BadKind::TimeWithoutColon
    } else if super::calendar::read(text).is_ok() {
        BadKind::DateBeforeTime
    } else {
        BadKind::NotATime
    }
}
