//! The format of a column's dates, by `--date-format`.

use thiserror::Error;

use super::calendar::{Clock, Date, Moment, number, offset};
use super::verdict::BadKind;
use super::zone::utc_of_seconds;

/// A format such as `%d.%m.%Y %H:%M`, with a part of the directives of `strftime`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DateFormat {
    text: String,
    items: Vec<Item>,
}

/// The reason why a text is no format.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DateFormatError {
    #[error("{directive} is not supported; use {}, or %%", known_directives())]
    Unknown { directive: String },
    #[error("the format must have a year, a month and a day, or %s for the seconds since 1970")]
    NoDate,
    #[error("{0} is in the format twice, or says again what another directive says")]
    Twice(String),
    #[error("%p needs %I, and %I needs %p")]
    HalfDay,
    #[error("%M needs an hour, %S needs %M, and %f needs %S or %s")]
    Gap,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Item {
    Literal(u8),
    Field(Directive),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Directive {
    Year,
    ShortYear,
    Month,
    MonthName,
    Day,
    Hour,
    HalfDayHour,
    HalfDay,
    Minute,
    Second,
    Fraction,
    Offset,
    Epoch,
}

const DIRECTIVES: [(u8, Directive); 15] = [
    (b'Y', Directive::Year),
    (b'y', Directive::ShortYear),
    (b'm', Directive::Month),
    (b'b', Directive::MonthName),
    (b'B', Directive::MonthName),
    (b'd', Directive::Day),
    (b'e', Directive::Day),
    (b'H', Directive::Hour),
    (b'I', Directive::HalfDayHour),
    (b'p', Directive::HalfDay),
    (b'M', Directive::Minute),
    (b'S', Directive::Second),
    (b'f', Directive::Fraction),
    (b'z', Directive::Offset),
    (b's', Directive::Epoch),
];

const MONTHS: [&[u8]; 12] = [
    b"january",
    b"february",
    b"march",
    b"april",
    b"may",
    b"june",
    b"july",
    b"august",
    b"september",
    b"october",
    b"november",
    b"december",
];

fn known_directives() -> String {
    let names: Vec<String> =
        DIRECTIVES.iter().map(|(letter, _)| format!("%{}", char::from(*letter))).collect();
    names.join(" ")
}

impl DateFormat {
    /// Returns the format as it was given.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Parses a format.
    ///
    /// # Errors
    ///
    /// A format from which no date follows, or in which two directives say the same, is refused.
    pub fn new(text: &str) -> Result<Self, DateFormatError> {
        let mut items = Vec::new();
        let mut kinds: Vec<Directive> = Vec::new();
        let mut characters = text.bytes();
        while let Some(byte) = characters.next() {
            if byte != b'%' {
                items.push(Item::Literal(byte));
                continue;
            }
            let letter = characters.next().unwrap_or_default();
            let shorthand: &[u8] = match letter {
                b'%' => {
                    items.push(Item::Literal(b'%'));
                    continue;
                }
                b'F' => b"Y-m-d",
                b'T' => b"H:M:S",
                _ => &[letter],
            };
            for &letter in shorthand {
                let known = DIRECTIVES.iter().find(|(known, _)| *known == letter);
                let name = || format!("%{}", String::from_utf8_lossy(&[letter]));
                match known {
                    Some(&(_, kind)) => {
                        if kinds.iter().any(|&other| kind.repeats(other)) {
                            return Err(DateFormatError::Twice(name()));
                        }
                        kinds.push(kind);
                        items.push(Item::Field(kind));
                    }
                    None if shorthand.len() > 1 => items.push(Item::Literal(letter)),
                    None => return Err(DateFormatError::Unknown { directive: name() }),
                }
            }
        }
        validate(&kinds)?;
        Ok(Self { text: text.to_owned(), items })
    }

    /// Returns the format as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns true if it has a time of day.
    pub(super) fn has_time(&self) -> bool {
        let is_time = |item: &Item| {
            matches!(
                item,
                Item::Field(
                    Directive::Hour
                        | Directive::HalfDayHour
                        | Directive::Minute
                        | Directive::Second
                        | Directive::Epoch
                )
            )
        };
        self.items.iter().any(is_time)
    }

    /// Reads a text without blanks around it, to its end.
    pub(super) fn read<'text>(&self, text: &'text [u8]) -> Result<Moment<'text>, BadKind> {
        let mut parts = DateParts::default();
        let mut rest = text;
        for item in &self.items {
            rest = match item {
                Item::Literal(byte) => rest.strip_prefix(&[*byte]),
                Item::Field(directive) => parts.take(*directive, rest),
            }
            .ok_or(BadKind::NotInFormat)?;
        }
        if !rest.is_empty() {
            return Err(BadKind::NotInFormat);
        }
        parts.moment()
    }
}

impl Directive {
    fn repeats(self, other: Self) -> bool {
        let group = |directive| match directive {
            Self::ShortYear => Self::Year,
            Self::MonthName => Self::Month,
            Self::HalfDayHour => Self::Hour,
            directive => directive,
        };
        group(self) == group(other)
    }
}

