use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use serde_json::{Value, json};

use super::*;

fn object(key: &str) -> ObjectName {
    ObjectName { bucket: "b".into(), key: key.into(), etag: "\"e\"".into(), object_id: "0".into() }
}

fn local(path: &Path) -> Rejects {
    Rejects { destination: Destination::Directory(Arc::new(Directory::open(path).unwrap())) }
}

const BAD: Reason<'_> = Reason {
    kind: ReasonKind::BadRow,
    code: 1265,
    column: Some("n"),
    reason: "Data truncated for column 'n' at row 1",
};
const TWIN: Reason<'_> =
    Reason { kind: ReasonKind::Duplicate, code: 1062, column: None, reason: "Duplicate entry '1'" };

fn row<'a>(number: u64, raw: &'a [u8], reasons: &'a [Reason<'a>]) -> RejectedRow<'a> {
    RejectedRow {
        row: number,
        line: number + 1,
        offset: 10 * number,
        raw,
        terminator: b"\n",
        reasons,
    }
}

pub(super) fn listed(path: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn lines(path: &str) -> Vec<Value> {
    fs::read_to_string(path)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test]
async fn rejected_rows_stand_below_the_objects_own_head_and_their_reasons_beside_them() {
    let home = tempfile::tempdir().unwrap();
    let mut file = local(home.path()).begin(
        object("dir/k \u{2028}\".csv"),
        Some(3),
        b"\xEF\xBB\xBFn,s\n".to_vec(),
    );
    file.add(&row(2, b"x,\"two\nlines\"", &[BAD, TWIN])).unwrap();
    let odd = Reason { column: Some("ä\n"), reason: "a \"b\"\n\u{1}", ..TWIN };
    file.add(&row(7, b"\xFF\x00,", &[odd])).unwrap();
    assert_eq!(file.rows(), 2);
    assert_eq!(listed(home.path()), [""; 0], "nothing is there before it is whole");
    let published = file.publish().await.unwrap().unwrap();

    assert_eq!(published.rows, 2);
    assert_eq!(
        fs::read(&published.data).unwrap(),
        b"\xEF\xBB\xBFn,s\nx,\"two\nlines\"\n\xFF\x00,\n"
    );
    let line = |row: u64, reject_line: u64, column: Value, code: u16, reason: &str, kind: &str| {
        json!({
            "bucket": "b", "key": "dir/k \u{2028}\".csv", "etag": "\"e\"", "part": 3, "row": row,
            "line": row + 1, "offset": 10 * row, "reject_line": reject_line, "column": column,
            "code": code, "reason": reason, "kind": kind,
        })
    };
    assert_eq!(
        lines(&published.sidecar),
        [
            line(2, 2, json!("n"), 1265, BAD.reason, "bad_row"),
            line(2, 2, Value::Null, 1062, TWIN.reason, "duplicate"),
            line(7, 4, json!("ä\n"), 1062, "a \"b\"\n\u{1}", "duplicate"),
        ]
    );
    assert_eq!(listed(home.path()).len(), 2);
    for path in [&published.data, &published.sidecar] {
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o7777, 0o600);
    }
}

#[tokio::test]
async fn lines_of_rejects_end_at_the_terminator_where_it_has_no_line_feed() {
    let home = tempfile::tempdir().unwrap();
    let mut file = local(home.path()).begin(object("k"), None, b"head;".to_vec());
    for number in 1..=3 {
        file.add(&RejectedRow { terminator: b";", ..row(number, b"a\nb", &[BAD]) }).unwrap();
    }
    let published = file.publish().await.unwrap().unwrap();
    let reject_lines: Vec<Value> =
        lines(&published.sidecar).iter().map(|line| line["reject_line"].clone()).collect();
    assert_eq!(reject_lines, [2, 3, 4]);
    assert_eq!(lines(&published.sidecar)[0]["part"], Value::Null);
}

#[tokio::test]
async fn what_a_chunk_added_is_taken_back_when_it_is_tried_again() {
    let home = tempfile::tempdir().unwrap();
    let mut file = local(home.path()).begin(object("k"), None, b"head\n".to_vec());
    let start = file.mark();
    // More than the buffer holds, so that there is a file to rewind.
    let large = vec![b'x'; 100_000];
    file.add(&row(1, &large, &[BAD])).unwrap();
    file.rewind(start).unwrap();
    assert_eq!(file.rows(), 0);
    file.add(&row(1, b"one", &[BAD])).unwrap();
    let first = file.mark();
    for number in 2..2000 {
        file.add(&row(number, &large[..500], &[BAD, TWIN])).unwrap();
    }
    file.rewind(first).unwrap();
    assert_eq!((file.rows(), file.mark()), (1, first));
    file.add(&row(5, b"five", &[TWIN])).unwrap();
    let published = file.publish().await.unwrap().unwrap();
    assert_eq!(fs::read(&published.data).unwrap(), b"head\none\nfive\n");
    let places: Vec<_> = lines(&published.sidecar)
        .iter()
        .map(|line| (line["row"].as_u64().unwrap(), line["reject_line"].as_u64().unwrap()))
        .collect();
    assert_eq!(places, [(1, 2), (5, 3)]);
}

