//! The choice of the columns that can be compared. It depends on their types: the server must have
//! exactly one text for each value.

use std::borrow::Cow;

use super::canonical;
use crate::choices::BinaryReading;
use crate::dialect::Charset;
use crate::mysql::ColumnSchema;

pub(super) const IS_GENERATED: &str = "the server computes it";

/// A column that is not compared, and why.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Unverified {
    /// The column's name.
    pub column: String,
    /// The reason, in words.
    pub reason: String,
}

/// The rule that turns a field into the text of the stored value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Integer {
        zerofill: bool,
    },
    Decimal {
        scale: usize,
    },
    Date,
    DateTime {
        fraction_digits: usize,
    },
    Time {
        fraction_digits: usize,
    },
    Year,
    /// One of these labels.
    Enum(Vec<Vec<u8>>),
    /// Unchanged bytes. `long` values are hashed separately, because the server concatenates texts
    /// only up to `max_allowed_packet`.
    Bytes {
        is_character: bool,
        long: bool,
    },
    /// CHAR, without trailing spaces.
    Unpadded,
    /// BINARY, padded with zero bytes to its length.
    Padded {
        length_bytes: usize,
    },
}

/// Returns the rule for the column.
///
/// # Errors
/// Returns the reason why the column cannot be compared with objects in this character set.
pub(super) fn encoding(
    column: &ColumnSchema,
    charset: &Charset,
    binary: BinaryReading,
) -> Result<Encoding, String> {
    if column.is_generated {
        return Err(IS_GENERATED.to_owned());
    }
    let has_zerofill = column.column_type.to_ascii_lowercase().contains("zerofill");
    let digits = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let fraction_digits = digits(column.datetime_precision);
    let data_type = column.data_type.to_ascii_lowercase();
    let form = match data_type.as_str() {
        "tinyint" | "smallint" | "mediumint" | "int" | "integer" | "bigint" => {
            Encoding::Integer { zerofill: has_zerofill }
        }
        "decimal" | "numeric" if !has_zerofill => {
            Encoding::Decimal { scale: digits(column.numeric_scale) }
        }
        "date" => Encoding::Date,
        "datetime" | "timestamp" => Encoding::DateTime { fraction_digits },
        "time" => Encoding::Time { fraction_digits },
        "year" => Encoding::Year,
        "char" => Encoding::Unpadded,
        "varchar" | "tinytext" | "text" => Encoding::Bytes { is_character: true, long: false },
        "mediumtext" | "longtext" => Encoding::Bytes { is_character: true, long: true },
        // The server stores the bytes that such a text stands for.
        "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob"
            if matches!(binary, BinaryReading::Hex | BinaryReading::Base64) =>
        {
            return Err(format!("its fields are written in {binary}"));
        }
        "binary" => Encoding::Padded { length_bytes: digits(column.octet_length) },
        "varbinary" | "tinyblob" | "blob" => Encoding::Bytes { is_character: false, long: false },
        "mediumblob" | "longblob" => Encoding::Bytes { is_character: false, long: true },
        "enum" => {
            Encoding::Enum(labels(&column.column_type).ok_or("its labels are not plain text")?)
        }
        "float" | "double" | "real" => {
            return Err(format!("{data_type} values are not kept as they are written"));
        }
        "json" => return Err("the server writes JSON in a form of its own".to_owned()),
        _ => return Err(format!("type {data_type} is not compared")),
    };
    if let Some(of_column) = &column.charset
        && !is_reversible(charset, of_column, matches!(form, Encoding::Enum(_)))
    {
        return Err(format!("its character set is {of_column}, the objects' is {charset}"));
    }
    Ok(form)
}

/// Returns true if the column's text must be converted to UTF-8 to match the objects.
pub(super) fn is_converted(column: &ColumnSchema, objects: &Charset) -> bool {
    objects.is_utf8()
        && column
            .charset
            .as_deref()
            .is_some_and(|charset| !UTF8.contains(&known_name(charset).as_str()))
}

/// The character sets whose bytes are valid UTF-8.
const UTF8: [&str; 3] = ["ascii", "utf8mb3", "utf8mb4"];

/// The character sets in which the servers' conversion maps some Unicode character to another one.
/// Every set was tested with a round trip of every character.
const IRREVERSIBLE: [&str; 2] = ["cp932", "tis620"];

fn known_name(charset: &str) -> String {
    if charset == "utf8" { "utf8mb3".to_owned() } else { charset.to_ascii_lowercase() }
}

/// Returns true if a column's text can be converted back to the text in the objects' character set.
fn is_reversible(objects: &Charset, column: &str, is_enum: bool) -> bool {
    let (objects_name, column) = (known_name(objects.name()), known_name(column));
    if objects.is_utf8() {
        return !IRREVERSIBLE.contains(&column.as_str());
    }
    // Labels are known in UTF-8. A column takes data that is loaded as `binary` unchanged.
    !is_enum && (objects_name == column || objects_name == "binary")
}

/// Returns true if the column's text depends on the time zone, as that of a TIMESTAMP does.
pub(super) fn depends_on_time_zone(columns: &[ColumnSchema], name: &str) -> bool {
    columns
        .iter()
        .any(|column| column.name == name && column.data_type.eq_ignore_ascii_case("timestamp"))
}

