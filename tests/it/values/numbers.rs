//! The types of numbers under test.

use super::kinds::{BASE, BIT, DECIMAL, FLOAT, Kind, Reading};

const TINY: &[&str] = &["127", "-128", "255", "0"];
const LONG_DECIMAL: &str = "12345678901234567890123456789012345.123456789012345678901234567890";
const LONGER_DECIMAL: &str = "99999999999999999999999999999999999.9999999999999999999999999999999";

/// Returns the types of numbers.
pub(super) fn kinds() -> Vec<Kind> {
    vec![
        Kind { column_type: "TINYINT", usual: TINY, ..BASE },
        Kind { column_type: "TINYINT UNSIGNED", usual: TINY, ..BASE },
        Kind {
            column_type: "TINYINT(1)",
            usual: &["true", "FALSE", "1", "-128", "t", "yes"],
            ..BASE
        },
        Kind { column_type: "SMALLINT", usual: &["32767", "-32768"], ..BASE },
        Kind { column_type: "SMALLINT UNSIGNED", usual: &["65535", "0"], ..BASE },
        Kind { column_type: "MEDIUMINT", usual: &["8388607", "-8388608"], ..BASE },
        Kind { column_type: "MEDIUMINT UNSIGNED", usual: &["16777215"], ..BASE },
        Kind { column_type: "INT", usual: &["2147483647", "-2147483648"], ..BASE },
        Kind { column_type: "INT(6) UNSIGNED ZEROFILL", usual: &["4294967295", "12"], ..BASE },
        Kind {
            column_type: "BIGINT",
            usual: &["9223372036854775807", "-9223372036854775808"],
            ..BASE
        },
        Kind { column_type: "BIGINT UNSIGNED", usual: &["18446744073709551615", "0"], ..BASE },
        Kind {
            column_type: "BIGINT",
            usual: &["1.234", "12,50", "1 234"],
            reading: Reading::DecimalComma,
            ..BASE
        },
        Kind {
            column_type: "DECIMAL(9,2)",
            usual: &["9999999.99", "-9999999.995", "1.005", "12.50 EUR", "12,50"],
            ..DECIMAL
        },
        Kind {
            column_type: "DECIMAL(5,0) UNSIGNED",
            usual: &["99999", "99999.5", "-0.4"],
            ..DECIMAL
        },
        Kind { column_type: "DECIMAL(3,3)", usual: &["0.999", "0.9995", "-.5", "1"], ..DECIMAL },
        Kind { column_type: "DECIMAL(65,30)", usual: &[LONG_DECIMAL, LONGER_DECIMAL], ..DECIMAL },
        Kind {
            column_type: "DECIMAL(12,2)",
            usual: &["1.234,56", "1 234,56", "1.234", "1,234.56", "12.50"],
            reading: Reading::DecimalComma,
            ..DECIMAL
        },
        Kind {
            column_type: "FLOAT",
            usual: &[
                "3.4028235e38",
                "3.40282346638528859812e38",
                "1e-45",
                "7e-46",
                "0.1",
                "16777217",
                "NaN",
                "Infinity",
                "-3.4028236e38",
            ],
            ..FLOAT
        },
        Kind {
            column_type: "DOUBLE",
            usual: &[
                "1.7976931348623157e308",
                "1.7976931348623159e308",
                "5e-324",
                "2e-324",
                "0.1",
                "nan",
                "inf",
                "0x1p3",
            ],
            ..FLOAT
        },
        Kind { column_type: "DOUBLE UNSIGNED", usual: &["-0", "-1e-400", "1.5"], ..FLOAT },
        Kind {
            column_type: "DOUBLE(10,3)",
            usual: &["9999999.999", "1.2345", "10000000", "1.5"],
            // The server rounds to three decimals by multiplying and dividing, so that the last
            // bit may differ. What the column shows counts.
            read: "CAST(v AS CHAR)",
            ..FLOAT
        },
        Kind { column_type: "BIT(1)", usual: &["0", "1", "true", "false", "2"], ..BIT },
        Kind { column_type: "BIT(3)", usual: &["7", "8", "\u{1}", "b'1'"], ..BIT },
        Kind {
            column_type: "BIT(64)",
            usual: &["18446744073709551615", "9223372036854775808"],
            ..BIT
        },
    ]
}
