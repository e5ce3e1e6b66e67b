//! Values before validation: one [`Layer`] for each place that gives values, and the [`Problem`]s
//! found on the way.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use super::setting::Setting;
use super::table;
use crate::printable::printable;

/// A value as it was written. It is not `Debug`, because it may be a secret.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// A text, a switch (`true` or `false`) or a number.
    Text(String),
    List(Vec<String>),
}

#[derive(Clone)]
pub(crate) struct Given {
    pub value: Value,
    pub origin: Origin,
}

/// The values from one place, by the name of the setting.
#[derive(Clone, Default)]
pub struct Layer(BTreeMap<&'static str, Given>);

impl Layer {
    pub(crate) fn insert(&mut self, setting: &'static Setting, value: Value, origin: Origin) {
        self.0.insert(setting.name, Given { value, origin });
    }

    /// Drops all settings for which `keep` returns false.
    pub(crate) fn retain(&mut self, keep: impl Fn(&Setting) -> bool) {
        self.0.retain(|name, _| Setting::by_name(name).is_some_and(&keep));
    }

    pub(crate) fn get(&self, setting: &Setting) -> Option<&Given> {
        self.0.get(setting.name)
    }
}

/// The place that a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A flag with its dashes, or the name of the positional argument.
    CommandLine(String),
    Environment(String),
    File {
        path: PathBuf,
        /// The line number, from 1.
        line: usize,
    },
    /// A part of the database URL from that place.
    DatabaseUrl(Box<Origin>),
    Preset(&'static str),
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CommandLine(flag) => write!(f, "command line, {flag}"),
            Self::Environment(variable) => {
                write!(f, "environment variable {}", printable(variable))
            }
            Self::File { path, line } => {
                write!(f, "{} line {line}", printable(&path.to_string_lossy()))
            }
            Self::DatabaseUrl(origin) => write!(f, "database URL from {origin}"),
            Self::Preset(name) => write!(f, "preset {name}"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// One problem with the configuration. It never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub what: String,
    /// `None` if something is missing.
    pub origin: Option<Origin>,
    /// The remedy that the message proposes. Empty if `what` says it already.
    pub remedy: String,
}

impl Problem {
    pub(crate) fn new(what: impl Into<String>, origin: &Origin, remedy: impl Into<String>) -> Self {
        Self { what: what.into(), origin: Some(origin.clone()), remedy: remedy.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(origin) = &self.origin {
            write!(f, "{origin}: ")?;
        }
        f.write_str(&self.what)?;
        if !self.remedy.is_empty() {
            write!(f, "; {}", self.remedy)?;
        }
        Ok(())
    }
}

/// Returns the setting that the author of `name` most likely meant.
pub(crate) fn closest(name: &str) -> Option<&'static Setting> {
    let name = name.trim_start_matches('-').to_ascii_lowercase().replace('_', "-");
    table::ALL
        .iter()
        .copied()
        .map(|setting| (strsim::jaro_winkler(&name, setting.name), setting))
        // Below this similarity, the nearest name is a misleading guess.
        .filter(|(similarity, _)| *similarity >= 0.85)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, setting)| setting)
}

/// Returns a value in the form that an error may show: on one line and shortened. A value that may
/// hold a password is not shown at all, such as a URL with user information that was given to the
/// wrong option.
pub(crate) fn shown(text: &str) -> String {
    const LIMIT_CHARS: usize = 80;
    let may_hold_password = text.rsplit_once('@').is_some_and(|(before, _)| before.contains(':'));
    if may_hold_password {
        return "(not shown: it may hold a password)".to_owned();
    }
    let mut chars = text.chars();
    let start: String = chars.by_ref().take(LIMIT_CHARS).collect();
    let dots = if chars.next().is_some() { "…" } else { "" };
    format!("\"{}{dots}\"", printable(&start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_is_led_back_to_the_setting_and_nonsense_is_not() {
        let suggestion = |name| closest(name).map(|setting| setting.name);
        assert_eq!(suggestion("on-duplicates"), Some("on-duplicate"));
        assert_eq!(suggestion("on_duplicate"), Some("on-duplicate"));
        assert_eq!(suggestion("load-concurency"), Some("load-concurrency"));
        assert_eq!(suggestion("tabel"), Some("table"));
        assert_eq!(suggestion("xyzzy"), None);
    }

    #[test]
    fn a_value_that_may_hold_a_password_is_not_shown() {
        assert!(!shown("mysql://u:hunter2@h").contains("hunter2"));
        assert!(!shown("u:hunter2@h:3306").contains("hunter2"));
        assert_eq!(shown("a\nb"), "\"a\\nb\"");
        assert_eq!(shown(&"x".repeat(100)).chars().count(), 83);
    }
}
