//! The JSON report: what its lines tell about a run, from which others draw and alert.

use anyhow::{Context as _, Result, ensure};
use jiff::{Timestamp, ToSpan as _};
use serde_json::{Value, json};

use crate::registry::{apply, load_test};
use crate::support::program::{TestEnv, finish};
use crate::support::s3::{Fault, Keys, Operation, Refusal, Times};
use crate::support::until::until;

async fn create_table(env: &TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (a INT NOT NULL, b VARCHAR(20) NOT NULL) ENGINE=InnoDB").await
}

fn time(value: &Value) -> Result<Timestamp> {
    let text = value.as_str().with_context(|| format!("no time: {value}"))?;
    ensure!(text.len() == 24 && text.ends_with('Z'), "{text}");
    Ok(text.parse()?)
}

fn seconds(line: &Value, stage: &str) -> Result<f64> {
    line[stage].as_f64().filter(|seconds| *seconds >= 0.0).with_context(|| format!("{line:#}"))
}

/// Requires that the stages of the line fit into its seconds, and these into the run.
fn expect_stages(line: &Value, run: &Value) -> Result<()> {
    let stages = ["download_seconds", "wait_seconds", "load_seconds", "commit_seconds"];
    let sum = stages.iter().map(|stage| seconds(line, stage)).sum::<Result<f64>>()?;
    let all = seconds(line, "seconds")?;
    ensure!(sum <= all && seconds(line, "load_seconds")? > 0.0, "{line:#}");
    ensure!(seconds(line, "commit_seconds")? > 0.0, "{line:#}");
    let (from, to) = (time(&run["started_at"])?, time(&run["ended_at"])?);
    // Times are cut to the millisecond.
    #[allow(clippy::cast_possible_truncation, reason = "a few seconds")]
    let end = time(&line["started_at"])? + ((all * 1000.0) as i64).milliseconds();
    let is_within = from <= time(&line["started_at"])? && end <= to + 2.milliseconds();
    ensure!(is_within, "{line:#} {run:#}");
    ensure!(line["connection"].as_u64().is_some_and(|it| (1..=2).contains(&it)), "{line:#}");
    Ok(())
}

#[apply(load_test)]
async fn a_summary_says_which_run_it_is_of_and_where_and_when_it_ran(env: TestEnv) -> Result<()> {
    create_table(&env).await?;
    env.put("in/a", "1\tx\n2\ty\n")?;
    env.put("in/bad", "no number\tz\n")?;
    let report = env.path("report").display().to_string();
    let before = Timestamp::now();
    let sources = ["s3://etl/in/", "s3://etl/in/a"];
    let args = ["--table", "t", "--report", &report, "--summary", "json"];
    let ended = env.run(&[&["load"], &sources[..], &args].concat()).await?;
    ended.expect(3)?;
    let summary = env.report("report")?.pop().context("an empty report")?;
    let (kind, version): (String, String) = env
        .schema
        .query_one("SELECT IF(VERSION() LIKE '%MariaDB%', 'MariaDB', 'MySQL'), VERSION()")
        .await?;
    ensure!(summary["server"] == kind, "{summary:#}");
    let told = summary["server_version"].as_str().context("no version")?;
    ensure!(version.starts_with(told) && told.contains('.'), "{told} of {version}");
    ensure!(summary["table"] == format!("{}.t", env.schema.name), "{summary:#}");
    ensure!(summary["sources"] == json!(sources) && summary["keys_from"].is_null(), "{summary:#}");
    ensure!(summary["exit_code"] == 3 && summary["version"] == env!("CARGO_PKG_VERSION"));
    ensure!(summary["objects_listed"] == 2, "{summary:#}");
    let (from, to) = (time(&summary["started_at"])?, time(&summary["ended_at"])?);
    ensure!(
        from >= before - 1.milliseconds() && from < to && to <= Timestamp::now(),
        "{from} {to}"
    );
    let elapsed = (to - from).total(jiff::Unit::Second)?;
    ensure!((elapsed - seconds(&summary, "seconds")?).abs() < 0.002, "{summary:#}");
    let run_id: String = env.schema.query_one("SELECT run_id FROM s3_to_mysql_runs").await?;
    ensure!(summary["run_id"] == run_id, "{summary:#}");
    ensure!(!ended.stdout.contains("password") && !summary.to_string().contains("mysql://"));

    // A run that did not begin, one without a ledger, and a check have all of it, too.
    for (code, args) in [
        (6, &["load", "--table", "missing"][..]),
        (3, &["load", "--table", "t", "--no-ledger"]),
        (3, &["check", "--table", "t"]),
    ] {
        let args = [args, &["s3://etl/in/", "--report", &report]].concat();
        env.run(&args).await?.expect(code)?;
        let summary = env.report("report")?.pop().context("an empty report")?;
        ensure!(summary["exit_code"] == code && summary["run_id"].is_string(), "{summary:#}");
        ensure!(summary["generation"].is_null(), "{summary:#}");
        ensure!(summary["server"].is_null() == (code == 6), "{summary:#}");
        let table = summary["table"].as_str().unwrap_or_default();
        ensure!(table.starts_with(&format!("{}.", env.schema.name)), "{summary:#}");
    }
    Ok(())
}

