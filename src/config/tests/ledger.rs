//! Tests of the ledger's settings, and of the commands that use no others.

use super::*;
use crate::policy::Verify;
use crate::s3_uri::SourceUri;
use crate::sql_text::TableName;

#[test]
fn settings_of_ledger_and_mode_that_contradict_each_other_are_named_with_their_places_and_a_remedy()
{
    let cases: [(Case<'_>, &str); 6] = [
        (
            (&["--no-ledger"], &[], "mode = 'truncate'"),
            "mode truncate needs the ledger, which no-ledger switches off (mode: c.toml line 1; \
             no-ledger: command line, --no-ledger); leave out --no-ledger, or use --mode append",
        ),
        (
            (&["--no-ledger", "--mode", "swap"], &[], ""),
            "mode swap needs the ledger, which no-ledger switches off (mode: command line, --mode; \
             no-ledger: command line, --no-ledger); leave out --no-ledger, or use --mode append",
        ),
        (
            (&["--no-ledger", "--force"], &[], ""),
            "force overrides the ledger, which no-ledger switches off (force: command line, \
             --force; no-ledger: command line, --no-ledger); leave out --force: without a ledger \
             every object is loaded",
        ),
        (
            (&["--swap-keep-old"], &[], ""),
            "swap-keep-old is set, but mode is not swap (swap-keep-old: command line, \
             --swap-keep-old; mode: default); add --mode swap, or leave out --swap-keep-old",
        ),
        (
            (&["--no-ledger", "--ledger-table", "x"], &[], ""),
            "command line, --ledger-table: ledger-table names the ledger that no-ledger switches \
             off; set one of them",
        ),
        (
            (&[], &[], "no-ledger = true\nledger-table = 'x'"),
            "c.toml line 2: ledger-table names the ledger that no-ledger switches off; \
             set one of them",
        ),
    ];
    for ((args, environment, file), expected) in cases {
        assert_eq!(incomplete(args, environment, file), [expected], "{args:?} {file}");
    }
    for args in [
        &["--no-ledger"][..],
        &["--force"],
        &["--mode", "truncate"],
        &["--mode", "swap", "--swap-keep-old"],
        &["--no-ledger", "--ledger", "--mode", "swap"],
        &["--mode", "append", "--force", "--ledger-table", "x"],
        &["--mode", "truncate", "--force"],
    ] {
        assert_eq!(incomplete(args, &[], ""), [""; 0], "{args:?}");
    }
    let both = incomplete(&["--no-ledger", "--force", "--mode", "swap"], &[], "");
    assert_eq!(both.len(), 2, "all at once: {both:#?}");
}

#[test]
fn the_stronger_place_says_whether_there_is_a_ledger() {
    let stem = |args: &[&str], environment: &[(&str, &str)], file: &str| {
        let resolved = complete(args, environment, file);
        let again = self::resolved(&[], &[], &resolved.provenance.to_string());
        assert_eq!(text(&again), text(&resolved), "the output of --print-config reads back");
        resolved.config.ledger.table.map(|name| name.table)
    };
    assert_eq!(stem(&[], &[], "").as_deref(), Some("s3_to_mysql"));
    assert_eq!(stem(&["--no-ledger"], &[], "ledger-table = 'x'"), None);
    assert_eq!(stem(&["--ledger-table", "x"], &[], "no-ledger = true").as_deref(), Some("x"));
    assert_eq!(
        stem(&[], &[("S3_TO_MYSQL_LEDGER_TABLE", "x")], "no-ledger = true").as_deref(),
        Some("x")
    );
    assert_eq!(stem(&["--ledger"], &[], "no-ledger = true").as_deref(), Some("s3_to_mysql"));
    assert_eq!(
        stem(&["--ledger", "--ledger-table", "x"], &[], "no-ledger = true").as_deref(),
        Some("x")
    );
}

#[test]
fn the_ledgers_name_may_hold_a_database_and_leaves_room_for_what_follows_it() {
    let name =
        |text: &str| complete(&["--ledger-table", text], &[], "").config.ledger.table.unwrap();
    let longest = "\u{e9}".repeat(40);
    assert_eq!(
        name(&format!("meta.{longest}")),
        TableName { database: Some("meta".into()), table: longest }
    );
    assert_eq!(name("`odd.db`.`odd stem`").to_string(), "`odd.db`.`odd stem`");
    assert_eq!(
        incomplete(
            &["--ledger-table", &format!("meta.{}", "x".repeat(41)), "--mode", "swap"],
            &[],
            ""
        )
        .len(),
        1,
        "a name that is no good is not the absence of a ledger"
    );
    assert!(
        incomplete(&["--ledger-table", &"x".repeat(41)], &[], "")[0]
            .contains("has 41 characters; at most 40")
    );
    assert_eq!(incomplete(&["--ledger-table", ""], &[], "").len(), 1);
}

#[test]
fn a_command_on_the_ledger_needs_and_looks_at_its_own_settings_alone() {
    let target = ["--user", "u", "--table", "d.t"];
    // Everything that would make a load fail, and a URI, which a forget must not take from here.
    let file = "uris = ['s3://b/nightly/']\nkey-regex = '('\nmode = 'swap'\nforce = true\n\
                no-ledger = true\ncharset = 'nonsense'\nledger-table = 'x'\n\
                max-attempts = 3\nverbosity = 1\nprefix = true\n";
    let status = run_command("status", &target, &[("S3_TO_MYSQL_STAGING_BUDGET", "much")], file);
    let status = status.unwrap_or_else(|problems| unreachable!("{problems:#?}"));
    assert_eq!(status.config.ledger.table.map(|name| name.table).as_deref(), Some("x"));
    assert_eq!((status.config.retry.max_attempts, status.config.output.verbosity), (3, 1));
    assert!(status.config.source.uris.is_empty());
    let shown = status.provenance.to_string();
    assert!(
        shown.contains("\nledger-table = \"x\"  # c.toml line 7") && !shown.contains("\nmode = "),
        "{shown}"
    );

    let forget = |args: &[&str]| run_command("forget", &[&target[..], args].concat(), &[], file);
    assert_eq!(
        forget(&["--yes"]).err().unwrap(),
        ["there is nothing to forget; on the command line, name s3://BUCKET/KEY, \
             or s3://BUCKET/PREFIX/ for everything below it"]
    );
    let uris = |args: &[&str]| {
        forget(args).map(|resolved| resolved.config.source.uris).unwrap_or_default()
    };
    let (bucket, prefix) = ("b".to_owned(), "k".to_owned());
    assert_eq!(
        uris(&["s3://b/k"]),
        [SourceUri::Prefix { bucket, prefix }],
        "as a load with this file would take it"
    );
    let (bucket, key) = ("b".to_owned(), "k".to_owned());
    assert_eq!(uris(&["s3://b/k", "--no-prefix"]), [SourceUri::Key { bucket, key }]);

    for (command, args) in
        [("status", &["s3://b/"][..]), ("status", &["--mode", "swap"]), ("forget", &["--force"])]
    {
        let refused =
            run_command(command, &[&target[..], args].concat(), &[], "").err().unwrap_or_default();
        assert!(
            refused.concat().contains("unexpected argument"),
            "{command} {args:?}: {refused:#?}"
        );
    }
    // A setting that does not exist is a problem for every command.
    assert_eq!(
        run_command("status", &target, &[], "mood = 'swap'").err().unwrap_or_default().len(),
        1
    );
    assert_eq!(
        run_command("status", &[], &[], "").err().unwrap_or_default().len(),
        1,
        "the user, but no table, without which it shows all"
    );
}

#[test]
fn what_a_policy_changes_is_not_compared() {
    for mode in ["truncate", "swap"] {
        assert_eq!(
            complete(&["--mode", mode, "--verify", "checksum"], &[], "").config.load.verify,
            Verify::Checksum
        );
    }
    let problems = incomplete(
        &["--on-duplicate", "ignore", "--on-bad-row", "accept"],
        &[],
        "verify = 'checksum'",
    );
    let expected = [
        ("mode append keeps other rows", "; mode: "),
        ("on-duplicate leaves some out", "on-duplicate: command line, --on-duplicate"),
        ("on-bad-row accept lets the server change them", "on-bad-row: command line, --on-bad-row"),
    ];
    assert_eq!(problems.len(), expected.len(), "{problems:#?}");
    for (problem, (what, place)) in problems.iter().zip(expected) {
        assert!(
            problem.contains(what)
                && problem.contains(place)
                && problem.contains("(verify: c.toml"),
            "{problem}"
        );
    }
    for on_duplicate in ["ignore", "replace"] {
        let args = ["--mode", "swap", "--verify", "checksum", "--on-duplicate", on_duplicate];
        assert_eq!(incomplete(&args, &[], "").len(), 1, "{on_duplicate}");
    }
}
