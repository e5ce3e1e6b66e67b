//! Dates, times of day and offsets as they are written.

use super::verdict::BadKind;

/// A date of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Date {
    pub(super) year: u16,
    pub(super) month: u8,
    pub(super) day: u8,
}

/// A time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Clock<'text> {
    pub(super) hour: u8,
    pub(super) minute: u8,
    pub(super) second: u8,
    /// The digits of the fraction, as written.
    pub(super) fraction: &'text [u8],
}

impl Clock<'_> {
    pub(super) const MIDNIGHT: Clock<'static> =
        Clock { hour: 0, minute: 0, second: 0, fraction: b"" };

    pub(super) fn is_midnight(&self) -> bool {
        (self.hour, self.minute, self.second) == (0, 0, 0) && is_zero(self.fraction)
    }
}

/// A date with what follows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment<'text> {
    pub(super) date: Date,
    pub(super) clock: Option<Clock<'text>>,
    /// Minutes east of UTC.
    pub(super) offset: Option<i16>,
    /// True if both servers read the text in this way and say nothing, apart from the fraction.
    pub(super) is_plain: bool,
}

impl Date {
    /// Returns the date if the calendar has it.
    pub(super) fn new(year: u16, month: u8, day: u8) -> Option<Self> {
        // The servers have no February 29 in the year 0.
        let is_leap = year.is_multiple_of(4)
            && (!year.is_multiple_of(100) || year.is_multiple_of(400))
            && year != 0;
        let days = match month {
            1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
            4 | 6 | 9 | 11 => 30,
            2 if is_leap => 29,
            2 => 28,
            _ => return None,
        };
        (1..=days).contains(&day).then_some(Self { year, month, day })
    }

    pub(super) fn write(self, out: &mut Vec<u8>) {
        write_padded(self.year, 4, out);
        out.push(b'-');
        write_padded(self.month.into(), 2, out);
        out.push(b'-');
        write_padded(self.day.into(), 2, out);
    }
}

impl Clock<'_> {
    /// Appends the time with at most this many digits of the fraction.
    pub(super) fn write(&self, digits: usize, out: &mut Vec<u8>) {
        write_padded(self.hour.into(), 2, out);
        out.push(b':');
        write_padded(self.minute.into(), 2, out);
        out.push(b':');
        write_padded(self.second.into(), 2, out);
        write_fraction(self.fraction, digits, out);
    }
}

/// Appends a point and the first digits of a fraction, if there are any.
pub(super) fn write_fraction(fraction: &[u8], digits: usize, out: &mut Vec<u8>) {
    let kept = &fraction[..fraction.len().min(digits)];
    if !kept.is_empty() {
        out.push(b'.');
        out.extend_from_slice(kept);
    }
}

/// Returns true if cutting the fraction loses something.
pub(super) fn loses_fraction(fraction: &[u8], digits: usize) -> bool {
    fraction.get(digits..).is_some_and(|rest| !is_zero(rest))
}

fn is_zero(digits: &[u8]) -> bool {
    digits.iter().all(|&digit| digit == b'0')
}

pub(super) fn write_padded(value: u16, width: u32, out: &mut Vec<u8>) {
    for place in (0..width).rev() {
        let digit = (value / 10_u16.pow(place)) % 10;
        out.push(b'0' + u8::try_from(digit).unwrap_or(0));
    }
}

/// Reads a text without blanks around it: `YYYY-M-D`, `YYYY/M/D` or `YYYYMMDD`, then perhaps `T` or
/// a blank and `h:m[:s[.f]]`, then perhaps an offset.
pub(super) fn read(text: &[u8]) -> Result<Moment<'_>, BadKind> {
    let Some(dated) = date(text) else { return Err(why_no_date(text)) };
    let no_date = || Err(why_no_date(text));
    let rest = dated.rest;
    let (clock, after) = match rest {
        [b'T' | b' ', after @ ..] => match clock(after) {
            Some((clock, after)) => (Some(clock), after),
            None => return no_date(),
        },
        rest => (None, rest),
    };
    let offset = match after {
        [] => None,
        after => match offset(after) {
            Some(offset) => Some(offset),
            None => return no_date(),
        },
    };
    let Some(date) = dated.date else { return Err(BadKind::NoSuchDate) };
    // After eight digits, only one server reads a time.
    let is_plain = offset.is_none() && (dated.is_dashed || (dated.is_compact && clock.is_none()));
    Ok(Moment { date, clock, offset, is_plain })
}

