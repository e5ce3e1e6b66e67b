use super::rows::Expected::{As, Bad, Exact, Loss};
use super::rows::{SERVERS, Table, check, ensure_table, facts, rule};
use crate::choices::BinaryReading;
use crate::dialect::Charset;
use crate::values::{
    BadKind, ColumnFacts, ColumnRule, DateFormat, DateFormatError, Field, LossKind, Readings,
    Server, Verdict,
};

#[test]
fn a_decimal_comma_is_read_in_columns_of_numbers_alone() {
    let readings = Readings { decimal_comma: true, ..Readings::default() };
    let tables: [Table; 4] = [
        (
            "decimal(12,2)",
            &[
                ("1234", Exact("1234.00")),
                ("1234,56", As("1234.56")),
                ("1.234,56", As("1234.56")),
                ("-1.234.567,8", As("-1234567.8")),
                ("1 234,56", As("1234.56")),
                ("1\u{a0}234,56", As("1234.56")),
                ("1\u{202f}234", As("1234")),
                ("1.234", As("1234")),
                (",5", As(".5")),
                ("1,234", Loss(LossKind::Decimals, "1.23")),
                ("1234.56", Bad(BadKind::NotANumber)),
                ("12.50", Bad(BadKind::NotANumber)),
                // No group of thousands begins with a zero: that is a decimal point.
                ("0.125", Bad(BadKind::NotANumber)),
                ("01.234", Bad(BadKind::NotANumber)),
                ("-000.125,5", Bad(BadKind::NotANumber)),
                ("0,125", Loss(LossKind::Decimals, "0.13")),
                ("1.234.56", Bad(BadKind::NotANumber)),
                ("1.234 567", Bad(BadKind::NotANumber)),
                ("1234.567", Bad(BadKind::NotANumber)),
                ("1,5,6", Bad(BadKind::NotANumber)),
                ("1,234.56", Bad(BadKind::NotANumber)),
                ("", Bad(BadKind::Empty)),
            ],
        ),
        ("int", &[("1.234", As("1234")), ("1,0", As("1.0")), ("1,5", Bad(BadKind::NotWhole))]),
        ("tinyint(1)", &[("true", As("1"))]),
        ("varchar(8)", &[("1.234,56", Exact("1.234,56"))]),
    ];
    ensure_table(&tables, &SERVERS, &readings);
}

fn with_format(format: &str) -> Readings {
    Readings {
        date_formats: vec![("V".to_owned(), DateFormat::new(format).unwrap())],
        ..Readings::default()
    }
}

#[test]
fn a_date_format_is_the_only_form_of_its_column() {
    for (format, text, expected) in [
        ("%d.%m.%Y", "31.12.2023", "2023-12-31 00:00:00"),
        ("%d.%m.%Y", "1.2.2023", "2023-02-01 00:00:00"),
        ("%m/%d/%y", "12/31/69", "2069-12-31 00:00:00"),
        ("%m/%d/%y", "12/31/70", "1970-12-31 00:00:00"),
        ("%d %b %Y %I:%M %p", "5 Jan 2023 12:07 AM", "2023-01-05 00:07:00"),
        ("%d %B %Y %I:%M %p", "5 january 2023 12:07 pm", "2023-01-05 12:07:00"),
        ("%FT%T%z", "2026-04-15T15:51:30+0200", "2026-04-15 13:51:30"),
        ("%Y%m%d%H%M%S", "20231231010203", "2023-12-31 01:02:03"),
        ("%s", "1700000000", "2023-11-14 22:13:20"),
    ] {
        let (verdict, sent) = check(&rule("datetime", Server::MySql, &with_format(format)), text);
        assert_eq!((verdict, sent.as_str()), (Verdict::ExactAs, expected), "{format}");
    }
    let rule_of = |format| rule("datetime(3)", Server::MySql, &with_format(format));
    let (verdict, sent) = check(&rule_of("%s.%f"), "1700000000.12345");
    assert_eq!(verdict, Verdict::Loss(LossKind::Fraction));
    assert_eq!(sent, "2023-11-14 22:13:20.123");
    for (text, kind) in [
        ("2023-12-31", BadKind::NotInFormat),
        ("31.12.23", BadKind::NotInFormat),
        ("31.12.2023x", BadKind::NotInFormat),
        ("30.02.2023", BadKind::NoSuchDate),
        ("", BadKind::Empty),
    ] {
        assert_eq!(check(&rule_of("%d.%m.%Y"), text).0, Verdict::Bad(kind), "{text}");
    }
    let (verdict, sent) = check(&rule("date", Server::MySql, &with_format("%d.%m.%Y")), "1.2.2023");
    assert_eq!((verdict, sent.as_str()), (Verdict::ExactAs, "2023-02-01"));
}

