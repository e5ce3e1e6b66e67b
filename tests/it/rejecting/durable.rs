//! Reject files are complete before the COMMIT that leaves their rows out, wherever they go and
//! whatever breaks.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tokio::process::Command;

use crate::registry::{apply, load_test};
use crate::support::lines::{expect_failure, outcome};
use crate::support::program::{BUCKET, Ended, TestEnv, finish, signal};
use crate::support::proxy::{Break, Proxy, Step};
use crate::support::s3::{Fault, Keys, Operation, Refusal, Times, client};
use crate::support::values::ensure_values;

/// Four rows: two are bad, one is a duplicate, and one is good.
const ROWS: &str = "1\tone\n2\tmuch too long\n1\tagain\n3\tx\tx\n";
const BAD: &str = "2\tmuch too long\n3\tx\tx\n";
const ALL_BAD: &str = "2\tmuch too long\n1\tagain\n3\tx\tx\n";

async fn prepare(env: &TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT, v VARCHAR(5), k INT AS (id) STORED UNIQUE)").await?;
    env.put("data/1", ROWS)
}

/// Returns the command that loads `s3://etl/data/` with its rejects in `to`.
fn command(env: &TestEnv, proxy: Option<&Proxy>, to: &str, args: &[&str]) -> Command {
    let report = env.path("report").display().to_string();
    let base = [
        "load",
        "s3://etl/data/",
        "--table",
        "t",
        "--columns",
        "id,v",
        "--on-bad-row",
        "reject",
        "--rejects",
        to,
    ];
    let mut command = env.command(base.iter().chain(args));
    command.args(["--report", &report]);
    if let Some(proxy) = proxy {
        // The proxy cannot read encrypted packets. It offers no compression.
        command.args(["--ssl-mode", "DISABLED", "--port", &proxy.port().to_string()]);
    }
    command
}

async fn run(env: &TestEnv, proxy: Option<&Proxy>, to: &str, args: &[&str]) -> Result<Ended> {
    finish(command(env, proxy, to, args).spawn()?).await
}

fn local(env: &TestEnv) -> String {
    env.path("rejects").display().to_string()
}

const HELD: &str = "s3://etl/held/";

/// Returns every file of a directory by its name.
fn files(directory: impl AsRef<Path>) -> Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        files.insert(name, std::fs::read_to_string(entry.path())?);
    }
    Ok(files)
}

/// Returns every object below `held/` by its name.
async fn objects(env: &TestEnv) -> Result<BTreeMap<String, String>> {
    let mut objects = BTreeMap::new();
    for key in env.s3.backend().keys(BUCKET) {
        if let Some(name) = key.strip_prefix("held/") {
            let got = client(&env.s3).get_object().bucket(BUCKET).key(&key).send().await?;
            objects.insert(name.to_owned(), String::from_utf8(got.body.collect().await?.to_vec())?);
        }
    }
    Ok(objects)
}

/// Requires the two files of one object, with these rows.
fn ensure_whole(files: &BTreeMap<String, String>, rows: &str) -> Result<()> {
    let names: Vec<&String> = files.keys().collect();
    ensure!(files.len() == 2 && *names[1] == format!("{}.jsonl", names[0]), "{names:?}");
    ensure!(files[names[0]] == rows, "{files:#?}");
    let reasons: Vec<Value> =
        files[names[1]].lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let mut numbers: Vec<u64> =
        reasons.iter().filter_map(|reason| reason["row"].as_u64()).collect();
    numbers.dedup();
    ensure!(numbers.len() == rows.lines().count() && files[names[1]].ends_with('\n'), "{files:#?}");
    Ok(())
}

async fn ensure_ledger(env: &TestEnv, rows: u64, skipped: u64, rejected: u64) -> Result<()> {
    let expected = format!("loaded|{rows}|{skipped}|{rejected}");
    let sql = "SELECT state, row_count, skipped_count, rejected_count FROM s3_to_mysql_objects";
    ensure_values(&env.schema, sql, &[&expected]).await
}

