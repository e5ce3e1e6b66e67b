//! The JSON report: what its lines tell about a run, from which others draw and alert.

use anyhow::{Context as _, Result, ensure};
use jiff::{Timestamp, ToSpan as _};
use serde_json::{Value, json};

use crate::registry::{apply, load_test};
use crate::support::program::TestEnv;

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
    for key in ["a", "b", "c"] {
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
        ensure!(line["objects_in_transaction"] == 3 && line["connection"] == 1, "{lines:#?}");
        ensure!(line["commit_seconds"] == lines[0]["commit_seconds"], "{lines:#?}");
        let difference = seconds(line, "load_seconds")? - seconds(&lines[0], "load_seconds")?;
        ensure!(difference.abs() < 0.001, "{lines:#?}");
    }
    ensure!(lines.len() == 3, "{lines:#?}");
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
