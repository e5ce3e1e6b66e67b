use super::super::document::to_line;
use super::*;
use serde_json::{Value, json};

fn object(number: u32, key: &str) -> Value {
    let millis = number * 100;
    json!({
        "type": "object", "status": "loaded", "bucket": "b", "key": key, "etag": "\"e\"",
        "size_bytes": 1000, "format": "delimited", "codec": null, "rows": 10, "new": null,
        "attempts": 1, "seconds": 0.4,
        "started_at": format!("2026-01-31T18:00:{:02}.{:03}Z", millis / 1000, millis % 1000),
        "download_seconds": 0.1, "wait_seconds": 0.1, "load_seconds": 0.15, "commit_seconds": 0.05,
        "connection": number % 4 + 1, "objects_in_transaction": 1, "error": null,
        "warnings_by_code": {"1265": 3},
    })
}

fn summary(more: &Value) -> Value {
    let mut summary = json!({
        "type": "summary", "run_id": "r1", "table": "d.t", "server": "MySQL",
        "server_version": "9.7.4", "sources": ["s3://b/a/"], "keys_from": null,
        "started_at": "2026-01-31T18:00:00.000Z", "ended_at": "2026-01-31T18:00:10.000Z",
        "exit_code": 0, "version": "0.1.0", "objects_listed": 3, "generation": 1,
        "objects_loaded": 3, "rows": 30, "bytes": 3000, "warnings_by_code": {"1265": 9},
        "listing_complete": true, "seconds": 10.0, "error": null, "passed_over": {
            "folder_markers": 1, "hidden": 0, "filtered_out": 0
        },
    });
    if let (Some(into), Some(more)) = (summary.as_object_mut(), more.as_object()) {
        into.extend(more.clone());
    }
    summary
}

fn read(lines: &[Value]) -> Result<Picture> {
    let text: String = lines.iter().map(|line| to_line(line) + "\n").collect();
    let mut picture = Picture::default();
    picture.read("run.jsonl", text.as_bytes())?;
    Ok(picture)
}

fn page(lines: &[Value]) -> String {
    read(lines).unwrap().page()
}

#[test]
fn a_page_has_the_verdict_the_counts_and_every_lane() {
    let page = page(&[object(0, "x"), object(1, "y"), object(2, "z"), summary(&json!({}))]);
    assert!(page.contains("<p class=\"verdict good\">Loaded 3 objects in 10.0 s.</p>"), "{page}");
    assert!(page.contains("<th>rows loaded</th><td class=\"number\">30</td>"), "{page}");
    assert!(page.contains("Exit code 0: every object is in the table."), "{page}");
    assert!(!page.contains("<th>ledger</th>"), "{page}");
    for connection in ["1", "2", "3"] {
        assert!(page.contains(&format!("<span>{connection}</span><svg class=\"lane\"")), "{page}");
    }
    assert_eq!(page.matches("class=\"hit\"").count(), 3);
    // The download of the second object, in its lane.
    assert!(page.contains("<path class=\"download full\" d=\"M10 1h10v7h-10z\"/>"), "{page}");
    assert!(page.contains("load, 450 ms in all"), "{page}");
}

#[test]
fn what_comes_from_outside_stays_text() {
    let evil = "\"><script>alert(1)</script>&'\u{202e}\u{1b}[2J";
    let failed = json!({
        "type": "object", "status": "failed", "bucket": "b", "key": evil, "seconds": 0.2,
        "started_at": "2026-01-31T18:00:01Z", "download_seconds": 0.1,
        "error": {"code": "bad_rows", "message": evil, "hint": evil, "row_count": 1, "rows": [
            {"line": 1, "row": 1, "column": evil, "code": 1366, "reason": evil, "raw": evil}
        ]},
    });
    let settings = json!({evil: {"value": evil, "from": evil}});
    let pauses = json!([{"started_at": "2026-01-31T18:00:02Z", "seconds": 1, "message": evil}]);
    let page = page(&[
        object(0, evil),
        failed,
        summary(&json!({
            "table": evil, "server": evil, "server_version": evil, "run_id": evil,
            "version": evil, "keys_from": evil, "sources": [evil], "settings": settings,
            "pauses": pauses, "paused_seconds": {evil: 1.0},
            "error": {"code": evil, "message": evil, "hint": evil},
        })),
    ]);
    assert!(!page.contains("<script") && !page.contains("alert(1)</"), "{page}");
    assert!(page.contains("&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;&amp;&#39;"), "{page}");
    assert!(!page.contains(['\u{202e}', '\u{1b}']), "{page}");
    // No tag but ours, and no attribute but ours.
    for tag in page.split('<').skip(1) {
        let name: String = tag.chars().take_while(char::is_ascii_alphanumeric).collect();
        let ours = [
            "", "html", "head", "meta", "title", "style", "body", "section", "h1", "h2", "p",
            "div", "span", "table", "tr", "th", "td", "pre", "details", "summary", "svg", "rect",
            "path", "line", "text", "code",
        ];
        assert!(ours.contains(&name.as_str()), "{name}");
        assert!(!tag.contains("onload") && !tag.contains(" style="), "{tag}");
    }
}

#[test]
fn the_policy_allows_the_style_and_nothing_else() {
    use base64::Engine as _;
    use sha2::Digest as _;
    let page = page(&[summary(&json!({}))]);
    let style = page.split_once("<style>").unwrap().1.split_once("</style>").unwrap().0;
    let hash = sha2::Sha256::digest(style);
    let hash = base64::engine::general_purpose::STANDARD.encode(hash);
    let policy = format!("default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'");
    assert!(page.contains(&policy), "{page}");
    for outside in ["http:", "https:", "url(", "@import", "src="] {
        assert!(!page.contains(outside), "{outside}: {page}");
    }
}

