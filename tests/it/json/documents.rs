//! Documents of JSON, whose records are not lines.

use std::fmt::Write as _;

use anyhow::{Result, ensure};

use super::super::packed::gzip;
use super::rejected;
use crate::registry::{apply, load_test};
use crate::support::lines::{expect_failure, outcome};
use crate::support::numbered_rows::expect_rows;
use crate::support::program::{Ended, TestEnv, finish, signal};
use crate::support::proxy::{Break, Proxy, Step};
use crate::support::values::ensure_values;

async fn load(env: &TestEnv, code: i32, args: &[&str]) -> Result<Ended> {
    let report = env.path("report").display().to_string();
    let args = [&["--format", "json", "--report", &report], args].concat();
    let ended = env.load_ending(code, "t", &args).await?;
    env.ensure_nothing_staged()?;
    Ok(ended)
}

#[apply(load_test)]
async fn records_without_line_breaks_and_in_arrays_are_rows(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT, s VARCHAR(20), j JSON) CHARSET utf8mb4").await?;
    env.put("firehose", r#"{"id":1,"s":"}{"}{"id":2,"s":"a\"b"}"#)?;
    env.put(
        "pretty",
        "{\n  \"id\": 3,\n  \"j\": {\n    \"a\": [1, 2]\n  }\n}\n{\n  \"id\": 4\n}\n",
    )?;
    env.put("array", "\u{feff}[{\"id\":5,\"s\":\"[\"},\n {\"id\":6}]\n")?;
    env.put("array.gz", gzip(b"[{\"id\":7},{\"id\":8}]")?)?;
    env.put("empty", " []\n")?;
    load(&env, 0, &[]).await?;
    ensure_values(
        &env.schema,
        "SELECT id, s, JSON_EXTRACT(j, '$.a[1]') FROM t ORDER BY id",
        &["1|}{|∅", "2|a\\\"b|∅", "3|∅|2", "4|∅|∅", "5|[|∅", "6|∅|∅", "7|∅|∅", "8|∅|∅"],
    )
    .await?;
    let packed = outcome(&env, "report", "array.gz")?;
    ensure!(packed["codec"] == "gzip" && packed["format"] == "json", "{packed}");
    ensure!(outcome(&env, "report", "array")?["codec"].is_null());
    Ok(())
}

#[apply(load_test)]
async fn documents_have_their_rows_at_a_path(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (eventID VARCHAR(9), arn VARCHAR(40), raw JSON)").await?;
    env.put(
        "trail.json.gz",
        gzip(
            br#"{"Version":"1.0","Records":[{"eventID":"a","userIdentity":{"arn":"arn:aws:1"}},
                {"eventID":"b","userIdentity":null,"requestParameters":{"Records":[1]}}]}"#,
        )?,
    )?;
    let args = ["--rows-at", "$.Records", "--field", "arn=$.userIdentity.arn", "--field", "raw=$"];
    load(&env, 0, &args).await?;
    ensure_values(
        &env.schema,
        "SELECT eventID, arn, JSON_EXTRACT(raw, '$.eventID') FROM t ORDER BY eventID",
        &["a|arn:aws:1|\\\"a\\\"", "b|∅|\\\"b\\\""],
    )
    .await?;
    env.put("digest", "{\"digest\":1}")?;
    let ended = load(&env, 3, &args).await?;
    expect_failure(&env, "report", "digest", "malformed")?;
    ended.says("byte 11: the document ends, and has no array at the path of rows-at")
}

