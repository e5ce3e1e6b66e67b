//! Delimited-text dialects: the bytes that end a field or a line, quote, and escape. And the paths
//! to the values of records in JSON.
//!
//! A [`Dialect`] holds the content of LOAD DATA's FIELDS and LINES clauses, and [`crate::split`]
//! reads by it. It comes from a [`Preset`], any part of which can be replaced.
//! [`Dialect::validate`] refuses, all at once, every combination for which the server's reading and
//! ours could differ, or for which the server silently misreads the data. No other module checks
//! such things.

mod charset;
mod column_list;
mod delimiter;
mod format;
mod json;
mod json_path;
mod names;
mod sql_tokens;

pub use charset::{Charset, CharsetError};
pub use column_list::ColumnOrVariable;
pub(crate) use delimiter::show_delimiter;
pub use delimiter::{DelimiterError, parse_delimiter, parse_delimiter_byte};
pub use format::{FormatConfig, ParquetFormat, RowFormat};
pub use json::{JsonFormat, JsonLayout, MissingKeys, ObjectFormat};
pub use json_path::{JsonPath, JsonPathError, JsonStep};
pub(crate) use names::EXTRA_VARIABLE;
pub use names::{ExtraColumns, MatchColumns, MissingColumns, NameConfig, PartitionColumns};
pub use sql_tokens::{SqlError, check_expression, check_statement};
pub(crate) use sql_tokens::{names_in, set_variables, variables_in};

use std::fmt;
use std::str::FromStr;

use strum::{EnumString, IntoStaticStr, VariantNames};
use thiserror::Error;

/// The rules that divide the bytes of an object into rows and fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialect {
    pub fields_terminated_by: Vec<u8>,
    pub fields_enclosed_by: Option<u8>,
    /// True if the SQL says OPTIONALLY. It makes no difference when reading.
    pub fields_optionally_enclosed: bool,
    pub fields_escaped_by: Option<u8>,
    pub lines_terminated_by: LineTerminator,
}

/// The line terminator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LineTerminator {
    Exact(Vec<u8>),
    /// CRLF or LF, whichever ends the first line of the object. A mix is an error.
    Detect,
}

impl LineTerminator {
    /// The word for [`LineTerminator::Detect`] in flags and files.
    pub const DETECT_WORD: &str = "auto";
}

impl FromStr for LineTerminator {
    type Err = DelimiterError;

    /// Parses `auto`, or a delimiter as [`parse_delimiter`] reads it.
    fn from_str(text: &str) -> Result<Self, DelimiterError> {
        if text == Self::DETECT_WORD {
            Ok(Self::Detect)
        } else {
            parse_delimiter(text).map(Self::Exact)
        }
    }
}

impl fmt::Display for LineTerminator {
    /// Writes the form that `from_str` reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(bytes) => f.write_str(&show_delimiter(bytes)),
            Self::Detect => f.write_str(Self::DETECT_WORD),
        }
    }
}

/// A dialect with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr, VariantNames)]
#[cfg_attr(test, derive(strum::VariantArray))]
#[strum(serialize_all = "kebab-case", ascii_case_insensitive)]
pub enum Preset {
    /// LOAD DATA's default: tab, `\` escapes, LF, NULL as `\N`. It is also what `mysqldump --tab`
    /// writes.
    Mysql,
    /// Hive's and Spark's text tables: byte 0x01, `\` escapes, LF, NULL as `\N`.
    Hive,
    /// Hive's text tables without `ESCAPED BY`: the same as `hive`, but a backslash is data.
    HiveRaw,
    /// RFC 4180: comma, `"` doubled inside quotes and no escape; CRLF or LF, decided per object.
    Csv,
    /// The same as `csv`, but with LF.
    CsvUnix,
    /// IANA's text/tab-separated-values, as spreadsheets export it: tab, no quotes, no escapes;
    /// CRLF or LF, decided per object. Files with backslash escapes between their tabs are `mysql`.
    Tsv,
}

impl Preset {
    /// Returns the word that selects the preset in the option.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }

