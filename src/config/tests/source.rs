//! Tests of the settings of the source.

use super::*;
use crate::s3_uri::SourceUri;

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
