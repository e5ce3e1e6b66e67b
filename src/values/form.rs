//! The form of a text: the narrowest type that keeps it as it is written.
//!
//! The rules for values say what a column makes of a text. A form says which column a text asks
//! for. It is stricter than the rules: 007 fits into an INT, but it would come back as 7.

use super::column::{ColumnFacts, ColumnRule};
use super::date_format::DateFormat;
use super::decimal_comma::with_point;
use super::number::{Number, trim};
use super::number_notation::why_changed;
use super::readings::Readings;
use super::server::Server;
use super::verdict::{Field, Verdict};
use crate::dialect::Charset;

/// The most digits of a number that is no text. Account numbers and the like have more.
const MOST_DIGITS: usize = 18;
/// The most digits after the point that a DECIMAL keeps on all servers.
const MOST_DECIMALS: usize = 30;
/// The digits of a second that the servers keep.
const FRACTION_DIGITS: usize = 6;

/// The form of a text that is not NULL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Empty,
    Number(NumberForm),
    Date,
    DateTime {
        fraction_digits: usize,
        /// True if it has an offset, so that it does not depend on a time zone.
        is_instant: bool,
    },
    /// `true` or `false` of JSON.
    Boolean,
    /// An object or array of JSON.
    Nested {
        /// True if a JSON column keeps it as it is.
        is_kept: bool,
    },
    /// Any other text, with the reason why it is no number or date although it looks like one.
    Text(Option<&'static str>),
}

/// The form of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NumberForm {
    /// The digits after the point, as written.
    pub(crate) decimals: usize,
    pub(crate) has_exponent: bool,
    /// True if a DOUBLE keeps each digit.
    pub(crate) fits_double: bool,
}

/// Finds the forms of the values for one column.
#[derive(Clone, Debug)]
pub(crate) struct FormReader {
    date: ColumnRule,
    date_time: ColumnRule,
    json: ColumnRule,
    /// True if the date format of the column has a time of day. `None` if it has no format.
    format_has_time: Option<bool>,
    has_decimal_comma: bool,
}

impl FormReader {
    /// Creates the reader for a column of this name.
    pub(crate) fn new(name: &str, server: Server, charset: &Charset, readings: &Readings) -> Self {
        let rule = |column_type| {
            let facts = ColumnFacts {
                name,
                column_type,
                charset: None,
                collation: None,
                is_nullable: true,
                is_auto_increment: false,
                is_generated: false,
                is_json: false,
            };
            ColumnRule::new(&facts, server, charset, readings)
        };
        Self {
            date: rule("date"),
            date_time: rule("datetime(6)"),
            json: rule("json"),
            format_has_time: readings.date_format(name).map(DateFormat::has_time),
            has_decimal_comma: readings.decimal_comma,
        }
    }

    /// Returns the form of a field.
    pub(crate) fn of_text(&self, text: &[u8]) -> Form {
        if text.is_empty() {
            return Form::Empty;
        }
        if self.format_has_time.is_some() {
            return self.in_format(text);
        }
        let trimmed = trim(text);
        if trimmed.len() < text.len() {
            let looks_like_more = !matches!(self.of_text(trimmed), Form::Text(_) | Form::Empty);
            return Form::Text(looks_like_more.then_some("has blanks around it"));
        }
        let is_digit = u8::is_ascii_digit;
        if self.has_decimal_comma && text.iter().any(is_digit) && !text.iter().all(is_digit) {
            return match with_point(text) {
                Some(number) => number_form(&number).unwrap_or(Form::Text(None)),
                None => self.moment(text),
            };
        }
        number_form(text).unwrap_or_else(|| self.moment(text))
    }

    /// Returns the form of a value of JSON, which is not null. A string is never a number: its
    /// writer could have written one. `None` if the value cannot be a text.
    pub(crate) fn of_json(&self, value: &str) -> Option<Form> {
        let raw = value.as_bytes();
        Some(match raw.first()? {
            b'"' => {
                let text: String = serde_json::from_str(value).ok()?;
                let text = text.as_bytes();
                match text {
                    b"" => Form::Empty,
                    _ if self.format_has_time.is_some() => self.in_format(text),
                    _ => self.moment(text),
                }
            }
            b't' | b'f' => Form::Boolean,
            b'{' | b'[' => {
                let verdict = self.json.check(Field::Bytes(raw), &mut Vec::new());
                Form::Nested { is_kept: matches!(verdict, Verdict::Exact | Verdict::ServerDecides) }
            }
            _ if self.format_has_time.is_some() => self.in_format(raw),
            _ => number_form(raw).unwrap_or(Form::Text(None)),
        })
    }