    #[must_use]
    pub fn dialect(self) -> Dialect {
        let line_feed = LineTerminator::Exact(b"\n".to_vec());
        let (field, quote, escape, line) = match self {
            Self::Mysql => (b'\t', None, Some(b'\\'), line_feed),
            Self::Hive => (0x01, None, Some(b'\\'), line_feed),
            Self::HiveRaw => (0x01, None, None, line_feed),
            Self::Csv => (b',', Some(b'"'), None, LineTerminator::Detect),
            Self::CsvUnix => (b',', Some(b'"'), None, line_feed),
            Self::Tsv => (b'\t', None, None, LineTerminator::Detect),
        };
        Dialect {
            fields_terminated_by: vec![field],
            fields_enclosed_by: quote,
            fields_optionally_enclosed: quote.is_some(),
            fields_escaped_by: escape,
            lines_terminated_by: line,
        }
    }

    /// Returns the field values that mean NULL in this preset but not to the server. The server
    /// understands `\N` only if `\` escapes.
    #[must_use]
    pub const fn null_strings(self) -> &'static [&'static str] {
        match self {
            Self::HiveRaw => &["\\N"],
            Self::Mysql | Self::Hive | Self::Csv | Self::CsvUnix | Self::Tsv => &[],
        }
    }

    /// Returns true if keys with a path component that starts with `_` or `.` are skipped, as in
    /// Hive: they are markers and unfinished output.
    #[must_use]
    pub const fn skips_hidden(self) -> bool {
        matches!(self, Self::Hive | Self::HiveRaw)
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A part of a dialect, by the name of its setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::Display)]
#[strum(serialize_all = "kebab-case")]
pub enum DialectPart {
    FieldsTerminatedBy,
    FieldsEnclosedBy,
    FieldsEscapedBy,
    LinesTerminatedBy,
}

/// The reason why a dialect cannot be loaded correctly.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DialectError {
    #[error(
        "fields-terminated-by is empty and so is fields-enclosed-by: this is MySQL's fixed-width \
         format, which is not supported; name the byte that separates fields"
    )]
    FixedWidth,
    #[error("fields-terminated-by is empty; name the byte that separates fields")]
    NoFieldTerminator,
    #[error(
        "lines-terminated-by is empty; name the bytes that end a line, such as \\n, or {}",
        LineTerminator::DETECT_WORD
    )]
    NoLineTerminator,
    #[error(
        "lines-terminated-by and fields-terminated-by are both {}: \
         a row could not be told from a field; they must differ",
        show_delimiter(.0)
    )]
    LineIsField(Vec<u8>),
    #[error(
        "fields-terminated-by {} starts with all of lines-terminated-by {}, \
         which is looked for first: no field would ever end; choose another separator",
        show_delimiter(.field),
        show_delimiter(.line)
    )]
    LineHidesField { field: Vec<u8>, line: Vec<u8> },
    #[error(
        "{part} {} is also the first byte of {terminator}: \
         such a {terminator} would never be found; \
         choose another byte or switch {part} off with an empty value",
        show_delimiter(&[*.byte])
    )]
    StartsTerminator { part: DialectPart, byte: u8, terminator: DialectPart },
    // Both servers say so themselves (warning 1638), and MariaDB misses some line terminators that
    // consist of several such bytes.
    #[error(
        "{part} contains {}, which is not ASCII; \
         the servers do not fully support that: \
         choose bytes up to \\x7f, or replace the delimiter in the objects first",
        show_delimiter(&[*.byte])
    )]
    NotAscii { part: DialectPart, byte: u8 },
    #[error(
        "{part} contains {}, which may also be part of a character in {charset}: \
         rows could be cut in the middle of a character; use a delimiter of other bytes, \
         or convert the objects to UTF-8 and use utf8mb4",
        show_delimiter(&[*.byte])
    )]
    InsideCharacters { part: DialectPart, byte: u8, charset: String },
    #[error(
        "{part} contains {}, so that line endings cannot be detected; \
         set lines-terminated-by to what ends a line", show_delimiter(&[*.byte])
    )]
    HindersDetection { part: DialectPart, byte: u8 },
}

