//! Reads the configuration file: TOML with every key at top level, named like its flag.
//!
//! One pass finds every problem in the file. Messages name the line but never show its text, which
//! may hold a secret.

use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::layer::{Layer, Origin, Problem, Value, closest};
use super::setting::{Setting, ValueKind};
use crate::printable::printable;

/// The values in a file, as far as it could be read.
pub(crate) struct FileLayer {
    pub layer: Layer,
    pub problems: Vec<Problem>,
    /// Settings that misspelled keys most likely mean. Their absence is not reported again.
    pub suggested: Vec<&'static str>,
}

pub(crate) fn read(path: &Path, text: &str) -> FileLayer {
    let origin =
        |offset: usize| Origin::File { path: path.to_owned(), line: line_of(text, offset) };
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut file =
        FileLayer { layer: Layer::default(), problems: Vec::new(), suggested: Vec::new() };
    for error in errors {
        let offset = error.span().map_or(0, |span| span.start);
        file.problems.push(Problem::new(
            format!("not valid TOML: {}", error.message()),
            &origin(offset),
            "",
        ));
    }
    // Report problems in the order of the file.
    let mut entries: Vec<_> = table.get_ref().iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    for (key, value) in entries {
        let name = key.get_ref().as_ref();
        let origin = origin(key.span().start);
        // Many files of TOML write their keys with underscores.
        let Some(setting) = Setting::by_name(&name.replace('_', "-")) else {
            file.suggested.extend(closest(name).map(|setting| setting.name));
            file.problems.push(unknown(
                name,
                matches!(value.get_ref(), DeValue::Table(_)),
                &origin,
            ));
            continue;
        };
        if let Some(given) = file.layer.get(setting) {
            let what = format!("{name} is also given as {} ({})", setting.name, given.origin);
            file.problems.push(Problem::new(what, &origin, "leave one of them out"));
            continue;
        }
        match typed(setting, value.get_ref()) {
            Some(value) => file.layer.insert(setting, value, origin),
            None => file.problems.push(Problem::new(
                format!(
                    "{name} is {}, but must be {}",
                    with_article(value.get_ref().type_str()),
                    expected(setting)
                ),
                &origin,
                "",
            )),
        }
    }
    file
}

fn unknown(name: &str, is_table: bool, origin: &Origin) -> Problem {
    let remedy = match closest(name) {
        Some(setting) => format!("did you mean {}?", setting.name),
        None if is_table => "put settings at top level, without [sections]".to_owned(),
        None => "config.example.toml lists all keys".to_owned(),
    };
    Problem::new(format!("there is no setting \"{}\"", printable(name)), origin, remedy)
}

fn typed(setting: &Setting, value: &DeValue<'_>) -> Option<Value> {
    let text = match (setting.kind, value) {
        (ValueKind::List, DeValue::Array(items)) => {
            let items: Option<Vec<String>> =
                items.iter().map(|item| item.get_ref().as_str().map(str::to_owned)).collect();
            return items.map(Value::List);
        }
        (ValueKind::List, DeValue::String(item)) => {
            return Some(Value::List(vec![item.to_string()]));
        }
        (ValueKind::Switch { .. }, DeValue::Boolean(on)) => on.to_string(),
        (ValueKind::Switch { .. }, DeValue::String(text))
            if text.is_empty() && setting.empty_is_unset() =>
        {
            String::new()
        }
        (
            ValueKind::Integer { .. } | ValueKind::Verbosity | ValueKind::Size,
            DeValue::Integer(number),
        ) => i128::from_str_radix(number.as_str(), number.radix()).ok()?.to_string(),
        (ValueKind::Time, DeValue::Datetime(time)) => time.to_string(),
        (
            ValueKind::Text
            | ValueKind::Path
            | ValueKind::Choice(_)
            | ValueKind::Size
            | ValueKind::Duration
            | ValueKind::Time
            | ValueKind::Delimiter,
            DeValue::String(text),
        ) => text.to_string(),
        _ => return None,
    };
    Some(Value::Text(text))
}

fn expected(setting: &Setting) -> &'static str {
    match setting.kind {
        ValueKind::Text | ValueKind::Path | ValueKind::Choice(_) | ValueKind::Delimiter => {
            "a string"
        }
        ValueKind::Switch { .. } => "true or false",
        ValueKind::Integer { .. } | ValueKind::Verbosity => "an integer",
        ValueKind::Size => "a string such as \"64MiB\", or an integer number of bytes",
        ValueKind::Duration => "a string such as \"30s\"",
        ValueKind::Time => "a date, or a time with its offset",
        ValueKind::List => "an array of strings",
    }
}

fn with_article(type_name: &str) -> String {
    let article = if type_name.starts_with(['a', 'i']) { "an" } else { "a" };
    format!("{article} {type_name}")
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|&b| b == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        read(Path::new("c.toml"), text).problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_misspelled_key_is_an_error_that_suggests_the_right_one() {
        assert_eq!(
            problems("\non_duplicates = 'ignore'"),
            ["c.toml line 2: there is no setting \"on_duplicates\"; did you mean on-duplicate?"]
        );
    }

    #[test]
    fn a_key_may_have_underscores_but_stands_there_once() {
        assert!(problems("on_duplicate = 'ignore'\nport = 1\n").is_empty());
        let twice = problems("on-duplicate = 'ignore'\non_duplicate = 'replace'\n");
        let expected = "c.toml line 2: on_duplicate is also given as on-duplicate (c.toml line 1); \
                        leave one of them out";
        assert_eq!(twice, [expected]);
    }

    #[test]
    fn everything_wrong_with_a_file_is_reported_at_once() {
        let found = problems(
            "prot = 1\nport = '1'\nstall-timeout = 60\ninclude = ['a', 1]\n[target]\nhost = 'h'\n",
        );
        assert_eq!(found.len(), 5, "{found:#?}");
        assert!(
            found.contains(&"c.toml line 2: port is a string, but must be an integer".into()),
            "{found:#?}"
        );
        assert!(found.contains(
            &"c.toml line 4: include is an array, but must be an array of strings".into()
        ));
    }

    #[test]
    fn a_syntax_error_names_the_line_and_never_shows_it() {
        let found = problems("port = 3306\npassword = \"hunter2\nhost = 'h'\n");
        assert!(!found.is_empty());
        for problem in &found {
            assert!(problem.starts_with("c.toml line 2: not valid TOML: "), "{problem}");
            assert!(!problem.contains("hunter2"), "{problem}");
        }
        assert!(!problems("password = hunter2").iter().any(|problem| problem.contains("hunter2")));
        assert!(!problems("hunter2").iter().any(|problem| problem.contains("hunter2")));
    }
}
