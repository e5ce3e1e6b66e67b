//! A load that runs every night, and alerts once for each failure.

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::registry::{apply, load_test};
use crate::support::program::{Ended, TestEnv};

/// Runs the line of cron, and requires that it ends with this exit code. All that is printed is
/// mailed, so a night without news is silent.
async fn night(env: &TestEnv, code: i32) -> Result<Ended> {
    let report = env.path("report").display().to_string();
    let args = ["-q", "--fail-on", "new", "--report", &report];
    let ended = env.load_ending(code, "t", &args).await?;
    let is_silent = ended.stdout.is_empty() && ended.stderr.is_empty();
    ensure!(is_silent == (code == 0), "{ended}");
    Ok(ended)
}

fn new_failures(env: &TestEnv) -> Result<Vec<String>> {
    let lines = env.report("report")?;
    let failed = lines.iter().filter(|line| line["status"] == "failed");
    let new = failed.filter(|line| line["new"] == true);
    Ok(new.filter_map(|line| line["key"].as_str().map(str::to_owned)).collect())
}

#[apply(load_test)]
async fn a_week_of_nights_alerts_for_each_failure_once(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (a INT NOT NULL, b VARCHAR(20))").await?;
    env.put("day=1/a", "1\tx\n")?;
    night(&env, 0).await?;

    env.put("day=2/a", "2\tx\n")?;
    env.put("day=2/bad", "no number\tx\n")?;
    let ended = night(&env, 3).await?;
    ended.says("failed: s3://etl/day=2/bad: its only row is bad")?;
    ensure!(ended.summary("objects failed")? == "1", "{ended}");

    // Nobody has corrected it, and the others go on.
    env.put("day=3/a", "3\tx\n")?;
    night(&env, 0).await?;
    ensure!(new_failures(&env)?.is_empty());
    let summary = env.report("report")?.pop();
    let counts = summary.map(|it| (it["objects_failed"].clone(), it["objects_failed_new"].clone()));
    ensure!(counts == Some((Value::from(1), Value::from(0))), "{counts:?}");

    env.put("day=4/bad", "4\n")?;
    let ended = night(&env, 3).await?;
    ensure!(ended.summary("objects failed")? == "2 (1 new)", "{ended}");
    ensure!(new_failures(&env)? == ["day=4/bad"]);
    // By default, a failure counts until it is settled.
    env.load_ending(3, "t", &["-q"]).await?;
    // Monitoring is not deceived by the exit codes of the nights.
    let status = env.run(&["status", "--table", "t", "--json"]).await?;
    let status: Value = serde_json::from_str(&status.stdout)?;
    let first_night = &status["runs"].as_array().and_then(|runs| runs.last().cloned());
    let first_night = first_night.as_ref().map(|run| run["ended_at"].clone());
    ensure!(Some(status["last_success_at"].clone()) == first_night, "{status:#}");

    // One is corrected, the other only changed: its content has not failed before.
    env.put("day=2/bad", "5\tx\n")?;
    env.put("day=4/bad", "4\tx\ty\n")?;
    let ended = night(&env, 3).await?;
    ensure!(ended.summary("objects failed")? == "1", "{ended}");

    // An object that was loaded and is then overwritten is news once.
    env.put("day=4/bad", "4\tx\n")?;
    env.put("day=1/a", "1\ty\n")?;
    night(&env, 3).await?.says("failed: s3://etl/day=1/a: ")?;
    ensure!(new_failures(&env)? == ["day=1/a"]);
    night(&env, 0).await?;
    ensure!(env.count("t").await? == 5);
    Ok(())
}

#[apply(load_test)]
async fn what_is_new_needs_the_ledger_and_an_append(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (a INT)").await?;
    let ended = env.load_ending(2, "t", &["--fail-on", "new", "--no-ledger"]).await?;
    ended.says("fail-on new needs the ledger, which no-ledger switches off")?;
    let ended = env.load_ending(2, "t", &["--fail-on", "new", "--mode", "swap"]).await?;
    ended.says("fail-on new is for mode append")
}