impl Dialect {
    /// Returns every reason why objects in `charset` cannot be loaded correctly under this dialect,
    /// or nothing if they can.
    ///
    /// `fields_escaped_by` may equal `fields_enclosed_by`. Quotes are then doubled, and nothing
    /// else is escaped.
    #[must_use]
    pub fn validate(&self, charset: &Charset) -> Vec<DialectError> {
        let mut errors = Vec::new();
        let field = self.fields_terminated_by.as_slice();
        let line: &[u8] = match &self.lines_terminated_by {
            LineTerminator::Exact(line) => {
                if line.is_empty() {
                    errors.push(DialectError::NoLineTerminator);
                }
                line
            }
            LineTerminator::Detect => &[],
        };
        if field.is_empty() {
            let fixed = self.fields_enclosed_by.is_none();
            errors.push(if fixed {
                DialectError::FixedWidth
            } else {
                DialectError::NoFieldTerminator
            });
        } else if line == field {
            errors.push(DialectError::LineIsField(line.to_vec()));
        } else if !line.is_empty() && field.starts_with(line) {
            errors
                .push(DialectError::LineHidesField { field: field.to_vec(), line: line.to_vec() });
        }

        let single = [
            (DialectPart::FieldsEnclosedBy, self.fields_enclosed_by),
            (DialectPart::FieldsEscapedBy, self.fields_escaped_by),
        ];
        for (part, byte) in single.iter().filter_map(|&(part, byte)| Some((part, byte?))) {
            let terminators =
                [(DialectPart::FieldsTerminatedBy, field), (DialectPart::LinesTerminatedBy, line)];
            for (terminator, bytes) in terminators {
                if bytes.first() == Some(&byte) {
                    errors.push(DialectError::StartsTerminator { part, byte, terminator });
                }
            }
        }

        for (part, bytes) in self.parts() {
            if let Some(&byte) = bytes.iter().find(|byte| !byte.is_ascii()) {
                errors.push(DialectError::NotAscii { part, byte });
            } else if let Some(&byte) = bytes.iter().find(|&&byte| charset.may_hide(byte)) {
                errors.push(DialectError::InsideCharacters {
                    part,
                    byte,
                    charset: charset.name().to_owned(),
                });
            }
            if self.lines_terminated_by == LineTerminator::Detect
                && let Some(&byte) = bytes.iter().find(|byte| matches!(byte, b'\r' | b'\n'))
            {
                errors.push(DialectError::HindersDetection { part, byte });
            }
        }
        errors
    }

