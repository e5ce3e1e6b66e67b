//! The records of texts, and what is broken in them.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn records(path: &[&str], text: &[u8], chunk: usize) -> Result<String, BrokenJson> {
    let mut records = Records::new(path.iter().map(|&name| name.to_owned()).collect());
    let mut lines = Vec::new();
    for chunk in text.chunks(chunk) {
        records.read(chunk, &mut lines)?;
    }
    records.finish()?;
    Ok(String::from_utf8(lines).unwrap())
}

fn broken(path: &[&str], text: &str) -> (u64, &'static str) {
    let error = records(path, text.as_bytes(), 1).unwrap_err();
    (error.offset, error.what)
}

#[test]
fn records_stand_one_after_the_other_or_in_an_array() {
    for (text, expected) in [
        ("", ""),
        (" \n", ""),
        ("[]", ""),
        ("{}{}", "{}\n{}"),
        ("{\"a\":1}\n\n{\"a\" : [ 2,\n3 ] }", "{\"a\":1}\n{\"a\":[2,3]}"),
        ("[{\"a\":\"x y\\\"\"}, {}\n]", "{\"a\":\"x y\\\"\"}\n{}"),
        ("[1, [2, 3]] [{\"a\":{}}] {}", "1\n[2,3]\n{\"a\":{}}\n{}"),
        ("1 2\ttrue\"a\"\"b\"", "1\n2\ntrue\n\"a\"\n\"b\""),
        ("\u{feff}{\"a\":\"\u{feff}é\"}", "{\"a\":\"\u{feff}é\"}"),
        ("\u{feff}", ""),
        ("\u{feff}[]\n\u{feff}{}1\u{feff}2", "{}\n1\n2"),
    ] {
        for chunk in 1..=text.len().max(1) {
            assert_eq!(records(&[], text.as_bytes(), chunk).as_deref(), Ok(expected), "{text}");
        }
    }
}

#[test]
fn records_stand_in_the_array_at_a_path() {
    let path = ["a b", "r"];
    for (text, expected) in [
        (
            "{\"r\":[1],\"x\":{\"a b\":{\"r\":[2]}},\"a b\":{\"s\":[3],\"r\":[{},{\"r\":[4]}]}}",
            "{}\n{\"r\":[4]}",
        ),
        ("{\"a\\u0020b\":{\"\\u0072\":[1]}} {\"a b\":{\"r\":[]}}\n{\"a b\":{\"r\":[2]}}", "1\n2"),
    ] {
        for chunk in 1..=text.len() {
            assert_eq!(records(&path, text.as_bytes(), chunk).as_deref(), Ok(expected), "{text}");
        }
    }
    let none = "the document ends, and has no array at the path of rows-at";
    assert_eq!(broken(&path, "{\"a b\":{}}"), (9, none));
    assert_eq!(broken(&path, "{\"a b\":{\"r\":[]}}{}"), (17, none));
    let no_array = "the value at the path of rows-at is no array";
    assert_eq!(broken(&path, "{\"a b\":{\"r\":null}}"), (12, no_array));
    assert_eq!(
        broken(&path, "{\"a b\":1}"),
        (7, "the path of rows-at leads through a value that is no object")
    );
    let twice = "the path of rows-at is there twice";
    assert_eq!(broken(&path, "{\"a b\":{\"r\":[],\"r\":[]}}"), (19, twice));
    assert_eq!(broken(&path, "[]"), (0, "rows-at is a path in an object, and this is none"));
}

#[test]
fn what_is_broken_is_told_with_its_place() {
    for (text, offset, what) in [
        ("{\"a\":1", 6, "it ends inside an object"),
        ("[{}", 3, "it ends inside an array"),
        ("{\"a", 3, "it ends inside a string"),
        ("{\"a\":1 2}", 7, "a comma or the end of the object is expected"),
        ("{\"a\":[1}", 7, "a comma or the end of the array is expected"),
        (
            "{\"a\":\"x}\n{\"",
            8,
            "a string has a control character, as if its quote had been forgotten",
        ),
        ("{\"a\":\"x}{\"b\":1}", 10, "a comma or the end of the object is expected"),
        ("{a:1}", 1, "a key in double quotes is expected"),
        ("{\"a\":1,}", 7, "a key in double quotes is expected"),
        ("[1,]", 3, "a value is expected"),
        ("{\"a\" 1}", 5, "a colon is expected"),
        ("{},{}", 2, "a value is expected"),
        ("{}}", 2, "a value is expected"),
        ("\"\\x\"", 2, "a string has a backslash with a character that it does not escape"),
    ] {
        assert_eq!(broken(&[], text), (offset, what), "{text}");
    }
    assert_eq!(broken(&[], &"[".repeat(20_000)), (10_000, "it is nested too deeply"));
    let cut = records(&[], b"{}\xef\xbb", 1).unwrap_err();
    assert_eq!((cut.offset, cut.what), (4, "it ends inside a byte order mark"));
    let other = records(&[], b"\xef {}", 1).unwrap_err();
    assert_eq!((other.offset, other.what), (1, "a value is expected"));
}

#[test]
fn a_document_that_is_cut_anywhere_never_gives_fewer_records() {
    let text = "[{\"id\":1,\"s\":\"a\\\"b\"},{\"id\":2,\"n\":[1.5,null,{}]},{\"id\":3}]";
    assert_eq!(records(&[], text.as_bytes(), 7).unwrap().lines().count(), 3);
    for end in 1..text.len() {
        assert!(records(&[], &text.as_bytes()[..end], 7).is_err(), "{}", &text[..end]);
    }
    let document = format!("{{\"a\":{text},\"b\":1}}");
    for end in 1..document.len() {
        assert!(records(&["a"], &document.as_bytes()[..end], 7).is_err());
    }
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(".{0,4}", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_records_are_found_in_any_chunks(
        all in proptest::collection::vec(values(), 0..6),
        is_pretty in any::<bool>(),
        chunk in 1_usize..40,
    ) {
        let write = |value: &Value| {
            let pretty = is_pretty.then(|| serde_json::to_string_pretty(value).unwrap());
            pretty.unwrap_or_else(|| value.to_string())
        };
        let found = |path: &[&str], text: &str| -> Vec<Value> {
            let lines = records(path, text.as_bytes(), chunk).unwrap();
            lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        };
        let array = write(&Value::from(all.clone()));
        prop_assert_eq!(&found(&[], &array), &all);
        let document = format!("{{\"x\":{array},\"r\":{array}}}");
        prop_assert_eq!(&found(&["r"], &document), &all);
        let objects: Vec<Value> = all.into_iter().filter(Value::is_object).collect();
        let texts: Vec<String> = objects.iter().map(write).collect();
        prop_assert_eq!(&found(&[], &texts.concat()), &objects);
        prop_assert_eq!(&found(&[], &texts.join("\r\n ")), &objects);
    }
}