#[tokio::test]
async fn a_retry_overwrites_and_one_without_rejects_removes() {
    let home = tempfile::tempdir().unwrap();
    let rejects = local(home.path());
    for content in [b"a long first try".as_slice(), b"second"] {
        let mut file = rejects.begin(object("k"), None, Vec::new());
        file.add(&row(1, content, &[BAD])).unwrap();
        let published = file.publish().await.unwrap().unwrap();
        assert_eq!(fs::read(&published.data).unwrap(), [content, b"\n"].concat());
        assert_eq!(listed(home.path()).len(), 2);
    }
    let mut other = rejects.begin(object("other"), None, Vec::new());
    other.add(&row(1, b"x", &[BAD])).unwrap();
    let other = other.publish().await.unwrap().unwrap();

    let mut clean = rejects.begin(object("k"), None, b"head\n".to_vec());
    let mark = clean.mark();
    clean.add(&row(1, b"taken back", &[BAD])).unwrap();
    clean.rewind(mark).unwrap();
    assert_eq!(clean.publish().await.unwrap(), None);
    assert_eq!(listed(home.path()).len(), 2);
    assert!(fs::exists(&other.data).unwrap() && fs::exists(&other.sidecar).unwrap());
}

#[tokio::test]
async fn a_try_that_is_given_up_leaves_the_earlier_files_and_none_of_its_own() {
    let home = tempfile::tempdir().unwrap();
    let rejects = local(home.path());
    let mut earlier = rejects.begin(object("k"), None, Vec::new());
    earlier.add(&row(1, b"earlier", &[BAD])).unwrap();
    let published = earlier.publish().await.unwrap().unwrap();
    let mut given_up = rejects.begin(object("k"), None, Vec::new());
    given_up.add(&row(1, &vec![b'x'; 200_000], &[BAD])).unwrap();
    assert_eq!(listed(home.path()).len(), 3, "a temporary file is under way");
    drop(given_up);
    assert_eq!(listed(home.path()).len(), 2);
    assert_eq!(fs::read(&published.data).unwrap(), b"earlier\n");
}

#[tokio::test]
async fn a_directory_that_is_gone_or_a_name_that_is_taken_is_an_error_that_costs_the_object() {
    use crate::error::Consequence;

    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("rejects");
    let rejects = local(&path);
    let mut file = rejects.begin(object("k"), None, Vec::new());
    file.add(&row(1, b"x", &[BAD])).unwrap();
    fs::create_dir(rejects.destination.place(&file.names.data)).unwrap();
    let error = file.publish().await.unwrap_err();
    assert_eq!(
        (error.kind, error.kind.consequence()),
        (ErrorKind::RejectsUnwritable, Consequence::FailObject)
    );
    assert!(
        error.one_line().starts_with("s3://b/k: its rejects cannot be written to"),
        "{}",
        error.one_line()
    );
    assert!(!listed(&path).iter().any(|name| name.starts_with('.')), "no temporary file is left");

    fs::remove_dir_all(&path).unwrap();
    let mut file = rejects.begin(object("k"), None, Vec::new());
    let error = file.add(&row(1, &vec![b'x'; 100_000], &[BAD])).unwrap_err();
    assert_eq!(error.kind, ErrorKind::RejectsUnwritable);
    assert!(error.hint().is_some());
}

#[tokio::test]
async fn two_hundred_thousand_rows_take_no_more_memory_than_two_buffers() {
    let home = tempfile::tempdir().unwrap();
    let mut file = local(home.path()).begin(object("k"), None, Vec::new());
    for number in 1..=200_000 {
        file.add(&row(number, b"0123456789,abc", &[BAD])).unwrap();
    }
    let buffered_bytes = file.data.buffer_bytes() + file.reasons.buffer_bytes();
    assert!(buffered_bytes <= 256 * 1024, "{buffered_bytes}");
    let published = file.publish().await.unwrap().unwrap();
    assert_eq!(published.rows, 200_000);
    assert_eq!(fs::metadata(&published.data).unwrap().len(), 200_000 * 15);
    let last = fs::read_to_string(&published.sidecar).unwrap();
    assert_eq!(last.lines().count(), 200_000);
    assert!(last.lines().last().unwrap().contains("\"row\":200000,"));
}

#[tokio::test]
async fn a_place_that_cannot_be_used_is_a_usage_error() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("file");
    fs::write(&file, "").unwrap();
    let retry = RetryConfig { max_attempts: 1, max_elapsed: Duration::ZERO };
    let config = crate::source::SourceConfig {
        uris: Vec::new(),
        keys_from: None,
        include: Vec::new(),
        exclude: Vec::new(),
        key_regex: None,
        modified_after: None,
        modified_before: None,
        skip_hidden: true,
        refuse_lakes: false,
        allow_empty: false,
        region: None,
        profile: None,
        endpoint_url: Some("http://127.0.0.1:9".into()),
        path_style: Some(true),
        no_sign_request: true,
        request_payer: false,
        connect_timeout: Duration::from_secs(1),
        stall_timeout: Duration::from_secs(1),
    };
    let s3 = S3::new(&config).await.unwrap();
    let error =
        Rejects::open(&RejectsTo::Directory(file), s3, home.path(), &retry).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Usage);
    assert!(error.hint().is_some());
}
