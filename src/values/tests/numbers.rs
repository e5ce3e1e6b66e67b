use super::rows::Expected::{As, Bad, Exact, Loss};
use super::rows::{SERVERS, Table, check, ensure_table, rule};
use crate::values::{BadKind, LossKind, Readings, Server, Verdict};

pub(super) const INTEGERS: [Table; 7] = [
    (
        "tinyint",
        &[
            ("127", Exact("127")),
            ("-128", Exact("-128")),
            ("+5", Exact("5")),
            ("007", Exact("7")),
            ("-0", Exact("0")),
            ("1.0", Exact("1")),
            ("1.", Exact("1")),
            (".0", Exact("0")),
            ("1e2", As("100")),
            ("1.27e2", As("127")),
            ("1270e-1", As("127")),
            ("0e999", As("0")),
            ("128", Bad(BadKind::OutOfRange)),
            ("-129", Bad(BadKind::OutOfRange)),
            ("1e99999999999999999999", Bad(BadKind::OutOfRange)),
            ("127.4", Bad(BadKind::NotWhole)),
            ("1e-1", Bad(BadKind::NotWhole)),
            ("1e-99999999999999999999", Bad(BadKind::NotWhole)),
            ("", Bad(BadKind::Empty)),
            (" ", Bad(BadKind::Empty)),
            ("true", Bad(BadKind::NotAnInteger)),
            ("1e", Bad(BadKind::NotAnInteger)),
            ("--1", Bad(BadKind::NotAnInteger)),
            ("- 1", Bad(BadKind::NotAnInteger)),
            ("1,0", Bad(BadKind::NotAnInteger)),
            ("0x10", Bad(BadKind::NotAnInteger)),
            ("1\0", Bad(BadKind::NotAnInteger)),
            ("\u{661}", Bad(BadKind::NotAnInteger)),
            ("\u{a0}1", Bad(BadKind::NotAnInteger)),
            (".", Bad(BadKind::NotAnInteger)),
            ("-", Bad(BadKind::NotAnInteger)),
        ],
    ),
    (
        "tinyint(1)",
        &[
            ("1", Exact("1")),
            ("127", Exact("127")),
            ("true", As("1")),
            ("FALSE", As("0")),
            (" True ", As("1")),
            ("t", Bad(BadKind::NotAnInteger)),
            ("yes", Bad(BadKind::NotAnInteger)),
        ],
    ),
    (
        "bigint(20)",
        &[
            ("9223372036854775807", Exact("9223372036854775807")),
            ("9223372036854775807.0", Exact("9223372036854775807")),
            ("-9223372036854775808", Exact("-9223372036854775808")),
            ("0.9223372036854775807e19", As("9223372036854775807")),
            ("9223372036854775808", Bad(BadKind::OutOfRange)),
            ("-9223372036854775809", Bad(BadKind::OutOfRange)),
            ("9223372036854775807.1", Bad(BadKind::NotWhole)),
        ],
    ),
    (
        "bigint(20) unsigned",
        &[
            ("18446744073709551615", Exact("18446744073709551615")),
            ("-0", Exact("0")),
            ("18446744073709551616", Bad(BadKind::OutOfRange)),
            ("-1", Bad(BadKind::OutOfRange)),
        ],
    ),
    ("int(6) unsigned zerofill", &[("12", Exact("000012")), ("-1", Bad(BadKind::OutOfRange))]),
    (
        "bit(3)",
        &[
            ("0", Exact("0")),
            ("7", Exact("7")),
            ("007", Exact("7")),
            ("7.0", As("7")),
            ("+7", As("7")),
            (" 7", As("7")),
            ("-0", As("0")),
            ("1e0", As("1")),
            ("8", Bad(BadKind::OutOfRange)),
            ("-1", Bad(BadKind::OutOfRange)),
            ("0.5", Bad(BadKind::NotWhole)),
            ("true", Bad(BadKind::NotBits)),
            ("b'1'", Bad(BadKind::NotBits)),
            ("\u{1}", Bad(BadKind::NotBits)),
            ("", Bad(BadKind::Empty)),
        ],
    ),
    (
        "bit(1)",
        &[
            ("1", Exact("1")),
            ("true", As("1")),
            ("False", As("0")),
            ("2", Bad(BadKind::OutOfRange)),
        ],
    ),
];

pub(super) const DECIMALS: [Table; 5] = [
    (
        "decimal(9,2)",
        &[
            ("1", Exact("1.00")),
            ("-1.5", Exact("-1.50")),
            ("1.500", Exact("1.50")),
            (".5", Exact("0.50")),
            ("5.", Exact("5.00")),
            ("-0.00", Exact("0.00")),
            ("9999999.99", Exact("9999999.99")),
            ("0009999999.990", Exact("9999999.99")),
            ("1e3", As("1000")),
            ("15e-1", As("1.5")),
            ("1.505", Loss(LossKind::Decimals, "1.51")),
            ("-1.505", Loss(LossKind::Decimals, "-1.51")),
            ("1.004", Loss(LossKind::Decimals, "1.00")),
            ("-0.001", Loss(LossKind::Decimals, "0.00")),
            ("0.995", Loss(LossKind::Decimals, "1.00")),
            ("1e-400", Loss(LossKind::Decimals, "0.00")),
            ("9999999.994", Loss(LossKind::Decimals, "9999999.99")),
            ("9999999.995", Bad(BadKind::OutOfRange)),
            ("10000000", Bad(BadKind::OutOfRange)),
            ("1e400", Bad(BadKind::OutOfRange)),
            ("12,50", Bad(BadKind::NotANumber)),
            ("12.50 EUR", Bad(BadKind::NotANumber)),
            ("1.234,56", Bad(BadKind::NotANumber)),
            ("NaN", Bad(BadKind::NotFinite)),
            ("", Bad(BadKind::Empty)),
            ("1e", Bad(BadKind::NotANumber)),
            ("1\0", Bad(BadKind::NotANumber)),
        ],
    ),
    ("decimal(9,2) unsigned", &[("-0", Exact("0.00")), ("-0.001", Bad(BadKind::OutOfRange))]),
    ("decimal(5,0)", &[("99999", Exact("99999")), ("99999.5", Bad(BadKind::OutOfRange))]),
    (
        "decimal(2,2)",
        &[("0.99", Exact("0.99")), (".99", Exact("0.99")), ("0.995", Bad(BadKind::OutOfRange))],
    ),
    (
        "decimal(65,30)",
        &[(
            "0.1234567890123456789012345678901",
            Loss(LossKind::Decimals, "0.123456789012345678901234567890"),
        )],
    ),
];

