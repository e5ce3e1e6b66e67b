//! `status` for all tables of a ledger, and compared with the source.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::{insert_loaded, lines_table, make_ledger, one_table};
use crate::registry::{apply, load_test};
use crate::support::program::{Ended, TestEnv};

async fn status(env: &TestEnv, code: i32, args: &[&str]) -> Result<Ended> {
    let ended = env.run(&[&["status"], args].concat()).await?;
    ended.expect(code)?;
    Ok(ended)
}

/// Loads into three tables: one is fine, one has a failure, one was never loaded whole.
async fn three_tables(env: &TestEnv) -> Result<()> {
    for (table, rows) in [("fine", "1\n2\n"), ("`half done`", "3\n"), ("never", "no number\n")] {
        env.schema.exec(&format!("CREATE TABLE {table} (a INT NOT NULL)")).await?;
        env.put("in/a", rows)?;
        let code = if table == "never" { 3 } else { 0 };
        env.load_ending(code, table, &[]).await?;
    }
    env.put("in/bad", "no number\n")?;
    env.put("in/a", "3\n")?;
    env.load_ending(3, "`half done`", &[]).await.map(|_| ())
}

#[apply(load_test)]
async fn all_tables_of_a_ledger_have_a_line_each(env: TestEnv) -> Result<()> {
    let ended = status(&env, 0, &[]).await?;
    ended.says("no run has loaded into a table, or the account cannot see the ledger")?;
    three_tables(&env).await?;
    let ended = status(&env, 0, &[]).await?;
    let lines: Vec<&str> = ended.stdout.lines().collect();
    ensure!(lines.len() == 4, "{ended}");
    let cells = |line: &str| -> Vec<String> {
        line.split("  ").filter(|cell| !cell.is_empty()).map(|it| it.trim().to_owned()).collect()
    };
    let head = ["table", "last success", "running", "loaded", "failed", "acknowledged", "rows"];
    ensure!(cells(lines[0]) == head, "{ended}");
    for (line, expected) in [
        (lines[1], ["fine", "no", "1", "0", "0", "2"]),
        (lines[2], ["half done", "no", "1", "1", "0", "1"]),
        (lines[3], ["never", "no", "0", "1", "0", "0"]),
    ] {
        let mut cells = cells(line);
        let last_success = cells.remove(1);
        ensure!(cells == expected, "{ended}");
        ensure!((last_success == "never") == (expected[0] == "never"), "{ended}");
    }
    let widest = ended.stdout.lines().map(|line| line.chars().count()).max();
    ensure!(widest <= Some(120), "{ended}");

    let document: Value = serde_json::from_str(&status(&env, 0, &["--json"]).await?.stdout)?;
    ensure!(document["ledger"]["stem"] == "s3_to_mysql", "{document:#}");
    let tables = document["tables"].as_array().context("no tables")?;
    let names: Vec<&Value> = tables.iter().map(|table| &table["target"]["table"]).collect();
    ensure!(names == ["fine", "half done", "never"], "{document:#}");
    ensure!(tables[1]["failed"][0]["key"] == "in/bad", "{document:#}");
    Ok(())
}

#[apply(load_test)]
async fn the_worst_table_decides_the_verdict_on_all(env: TestEnv) -> Result<()> {
    let empty = status(&env, 2, &["--check"]).await?;
    ensure!(empty.stdout.starts_with("CRITICAL: nothing was ever loaded with"), "{empty}");
    three_tables(&env).await?;
    let name = &env.schema.name;
    let ended = status(&env, 2, &["--check"]).await?;
    let expected = format!("CRITICAL: `{name}`.`never`: no run has loaded everything yet, ");
    ensure!(ended.stdout.starts_with(&expected), "{ended}");
    ended.says(&format!("; `{name}`.`half done`: the last run ended with 3, 1 object failed, "))?;
    ensure!(ended.stdout.ends_with("; 1 of 3 tables are fine\n"), "{ended}");
    for (table, code) in [("never", 1), ("half done", 0)] {
        for ledger in ["jobs", "runs", "objects", "failures"] {
            let target = format!("`{name}`.`{table}`");
            let sql = format!("DELETE FROM s3_to_mysql_{ledger} WHERE target = '{target}'");
            env.schema.exec(&sql).await?;
        }
        status(&env, code, &["--check"]).await?;
    }
    let ended = status(&env, 0, &["--check", "--max-age", "1h"]).await?;
    ensure!(ended.stdout == "OK: 1 of 1 tables are fine\n", "{ended}");
    Ok(())
}

