use super::rows::Expected::{Bad, Exact, Loss, Server as Judged};
use super::rows::{SERVERS, Table, ensure_table, facts};
use crate::dialect::Charset;
use crate::values::{BadKind, ColumnFacts, ColumnRule, Field, LossKind, Readings, Server, Verdict};

pub(super) const LABELS: [Table; 3] = [
    (
        "enum('low','mid','it''s','10')",
        &[
            ("low", Exact("low")),
            ("LOW", Exact("low")),
            ("low ", Exact("low")),
            ("it's", Exact("it's")),
            ("10", Exact("10")),
            ("2", Bad(BadKind::LabelNumber)),
            ("02", Bad(BadKind::LabelNumber)),
            (" 2", Bad(BadKind::LabelNumber)),
            ("+2", Bad(BadKind::LabelNumber)),
            ("2 ", Bad(BadKind::LabelNumber)),
            ("0", Bad(BadKind::LabelNumber)),
            ("99", Bad(BadKind::LabelNumber)),
            ("lo", Bad(BadKind::NotALabel)),
            (" low", Bad(BadKind::NotALabel)),
            ("low,mid", Bad(BadKind::NotALabel)),
            ("2.0", Bad(BadKind::NotALabel)),
            ("", Bad(BadKind::Empty)),
            ("l\u{f6}w", Judged),
            ("lo\u{1}w", Judged),
        ],
    ),
    (
        "set('a','b','7')",
        &[
            ("", Exact("")),
            ("a", Exact("a")),
            ("B,a", Exact("a,b")),
            ("a,7", Exact("a,7")),
            ("7", Exact("7")),
            ("a ", Exact("a")),
            ("5", Bad(BadKind::LabelNumber)),
            ("a,5", Bad(BadKind::NotALabel)),
            ("a,", Bad(BadKind::NotALabel)),
            (",", Bad(BadKind::NotALabel)),
            (" ", Bad(BadKind::NotALabel)),
            ("a, b", Bad(BadKind::NotALabel)),
            ("a,x", Bad(BadKind::NotALabel)),
            ("a ,b", Judged),
        ],
    ),
    ("enum('\u{b2}','x')", &[("2", Judged), ("\u{b2}", Exact("\u{b2}"))]),
];

pub(super) const TEXTS: [Table; 5] = [
    (
        "varchar(3)",
        &[
            ("", Exact("")),
            ("abc", Exact("abc")),
            ("\u{e9}\u{1f600}\u{e9}", Exact("\u{e9}\u{1f600}\u{e9}")),
            ("a\0b", Exact("a\0b")),
            ("abc  ", Loss(LossKind::Blanks, "abc")),
            ("\u{e9}bc ", Loss(LossKind::Blanks, "\u{e9}bc")),
            ("abcd", Bad(BadKind::TooLong)),
            ("abc\t", Bad(BadKind::TooLong)),
        ],
    ),
    ("char(3)", &[("a", Exact("a")), ("abc ", Loss(LossKind::Blanks, "abc"))]),
    (
        "binary(2)",
        &[
            ("ab", Exact("ab")),
            ("\u{e9}", Exact("\u{e9}")),
            ("abc", Bad(BadKind::TooLong)),
            ("a", Loss(LossKind::Padding, "a\0")),
            ("", Loss(LossKind::Padding, "\0\0")),
        ],
    ),
    ("varbinary(2)", &[("a", Exact("a")), ("", Exact("")), ("ab ", Bad(BadKind::TooLong))]),
    ("uuid", &[("x", Judged)]),
];

