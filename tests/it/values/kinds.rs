//! The types of columns under test.

use anyhow::Result;
use s3_to_mysql::choices::BinaryReading;
use s3_to_mysql::values::{DateFormat, Readings};

use super::generate::Source;
use super::meaning as means;

/// A type of column, and how its values are made and read.
pub(super) struct Kind {
    /// The type in CREATE TABLE.
    pub(super) column_type: &'static str,
    /// The expression that reads a value back as text.
    pub(super) read: &'static str,
    /// The expression over `@v` through which the loader sends such fields.
    pub(super) assigned: Option<&'static str>,
    /// Values from which others are made.
    pub(super) usual: &'static [&'static str],
    pub(super) source: Source,
    /// Returns what a text means, in the form of `canonical`.
    pub(super) meaning: fn(&str, &Kind) -> Option<String>,
    /// Returns one form for all texts of a value that is read back.
    pub(super) canonical: fn(&str) -> String,
    /// Returns true if the second value may be what is left of the first.
    pub(super) is_near: fn(Option<&str>, Option<&str>) -> bool,
    pub(super) is_json: bool,
    pub(super) reading: Reading,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    Default,
    Zone(&'static str),
    DecimalComma,
    DateFormat(&'static str),
    Binary(BinaryReading),
}

impl Kind {
    pub(super) fn create(&self, table: &str) -> String {
        format!(
            "CREATE TABLE {table} (id INT PRIMARY KEY, v {} NULL) CHARACTER SET utf8mb4",
            self.column_type
        )
    }

    pub(super) fn readings(&self) -> Result<Readings> {
        let mut readings = Readings::default();
        match self.reading {
            Reading::Default => {}
            Reading::Zone(name) => readings.time_zone = Readings::time_zone_named(name)?,
            Reading::DecimalComma => readings.decimal_comma = true,
            Reading::DateFormat(format) => {
                readings.date_formats = vec![("v".to_owned(), DateFormat::new(format)?)];
            }
            Reading::Binary(binary) => readings.binary = binary,
        }
        Ok(readings)
    }
}

const BASE: Kind = Kind {
    column_type: "",
    read: "CAST(v AS CHAR)",
    assigned: None,
    usual: &[],
    source: Source::Numbers,
    meaning: means::integer,
    canonical: means::number_form,
    is_near: means::is_near_number,
    is_json: false,
    reading: Reading::Default,
};
const DECIMAL: Kind = Kind { meaning: means::decimal, ..BASE };
const FLOAT: Kind = Kind {
    read: "CAST(v + 0e0 AS CHAR)",
    meaning: means::float,
    canonical: means::float_form,
    is_near: means::is_near_float,
    ..BASE
};
const BIT: Kind = Kind {
    read: "CAST(v + 0 AS CHAR)",
    assigned: Some("CAST(@v AS UNSIGNED)"),
    meaning: means::integer,
    ..BASE
};
const LABELS: Kind = Kind {
    read: "CONCAT(v, '')",
    source: Source::Edits(" ,aAbBcl\u{e9}\0\u{1}0123456789+-"),
    meaning: means::label,
    canonical: str::to_owned,
    ..BASE
};
const DATE: Kind = Kind {
    source: Source::Moments,
    meaning: means::date,
    canonical: str::to_owned,
    is_near: means::is_prefix,
    ..BASE
};
const DATE_TIME: Kind = Kind { meaning: means::date_time, canonical: means::time_form, ..DATE };
const TEXT: Kind = Kind {
    read: "HEX(CONVERT(v USING utf8mb4))",
    source: Source::Edits(" a\t\0\\~\u{e9}\u{20ac}\u{416}\u{1f600}\u{81}"),
    meaning: means::text,
    canonical: str::to_owned,
    is_near: means::is_prefix,
    ..BASE
};
const BYTES: Kind = Kind { read: "HEX(v)", is_near: means::is_continued, ..TEXT };

const TINY: &[&str] = &["127", "-128", "255", "0"];
const DAYS: &[&str] = &[
    "2023-12-31",
    "2024-02-29",
    "0000-01-01",
    "9999-12-31",
    "2023-12-31 00:00:00",
    "2023/1/5",
    "0000-00-00",
    "2023-02-29",
    "31-12-23",
    "10-11-12",
    "231231",
    "1/2/3",
    "12/31/2023",
    "31.12.2023",
    "2023.12.31",
    "2023-12-31Z",
    "2023-12-31+02:00",
    "1700000000",
    "20231231",
    "2023-12-31T01:02:03",
    "2023--12-31",
    "2023-12",
    "02023-12-31",
    "0000-02-29",
];
const MOMENTS: &[&str] = &[
    "2023-12-31 23:59:59.999",
    "2026-12-31 23:59:59.9999999",
    "2026-03-29 02:30:00",
    "2026-10-25 02:30:00",
    "2026-04-15T13:51:30Z",
    "2026-04-15T15:51:30+02:00",
    "2026-04-15T15:51:30+0200",
    "2026-04-15 15:51:30 +02:00",
    "2026-04-15T13:51:30.123456789",
    "20231231T010203",
    "20231231010203",
    "1700000000",
    "2023-12-31 24:00:00",
    "2023-12-31 23:59:60",
    "2023-12-31",
    "20231231",
    "2023-1-5 1:2",
    "1970-01-01 00:00:00",
    "1970-01-01 00:00:01",
    "1970-01-01 00:00:00.5",
    "2038-01-19 03:14:07",
    "2038-01-19 03:14:08",
    "2038-01-19 03:14:07.999999",
    "2038-01-19 03:14:07.9999999",
    "9999-12-31 23:59:59.9",
    "9999-12-31T23:59:59-01:00",
    "0000-01-01T00:00:00+01:00",
    "2023-12-31 01.02.03",
    "2023-12-31_01:02:03",
    "2023-12-31 01",
    "2023-12-31 01:02:03.",
    "2023-12-31 01:02:03,5",
    "31.12.2023 01:02",
    "0000-00-00 00:00:00",
    "12-31-23 01:02:03",
];
const TIMES: &[&str] = &[
    "1:02",
    "01:02:03",
    "-01:02:03.5",
    "838:59:59",
    "838:59:59.1",
    "839:00:00",
    "-838:59:59",
    "530",
    "05.30",
    "5",
    "",
    "1:2",
    "1:2:3",
    "01:60:00",
    "01:02:60",
    "24:00:00",
    "1 01:02:03",
    "2023-01-01 01:02:03",
    "+01:02:03",
    "01:02:03Z",
    "01:02:03.0000000",
    "01:02:",
    ":01:02",
    "01:02:03 PM",
    "-00:00:00",
    "- 01:02:03",
    "00001:02:03",
    "1:002:03",
    "838:59:59.0004",
    "838:59:59.001",
];
const JSON: &[&str] = &[
    "1",
    "{\"a\":1,\"b\":[1.5,\"x\\u00e9\",null,true,false,{}]}",
    "9007199254740993.0",
    "1e400",
    "1e-400",
    "18446744073709551615",
    "18446744073709551616",
    "-9223372036854775809",
    "{\"a\":1,\"a\":2}",
    "{\"\\u0061\":1,\"a\":1}",
    "0.30000000000000004",
    "\"\\ud800\"",
    "0.1000000000000000055511151231257827",
    "[1,2,]",
    "",
    "nul",
    "12345678901234567890.5",
    "1.7976931348623157e308",
    "5e-324",
    "4.35",
    "123456789.123456789",
    "2.2250738585072011e-308",
];

/// Returns all types.
#[rustfmt::skip]
pub(super) fn kinds() -> Vec<Kind> {
    vec![
        Kind { column_type: "TINYINT", usual: TINY, ..BASE },
        Kind { column_type: "TINYINT UNSIGNED", usual: TINY, ..BASE },
        Kind { column_type: "TINYINT(1)", usual: &["true", "FALSE", "1", "-128", "t", "yes"], ..BASE },
        Kind { column_type: "SMALLINT", usual: &["32767", "-32768"], ..BASE },
        Kind { column_type: "SMALLINT UNSIGNED", usual: &["65535", "0"], ..BASE },
        Kind { column_type: "MEDIUMINT", usual: &["8388607", "-8388608"], ..BASE },
        Kind { column_type: "MEDIUMINT UNSIGNED", usual: &["16777215"], ..BASE },
        Kind { column_type: "INT", usual: &["2147483647", "-2147483648"], ..BASE },
        Kind { column_type: "INT(6) UNSIGNED ZEROFILL", usual: &["4294967295", "12"], ..BASE },
        Kind { column_type: "BIGINT", usual: &["9223372036854775807", "-9223372036854775808"], ..BASE },
        Kind { column_type: "BIGINT UNSIGNED", usual: &["18446744073709551615", "0"], ..BASE },
        Kind { column_type: "BIGINT", usual: &["1.234", "12,50", "1 234"], reading: Reading::DecimalComma, ..BASE },
        Kind { column_type: "DECIMAL(9,2)", usual: &["9999999.99", "-9999999.995", "1.005", "12.50 EUR", "12,50"], ..DECIMAL },
        Kind { column_type: "DECIMAL(5,0) UNSIGNED", usual: &["99999", "99999.5", "-0.4"], ..DECIMAL },
        Kind { column_type: "DECIMAL(3,3)", usual: &["0.999", "0.9995", "-.5", "1"], ..DECIMAL },
        Kind { column_type: "DECIMAL(65,30)", usual: &["12345678901234567890123456789012345.123456789012345678901234567890", "99999999999999999999999999999999999.9999999999999999999999999999999"], ..DECIMAL },
        Kind { column_type: "DECIMAL(12,2)", usual: &["1.234,56", "1 234,56", "1.234", "1,234.56", "12.50"], reading: Reading::DecimalComma, ..DECIMAL },
        Kind { column_type: "FLOAT", usual: &["3.4028235e38", "3.40282346638528859812e38", "1e-45", "7e-46", "0.1", "16777217", "NaN", "Infinity", "-3.4028236e38"], ..FLOAT },
        Kind { column_type: "DOUBLE", usual: &["1.7976931348623157e308", "1.7976931348623159e308", "5e-324", "2e-324", "0.1", "nan", "inf", "0x1p3"], ..FLOAT },
        Kind { column_type: "DOUBLE UNSIGNED", usual: &["-0", "-1e-400", "1.5"], ..FLOAT },
        Kind { column_type: "DOUBLE(10,3)", usual: &["9999999.999", "1.2345", "10000000", "1.5"], ..FLOAT },
        Kind { column_type: "BIT(1)", usual: &["0", "1", "true", "false", "2"], ..BIT },
        Kind { column_type: "BIT(3)", usual: &["7", "8", "\u{1}", "b'1'"], ..BIT },
        Kind { column_type: "BIT(64)", usual: &["18446744073709551615", "9223372036854775808"], ..BIT },
        Kind { column_type: "ENUM('low','mid','high')", usual: &["low", "MID", "2", "02", " 2", "low ", "", "0", "l\u{f6}w"], ..LABELS },
        Kind { column_type: "ENUM('low','mid','high') COLLATE utf8mb4_bin", usual: &["low", "MID", "2", "low "], ..LABELS },
        Kind { column_type: "ENUM('10','20','it''s','') COLLATE utf8mb4_general_ci", usual: &["10", "2", "20", "it's", "", "4"], ..LABELS },
        Kind { column_type: "ENUM('a','\u{e9}','b') CHARACTER SET latin1", usual: &["a", "\u{e9}", "E", "2", "\u{c9}", "\u{416}"], ..LABELS },
        Kind { column_type: "SET('a','b','c')", usual: &["a", "c,a", "", "5", "a,x", "a,", "a ,b", "A,B"], ..LABELS },
        Kind { column_type: "SET('1','2','4') COLLATE utf8mb4_general_ci", usual: &["1", "2,4", "3", "7", "1,1"], ..LABELS },
        Kind { column_type: "DATE", usual: DAYS, ..DATE },
        Kind { column_type: "DATE", usual: &["31.12.2023", "1.2.2023", "29.02.2023", "2023-12-31"], reading: Reading::DateFormat("%d.%m.%Y"), meaning: means::german_date, ..DATE },
        Kind { column_type: "DATETIME", usual: MOMENTS, ..DATE_TIME },
        Kind { column_type: "DATETIME(3)", usual: MOMENTS, ..DATE_TIME },
        Kind { column_type: "DATETIME(6)", usual: MOMENTS, ..DATE_TIME },
        Kind { column_type: "DATETIME(6)", usual: MOMENTS, reading: Reading::Zone("Europe/Rome"), ..DATE_TIME },
        Kind { column_type: "TIMESTAMP", usual: MOMENTS, ..DATE_TIME },
        Kind { column_type: "TIMESTAMP(6)", usual: MOMENTS, ..DATE_TIME },
        Kind { column_type: "TIMESTAMP(6)", usual: MOMENTS, reading: Reading::Zone("America/New_York"), ..DATE_TIME },
        Kind { column_type: "TIME", usual: TIMES, source: Source::Edits("0123589-:. +TZ\n"), meaning: means::time, ..DATE_TIME },
        Kind { column_type: "TIME(3)", usual: TIMES, source: Source::Edits("0123589-:. +TZ\n"), meaning: means::time, ..DATE_TIME },
        Kind { column_type: "YEAR", usual: &["1901", "2155", "1900", "2156", "0000", "0", "69", "2024.6", "2e3"], source: Source::Edits("0129.+- e"), meaning: means::year, ..DATE },
        Kind { column_type: "CHAR(4)", usual: &["abcd", "abc ", "abcd  "], meaning: means::characters, ..TEXT },
        Kind { column_type: "VARCHAR(4)", usual: &["abcd", "abcd ", "\u{1f600}\u{e9}"], ..TEXT },
        Kind { column_type: "VARCHAR(4) CHARACTER SET utf8mb3", usual: &["abcd", "\u{1f600}\u{e9}"], ..TEXT },
        Kind { column_type: "VARCHAR(4) CHARACTER SET latin1", usual: &["abcd", "\u{20ac}\u{e9}"], ..TEXT },
        Kind { column_type: "VARCHAR(4) CHARACTER SET ascii", usual: &["abcd", "\u{e9}"], ..TEXT },
        Kind { column_type: "VARCHAR(4) CHARACTER SET cp1251", usual: &["abcd", "\u{416}\u{e9}"], ..TEXT },
        Kind { column_type: "VARCHAR(4) CHARACTER SET ucs2", usual: &["abcd", "abcd ", "\u{1f600}"], ..TEXT },
        Kind { column_type: "VARCHAR(4) CHARACTER SET swe7", usual: &["abcd", "~@"], ..TEXT },
        Kind { column_type: "TINYTEXT", usual: &["abcd"], source: Source::Long(" a\u{e9}\u{1f600}"), ..TEXT },
        Kind { column_type: "TINYTEXT CHARACTER SET utf16", usual: &["abcd"], source: Source::Long(" a\u{e9}\u{1f600}"), ..TEXT },
        Kind { column_type: "BINARY(3)", usual: &["abc", "ab", "ab\0", ""], ..BYTES },
        Kind { column_type: "VARBINARY(3)", usual: &["abc", "ab", "abc "], ..BYTES },
        Kind { column_type: "TINYBLOB", usual: &["abc"], source: Source::Long(" a\u{e9}\u{1f600}"), ..BYTES },
        Kind { column_type: "VARBINARY(3)", usual: &["0aff", "0x0aff", "\\x0A", "0g", "", "0aff00ff"], source: Source::Edits("0aFg x\\"), assigned: Some("UNHEX(@v)"), meaning: means::hex, reading: Reading::Binary(BinaryReading::Hex), ..BYTES },
        Kind { column_type: "VARBINARY(3)", usual: &["/wA=", "AAAA", "AAA", "###", "", "AAAAAAAA"], source: Source::Edits("AQ/+=-#\n"), assigned: Some("UNHEX(@v)"), meaning: means::base64, reading: Reading::Binary(BinaryReading::Base64), ..BYTES },
        Kind { column_type: "JSON", read: "CONVERT(v USING utf8mb4)", usual: JSON, source: Source::Json, meaning: super::json::meaning, canonical: super::json::canonical, is_near: means::is_any, is_json: true, ..BASE },
    ]
}
