//! The table of all pairs of types: what text a value of a file becomes for a column of the table.
//!
//! Every pair with a text gives each value one meaning. The rules for values judge whether the
//! column holds that value. All other pairs are refused before the first row.

use super::source_kind::SourceKind;
use super::target_kind::TargetKind;

/// The text that values become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TextForm {
    /// `\N`.
    Null,
    /// `1` and `0`.
    Flag,
    /// `true` and `false`.
    Word,
    /// The decimal digits of an integer.
    Digits,
    /// The digits, but `0000` for 0, which is how a YEAR writes it.
    Year,
    /// The shortest text that only this value is nearest to.
    Shortest,
    /// The shortest text of a FLOAT as a DOUBLE. As a FLOAT, the largest value would be out of
    /// range for the servers.
    Widened,
    /// All digits, with the scale of the column in the file.
    Decimal,
    Day,
    TimeOfDay,
    /// A date and a time of day.
    Clock,
    /// A date and a time of day of UTC, with a `Z`.
    ClockWithZ,
    Text,
    /// Bytes that must be UTF-8.
    Utf8,
    Hex,
    /// A number of which these are the bytes, the highest first.
    BigEndian,
    /// Lower case, with hyphens.
    Uuid,
    /// Compact JSON.
    Json,
}

/// The settings that pairs depend on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PairingOptions {
    /// True if the user says in which zone clocks hung.
    pub(crate) has_time_zone: bool,
    /// True if that zone, or the default, is UTC.
    pub(crate) is_utc: bool,
}

/// Returns the text for a pair, or `None` if it is refused.
pub(super) fn text_form(
    source: SourceKind,
    target: TargetKind,
    options: PairingOptions,
) -> Option<TextForm> {
    use SourceKind as S;
    use TargetKind as T;
    let is_number = matches!(target, T::Integer | T::Decimal | T::Float);
    let is_free = matches!(target, T::Text | T::Variable);
    Some(match (source, target) {
        (S::Null, _) => TextForm::Null,

        (S::Boolean, T::Bit | T::Variable) => TextForm::Flag,
        (S::Boolean, _) if is_number => TextForm::Flag,
        (S::Boolean, T::Text | T::Labels | T::Json) => TextForm::Word,

        (S::Integer, T::Year) => TextForm::Year,
        (S::Integer, T::Bit | T::Labels | T::Json) => TextForm::Digits,
        (S::Integer, _) if is_number || is_free => TextForm::Digits,

        (S::Float, T::Float) => TextForm::Widened,
        (S::Float | S::Double, T::Json) => TextForm::Shortest,
        (S::Float | S::Double, _) if is_number || is_free => TextForm::Shortest,

        (S::Decimal, T::Json) => TextForm::Decimal,
        (S::Decimal, _) if is_number || is_free => TextForm::Decimal,

        (S::Date, T::Date | T::DateTime) => TextForm::Day,
        (S::Date, _) if is_free => TextForm::Day,

        (S::Time, T::Time) => TextForm::TimeOfDay,
        (S::Time, _) if is_free => TextForm::TimeOfDay,

        (S::LocalTime, T::Timestamp) if options.has_time_zone => TextForm::Clock,
        (S::LocalTime, T::DateTime | T::Date) => TextForm::Clock,
        (S::LocalTime, _) if is_free => TextForm::Clock,

        (S::Instant, T::Timestamp | T::DateTime | T::Date) if options.is_utc => TextForm::Clock,
        (S::Instant, T::Timestamp | T::DateTime) => TextForm::ClockWithZ,
        (S::Instant, _) if is_free => TextForm::ClockWithZ,

        (S::Text, T::Binary) => TextForm::Hex,
        (S::Text, _) => TextForm::Text,

        (S::Bytes, T::Binary | T::Variable) => TextForm::Hex,
        (S::Bytes, T::Text | T::Labels | T::Json) => TextForm::Utf8,
        (S::Bytes, T::Bit) => TextForm::BigEndian,

        (S::Uuid, T::Binary) => TextForm::Hex,
        (S::Uuid, T::Other) => TextForm::Uuid,
        (S::Uuid, _) if is_free => TextForm::Uuid,

        (S::Opaque, T::Binary | T::Variable) => TextForm::Hex,

        (S::Nested, T::Json | T::Text | T::Variable) => TextForm::Json,

        _ => return None,
    })
}