#[apply(load_test)]
async fn rejects_in_s3_are_those_of_a_local_run(env: TestEnv) -> Result<()> {
    prepare(&env).await?;
    env.put("data/dir/2", "11\tx\n12\tbad bad\n")?;
    env.put("data/3", "21\tgood\n")?;
    run(&env, None, &local(&env), &["--on-duplicate", "reject"]).await?.expect(7)?;
    let there = files(local(&env))?;
    ensure!(there.len() == 4, "{there:#?}");
    env.start_afresh("t").await?;
    let ended = run(&env, None, HELD, &["--on-duplicate", "reject"]).await?;
    ended.expect(7)?;
    ensure!(objects(&env).await? == there, "{:#?}, not {there:#?}", objects(&env).await?);
    let line = outcome(&env, "report", "data/1")?;
    let file = line["reject_file"].as_str().context("no file")?;
    ensure!(file.starts_with("s3://etl/held/1-") && file.ends_with(".rejected"), "{line:#}");
    ensure!(line["reject_reasons"] == format!("{file}.jsonl"), "{line:#}");
    ensure!(outcome(&env, "report", "data/3")?["reject_file"].is_null());
    ensure_ledger_total(&env, 4).await?;
    // The reported files can be loaded.
    let ended = env
        .run(&[
            "load",
            file,
            "--table",
            "t",
            "--columns",
            "id,v",
            "--on-bad-row",
            "accept",
            "--on-duplicate",
            "ignore",
        ])
        .await?;
    ended.expect(0)?;
    ensure!(ended.summary("rows")? == "3", "{ended}");
    env.ensure_nothing_staged()
}

async fn ensure_ledger_total(env: &TestEnv, rejected: u64) -> Result<()> {
    let sql = "SELECT CAST(SUM(rejected_count) AS UNSIGNED) FROM s3_to_mysql_objects";
    ensure_values(&env.schema, sql, &[&rejected.to_string()]).await
}

#[apply(load_test)]
async fn files_are_whole_before_the_commit(env: TestEnv) -> Result<()> {
    prepare(&env).await?;
    let proxy = Proxy::start(env.server.port()).await?;
    let held = proxy.next(Step::LoadCommit, Break::Hold);
    let child = command(&env, Some(&proxy), &local(&env), &["--on-duplicate", "reject"]).spawn()?;
    held.wait().await?;
    ensure_whole(&files(local(&env))?, ALL_BAD)?;
    ensure!(env.count("t").await? == 0, "it is committed already");
    held.release();
    finish(child).await?.expect(7)?;
    ensure_whole(&files(local(&env))?, ALL_BAD)?;
    ensure_values(&env.schema, "SELECT id, v FROM t", &["1|one"]).await
}

#[apply(load_test)]
async fn objects_in_s3_are_whole_before_the_commit(env: TestEnv) -> Result<()> {
    prepare(&env).await?;
    let proxy = Proxy::start(env.server.port()).await?;
    let held = proxy.next(Step::LoadCommit, Break::Hold);
    let child = command(&env, Some(&proxy), HELD, &["--on-duplicate", "ignore"]).spawn()?;
    held.wait().await?;
    ensure_whole(&objects(&env).await?, BAD)?;
    ensure!(env.count("t").await? == 0, "it is committed already");
    held.release();
    finish(child).await?.expect(7)?;
    ensure_ledger(&env, 4, 1, 2).await
}

#[apply(load_test)]
async fn a_commit_that_failed_is_tried_again_with_files_of_its_own(env: TestEnv) -> Result<()> {
    prepare(&env).await?;
    let proxy = Proxy::start(env.server.port()).await?;
    let held = proxy.next(Step::LoadCommit, Break::Hold);
    let child = command(&env, Some(&proxy), &local(&env), &["--on-duplicate", "ignore"]).spawn()?;
    held.wait().await?;
    let first = files(local(&env))?;
    // The content that another first attempt might have written.
    for name in first.keys() {
        std::fs::write(env.path("rejects").join(name), "of the first try\n")?;
    }
    held.cut();
    let ended = finish(child).await?;
    ended.expect(7)?;
    let line = outcome(&env, "report", "data/1")?;
    ensure!(line["attempts"] == 2 && line["rejected"] == 2 && line["skipped"] == 1, "{line:#}");
    ensure!(files(local(&env))? == first, "{:#?}", files(local(&env))?);
    ensure_whole(&first, BAD)?;
    ensure_values(&env.schema, "SELECT id, v FROM t", &["1|one"]).await?;
    ensure_ledger(&env, 4, 1, 2).await
}