#[apply(load_test)]
async fn an_object_has_the_times_of_its_stages_and_the_connection_that_loaded_it(
    env: TestEnv,
) -> Result<()> {
    create_table(&env).await?;
    for key in ["a", "b", "c"] {
        env.put(&format!("in/{key}"), "1\tx\n")?;
    }
    env.put("in/bad", "no number\tz\n")?;
    let report = env.path("report").display().to_string();
    let args = ["--report", &report, "--load-concurrency", "2"];
    env.load_ending(3, "t", &args).await?;
    let mut lines = env.report("report")?;
    let run = lines.pop().context("an empty report")?;
    for line in lines.iter().filter(|line| line["status"] == "loaded") {
        expect_stages(line, &run)?;
    }
    let failed = lines.iter().find(|line| line["key"] == "in/bad").context("no failure")?;
    ensure!(time(&failed["started_at"])? >= time(&run["started_at"])?, "{failed:#}");
    ensure!(seconds(failed, "download_seconds")? > 0.0, "{failed:#}");
    ensure!(failed["commit_seconds"].is_null(), "nothing was committed: {failed:#}");

    env.load_ending(3, "t", &args).await?;
    for line in env.report("report")?.iter().filter(|line| line["status"] == "already_loaded") {
        ensure!(line["started_at"].is_null() && line["load_seconds"].is_null(), "{line:#}");
    }
    Ok(())
}

#[apply(load_test)]
async fn objects_that_share_a_transaction_have_the_same_times_of_load_and_commit(
    env: TestEnv,
) -> Result<()> {
    create_table(&env).await?;
    // Even a busy machine stages some of this many without a pause.
    for key in 0..12 {
        env.put(&format!("in/{key}"), "1\tx\n")?;
    }
    let report = env.path("report").display().to_string();
    let together = env.s3.faults().answer_gets_together();
    env.load_ending(0, "t", &["--report", &report, "--load-concurrency", "1"]).await?;
    together.remove();
    let mut lines = env.report("report")?;
    let run = lines.pop().context("an empty report")?;
    for line in &lines {
        expect_stages(line, &run)?;
        ensure!(line["connection"] == 1, "{line:#}");
        // No two transactions take the same nanoseconds.
        let of_it = lines.iter().filter(|other| other["commit_seconds"] == line["commit_seconds"]);
        let of_it: Vec<&Value> = of_it.collect();
        ensure!(line["objects_in_transaction"] == of_it.len(), "{lines:#?}");
        for other in of_it {
            let difference = seconds(line, "load_seconds")? - seconds(other, "load_seconds")?;
            ensure!(difference.abs() < 0.01, "{lines:#?}");
        }
    }
    let most = lines.iter().filter_map(|line| line["objects_in_transaction"].as_u64()).max();
    ensure!(lines.len() == 12 && most >= Some(2), "{lines:#?}");
    Ok(())
}

