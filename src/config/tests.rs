//! Tests of the configuration that results from the command line, the environment and the file.
//! Arguments go through clap, so the tests cover exactly what users type.

mod ledger;

use std::path::Path;
use std::time::Duration;

use clap::Parser;
use secrecy::ExposeSecret;

use super::*;
use crate::choices::{ProgressMode, SslMode};
use crate::cli::{Cli, Cmd};
use crate::dialect::{LineTerminator, Preset};
use crate::policy::{OnBadRow, OnDuplicate};
use crate::s3_uri::SourceUri;
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
        Cmd::Load(args) | Cmd::Plan(args) => args.resolve_in(environment, read_file),
        Cmd::Check(args) => args.settings.resolve_in(environment, read_file),
        Cmd::Status(args) => args.settings.resolve_in(environment, read_file),
        Cmd::Forget(args) => args.settings.resolve_in(environment, read_file),
        Cmd::Completions(_) => unreachable!("it has no settings"),
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
    format!("{:#?}", resolved.config)
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
fn sample(setting: &table::Setting) -> Value {
    let text = match (setting.name, setting.kind) {
        ("uris", _) => return Value::List(vec!["s3://b/other".into()]),
        ("set", _) => return Value::List(vec!["a=1".into()]),
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
        ];
        let is_in = |line: &&str| {
            let key = line.split(' ').next().unwrap_or_default();
            let is_wanted = match key {
                "uris" => name != "keys-from",
                "mode" => ["swap-keep-old", "verify", "defer-indexes"].contains(&name),
                "on-bad-row" => ["rejects", "max-rejects", "max-rejects-total"].contains(&name),
                "on-duplicate" => name == "update-columns",
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
    assert!(!config.source.allow_empty && !config.source.skip_hidden && !config.source.path_style);
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
fn no_secret_is_ever_shown() {
    let url = "mysql://u:hunter2@h/d";
    let places: [Case<'_>; 6] = [
        (&["--database-url", url], &[], ""),
        (&[], &[("S3_TO_MYSQL_DATABASE_URL", url)], ""),
        (&[], &[("DATABASE_URL", url)], ""),
        (&[], &[("MYSQL_PWD", "hunter2")], ""),
        (&[], &[("S3_TO_MYSQL_PASSWORD", "hunter2")], ""),
        (&[], &[], "password = 'hunter2'"),
    ];
    for (args, environment, file) in places {
        let resolved = complete(args, environment, file);
        assert_eq!(password(&resolved), Some("hunter2"));
        let shown = format!("{} {} {:?}", resolved.provenance, text(&resolved), resolved.warnings);
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("#password = (hidden)"), "{shown}");
    }
    let mistakes: [Case<'_>; 10] = [
        (&["mysql://u:hunter2@h/d"], &[], ""),
        (&["--host", "mysql://u:hunter2@h/d"], &[], ""),
        (&["--host", "u:hunter2@h"], &[], ""),
        (&["--database-url", "mysql://u:hunter2/x@h/d"], &[], ""),
        (&["--database-url", "postgres://u:hunter2@h/d"], &[], ""),
        (&["--endpoint-url", "http://u:hunter2@h"], &[], ""),
        (&["-phunter2"], &[], ""),
        (&["--password=hunter2"], &[], ""),
        (&["--pasword=hunter2"], &[], ""),
        (&[], &[], "password = hunter2"),
    ];
    for (args, environment, file) in mistakes {
        let problems = incomplete(args, environment, file);
        assert!(!problems.is_empty(), "{args:?} {file}");
        assert!(!problems.concat().contains("hunter2"), "{problems:#?}");
    }
}

#[test]
fn a_password_in_a_url_on_the_command_line_is_warned_of_and_elsewhere_not() {
    let url = "mysql://u:hunter2@h/d";
    assert_eq!(complete(&["--database-url", url], &[], "").warnings.len(), 1);
    assert_eq!(complete(&[], &[("DATABASE_URL", url)], "").warnings.len(), 0);
    assert_eq!(complete(&["--database-url", "mysql://u@h/d"], &[], "").warnings.len(), 0);
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
fn keys_from_takes_the_place_of_weaker_uris_and_joins_equal_ones() {
    let source = |resolved: Resolved| {
        (resolved.config.source.uris.len(), resolved.config.source.keys_from.is_some())
    };
    let target = ["--user", "u", "--table", "d.t"];
    let with =
        |args: &[&str], file: &str| source(resolved(&[&target[..], args].concat(), &[], file));
    assert_eq!(with(&["--keys-from", "failed.txt"], "uris = ['s3://b/p/']"), (0, true));
    assert_eq!(with(&["s3://b/k"], "keys-from = 'failed.txt'"), (1, false));
    assert_eq!(with(&["s3://b/k", "--keys-from", "-"], ""), (1, true));
    assert_eq!(
        with(&["s3://b/k"], "uris = ['s3://b/1', 's3://b/2']"),
        (1, false),
        "a list replaces the whole list"
    );
}

#[test]
fn the_prefix_switch_makes_every_uri_a_prefix_and_its_opposite_beats_the_file() {
    let uri = |args: &[&str]| complete(args, &[], "prefix = true").config.source.uris[1].clone();
    assert_eq!(uri(&["s3://b/k"]), SourceUri::Prefix { bucket: "b".into(), prefix: "k".into() });
    assert_eq!(
        uri(&["s3://b/k", "--no-prefix"]),
        SourceUri::Key { bucket: "b".into(), key: "k".into() }
    );
    assert_eq!(
        uri(&["s3://b/k", "--no-prefix", "--prefix"]),
        SourceUri::Prefix { bucket: "b".into(), prefix: "k".into() }
    );
}

#[test]
fn a_url_is_overridden_piece_by_piece() {
    let target = |args: &[&str], environment: &[(&str, &str)], file: &str| {
        let resolved = resolved(&[&["s3://b", "--table", "t"], args].concat(), environment, file);
        let target = resolved.config.target.clone();
        let database = target.database.unwrap_or_default();
        format!(
            "{}:{}@{}:{}/{database}",
            target.user,
            password(&resolved).unwrap_or("-"),
            target.host,
            target.port
        )
    };
    let url = "mysql://u:p@h:3307/d";
    assert_eq!(target(&["--database-url", url], &[], ""), "u:p@h:3307/d");
    assert_eq!(
        target(&["--database-url", url, "--host", "other", "-D", "e"], &[], ""),
        "u:p@other:3307/e"
    );
    assert_eq!(target(&["--host", "other"], &[("DATABASE_URL", url)], ""), "u:p@other:3307/d");
    assert_eq!(
        target(&[], &[("S3_TO_MYSQL_DATABASE_URL", url), ("DATABASE_URL", "mysql://x:y@z/w")], ""),
        "u:p@h:3307/d"
    );
    // The URL of the flag overrides single settings in the file; a host without a port means 3306.
    let file = "host = 'f'\nport = 3399\nuser = 'f'\ndatabase = 'f'";
    assert_eq!(target(&["--database-url", "mysql://u@h/d"], &[], file), "u:-@h:3306/d");
    assert_eq!(
        target(&[], &[("DATABASE_URL", url)], file),
        "f:p@f:3399/f",
        "the file beats DATABASE_URL"
    );
    assert_eq!(target(&[], &[("S3_TO_MYSQL_DATABASE_URL", url)], file), "u:p@h:3307/d");
}

#[test]
fn another_programs_database_url_is_passed_over_only_where_the_server_is_named() {
    let foreign = [("DATABASE_URL", "postgres://u:p@h/d")];
    assert_eq!(complete(&["--host", "h"], &foreign, "").warnings.len(), 1);
    let found = incomplete(&[], &foreign, "");
    assert_eq!(
        found,
        ["environment variable DATABASE_URL: not a database URL: \
             it must start with mysql:// or mariadb://"]
    );
}

#[test]
fn the_strongest_password_counts_wherever_it_stands() {
    let used = |args: &[&str], environment: &[(&str, &str)], file: &str| {
        password(&complete(args, environment, file)).map(str::to_owned)
    };
    let mysql_pwd = ("MYSQL_PWD", "shared");
    let own = ("S3_TO_MYSQL_PASSWORD", "own");
    let url = ["--database-url", "mysql://u:url@h/d"];
    let flag = ["--password-file", "password.txt"];
    assert_eq!(used(&[], &[mysql_pwd], "").as_deref(), Some("shared"));
    assert_eq!(used(&[], &[mysql_pwd], "password = 'toml'").as_deref(), Some("toml"));
    assert_eq!(used(&[], &[mysql_pwd, own], "password = 'toml'").as_deref(), Some("own"));
    assert_eq!(used(&url, &[mysql_pwd, own], "password = 'toml'").as_deref(), Some("url"));
    assert_eq!(
        used(&[&url[..], &flag].concat(), &[mysql_pwd, own], "").as_deref(),
        Some("from-file")
    );
    assert_eq!(used(&[], &[own], "password-file = 'password.txt'").as_deref(), Some("own"));
    assert_eq!(used(&[], &[], "").as_deref(), None);
    let both = incomplete(&[], &[], "password = 'x'\npassword-file = 'password.txt'");
    assert_eq!(both, ["c.toml line 1: password and password-file are both set; set one of them"]);
    let missing = incomplete(&["--password-file", "nowhere"], &[], "");
    assert!(
        missing.len() == 1 && missing[0].contains("password-file \"nowhere\": cannot be read"),
        "{missing:#?}"
    );
}

#[test]
fn a_socket_and_a_host_exclude_each_other_and_the_stronger_place_wins() {
    let socket =
        |args: &[&str], file: &str| complete(args, &[], file).config.target.socket.is_some();
    assert!(socket(&["--socket", "/s"], "host = 'h'"));
    assert!(!socket(&["--host", "h"], "socket = '/s'"));
    assert!(!socket(&["--port", "3307"], "socket = '/s'"));
    assert!(
        socket(&[], "socket = '/s'\nport = 3306\nhost = 'localhost'"),
        "as option files are written"
    );
    assert!(!socket(&["--socket", ""], "socket = '/s'"), "an empty value hides the weaker one");
    assert!(socket(&["--database-url", "mysql://u@localhost/d", "-S", "/s"], ""));
    assert_eq!(incomplete(&["--socket", "/s", "--host", "h"], &[], "").len(), 1);
}

#[test]
fn encryption_is_required_as_soon_as_bytes_leave_the_machine() {
    let mode = |args: &[&str]| complete(args, &[], "").config.target.ssl_mode;
    assert_eq!(mode(&[]), SslMode::Preferred);
    assert_eq!(mode(&["--host", "localhost"]), SslMode::Preferred);
    assert_eq!(mode(&["--host", "10.0.0.1"]), SslMode::Required);
    assert_eq!(
        mode(&["--database-url", "mysql://db.example/d", "--socket", "/s"]),
        SslMode::Preferred
    );
    assert_eq!(mode(&["--database-url", "mysql://db.example/d"]), SslMode::Required);
    assert_eq!(mode(&["--host", "10.0.0.1", "--ssl-mode", "disabled"]), SslMode::Disabled);
    assert_eq!(mode(&["--ssl-mode", "Verify_Identity"]), SslMode::VerifyIdentity);
}

#[test]
fn parts_of_a_preset_can_be_overridden() {
    let format = complete(
        &[
            "--preset",
            "csv",
            "--fields-terminated-by",
            "\\x01",
            "--lines-terminated-by",
            "\\r\\n",
            "--fields-escaped-by",
            "^[",
        ],
        &[],
        "",
    )
    .config
    .format;
    assert_eq!(format.dialect.fields_terminated_by, [1]);
    assert_eq!(format.dialect.lines_terminated_by, LineTerminator::Exact(b"\r\n".to_vec()));
    assert_eq!(format.dialect.fields_escaped_by, Some(0x1b));
    assert_eq!(format.dialect.fields_enclosed_by, Some(b'"'), "the preset's");
}

#[test]
fn the_two_enclosures_are_one_setting() {
    let enclosure = |args: &[&str], file: &str| {
        let dialect = complete(args, &[], file).config.format.dialect;
        (dialect.fields_enclosed_by, dialect.fields_optionally_enclosed)
    };
    assert_eq!(
        enclosure(&["--fields-enclosed-by", "'"], "fields-optionally-enclosed-by = '\"'"),
        (Some(b'\''), false)
    );
    assert_eq!(
        enclosure(&["--fields-optionally-enclosed-by", "'"], "fields-enclosed-by = '\"'"),
        (Some(b'\''), true)
    );
    assert_eq!(enclosure(&["--preset", "csv", "--fields-enclosed-by", ""], ""), (None, false));
    let both = incomplete(
        &["--fields-enclosed-by", "'", "--fields-optionally-enclosed-by", "\""],
        &[],
        "",
    );
    assert_eq!(both.len(), 1);
}

#[test]
fn a_dialect_that_cannot_be_loaded_is_refused() {
    let found = incomplete(&["--fields-terminated-by", "\\n"], &[], "");
    assert!(
        found.len() == 1
            && found[0].contains("lines-terminated-by and fields-terminated-by are both"),
        "{found:#?}"
    );
}

#[test]
fn hive_presets_skip_hidden_keys_and_bring_their_null_strings_unless_told_otherwise() {
    let config = complete(&["--preset", "hive-raw"], &[], "").config;
    assert!(config.source.skip_hidden);
    assert_eq!(config.format.null_strings, ["\\N"]);
    let config =
        complete(&["--preset", "hive-raw", "--no-skip-hidden", "--null-string", ""], &[], "")
            .config;
    assert!(!config.source.skip_hidden);
    assert_eq!(config.format.null_strings, [""]);
}

#[test]
fn a_time_needs_its_offset_and_a_date_is_midnight_in_utc() {
    let after =
        |text: &str| complete(&["--modified-after", text], &[], "").config.source.modified_after;
    assert_eq!(after("2026-01-31"), "2026-01-31T00:00:00Z".parse().ok());
    assert_eq!(after("2026-01-31T18:00:00+02:00"), "2026-01-31T16:00:00Z".parse().ok());
    for text in ["2026-01-31T18:00:00", "2026-02-30", "yesterday", "20260131"] {
        assert_eq!(incomplete(&["--modified-after", text], &[], "").len(), 1, "{text}");
    }
    let empty =
        incomplete(&["--modified-after", "2026-02-01", "--modified-before", "2026-02-01"], &[], "");
    assert_eq!(empty.len(), 1);
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
