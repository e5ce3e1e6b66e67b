//! Tests of the configuration that results from the command line, the environment and the file.
//! Arguments go through clap, so the tests cover exactly what users type.

mod format;
mod ledger;
mod source;
mod target;

use std::path::Path;
use std::time::Duration;

use clap::Parser;
use secrecy::ExposeSecret;

use super::*;
use crate::choices::{ProgressMode, SslMode};
use crate::cli::{Cli, Cmd};
use crate::dialect::Preset;
use crate::policy::{OnBadRow, OnDuplicate};
use crate::settings::{Flag, Value, ValueKind, table};

/// The arguments, the variables and the file of a test case.
type Case<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], &'a str);

/// The arguments of a complete command, to which tests add.
const COMPLETE: &[&str] = &["s3://b/p/", "--user", "u", "--table", "d.t"];

fn run(args: &[&str], environment: &[(&str, &str)], file: &str) -> Result<Resolved, Vec<String>> {
    run_command("load", args, environment, file)
}

fn run_command(
    command: &str,
    args: &[&str],
    environment: &[(&str, &str)],
    file: &str,
) -> Result<Resolved, Vec<String>> {
    let mut all = vec!["s3-to-mysql", command];
    if !file.is_empty() {
        all.extend(["--config", "c.toml"]);
    }
    all.extend(args);
    let environment = environment.iter().map(|(name, value)| ((*name).into(), (*value).into()));
    let read_file = |path: &Path| match path.to_str() {
        Some("c.toml") => Ok(file.to_owned()),
        Some("password.txt") => Ok("from-file\n".to_owned()),
        Some("key.pem") => Ok(format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n{}\n-----END PUBLIC KEY-----\n",
            "MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAKj34GkxFhD90vcNLYLInFEX6Ppy1tPf",
            "9Cnzj4p4WGeKLs1Pt8QuKUpRKfFLfRYC9AIKjbJTWit+CqvjWYzvQwECAwEAAQ=="
        )),
        _ => Err(std::io::ErrorKind::NotFound.into()),
    };
    let resolved = match Cli::try_parse_from(all).map_err(|error| vec![error.to_string()])?.command
    {
        Cmd::Load(args) | Cmd::Plan(args) => args.settings.resolve_in(environment, read_file),
        Cmd::Check(args) => args.settings.resolve_in(environment, read_file),
        Cmd::Status(args) => args.settings.resolve_in(environment, read_file),
        Cmd::Forget(args) => args.settings.resolve_in(environment, read_file),
        Cmd::Ack(args) => args.settings.resolve_in(environment, read_file),
        Cmd::Wait(args) => args.settings.resolve_in(environment, read_file),
        Cmd::Report(_) | Cmd::Completions(_) => unreachable!("it has no settings"),
    };
    resolved.map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<String>>())
}

fn resolved(args: &[&str], environment: &[(&str, &str)], file: &str) -> Resolved {
    match run(args, environment, file) {
        Ok(resolved) => resolved,
        Err(problems) => unreachable!("{problems:#?}"),
    }
}

fn complete(args: &[&str], environment: &[(&str, &str)], file: &str) -> Resolved {
    resolved(&[COMPLETE, args].concat(), environment, file)
}

fn problems(args: &[&str], environment: &[(&str, &str)], file: &str) -> Vec<String> {
    run(args, environment, file).err().unwrap_or_default()
}

fn incomplete(args: &[&str], environment: &[(&str, &str)], file: &str) -> Vec<String> {
    problems(&[COMPLETE, args].concat(), environment, file)
}

fn password(resolved: &Resolved) -> Option<&str> {
    resolved.config.target.password.as_ref().map(ExposeSecret::expose_secret)
}

/// Returns a text of the whole configuration. Secrets are compared through `password`.
fn text(resolved: &Resolved) -> String {
    let mut config = resolved.config.clone();
    // They name the places.
    config.output.settings.clear();
    format!("{config:#?}")
}

#[test]
fn a_flag_beats_a_variable_and_a_variable_beats_the_file() {
    let variable: &[(&str, &str)] = &[("S3_TO_MYSQL_LOAD_CONCURRENCY", "3")];
    let file = "load-concurrency = 2";
    let concurrency = |resolved: Resolved| resolved.config.load.load_concurrency;
    assert_eq!(concurrency(complete(&["--load-concurrency", "5"], variable, file)), 5);
    assert_eq!(concurrency(complete(&[], variable, file)), 3);
    assert_eq!(concurrency(complete(&[], &[], file)), 2);
    assert_eq!(concurrency(complete(&[], &[], "")), 8);
}

