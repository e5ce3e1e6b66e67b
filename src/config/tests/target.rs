//! Tests of the settings of the target: its address, its encryption and its password.

use super::*;

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
fn a_rate_without_a_unit_is_questioned() {
    let warnings = |rate| complete(&["--max-rate", rate], &[], "").warnings;
    assert!(warnings("5MiB").is_empty());
    let slip = warnings("5");
    assert!(slip.len() == 1 && slip[0].ends_with("so write 5MiB for megabytes"), "{slip:?}");
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
