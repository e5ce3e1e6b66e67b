//! Environment variables: `S3_TO_MYSQL_<NAME>` for every setting, and two that are shared with
//! other programs.
//!
//! An empty variable counts as absent, because CI systems set variables that have no value. The
//! exception is the variable of a delimiter, because an empty delimiter is a value. In a list, each
//! line is an item. `DATABASE_URL` and `MYSQL_PWD` were not set with this program in mind, so they
//! rank below the configuration file.

use std::ffi::OsString;

use super::layer::{Layer, Origin, Problem, Value, closest};
use super::setting::{ENVIRONMENT_PREFIX, Setting, ValueKind};
use super::table;
use super::table::{DATABASE_URL, PASSWORD};

/// Names with our prefix that are not settings: the path of the configuration file, and variables
/// that the scripts and tests of this repository read.
const OTHER_NAMES: &[&str] = &["CONFIG", "CACHE", "MYSQL_ROOT", "MARIADB_ROOT"];
const OTHER_PREFIXES: &[&str] = &["TEST_", "DEMO_", "BENCH_"];

pub(crate) struct EnvironmentLayers {
    pub own: Layer,
    /// The values of `DATABASE_URL` and `MYSQL_PWD`.
    pub shared: Layer,
    pub problems: Vec<Problem>,
    pub suggested: Vec<&'static str>,
    /// The value of `TMPDIR`.
    pub temporary_dir: Option<String>,
    /// The value of `GITHUB_STEP_SUMMARY`.
    pub step_summary: Option<String>,
    /// True if `GITHUB_ACTIONS` says that GitHub Actions runs the program.
    pub is_github: bool,
}

pub(crate) fn read(variables: impl IntoIterator<Item = (OsString, OsString)>) -> EnvironmentLayers {
    let mut found = EnvironmentLayers {
        own: Layer::default(),
        shared: Layer::default(),
        problems: Vec::new(),
        suggested: Vec::new(),
        temporary_dir: None,
        step_summary: None,
        is_github: false,
    };
    for (name, value) in variables {
        let Ok(name) = name.into_string() else { continue };
        let foreign = match name.as_str() {
            "TMPDIR" => Some(&mut found.temporary_dir),
            "GITHUB_STEP_SUMMARY" => Some(&mut found.step_summary),
            _ => None,
        };
        if let Some(foreign) = foreign {
            *foreign = value.into_string().ok().filter(|text| !text.is_empty());
            continue;
        }
        if name == "GITHUB_ACTIONS" {
            found.is_github = value == "true";
            continue;
        }
        let shared = match name.as_str() {
            "DATABASE_URL" => Some(&DATABASE_URL),
            "MYSQL_PWD" => Some(&PASSWORD),
            _ => None,
        };
        let own = name.strip_prefix(ENVIRONMENT_PREFIX);
        if shared.is_none() && own.is_none() {
            continue;
        }
        let origin = Origin::Environment(name.clone());
        let Ok(value) = value.into_string() else {
            found.problems.push(Problem::new("the value is not valid UTF-8", &origin, ""));
            continue;
        };
        if let Some(setting) = shared {
            if !value.is_empty() {
                found.shared.insert(setting, Value::Text(value), origin);
            }
        } else if let Some(own) = own {
            own_variable(&mut found, own, value, origin);
        }
    }
    found
}

fn own_variable(found: &mut EnvironmentLayers, name: &str, value: String, origin: Origin) {
    let wanted = format!("{ENVIRONMENT_PREFIX}{name}");
    let setting =
        table::ALL.iter().copied().find(|setting| setting.environment_variable() == wanted);
    let Some(setting) = setting else {
        if OTHER_NAMES.contains(&name)
            || OTHER_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        {
            return;
        }
        let remedy = match closest(name) {
            Some(setting) => {
                found.suggested.push(setting.name);
                format!("did you mean {}?", setting.environment_variable())
            }
            None => format!("unset it; names that start with {ENVIRONMENT_PREFIX} are settings"),
        };
        found.problems.push(Problem::new("there is no such setting", &origin, remedy));
        return;
    };
    if value.is_empty() && setting.kind != ValueKind::Delimiter {
        return;
    }
    match typed(setting, value) {
        Ok(value) => found.own.insert(setting, value, origin),
        Err(what) => found.problems.push(Problem::new(what, &origin, "")),
    }
}