/// Returns a value that is valid and not the default.
fn sample(setting: &crate::settings::Setting) -> Value {
    let text = match (setting.name, setting.kind) {
        ("uris", _) => return Value::List(vec!["s3://b/other".into()]),
        ("set", _) => return Value::List(vec!["a=1".into()]),
        ("date-format", _) => return Value::List(vec!["a=%d.%m.%Y".into()]),
        ("time-zone", _) => "Europe/Rome",
        ("field", _) => return Value::List(vec!["a=$.b".into()]),
        ("rows-at", _) => "$.a",
        ("metrics-label", _) => return Value::List(vec!["a=b".into()]),
        ("metrics-push", _) => "http://h",
        (_, ValueKind::List) => return Value::List(vec!["x".into(), "y".into()]),
        ("endpoint-url", _) => "http://h",
        ("charset", _) => "latin1",
        ("database-url", _) => "mysql://v@w/x",
        ("password-file", _) => "password.txt",
        ("server-public-key-path", _) => "key.pem",
        ("on-duplicate", _) => "ignore",
        ("max-rejects" | "max-rejects-total" | "max-threads-running", _) => "7",
        ("max-lag", _) => "7s",
        (_, ValueKind::Text | ValueKind::Path) => "x",
        (_, ValueKind::Switch { .. }) => "true",
        (_, ValueKind::Integer { .. }) => "7",
        (_, ValueKind::Verbosity) => "1",
        (_, ValueKind::Size) => "7MiB",
        (_, ValueKind::Duration) => "7s",
        (_, ValueKind::Time) => "2026-01-31",
        (_, ValueKind::Delimiter) => "|",
        (_, ValueKind::Choice(words)) => words[words.len() - 1],
    };
    Value::Text(text.into())
}

#[test]
fn every_setting_works_in_every_place_and_reaches_the_configuration() {
    // A keys-from in a stronger place would hide the URIs of the file.
    let base = |name: &str, without: &str| {
        let lines = [
            "uris = ['s3://b/k']",
            "table = 't'",
            "mode = 'swap'",
            "replica = ['h']",
            "max-lag = '30s'",
            "ssl-cert = 'c'",
            "ssl-key = 'k'",
            "on-bad-row = 'reject'",
            "on-duplicate = 'update'",
            "rejects = 'r'",
            "match-columns = 'name'",
            "format = 'json'",
            "format = 'parquet'",
            "create-table = true",
        ];
        let is_in = |line: &&str| {
            let key = line.split(' ').next().unwrap_or_default();
            let is_wanted = match key {
                "uris" => name != "keys-from",
                "mode" => ["swap-keep-old", "verify", "defer-indexes"].contains(&name),
                "on-bad-row" => ["rejects", "max-rejects", "max-rejects-total"].contains(&name),
                "on-duplicate" => name == "update-columns",
                "match-columns" => name == "missing-columns",
                "create-table" => name == "primary-key",
                "format" if line.contains("parquet") => name == "allow-lake-files",
                "format" => ["field", "rows-at", "extra-columns", "missing-keys"].contains(&name),
                "rejects" => ["rejects", "max-rejects", "max-rejects-total"].contains(&name),
                _ => true,
            };
            key != without && is_wanted
        };
        lines.into_iter().filter(is_in).fold(String::new(), |all, line| all + line + "\n")
    };
    let url = ("DATABASE_URL", "mysql://u@h/d");
    for setting in table::ALL {
        let (name, value) = (setting.name, sample(setting));
        let plain =
            text(&resolved(&[], &[url], &base(if name == "keys-from" { "" } else { name }, "")));
        let items = match &value {
            Value::List(items) => items.clone(),
            Value::Text(text) => vec![text.clone()],
        };
        let is_number = matches!(
            setting.kind,
            ValueKind::Switch { .. } | ValueKind::Integer { .. } | ValueKind::Verbosity
        );
        let toml = match (&value, is_number) {
            (Value::List(items), _) => format!("{name} = {items:?}"),
            (Value::Text(text), true) => format!("{name} = {text}"),
            (Value::Text(text), false) => format!("{name} = {text:?}"),
        };
        let flags: Vec<String> = match (setting.flag, setting.kind) {
            (Flag::None, _) => Vec::new(),
            (Flag::Counted, _) => vec!["-v".into()],
            (Flag::Positional, _) => items.clone(),
            (_, ValueKind::Switch { .. }) => vec![format!("--{name}")],
            _ => items.iter().map(|item| format!("--{name}={item}")).collect(),
        };
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let variable = setting.environment_variable();

        let in_file = resolved(&[], &[url], &format!("{}{toml}", base(name, name)));
        let in_environment = resolved(&[], &[url, (&variable, &items.join("\n"))], &base(name, ""));
        assert_ne!(text(&in_file), plain, "{name} changes nothing");
        assert_eq!(text(&in_file), text(&in_environment), "{name}");
        let mut places = vec![
            (in_file, "# c.toml line"),
            (in_environment, "# environment variable S3_TO_MYSQL"),
        ];
        if !flags.is_empty() {
            let on_command_line = resolved(&flags, &[url], &base(name, ""));
            assert_eq!(text(&on_command_line), text(&places[0].0), "{name}");
            places.push((on_command_line, "# command line, "));
        }
        for (resolved, place) in places {
            let printed = resolved.provenance.to_string();
            let line = printed
                .lines()
                .find(|line| line.trim_start_matches('#').starts_with(&format!("{name} = ")));
            assert!(
                line.is_some_and(|line| line.contains(place)),
                "{name}: {line:?} is not from {place}"
            );
        }
    }
}

