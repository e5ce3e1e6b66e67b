//! The search for the effective value of a setting among the layers, and the record of it.
//!
//! A reader that finds a bad value records a [`Problem`] and returns a placeholder, so that the
//! other settings are checked too. If there is a problem, the caller uses none of the values.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::layer::{Given, Layer, Origin, Problem, Value, shown};
use super::setting::{Default, Setting, ValueKind};
use crate::units::parse_duration;

/// The effective value of one setting, and where it came from.
#[derive(Clone)]
pub(crate) struct Effective {
    pub value: Shown,
    pub origin: Origin,
}

#[derive(Clone)]
pub(crate) enum Shown {
    Value(Value),
    Unset,
    /// The setting is set and secret.
    Hidden,
}

#[derive(std::default::Default)]
pub(crate) struct Resolver {
    /// The layers, the strongest first.
    pub layers: Vec<Layer>,
    pub problems: Vec<Problem>,
    pub warnings: Vec<String>,
    pub effective: BTreeMap<&'static str, Effective>,
    /// Settings whose absence another problem already explains.
    pub explained: BTreeSet<&'static str>,
}

impl Resolver {
    /// Returns the value from the strongest layer that gives one, with the layer's rank (0 is the
    /// strongest). An empty value that means "not set" is found too, because it hides the values in
    /// weaker layers.
    pub(crate) fn find(&self, setting: &Setting) -> Option<(usize, Given)> {
        let found =
            |(rank, layer): (usize, &Layer)| layer.get(setting).map(|given| (rank, given.clone()));
        self.layers.iter().enumerate().find_map(found)
    }

    /// Like [`Self::find`], but returns `None` if the value means "not set".
    pub(crate) fn find_set(&self, setting: &Setting) -> Option<(usize, Given)> {
        self.find(setting).filter(|(_, given)| !says_unset(setting, given))
    }

    pub(crate) fn record(&mut self, setting: &'static Setting, value: Value, origin: Origin) {
        let value = if setting.secret { Shown::Hidden } else { Shown::Value(value) };
        self.effective.insert(setting.name, Effective { value, origin });
    }

    pub(crate) fn record_unset(&mut self, setting: &'static Setting, origin: Origin) {
        self.effective.insert(setting.name, Effective { value: Shown::Unset, origin });
    }

    /// Records a derived default, which is always a text.
    pub(crate) fn record_derived(
        &mut self,
        setting: &'static Setting,
        text: impl Into<String>,
        origin: Origin,
    ) {
        self.record(setting, Value::Text(text.into()), origin);
    }

    pub(crate) fn bad(
        &mut self,
        setting: &'static Setting,
        text: &str,
        origin: &Origin,
        why: impl std::fmt::Display,
    ) {
        let value = if setting.secret { String::new() } else { format!(" {}", shown(text)) };
        self.problems.push(Problem::new(format!("{}{value}: {why}", setting.name), origin, ""));
    }

    pub(crate) fn missing(&mut self, setting: &'static Setting, what: &str, remedy: &str) {
        if !self.explained.contains(setting.name) {
            self.problems.push(Problem {
                what: what.to_owned(),
                origin: None,
                remedy: remedy.to_owned(),
            });
        }
    }

    /// Returns the given text or the plain default, or `None` if the setting is not set. A
    /// `Derived` default also yields `None`: the caller derives and records it.
    pub(crate) fn text(&mut self, setting: &'static Setting) -> Option<(String, Origin)> {
        let given = match (self.find(setting), setting.default) {
            (Some((_, given)), _) => given,
            (None, Default::Text(text)) => {
                Given { value: Value::Text(text.to_owned()), origin: Origin::Default }
            }
            (None, Default::Unset | Default::Derived { .. }) => {
                self.record_unset(setting, Origin::Default);
                return None;
            }
        };
        if says_unset(setting, &given) {
            self.record_unset(setting, given.origin);
            return None;
        }
        self.record(setting, given.value.clone(), given.origin.clone());
        match given.value {
            Value::Text(text) => Some((text, given.origin)),
            // Layers check the kind, so a text setting never has a list here.
            Value::List(items) => Some((items.join("\n"), given.origin)),
        }
    }

    pub(crate) fn optional<T, E: std::fmt::Display>(
        &mut self,
        setting: &'static Setting,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let (text, origin) = self.text(setting)?;
        match parse(&text) {
            Ok(value) => Some(value),
            Err(why) => {
                self.bad(setting, &text, &origin, why);
                None
            }
        }
    }

    pub(crate) fn list(&mut self, setting: &'static Setting) -> (Vec<String>, Origin) {
        let (value, origin) = match self.find(setting) {
            Some((_, Given { value, origin })) => (value, origin),
            None => (Value::List(Vec::new()), Origin::Default),
        };
        self.record(setting, value.clone(), origin.clone());
        match value {
            Value::List(items) => (items, origin),
            Value::Text(item) => (vec![item], origin),
        }
    }

    pub(crate) fn path(&mut self, setting: &'static Setting) -> Option<PathBuf> {
        self.text(setting).map(|(text, _)| PathBuf::from(text))
    }

    pub(crate) fn switch(&mut self, setting: &'static Setting) -> bool {
        self.optional(setting, str::parse::<bool>).unwrap_or_default()
    }

    pub(crate) fn integer(&mut self, setting: &'static Setting) -> u64 {
        let ValueKind::Integer { min, max } = setting.kind else { return 0 };
        let parse = |text: &str| {
            let number: Option<u64> = text.trim().parse().ok();
            number.filter(|number| (min..=max).contains(number)).ok_or_else(|| match max {
                u64::MAX => format!("it must be a whole number, at least {min}"),
                _ => format!("it must be a whole number from {min} to {max}"),
            })
        };
        self.optional(setting, parse).unwrap_or_default()
    }

    pub(crate) fn duration(&mut self, setting: &'static Setting) -> Duration {
        self.optional(setting, parse_duration).unwrap_or_default()
    }

    /// Returns the variant that the given word names. Returns `None` if the setting is not set, or
    /// if the word names no variant, which is recorded as a problem.
    pub(crate) fn choice<T: FromStr>(&mut self, setting: &'static Setting) -> Option<T> {
        let ValueKind::Choice(words) = setting.kind else { return None };
        self.optional(setting, |text| {
            text.parse().map_err(|_| format!("it must be one of {}", words.join(", ")))
        })
    }
}

fn says_unset(setting: &Setting, given: &Given) -> bool {
    setting.empty_is_unset() && given.value == Value::Text(String::new())
}

pub(crate) fn count(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