    /// Returns the form of a text in a column with a date format.
    fn in_format(&self, text: &[u8]) -> Form {
        let has_time = self.format_has_time == Some(true);
        let rule = if has_time { &self.date_time } else { &self.date };
        let mut out = Vec::new();
        match rule.check(Field::Bytes(text), &mut out) {
            Verdict::Exact | Verdict::ExactAs if has_time => {
                let shown = if out.is_empty() { text } else { &out[..] };
                let fraction_digits = fraction_digits(shown);
                Form::DateTime { fraction_digits, is_instant: false }
            }
            Verdict::Exact | Verdict::ExactAs => Form::Date,
            _ => Form::Text(Some("does not match --date-format")),
        }
    }

    /// Returns the form of a text that is no number.
    fn moment(&self, text: &[u8]) -> Form {
        let [_, _, _, _, b'-' | b'/', rest @ ..] = text else { return Form::Text(None) };
        let has_time = rest.contains(&b':');
        let rule = if has_time { &self.date_time } else { &self.date };
        match rule.check(Field::Bytes(text), &mut Vec::new()) {
            Verdict::Exact | Verdict::ExactAs if has_time => {
                let after_date = text.get(8..).unwrap_or_default();
                let is_instant =
                    after_date.iter().skip(2).any(|byte| matches!(byte, b'+' | b'-' | b'Z' | b'U'));
                Form::DateTime { fraction_digits: fraction_digits(text), is_instant }
            }
            Verdict::Exact | Verdict::ExactAs => Form::Date,
            Verdict::Loss(_) => {
                Form::Text(Some("has more digits of a second than the servers keep"))
            }
            _ => Form::Text(None),
        }
    }
}