#[test]
fn the_defaults_are_those_that_are_documented() {
    let config = complete(&[], &[], "").config;
    assert_eq!(config.format.dialect, Preset::Mysql.dialect());
    assert_eq!(config.format.charset.name(), "utf8mb4");
    assert_eq!((config.staging.download_concurrency, config.load.load_concurrency), (16, 8));
    assert_eq!(config.staging.budget, None);
    assert_eq!(config.staging.dir, Path::new("/tmp"));
    assert_eq!(
        (config.load.on_bad_row, config.load.on_duplicate),
        (OnBadRow::Fail, OnDuplicate::Error)
    );
    assert_eq!(config.retry.max_attempts, 8);
    assert_eq!(config.retry.max_elapsed, Duration::from_mins(15));
    assert_eq!(config.source.connect_timeout, Duration::from_secs(10));
    assert_eq!(config.source.stall_timeout, Duration::from_mins(1));
    assert_eq!((config.target.host.as_str(), config.target.port), ("127.0.0.1", 3306));
    assert_eq!(config.target.ssl_mode, SslMode::Preferred);
    assert_eq!((config.output.progress, config.output.verbosity), (ProgressMode::Auto, 0));
    assert!(
        !config.source.allow_empty
            && !config.source.skip_hidden
            && config.source.path_style.is_none()
    );
}

#[test]
fn the_example_file_says_exactly_the_defaults() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/config.example.toml");
    let example = std::fs::read_to_string(path).unwrap();
    assert_eq!(text(&complete(&[], &[], &example)), text(&complete(&[], &[], "")), "as it is");
    let active: Vec<&str> = example
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(setting) if setting.starts_with(|c: char| c.is_ascii_lowercase()) => setting,
            _ => line,
        })
        .collect();
    assert!(
        active.iter().filter(|line| line.contains(" = ") && !line.starts_with('#')).count()
            == table::ALL.len()
    );
    assert_eq!(
        text(&complete(&[], &[], &active.join("\n"))),
        text(&complete(&[], &[], "")),
        "every line active"
    );
}

#[test]
fn what_print_config_shows_reads_back_as_the_same_configuration() {
    let cases: [Case<'_>; 6] = [
        (&[], &[], ""),
        (
            &[
                "--preset",
                "csv",
                "--null-string",
                "",
                "--null-string",
                "N/A",
                "-vv",
                "--columns",
                "a,@b,`c,d`",
            ],
            &[
                ("S3_TO_MYSQL_SET", "x = 'a\"\\n'\ny=1"),
                ("S3_TO_MYSQL_ALLOW_EMPTY", "1"),
                ("TMPDIR", "/scratch"),
            ],
            "staging-budget = '1.5GiB'\nmodified-after = 2026-01-31\nstall-timeout = '1m30s'",
        ),
        (
            &["--preset", "hive-raw", "-q"],
            &[],
            "fields-enclosed-by = \"'\"\nno-sign-request = true",
        ),
        (&["--socket", "/run/mysqld.sock"], &[("DATABASE_URL", "mysql://v@db.example:3307/e")], ""),
        (&["--host", "db.example"], &[], "socket = '/run/mysqld.sock'\nport = 3308"),
        (
            &["--database-url", "mysql://w@[2001:db8::1]/e?ssl-mode=verify_ca&ssl-ca=/ca.pem"],
            &[],
            "fields-terminated-by = '^A'\nlines-terminated-by = \"\\u0002\"",
        ),
    ];
    for (args, environment, file) in cases {
        let first = complete(args, environment, file);
        let printed = first.provenance.to_string();
        let again = resolved(&[], &[], &printed);
        assert_eq!(text(&again), text(&first), "{printed}");
    }
}