#[apply(load_test)]
async fn each_part_of_a_split_object_has_a_line_with_its_times(env: TestEnv) -> Result<()> {
    create_table(&env).await?;
    let text: String = (0..500).map(|number| format!("{number}\tx\n")).collect();
    env.put("in/large", text.clone())?;
    let report = env.path("report").display().to_string();
    let args = ["--report", &report, "--part-size", "1KiB", "--load-concurrency", "2"];
    env.load_ending(0, "t", &args).await?;
    let mut lines = env.report_with_parts("report")?;
    let run = lines.pop().context("an empty report")?;
    let object = lines.pop().context("no object")?;
    ensure!(object["type"] == "object" && object["status"] == "loaded", "{object:#}");
    ensure!(object["started_at"].is_string() && object["load_seconds"].is_null(), "{object:#}");
    ensure!(lines.len() == text.len().div_ceil(1024), "{lines:#?}");
    lines.sort_by_key(|line| line["part"].as_u64());
    let mut offset = 0;
    for (number, line) in (0_u64..).zip(&lines) {
        ensure!(line["type"] == "part" && line["part"] == number, "{line:#}");
        ensure!(line["status"] == "loaded" && line["key"] == "in/large", "{line:#}");
        ensure!(line["offset"] == offset && line["attempts"] == 1, "{line:#}");
        offset += line["size_bytes"].as_u64().context("no size")?;
        expect_stages(line, &run)?;
    }
    let rows: u64 = lines.iter().filter_map(|line| line["rows"].as_u64()).sum();
    ensure!(rows == 500 && offset == text.len() as u64, "{lines:#?}");
    Ok(())
}

const SUMMARY: &str = "summary";

fn path(env: &TestEnv, name: &str) -> String {
    env.path(name).display().to_string()
}

/// Returns the names of the test's files that begin like this.
fn files(env: &TestEnv, start: &str) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(env.dir.path())? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.retain(|name| name.starts_with(start));
    names.sort_unstable();
    Ok(names)
}

/// Requires that the text is a whole report: JSON on each line, and one summary, which is the last.
fn ensure_whole(text: &str, objects: usize) -> Result<()> {
    let lines = text.lines().map(serde_json::from_str::<Value>);
    let lines = lines.collect::<std::result::Result<Vec<_>, _>>()?;
    let summaries = lines.iter().filter(|line| line["type"] == SUMMARY).count();
    let is_last = lines.last().is_some_and(|line| line["type"] == SUMMARY);
    ensure!(lines.len() == objects + 1 && summaries == 1 && is_last, "{text}");
    Ok(())
}

#[apply(load_test)]
async fn two_runs_that_overlap_leave_one_whole_report(env: TestEnv) -> Result<()> {
    create_table(&env).await?;
    env.put("one/a", "1\tx\n")?;
    env.put("two/a", "2\tx\n")?;
    env.put("two/b", "3\tx\n")?;
    let report = path(&env, "report");
    let load = |prefix: &str| {
        let uri = format!("s3://etl/{prefix}/");
        env.command(["load", &uri, "--table", "t", "--report", &report]).spawn()
    };
    let held = env.s3.faults().on_get("one/a", Times::Always, Fault::Hold);
    let first = load("one")?;
    held.wait_for_effects(1).await;
    finish(load("two")?).await?.expect(0)?;
    ensure_whole(&std::fs::read_to_string(&report)?, 2)?;
    ensure!(files(&env, "report")?.len() == 2, "{:?}", files(&env, "report")?);
    held.remove();
    finish(first).await?.expect(0)?;
    // The one that ends last wins.
    ensure_whole(&std::fs::read_to_string(&report)?, 1)?;
    ensure!(files(&env, "report")? == ["report"]);
    Ok(())
}