#[apply(load_test)]
async fn a_commit_whose_answer_is_lost_is_reported_with_its_rejects(env: TestEnv) -> Result<()> {
    prepare(&env).await?;
    let proxy = Proxy::start(env.server.port()).await?;
    let lost = proxy.next(Step::LoadCommit, Break::SwallowAnswer);
    let ended = run(&env, Some(&proxy), &local(&env), &["--on-duplicate", "ignore"]).await?;
    ended.expect(7)?;
    let line = outcome(&env, "report", "data/1")?;
    ensure!(lost.count() == 1 && line["attempts"] == 1, "{line:#}");
    let counts = ["rows", "loaded", "rejected", "skipped"].map(|name| line[name].as_u64());
    ensure!(counts == [Some(4), Some(1), Some(2), Some(1)], "{line:#}");
    ensure!(line["reject_file"].is_string() && line["warnings_by_code"]["1062"] == 1, "{line:#}");
    ensure_whole(&files(local(&env))?, BAD)?;
    ensure_ledger(&env, 4, 1, 2).await
}

#[apply(load_test)]
async fn without_a_ledger_an_unknown_commit_leaves_its_files(env: TestEnv) -> Result<()> {
    prepare(&env).await?;
    let proxy = Proxy::start(env.server.port()).await?;
    proxy.next(Step::LoadCommit, Break::SwallowAnswer);
    let args = ["--on-duplicate", "ignore", "--no-ledger"];
    run(&env, Some(&proxy), &local(&env), &args).await?.expect(3)?;
    expect_failure(&env, "report", "data/1", "outcome_unknown")?;
    // The row is in the table, and the other rows must be in the files.
    ensure!(env.count("t").await? == 1);
    ensure_whole(&files(local(&env))?, BAD)
}

#[apply(load_test)]
async fn killed_at_the_commit_and_run_again_every_row_is_in_one_place(env: TestEnv) -> Result<()> {
    for (is_committed, to) in [
        (false, local(&env)),
        (true, local(&env)),
        (false, HELD.to_owned()),
        (true, HELD.to_owned()),
    ] {
        env.schema.exec("DROP TABLE IF EXISTS t").await?;
        prepare(&env).await?;
        let proxy = Proxy::start(env.server.port()).await?;
        let held = proxy
            .next(Step::LoadCommit, if is_committed { Break::HoldAnswer } else { Break::Hold });
        let mut child = command(&env, Some(&proxy), &to, &["--on-duplicate", "ignore"]).spawn()?;
        held.wait().await?;
        signal(&child, "KILL")?;
        child.wait().await?;
        held.cut();
        let ended = run(&env, None, &to, &["--on-duplicate", "ignore"]).await?;
        ended.expect(if is_committed { 0 } else { 7 })?;
        let there = if to == HELD { objects(&env).await? } else { files(&to)? };
        ensure_whole(&there, BAD)?;
        ensure_values(&env.schema, "SELECT id, v FROM t", &["1|one"]).await?;
        ensure_ledger(&env, 4, 1, 2).await?;
        env.schema.exec("DELETE FROM s3_to_mysql_objects; DELETE FROM s3_to_mysql_runs").await?;
    }
    Ok(())
}

#[apply(load_test)]
async fn killed_while_rejects_are_uploaded_and_run_again_every_row_is_in_one_place(
    env: TestEnv,
) -> Result<()> {
    prepare(&env).await?;
    let data = Keys::Where(std::sync::Arc::new(|key: &str| {
        key.starts_with("held/") && key.ends_with(".rejected")
    }));
    let held = env.s3.faults().inject(Operation::PutObject, data, Times::Next(1), Fault::Hold);
    let mut child = command(&env, None, HELD, &["--on-duplicate", "reject"]).spawn()?;
    held.wait_for_effects(1).await;
    signal(&child, "KILL")?;
    child.wait().await?;
    held.remove();
    // A sidecar without its data is useless and harmless.
    ensure!(env.count("t").await? == 0);
    run(&env, None, HELD, &["--on-duplicate", "reject"]).await?.expect(7)?;
    ensure_whole(&objects(&env).await?, ALL_BAD)?;
    ensure_values(&env.schema, "SELECT id, v FROM t", &["1|one"]).await?;
    ensure_ledger(&env, 4, 0, 3).await?;
    env.ensure_nothing_staged()
}

