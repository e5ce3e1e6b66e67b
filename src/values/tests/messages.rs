use strum::IntoEnumIterator as _;

use super::rows::{check, facts, rule};
use crate::dialect::Charset;
use crate::values::{BadKind, ColumnFacts, ColumnRule, Field, LossKind, Readings, Server, Verdict};

fn bad(column_type: &str, text: &str) -> String {
    let rule = rule(column_type, Server::MySql, &Readings::default());
    match check(&rule, text).0 {
        Verdict::Bad(kind) => rule.describe_bad(kind, Field::Bytes(text.as_bytes())),
        other => format!("{other:?}"),
    }
}

fn hints(column_type: &str, text: &str) -> Vec<String> {
    let rule = rule(column_type, Server::MySql, &Readings::default());
    match check(&rule, text).0 {
        Verdict::Bad(kind) => rule
            .remedies(kind, Field::Bytes(text.as_bytes()))
            .into_iter()
            .map(|remedy| remedy.line("v"))
            .collect(),
        other => vec![format!("{other:?}")],
    }
}

#[test]
fn a_message_names_column_type_value_and_reason() {
    for (column_type, text, expected) in [
        ("tinyint(4)", "true", "column v (tinyint): 'true' is not an integer"),
        ("tinyint", "200", "column v (tinyint): '200' is out of range: -128 to 127"),
        (
            "bigint unsigned",
            "-1",
            "column v (bigint unsigned): '-1' is out of range: 0 to \
                                   18446744073709551615",
        ),
        ("int", "1.9", "column v (int): '1.9' is not a whole number"),
        ("int", "", "column v (int): the field is empty"),
        ("decimal(9,2)", "12,50", "column v (decimal(9,2)): '12,50' is not a number"),
        ("bit(8)", "x", "column v (bit(8)): 'x' is not a number for 8 bits"),
        (
            "enum('a','b''c')",
            "2",
            "column v (enum): '2' is no label, and not taken for the number \
                                   of one; the labels are 'a', 'b'c'",
        ),
        ("enum('a')", "", "column v (enum): the field is empty; the labels are 'a'"),
        (
            "varchar(2)",
            "a\nb\u{1b}",
            "column v (varchar(2)): 'a\\nb\\u{1b}' has more than 2 \
                                      characters",
        ),
        (
            "time",
            "530",
            "column v (time): '530' has more than one reading: a time must have a \
                         colon, as in hh:mm:ss",
        ),
    ] {
        assert_eq!(bad(column_type, text), expected);
    }
    let long = bad("int", &"x".repeat(100));
    assert_eq!(long, format!("column v (int): '{}...' is not an integer", "x".repeat(60)));
}

#[test]
fn every_reason_has_words_of_its_own() {
    let rule = rule("int", Server::MySql, &Readings::default());
    let bad: Vec<String> =
        BadKind::iter().map(|kind| rule.describe_bad(kind, Field::Bytes(b"x"))).collect();
    let lost: Vec<String> =
        LossKind::iter().map(|kind| rule.describe_loss(kind, Field::Bytes(b"x"))).collect();
    let mut all: Vec<&String> = bad.iter().chain(&lost).collect();
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count, "{all:#?}");
}

#[test]
fn each_reading_of_a_text_has_its_remedy() {
    for (column_type, text, words) in [
        ("decimal(9,2)", "1,234", &["--decimal-comma", "thousands"][..]),
        ("decimal(9,2)", "1.234,56", &["--decimal-comma"]),
        ("decimal(9,2)", "1,234.56", &["thousands"]),
        ("decimal(9,2)", "12.50 EUR", &["SUBSTRING_INDEX"]),
        ("int", "true", &["TINYINT(1)"]),
        ("int", "1.5", &["ROUND"]),
        ("int", "\\N", &["--null-string '\\N'"]),
        ("int", "NULL", &["--null-string 'NULL'"]),
        ("date", "03/04/05", &["v=%m/%d/%y", "v=%d/%m/%y"]),
        ("date", "12/31/2023", &["v=%m/%d/%Y"]),
        ("date", "31.12.2023", &["v=%d.%m.%Y"]),
        ("date", "31-12-23", &["v=%y-%m-%d", "v=%d-%m-%y"]),
        ("date", "2023-12-31\rx", &[]),
        ("datetime", "1700000000", &["v=%s"]),
        ("datetime", "20231231010203", &["v=%Y%m%d%H%M%S"]),
        ("time", "05.30", &["minutes and seconds", "hours and minutes"]),
        ("binary(2)", "0a0b", &["--binary hex"]),
        ("binary(2)", "/wA=", &["--binary base64"]),
        ("date", "2023-12-31T00:00:00Z", &["LEFT"]),
    ] {
        let lines = hints(column_type, text);
        assert_eq!(lines.len(), words.len(), "{text}: {lines:?}");
        for (line, word) in lines.iter().zip(words) {
            assert!(line.contains(word) && !line.contains('\n'), "{text}: {line}");
        }
    }
}

#[test]
fn an_empty_field_can_be_null_only_where_the_column_takes_it() {
    let charset = Charset::new("utf8mb4").unwrap();
    for (is_nullable, word) in [(true, "--empty-as-null"), (false, "COALESCE")] {
        let facts = ColumnFacts { is_nullable, ..facts("int") };
        let rule = ColumnRule::new(&facts, Server::MySql, &charset, &Readings::default());
        let lines = rule.remedies(BadKind::Empty, Field::Bytes(b""));
        assert!(lines.len() == 1 && lines[0].line("v").contains(word), "{lines:?}");
    }
}
