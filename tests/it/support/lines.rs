//! Tables of one column, where what is loaded tells which object it came from.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use serde_json::Value;

use super::program::{Ended, TestEnv};

/// Makes a table whose rows are lines. No key: a row that is loaded twice shows.
pub async fn create(env: &TestEnv, table: &str) -> Result<()> {
    let sql = format!(
        "CREATE TABLE {table} (v VARCHAR(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL)"
    );
    env.schema.exec(&sql).await
}

/// Every row of a table, sorted, repeated ones as often as they are there.
pub async fn rows(env: &TestEnv, table: &str) -> Result<Vec<String>> {
    let mut rows: Vec<String> = env.schema.query(&format!("SELECT v FROM {table}")).await?;
    rows.sort();
    Ok(rows)
}

/// The table holds exactly these rows, in whatever order.
pub async fn expect(env: &TestEnv, table: &str, expected: &[&str]) -> Result<()> {
    let mut expected = expected.to_vec();
    expected.sort_unstable();
    let rows = rows(env, table).await?;
    ensure!(rows == expected, "the table holds {rows:?}, not {expected:?}");
    Ok(())
}

/// The report's line about one key.
pub fn outcome(env: &TestEnv, report: &str, key: &str) -> Result<Value> {
    let lines = env.report(report)?;
    let mut found = lines.into_iter().filter(|line| line["key"] == key);
    match (found.next(), found.next()) {
        (Some(line), None) => Ok(line),
        (None, _) => anyhow::bail!("{key:?} is not in the report"),
        (Some(_), Some(_)) => anyhow::bail!("{key:?} is in the report twice"),
    }
}

/// One key ended with this error code.
pub fn expect_failure(env: &TestEnv, report: &str, key: &str, code: &str) -> Result<()> {
    let line = outcome(env, report, key)?;
    ensure!(
        line["status"] == "failed" && line["error"]["code"] == code,
        "{key:?} did not fail with {code}: {line}"
    );
    Ok(())
}

/// The keys that `plan` says would be loaded, as they stand in its lines.
pub fn planned(ended: &Ended) -> BTreeSet<String> {
    let lines = ended.stdout.lines().filter_map(|line| line.trim_start().split_once("  "));
    lines
        .filter(|(_, uri)| uri.starts_with("s3://") || uri.starts_with('"'))
        .map(|(_, uri)| uri.to_owned())
        .collect()
}
