//! Rows that count themselves, so that a table shows which of them is missing or there twice.

use std::fmt::Write as _;

use anyhow::{Result, ensure};

use super::program::TestEnv;

/// Returns rows with the ids 1 to `rows`, each with the tab-separated text `value number 000001`.
pub fn rows(rows: u64) -> String {
    (1..=rows).fold(String::new(), |mut text, id| {
        let _ = writeln!(text, "{id}\tvalue number {id:06}");
        text
    })
}

/// Requires that every id from 1 to `rows` is in the table `t` once, with its value in `v`.
pub async fn expect_rows(env: &TestEnv, rows: u64) -> Result<()> {
    let found: (u64, u64, u64) = env
        .schema
        .query_one(
            "SELECT COUNT(*), COUNT(DISTINCT id), COUNT(IF(v = CONCAT('value number ', \
             LPAD(id, 6, '0')), 1, NULL)) FROM t",
        )
        .await?;
    ensure!(found == (rows, rows, rows), "rows, ids, right values: {found:?}, not {rows}");
    Ok(())
}