#[apply(load_test)]
async fn objects_that_are_loaded_and_gone_are_named(env: TestEnv) -> Result<()> {
    lines_table(&env).await?;
    make_ledger(&env).await?;
    let compare = ["--table", "t", "--compare-source", "s3://etl/in/", "s3://etl/in/a"];
    env.put("in/a", "1\n")?;
    env.put("in/b", "2\n")?;
    env.put("out", "3\n")?;
    env.load_ending(0, "t", &[]).await?;
    let ended = status(&env, 0, &compare).await?;
    ensure!(ended.summary("gone from source")? == "0", "{ended}");
    ensure!(ended.summary("objects in source")? == "2", "{ended}");
    let newest = ended.summary("newest object")?;
    ensure!(newest.starts_with('2') && newest.ends_with(" s ago"), "{ended}");
    ensure!(!ended.stdout.contains("loaded and gone"), "{ended}");

    // More than the server tells at once.
    let many: Vec<String> = (0..1205).map(|number| format!("in/gone-{number:04}")).collect();
    for keys in many.chunks(400) {
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        insert_loaded(&env, "t", 1, &keys).await?;
    }
    // What is not below the prefix, of another bucket or another generation, does not count.
    insert_loaded(&env, "t", 1, &["gone"]).await?;
    insert_loaded(&env, "t", 7, &["in/other"]).await?;
    env.s3.backend().remove("etl", "in/b");
    let ended = status(&env, 0, &compare).await?;
    ensure!(ended.summary("gone from source")? == "1,206", "{ended}");
    let gone: Vec<&str> =
        ended.stdout.lines().filter(|line| line.starts_with("loaded and gone: ")).collect();
    ensure!(gone.len() == 11 && gone[0] == "loaded and gone: s3://etl/in/b", "{ended}");
    ensure!(gone[10] == "loaded and gone: and 1,196 more; --details has them all", "{ended}");
    let ended = status(&env, 0, &[&compare[..], &["--details"]].concat()).await?;
    ensure!(ended.stdout.matches("\nloaded and gone: s3://").count() == 1206, "{ended}");
    let ended = status(&env, 0, &[&compare[..], &["--json"]].concat()).await?;
    let source = serde_json::from_str::<Value>(&ended.stdout)?["source"].clone();
    ensure!(source["objects_gone"] == 1206 && source["objects_listed"] == 1, "{source:#}");
    ensure!(source["gone"][0] == json!({"bucket": "etl", "key": "in/b"}), "{source:#}");
    ensure!(source["newest_object_age_seconds"].as_u64().is_some(), "{source:#}");
    Ok(())
}

#[apply(load_test)]
async fn a_comparison_needs_a_table_and_a_source_that_answers(env: TestEnv) -> Result<()> {
    one_table(&env).await?;
    make_ledger(&env).await?;
    insert_loaded(&env, "t", 1, &["a"]).await?;
    let ended = status(&env, 2, &["--compare-source", "s3://etl/"]).await?;
    ended.says("the table to compare with the source is missing")?;
    let refused = ["--table", "t", "--compare-source", "s3://nothing/"];
    status(&env, 5, &refused).await?.says("the bucket does not exist")?;
    let slip = ["--table", "t", "--compare-source", "etl/"];
    status(&env, 2, &slip).await?.says("--compare-source")
}
