use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::check::SetNull;
use crate::error::{BadRow, BadRows, ErrorKind, RawRow};
use crate::ledger::{Job, JobTotals, RunId};
use crate::object::Object;
use crate::policy::Mode;
use crate::source::SkippedKeys;
use crate::sql_text::TableName;
use crate::staging;
use crate::terminal::Paint;
use crate::throttle::{Pause, PauseReason, Pauses};
use crate::unpack::{Codec, Codecs};
use crate::verify::{TableVerification, Unverified};

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
        .with_bad_rows(BadRows { shown: vec![bad_row()], more: 0, count: None })
}

const ELAPSED: Duration = Duration::from_millis(1500);

fn timing() -> Timing {
    Timing { elapsed: ELAPSED, ..Timing::starting_at(TIME.parse().unwrap()) }
}

const TIME: &str = "2026-01-31T18:00:00Z";

fn facts() -> RunFacts {
    RunFacts {
        run_id: "run".to_owned(),
        table: "d.t".to_owned(),
        server: Some(("MySQL".to_owned(), "9.7.4".to_owned())),
        sources: vec!["s3://b/a/".to_owned()],
        keys_from: None,
        started_at: TIME.parse().unwrap(),
        settings: BTreeMap::from([(
            "table".to_owned(),
            GivenSetting { value: "\"t\"".to_owned(), from: "command line, --table".to_owned() },
        )]),
        job: None,
    }
}

fn loaded() -> Outcome {
    let mut stats = LoadStats {
        rejected_duplicates: 1,
        updated: 2,
        unchanged: 3,
        note_rows: 7,
        changed_rows: 8,
        first_inexact: BadRows { shown: vec![bad_row()], more: 14, count: None },
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
        codecs: Some(Codecs { outer: Codec::Gzip, inner: None }),
        again: true,
        attempts: 2,
        timing: Timing {
            download: Some(Duration::from_millis(500)),
            wait: Some(Duration::from_millis(250)),
            load: Some(Duration::from_millis(700)),
            commit: Some(Duration::from_millis(50)),
            connection: Some(3),
            objects_in_transaction: Some(1),
            ..timing()
        },
    }
}

fn failed(key: &str, object: Option<Object>) -> Outcome {
    let (bucket, key) = ("b".to_owned(), key.to_owned());
    let is_known = key == "unknown";
    let (error, attempts, timing) = (failure(), 1, timing());
    Outcome::Failed { bucket, key, object, is_known, error, attempts, timing }
}

fn checked(prediction: Prediction) -> Outcome {
    let checked = Checked {
        rows: 10,
        bad_rows: 1,
        duplicates: 2,
        note_rows: 5,
        first_notes: BadRows { shown: vec![bad_row()], more: 4, count: None },
        notes: 3,
        set_nulls: vec![SetNull { column: "d".to_owned(), rows: 4, example: b"x, y".to_vec() }],
        warnings_by_code: BTreeMap::from([(1366, 1)]),
        shown: vec![bad_row()],
        prediction,
    };
    Outcome::Checked {
        object: object("c"),
        checked: Box::new(checked),
        verified: staging::Integrity::Part,
        codecs: None,
        attempts: 1,
        timing: timing(),
    }
}

/// Returns the text of the report's file after these outcomes.
fn written(outcomes: &[Outcome], finish: impl FnOnce(&mut Report)) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("report");
    let mut report = report(Some(&path), SummaryStyle::Text, outcomes);
    finish(&mut report);
    assert!(report.publish().1.is_empty());
    std::fs::read_to_string(path).unwrap()
}

fn run() -> RunId {
    RunId { id: "run".to_owned(), worker: "host:1".to_owned() }
}

fn job() -> Job {
    Job {
        mode: Mode::Append,
        generation: 7,
        load_into: TableName { database: None, table: "t".to_owned() },
        is_resumed: false,
        was_partial: false,
        was_emptied: false,
    }
}