struct Dated<'text> {
    /// `None` if the calendar does not have the date.
    date: Option<Date>,
    is_dashed: bool,
    is_compact: bool,
    rest: &'text [u8],
}

fn date(text: &[u8]) -> Option<Dated<'_>> {
    let (year, rest) = number(text, 4, 4)?;
    let (month, day, rest, separator) = match rest {
        [separator @ (b'-' | b'/'), rest @ ..] => {
            let (month, rest) = number(rest, 1, 2)?;
            let rest = rest.strip_prefix(&[*separator])?;
            let (day, rest) = number(rest, 1, 2)?;
            (month, day, rest, Some(*separator))
        }
        rest => {
            let (month, rest) = number(rest, 2, 2)?;
            let (day, rest) = number(rest, 2, 2)?;
            (month, day, rest, None)
        }
    };
    if rest.first().is_some_and(u8::is_ascii_digit) {
        return None;
    }
    let date = Date::new(year, narrow(month), narrow(day));
    Some(Dated { date, is_dashed: separator == Some(b'-'), is_compact: separator.is_none(), rest })
}

fn clock(text: &[u8]) -> Option<(Clock<'_>, &[u8])> {
    let (hour, rest) = number(text, 1, 2)?;
    let (minute, rest) = number(rest.strip_prefix(b":")?, 1, 2)?;
    let (second, fraction, rest) = match rest {
        [b':', rest @ ..] => {
            let (second, rest) = number(rest, 1, 2)?;
            let (fraction, rest) = fraction(rest)?;
            (second, fraction, rest)
        }
        rest => (0, &b""[..], rest),
    };
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    Some((
        Clock { hour: narrow(hour), minute: narrow(minute), second: narrow(second), fraction },
        rest,
    ))
}

/// Splits a point and digits off the text, if there is a point.
pub(super) fn fraction(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let Some(rest) = text.strip_prefix(b".") else { return Some((&[], text)) };
    let end = rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
    (end > 0).then(|| rest.split_at(end))
}

/// Reads `Z`, `+02`, `+0200` or `+02:00`, perhaps after one blank, to the end of the text. Returns
/// minutes.
pub(super) fn offset(text: &[u8]) -> Option<i16> {
    let text = text.strip_prefix(b" ").unwrap_or(text);
    if text == b"Z" || text == b"UTC" {
        return Some(0);
    }
    let (sign, rest) = match text {
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    let (hours, rest) = number(rest, 2, 2)?;
    let minutes = match rest {
        [] => 0,
        [b':', rest @ ..] => number(rest, 2, 2).filter(|(_, rest)| rest.is_empty())?.0,
        rest => number(rest, 2, 2).filter(|(_, rest)| rest.is_empty())?.0,
    };
    let offset = sign * i16::try_from(hours * 60 + minutes).ok()?;
    // The range that MySQL takes. No place has an offset outside it.
    (minutes <= 59 && (-(14 * 60 - 1)..=14 * 60).contains(&offset)).then_some(offset)
}

/// Splits a number of `min` to `max` digits off the text.
pub(super) fn number(text: &[u8], min: usize, max: usize) -> Option<(u16, &[u8])> {
    let mut value = 0_u16;
    let mut length = 0;
    while length < max
        && let Some(digit) = text.get(length).filter(|byte| byte.is_ascii_digit())
    {
        value = value * 10 + u16::from(digit - b'0');
        length += 1;
    }
    (length >= min).then(|| (value, &text[length..]))
}

fn narrow(value: u16) -> u8 {
    u8::try_from(value).unwrap_or(u8::MAX)
}

/// Returns the likely reason why a text is not read.
fn why_no_date(text: &[u8]) -> BadKind {
    if text.is_empty() {
        return BadKind::Empty;
    }
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let rest = &text[digits..];
    if (9..=13).contains(&digits) && (rest.is_empty() || rest.starts_with(b".")) {
        return BadKind::EpochSeconds;
    }
    let is_short_first =
        matches!(digits, 1 | 2) && matches!(rest.first(), Some(b'/' | b'-' | b'.'));
    if is_short_first || (digits == 6 && rest.is_empty()) {
        return BadKind::DateOrder;
    }
    BadKind::NotADate
}