#[test]
fn failures_are_grouped_by_their_cause_with_their_rows() {
    let failed = |key: &str| {
        json!({
            "type": "object", "status": "failed", "bucket": "b", "key": key, "seconds": 0.2,
            "started_at": "2026-01-31T18:00:01Z", "download_seconds": 0.1, "load_seconds": 0.1,
            "connection": 1,
            "error": {
                "code": "bad_rows", "hint": "use --on-bad-row reject", "row_count": 4,
                "message": format!("s3://b/{key}: 4 of 9 rows are bad\n  line 2: x"),
                "rows": [{"line": 2, "row": 2, "column": "n", "code": 1366,
                    "reason": "column n (int): 'x' is not an integer", "raw": "x\ty"}],
            },
        })
    };
    let end = summary(&json!({"exit_code": 3, "objects_failed": 2, "objects_failed_new": 2}));
    let page = page(&[failed("1"), failed("2"), end]);
    assert!(page.contains("<p class=\"verdict bad\">"), "{page}");
    let headline = "failed: 2 objects, 8 rows: &#39;x&#39; is not an integer (column n)";
    assert!(page.contains(headline), "{page}");
    assert!(page.contains("  s3://b/2, line 2, column n: &#39;x&#39;\n"), "{page}");
    assert_eq!(page.matches("hint: use --on-bad-row reject").count(), 1, "{page}");
    assert!(page.contains("<span>failures</span>"), "{page}");
}

#[test]
fn a_check_says_what_would_go_wrong() {
    let checked = json!({
        "type": "object", "status": "checked", "bucket": "b", "key": "k", "rows": 9,
        "seconds": 0.2, "started_at": "2026-01-31T18:00:01Z", "download_seconds": 0.1,
        "error": null, "would": "load", "bad_rows": 1, "duplicates": 1, "would_be_rejected": 2,
        "first_rows": [{"line": 3, "column": "n", "code": 1366, "reason": "'x' is bad"}],
    });
    let end = summary(&json!({
        "objects_checked": 1, "would_load": 1, "would_lose_rows": 1, "would_be_rejected": 2,
        "exit_code": 7,
    }));
    let page = page(&[checked, end]);
    assert!(page.contains("Checked 1 object in 10.0 s: 2 rows would be rejected."), "{page}");
    assert!(page.contains("would lose rows: s3://b/k: 2 of 9 rows would be rejected"), "{page}");
}

#[test]
fn several_runs_are_on_one_page_and_a_killed_one_too() {
    let mut picture = read(&[
        object(0, "x"),
        summary(&json!({"table": "d.one"})),
        object(1, "y"),
        summary(&json!({"table": "d.two", "exit_code": 130, "error": {
            "code": "interrupted", "message": "the run was stopped by SIGINT"
        }})),
    ])
    .unwrap();
    picture.read("killed", (to_line(&object(2, "z")) + "\n").as_bytes()).unwrap();
    let page = picture.page();
    assert_eq!(page.matches("<section ").count(), 3);
    assert!(page.contains("<a href=\"#run2\">d.two</a>"), "{page}");
    assert!(page.contains("The run was stopped after it loaded 3 objects"), "{page}");
    assert!(page.contains("The report has no summary: the run was killed"), "{page}");
}

#[test]
fn an_older_report_lacks_some_fields_and_is_drawn() {
    let mut old = object(0, "x");
    old.as_object_mut().unwrap().retain(|name, _| {
        ["type", "status", "bucket", "key", "rows", "seconds"].contains(&name.as_str())
    });
    assert!(page(&[old, summary(&json!({}))]).contains("Loaded 3 objects"));
}

#[test]
fn a_broken_line_is_named_with_its_file_and_number() {
    let error = |text: &[u8]| {
        let whole = to_line(&object(0, "x")) + "\n";
        let text = [whole.as_bytes(), text].concat();
        Picture::default().read("r.jsonl", &*text).unwrap_err().to_string()
    };
    let cut = error(b"{\"type\":\"object\",\"status\":\"loa");
    let expected = "r.jsonl, line 2: it is not a line of a report: EOF while parsing a string";
    assert!(cut.starts_with(expected), "{cut}");
    for (line, why) in [
        (
            &b"{\"type\":\"object\",\"status\":\"loaded\",\"bucket\":\"b\"}"[..],
            "missing field `key`",
        ),
        (b"{\"type\":\"other\"}", "unknown variant `other`"),
        (b"[]", "it is not a line of a report"),
        (b"\xff\n", "it is not UTF-8"),
    ] {
        let error = error(line);
        assert!(error.starts_with("r.jsonl, line 2: ") && error.contains(why), "{error}");
    }
    let mut bad = object(0, "x");
    bad["started_at"] = json!("yesterday");
    let error = read(&[bad]).unwrap_err().to_string();
    assert!(error.contains("line 1: ") && error.contains("'yesterday' is not a time"), "{error}");
    let mut bad = object(0, "x");
    bad["load_seconds"] = json!(-1);
    assert!(read(&[bad]).unwrap_err().to_string().contains("-1 is not a number of seconds"));
    let error = Picture::default().read("empty", &b"\n"[..]).unwrap_err().to_string();
    assert_eq!(error, "empty is empty");
}

#[test]
fn ten_thousand_objects_make_a_page_of_bounded_size() {
    let mut picture = Picture::default();
    for number in 0..10_000 {
        picture.add(&to_line(&object(number % 600, &format!("{number}")))).unwrap();
    }
    picture.add(&to_line(&summary(&json!({"ended_at": "2026-01-31T18:01:00Z"})))).unwrap();
    let page = picture.page();
    assert!(page.len() < 500_000, "{}", page.len());
    assert_eq!(page.matches("class=\"hit\"").count(), 300);
}