/// Returns a report with these outcomes.
fn report(path: Option<&Path>, style: SummaryStyle, outcomes: &[Outcome]) -> Report {
    let to = path.map(|path| ReportTo::File(path.to_owned()));
    let mut report = Report {
        run: facts(),
        format: ObjectFormat::Delimited,
        lines: SharedLines::new(
            LineFile::create("--report", to.as_ref(), "run", Path::new("/tmp")).unwrap(),
        ),
        failed_keys: SharedLines::new(LineFile::default()),
        only: ReportOnly::All,
        totals: LoadTotals::default(),
        check_totals: CheckTotals::default(),
        causes: Causes::default(),
        notes: Notes::default(),
        style,
        error_paint: Paint::PLAIN,
        picture: None,
        shared_totals: None,
    };
    for outcome in outcomes {
        report.record(outcome).unwrap();
    }
    report
}

const TABLE: SummaryStyle = SummaryStyle::Table(Paint::PLAIN);

fn clean(rows: u64) -> Outcome {
    Outcome::Loaded {
        object: Object { size_bytes: 760_000_000, ..object("a") },
        stats: Box::new(LoadStats::clean(rows)),
        verified: staging::Integrity::Length,
        codecs: None,
        again: false,
        attempts: 1,
        timing: timing(),
    }
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
    let (run, job) = (run(), job());
    let verified = TableVerification {
        rows: 90,
        are_rows_whole: true,
        columns: vec!["n".to_owned()],
        unverified: vec![Unverified { column: "f".to_owned(), reason: "FLOAT".to_owned() }],
    };
    let error = failure();
    let text = written(&outcomes, |report| {
        let part = EndedPart {
            object: object("a"),
            number: 1,
            status: PartStatus::AlreadyLoaded,
            offset: 100,
            size_bytes: 50,
            rows: 7,
            attempts: 1,
            timing: timing(),
        };
        report.record_part(&part).unwrap();
        let pause = Pause {
            started_at: TIME.parse().unwrap(),
            duration: ELAPSED,
            reason: PauseReason::ReplicaLag,
            message: "replica r is 9 s behind".to_owned(),
        };
        let sums = BTreeMap::from([(PauseReason::ReplicaLag, ELAPSED)]);
        let pauses = Pauses { first: vec![pause], sums };
        let _ = report.write_end(&RunEnd {
            skipped_keys: SkippedKeys { folder_markers: 1, hidden: 2, filtered_out: 3 },
            is_listing_complete: true,
            elapsed: ELAPSED,
            exit_code: 3,
            objects_listed: 6,
            errors: std::slice::from_ref(&error),
            ledger: Some((&run, &job)),
            did_begin: true,
            verified: Some(&verified),
            created_table: None,
            job_end: Some(&JobEnd {
                mode: Mode::Swap,
                is_resumed: true,
                is_finished: false,
                totals: JobTotals { objects: 11, rows: 12 },
            }),
            pauses: Some(&pauses),
        });
    });
    insta::assert_snapshot!(text);
}

#[test]
fn what_a_summary_does_not_know_is_null() {
    let text = written(&[], |report| {
        report.run.server = None;
        let _ = report.write_end(&RunEnd::default());
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
        let end = CheckEnd { not_checked: &not_checked, sample: Some(9), ..CheckEnd::default() };
        let _ = report.write_check_end(&end);
    });
    insta::assert_snapshot!(text);
}

/// Returns the summary of a load without an error of its own.
fn shown(outcomes: &[Outcome], elapsed: Duration) -> String {
    let (run, job) = (run(), job());
    let end = RunEnd {
        is_listing_complete: true,
        elapsed,
        ledger: Some((&run, &job)),
        did_begin: true,
        ..RunEnd::default()
    };
    whole(report(None, TABLE, outcomes).end_texts(end))
}

/// Returns what a terminal shows.
fn whole(texts: EndTexts) -> String {
    texts.problems + &texts.summary
}

#[test]
fn a_table_has_separators_and_binary_units_and_no_line_that_says_nothing() {
    insta::assert_snapshot!(shown(&[clean(6_001_215)], Duration::from_millis(31_240)));
}

