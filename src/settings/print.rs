//! Writes the output of `--print-config`: every setting with its effective value and the place that
//! it came from.
//!
//! The output is a configuration file that can be read back. Secrets are left out, and unset
//! settings appear as comments.

use std::collections::BTreeMap;
use std::fmt;
use std::fmt::Write as _;

use super::layer::{Origin, Value};
use super::resolver::{Effective, Shown};
use super::setting::{Setting, ValueKind};
use super::table;
use crate::printable::is_unprintable;

/// The place that every value came from. Displayed as TOML.
pub struct Provenance(BTreeMap<&'static str, Effective>);

impl Provenance {
    pub(crate) fn new(effective: BTreeMap<&'static str, Effective>) -> Self {
        Self(effective)
    }

    /// Returns the name, the value as TOML and the origin of each setting that is not at its
    /// default. Secrets are left out.
    pub(crate) fn given(&self) -> impl Iterator<Item = (&'static str, String, String)> {
        self.0.iter().filter_map(|(name, Effective { value, origin })| {
            let Shown::Value(value) = value else { return None };
            let setting = Setting::by_name(name).filter(|_| *origin != Origin::Default)?;
            Some((*name, toml_value(setting, value), origin.to_string()))
        })
    }
}

impl fmt::Display for Provenance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# The effective settings, and where each comes from. Secrets are left out.")?;
        let mut section = None;
        for setting in table::ALL {
            let Some(effective) = self.0.get(setting.name) else { continue };
            if section.replace(setting.section) != Some(setting.section) {
                writeln!(f, "\n# {}", setting.section.title())?;
            }
            let origin = &effective.origin;
            match &effective.value {
                Shown::Value(value) => {
                    writeln!(f, "{} = {}  # {origin}", setting.name, toml_value(setting, value))?;
                }
                Shown::Hidden => writeln!(f, "#{} = (hidden)  # {origin}", setting.name)?,
                Shown::Unset => writeln!(f, "#{} =  # not set", setting.name)?,
            }
        }
        Ok(())
    }
}

/// Returns the value in the TOML type of its kind.
fn toml_value(setting: &Setting, value: &Value) -> String {
    match value {
        Value::List(items) => {
            let items: Vec<String> = items.iter().map(|item| toml_string(item)).collect();
            format!("[{}]", items.join(", "))
        }
        // These values are valid, but environment variables may add blanks.
        Value::Text(text) if text.is_empty() => toml_string(text),
        Value::Text(text)
            if matches!(
                setting.kind,
                ValueKind::Switch { .. } | ValueKind::Integer { .. } | ValueKind::Verbosity
            ) =>
        {
            let text = text.trim().trim_start_matches('+');
            let digits = text.trim_start_matches('-').trim_start_matches('0');
            let sign = if text.starts_with('-') && !digits.is_empty() { "-" } else { "" };
            if digits.is_empty() { "0".to_owned() } else { format!("{sign}{digits}") }
        }
        Value::Text(text) => toml_string(text),
    }
}

/// Returns the text as a TOML string, in single quotes if that avoids escapes.
fn toml_string(text: &str) -> String {
    let is_plain = !text.chars().any(|c| c == '\'' || is_unprintable(c));
    if text.contains(['\\', '"']) && is_plain {
        return format!("'{text}'");
    }
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            // Also escape characters that would reorder or hide text on a terminal.
            c if is_unprintable(c) => {
                // Writing to a String cannot fail.
                let _ = write!(quoted, "\\U{:08X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::super::setting::{Default, Flag};
    use super::*;
    use proptest::prelude::*;

    /// Returns the example file as the table of settings makes it.
    fn example() -> String {
        let mut text = String::from(
            "# All settings of s3-to-mysql, with their defaults.\n\
             #\n\
             # Use this file with --config FILE or S3_TO_MYSQL_CONFIG. Each setting is also a\n\
             # flag, --NAME, and an environment variable, S3_TO_MYSQL_NAME in capitals with _\n\
             # for -. A flag overrides a variable, and a variable overrides this file.\n\
             # In a variable, each line is an item of a list. For a setting without a default, an\n\
             # empty string means \"not set\".\n\
             # Paths are relative to the directory in which the program is started.\n\
             # Lines that start with # and a blank are explanations. To change a setting, remove\n\
             # the # before it.\n",
        );
        let mut section = None;
        for setting in table::ALL {
            if section.replace(setting.section) != Some(setting.section) {
                write!(text, "\n# ---- {} ----\n", setting.section.title()).unwrap();
            }
            text.push('\n');
            for paragraph in [format!("{}.", setting.doc), setting.more.to_owned()] {
                wrap(&mut text, &paragraph);
            }
            if let ValueKind::Choice(words) = setting.kind {
                wrap(&mut text, &format!("One of {}.", words.join(", ")));
            }
            let value = match setting.default {
                Default::Text(value) => value,
                Default::Derived { basic, rule } => {
                    wrap(&mut text, &format!("Default: {rule}."));
                    basic
                }
                Default::Unset => "",
            };
            let value = match setting.kind {
                ValueKind::List => Value::List(Vec::new()),
                _ => Value::Text(value.to_owned()),
            };
            writeln!(text, "#{} = {}", setting.name, toml_value(setting, &value)).unwrap();
        }
        text
    }

    fn wrap(text: &mut String, paragraph: &str) {
        let mut line = String::from("#");
        for word in paragraph.split_whitespace() {
            if line.chars().count() + 1 + word.chars().count() > 98 {
                text.push_str(&line);
                text.push('\n');
                line = String::from("#");
            }
            line.push(' ');
            line.push_str(word);
        }
        if line != "#" {
            text.push_str(&line);
            text.push('\n');
        }
    }

    /// Rewrites it with `S3_TO_MYSQL_TEST_WRITE_DOCS=1 cargo test the_example_file`.
    #[test]
    fn the_example_file_documents_every_setting_and_none_more() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/config.example.toml");
        if std::env::var_os("S3_TO_MYSQL_TEST_WRITE_DOCS").is_some() {
            std::fs::write(path, example()).unwrap();
        }
        assert!(
            std::fs::read_to_string(path).unwrap() == example(),
            "config.example.toml differs from the table of settings"
        );
    }

    #[test]
    fn every_setting_is_described_in_sentences() {
        for setting in table::ALL {
            assert!(!setting.doc.ends_with('.'), "{}", setting.name);
            assert!(setting.more.is_empty() || setting.more.ends_with('.'), "{}", setting.name);
            assert!(
                setting.flag == Flag::None
                    || !setting.value.is_empty()
                    || matches!(setting.kind, ValueKind::Switch { .. })
            );
        }
    }

    proptest! {
        #[test]
        fn a_string_reads_back_as_it_was(text in any::<String>()) {
            let toml = format!("k = {}", toml_string(&text));
            let table = toml::de::DeTable::parse(&toml).unwrap();
            let read = table.get_ref().get("k").and_then(|value| value.get_ref().as_str());
            prop_assert_eq!(read, Some(text.as_str()));
        }
    }
}
