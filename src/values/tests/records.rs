//! Lines of JSON: the values that go to columns and variables.

use std::fmt::Write as _;

use proptest::prelude::*;
use serde_json::{Map, Value};

use super::rows::rule;
use crate::dialect::{
    Charset, ColumnOrVariable, ExtraColumns, FormatConfig, JsonFormat, JsonLayout, MissingKeys,
    NameConfig, Preset,
};
use crate::split::{CutRow, Field, FieldReader};
use crate::values::{Readings, Rewriting, RowRules, Server};

/// Returns the rules for columns of a type, and for variables, some with paths.
fn rules(column_type: &str, items: &[(&str, Option<&str>)], extra: ExtraColumns) -> RowRules {
    let item = |name: &str| match name.strip_prefix('@') {
        Some(variable) => ColumnOrVariable::Variable(variable.to_owned()),
        None => ColumnOrVariable::Column(name.to_owned()),
    };
    let columns: Vec<ColumnOrVariable> = items.iter().map(|(name, _)| item(name)).collect();
    let fields =
        items.iter().filter_map(|(name, path)| Some((item(name), path.as_ref()?.parse().unwrap())));
    let json = JsonFormat {
        layout: JsonLayout::Lines,
        fields: fields.collect(),
        extra_columns: extra,
        missing_keys: MissingKeys::Null,
    };
    let format = FormatConfig {
        names: NameConfig::default(),
        dialect: Preset::Mysql.dialect(),
        json: Some(json),
        parquet: None,
        charset: Charset::default(),
        ignore_lines: 0,
        columns: None,
        set: Vec::new(),
        null_strings: Vec::new(),
        readings: Vec::new(),
    };
    let rules = RowRules::new(&columns, &format, false, |_| {
        Some(rule(column_type, Server::MySql, &Readings::default()))
    });
    let table = crate::sql_text::TableName { database: None, table: "t".to_owned() };
    rules.with_table_columns(table, ["known"])
}

/// Returns the fields that the server gets.
fn sent(rules: &RowRules, items: usize, line: &str) -> Vec<Option<String>> {
    let mut out = Vec::new();
    rules.rewrite(&CutRow::whole(line.as_bytes()), &mut out);
    assert!(!out.contains(&b'\n'), "{}", out.escape_ascii());
    let fields = FieldReader::new(&Preset::Mysql.dialect(), items).read(&CutRow::whole(&out));
    let text = |field: Field<'_>| match field {
        Field::Missing => panic!("a field is missing"),
        Field::Null => None,
        Field::Value(value) => Some(String::from_utf8(value.into_owned()).unwrap()),
    };
    fields.into_iter().map(text).collect()
}

fn is_bad(rules: &RowRules, line: &str) -> bool {
    let is_bad = rules.judge(&CutRow::whole(line.as_bytes()), &mut Vec::new()).is_bad;
    assert_eq!(is_bad, !rules.faults(line.as_bytes()).is_empty(), "{line}");
    is_bad
}

