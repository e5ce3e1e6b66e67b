//! The meaning of texts, computed in other ways than the rules do it: by regular expressions,
//! digits as text, and calendars of a library.

use std::fmt::Write as _;
use std::sync::LazyLock;

use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};
use regex::Regex;

use super::kinds::{Kind, Reading};

#[expect(clippy::expect_used, reason = "the patterns are constants")]
fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the pattern is right")
}

static NUMBER: LazyLock<Regex> =
    LazyLock::new(|| regex(r"^([+-]?)(?:([0-9]+)\.?([0-9]*)|\.([0-9]+))(?:[eE]([+-]?[0-9]+))?$"));
static COMMA: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        "^([+-]?)([0-9]{1,3}(?:\\.[0-9]{3})+|[0-9]{1,3}(?: [0-9]{3})+|[0-9]{1,3}(?:\u{A0}[0-9]{3})+\
         |[0-9]*)(?:,([0-9]*))?([eE][+-]?[0-9]+)?$",
    )
});
static MOMENT: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        "^(?:([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})|([0-9]{4})/([0-9]{1,2})/([0-9]{1,2})\
         |([0-9]{4})([0-9]{2})([0-9]{2}))\
         (?:[T ]([0-9]{1,2}):([0-9]{1,2})(?::([0-9]{1,2})(?:\\.([0-9]+))?)?\
         ( ?(?:Z|UTC|[+-][0-9]{2}(?::?[0-9]{2})?))?)?$",
    )
});
static TIME: LazyLock<Regex> =
    LazyLock::new(|| regex(r"^(-?)([0-9]{1,3}):([0-5][0-9])(?::([0-5][0-9])(?:\.([0-9]+))?)?$"));
static LABEL: LazyLock<Regex> = LazyLock::new(|| regex(r"'((?:[^']|'')*)'"));

fn trimmed(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\n', '\u{b}', '\u{c}', '\r'])
}

/// Returns one form for all notations of a number: 0 or ±0.DIGITSeN.
pub(super) fn number_form(text: &str) -> String {
    number(text).unwrap_or_else(|| format!("no number: {text}"))
}

fn number(text: &str) -> Option<String> {
    let parts = NUMBER.captures(text)?;
    let part = |at| parts.get(at).map_or("", |part| part.as_str());
    let (whole, fraction) = (part(2), format!("{}{}", part(3), part(4)));
    let exponent = match part(5) {
        "" => 0,
        exponent => exponent.parse::<i128>().unwrap_or(if exponent.starts_with('-') {
            -1_000_000
        } else {
            1_000_000
        }),
    };
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_start_matches('0');
    let point = whole.len() as i128 + exponent - (digits.len() - significant.len()) as i128;
    let significant = significant.trim_end_matches('0');
    if significant.is_empty() {
        return Some("0".to_owned());
    }
    let sign = if part(1) == "-" { "-" } else { "" };
    Some(format!("{sign}0.{significant}e{point}"))
}

/// Returns the text of a number without a decimal comma.
fn with_point(text: &str, kind: &Kind) -> Option<String> {
    if kind.reading != Reading::DecimalComma {
        return Some(text.to_owned());
    }
    let parts = COMMA.captures(text)?;
    let part = |at| parts.get(at).map_or("", |part| part.as_str());
    let whole: String = part(2).chars().filter(char::is_ascii_digit).collect();
    Some(format!("{}{whole}.{}{}", part(1), part(3), part(4)))
}

pub(super) fn decimal(text: &str, kind: &Kind) -> Option<String> {
    number(&with_point(trimmed(text), kind)?)
}

pub(super) fn integer(text: &str, kind: &Kind) -> Option<String> {
    let word = trimmed(text).to_ascii_lowercase();
    if matches!(kind.column_type, "TINYINT(1)" | "BIT(1)") {
        match word.as_str() {
            "true" => return Some(number_form("1")),
            "false" => return Some(number_form("0")),
            _ => {}
        }
    }
    decimal(text, kind)
}

pub(super) fn is_near_number(meant: Option<&str>, stored: Option<&str>) -> bool {
    let value = |text: Option<&str>| text.and_then(|text| text.parse::<f64>().ok());
    match (value(meant), value(stored)) {
        (Some(meant), Some(stored)) => (meant - stored).abs() <= 0.500_001,
        _ => false,
    }
}

const TINY: &str = "not zero, but nearly";

pub(super) fn float_form(text: &str) -> String {
    match text.parse::<f64>() {
        Ok(0.0) => "0".to_owned(),
        Ok(value) => format!("{value:e}"),
        Err(error) => format!("{text}: {error}"),
    }
}

