use crate::values::{ColumnType, IntegerSize};

#[test]
fn the_types_of_both_servers_are_understood() {
    let integer =
        |size, is_unsigned, is_boolean| ColumnType::Integer { size, is_unsigned, is_boolean };
    let labels = |labels: &[&str]| labels.iter().map(|&label| label.to_owned()).collect();
    for (text, expected) in [
        ("tinyint(1)", integer(IntegerSize::Tiny, false, true)),
        ("tinyint", integer(IntegerSize::Tiny, false, false)),
        ("int(10) unsigned zerofill", integer(IntegerSize::Int, true, false)),
        ("int unsigned", integer(IntegerSize::Int, true, false)),
        ("mediumint(9)", integer(IntegerSize::Medium, false, false)),
        ("bigint(20)", integer(IntegerSize::Big, false, false)),
        (
            "decimal(9,2) unsigned zerofill",
            ColumnType::Decimal { precision: 9, scale: 2, is_unsigned: true },
        ),
        (
            "double(10,3)",
            ColumnType::Float { is_double: true, digits: Some((10, 3)), is_unsigned: false },
        ),
        ("float", ColumnType::Float { is_double: false, digits: None, is_unsigned: false }),
        ("bit(16)", ColumnType::Bit(16)),
        (
            r"enum('a','b''c','d,e','x\\y','(',')')",
            ColumnType::Enum(labels(&["a", "b'c", "d,e", "x\\y", "(", ")"])),
        ),
        (r"set('a\nb')", ColumnType::Set(labels(&["a\nb"]))),
        ("date", ColumnType::Date),
        ("datetime(6)", ColumnType::DateTime { fraction_digits: 6 }),
        ("timestamp", ColumnType::Timestamp { fraction_digits: 0 }),
        ("time(2)", ColumnType::Time { fraction_digits: 2 }),
        ("year", ColumnType::Year),
        ("year(4)", ColumnType::Year),
        ("varchar(20)", ColumnType::Characters(20)),
        ("mediumtext", ColumnType::Text(16_777_215)),
        ("binary(3)", ColumnType::FixedBinary(3)),
        ("tinyblob", ColumnType::Binary(255)),
        ("json", ColumnType::Json),
    ] {
        assert_eq!(ColumnType::parse(text), expected, "{text}");
    }
    for text in [
        "uuid",
        "inet6",
        "vector(3)",
        "point",
        "year(2)",
        "enum('a'",
        "decimal(2,3)",
        "float(x)",
        "",
    ] {
        assert_eq!(ColumnType::parse(text), ColumnType::Other, "{text}");
    }
}