fn typed(setting: &Setting, value: String) -> Result<Value, &'static str> {
    Ok(match setting.kind {
        ValueKind::List => Value::List(value.lines().map(str::to_owned).collect()),
        ValueKind::Switch { .. } => {
            let on = match value.to_ascii_lowercase().as_str() {
                "true" | "1" | "yes" | "on" => true,
                "false" | "0" | "no" | "off" => false,
                _ => return Err("the value must be true or false"),
            };
            Value::Text(on.to_string())
        }
        _ => Value::Text(value),
    })
}

#[cfg(test)]
mod tests {
    use super::super::table::{ALLOW_EMPTY, FIELDS_ESCAPED_BY, NULL_STRING, REGION};
    use super::*;

    fn layers(variables: &[(&str, &str)]) -> EnvironmentLayers {
        read(variables.iter().map(|(name, value)| ((*name).into(), (*value).into())))
    }

    #[test]
    fn a_list_has_one_item_a_line() {
        let list =
            |value: &str| match layers(&[("S3_TO_MYSQL_NULL_STRING", value)]).own.get(&NULL_STRING)
            {
                Some(given) => match &given.value {
                    Value::List(items) => Some(items.clone()),
                    Value::Text(_) => None,
                },
                None => None,
            };
        assert_eq!(list("NULL\nN/A, none"), Some(vec!["NULL".into(), "N/A, none".into()]));
        assert_eq!(list("\n"), Some(vec![String::new()]), "one empty item");
        assert_eq!(list(""), None);
    }

    #[test]
    fn an_empty_variable_is_absent_unless_it_is_a_delimiter() {
        let found = layers(&[
            ("S3_TO_MYSQL_REGION", ""),
            ("S3_TO_MYSQL_FIELDS_ESCAPED_BY", ""),
            ("MYSQL_PWD", ""),
        ]);
        assert!(found.own.get(&REGION).is_none());
        assert!(found.own.get(&FIELDS_ESCAPED_BY).is_some());
        assert!(found.shared.get(&PASSWORD).is_none());
    }

    #[test]
    fn a_switch_understands_the_usual_words() {
        for (word, expected) in
            [("1", "true"), ("Yes", "true"), ("OFF", "false"), ("false", "false")]
        {
            let found = layers(&[("S3_TO_MYSQL_ALLOW_EMPTY", word)]);
            assert!(
                found
                    .own
                    .get(&ALLOW_EMPTY)
                    .is_some_and(|given| given.value == Value::Text(expected.into()))
            );
        }
        assert_eq!(layers(&[("S3_TO_MYSQL_ALLOW_EMPTY", "maybe")]).problems.len(), 1);
    }

    #[test]
    fn an_unknown_variable_with_our_prefix_is_an_error_that_suggests_the_right_one() {
        let found = layers(&[
            ("S3_TO_MYSQL_ON_DUPLICATES", "ignore"),
            ("S3_TO_MYSQL_CONFIG", "c.toml"),
            ("S3_TO_MYSQL_MYSQL_ROOT", "/x"),
            ("S3_TO_MYSQL_TEST_SERVER", "mysql"),
            ("OTHER", "x"),
        ]);
        let problems: Vec<String> = found.problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            problems,
            ["environment variable S3_TO_MYSQL_ON_DUPLICATES: there is no such setting; \
                 did you mean S3_TO_MYSQL_ON_DUPLICATE?"]
        );
    }
}