/// Returns what helps if a pair is refused.
pub(super) fn remedy(source: SourceKind, target: TargetKind, column: &str) -> String {
    use SourceKind as S;
    use TargetKind as T;
    match (source, target) {
        (S::LocalTime, T::Timestamp) => {
            "--time-zone says in which zone its clocks hung, as in --time-zone Europe/Rome; with \
             --time-zone UTC they are those of UTC"
                .to_owned()
        }
        (S::Instant, T::Date) => format!(
            "the date of an instant depends on the time zone; --set \
             '{column}=DATE(CONVERT_TZ(LEFT(@{column}, 19), ''+00:00'', ''+02:00''))' names one"
        ),
        (S::Integer, T::Date | T::DateTime | T::Timestamp) => format!(
            "a number is no date; --set '{column}=FROM_UNIXTIME(@{column})' reads seconds since \
             1970"
        ),
        (S::Opaque, T::Other) => {
            format!("--set '{column}=ST_GeomFromWKB(UNHEX(@{column}))' reads well-known binary")
        }
        (S::Unsupported, _) => "--columns names the columns to load, without this one".to_owned(),
        _ => format!(
            "--set '{column}=EXPRESSION' may convert its text @{column}, and --columns leaves it \
             out"
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::path::Path;

    use strum::VariantArray as _;

    use super::*;

    const BEGIN: &str = "<!-- The table of pairs is generated. -->\n\n";
    const END: &str = "\n<!-- The end of the table of pairs. -->";

    /// Returns the table in Markdown: one line for each kind of source and text.
    fn page() -> String {
        let utc = PairingOptions { has_time_zone: false, is_utc: true };
        let zone = PairingOptions { has_time_zone: true, is_utc: false };
        let mut page = "| Parquet | goes into | as |\n|---|---|---|\n".to_owned();
        for &source in SourceKind::VARIANTS {
            let mut lines: Vec<(String, Vec<&str>)> = Vec::new();
            for &target in TargetKind::VARIANTS {
                let text = match (text_form(source, target, utc), text_form(source, target, zone)) {
                    (None, None) => continue,
                    (Some(form), Some(other)) if form == other => words(form).to_owned(),
                    (Some(form), Some(other)) => {
                        format!("{}; {} in another `--time-zone`", words(form), words(other))
                    }
                    (Some(form), None) => {
                        format!("{}, unless `--time-zone` is another", words(form))
                    }
                    (None, Some(form)) => format!("{}, with `--time-zone`", words(form)),
                };
                match lines.iter_mut().find(|(known, _)| *known == text) {
                    Some((_, known)) => known.push(targets(target)),
                    None => lines.push((text, vec![targets(target)])),
                }
            }
            if lines.is_empty() {
                let _ = writeln!(page, "| {} | nothing | refused |", sources(source));
            }
            for (text, found) in lines {
                let is_all = found.len() == TargetKind::VARIANTS.len();
                let found = if is_all { "everything".to_owned() } else { found.join(", ") };
                let _ = writeln!(page, "| {} | {found} | {text} |", sources(source));
            }
        }
        page
    }

    /// Returns the types of Parquet that are of this kind.
    fn sources(kind: SourceKind) -> &'static str {
        match kind {
            SourceKind::Boolean => "BOOLEAN",
            SourceKind::Integer => "INT32, INT64, INTEGER (signed and unsigned)",
            SourceKind::Float => "FLOAT, FLOAT16",
            SourceKind::Double => "DOUBLE",
            SourceKind::Decimal => "DECIMAL",
            SourceKind::Date => "DATE",
            SourceKind::Time => "TIME",
            SourceKind::LocalTime => "TIMESTAMP, not adjusted to UTC",
            SourceKind::Instant => "TIMESTAMP, adjusted to UTC; INT96",
            SourceKind::Text => "STRING, ENUM, JSON",
            SourceKind::Bytes => "BYTE_ARRAY and FIXED_LEN_BYTE_ARRAY without more",
            SourceKind::Uuid => "UUID",
            SourceKind::Opaque => "BSON, GEOMETRY, GEOGRAPHY",
            SourceKind::Null => "UNKNOWN (always NULL)",
            SourceKind::Nested => "LIST, MAP, groups",
            SourceKind::Unsupported => "INTERVAL, VARIANT and types not known",
        }
    }

    /// Returns the types of MySQL that are of this kind.
    fn targets(kind: TargetKind) -> &'static str {
        match kind {
            TargetKind::Integer => "integers",
            TargetKind::Decimal => "DECIMAL",
            TargetKind::Float => "FLOAT, DOUBLE",
            TargetKind::Bit => "BIT",
            TargetKind::Year => "YEAR",
            TargetKind::Labels => "ENUM, SET",
            TargetKind::Date => "DATE",
            TargetKind::DateTime => "DATETIME",
            TargetKind::Timestamp => "TIMESTAMP",
            TargetKind::Time => "TIME",
            TargetKind::Text => "CHAR, VARCHAR, TEXT",
            TargetKind::Json => "JSON",
            TargetKind::Binary => "BINARY, VARBINARY, BLOB",
            TargetKind::Other => "others",
            TargetKind::Variable => "a variable",
        }
    }

    fn words(form: TextForm) -> &'static str {
        match form {
            TextForm::Null => "NULL",
            TextForm::Flag => "`1` and `0`",
            TextForm::Word => "`true` and `false`",
            TextForm::Digits => "digits",
            TextForm::Year => "digits, and `0000` for 0",
            TextForm::Shortest => "the shortest text of the value",
            TextForm::Widened => "the shortest text of the value as a DOUBLE",
            TextForm::Decimal => "all digits, with the scale of the file",
            TextForm::Day => "`2026-04-15`",
            TextForm::TimeOfDay => "`15:51:30.25`",
            TextForm::Clock => "`2026-04-15 15:51:30.25`",
            TextForm::ClockWithZ => "`2026-04-15 15:51:30.25Z`",
            TextForm::Text => "its text",
            TextForm::Utf8 => "its bytes, which must be UTF-8",
            TextForm::Hex => "its bytes (hexadecimal digits in reject files and variables)",
            TextForm::BigEndian => "the number that its bytes are, the highest first",
            TextForm::Uuid => "`123e4567-e89b-12d3-a456-426614174000`",
            TextForm::Json => "compact JSON",
        }
    }

    #[test]
    fn the_table_of_pairs_in_the_documents_is_that_of_the_code() {
        let path = Path::new("docs/parquet.md");
        let text = std::fs::read_to_string(path).unwrap();
        let (before, rest) = text.split_once(BEGIN).unwrap();
        let (found, after) = rest.split_once(END).unwrap();
        let expected = page();
        if std::env::var_os("S3_TO_MYSQL_TEST_WRITE_DOCS").is_some() {
            std::fs::write(path, format!("{before}{BEGIN}{expected}{END}{after}")).unwrap();
        } else {
            assert!(found == expected, "{path:?} is stale:\n{expected}");
        }
    }

    #[test]
    fn no_pair_reads_a_number_as_a_date_or_a_date_as_a_number() {
        let options = PairingOptions { has_time_zone: true, is_utc: true };
        let dates = [TargetKind::Date, TargetKind::DateTime, TargetKind::Timestamp];
        let numbers =
            [TargetKind::Integer, TargetKind::Decimal, TargetKind::Float, TargetKind::Year];
        for source in [SourceKind::Integer, SourceKind::Double, SourceKind::Decimal] {
            assert!(dates.iter().all(|&target| text_form(source, target, options).is_none()));
        }
        for source in [SourceKind::Date, SourceKind::LocalTime, SourceKind::Instant] {
            assert!(numbers.iter().all(|&target| text_form(source, target, options).is_none()));
        }
    }
}
