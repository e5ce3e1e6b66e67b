//! The types of labels, dates, texts and bytes under test.

use s3_to_mysql::choices::BinaryReading;

use super::generate::Source;
use super::kinds::{BASE, BYTES, DATE, DATE_TIME, Kind, LABELS, Reading, TEXT};
use super::meaning as means;

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

/// Returns the types that are not numbers.
pub(super) fn kinds() -> Vec<Kind> {
    vec![
        Kind {
            column_type: "ENUM('low','mid','high')",
            usual: &["low", "MID", "2", "02", " 2", "low ", "", "0", "l\u{f6}w"],
            ..LABELS
        },
        Kind {
            column_type: "ENUM('low','mid','high') COLLATE utf8mb4_bin",
            usual: &["low", "MID", "2", "low "],
            ..LABELS
        },
        Kind {
            column_type: "ENUM('10','20','it''s','') COLLATE utf8mb4_general_ci",
            usual: &["10", "2", "20", "it's", "", "4"],
            ..LABELS
        },
        Kind {
            column_type: "ENUM('a','\u{e9}','b') CHARACTER SET latin1",
            usual: &["a", "\u{e9}", "E", "2", "\u{c9}", "\u{416}"],
            ..LABELS
        },
        Kind {
            column_type: "SET('a','b','c')",
            usual: &["a", "c,a", "", "5", "a,x", "a,", "a ,b", "A,B"],
            ..LABELS
        },
        Kind {
            column_type: "SET('1','2','4') COLLATE utf8mb4_general_ci",
            usual: &["1", "2,4", "3", "7", "1,1"],
            ..LABELS
        },
        Kind { column_type: "DATE", usual: DAYS, ..DATE },
        Kind {
            column_type: "DATE",
            usual: &["31.12.2023", "1.2.2023", "29.02.2023", "2023-12-31"],
            reading: Reading::DateFormat("%d.%m.%Y"),
            meaning: means::german_date,
            ..DATE
        },
        Kind { column_type: "DATETIME", usual: MOMENTS, ..DATE_TIME },
        Kind { column_type: "DATETIME(3)", usual: MOMENTS, ..DATE_TIME },
        Kind { column_type: "DATETIME(6)", usual: MOMENTS, ..DATE_TIME },
        Kind {
            column_type: "DATETIME(6)",
            usual: MOMENTS,
            reading: Reading::Zone("Europe/Rome"),
            ..DATE_TIME
        },
        Kind { column_type: "TIMESTAMP", usual: MOMENTS, ..DATE_TIME },
        Kind { column_type: "TIMESTAMP(6)", usual: MOMENTS, ..DATE_TIME },
        Kind {
            column_type: "TIMESTAMP(6)",
            usual: MOMENTS,
            reading: Reading::Zone("America/New_York"),
            ..DATE_TIME
        },
        Kind {
            column_type: "TIME",
            usual: TIMES,
            source: Source::Edits("0123589-:. +TZ\n"),
            meaning: means::time,
            ..DATE_TIME
        },
        Kind {
            column_type: "TIME(3)",
            usual: TIMES,
            source: Source::Edits("0123589-:. +TZ\n"),
            meaning: means::time,
            ..DATE_TIME
        },
        Kind {
            column_type: "YEAR",
            usual: &["1901", "2155", "1900", "2156", "0000", "0", "69", "2024.6", "2e3"],
            source: Source::Edits("0129.+- e"),
            meaning: means::year,
            ..DATE
        },
        Kind {
            column_type: "CHAR(4)",
            usual: &["abcd", "abc ", "abcd  "],
            meaning: means::characters,
            ..TEXT
        },
        Kind { column_type: "VARCHAR(4)", usual: &["abcd", "abcd ", "\u{1f600}\u{e9}"], ..TEXT },
        Kind {
            column_type: "VARCHAR(4) CHARACTER SET utf8mb3",
            usual: &["abcd", "\u{1f600}\u{e9}"],
            ..TEXT
        },
        Kind {
            column_type: "VARCHAR(4) CHARACTER SET latin1",
            usual: &["abcd", "\u{20ac}\u{e9}"],
            ..TEXT
        },
        Kind { column_type: "VARCHAR(4) CHARACTER SET ascii", usual: &["abcd", "\u{e9}"], ..TEXT },
        Kind {
            column_type: "VARCHAR(4) CHARACTER SET cp1251",
            usual: &["abcd", "\u{416}\u{e9}"],
            ..TEXT
        },
        Kind {
            column_type: "VARCHAR(4) CHARACTER SET ucs2",
            usual: &["abcd", "abcd ", "\u{1f600}"],
            ..TEXT
        },
        Kind { column_type: "VARCHAR(4) CHARACTER SET swe7", usual: &["abcd", "~@"], ..TEXT },
        Kind {
            column_type: "TINYTEXT",
            usual: &["abcd"],
            source: Source::Long(" a\u{e9}\u{1f600}"),
            ..TEXT
        },
        Kind {
            column_type: "TINYTEXT CHARACTER SET utf16",
            usual: &["abcd"],
            source: Source::Long(" a\u{e9}\u{1f600}"),
            ..TEXT
        },
        Kind { column_type: "BINARY(3)", usual: &["abc", "ab", "ab\0", ""], ..BYTES },
        Kind { column_type: "VARBINARY(3)", usual: &["abc", "ab", "abc "], ..BYTES },
        Kind {
            column_type: "TINYBLOB",
            usual: &["abc"],
            source: Source::Long(" a\u{e9}\u{1f600}"),
            ..BYTES
        },
        Kind {
            column_type: "VARBINARY(3)",
            usual: &["0aff", "0x0aff", "\\x0A", "0g", "", "0aff00ff"],
            source: Source::Edits("0aFg x\\"),
            assigned: Some("UNHEX(@v)"),
            meaning: means::hex,
            reading: Reading::Binary(BinaryReading::Hex),
            ..BYTES
        },
        Kind {
            column_type: "VARBINARY(3)",
            usual: &["/wA=", "AAAA", "AAA", "###", "", "AAAAAAAA"],
            source: Source::Edits("AQ/+=-#\n"),
            assigned: Some("UNHEX(@v)"),
            meaning: means::base64,
            reading: Reading::Binary(BinaryReading::Base64),
            ..BYTES
        },
        Kind {
            column_type: "JSON",
            read: "CONVERT(v USING utf8mb4)",
            usual: JSON,
            source: Source::Json,
            meaning: super::json::meaning,
            canonical: super::json::canonical,
            is_near: means::is_any,
            is_json: true,
            ..BASE
        },
    ]
}