const JSON_BOTH: [Table; 1] = [(
    "json",
    &[
        ("{\"a\": [1, 2.5, -3e4, true, false, null, \"x\"]}", Exact("")),
        (" [ ] ", Exact("")),
        ("{}", Exact("")),
        ("\"\\u00e9\\ud83d\\ude00\\n\"", Exact("")),
        ("0.30000000000000004", Exact("")),
        ("18446744073709551615", Exact("")),
        ("1e2", Exact("")),
        ("", Bad(BadKind::Empty)),
        ("[1,2,]", Bad(BadKind::NotJson)),
        ("[1 2]", Bad(BadKind::NotJson)),
        ("{\"a\":1,}", Bad(BadKind::NotJson)),
        ("{a:1}", Bad(BadKind::NotJson)),
        ("{'a':1}", Bad(BadKind::NotJson)),
        ("[1]]", Bad(BadKind::NotJson)),
        ("[1}", Bad(BadKind::NotJson)),
        ("[", Bad(BadKind::NotJson)),
        ("nul", Bad(BadKind::NotJson)),
        ("NULL", Bad(BadKind::NotJson)),
        ("01", Bad(BadKind::NotJson)),
        ("+1", Bad(BadKind::NotJson)),
        ("1e", Bad(BadKind::NotJson)),
        ("\"\\ud800\"", Bad(BadKind::NotJson)),
        ("\"\u{1}\"", Bad(BadKind::NotJson)),
        ("\"\0\"", Bad(BadKind::NotJson)),
        ("\u{feff}1", Bad(BadKind::NotJson)),
        ("1 x", Bad(BadKind::NotJson)),
    ],
)];

pub(super) const JSON_ON_MYSQL: [Table; 1] = [(
    "json",
    &[
        ("9007199254740993.0", Loss(LossKind::JsonNumber, "9007199254740993.0")),
        ("18446744073709551616", Loss(LossKind::JsonNumber, "18446744073709551616")),
        ("1e-400", Loss(LossKind::JsonNumber, "1e-400")),
        ("{\"a\":1,\"a\":2}", Loss(LossKind::JsonKey, "{\"a\":1,\"a\":2}")),
        ("{\"\\u0061\":1,\"a\":2}", Loss(LossKind::JsonKey, "{\"\\u0061\":1,\"a\":2}")),
        ("[{\"a\":1},{\"a\":1}]", Exact("")),
        ("{\"a\":{\"a\":1},\"b\":{\"a\":1}}", Exact("")),
        ("1e400", Bad(BadKind::OutOfRange)),
        ("0e308", Exact("0")),
        ("0e309", Bad(BadKind::OutOfRange)),
        ("0.0e309", Exact("0")),
    ],
)];

#[test]
fn enums_and_sets_take_labels_and_no_numbers() {
    ensure_table(&LABELS, &SERVERS, &Readings::default());
}

#[test]
fn texts_and_bytes_fit_or_are_refused() {
    ensure_table(&TEXTS, &SERVERS, &Readings::default());
}

#[test]
fn json_is_valid_and_mysql_notes_what_it_does_not_keep() {
    ensure_table(&JSON_BOTH, &SERVERS, &Readings::default());
    ensure_table(&JSON_ON_MYSQL, &[Server::MySql], &Readings::default());
}

fn verdict(facts: &ColumnFacts<'_>, server: Server, charset: &str, text: &[u8]) -> Verdict {
    let charset = Charset::new(charset).unwrap();
    let rule = ColumnRule::new(facts, server, &charset, &Readings::default());
    rule.check(Field::Bytes(text), &mut Vec::new())
}

#[test]
fn json_is_nested_as_deeply_as_the_server_takes_it() {
    let json = ColumnFacts { is_json: true, ..facts("longtext") };
    for (server, depth) in [(Server::MySql, 100), (Server::MariaDb, 31)] {
        for open in ["[", "{\"a\":"] {
            let close = if open == "[" { "]" } else { "}" };
            let nested = |depth| open.repeat(depth) + "1" + &close.repeat(depth);
            let check = |text: String| verdict(&json, server, "utf8mb4", text.as_bytes());
            assert_eq!(check(nested(depth)), Verdict::Exact);
            assert_eq!(check(nested(depth + 1)), Verdict::Bad(BadKind::JsonTooDeep));
        }
    }
}