pub(super) const FLOATS: [Table; 4] = [
    (
        "double",
        &[
            ("1", Exact("1")),
            ("0.1", Exact("0.1")),
            ("-1.5e300", Exact("-1.5e300")),
            ("5e-324", Exact("5e-324")),
            ("0e999", As("0")),
            ("1e-400", Loss(LossKind::Underflow, "0")),
            ("1e309", Bad(BadKind::OutOfRange)),
            ("NaN", Bad(BadKind::NotFinite)),
            ("-Infinity", Bad(BadKind::NotFinite)),
            ("1,5", Bad(BadKind::NotANumber)),
            ("1e", Bad(BadKind::NotANumber)),
            ("", Bad(BadKind::Empty)),
        ],
    ),
    (
        "float",
        &[
            ("0.1", Exact("0.1")),
            ("16777217", Exact("16777200")),
            ("3.4028234e38", Exact("3.40282e38")),
            ("1e-45", Exact("1.4013e-45")),
            ("3.4028235e38", As("340282346638528860000000000000000000000")),
            ("-3.4028235e38", As("-340282346638528860000000000000000000000")),
            ("1e-46", Loss(LossKind::Underflow, "0")),
            ("3.5e38", Bad(BadKind::OutOfRange)),
            ("1e400", Bad(BadKind::OutOfRange)),
        ],
    ),
    (
        "float(7,3)",
        &[
            ("1.234", Exact("1.234")),
            ("9999.999", Exact("9999.999")),
            ("1.2345", Loss(LossKind::Decimals, "1.2345")),
            ("10000", Bad(BadKind::OutOfRange)),
        ],
    ),
    ("double unsigned", &[("-0", Exact("0")), ("-1", Bad(BadKind::OutOfRange))]),
];

#[test]
fn integers_and_bits_are_whole_numbers_in_range() {
    ensure_table(&INTEGERS, &SERVERS, &Readings::default());
}

#[test]
fn decimals_are_numbers_from_end_to_end() {
    ensure_table(&DECIMALS, &SERVERS, &Readings::default());
}

#[test]
fn floats_are_the_nearest_value() {
    ensure_table(&FLOATS, &SERVERS, &Readings::default());
}

#[test]
fn blanks_around_numbers_are_sent_only_to_a_server_that_takes_them_silently() {
    for column_type in ["int", "decimal(5,1)", "double"] {
        for (text, mysql, mariadb) in [
            (" 1", Verdict::Exact, Verdict::Exact),
            ("1 ", Verdict::Exact, Verdict::ExactAs),
            ("1\r", Verdict::Exact, Verdict::ExactAs),
            ("\r1", Verdict::ExactAs, Verdict::Exact),
            (" 1 ", Verdict::Exact, Verdict::ExactAs),
        ] {
            for (server, expected) in [(Server::MySql, mysql), (Server::MariaDb, mariadb)] {
                let (verdict, sent) = check(&rule(column_type, server, &Readings::default()), text);
                assert_eq!(verdict, expected, "{column_type} {text:?} {server:?}");
                assert!(matches!(sent.as_str(), "" | "1"), "{sent}");
            }
        }
    }
}

/// Compares with the arithmetic of `i128` around every power of two and of ten.
#[test]
fn integers_agree_with_wider_arithmetic_around_all_boundaries() {
    let sizes = [("tinyint", 8), ("smallint", 16), ("mediumint", 24), ("int", 32), ("bigint", 64)];
    let powers = (0..=66).map(|power| 1_i128 << power);
    let tens = (0..=21).map(|power| 10_i128.pow(power));
    let around = powers.chain(tens).flat_map(|power| (-2..=2).map(move |more| power + more));
    let values: Vec<i128> = around.flat_map(|value| [value, -value]).collect();
    for (name, bits) in sizes {
        for (suffix, range) in
            [("", -(1_i128 << (bits - 1))..1_i128 << (bits - 1)), (" unsigned", 0..1_i128 << bits)]
        {
            let rule = rule(&format!("{name}{suffix}"), Server::MySql, &Readings::default());
            for value in &values {
                let expected = if range.contains(value) {
                    Verdict::Exact
                } else {
                    Verdict::Bad(BadKind::OutOfRange)
                };
                assert_eq!(check(&rule, &value.to_string()).0, expected, "{name} {value}");
                assert_eq!(check(&rule, &format!("{value}.00")).0, expected, "{name} {value}");
            }
        }
    }
}