#[apply(load_test)]
async fn a_run_that_is_killed_leaves_the_old_report_and_what_it_has_written(
    env: TestEnv,
) -> Result<()> {
    create_table(&env).await?;
    env.put("in/a", "1\tx\n")?;
    env.load_ending(0, "t", &["--report", &path(&env, "report")]).await?;
    let old = std::fs::read_to_string(env.path("report"))?;
    env.put("in/b", "2\tx\n")?;
    env.put("in/c", "3\tx\n")?;
    let held = env.s3.faults().on_get("in/c", Times::Always, Fault::Hold);
    let report = path(&env, "report");
    let mut child =
        env.command(["load", "s3://etl/", "--table", "t", "--report", &report]).spawn()?;
    held.wait_for_effects(1).await;
    let partial = until(|| async {
        let Ok(partial) = env.partial("report") else { return Ok(None) };
        let text = std::fs::read_to_string(env.path(&partial))?;
        Ok(text.contains("in/b").then_some(partial))
    })
    .await?;
    child.kill().await?;
    held.remove();
    ensure!(std::fs::read_to_string(env.path("report"))? == old);
    let keys: Vec<Value> =
        env.report(&partial)?.into_iter().map(|line| line["key"].clone()).collect();
    ensure!(keys.contains(&json!("in/b")), "{keys:?}");
    // The next run has a name of its own, and does not touch what is there.
    env.load_ending(0, "t", &["--report", &report]).await?;
    ensure_whole(&std::fs::read_to_string(&report)?, 3)?;
    ensure!(files(&env, "report")? == ["report".to_owned(), partial]);
    Ok(())
}

#[apply(load_test)]
async fn a_name_may_have_the_run_and_the_day_in_it(env: TestEnv) -> Result<()> {
    create_table(&env).await?;
    env.put("in/bad", "no number\tx\n")?;
    let args = ["--report", &path(&env, "run-{date}-{run_id}.jsonl")];
    let failed = path(&env, "failed-{run_id}");
    for _ in 0..2 {
        env.load_ending(3, "t", &[&args[..], &["--failed-keys", &failed]].concat()).await?;
    }
    let reports = files(&env, "run-")?;
    ensure!(reports.len() == 2 && files(&env, "failed-")?.len() == 2, "{reports:?}");
    for name in &reports {
        let summary = env.report(name)?.pop().context("an empty report")?;
        let run_id = summary["run_id"].as_str().context("no id")?;
        let day = summary["started_at"].as_str().context("no start")?.get(..10);
        ensure!(*name == format!("run-{}-{run_id}.jsonl", day.unwrap_or_default()), "{name}");
        ensure!(env.path(&format!("failed-{run_id}")).exists(), "{run_id}");
    }
    let ended = env.load_ending(2, "t", &["--report", "run-{day}"]).await?;
    ended.says("there is no placeholder {day}; use {run_id} or {date}")
}

#[apply(load_test)]
async fn a_report_on_standard_output_has_it_for_itself(env: TestEnv) -> Result<()> {
    create_table(&env).await?;
    env.put("in/a", "1\tx\n")?;
    env.put("in/bad", "no number\tx\n")?;
    let ended = env.load_ending(3, "t", &["--report", "-"]).await?;
    ensure_whole(&ended.stdout, 2)?;
    ensure!(ended.stderr.contains("\nobjects loaded     1\n"), "{ended}");
    ensure!(ended.stderr.contains("failed: s3://etl/in/bad"), "{ended}");
    // The summary in JSON is the last line of the report, and is not told twice.
    let ended = env.load_ending(3, "t", &["--report", "-", "--summary", "json"]).await?;
    ensure_whole(&ended.stdout, 2)?;
    ensure!(!ended.stderr.contains("objects loaded") && !ended.stderr.contains('{'), "{ended}");
    let ended = env.run(&["check", "s3://etl/in/", "--table", "t", "--report", "-"]).await?;
    ended.expect(3)?;
    ensure_whole(&ended.stdout, 2)?;
    ensure!(!env.path("-").exists());
    Ok(())
}