#[test]
fn paths_lead_to_members_and_elements() {
    let items = [
        ("@whole", Some("$")),
        ("@a", Some("$.a.b")),
        ("@b", Some("$.a['x y'][1]")),
        ("@c", Some("$.a")),
        ("@a2", Some("$.a.b")),
    ];
    let rules = rules("text", &items, ExtraColumns::Ignore);
    let of = |line: &str| sent(&rules, items.len(), line);
    let some = |text: &str| Some(text.to_owned());
    let line = r#"{"z":0, "a": {"b":1.50,"x y":[0,"\u00e9\n"]}}"#;
    assert_eq!(
        of(&format!("  {line}\r")),
        [
            some(line),
            some("1.50"),
            some("é\n"),
            some(r#"{"b":1.50,"x y":[0,"\u00e9\n"]}"#),
            some("1.50")
        ]
    );
    for line in ["{}", r#"{"a":null}"#, r#"{"a":{"b":null,"x y":[1]}}"#, r#"{"a":{"x y":{}}}"#] {
        assert_eq!([&of(line)[1], &of(line)[2], &of(line)[4]], [&None, &None, &None], "{line}");
    }
    assert!(is_bad(&rules, r#"{"a":{"b":1,"b":1}}"#));
    assert!(is_bad(&rules, r#"{"a":{},"a":{}}"#));
    assert!(!is_bad(&rules, r#"{"a":{"c":1,"c":1},"z":1,"z":2}"#));
}

#[test]
fn keys_match_exactly_or_without_case() {
    let items = [("id", None), ("Name", None), ("@v", None)];
    let rules = rules("text", &items, ExtraColumns::Error);
    let of = |line: &str| sent(&rules, items.len(), line);
    let some = |text: &str| Some(text.to_owned());
    for line in [
        r#"{"id":"1","Name":"2","v":"3"}"#,
        r#"{"v":"3","NAME":"2","Id":"1"}"#,
        r#"{"KNOWN":0,"\u0069d":"1","name":"2","V":"3"}"#,
    ] {
        assert_eq!(of(line), [some("1"), some("2"), some("3")], "{line}");
        assert!(!is_bad(&rules, line), "{line}");
    }
    assert!(is_bad(&rules, r#"{"id":"1","ID":"1"}"#));
    assert!(is_bad(&rules, r#"{"id":"1","idx":"1"}"#));
}

proptest! {
    #[test]
    fn texts_arrive_as_they_are(
        texts in proptest::collection::vec(any::<String>(), 3),
        is_ascii in any::<bool>(),
    ) {
        let items = [("a", None), ("b", None), ("@c", None)];
        let rules = rules("longtext", &items, ExtraColumns::Error);
        let members = ["a", "b", "c"].into_iter().zip(texts.iter().cloned().map(Value::from));
        let record: Map<String, Value> =
            members.map(|(name, value)| (name.to_owned(), value)).collect();
        let mut line = Value::Object(record).to_string();
        if is_ascii {
            let mut escaped = String::new();
            for character in line.chars() {
                if character.is_ascii() {
                    escaped.push(character);
                    continue;
                }
                for unit in character.encode_utf16(&mut [0; 2]) {
                    write!(escaped, "\\u{unit:04x}").unwrap();
                }
            }
            line = escaped;
        }
        prop_assert!(!is_bad(&rules, &line));
        let expected: Vec<Option<String>> = texts.into_iter().map(Some).collect();
        prop_assert_eq!(sent(&rules, 3, &line), expected);
    }

    #[test]
    fn a_line_is_bad_unless_another_reader_takes_it(text in r#"[{}\[\]",:0-9a-z\\ .-]{0,20}"#) {
        let rules = rules("text", &[("a", None)], ExtraColumns::Ignore);
        let is_object = serde_json::from_str::<Value>(&text).is_ok_and(|value| value.is_object());
        // The other reader keeps the last of two values.
        if !is_bad(&rules, &text) {
            prop_assert!(is_object, "{}", text);
        }
        let line = format!("{{\"a\":\"{}\"}}", text.replace(['\\', '"'], "x"));
        prop_assert!(!is_bad(&rules, &line));
    }

    #[test]
    fn values_without_another_text_are_copied_as_the_rules_write_them(
        column_type in prop::sample::select(vec![
            "int", "tinyint unsigned", "decimal(6,2)", "double", "varchar(4)", "longtext", "date",
            "datetime", "timestamp", "json", "bit(8)", "year", "time", "binary(3)",
            "enum('a','1')",
        ]),
        values in proptest::collection::vec(record_value(), 2),
    ) {
        let items = [("a", None), ("b", None)];
        let rules = rules(column_type, &items, ExtraColumns::Error);
        let line = format!("{{\"a\":{},\"b\":{}}}", values[0], values[1]);
        let row = CutRow::whole(line.as_bytes());
        let verdict = rules.judge(&row, &mut Vec::new());
        let is_faultless = rules.faults(line.as_bytes()).is_empty();
        prop_assert_eq!(is_faultless, !verdict.is_bad && !verdict.is_noted, "{}", line);
        if !verdict.is_bad && verdict.rewriting == Rewriting::Form {
            let (mut by_rules, mut copied) = (Vec::new(), Vec::new());
            rules.rewrite(&row, &mut by_rules);
            rules.copy_texts(&row, &mut copied);
            prop_assert_eq!(by_rules, copied, "{} as {}", line, column_type);
        }
    }
}

/// Returns JSON values, many of them of the kind that columns have.
fn record_value() -> impl Strategy<Value = String> {
    let number = "-?(0|[1-9][0-9]{0,8})([.][0-9]{1,3})?(e[0-9])?";
    let time =
        "(19[67]|20[0-3])[0-9]-[01][0-9]-[0-3][0-9]([ T][0-2][0-9]:[0-5][0-9]:[0-5][0-9]Z?)?";
    prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|word| word.to_string()),
        number.prop_map(|text| text),
        number.prop_map(|text| format!("\"{text}\"")),
        time.prop_map(|text| format!("\"{text}\"")),
        ".{0,6}".prop_map(|text| Value::from(text).to_string()),
        "[a1 ]{0,3}".prop_map(|text| format!("\"{text}\"")),
        Just("{\"x\":[1]}".to_owned()),
    ]
}
