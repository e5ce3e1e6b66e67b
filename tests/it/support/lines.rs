//! Tables of one column, whose rows tell which object they come from.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use serde_json::Value;

use super::program::{Ended, TestEnv};

/// Creates a table whose rows are lines. It has no key, so a row that is loaded twice shows.
pub async fn create(env: &TestEnv, table: &str) -> Result<()> {
    let sql = format!(
        "CREATE TABLE {table} (v VARCHAR(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL)"
    );
    env.schema.exec(&sql).await
}

/// Returns every row of a table, sorted, with repetitions.
pub async fn rows(env: &TestEnv, table: &str) -> Result<Vec<String>> {
    let mut rows: Vec<String> = env.schema.query(&format!("SELECT v FROM {table}")).await?;
    rows.sort();
    Ok(rows)
}

/// Requires that the table holds exactly these rows, in any order.
pub async fn expect(env: &TestEnv, table: &str, expected: &[&str]) -> Result<()> {
    let mut expected = expected.to_vec();
    expected.sort_unstable();
    let rows = rows(env, table).await?;
    ensure!(rows == expected, "the table holds {rows:?}, not {expected:?}");
    Ok(())
}

/// Returns the report's line about one key.
pub fn outcome(env: &TestEnv, report: &str, key: &str) -> Result<Value> {
    let lines = env.report(report)?;
    let mut found = lines.into_iter().filter(|line| line["key"] == key);
    match (found.next(), found.next()) {
        (Some(line), None) => Ok(line),
        (None, _) => anyhow::bail!("{key:?} is not in the report"),
        (Some(_), Some(_)) => anyhow::bail!("{key:?} is in the report twice"),
    }
}

/// Requires that one key has failed with this error code.
pub fn expect_failure(env: &TestEnv, report: &str, key: &str, code: &str) -> Result<()> {
    let line = outcome(env, report, key)?;
    ensure!(
        line["status"] == "failed" && line["error"]["code"] == code,
        "{key:?} did not fail with {code}: {line}"
    );
    Ok(())
}

/// Returns the keys that `plan` would load, as they stand in its lines.
pub fn planned(ended: &Ended) -> BTreeSet<String> {
    let lines = ended.stdout.lines().filter_map(|line| line.trim_start().split_once("  "));
    lines
        .filter(|(_, uri)| uri.starts_with("s3://") || uri.starts_with('"'))
        .map(|(_, uri)| uri.to_owned())
        .collect()
}