#[apply(load_test)]
async fn a_directory_that_goes_away_fails_the_objects_that_need_it(env: TestEnv) -> Result<()> {
    prepare(&env).await?;
    env.put("data/good", "7\tseven\n")?;
    let proxy = Proxy::start(env.server.port()).await?;
    let held = proxy.next(Step::InfileEnd, Break::Hold);
    let child = command(&env, Some(&proxy), &local(&env), &["--on-duplicate", "ignore"]).spawn()?;
    held.wait().await?;
    std::fs::remove_dir_all(local(&env))?;
    std::fs::write(local(&env), "in the way")?;
    held.release();
    let ended = finish(child).await?;
    ended.expect(3)?;
    expect_failure(&env, "report", "data/1", "rejects_unwritable")?;
    ensure!(outcome(&env, "report", "data/1")?["attempts"] == 1, "{ended}");
    ended.says(&local(&env))?;
    ensure_values(&env.schema, "SELECT id, v FROM t", &["7|seven"]).await?;
    // Nor can a run begin with such a directory.
    let ended = run(&env, None, &local(&env), &[]).await?;
    ended.expect(2)?;
    ended.says("--rejects")?;
    std::fs::remove_file(local(&env))?;
    run(&env, None, &local(&env), &["--on-duplicate", "ignore"]).await?.expect(7)?;
    ensure_whole(&files(local(&env))?, BAD)
}

#[apply(load_test)]
async fn an_upload_that_is_denied_fails_the_objects_that_need_it(env: TestEnv) -> Result<()> {
    prepare(&env).await?;
    env.put("data/2", "11\tx\n12\tbad bad\n")?;
    env.put("data/good", "7\tseven\n")?;
    let denied = Fault::Refuse(Refusal::ACCESS_DENIED);
    let denied = env.s3.faults().inject(
        Operation::PutObject,
        Keys::StartingWith("held/1-".to_owned()),
        Times::Always,
        denied,
    );
    let ended = run(&env, None, HELD, &["--on-duplicate", "ignore"]).await?;
    ended.expect(3)?;
    expect_failure(&env, "report", "data/1", "rejects_unwritable")?;
    let error = outcome(&env, "report", "data/1")?["error"].clone();
    ensure!(error["hint"].as_str().is_some_and(|hint| hint.contains("s3:PutObject")), "{error:#}");
    ensure!(outcome(&env, "report", "data/2")?["rejected"] == 1, "{ended}");
    ensure_values(&env.schema, "SELECT id, v FROM t ORDER BY id", &["7|seven", "11|x"]).await?;
    ensure!(!objects(&env).await?.keys().any(|name| name.starts_with("1-")));
    denied.remove();
    run(&env, None, HELD, &["--on-duplicate", "ignore"]).await?.expect(7)?;
    ensure!(objects(&env).await?.len() == 4);
    ensure!(env.count("t").await? == 3);
    Ok(())
}

/// Leaves the reject files of an object that is not loaded, and makes the table accept all of its
/// rows.
async fn leave_stale_files(env: &TestEnv, to: &str) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT, v VARCHAR(5))").await?;
    env.put("data/1", "1\tone\n2\tmuch too long\n")?;
    let proxy = Proxy::start(env.server.port()).await?;
    proxy.times(u32::MAX, Step::LoadCommit, Break::Cut);
    run(env, Some(&proxy), to, &["--max-attempts", "1"]).await?.expect(3)?;
    ensure!(env.count("t").await? == 0);
    env.schema.exec("ALTER TABLE t MODIFY v VARCHAR(50)").await
}

#[apply(load_test)]
async fn a_try_without_rejects_removes_the_files_of_the_one_before(env: TestEnv) -> Result<()> {
    leave_stale_files(&env, &local(&env)).await?;
    ensure_whole(&files(local(&env))?, "2\tmuch too long\n")?;
    // Another object's files stay.
    std::fs::write(env.path("rejects").join("other.rejected"), "x")?;
    run(&env, None, &local(&env), &[]).await?.expect(0)?;
    let left = files(local(&env))?;
    ensure!(left.len() == 1 && left.contains_key("other.rejected"), "{left:#?}");
    ensure!(outcome(&env, "report", "data/1")?["reject_file"].is_null());
    ensure!(env.count("t").await? == 2);
    Ok(())
}

#[apply(load_test)]
async fn a_try_without_rejects_removes_what_the_one_before_put_into_s3(env: TestEnv) -> Result<()> {
    leave_stale_files(&env, HELD).await?;
    ensure_whole(&objects(&env).await?, "2\tmuch too long\n")?;
    env.put("held/other.rejected", "x")?;
    run(&env, None, HELD, &[]).await?.expect(0)?;
    let left = objects(&env).await?;
    ensure!(left.len() == 1 && left.contains_key("other.rejected"), "{left:#?}");
    ensure!(env.count("t").await? == 2);
    Ok(())
}