pub(super) fn float(text: &str, kind: &Kind) -> Option<String> {
    let text = trimmed(text);
    let is_zero = number(text)? == "0";
    let mut value = text.parse::<f64>().ok()?;
    if kind.column_type == "FLOAT" {
        value = f64::from(value as f32);
    }
    Some(match value {
        0.0 if !is_zero => TINY.to_owned(),
        0.0 => "0".to_owned(),
        value => format!("{value:e}"),
    })
}

pub(super) fn is_near_float(meant: Option<&str>, stored: Option<&str>) -> bool {
    if meant == Some(TINY) {
        return stored == Some("0");
    }
    let value = |text: Option<&str>| text.and_then(|text| text.parse::<f64>().ok());
    match (value(meant), value(stored)) {
        (Some(meant), Some(stored)) => (meant - stored).abs() <= 0.001,
        _ => false,
    }
}

pub(super) fn label(text: &str, kind: &Kind) -> Option<String> {
    let labels: Vec<String> =
        LABEL.captures_iter(kind.column_type).map(|label| label[1].replace("''", "'")).collect();
    let is_plain = |text: &str| text.chars().all(|letter| matches!(letter, ' '..='~'));
    let is_binary = kind.column_type.ends_with("_bin");
    let find = |text: &str| {
        labels.iter().position(|label| label == text).or_else(|| {
            labels.iter().position(|label| {
                !is_binary && is_plain(label) && is_plain(text) && label.eq_ignore_ascii_case(text)
            })
        })
    };
    let content = text.trim_end_matches(' ');
    if kind.column_type.starts_with("ENUM") {
        return find(content).map(|at| labels[at].clone());
    }
    if text.is_empty() {
        return Some(String::new());
    }
    let mut found = Vec::new();
    for part in content.split(',') {
        found.push(find(part)?);
    }
    found.sort_unstable();
    found.dedup();
    Some(found.into_iter().map(|at| labels[at].as_str()).collect::<Vec<_>>().join(","))
}

/// A date, with its time and offset if there are any.
struct Moment {
    local: DateTime,
    has_time: bool,
    fraction: String,
    offset: Option<Offset>,
}

fn moment(text: &str) -> Option<Moment> {
    let parts = MOMENT.captures(trimmed(text))?;
    let part = |at| parts.get(at).map(|part| part.as_str());
    let number = |at| part(at).and_then(|part| part.parse::<i16>().ok());
    let date = [1, 4, 7].into_iter().find_map(|at| Some((number(at)?, at)));
    let (year, at) = date?;
    let (month, day) = (number(at + 1)?, number(at + 2)?);
    if (year, month, day) == (0, 2, 29) {
        return None;
    }
    let narrow = |value: i16| i8::try_from(value).ok();
    let clock = (number(10).unwrap_or(0), number(11).unwrap_or(0), number(12).unwrap_or(0));
    if clock.0 > 23 || clock.2 > 59 {
        return None;
    }
    let local = DateTime::new(
        year,
        narrow(month)?,
        narrow(day)?,
        narrow(clock.0)?,
        narrow(clock.1)?,
        narrow(clock.2)?,
        0,
    );
    let offset = match part(14).map(str::trim) {
        None => None,
        Some("Z" | "UTC") => Some(Offset::UTC),
        Some(offset) => {
            let digits: String = offset.chars().filter(char::is_ascii_digit).collect();
            let hours: i32 = digits[..2].parse().ok()?;
            let minutes: i32 =
                digits.get(2..).filter(|rest| !rest.is_empty()).unwrap_or("0").parse().ok()?;
            let sign = if offset.starts_with('-') { -1 } else { 1 };
            if hours > 18 || minutes > 59 {
                return None;
            }
            Some(Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok()?)
        }
    };
    Some(Moment {
        local: local.ok()?,
        has_time: part(10).is_some(),
        fraction: part(13).unwrap_or("").trim_end_matches('0').to_owned(),
        offset,
    })
}

pub(super) fn date(text: &str, _: &Kind) -> Option<String> {
    let moment = moment(text).filter(|moment| moment.offset.is_none())?;
    let is_midnight = moment.local.time() == jiff::civil::Time::midnight();
    let mut date = moment.local.strftime("%Y-%m-%d").to_string();
    if !is_midnight || !moment.fraction.is_empty() {
        let _ = write!(date, " {}.{}", moment.local.time(), moment.fraction);
    }
    Some(date)
}

pub(super) fn german_date(text: &str, _: &Kind) -> Option<String> {
    let parts: Vec<&str> = trimmed(text).split('.').collect();
    let [day, month, year] = parts[..] else { return None };
    let are_digits = parts.iter().all(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
    if !are_digits || year.len() != 4 || day.len() > 2 || month.len() > 2 || year == "0000" {
        return None;
    }
    let date = jiff::civil::Date::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?);
    Some(date.ok()?.to_string())
}