#[apply(load_test)]
async fn a_report_can_go_to_s3(env: TestEnv) -> Result<()> {
    create_table(&env).await?;
    env.s3.backend().put("runs", "other", "x")?;
    env.put("in/a", "1\tx\n")?;
    let stored = |key: &str| -> Result<String> {
        let object = env.s3.backend().newest("runs", key).with_context(|| format!("no {key}"))?;
        Ok(String::from_utf8(object.in_memory().context("no content")?.to_vec())?)
    };
    let report = "s3://runs/nightly/{date}.jsonl";
    let load = ["load", "s3://etl/in/", "--table", "t", "--report"];
    env.run(&[&load[..], &[report, "--summary", "json"]].concat()).await?.expect(0)?;
    let day = Timestamp::now().strftime("%Y-%m-%d").to_string();
    let key = format!("nightly/{day}.jsonl");
    ensure_whole(&stored(&key)?, 1)?;
    env.ensure_nothing_staged()?;

    // One that cannot be uploaded is tried again, and then an error, but what is loaded stays.
    env.put("in/b", "2\tx\n")?;
    env.s3.faults().inject(
        Operation::PutObject,
        Keys::Any,
        Times::Next(1),
        Fault::Refuse(Refusal::SLOW_DOWN),
    );
    env.run(&[&load[..], &["s3://runs/second"]].concat()).await?.expect(0)?;
    ensure_whole(&stored("second")?, 2)?;
    env.put("in/c", "3\tx\n")?;
    env.s3.faults().inject(
        Operation::PutObject,
        Keys::Any,
        Times::Always,
        Fault::Refuse(Refusal::ACCESS_DENIED),
    );
    let ended = env.run(&[&load[..], &["s3://runs/third"]].concat()).await?;
    ended.expect(2)?;
    ended.says("error: --report s3://runs/third cannot be written")?;
    ended.says("hint: the credentials need s3:PutObject on it")?;
    ensure!(ended.summary("objects loaded")? == "1" && env.count("t").await? == 3, "{ended}");
    env.s3.faults().clear();

    // What is wrong with the place is told before anything is loaded.
    env.put("in/d", "4\tx\n")?;
    for (report, why) in [
        ("s3://missing/report", "name a bucket that exists at this endpoint and region"),
        ("s3://etl/in/report", "report lies below a prefix that is loaded"),
        ("s3://runs/folder/", "its key ends in a slash"),
    ] {
        let ended = env.run(&[&load[..], &[report]].concat()).await?;
        ended.expect(2)?;
        ended.says(why)?;
    }
    ensure!(env.count("t").await? == 3);
    Ok(())
}

#[apply(load_test)]
async fn a_report_of_what_is_new_leaves_out_what_was_loaded(env: TestEnv) -> Result<()> {
    create_table(&env).await?;
    env.put("in/a", "1\tx\n")?;
    env.put("in/bad", "no number\tx\n")?;
    env.load_ending(3, "t", &[]).await?;
    env.put("in/b", "2\tx\n")?;
    let report = path(&env, "report");
    let keys = |lines: Vec<Value>| -> Vec<Value> {
        let objects = lines.into_iter().filter(|line| line["type"] == "object");
        objects.map(|line| line["key"].clone()).collect()
    };
    env.load_ending(3, "t", &["--report", &report, "--report-only", "new"]).await?;
    let lines = env.report("report")?;
    let summary = lines.last().context("an empty report")?;
    ensure!(summary["objects_already_loaded"] == 1, "{summary:#}");
    let mut new = keys(lines);
    new.sort_by_key(ToString::to_string);
    ensure!(new == [json!("in/b"), json!("in/bad")], "{new:?}");
    env.load_ending(3, "t", &["--report", &report]).await?;
    ensure!(keys(env.report("report")?).len() == 3);
    Ok(())
}
