//! Transactions that deadlock over keys that their files share: after the retry, the rows are in
//! the table once, exactly as without the deadlock.

use anyhow::{Context as _, Result, ensure};
use mysql_async::prelude::Queryable as _;

use crate::registry::{apply, load_test};
use crate::support::program::{Ended, TestEnv, finish, wait_for_log};
use crate::support::values::values;
use crate::transaction::wait_for_waiting;

/// Loads all objects into `t`, whose column `id` is a key, and makes the load the victim of one
/// deadlock: it must have read row 9 before it reaches row 5.
async fn load_with_a_deadlock(env: &TestEnv, code: i32, args: &[&str]) -> Result<Ended> {
    let mut other = env.schema.conn().await?;
    other.query_drop("START TRANSACTION").await?;
    // More work than the loader's, so that the server chooses the loader.
    let many: Vec<String> = (100_000..102_000).map(|id| format!("({id})")).collect();
    other.query_drop(format!("INSERT INTO t (id) VALUES (5), {}", many.join(", "))).await?;
    let base = ["load", "s3://etl/", "--table", "t", "--load-concurrency", "1"];
    let mut command = env.command(base.iter().chain(args));
    let mut child = command.env("S3_TO_MYSQL_REPORT", env.path("report")).spawn()?;
    wait_for_waiting(&env.schema, "LOAD DATA").await?;
    other.query_drop("INSERT INTO t (id) VALUES (9)").await?;
    let log = wait_for_log(&mut child, "trying again").await?;
    other.query_drop("ROLLBACK").await?;
    let ended = finish(child).await?;
    let ended = Ended { stderr: log.await?, ..ended };
    ended.expect(code)?;
    ended.says("ERROR 1213 (40001)")?;
    Ok(ended)
}

#[apply(load_test)]
async fn after_a_deadlock_the_same_row_of_a_key_wins(env: TestEnv) -> Result<()> {
    let sql = "CREATE TABLE t (id VARCHAR(9) COLLATE utf8mb4_general_ci PRIMARY KEY, \
               v VARCHAR(9) NOT NULL DEFAULT '')";
    env.schema.exec(sql).await?;
    env.put("1", "9\ta\nkey\tb\n5\tc\nKEY \td\nx\te\nKey\tf\n")?;
    let sql = "SELECT id, v FROM t ORDER BY id";
    for (how, expected) in
        [("replace", ["5|c", "9|a", "Key|f", "x|e"]), ("ignore", ["5|c", "9|a", "key|b", "x|e"])]
    {
        let args = ["--columns", "id, v", "--on-duplicate", how, "--force"];
        let ended = load_with_a_deadlock(&env, 0, &args).await?;
        let found = values(&env.schema, sql).await?;
        ensure!(found == expected, "{how}: {found:?}\n{ended}");
        env.start_afresh("t").await?;
    }
    Ok(())
}

#[apply(load_test)]
async fn after_a_deadlock_a_bad_row_is_told_with_its_own_line(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT PRIMARY KEY, v DATE)").await?;
    env.put("1", "9\t2026-01-01\n5\t2026-01-01\n7\tsome day\n10\t2026-01-01\n")?;
    for how in ["error", "replace"] {
        // The server is to find the bad row, so the value goes through a variable.
        let by_server = ["--columns", "id,@v", "--set", "v=@v", "--on-duplicate", how];
        load_with_a_deadlock(&env, 3, &by_server).await?;
        let line = env.report("report")?.into_iter().next().context("an empty report")?;
        let rows = line["error"]["rows"].as_array().context("no rows in the error")?;
        ensure!(
            !rows.is_empty() && rows.iter().all(|row| row["line"] == 3 && row["row"] == 3),
            "{line:#}"
        );
        ensure!(rows[0]["raw"].as_str().is_some_and(|raw| raw.starts_with("7\t")), "{line:#}");
        ensure!(env.count("t").await? == 0);
    }
    Ok(())
}

/// Each run is certain to be the victim of one deadlock, and may be the victim of more: the runs
/// share keys and meet them in different orders.
#[apply(load_test)]
async fn runs_that_deadlock_over_hot_keys_load_every_row(env: TestEnv) -> Result<()> {
    const FILES: u32 = 24;
    const HOT: u32 = 1000;
    const OWN: u32 = 300;
    env.schema.exec("CREATE TABLE t (id INT PRIMARY KEY, v INT NOT NULL DEFAULT 0)").await?;
    // The rows that each run has read when it reaches a locked row, so that it can be made the
    // victim of a deadlock.
    let runs = [("ignore", 200, 300), ("replace", 700, 800)];
    let mut random = fastrand::Rng::with_seed(7);
    for (number, (run, first, locked)) in (0..).zip(runs) {
        for file in 0..FILES {
            let own = HOT + (number * FILES + file) * OWN;
            let mut rest: Vec<u32> = (0..HOT)
                .chain(own..own + OWN)
                .filter(|key| ![first, locked].contains(key))
                .collect();
            random.shuffle(&mut rest);
            let keys = [first, locked].into_iter().chain(rest);
            let text: String = keys.map(|key| format!("{key}\t{}\n", key % 100)).collect();
            env.put(&format!("{run}/{file}"), text)?;
        }
    }
    let mut running = Vec::new();
    let mut others = Vec::new();
    for ((_, _, locked), many) in runs.into_iter().zip([1_000_000.., 2_000_000..]) {
        let mut other = env.schema.conn().await?;
        other.query_drop("START TRANSACTION").await?;
        // More work than the run's, so that the server chooses the run.
        let many: Vec<String> = many.take(3000).map(|id| format!("({id})")).collect();
        other
            .query_drop(format!("INSERT INTO t (id) VALUES ({locked}), {}", many.join(", ")))
            .await?;
        others.push(other);
    }
    for ((run, first, _), other) in runs.into_iter().zip(&mut others) {
        let (uri, load) =
            (format!("s3://etl/{run}/"), format!("{} INTO TABLE", run.to_uppercase()));
        let args = ["load", &uri, "--table", "t", "--on-duplicate", run, "--load-concurrency", "1"];
        // A few files per transaction.
        let mut child = env.command(args).args(["--batch-bytes", "20KB"]).spawn()?;
        wait_for_waiting(&env.schema, &load).await?;
        other.query_drop(format!("INSERT INTO t (id) VALUES ({first})")).await?;
        let log = wait_for_log(&mut child, "trying again").await?;
        running.push((child, log));
    }
    for mut other in others {
        other.query_drop("ROLLBACK").await?;
    }
    for (child, log) in running {
        let ended = finish(child).await?;
        let log = log.await?;
        ended.expect(0).with_context(|| log.clone())?;
        ensure!(log.contains("ERROR 1213 (40001)"), "{log}");
    }
    let rows = u64::from(HOT + 2 * FILES * OWN);
    let found: (u64, u64) =
        env.schema.query_one("SELECT COUNT(*), SUM(id % 100 = v) FROM t").await?;
    ensure!(found == (rows, rows), "{found:?}, not {rows}");
    Ok(())
}
