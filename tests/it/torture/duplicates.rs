//! Every policy for duplicates with every policy for bad rows, row by row against plain statements.
//!
//! The oracle reads the object's rows in order and applies the policies to each with one statement:
//! INSERT, INSERT IGNORE, REPLACE, or INSERT ... ON DUPLICATE KEY UPDATE. It counts their effects.

use std::fmt::Write as _;

use anyhow::{Context as _, Result, ensure};
use fastrand::Rng;
use mysql_async::prelude::Queryable as _;

use super::rejects::rejected;
use super::{LENIENT, STRICT, literal, session};
use crate::registry::{apply, load_test};
use crate::support::program::TestEnv;
use crate::support::values::values;

/// A table with two keys, either of which a row can hit, and a column that some values do not fit.
const TABLE: &str = "(id INT PRIMARY KEY, name VARCHAR(20) CHARACTER SET utf8mb4 NOT NULL UNIQUE, \
     n TINYINT, v VARCHAR(20) CHARACTER SET utf8mb4) ENGINE=InnoDB";
const ARGS: [&str; 2] = ["--preset", "csv"];

#[derive(Clone, Debug)]
struct Row {
    id: u64,
    name: String,
    n: i32,
    v: String,
}

impl Row {
    fn is_bad(&self) -> bool {
        self.n > 127
    }

    fn line(&self) -> String {
        format!("{},{},{},{}", self.id, self.name, self.n, self.v)
    }
}

/// Returns rows of which many share keys with others and with those of [`fill`], and some are bad.
/// No row hits two others at once, since an update would then depend on the order of indexes.
fn rows(seed: u64) -> Vec<Row> {
    let mut rng = Rng::with_seed(seed);
    let mut rows: Vec<Row> = Vec::new();
    for number in 0..300_u64 {
        // Keys without duplicates are 1000 and up. Those with duplicates come from a pool of 40,
        // the first 20 of which are in the table.
        let key = if rng.u8(..3) == 0 { rng.u64(..40) } else { 1000 + number };
        let name = if rng.bool() { format!("Name {key}") } else { format!("name {key}") };
        let n = if rng.u8(..6) == 0 { 1000 } else { rng.i32(-128..=127) };
        rows.push(Row { id: key, name, n, v: format!("row {number}") });
    }
    rows
}

async fn fill(env: &TestEnv, table: &str) -> Result<()> {
    env.schema.exec(&format!("DROP TABLE IF EXISTS {table}")).await?;
    env.schema.exec(&format!("CREATE TABLE {table} {TABLE}")).await?;
    let rows: Vec<String> = (0..20).map(|key| format!("({key}, 'name {key}', 0, 'old')")).collect();
    env.schema.exec(&format!("INSERT INTO {table} VALUES {}", rows.join(", "))).await
}

#[derive(Debug, Default)]
struct Expected {
    skipped: u64,
    rejected: Vec<String>,
    /// True if a row was bad or a duplicate and the policy fails the object for it.
    is_refused: bool,
}