#[apply(load_test)]
async fn a_broken_document_fails_whole_and_a_bad_record_is_one_row(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT)").await?;
    env.put("cut", "[{\"id\":1},{\"id\":2}")?;
    env.put("quote.gz", gzip(b"[{\"id\":1},\n{\"id:2}\n]")?)?;
    load(&env, 3, &[]).await?;
    for key in ["cut", "quote.gz"] {
        expect_failure(&env, "report", key, "malformed")?;
    }
    let message = outcome(&env, "report", "quote.gz")?["error"]["message"].to_string();
    ensure!(message.contains("byte 18") && message.contains("in its gzip content"), "{message}");
    for key in ["cut", "quote.gz"] {
        env.s3.backend().remove("etl", key);
    }
    env.put("a", "[{\"id\":1}, {\"id\":\n nul},\n7, {\"id\":2.5}, {\"id\":3}]")?;
    let ended = load(&env, 3, &[]).await?;
    ended.says("3 of 5 rows are bad")?;
    ended.says("row 2: the record is not JSON")?;
    ended.says("row 4, column id (int): '2.5' is not a whole number")?;
    ensure!(env.count("t").await? == 0);
    let rejects = env.path("rejects").display().to_string();
    load(&env, 7, &["--on-bad-row", "reject", "--rejects", &rejects]).await?;
    ensure_values(&env.schema, "SELECT id FROM t ORDER BY id", &["1", "3"]).await?;
    let text = rejected(&env)?;
    ensure!(text == b"{\"id\":nul}\n7\n{\"id\":2.5}\n", "{}", text.escape_ascii());
    Ok(())
}

const ROWS: u64 = 5000;
const PART: [&str; 2] = ["--part-size", "16KiB"];

/// Returns records in ways that both formats read: lines, or an array with line breaks.
fn records(is_array: bool) -> String {
    let mut text = String::from(if is_array { "[\n" } else { "" });
    for id in 1..=ROWS {
        let comma = if is_array && id > 1 { ",\n  " } else { "" };
        let end = if is_array { "" } else { "\n" };
        let _ = write!(text, "{comma}{{\"id\": {id}, \"v\": \"value number {id:06}\"}}{end}");
    }
    text + if is_array { "]" } else { "\n\n" }
}

#[apply(load_test)]
async fn large_objects_of_json_are_split_and_completed_after_a_kill(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT NOT NULL, v VARCHAR(40) NOT NULL)").await?;
    let objects = [
        ("jsonl", records(false).into_bytes()),
        ("jsonl", gzip(records(false).as_bytes())?),
        ("json", records(true).into_bytes()),
        ("json", gzip(records(true).as_bytes())?),
    ];
    for (format, object) in objects {
        env.put("a", object)?;
        let proxy = Proxy::start(env.server.port()).await?;
        let held = proxy.after(4, Step::LoadCommit, Break::Hold);
        let args = [&PART[..], &["--load-concurrency", "1", "--format", format]].concat();
        let child = env.load_through(proxy.port(), &args).spawn()?;
        held.wait().await?;
        signal(&child, "KILL")?;
        finish(child).await?;
        held.release();
        let loaded = env.count("t").await?;
        ensure!(loaded > 0 && loaded < ROWS, "{loaded}");
        let again = [&PART[..], &["--format", format]].concat();
        env.load_ending(0, "t", &again).await?;
        expect_rows(&env, ROWS).await?;
        let parts: u64 = env
            .schema
            .query_one("SELECT COUNT(*) FROM s3_to_mysql_parts WHERE loaded_at IS NOT NULL")
            .await?;
        ensure!(parts > 5, "{parts} parts");
        let ended = env.load_ending(0, "t", &again).await?;
        ensure!(ended.summary("already loaded")? == "1", "{ended}");
        env.start_afresh("t").await?;
        env.schema.exec("DELETE FROM s3_to_mysql_parts").await?;
    }
    Ok(())
}

#[apply(load_test)]
async fn the_last_part_of_a_broken_document_is_never_loaded(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT NOT NULL, v VARCHAR(40) NOT NULL)").await?;
    let whole = records(true);
    for broken in [&whole[..whole.len() - 1], &whole[..whole.len() - 30], &format!("{whole}]")] {
        env.put("a", broken.to_owned())?;
        for _ in 0..2 {
            load(&env, 3, &PART).await?;
            expect_failure(&env, "report", "a", "malformed")?;
            let count = env.count("t").await?;
            ensure!(count < ROWS, "{count}");
        }
        env.start_afresh("t").await?;
        env.schema.exec("DELETE FROM s3_to_mysql_parts").await?;
    }
    Ok(())
}