/// Returns the labels of `enum('a','it''s')`, or `None` if a label contains a character that the
/// server escapes.
fn labels(column_type: &str) -> Option<Vec<Vec<u8>>> {
    let list = column_type.split_once('(')?.1;
    let list = list.rsplit_once(')')?.0;
    if list.contains('\\') {
        return None;
    }
    let mut labels = Vec::new();
    let mut rest = list;
    loop {
        rest = rest.strip_prefix('\'')?;
        let mut label = String::new();
        loop {
            let (text, after) = rest.split_once('\'')?;
            label.push_str(text);
            rest = after;
            let Some(doubled) = rest.strip_prefix('\'') else { break };
            label.push('\'');
            rest = doubled;
        }
        labels.push(label.into_bytes());
        match rest.strip_prefix(',') {
            Some(next) => rest = next,
            None => return rest.is_empty().then_some(labels),
        }
    }
}

impl Encoding {
    /// Returns the text that the server shows for this field once it is stored, or `None` if that
    /// is not certain.
    pub(super) fn stored<'value>(&self, value: &'value [u8]) -> Option<Cow<'value, [u8]>> {
        match self {
            Self::Integer { .. } => canonical::integer(value),
            Self::Decimal { scale } => canonical::decimal(value, *scale).map(Cow::Owned),
            Self::Date => canonical::date(value),
            Self::DateTime { fraction_digits } => canonical::date_time(value, *fraction_digits),
            Self::Time { fraction_digits } => canonical::time(value, *fraction_digits),
            Self::Year => canonical::year(value),
            Self::Enum(labels) => {
                labels.iter().any(|label| label == value).then_some(Cow::Borrowed(value))
            }
            Self::Bytes { .. } => Some(Cow::Borrowed(value)),
            Self::Unpadded => {
                let length =
                    value.iter().rposition(|&byte| byte != b' ').map_or(0, |last| last + 1);
                Some(Cow::Borrowed(&value[..length]))
            }
            Self::Padded { length_bytes } => match value.len() {
                length if length == *length_bytes => Some(Cow::Borrowed(value)),
                length if length < *length_bytes => {
                    let mut padded = value.to_vec();
                    padded.resize(*length_bytes, 0);
                    Some(Cow::Owned(padded))
                }
                _ => None,
            },
        }
    }

    /// Returns true if the value may contain any bytes, so that its length must tell where it ends.
    pub(super) fn is_text(&self) -> bool {
        matches!(self, Self::Enum(_) | Self::Bytes { .. } | Self::Unpadded | Self::Padded { .. })
    }

    pub(super) fn is_long(&self) -> bool {
        matches!(self, Self::Bytes { long: true, .. })
    }

    /// Returns an SQL expression for that text, given a quoted column name. If `is_converted`, the
    /// expression converts the text to UTF-8.
    pub(super) fn value_sql(&self, name: &str, is_converted: bool) -> String {
        let name =
            if is_converted { format!("CONVERT({name} USING utf8mb4)") } else { name.to_owned() };
        match self {
            Self::Integer { zerofill: true } => format!("CAST({name} AS UNSIGNED)"),
            // As bytes, so that texts in several character sets are concatenated unchanged.
            Self::Enum(_) | Self::Bytes { is_character: true, long: false } | Self::Unpadded => {
                format!("CAST({name} AS BINARY)")
            }
            _ => name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoding(column: &ColumnSchema, charset: &Charset) -> Result<Encoding, String> {
        super::encoding(column, charset, BinaryReading::Auto)
    }

    fn facts(column_type: &str, charset: &str) -> ColumnSchema {
        ColumnSchema {
            name: "c".to_owned(),
            data_type: column_type.split(['(', ' ']).next().unwrap().to_owned(),
            column_type: column_type.to_owned(),
            charset: (!charset.is_empty()).then(|| charset.to_owned()),
            ..ColumnSchema::default()
        }
    }

    #[test]
    fn text_is_compared_only_where_the_objects_bytes_can_be_had_back() {
        let utf8 = Charset::default();
        for (charset, converts) in [
            ("utf8mb4", false),
            ("utf8mb3", false),
            ("utf8", false),
            ("ascii", false),
            ("latin1", true),
            ("utf16", true),
        ] {
            let facts = facts("varchar(9)", charset);
            assert!(
                encoding(&facts, &utf8).is_ok() && is_converted(&facts, &utf8) == converts,
                "{charset}"
            );
        }
        assert!(encoding(&facts("varchar(9)", "cp932"), &utf8).is_err());
        assert!(encoding(&facts("varchar(9)", "latin1"), &Charset::new("latin1").unwrap()).is_ok());
        assert!(encoding(&facts("varchar(9)", "latin1"), &Charset::new("binary").unwrap()).is_ok());
        assert!(
            encoding(&facts("varchar(9)", "utf8mb4"), &Charset::new("latin1").unwrap()).is_err()
        );
    }

    #[test]
    fn types_of_which_a_value_has_several_texts_are_not_compared() {
        for column_type in [
            "float",
            "double",
            "json",
            "bit(1)",
            "set('a')",
            "geometry",
            "decimal(5,2) zerofill",
            "uuid",
        ] {
            assert!(
                encoding(&facts(column_type, ""), &Charset::default()).is_err(),
                "{column_type}"
            );
        }
        let generated = ColumnSchema { is_generated: true, ..facts("int", "") };
        assert!(encoding(&generated, &Charset::default()).is_err());
    }

    #[test]
    fn labels_are_taken_apart_as_they_are_written() {
        let labels = |text: &str| {
            labels(text).map(|labels| {
                labels
                    .iter()
                    .map(|label| String::from_utf8_lossy(label).into_owned())
                    .collect::<Vec<_>>()
            })
        };
        assert_eq!(
            labels("enum('a,b','it''s','','''')"),
            Some(vec!["a,b".into(), "it's".into(), String::new(), "'".into()])
        );
        assert_eq!(labels(r"enum('a\nb')"), None);
        assert_eq!(labels("enum('a' 'b')"), None);
    }
}
