//! Generates a part of `docs/configuration.md`: a table for each section of settings.

use std::fmt::Write as _;

use super::setting::{Default, Flag, Setting, ValueKind};
use super::table;

/// The text above this line is written by hand.
const MARKER: &str = "<!-- generated below: \
                      S3_TO_MYSQL_TEST_WRITE_DOCS=1 cargo test --lib configuration_page -->\n";

fn tables() -> String {
    let mut text = String::new();
    let mut section = None;
    for setting in table::ALL {
        if section.replace(setting.section) != Some(setting.section) {
            write!(
                text,
                "\n## {}\n\n\
                 | name | flag | environment variable | default | what it does |\n\
                 |---|---|---|---|---|\n",
                setting.section.title()
            )
            .unwrap();
        }
        writeln!(
            text,
            "| {} | {} | {} | {} | {} |",
            code(setting.name),
            flag(setting),
            code(&setting.environment_variable()),
            default(setting),
            description(setting)
        )
        .unwrap();
    }
    text
}

fn flag(setting: &Setting) -> String {
    let long = match setting.kind {
        ValueKind::Switch { opposite } => format!("{}, --{opposite}", setting.name),
        _ if setting.bare.is_some() => format!("{}[={}]", setting.name, setting.value),
        _ => format!("{} {}", setting.name, setting.value),
    };
    let flags = match setting.flag {
        Flag::None => return "none".to_owned(),
        Flag::Positional => format!("{}...", setting.value),
        Flag::Counted => "-v, -q".to_owned(),
        Flag::Short(short) => format!("-{short}, --{long}"),
        Flag::Long => format!("--{long}"),
    };
    flags.split(", ").map(code).collect::<Vec<_>>().join(", ")
}

fn default(setting: &Setting) -> String {
    match setting.default {
        Default::Text(value) => code(value),
        Default::Derived { rule, .. } => prose(rule),
        Default::Unset => String::new(),
    }
}

fn description(setting: &Setting) -> String {
    let mut text = prose(&format!("{}. {}", setting.doc, setting.more));
    if let ValueKind::Choice(words) = setting.kind {
        let words: Vec<String> = words.iter().map(|word| code(word)).collect();
        write!(text, " One of {}.", words.join(", ")).unwrap();
    }
    text
}

fn code(text: &str) -> String {
    format!("`{}`", text.replace('|', "\\|"))
}

/// Returns plain text as Markdown on one line of a table. Backticks in it already quote code.
fn prose(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut markdown = String::new();
    let mut is_code = false;
    for c in line.chars() {
        is_code ^= c == '`';
        if c == '|' || (!is_code && matches!(c, '\\' | '*' | '<' | '[')) {
            markdown.push('\\');
        }
        markdown.push(c);
    }
    markdown
}

#[test]
fn the_configuration_page_lists_every_setting_as_the_table_has_it() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (head, _) = page.split_once(MARKER).unwrap();
    let current = format!("{head}{MARKER}{}", tables());
    if std::env::var_os("S3_TO_MYSQL_TEST_WRITE_DOCS").is_some() {
        std::fs::write(path, current).unwrap();
    } else {
        assert!(
            page == current,
            "docs/configuration.md is stale; its marker line says how to write it"
        );
    }
}

#[test]
fn text_cannot_break_out_of_its_cell() {
    assert_eq!(prose("a|b\nc \\t *d `e|\\f`"), r"a\|b c \\t \*d `e\|\f`");
    assert_eq!(code("a|b"), "`a\\|b`");
}