#[test]
fn a_table_of_a_load_names_what_failed_and_gives_each_hint_once() {
    let outcomes = [
        loaded(),
        failed("bad", Some(object("bad"))),
        failed("unknown", None),
        Outcome::AlreadyLoaded { object: object("d") },
        Outcome::SkippedChanged { object: object("e") },
        Outcome::NotReached { object: object("f") },
    ];
    let verified = TableVerification {
        rows: 90,
        are_rows_whole: false,
        columns: vec!["n".to_owned()],
        unverified: vec![Unverified { column: "f".to_owned(), reason: "FLOAT".to_owned() }],
    };
    let end = RunEnd {
        skipped_keys: SkippedKeys { folder_markers: 1, hidden: 2, filtered_out: 3000 },
        is_listing_complete: false,
        elapsed: Duration::from_secs(3725),
        did_begin: true,
        verified: Some(&verified),
        ..RunEnd::default()
    };
    insta::assert_snapshot!(whole(report(None, TABLE, &outcomes).end_texts(end)));
}

#[test]
fn a_hint_of_the_error_that_ended_the_run_is_not_repeated() {
    let error = failure();
    let errors = std::slice::from_ref(&error);
    let end = RunEnd { errors, is_listing_complete: true, did_begin: true, ..RunEnd::default() };
    let text = whole(report(None, TABLE, &[failed("bad", None)]).end_texts(end));
    assert!(text.contains("\nThe run failed after it loaded 0 objects in 0.0 s.\n"), "{text}");
    assert!(!text.contains("hint: "), "{text}");
}

#[test]
fn a_table_of_a_check_says_what_would_go_wrong() {
    let outcomes = [
        checked(Prediction::Loads),
        checked(Prediction::Rejects(3)),
        checked(Prediction::Fails(failure())),
    ];
    let not_checked = ["foreign keys are not checked".to_owned()];
    let end = RunEnd {
        is_listing_complete: true,
        elapsed: Duration::from_secs(75),
        did_begin: true,
        ..RunEnd::default()
    };
    let whole_check = CheckEnd { run: end, not_checked: &not_checked, sample: None };
    let all = whole(report(None, TABLE, &outcomes).check_end_texts(whole_check));
    let sampled = CheckEnd { run: end, not_checked: &[], sample: Some(9) };
    let sample = whole(report(None, TABLE, &outcomes[..1]).check_end_texts(sampled));
    insta::assert_snapshot!(format!("{all}----\n{sample}"));
}

#[test]
fn a_sentence_says_what_became_of_the_run() {
    let sentence = |outcomes: &[Outcome]| {
        let shown = shown(outcomes, ELAPSED);
        let sentence = shown.lines().find(|line| line.ends_with('.'));
        sentence.unwrap_or_default().to_owned()
    };
    let done = || Outcome::AlreadyLoaded { object: object("d") };
    assert_eq!(sentence(&[]), "No object matched, and nothing was loaded.");
    assert_eq!(sentence(&[done()]), "Nothing was left to load.");
    assert_eq!(sentence(&[done(), clean(1)]), "Loaded 1 object in 1.5 s.");
    assert_eq!(sentence(&[loaded()]), "Loaded 1 object in 1.5 s, but rejected 6 rows.");
    let failed = failed("bad", None);
    assert_eq!(sentence(&[clean(1), failed]), "Loaded 1 object in 1.5 s, but 1 failed.");
}

#[test]
fn the_widest_table_fits_a_terminal_of_80_columns() {
    let mut stats = LoadStats::clean(u64::MAX / 4);
    stats.loaded.rejected = u64::MAX / 8;
    stats.rejected_duplicates = u64::MAX / 8;
    stats.loaded.warnings = u64::MAX / 4;
    stats.warnings_by_code = (1000..1100).map(|code| (code, u64::MAX / 400)).collect();
    let outcome = Outcome::Loaded {
        object: Object { size_bytes: u64::MAX, ..object("a") },
        stats: Box::new(stats),
        verified: staging::Integrity::Length,
        codecs: None,
        again: true,
        attempts: 1,
        timing: timing(),
    };
    let text = shown(&[outcome], Duration::from_secs(1));
    let widest = text.lines().map(|line| line.chars().count()).max();
    assert_eq!(widest, Some(80), "{text}");
}

#[test]
fn a_summary_in_json_is_the_last_line_of_the_report() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("report");
    let mut report = report(Some(&path), SummaryStyle::Json, &[clean(1)]);
    assert!(report.write_end(&RunEnd::default()).is_none());
    let text = report.end_texts(RunEnd::default()).summary;
    assert!(report.publish().1.is_empty());
    let written = std::fs::read_to_string(&path).unwrap();
    assert_eq!(Some(text.trim_end()), written.lines().last());
}
