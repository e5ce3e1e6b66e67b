//! Texts that no rule reads are texts that the rule calls exact.

use proptest::prelude::*;

use super::rows::{SERVERS, rule};
use crate::values::{Field, Readings, Verdict};

const TYPES: [&str; 26] = [
    "tinyint",
    "tinyint unsigned",
    "tinyint(1)",
    "smallint",
    "smallint unsigned",
    "mediumint",
    "mediumint unsigned",
    "int",
    "int unsigned",
    "bigint",
    "bigint unsigned",
    "decimal(5,2)",
    "decimal(5,2) unsigned",
    "decimal(3,3)",
    "decimal(65,0)",
    "decimal(12,2)",
    "float",
    "double",
    "double unsigned",
    "float(5,2)",
    "date",
    "datetime",
    "datetime(3)",
    "timestamp",
    "timestamp(6)",
    "varchar(5)",
];

proptest! {
    #[test]
    fn an_ordinary_text_is_exact(
        text in prop_oneof![
            "-?[0-9]{0,21}",
            "[-+]?[0-9]{0,4}[.,]?[0-9]{0,4}",
            "[0-9]{10,22}\\.[0-9]{10,22}",
            "[0-2][0-9]{3}-[01][0-9]-[0-3][0-9]",
            "(19[67][0-9]|20[034][0-9])-[01][0-9]-[0-3][0-9][ T][0-2][0-9]:[0-6][0-9]:[0-6][0-9]",
            "2026-01-31 23:59:5[0-9.:;/ ]",
            "[0-9/:;.\\- ]{0,12}",
            "\\PC{0,8}",
        ],
        with_zone in any::<bool>(),
    ) {
        let mut readings = Readings::default();
        if with_zone {
            readings.time_zone = Readings::time_zone_named("Europe/Berlin").unwrap();
        }
        for server in SERVERS {
            for column_type in TYPES {
                let rule = rule(column_type, server, &readings);
                if rule.ordinary().takes(text.as_bytes()) {
                    let mut out = Vec::new();
                    let verdict = rule.check(Field::Bytes(text.as_bytes()), &mut out);
                    prop_assert_eq!(verdict, Verdict::Exact, "{} {:?}", column_type, &text);
                    prop_assert!(out.is_empty());
                }
            }
        }
    }
}

#[test]
fn the_usual_texts_are_ordinary() {
    for (column_type, text) in [
        ("int", "4711"),
        ("bigint", "-123456789012345678"),
        ("decimal(12,2)", "12345.67"),
        ("decimal(12,2)", "12345.6"),
        ("decimal(12,2)", "12345"),
        ("double", "3.14159265"),
        ("date", "2026-01-28"),
        ("datetime", "2026-01-28 23:59:58"),
        ("timestamp", "2026-01-28 23:59:58"),
        ("varchar(5)", "abcde"),
    ] {
        for server in SERVERS {
            let rule = rule(column_type, server, &Readings::default());
            assert!(rule.ordinary().takes(text.as_bytes()), "{column_type} {text}");
        }
    }
}