pub(super) fn date_time(text: &str, kind: &Kind) -> Option<String> {
    let moment = moment(text).filter(|moment| moment.has_time || moment.offset.is_none())?;
    let is_timestamp = kind.column_type.starts_with("TIMESTAMP");
    let zone = match kind.reading {
        Reading::Zone(name) => TimeZone::get(name).ok()?,
        _ => TimeZone::UTC,
    };
    let stored = match moment.offset {
        None if !is_timestamp => moment.local,
        // The library's instants end before the year 9999 does.
        Some(offset) if zone == TimeZone::UTC => {
            let seconds = jiff::SignedDuration::from_secs(offset.seconds().into());
            moment.local.checked_sub(seconds).ok()?
        }
        offset => {
            let instant = match offset {
                Some(offset) => offset.to_timestamp(moment.local).ok()?,
                None => zone.to_ambiguous_zoned(moment.local).unambiguous().ok()?.timestamp(),
            };
            let shown_in = if is_timestamp { TimeZone::UTC } else { zone };
            instant.to_zoned(shown_in).datetime()
        }
    };
    if !(0..=9999).contains(&stored.year()) {
        return None;
    }
    let shown = stored.strftime("%Y-%m-%d %H:%M:%S").to_string();
    Some(time_form(&format!("{shown}.{}", moment.fraction)))
}

/// Returns a time without zeros at the end of its fraction.
pub(super) fn time_form(text: &str) -> String {
    let text =
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text };
    let is_zero = text.starts_with('-') && text.chars().all(|letter| "-0:.".contains(letter));
    if is_zero { text[1..].to_owned() } else { text.to_owned() }
}

pub(super) fn time(text: &str, _: &Kind) -> Option<String> {
    let parts = TIME.captures(trimmed(text))?;
    let part = |at| parts.get(at).map_or("00", |part| part.as_str());
    let hours: u16 = part(2).parse().ok()?;
    let fraction = parts.get(5).map_or("", |part| part.as_str());
    Some(time_form(&format!("{}{hours:02}:{}:{}.{fraction}", &parts[1], part(3), part(4))))
}

pub(super) fn year(text: &str, _: &Kind) -> Option<String> {
    let text = trimmed(text);
    (text.len() == 4 && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.to_owned())
}

fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02X}");
        hex
    })
}

#[expect(clippy::unnecessary_wraps, reason = "all meanings have one form")]
pub(super) fn text(text: &str, _: &Kind) -> Option<String> {
    Some(hex_of(text.as_bytes()))
}

/// A CHAR has no blanks at its end.
pub(super) fn characters(text: &str, kind: &Kind) -> Option<String> {
    let content = text.trim_end_matches(' ');
    // Blanks beyond the length are cut with a note, although nobody can see it.
    let is_cut = text.chars().count() > 4 && content.chars().count() <= 4;
    self::text(if is_cut { text } else { content }, kind)
}

pub(super) fn hex(text: &str, _: &Kind) -> Option<String> {
    let text = trimmed(text);
    let digits = ["0x", "0X", "\\x"].iter().find_map(|prefix| text.strip_prefix(prefix));
    let digits = digits.unwrap_or(text);
    let is_hex = digits.len() % 2 == 0 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then(|| digits.to_ascii_uppercase())
}

pub(super) fn base64(text: &str, _: &Kind) -> Option<String> {
    const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let joined: String = text.chars().filter(|letter| !letter.is_ascii_whitespace()).collect();
    let mut bits = String::new();
    for letter in joined.trim_end_matches('=').chars() {
        let _ = write!(bits, "{:06b}", LETTERS.find(letter)?);
    }
    let bytes: Option<Vec<u8>> = (0..bits.len() / 8)
        .map(|at| u8::from_str_radix(&bits[at * 8..at * 8 + 8], 2).ok())
        .collect();
    Some(hex_of(&bytes?))
}

/// Returns true if the second value is the first without its end.
pub(super) fn is_prefix(meant: Option<&str>, stored: Option<&str>) -> bool {
    let unsigned = |text: Option<&str>| text.map(|text| text.trim_start_matches('-').to_owned());
    matches!((unsigned(meant), unsigned(stored)), (Some(meant), Some(stored))
        if meant.starts_with(&stored))
}

/// Returns true if the second value is the first with something more.
pub(super) fn is_continued(meant: Option<&str>, stored: Option<&str>) -> bool {
    is_prefix(stored, meant)
}

pub(super) fn is_any(_: Option<&str>, _: Option<&str>) -> bool {
    true
}