#[test]
fn a_character_that_the_columns_set_lacks_is_refused() {
    for (charset, text, expected) in [
        ("utf8mb3", "\u{20ac}", Verdict::Exact),
        ("utf8mb3", "\u{1f600}", Verdict::Bad(BadKind::Character)),
        ("latin1", "\u{20ac}\u{81}\u{ff}", Verdict::Exact),
        ("latin1", "\u{416}", Verdict::Bad(BadKind::Character)),
        ("ascii", "\u{e9}", Verdict::Bad(BadKind::Character)),
        ("ucs2", "\u{1f600}", Verdict::Bad(BadKind::Character)),
        ("utf16", "\u{1f600}", Verdict::Exact),
        ("cp1251", "abc", Verdict::Exact),
        ("cp1251", "\u{416}", Verdict::ServerDecides),
        ("swe7", "a~", Verdict::ServerDecides),
    ] {
        let facts = ColumnFacts { charset: Some(charset), ..facts("varchar(3)") };
        let found = verdict(&facts, Server::MySql, "utf8mb4", text.as_bytes());
        assert_eq!(found, expected, "{charset} {text}");
    }
}

#[test]
fn the_length_of_a_text_is_in_bytes_of_the_columns_set() {
    for (charset, most) in [("utf8mb4", 127), ("utf8mb3", 127), ("latin1", 255), ("utf16", 127)] {
        let facts = ColumnFacts { charset: Some(charset), ..facts("tinytext") };
        let check = |length: usize| {
            verdict(&facts, Server::MySql, "utf8mb4", "\u{e9}".repeat(length).as_bytes())
        };
        assert_eq!(check(most), Verdict::Exact, "{charset}");
        assert_eq!(check(most + 1), Verdict::Bad(BadKind::TooLong), "{charset}");
    }
}

#[test]
fn texts_of_other_character_sets_are_known_where_they_are_ascii_or_the_columns_own() {
    for (column, object, expected) in [
        ("latin1", "latin1", Verdict::Exact),
        ("utf8mb4", "latin1", Verdict::ServerDecides),
        ("gbk", "gbk", Verdict::ServerDecides),
    ] {
        let facts = ColumnFacts { charset: Some(column), ..facts("varchar(3)") };
        assert_eq!(verdict(&facts, Server::MySql, object, b"a\xe9b"), expected, "{column}");
        assert_eq!(verdict(&facts, Server::MySql, object, b"abc"), Verdict::Exact, "{column}");
    }
}

#[test]
fn labels_are_compared_as_far_as_the_collation_is_known() {
    for (collation, text, expected) in [
        ("utf8mb4_bin", "LOW", Verdict::Bad(BadKind::NotALabel)),
        ("utf8mb4_bin", "l\u{f6}w", Verdict::Bad(BadKind::NotALabel)),
        ("utf8mb4_0900_ai_ci", "LOW", Verdict::Exact),
        ("utf8mb4_uca1400_ai_ci", "LOW", Verdict::Exact),
        ("uca1400_nopad_as_ci", "LOW", Verdict::Exact),
        ("utf8mb4_unicode_nopad_ci", "LOW", Verdict::Exact),
        ("utf8mb4_0900_as_cs", "LOW", Verdict::Bad(BadKind::NotALabel)),
        ("utf8mb4_turkish_ci", "LOW", Verdict::ServerDecides),
        ("utf8mb4_tr_0900_ai_ci", "LOW", Verdict::ServerDecides),
        ("utf8mb4_turkish_uca1400_ai_ci", "LOW", Verdict::ServerDecides),
        ("utf8mb4_turkish_ci", "low", Verdict::Exact),
        ("utf8mb4_turkish_ci", "1", Verdict::Bad(BadKind::LabelNumber)),
    ] {
        let facts = ColumnFacts { collation: Some(collation), ..facts("enum('low')") };
        let found = verdict(&facts, Server::MySql, "utf8mb4", text.as_bytes());
        assert_eq!(found, expected, "{collation} {text}");
    }
}
