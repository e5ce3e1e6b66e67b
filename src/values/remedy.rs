//! The things that a user can do about a field that is no value of its column.

use super::column::ColumnRule;
use super::column_type::ColumnType;
use super::decimal_comma::with_point;
use super::number::trim;
use super::verdict::{BadKind, Field};

/// A remedy. Where a text has several readings, there is one for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Remedy {
    /// Empty fields mean NULL.
    EmptyAsNull,
    /// The column must take NULL, or `--set` must replace it.
    ReplaceNull,
    /// The text is `\N` or `NULL`, which does not mean NULL in this dialect.
    NullString(&'static str),
    /// `true` and `false` belong to a column of another type.
    Truth,
    DecimalComma,
    /// The comma stands between groups of three digits.
    GroupComma,
    /// The number has a unit or a currency.
    CutUnit,
    /// The number is to be rounded.
    Round,
    DateFormat(&'static str),
    /// The fields are minutes and seconds.
    MinutesAndSeconds,
    /// The fields are hours and minutes.
    HoursAndMinutes,
    /// The part behind the date is the time.
    TimeOfDateTime,
    /// The date of an instant depends on a zone.
    DateOfInstant,
    /// A wall clock time that the zone does not have once.
    Offset,
    BinaryHex,
    BinaryBase64,
    /// The lines end in CRLF.
    CrLf,
}

impl Remedy {
    /// Returns the remedy for this column, on one line.
    #[must_use]
    pub fn line(self, column: &str) -> String {
        match self {
            Self::EmptyAsNull => {
                "--empty-as-null loads empty fields as NULL, in all columns but text ones"
                    .to_owned()
            }
            Self::ReplaceNull => format!(
                "column {column} does not take NULL: let it, or read the field into a variable \
                 and use --set '{column} = COALESCE(@{column}, VALUE)'"
            ),
            Self::NullString(word) => {
                format!("{word} does not mean NULL here; --null-string '{word}' makes it")
            }
            Self::Truth => format!(
                "true and false are 1 and 0 in a TINYINT(1) or BIT(1) column; for others, read \
                 the field into a variable and use --set \"{column} = CASE LOWER(@{column}) WHEN \
                 'true' THEN 1 WHEN 'false' THEN 0 END\""
            ),
            Self::DecimalComma => {
                "--decimal-comma reads a comma as the decimal point, as in 1.234,56".to_owned()
            }
            Self::GroupComma => format!(
                "if the comma separates thousands, read the field into a variable and use --set \
                 \"{column} = REPLACE(@{column}, ',', '')\""
            ),
            Self::CutUnit => format!(
                "to take the number from a text, read the field into a variable and use --set \
                 \"{column} = SUBSTRING_INDEX(@{column}, ' ', 1)\""
            ),
            Self::Round => format!(
                "to round, read the field into a variable and use --set '{column} = \
                 ROUND(@{column})', or give the column decimals"
            ),
            Self::DateFormat(format) => {
                format!("--date-format '{column}={format}' reads dates in this form")
            }
            Self::MinutesAndSeconds => format!(
                "for minutes and seconds, read the field into a variable and use --set \"{column} \
                 = CONCAT('00:', REPLACE(@{column}, '.', ':'))\""
            ),
            Self::HoursAndMinutes => format!(
                "for hours and minutes, read the field into a variable and use --set \"{column} = \
                 REPLACE(@{column}, '.', ':')\""
            ),
            Self::TimeOfDateTime => format!(
                "to take the time alone, read the field into a variable and use --set \"{column} \
                 = TIME(@{column})\""
            ),
            Self::DateOfInstant => format!(
                "to take the date as it is written, read the field into a variable and use --set \
                 \"{column} = LEFT(@{column}, 10)\""
            ),
            Self::Offset => {
                "write an offset after the time, or name another zone by --time-zone".to_owned()
            }
            Self::BinaryHex => "--binary hex reads hexadecimal digits".to_owned(),
            Self::BinaryBase64 => "--binary base64 reads Base64".to_owned(),
            Self::CrLf => {
                "the field ends in a carriage return: --lines-terminated-by '\\r\\n' takes it for \
                 a part of the line's end"
                    .to_owned()
            }
        }
    }
}

impl ColumnRule {
    /// Returns the remedies for a bad field, or none if nothing general can be said.
    #[must_use]
    pub fn remedies(&self, kind: BadKind, field: Field<'_>) -> Vec<Remedy> {
        let Field::Bytes(raw) = field else { return vec![Remedy::ReplaceNull] };
        let text = trim(raw);
        if matches!(text, b"\\N") {
            return vec![Remedy::NullString("\\N")];
        }
        if text.eq_ignore_ascii_case(b"null") {
            return vec![Remedy::NullString(if text == b"NULL" { "NULL" } else { "null" })];
        }
        if raw.ends_with(b"\r") {
            return vec![Remedy::CrLf];
        }
        match kind {
            BadKind::Null => vec![Remedy::ReplaceNull],
            BadKind::Empty if self.takes_null => vec![Remedy::EmptyAsNull],
            BadKind::Empty => vec![Remedy::ReplaceNull],
            BadKind::NotWhole => vec![Remedy::Round],
            BadKind::NotAnInteger | BadKind::NotANumber | BadKind::NotBits => number(text),
            BadKind::DateOrder | BadKind::NotADate | BadKind::NotADateTime => {
                let has_time = !matches!(self.column_type, ColumnType::Date);
                date_formats(text, has_time).iter().copied().map(Remedy::DateFormat).collect()
            }
            BadKind::EpochSeconds if text.len() == 10 => vec![Remedy::DateFormat("%s")],
            BadKind::JsonKind
                if text.len() == 10
                    && text.iter().all(u8::is_ascii_digit)
                    && self.column_type.is_date() =>
            {
                vec![Remedy::DateFormat("%s")]
            }
            BadKind::OffsetInDate => vec![Remedy::DateOfInstant],
            BadKind::SkippedByZone | BadKind::TwiceInZone => vec![Remedy::Offset],
            BadKind::TimeWithoutColon if text.contains(&b'.') => {
                vec![Remedy::MinutesAndSeconds, Remedy::HoursAndMinutes]
            }
            BadKind::DateBeforeTime => vec![Remedy::TimeOfDateTime],
            BadKind::TooLong => self.binary(text),
            _ => Vec::new(),
        }
    }

    fn binary(&self, text: &[u8]) -> Vec<Remedy> {
        let (ColumnType::FixedBinary(_) | ColumnType::Binary(_)) = self.column_type else {
            return Vec::new();
        };
        let digits = text.strip_prefix(b"0x").or_else(|| text.strip_prefix(b"\\x"));
        let digits = digits.unwrap_or(text);
        if digits.len().is_multiple_of(2) && digits.iter().all(u8::is_ascii_hexdigit) {
            vec![Remedy::BinaryHex]
        } else if text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(byte)) {
            vec![Remedy::BinaryBase64]
        } else {
            Vec::new()
        }
    }
}

