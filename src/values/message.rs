//! The words for verdicts.

use super::column::ColumnRule;
use super::column_type::ColumnType;
use super::verdict::{BadKind, Field, LossKind};
use crate::printable::printable;

/// The longest part of a value that is shown, in characters.
const SHOWN_CHARACTERS: usize = 60;
/// The most labels that are listed.
const SHOWN_LABELS: usize = 20;

impl ColumnRule {
    /// Returns a message such as `column active (tinyint): 'true' is not an integer`.
    #[must_use]
    pub fn describe_bad(&self, kind: BadKind, field: Field<'_>) -> String {
        format!("{}: {}", self.place(), self.why_bad(kind, &shown(field)))
    }

    /// Returns a message such as `column price (decimal(9,2)): '1.005' has more decimals than the
    /// column keeps`.
    #[must_use]
    pub fn describe_loss(&self, kind: LossKind, field: Field<'_>) -> String {
        let value = shown(field);
        let why = match kind {
            LossKind::Decimals => "has more decimals than the column keeps",
            LossKind::Underflow => "is too near to zero, and becomes 0",
            LossKind::TimeOfDay => "has a time of day, which a date does not keep",
            LossKind::Fraction => "has a longer fraction than the column keeps",
            LossKind::Blanks => "has blanks beyond the length of the column",
            LossKind::Padding => "is shorter than the column, and zero bytes are added",
            LossKind::JsonNumber => "has a number with more digits than a DOUBLE keeps",
            LossKind::JsonKey => "has a key twice in an object, and only the last is kept",
        };
        format!("{}: {value} {why}", self.place())
    }

    pub(super) fn place(&self) -> String {
        format!("column {} ({})", printable(&self.name), printable(&self.type_name))
    }

    fn why_bad(&self, kind: BadKind, value: &str) -> String {
        let text = match kind {
            BadKind::Null => return "NULL in a NOT NULL column".to_owned(),
            BadKind::Empty if self.labels().is_empty() => return "the field is empty".to_owned(),
            BadKind::Empty => return format!("the field is empty; {}", self.labels_listed()),
            BadKind::OutOfRange => match self.range() {
                Some(range) => return format!("{value} is out of range: {range}"),
                None => "is out of range",
            },
            BadKind::NotBits => return format!("{value} is not a number for {}", self.bits()),
            BadKind::NotALabel => return format!("{value} is no label; {}", self.labels_listed()),
            BadKind::LabelNumber => {
                return format!(
                    "{value} is no label, and not taken for the number of one; {}",
                    self.labels_listed()
                );
            }
            BadKind::NotInFormat => "does not match --date-format",
            BadKind::NotAnInteger => "is not an integer",
            BadKind::NotWhole => "is not a whole number",
            BadKind::NotANumber => "is not a number",
            BadKind::NumberForm => {
                "would come back in another form, and the type of the column is a guess"
            }
            BadKind::NotFinite => "is not a number that the column can hold",
            BadKind::NotADate => "is not a date: YYYY-MM-DD is expected",
            BadKind::NotADateTime => "is not a date and time: YYYY-MM-DD hh:mm:ss is expected",
            BadKind::NotATime => "is not a time: hh:mm:ss is expected",
            BadKind::NotAYear => "is not a year of four digits",
            BadKind::DateOrder => {
                "has more than one reading: a date must begin with four digits \
                                   of the year"
            }
            BadKind::NoSuchDate => "is a date that does not exist",
            BadKind::OffsetInDate => "has a time zone, on which the date depends",
            BadKind::EpochSeconds => "may be the seconds since 1970, but is not a date",
            BadKind::SkippedByZone => "is a time that the time zone skips",
            BadKind::TwiceInZone => "is a time that the time zone has twice",
            BadKind::TimeWithoutColon => {
                "has more than one reading: a time must have a colon, as in hh:mm:ss"
            }
            BadKind::DateBeforeTime => "is a date and time, not a time",
            BadKind::TooLong => match self.column_type {
                ColumnType::Characters(limit) => {
                    return format!("{value} has more than {limit} characters");
                }
                ColumnType::Text(limit)
                | ColumnType::FixedBinary(limit)
                | ColumnType::Binary(limit) => {
                    return format!("{value} has more than {limit} bytes");
                }
                _ => "is too long",
            },
            BadKind::Character => "has a character that the column's character set lacks",
            BadKind::NotHex => "does not consist of pairs of hexadecimal digits",
            BadKind::NotBase64 => "is not Base64",
            BadKind::NotJson => "is not JSON",
            BadKind::JsonTooDeep => "is JSON that is nested too deeply for the server",
            BadKind::JsonKeyTooLong => "is JSON with a key that is too long for the server",
            BadKind::LoneSurrogate => "has half of a surrogate pair, which is no character",
            BadKind::JsonKind => {
                let kind = match value.as_bytes().get(1) {
                    Some(b'{') => "an object",
                    Some(b'[') => "an array",
                    Some(b't' | b'f') => "a truth value",
                    _ => "a number",
                };
                return format!("{value} is {kind} of JSON, which the column does not take");
            }
        };
        format!("{value} {text}")
    }

    fn labels_listed(&self) -> String {
        let labels = self.labels();
        let mut listed: Vec<String> =
            labels.iter().take(SHOWN_LABELS).map(|label| quoted(label)).collect();
        if labels.len() > SHOWN_LABELS {
            listed.push(format!("and {} more", labels.len() - SHOWN_LABELS));
        }
        format!("the labels are {}", listed.join(", "))
    }

    fn bits(&self) -> String {
        match self.column_type {
            ColumnType::Bit(1) => "1 bit: 0, 1, false or true".to_owned(),
            ColumnType::Bit(bits) => format!("{bits} bits"),
            _ => "bits".to_owned(),
        }
    }

    fn range(&self) -> Option<String> {
        let whole_numbers = |bits: u32, is_unsigned: bool| {
            let all = (1_i128 << bits) - 1;
            let (lowest, highest) = if is_unsigned { (0, all) } else { (-all / 2 - 1, all / 2) };
            format!("{lowest} to {highest}")
        };
        Some(match self.column_type {
            ColumnType::Integer { size, is_unsigned, .. } => {
                whole_numbers(size.bits(), is_unsigned)
            }
            ColumnType::Bit(bits) => whole_numbers(bits.min(64), true),
            ColumnType::Timestamp { .. } => {
                "1970-01-01 00:00:01 to 2038-01-19 03:14:07 UTC".to_owned()
            }
            ColumnType::Time { .. } => "-838:59:59 to 838:59:59".to_owned(),
            ColumnType::Year => "1901 to 2155, or 0000".to_owned(),
            ColumnType::Decimal { precision, scale, is_unsigned } => {
                let sign = if is_unsigned { ", and none below zero" } else { "" };
                format!("{} digits before the point{sign}", precision - scale)
            }
            _ => return None,
        })
    }
}

/// Returns a field in quotes, shortened.
fn shown(field: Field<'_>) -> String {
    let Field::Bytes(bytes) = field else { return "NULL".to_owned() };
    // More bytes than the shown characters can have.
    let part = &bytes[..bytes.len().min(SHOWN_CHARACTERS * 4)];
    let text = String::from_utf8_lossy(part);
    let mut characters = text.chars();
    let start: String = characters.by_ref().take(SHOWN_CHARACTERS).collect();
    let rest = if characters.next().is_some() { "..." } else { "" };
    format!("'{}{rest}'", printable(&start))
}

fn quoted(label: &str) -> String {
    format!("'{}'", printable(label))
}