#[test]
fn a_format_that_leaves_something_open_is_refused() {
    for (format, error) in [
        ("%d.%m", DateFormatError::NoDate),
        ("%d.%m.%Y %d", DateFormatError::Twice("%d".to_owned())),
        ("%d.%m.%Y %y", DateFormatError::Twice("%y".to_owned())),
        ("%d.%m.%Y %I", DateFormatError::HalfDay),
        ("%d.%m.%Y %M", DateFormatError::Gap),
        ("%s %Y", DateFormatError::Twice("%s".to_owned())),
        ("%Q", DateFormatError::Unknown { directive: "%Q".to_owned() }),
    ] {
        assert_eq!(DateFormat::new(format), Err(error), "{format}");
    }
}

#[test]
fn hex_and_base64_are_sent_as_pairs_of_hexadecimal_digits() {
    let readings = |binary| Readings { binary, ..Readings::default() };
    let hex: [Table; 2] = [
        (
            "binary(2)",
            &[
                ("0aFF", Exact("0AFF")),
                ("0x0aff", As("0aff")),
                ("\\x0aff", As("0aff")),
                ("0a", Loss(LossKind::Padding, "0a00")),
                ("0aff00", Bad(BadKind::TooLong)),
                ("0af", Bad(BadKind::NotHex)),
                ("0g00", Bad(BadKind::NotHex)),
            ],
        ),
        ("varbinary(2)", &[("", Exact("")), ("0a", Exact("0A"))]),
    ];
    ensure_table(&hex, &SERVERS, &readings(BinaryReading::Hex));
    let base64: [Table; 1] = [(
        "blob",
        &[
            ("", Exact("")),
            ("/wA=", As("FF00")),
            ("/wA", As("FF00")),
            ("/w\nA=", As("FF00")),
            ("###", Bad(BadKind::NotBase64)),
            ("/", Bad(BadKind::NotBase64)),
        ],
    )];
    ensure_table(&base64, &SERVERS, &readings(BinaryReading::Base64));
}

#[test]
fn null_is_bad_where_the_column_does_not_take_it() {
    let charset = Charset::new("utf8mb4").unwrap();
    let nullable = ColumnFacts { is_nullable: true, ..facts("int") };
    let automatic = ColumnFacts { is_auto_increment: true, ..facts("int") };
    for (empty_as_null, empty) in
        [(false, Verdict::Bad(BadKind::Empty)), (true, Verdict::ExactNull)]
    {
        let readings = Readings { empty_as_null, ..Readings::default() };
        let check = |facts: &ColumnFacts<'_>, field| {
            ColumnRule::new(facts, Server::MySql, &charset, &readings).check(field, &mut Vec::new())
        };
        for facts in [nullable, automatic] {
            assert_eq!(check(&facts, Field::Null), Verdict::Exact);
            assert_eq!(check(&facts, Field::Bytes(b"")), empty);
        }
        for column_type in ["int", "timestamp", "varchar(3)"] {
            let facts = facts(column_type);
            assert_eq!(check(&facts, Field::Null), Verdict::Bad(BadKind::Null));
        }
        let text = ColumnFacts { is_nullable: true, ..facts("varchar(3)") };
        assert_eq!(check(&text, Field::Bytes(b"")), Verdict::Exact);
        let kind = if empty_as_null { BadKind::Null } else { BadKind::Empty };
        assert_eq!(check(&facts("int"), Field::Bytes(b"")), Verdict::Bad(kind));
    }
}