fn validate(kinds: &[Directive]) -> Result<(), DateFormatError> {
    let has = |kind: Directive| kinds.iter().any(|&other| kind.repeats(other));
    let has_date = has(Directive::Year) && has(Directive::Month) && has(Directive::Day);
    let epoch = has(Directive::Epoch);
    if !epoch && !has_date {
        return Err(DateFormatError::NoDate);
    }
    if epoch && kinds.iter().any(|kind| !matches!(kind, Directive::Epoch | Directive::Fraction)) {
        return Err(DateFormatError::Twice("%s".to_owned()));
    }
    if kinds.contains(&Directive::HalfDay) != kinds.contains(&Directive::HalfDayHour) {
        return Err(DateFormatError::HalfDay);
    }
    let needs = |part, whole: &[Directive]| !has(part) || whole.iter().any(|&whole| has(whole));
    let is_whole = needs(Directive::Minute, &[Directive::Hour])
        && needs(Directive::Second, &[Directive::Minute])
        && needs(Directive::Fraction, &[Directive::Second, Directive::Epoch])
        && needs(Directive::Offset, &[Directive::Hour]);
    if is_whole { Ok(()) } else { Err(DateFormatError::Gap) }
}

/// The values of a format's directives.
#[derive(Default)]
struct DateParts<'text> {
    year: u16,
    month: u16,
    day: u16,
    hour: Option<u16>,
    /// True for PM, if the hour is one of twelve.
    is_afternoon: Option<bool>,
    minute: u16,
    second: u16,
    fraction: &'text [u8],
    offset: Option<i16>,
    epoch: Option<i64>,
}

impl<'text> DateParts<'text> {
    /// Takes a value from the beginning of the text, and returns the rest.
    fn take(&mut self, directive: Directive, text: &'text [u8]) -> Option<&'text [u8]> {
        let field = match directive {
            Directive::Year => number(text, 4, 4).map(|(year, rest)| (&mut self.year, year, rest)),
            Directive::ShortYear => number(text, 2, 2).map(|(year, rest)| {
                // As the servers read two digits.
                let year = if year < 70 { 2000 + year } else { 1900 + year };
                (&mut self.year, year, rest)
            }),
            Directive::Month => {
                number(text, 1, 2).map(|(value, rest)| (&mut self.month, value, rest))
            }
            Directive::MonthName => {
                month_name(text).map(|(month, rest)| (&mut self.month, month, rest))
            }
            Directive::Day => number(text, 1, 2).map(|(value, rest)| (&mut self.day, value, rest)),
            Directive::Hour | Directive::HalfDayHour => number(text, 1, 2)
                .map(|(value, rest)| (self.hour.get_or_insert_default(), value, rest)),
            Directive::Minute => {
                number(text, 2, 2).map(|(value, rest)| (&mut self.minute, value, rest))
            }
            Directive::Second => {
                number(text, 2, 2).map(|(value, rest)| (&mut self.second, value, rest))
            }
            Directive::HalfDay => {
                let (word, rest) = text.split_at_checked(2)?;
                self.is_afternoon = Some(word.eq_ignore_ascii_case(b"pm"));
                return (self.is_afternoon == Some(true) || word.eq_ignore_ascii_case(b"am"))
                    .then_some(rest);
            }
            Directive::Fraction => {
                let (digits, rest) = digits(text);
                self.fraction = digits;
                return (!digits.is_empty()).then_some(rest);
            }
            Directive::Offset => {
                let end = text
                    .iter()
                    .position(|byte| !matches!(byte, b'0'..=b'9' | b':' | b'+' | b'-' | b'Z'));
                let (written, rest) = text.split_at(end.unwrap_or(text.len()));
                self.offset = Some(offset(written)?);
                return Some(rest);
            }
            Directive::Epoch => {
                let (sign, unsigned) = match text {
                    [b'-', rest @ ..] => (-1, rest),
                    rest => (1, rest),
                };
                let (digits, rest) = digits(unsigned);
                let seconds = std::str::from_utf8(digits).ok()?.parse::<i64>().ok()?;
                self.epoch = Some(seconds * sign);
                return Some(rest);
            }
        };
        let (part, value, rest) = field?;
        *part = value;
        Some(rest)
    }

    fn moment(self) -> Result<Moment<'text>, BadKind> {
        let fraction = self.fraction;
        if let Some(seconds) = self.epoch {
            // The fraction of a negative number would count backwards.
            if seconds < 0 && !fraction.is_empty() {
                return Err(BadKind::NotInFormat);
            }
            let (date, hour, minute, second) =
                utc_of_seconds(seconds).ok_or(BadKind::OutOfRange)?;
            let clock = Some(Clock { hour, minute, second, fraction });
            return Ok(Moment { date, clock, offset: Some(0), is_plain: false });
        }
        let hour = match (self.hour, self.is_afternoon) {
            (Some(hour @ 1..=12), Some(is_afternoon)) => {
                Some(hour % 12 + if is_afternoon { 12 } else { 0 })
            }
            (Some(_), Some(_)) => return Err(BadKind::NotInFormat),
            (hour, _) => hour,
        };
        if hour.is_some_and(|hour| hour > 23) || self.minute > 59 || self.second > 59 {
            return Err(BadKind::NotInFormat);
        }
        let narrow = |value: u16| u8::try_from(value).unwrap_or(u8::MAX);
        let date = Date::new(self.year, narrow(self.month), narrow(self.day))
            .ok_or(BadKind::NoSuchDate)?;
        let clock = hour.map(|hour| Clock {
            hour: narrow(hour),
            minute: narrow(self.minute),
            second: narrow(self.second),
            fraction,
        });
        Ok(Moment { date, clock, offset: self.offset, is_plain: false })
    }
}

fn digits(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

/// Splits an English name of a month off the text, whole or its first three letters.
fn month_name(text: &[u8]) -> Option<(u16, &[u8])> {
    let end = text.iter().position(|byte| !byte.is_ascii_alphabetic()).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    let is_named =
        |name: &&[u8]| word.eq_ignore_ascii_case(name) || word.eq_ignore_ascii_case(&name[..3]);
    let month = MONTHS.iter().position(is_named)?;
    Some((u16::try_from(month).ok()? + 1, rest))
}
