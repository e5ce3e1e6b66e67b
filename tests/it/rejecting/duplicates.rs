//! Compares the rejected duplicates with the rows that a server refuses one by one.

use std::fmt::Write as _;

use anyhow::{Result, ensure};
use fastrand::Rng;
use mysql_async::prelude::Queryable;

use super::load;
use crate::registry::{apply, load_test};
use crate::support::program::TestEnv;
use crate::support::values::values;

/// Tables whose rows have few values, so that many are duplicates, and values that servers compare
/// or show in their own way.
const TABLES: [(&str, &[&[&str]]); 7] = [
    ("n INT PRIMARY KEY, m SMALLINT UNIQUE", &[&["1", "2", "3", "-4", "50", "600"], &["1", "-2"]]),
    // Texts that mean the same number are shown alike.
    ("n INT, m INT, UNIQUE (n)", &[&["7", "07", "+7", "7.0", "8", "0", "\\N"], &["1"]]),
    ("n INT AUTO_INCREMENT PRIMARY KEY, m INT", &[&["1", "2", "3", "4", "-9"], &["1"]]),
    ("s VARCHAR(8), t CHAR(4), UNIQUE (s, t)", &[&["a", "A", "a-b", "a ", "b"], &["c", "b-c", ""]]),
    ("s VARCHAR(8), m INT, UNIQUE k (s), UNIQUE j (m)", &[&["a", "A", "\u{e1}", "b"], &["1", "2"]]),
    ("s VARCHAR(8), m INT, UNIQUE (s(2))", &[&["ab", "abc", "abd", "x"], &["1"]]),
    (
        "d DATE, m DECIMAL(5,1), UNIQUE (d, m)",
        &[&["2026-01-02", "2026-1-2", "20260102", "2026-01-03"], &["1", "1.0", "2"]],
    ),
];
const ROWS: usize = 60;
const ROUNDS: u64 = 6;

/// Returns the numbers of the rows that the server refuses if it gets them one by one.
async fn refused(env: &TestEnv, rows: &[Vec<&str>]) -> Result<Vec<u64>> {
    let mut conn = env.schema.conn().await?;
    let mut refused = Vec::new();
    for (number, row) in (1..).zip(rows) {
        let values: Vec<Option<&str>> =
            row.iter().map(|text| (*text != "\\N").then_some(*text)).collect();
        match conn.exec_drop("INSERT INTO one_by_one VALUES (?, ?)", values).await {
            Ok(()) => {}
            Err(mysql_async::Error::Server(error)) if error.code == 1062 => refused.push(number),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(refused)
}

#[apply(load_test)]
async fn the_rejected_duplicates_are_the_rows_that_a_server_refuses_one_by_one(
    env: TestEnv,
) -> Result<()> {
    for seed in 0..ROUNDS {
        for (columns, texts) in TABLES {
            let mut rng = Rng::with_seed(seed);
            let mut row = || texts.iter().map(|texts| texts[rng.usize(..texts.len())]).collect();
            let before: Vec<Vec<&str>> = (0..2).map(|_| row()).collect();
            let rows: Vec<Vec<&str>> = (0..ROWS).map(|_| row()).collect();
            let mut object = String::new();
            for row in &rows {
                writeln!(object, "{}", row.join("\t"))?;
            }
            env.put("data/1", object)?;
            for table in ["t", "one_by_one"] {
                env.schema.exec(&format!("DROP TABLE IF EXISTS {table}")).await?;
                env.schema.exec(&format!("CREATE TABLE {table} ({columns})")).await?;
            }
            refused(&env, &before).await?;
            env.schema.exec("INSERT INTO t SELECT * FROM one_by_one").await?;
            let expected = refused(&env, &rows).await?;
            let expected: Vec<(u64, &str)> =
                expected.into_iter().map(|row| (row, "duplicate")).collect();
            let code = if expected.is_empty() { 0 } else { 7 };
            let rejects = load(&env, "t", code, &["--on-duplicate", "reject"]).await?;
            rejects.expect(&expected)?;
            let loaded = values(&env.schema, "SELECT * FROM t ORDER BY 1, 2").await?;
            let inserted = values(&env.schema, "SELECT * FROM one_by_one ORDER BY 1, 2").await?;
            ensure!(loaded == inserted, "seed {seed}: {columns}: {loaded:?}, not {inserted:?}");
        }
    }
    Ok(())
}

#[apply(load_test)]
async fn a_trigger_that_gives_rows_other_keys_does_not_mislead(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT PRIMARY KEY, n INT)").await?;
    env.schema.exec("INSERT INTO t VALUES (6, 0)").await?;
    env.schema
        .exec("CREATE TRIGGER moves BEFORE INSERT ON t FOR EACH ROW SET NEW.id = NEW.id + 1")
        .await?;
    env.put("data/1", "4\t4\n5\t5\n6\t6\n7\t7\n")?;
    let rejects = load(&env, "t", 7, &["--on-duplicate", "reject"]).await?;
    rejects.expect(&[(2, "duplicate")])?;
    // An account that does not see the trigger.
    env.schema.exec("DELETE FROM t WHERE id <> 6").await?;
    let (user, database) = (&env.schema.user, &env.schema.name);
    env.schema.exec(&format!("REVOKE TRIGGER ON {database}.* FROM {user}@'%'")).await?;
    let rejects = load(&env, "t", 7, &["--on-duplicate", "reject"]).await?;
    rejects.expect(&[(2, "duplicate")])
}

#[apply(load_test)]
async fn a_value_that_the_server_cuts_does_not_pass_for_another_rows(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (k VARCHAR(3) UNIQUE, n INT)").await?;
    env.put("data/1", "abc\t1\nabcd\t2\nx\t3\n")?;
    let args = ["--on-bad-row", "accept", "--on-duplicate", "reject"];
    let rejects = load(&env, "t", 7, &args).await?;
    rejects.expect(&[(2, "duplicate")])
}
