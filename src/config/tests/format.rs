//! Tests of the settings of the format.

use super::*;
use crate::dialect::LineTerminator;

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
fn a_variable_that_nothing_fills_is_refused_with_the_one_that_was_meant() {
    let found = |args: &[&str]| incomplete(args, &[], "");
    assert_eq!(
        found(&["--columns", "a,@store", "--set", "b=UPPER(@stroe)"]),
        ["command line, --set: set reads @stroe, which is not among --columns; \
          did you mean @store?"]
    );
    assert!(found(&["--set", "b=@xyz"])[0].contains("NULL in every row"));
    let json = found(&["--format", "jsonl", "--field", "@kind=$.k", "--set", "b=@knid"]);
    assert!(json[0].ends_with("not among --columns or --field; did you mean @kind?"), "{json:#?}");
    for known in [
        &["--columns", "@A", "--set", "b=@a"][..],
        &["--set", "b=CONCAT(@object_key, @partition_dt, @@sql_mode)"],
        &["--set", "b=(@n := 1)"],
        &["--init-sql", "SET @n = 1", "--set", "b=@n"],
        &["--match-columns", "name", "--set", "b=@whatever"],
    ] {
        assert!(found(known).is_empty(), "{known:?}");
    }
}
