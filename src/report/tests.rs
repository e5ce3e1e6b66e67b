use std::collections::BTreeMap;

use super::*;
use crate::config::Mode;
use crate::error::{BadRow, BadRows, ErrorKind, RawRow};
use crate::object::TableName;
use crate::verify::Unverified;

fn object(key: &str) -> Object {
    Object {
        bucket: "b".to_owned(),
        key: key.to_owned(),
        etag: "\"e\"".to_owned(),
        size_bytes: 12,
        last_modified: None,
    }
}

fn bad_row() -> BadRow {
    BadRow {
        line: Some(3),
        row: Some(2),
        is_misnumbered: false,
        column: Some("n".to_owned()),
        level: "Warning".to_owned(),
        code: 1366,
        reason: "Incorrect integer value: 'x' for column 'n' at row 2".to_owned(),
        raw: Some(RawRow { bytes: b"x\t\"y".to_vec(), is_cut: false }),
    }
}

fn failure() -> Error {
    Error::new(ErrorKind::BadRows, "s3://b/bad: 1 row does not fit")
        .with_hint("correct the row")
        .with_bad_rows(BadRows { shown: vec![bad_row()], more: 0 })
}

const ELAPSED: Duration = Duration::from_millis(1500);

fn loaded() -> Outcome {
    let mut stats = LoadStats {
        rejected_duplicates: 1,
        updated: 2,
        unchanged: 3,
        notes: 1,
        warnings_by_code: BTreeMap::from([(139, 1), (1062, 2)]),
        rejects: vec![
            ("r/a.rejected".to_owned(), "r/a.rejected.jsonl".to_owned()),
            ("r/b.rejected".to_owned(), "r/b.rejected.jsonl".to_owned()),
        ],
        ..LoadStats::clean(100)
    };
    stats.loaded.skipped = 4;
    stats.loaded.deleted = 5;
    stats.loaded.rejected = 6;
    stats.loaded.warnings = 3;
    Outcome::Loaded {
        object: object("a"),
        stats: Box::new(stats),
        verified: staging::Integrity::Checksum,
        again: true,
        attempts: 2,
        elapsed: ELAPSED,
    }
}

fn failed(key: &str, object: Option<Object>) -> Outcome {
    let (bucket, key) = ("b".to_owned(), key.to_owned());
    Outcome::Failed { bucket, key, object, error: failure(), attempts: 1, elapsed: ELAPSED }
}

fn checked(prediction: Prediction) -> Outcome {
    let checked = Checked {
        rows: 10,
        bad_rows: 1,
        duplicates: 2,
        notes: 3,
        warnings_by_code: BTreeMap::from([(1366, 1)]),
        shown: vec![bad_row()],
        prediction,
    };
    Outcome::Checked {
        object: object("c"),
        checked: Box::new(checked),
        verified: staging::Integrity::Part,
        attempts: 1,
        elapsed: ELAPSED,
    }
}

/// The report's file when these outcomes are in.
fn written(outcomes: &[Outcome], finish: impl FnOnce(Report)) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("report");
    let mut report = Report {
        lines: LineFile::create("--report", Some(&path), &[]).unwrap(),
        failed_keys: LineFile::create("--failed-keys", None, &[]).unwrap(),
        totals: LoadTotals::default(),
        check_totals: CheckTotals::default(),
        findings: Vec::new(),
    };
    for outcome in outcomes {
        report.record(outcome).unwrap();
    }
    finish(report);
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn the_names_and_values_of_a_loads_report_stay_as_they_are() {
    let outcomes = [
        loaded(),
        failed("bad", Some(object("bad"))),
        failed("unknown", None),
        Outcome::AlreadyLoaded { object: object("d") },
        Outcome::SkippedChanged { object: object("e") },
        Outcome::NotReached { object: object("f") },
    ];
    let run = RunId { id: "run".to_owned(), worker: "host:1".to_owned() };
    let job = Job {
        mode: Mode::Append,
        generation: 7,
        load_into: TableName { database: None, table: "t".to_owned() },
        is_resumed: false,
        was_partial: false,
    };
    let verified = TableVerification {
        rows: 90,
        are_rows_whole: true,
        columns: vec!["n".to_owned()],
        unverified: vec![Unverified { column: "f".to_owned(), reason: "FLOAT".to_owned() }],
    };
    let error = failure();
    let text = written(&outcomes, |report| {
        let _ = report.finish(RunEnd {
            skipped_keys: SkippedKeys { folder_markers: 1, hidden: 2, filtered_out: 3 },
            is_listing_complete: true,
            elapsed: ELAPSED,
            error: Some(&error),
            ledger: Some((&run, &job)),
            did_begin: true,
            verified: Some(&verified),
        });
    });
    insta::assert_snapshot!(text);
}

#[test]
fn what_a_summary_does_not_know_is_null() {
    let text = written(&[], |report| {
        let _ = report.finish(RunEnd::default());
    });
    insta::assert_snapshot!(text);
}

#[test]
fn the_names_and_values_of_a_checks_report_stay_as_they_are() {
    let outcomes = [
        checked(Prediction::Loads),
        checked(Prediction::Rejects(3)),
        checked(Prediction::Fails(failure())),
        failed("bad", Some(object("bad"))),
    ];
    let text = written(&outcomes, |report| {
        let not_checked = ["foreign keys are not checked".to_owned()];
        let _ = report.finish_check(RunEnd::default(), &not_checked, Some(9));
    });
    insta::assert_snapshot!(text);
}