#[test]
fn print_config_names_the_place_of_every_value() {
    let environment =
        [("S3_TO_MYSQL_REGION", "eu-west-1"), ("DATABASE_URL", "mysql://u@db.example/e")];
    let shown = complete(&["--preset", "hive"], &environment, "\nload-concurrency = 8")
        .provenance
        .to_string();
    for line in [
        "uris = [\"s3://b/p/\"]  # command line, S3_URI",
        "preset = \"hive\"  # command line, --preset",
        "region = \"eu-west-1\"  # environment variable S3_TO_MYSQL_REGION",
        "load-concurrency = 8  # c.toml line 2",
        "host = \"db.example\"  # database URL from environment variable DATABASE_URL",
        "fields-terminated-by = '\\x01'  # preset hive",
        "on-duplicate = \"error\"  # default",
        "#profile =  # not set",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line} is not in\n{shown}");
    }
}

#[test]
fn one_setting_alone_may_say_in_which_zone_times_are() {
    let init_sql = ["--init-sql", "SET Time_Zone = '+05:00'"];
    let found = problems(&[&init_sql[..], &["--time-zone", "Europe/Rome"]].concat(), &[], "");
    let both = "time-zone is set, and init-sql sets the time zone, too";
    assert_eq!(found.iter().filter(|problem| problem.contains(both)).count(), 1, "{found:#?}");
    let alone = problems(&init_sql, &[], "");
    assert!(!alone.iter().any(|problem| problem.contains(both)), "{alone:#?}");
}

#[test]
fn everything_wrong_is_reported_at_once_with_its_place() {
    let found = problems(
        &["https://b/k", "--preset", "cvs", "--set", "x", "--max-attempts", "0"],
        &[("S3_TO_MYSQL_ON_DUPLICATES", "ignore"), ("S3_TO_MYSQL_STALL_TIMEOUT", "60")],
        "usr = 'u'\nport = '1'\nstaging-budget = '5 parsecs'\nkey-regex = '('\n\
         include = ['[']\nssl-cert = 'c'",
    );
    for part in [
        "command line, S3_URI: uris \"https://b/k\": it starts with https://",
        "command line, --preset: preset \"cvs\": \
         it must be one of mysql, hive, hive-raw, csv, csv-unix, tsv",
        "command line, --set: set \"x\": it must be COLUMN=EXPRESSION",
        "command line, --max-attempts: max-attempts \"0\": \
         it must be a whole number from 1 to 1000",
        "S3_TO_MYSQL_ON_DUPLICATES: there is no such setting; \
         did you mean S3_TO_MYSQL_ON_DUPLICATE?",
        "S3_TO_MYSQL_STALL_TIMEOUT: stall-timeout \"60\": a duration needs a unit",
        "c.toml line 1: there is no setting \"usr\"; did you mean user?",
        "c.toml line 2: port is a string, but must be an integer",
        "c.toml line 3: staging-budget \"5 parsecs\": `parsecs` is not a unit of size",
        "c.toml line 4: key-regex \"(\": not a regular expression",
        "c.toml line 5: include \"[\": ",
        "ssl-cert is set, but ssl-key is not",
        "the table is missing; give --table",
    ] {
        assert_eq!(
            found.iter().filter(|problem| problem.contains(part)).count(),
            1,
            "{part} is not in {found:#?}"
        );
    }
    assert_eq!(found.len(), 13, "{found:#?}");
}

#[test]
fn what_is_missing_is_named_with_its_remedy() {
    let found = problems(&[], &[], "");
    assert_eq!(
        found,
        [
            "there is nothing to load; \
             name an S3 URI such as s3://BUCKET/PREFIX/, or --keys-from FILE",
            "the database user is missing; give --user or a --database-url that names one",
            "the table is missing; give --table TABLE or --table DATABASE.TABLE",
        ]
    );
    let found = problems(&["s3://b", "-u", "u", "--table", "t"], &[], "");
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("the table's database is missing; "), "{found:#?}");
}

#[test]
fn a_file_that_is_read_is_not_overwritten() {
    let found = incomplete(&["--keys-from", "f", "--failed-keys", "f"], &[], "");
    assert_eq!(found, ["keys-from and failed-keys are the same file, f; give each its own file"]);
}

#[test]
fn a_configuration_file_that_cannot_be_read_is_the_only_problem() {
    let found = problems(&["--config", "nowhere.toml"], &[], "");
    assert!(found.len() == 1 && found[0].contains("nowhere.toml cannot be read"), "{found:#?}");
    let found = problems(&[], &[("S3_TO_MYSQL_CONFIG", "nowhere.toml")], "");
    assert!(
        found.len() == 1 && found[0].starts_with("environment variable S3_TO_MYSQL_CONFIG: "),
        "{found:#?}"
    );
}