/// Returns the number of digits after the second.
fn fraction_digits(text: &[u8]) -> usize {
    let Some(point) = text.iter().position(|&byte| byte == b'.') else { return 0 };
    let digits = text[point + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    digits.min(FRACTION_DIGITS)
}

/// Returns the form of a text that is a number, even if it must stay a text.
fn number_form(text: &[u8]) -> Option<Form> {
    let number = Number::read(text)?;
    let (whole, fraction) = number.written();
    let why = why_changed(text, number);
    if why.is_some() {
        return Some(Form::Text(why));
    }
    let zeros = whole.iter().chain(fraction).take_while(|&&digit| digit == b'0').count();
    let digits = number.written_digits() - zeros;
    let fits_double = fits_double(text, number);
    if number.is_plain && (digits > MOST_DIGITS || fraction.len() > MOST_DECIMALS) {
        return Some(Form::Text(Some("has more than 18 digits")));
    }
    if !number.is_plain && !fits_double {
        return Some(Form::Text(Some("has more digits than a DOUBLE keeps")));
    }
    let decimals = fraction.len();
    Some(Form::Number(NumberForm { decimals, has_exponent: !number.is_plain, fits_double }))
}

/// Returns true if the shortest digits that lead back to the DOUBLE are those of the number.
fn fits_double(text: &[u8], number: Number<'_>) -> bool {
    let significant = number.significant();
    if significant.is_zero() {
        return true;
    }
    let value = std::str::from_utf8(text).ok().and_then(|text| text.parse::<f64>().ok());
    let Some(value) = value.filter(|value| value.is_normal()) else { return false };
    let shortest = format!("{value:e}");
    let read_back = Number::read(shortest.as_bytes()).map(Number::significant);
    read_back.is_some_and(|shown| {
        shown.digits == significant.digits
            && shown.point == significant.point
            && (0..).take(shown.digits).all(|at| shown.digit(at) == significant.digit(at))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(readings: &Readings) -> FormReader {
        FormReader::new("c", Server::MySql, &Charset::default(), readings)
    }

    fn of_text(text: &str) -> Form {
        reader(&Readings::default()).of_text(text.as_bytes())
    }

    fn number(decimals: usize, has_exponent: bool, fits_double: bool) -> Form {
        Form::Number(NumberForm { decimals, has_exponent, fits_double })
    }

    #[test]
    fn numbers_that_come_back_as_they_are_written_are_numbers() {
        for text in ["0", "7", "-12", "123456789012345", "900719925474099200"] {
            assert_eq!(of_text(text), number(0, false, true), "{text}");
        }
        assert_eq!(of_text("123456789012345678"), number(0, false, false));
        assert_eq!(of_text("1.50"), number(2, false, true));
        assert_eq!(of_text("-0.000012345678901234567"), number(21, false, false));
        assert_eq!(of_text("-0.000012345678901234568"), number(21, false, true));
        assert_eq!(of_text("1e5"), number(0, true, true));
        assert_eq!(of_text("6.02214076E+23"), number(8, true, true));
    }

    #[test]
    fn numbers_that_would_change_are_texts() {
        for (text, why) in [
            ("007", "has a leading zero"),
            ("-00.5", "has a leading zero"),
            ("+1", "has a plus sign"),
            (".5", "has no digit on one side of its point"),
            ("5.", "has no digit on one side of its point"),
            ("-0", "is a zero with a sign"),
            ("-0.00", "is a zero with a sign"),
            ("1234567890123456789", "has more than 18 digits"),
            ("0.1234567890123456789", "has more than 18 digits"),
            ("1.00000000000000000001e5", "has more digits than a DOUBLE keeps"),
            ("1e400", "has more digits than a DOUBLE keeps"),
            (" 12", "has blanks around it"),
            ("2026-01-01 ", "has blanks around it"),
        ] {
            assert_eq!(of_text(text), Form::Text(Some(why)), "{text}");
        }
        for text in ["1,5", "0x1f", "true", "NaN", "1 2", "--1", "12:30", " a "] {
            assert_eq!(of_text(text), Form::Text(None), "{text}");
        }
    }

    #[test]
    fn dates_and_times_are_those_that_the_rules_take() {
        for text in ["2026-01-31", "2024-02-29", "2026/01/31"] {
            assert_eq!(of_text(text), Form::Date, "{text}");
        }
        let time = |fraction_digits, is_instant| Form::DateTime { fraction_digits, is_instant };
        for (text, expected) in [
            ("2026-01-31 10:00:00", time(0, false)),
            ("2026-01-31T10:00:00.250", time(3, false)),
            ("2026-01-31T10:00:00Z", time(0, true)),
            ("2026-01-31T10:00:00.123456+02:00", time(6, true)),
            ("2026-01-31 10:00:00 UTC", time(0, true)),
        ] {
            assert_eq!(of_text(text), expected, "{text}");
        }
        for text in ["2026-02-30", "31-12-2026", "31/12/2026", "2026-1", "0000-00-00", "abcd-ef"] {
            assert_eq!(of_text(text), Form::Text(None), "{text}");
        }
        assert!(matches!(of_text("2026-01-31 10:00:00.1234567"), Form::Text(Some(_))));
        assert_eq!(of_text("20260131"), number(0, false, true));
    }

    #[test]
    fn numbers_that_must_come_back_are_bad_if_they_would_not() {
        let facts = |column_type| ColumnFacts {
            name: "c",
            column_type,
            charset: None,
            collation: None,
            is_nullable: true,
            is_auto_increment: false,
            is_generated: false,
            is_json: false,
        };
        let readings = Readings { keeps_forms: true, ..Readings::default() };
        let is_taken = |column_type, text: &str| {
            let facts = facts(column_type);
            let rule = ColumnRule::new(&facts, Server::MySql, &Charset::default(), &readings);
            let verdict = rule.check(Field::Bytes(text.as_bytes()), &mut Vec::new());
            matches!(verdict, Verdict::Exact | Verdict::ExactAs)
        };
        for text in ["7", "-7", "9223372036854775807"] {
            assert!(is_taken("bigint", text), "{text}");
        }
        for text in ["007", "+7", "1e3", " 7", "7.", "-0"] {
            assert!(!is_taken("bigint", text), "{text}");
            assert!(!is_taken("decimal(20,2)", text), "{text}");
        }
        assert!(is_taken("decimal(20,2)", "7.5") && is_taken("double", "1e3"));
        assert!(is_taken("varchar(9)", "007"));
        let record = |value: &str| {
            let facts = facts("bigint");
            let rule = ColumnRule::new(&facts, Server::MySql, &Charset::default(), &readings);
            rule.check_value(value, &mut Vec::new()).0
        };
        assert!(matches!(record("true"), Verdict::Bad(_)));
        assert_eq!(record("12"), Verdict::Exact);
    }

    #[test]
    fn options_change_what_texts_mean() {
        let comma = reader(&Readings { decimal_comma: true, ..Readings::default() });
        assert_eq!(comma.of_text(b"1.234,56"), number(2, false, true));
        assert_eq!(comma.of_text(b"2026-01-31"), Form::Date);
        let format = |text: &str| {
            let format = DateFormat::new(text).unwrap();
            let date_formats = vec![("C".to_owned(), format)];
            reader(&Readings { date_formats, ..Readings::default() })
        };
        assert_eq!(format("%d.%m.%Y").of_text(b"31.01.2026"), Form::Date);
        let seconds = Form::DateTime { fraction_digits: 0, is_instant: false };
        assert_eq!(format("%s").of_text(b"1775001600"), seconds);
        assert_eq!(format("%s").of_json("1775001600"), Some(seconds));
        let other = Form::Text(Some("does not match --date-format"));
        assert_eq!(format("%d.%m.%Y").of_text(b"2026-01-31"), other);
    }

    #[test]
    fn strings_of_json_are_no_numbers() {
        let reader = reader(&Readings::default());
        let form = |value: &str| reader.of_json(value);
        assert_eq!(form("12"), Some(number(0, false, true)));
        assert_eq!(form("\"12\""), Some(Form::Text(None)));
        assert_eq!(form("\"2026-01-31\""), Some(Form::Date));
        assert_eq!(form("true"), Some(Form::Boolean));
        assert_eq!(form("[1,{\"a\":2}]"), Some(Form::Nested { is_kept: true }));
        assert_eq!(form("[0.12345678901234567891]"), Some(Form::Nested { is_kept: false }));
        assert_eq!(form("\"\\ud800\""), None);
    }
}