/// Applies the policies to `oracle` row by row.
async fn by_plain_statements(
    env: &TestEnv,
    rows: &[Row],
    on_bad_row: &str,
    on_duplicate: &str,
    update: &str,
) -> Result<Expected> {
    let mut conn = session(env, if on_bad_row == "accept" { LENIENT } else { STRICT }).await?;
    let mut expected = Expected::default();
    conn.query_drop("START TRANSACTION").await?;
    for row in rows {
        let values = format!(
            "oracle VALUES ({}, {}, {}, {})",
            literal(Some(&row.id.to_string())),
            literal(Some(&row.name)),
            literal(Some(&row.n.to_string())),
            literal(Some(&row.v))
        );
        let sql = match on_duplicate {
            "replace" => format!("REPLACE INTO {values}"),
            "update" => format!("INSERT INTO {values} ON DUPLICATE KEY UPDATE {update}"),
            _ => format!("INSERT INTO {values}"),
        };
        match conn.query_drop(sql).await {
            Ok(()) => {}
            Err(mysql_async::Error::Server(error)) => {
                match (error.code, on_bad_row, on_duplicate) {
                    (1062, _, "ignore") => expected.skipped += 1,
                    (1062, _, "reject") | (1264, "reject", _) => expected.rejected.push(row.line()),
                    (1062 | 1264, ..) => expected.is_refused = true,
                    _ => return Err(error.into()),
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
    conn.query_drop(if expected.is_refused { "ROLLBACK" } else { "COMMIT" }).await?;
    Ok(expected)
}

async fn compare(
    env: &TestEnv,
    rows: &[Row],
    on_bad_row: &str,
    on_duplicate: &str,
    update_columns: Option<&str>,
) -> Result<()> {
    for table in ["t", "oracle"] {
        fill(env, table).await?;
    }
    let set = |column: &str| format!("{column} = VALUES({column})");
    let update: Vec<String> = update_columns.unwrap_or("n,v").split(',').map(set).collect();
    let expected =
        by_plain_statements(env, rows, on_bad_row, on_duplicate, &update.join(", ")).await?;

    let mut object = String::new();
    rows.iter().try_for_each(|row| writeln!(object, "{}", row.line()))?;
    env.put("object", object)?;
    let (rejects, report) = (env.path("rejects"), env.path("report"));
    let _ = std::fs::remove_dir_all(&rejects);
    let (rejects, report) = (rejects.display().to_string(), report.display().to_string());
    let mut args = [
        &ARGS[..],
        &[
            "--force",
            "--report",
            &report,
            "--on-bad-row",
            on_bad_row,
            "--on-duplicate",
            on_duplicate,
        ],
    ]
    .concat();
    if [on_bad_row, on_duplicate].contains(&"reject") {
        args.extend(["--rejects", &rejects]);
    }
    if let Some(columns) = update_columns {
        args.extend(["--update-columns", columns]);
    }
    let code = match &expected {
        expected if expected.is_refused => 3,
        expected if expected.rejected.is_empty() => 0,
        _ => 7,
    };
    let ended = env.load_ending(code, "t", &args).await?;
    let query = |table| format!("SELECT * FROM {table} ORDER BY id");
    let (found, oracle) =
        (values(&env.schema, &query("t")).await?, values(&env.schema, &query("oracle")).await?);
    ensure!(found == oracle, "found:    {found:#?}\nexpected: {oracle:#?}");
    if expected.is_refused {
        return Ok(());
    }
    let line = env.report("report")?.into_iter().next().context("an empty report")?;
    ensure!(
        line["rows"] == rows.len() && line["skipped"] == expected.skipped,
        "{expected:?}: {line:#}"
    );
    ensure!(
        !args.contains(&"--rejects") || line["rejected"] == expected.rejected.len(),
        "{line:#}"
    );
    if !expected.rejected.is_empty() {
        let rejected = String::from_utf8(rejected(env)?.context("there are no rejects")?.text)?;
        let rejected: Vec<&str> = rejected.lines().collect();
        ensure!(
            rejected == expected.rejected,
            "{rejected:#?}, not {:#?}\n{ended}",
            expected.rejected
        );
    }
    Ok(())
}

async fn compare_all(env: &TestEnv, on_bad_rows: &[&str], on_duplicates: &[&str]) -> Result<()> {
    let mixed = rows(1);
    let good: Vec<Row> = rows(2).into_iter().filter(|row| !row.is_bad()).collect();
    ensure!(mixed.iter().filter(|row| row.is_bad()).count() > 20);
    for on_duplicate in on_duplicates {
        for on_bad_row in on_bad_rows {
            for rows in [&good, &mixed] {
                compare(env, rows, on_bad_row, on_duplicate, None).await.with_context(|| {
                    format!("--on-bad-row {on_bad_row} --on-duplicate {on_duplicate}")
                })?;
            }
        }
    }
    Ok(())
}

#[apply(load_test)]
async fn ignoring_and_replacing_do_what_plain_statements_do(env: TestEnv) -> Result<()> {
    compare_all(&env, &["fail", "accept"], &["error", "ignore", "replace"]).await
}

#[apply(load_test)]
async fn every_policy_for_duplicates_does_what_plain_statements_do(env: TestEnv) -> Result<()> {
    compare_all(
        &env,
        &["fail", "reject", "accept"],
        &["error", "ignore", "replace", "update", "reject"],
    )
    .await
}

#[apply(load_test)]
async fn an_update_sets_the_columns_that_are_named_and_no_others(env: TestEnv) -> Result<()> {
    for columns in ["v", "n", "n,v", "name,v"] {
        compare(&env, &rows(3), "reject", "update", Some(columns))
            .await
            .with_context(|| columns.to_owned())?;
    }
    Ok(())
}

#[apply(load_test)]
async fn bad_rows_and_duplicates_roll_back_what_came_before_them(env: TestEnv) -> Result<()> {
    let good: Vec<Row> = (0..50)
        .map(|number| Row {
            id: 1000 + number,
            name: format!("name {}", 1000 + number),
            n: 1,
            v: "v".to_owned(),
        })
        .collect();
    let bad = Row { id: 2000, name: "x".to_owned(), n: 1000, v: "v".to_owned() };
    let duplicate = Row { id: 1, name: "y".to_owned(), n: 1, v: "v".to_owned() };
    for (last, on_duplicate) in
        [(&bad, "ignore"), (&bad, "replace"), (&bad, "update"), (&duplicate, "error")]
    {
        compare(
            &env,
            &[&good[..], std::slice::from_ref(last)].concat(),
            "fail",
            on_duplicate,
            None,
        )
        .await
        .with_context(|| format!("{last:?} with --on-duplicate {on_duplicate}"))?;
    }
    Ok(())
}