fn number(text: &[u8]) -> Vec<Remedy> {
    if [&b"true"[..], b"false"].iter().any(|word| text.eq_ignore_ascii_case(word)) {
        return vec![Remedy::Truth];
    }
    if text.contains(&b',') {
        let mut remedies = Vec::new();
        if with_point(text).is_some() {
            remedies.push(Remedy::DecimalComma);
        }
        if are_groups_of_three(text) {
            remedies.push(Remedy::GroupComma);
        }
        return remedies;
    }
    let start = text.first().is_some_and(u8::is_ascii_digit);
    if start && text.contains(&b' ') { vec![Remedy::CutUnit] } else { Vec::new() }
}

/// Returns true if the commas separate groups of three digits, as in 1,234.5.
fn are_groups_of_three(text: &[u8]) -> bool {
    let whole = text.split(|&byte| byte == b'.').next().unwrap_or_default();
    let is_group = |group: &[u8]| group.len() == 3 && group.iter().all(u8::is_ascii_digit);
    whole.contains(&b',') && whole.split(|&byte| byte == b',').skip(1).all(is_group)
}

/// Returns the formats in which the text is a date.
fn date_formats(text: &[u8], has_time: bool) -> &'static [&'static str] {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let number = |part: &[u8]| std::str::from_utf8(part).ok().and_then(|part| part.parse().ok());
    if digits == text.len() {
        return if digits == 14 && has_time { &["%Y%m%d%H%M%S"] } else { &[] };
    }
    let end = text.iter().position(|byte| *byte == b' ').unwrap_or(text.len());
    let parts: Vec<&[u8]> = text[..end].split(|byte| matches!(byte, b'/' | b'.' | b'-')).collect();
    let [first, second, third] = parts[..] else { return &[] };
    let (Some(first), Some(second)) = (number(first), number(second)) else { return &[] };
    let (first, second): (u8, u8) = (first, second);
    let separator = text[digits];
    // A time behind the date is for the user to add.
    match (separator, third.len(), first > 12, second > 12) {
        (b'/', 4, false, true) => &["%m/%d/%Y"],
        (b'/', 4, true, _) => &["%d/%m/%Y"],
        (b'/', 4, ..) => &["%m/%d/%Y", "%d/%m/%Y"],
        (b'/', _, false, true) => &["%m/%d/%y"],
        (b'/', _, true, _) => &["%d/%m/%y"],
        (b'/', ..) => &["%m/%d/%y", "%d/%m/%y"],
        (b'.', 4, ..) => &["%d.%m.%Y"],
        (b'.', ..) => &["%d.%m.%y"],
        (b'-', 4, ..) => &["%d-%m-%Y"],
        (b'-', ..) => &["%y-%m-%d", "%d-%m-%y"],
        _ => &[],
    }
}