    fn parts(&self) -> [(DialectPart, &[u8]); 4] {
        let line: &[u8] = match &self.lines_terminated_by {
            LineTerminator::Exact(line) => line,
            LineTerminator::Detect => &[],
        };
        [
            (DialectPart::FieldsTerminatedBy, &self.fields_terminated_by),
            (DialectPart::FieldsEnclosedBy, self.fields_enclosed_by.as_slice()),
            (DialectPart::FieldsEscapedBy, self.fields_escaped_by.as_slice()),
            (DialectPart::LinesTerminatedBy, line),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(preset: Preset, change: impl FnOnce(&mut Dialect)) -> Vec<DialectError> {
        errors_in("utf8mb4", preset, change)
    }

    fn errors_in(
        charset: &str,
        preset: Preset,
        change: impl FnOnce(&mut Dialect),
    ) -> Vec<DialectError> {
        let mut dialect = preset.dialect();
        change(&mut dialect);
        dialect.validate(&Charset::new(charset).unwrap())
    }

    #[test]
    fn every_preset_is_valid() {
        for &preset in <Preset as strum::VariantArray>::VARIANTS {
            assert_eq!(errors(preset, |_| ()), [], "{preset:?}");
        }
    }

    #[test]
    fn line_terminators_read_back_as_they_are_shown() {
        for terminator in [LineTerminator::Detect, LineTerminator::Exact(b"\r\n".to_vec())] {
            assert_eq!(terminator.to_string().parse(), Ok(terminator));
        }
    }

    #[test]
    fn fixed_width_and_empty_terminators_are_refused() {
        assert_eq!(
            errors(Preset::Mysql, |d| d.fields_terminated_by.clear()),
            [DialectError::FixedWidth]
        );
        assert_eq!(
            errors(Preset::Csv, |d| d.fields_terminated_by.clear()),
            [DialectError::NoFieldTerminator]
        );
        let no_lines =
            errors(Preset::Csv, |d| d.lines_terminated_by = LineTerminator::Exact(Vec::new()));
        assert_eq!(no_lines, [DialectError::NoLineTerminator]);
    }

    #[test]
    fn a_line_must_be_told_from_a_field() {
        let same = errors(Preset::Mysql, |d| d.fields_terminated_by = b"\n".to_vec());
        assert_eq!(same, [DialectError::LineIsField(b"\n".to_vec())]);
        let hidden = errors(Preset::Mysql, |d| d.fields_terminated_by = b"\n|".to_vec());
        assert_eq!(
            hidden,
            [DialectError::LineHidesField { field: b"\n|".to_vec(), line: b"\n".to_vec() }]
        );
        // The reverse is how dbgen writes: the line terminator is searched for first.
        let trailing = errors(Preset::Mysql, |d| {
            d.fields_terminated_by = b"|".to_vec();
            d.lines_terminated_by = LineTerminator::Exact(b"|\n".to_vec());
        });
        assert_eq!(trailing, []);
    }

    #[test]
    fn an_escape_or_enclosure_that_starts_a_terminator_is_refused() {
        let found = errors(Preset::Mysql, |d| d.fields_escaped_by = Some(b'\t'));
        assert_eq!(
            found,
            [DialectError::StartsTerminator {
                part: DialectPart::FieldsEscapedBy,
                byte: b'\t',
                terminator: DialectPart::FieldsTerminatedBy
            }]
        );
        let found = errors(Preset::CsvUnix, |d| {
            d.lines_terminated_by = LineTerminator::Exact(b"\"\n".to_vec());
        });
        assert_eq!(
            found,
            [DialectError::StartsTerminator {
                part: DialectPart::FieldsEnclosedBy,
                byte: b'"',
                terminator: DialectPart::LinesTerminatedBy
            }]
        );
    }

    #[test]
    fn an_escape_equal_to_the_enclosure_means_doubling_only_and_is_legal() {
        assert_eq!(errors(Preset::Csv, |d| d.fields_escaped_by = Some(b'"')), []);
    }

    #[test]
    fn only_ascii_can_delimit_in_any_character_set() {
        for charset in ["latin1", "utf8mb4", "gbk"] {
            let found = errors_in(charset, Preset::Csv, |d| {
                d.fields_enclosed_by = Some(0xFE);
                d.fields_terminated_by = "§".as_bytes().to_vec();
            });
            assert_eq!(
                found,
                [
                    DialectError::NotAscii { part: DialectPart::FieldsTerminatedBy, byte: 0xC2 },
                    DialectError::NotAscii { part: DialectPart::FieldsEnclosedBy, byte: 0xFE },
                ]
            );
        }
    }

    #[test]
    fn gbk_with_backslash_escapes_is_refused_and_without_them_is_not() {
        let found = errors_in("gbk", Preset::Mysql, |_| ());
        assert_eq!(
            found,
            [DialectError::InsideCharacters {
                part: DialectPart::FieldsEscapedBy,
                byte: b'\\',
                charset: "gbk".into()
            }]
        );
        assert_eq!(errors_in("gbk", Preset::Mysql, |d| d.fields_escaped_by = None), []);
        assert_eq!(errors_in("gbk", Preset::Csv, |_| ()), []);
        assert_eq!(errors_in("euckr", Preset::Mysql, |_| ()), []);
    }

    #[test]
    fn line_endings_cannot_be_detected_around_delimiters_made_of_them() {
        let found = errors(Preset::Csv, |d| d.fields_terminated_by = b"#\n".to_vec());
        assert_eq!(
            found,
            [DialectError::HindersDetection { part: DialectPart::FieldsTerminatedBy, byte: b'\n' }]
        );
    }

    #[test]
    fn all_problems_are_reported_at_once_and_each_names_its_setting() {
        let found = errors_in("gbk", Preset::Csv, |d| {
            d.fields_terminated_by.clear();
            d.lines_terminated_by = LineTerminator::Exact(Vec::new());
            d.fields_escaped_by = Some(b'\\');
            d.fields_enclosed_by = Some(b'|');
        });
        let text: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), 4, "{text:#?}");
        for part in [
            "fields-terminated-by",
            "lines-terminated-by",
            "fields-escaped-by",
            "fields-enclosed-by",
        ] {
            assert!(text.iter().any(|message| message.contains(part)), "{part}");
        }
    }
}
