//! Many tables in one command: a jobs file, whose tables are loaded parents first, share all limits
//! and end with one verdict.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::registry::{apply, load_test};
use crate::support::lines;
use crate::support::program::{TestEnv, finish, signal, wait_for_log};
use crate::support::values::ensure_values;

const TABLES: usize = 25;
const ROWS: usize = 40;

/// The parent of a table in the seeding test: the tables are a tree with a root.
fn parent(table: usize) -> Option<usize> {
    (table > 0).then(|| (table - 1) / 2)
}

/// Creates 25 tables with foreign keys between them, and an object with rows for each.
async fn seed(env: &TestEnv) -> Result<()> {
    for table in 0..TABLES {
        let reference = match parent(table) {
            Some(parent) => format!(", FOREIGN KEY (p) REFERENCES t{parent} (id)"),
            None => String::new(),
        };
        let sql = format!("CREATE TABLE t{table} (id INT PRIMARY KEY, p INT{reference})");
        env.schema.exec(&sql).await?;
        env.put(&format!("seed/t{table}/1.csv"), rows(table, 0))?;
    }
    Ok(())
}

/// Returns rows of a table, each with the parent row of the same number.
fn rows(table: usize, from: usize) -> String {
    let row = |id: usize| match parent(table) {
        Some(_) => format!("{id},{id}\n"),
        None => format!("{id},\\N\n"),
    };
    (from..from + ROWS).map(row).collect()
}

/// Writes the jobs file of the seeding test, in which children come before their parents.
fn seed_file(env: &TestEnv) -> Result<String> {
    let mut text = "fields-terminated-by = ','\n".to_owned();
    for table in (0..TABLES).rev() {
        let _ = write!(text, "[[job]]\nuris = 's3://etl/seed/t{table}/'\ntable = 't{table}'\n");
    }
    write(env, &text)
}

fn write(env: &TestEnv, text: &str) -> Result<String> {
    let path = env.path("jobs.toml");
    std::fs::write(&path, text)?;
    Ok(path.display().to_string())
}

async fn ensure_seeded(env: &TestEnv, extra: &[(usize, u64)]) -> Result<()> {
    for table in 0..TABLES {
        let more = extra.iter().find(|(of, _)| *of == table).map_or(0, |(_, more)| *more);
        let count = env.count(&format!("t{table}")).await?;
        ensure!(count == ROWS as u64 + more, "t{table} has {count} rows");
    }
    Ok(())
}

/// Returns the last line of the report.
fn last_line(env: &TestEnv) -> Result<Value> {
    env.report("report")?.pop().context("the report is empty")
}

#[apply(load_test)]
async fn a_schema_of_25_tables_is_seeded_by_one_command(env: TestEnv) -> Result<()> {
    seed(&env).await?;
    let jobs = seed_file(&env)?;
    let report = env.path("report").display().to_string();
    let load = ["load", "--jobs", &jobs, "--report", &report, "--summary", "text"];
    let ended = env.run(&load).await?;
    ended.expect(0)?;
    ensure_seeded(&env, &[]).await?;
    ended.says("25 jobs complete in")?;
    let of_tables = ended.stdout.lines().filter(|line| line.contains("1 object ")).count();
    ensure!(of_tables == TABLES, "{of_tables} lines of tables\n{ended}");
    let last = last_line(&env)?;
    ensure!(last["type"] == "jobs" && last["exit_code"] == 0, "{last}");
    ensure!(last["jobs"].as_array().is_some_and(|jobs| jobs.len() == TABLES), "{last}");
    let objects = env.report("report")?.into_iter().filter(|line| line["type"] == "object");
    ensure!(objects.clone().count() == TABLES, "not one object for each table");
    for object in objects {
        let job = object["job_name"].as_str().unwrap_or_default();
        ensure!(object["key"] == format!("seed/{job}/1.csv"), "{object}");
    }

    // Nothing is left, and then one table has more data.
    env.run(&load).await?.expect(0)?;
    ensure!(last_line(&env)?["jobs"][3]["status"] == "nothing_left");
    ensure_seeded(&env, &[]).await?;
    env.put("seed/t3/2.csv", (1000..1002).map(|id| format!("{id},1\n")).collect::<String>())?;
    let ended = env.run(&load).await?;
    ended.expect(0)?;
    ensure_seeded(&env, &[(3, 2)]).await?;
    let loaded: Vec<String> = last_line(&env)?["jobs"]
        .as_array()
        .context("no jobs")?
        .iter()
        .filter(|job| job["status"] == "loaded")
        .map(|job| job["job"].to_string())
        .collect();
    ensure!(loaded == ["\"t3\""], "{loaded:?}");
    Ok(())
}

#[apply(load_test)]
async fn everything_wrong_with_the_jobs_is_told_before_anything_is_loaded(
    env: TestEnv,
) -> Result<()> {
    lines::create(&env, "a").await?;
    env.put("a/1", "one\n")?;
    let text = "presett = 'csv'\nmode = 'append'\n[[job]]\nuris = 's3://etl/a/'\ntable = 'a'\n\
                on-bad-rows = 'fail'\n[[job]]\ntable = 'b'\nhost = 'h'\n[[job]]\nname = 'a'\n\
                table = 'c'\nuris = 's3://etl/c/'\nmode = 'sawp'\n";
    let jobs = write(&env, text)?;
    let ended = env.run(&["load", "--jobs", &jobs, "--table", "x", "--only", "q"]).await?;
    ended.expect(2)?;
    for said in [
        "jobs.toml line 1: there is no setting \"presett\"; did you mean preset?",
        "line 6: there is no setting \"on-bad-rows\"; did you mean on-bad-row?",
        "line 7: the job has nothing to load; add uris",
        "line 9: host is for all jobs; put it above the first [[job]]",
        "line 10: there is a job \"a\" already",
        "line 14: mode \"sawp\": it must be one of append, truncate, swap",
        "--table: table is for one job, and would hold for all of them",
        "there is no job \"q\"",
    ] {
        ended.says(said)?;
    }
    // A table that does not exist prevents the run, too.
    let text = "[[job]]\nuris = 's3://etl/a/'\ntable = 'a'\n[[job]]\nuris = 's3://etl/b/'\n\
                table = 'nosuch'\n";
    let jobs = write(&env, text)?;
    let ended = env.run(&["load", "--jobs", &jobs]).await?;
    ended.expect(6)?;
    ended.says("nosuch: table `nosuch` does not exist")?;
    ensure_values(&env.schema, "SELECT COUNT(*) FROM a", &["0"]).await?;
    // With --only, the other jobs are not looked at.
    env.run(&["load", "--jobs", &jobs, "--only", "a"]).await?.expect(0)?;
    lines::expect(&env, "a", &["one"]).await
}

#[apply(load_test)]
async fn a_prefix_that_holds_the_objects_of_another_job_is_refused(env: TestEnv) -> Result<()> {
    lines::create(&env, "a").await?;
    lines::create(&env, "b").await?;
    let text = "[[job]]\nuris = 's3://etl/in/'\ntable = 'a'\n[[job]]\nuris = 's3://etl/in/b/'\n\
                table = 'b'\n";
    let jobs = write(&env, text)?;
    let ended = env.run(&["load", "--jobs", &jobs]).await?;
    ended.expect(2)?;
    ended.says("job a would load what job b loads, too: s3://etl/in/b/")
}

#[apply(load_test)]
async fn what_depends_on_a_failed_job_does_not_begin_and_the_others_are_loaded(
    env: TestEnv,
) -> Result<()> {
    env.schema.exec("CREATE TABLE parent (id INT PRIMARY KEY)").await?;
    let child = "CREATE TABLE child (id INT, FOREIGN KEY (id) REFERENCES parent (id))";
    env.schema.exec(child).await?;
    let grandchild = "CREATE TABLE other (id INT)";
    env.schema.exec(grandchild).await?;
    env.put("parent/1", "1\n")?;
    env.put("parent/2", "no number\n")?;
    env.put("child/1", "1\n")?;
    env.put("other/1", "1\n")?;
    let text: String = ["child", "other", "parent"]
        .map(|name| format!("[[job]]\nuris = 's3://etl/{name}/'\ntable = '{name}'\n"))
        .concat();
    let jobs = write(&env, &text)?;
    let report = env.path("report").display().to_string();
    let load = ["load", "--jobs", &jobs, "--report", &report];
    let ended = env.run(&load).await?;
    ended.expect(3)?;
    ended.says("1 of 3 jobs complete")?;
    let last = last_line(&env)?;
    let ends: Vec<&str> = (0..3).filter_map(|job| last["jobs"][job]["status"].as_str()).collect();
    ensure!(ends == ["not_begun", "loaded", "incomplete"], "{last}");
    env.put("parent/2", "2\n")?;
    env.run(&load).await?.expect(0)?;
    ensure_values(&env.schema, "SELECT id FROM parent ORDER BY id", &["1", "2"]).await?;
    ensure_values(&env.schema, "SELECT id FROM child", &["1"]).await
}

#[apply(load_test)]
async fn tables_that_refer_to_each_other_in_a_circle_are_told(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE a (id INT PRIMARY KEY, b INT)").await?;
    let b = "CREATE TABLE b (id INT PRIMARY KEY, a INT, FOREIGN KEY (a) REFERENCES a (id))";
    env.schema.exec(b).await?;
    env.schema.exec("ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES b (id)").await?;
    env.put("a/1", "1\t\\N\n")?;
    env.put("b/1", "1\t1\n")?;
    let text = "[[job]]\nuris = 's3://etl/a/'\ntable = 'a'\n[[job]]\nuris = 's3://etl/b/'\n\
                table = 'b'\n";
    let jobs = write(&env, text)?;
    let ended = env.run(&["load", "--jobs", &jobs]).await?;
    ended.expect(0)?;
    ended.says("refer to each other in a circle")
}

#[apply(load_test)]
async fn a_huge_table_does_not_starve_small_ones(env: TestEnv) -> Result<()> {
    let mut text = String::new();
    for name in ["huge", "s1", "s2", "s3"] {
        lines::create(&env, name).await?;
        let _ = write!(text, "[[job]]\nuris = 's3://etl/{name}/'\ntable = '{name}'\n");
        let (objects, size) = if name == "huge" { (40, 20_000) } else { (1, 1) };
        for object in 0..objects {
            env.put(&format!("{name}/{object}"), format!("{name}-{object}\n").repeat(size))?;
        }
    }
    let jobs = write(&env, &text)?;
    let report = env.path("report").display().to_string();
    let load = ["load", "--jobs", &jobs, "--report", &report, "--load-concurrency", "1"];
    env.run(&[&load[..], &["--no-batch"]].concat()).await?.expect(0)?;
    ensure!(env.count("huge").await? == 800_000 && env.count("s3").await? == 1);
    let ends: Vec<Value> =
        env.report("report")?.into_iter().filter(|line| line["type"] == "summary").collect();
    let order: Vec<&str> = ends.iter().filter_map(|line| line["job_name"].as_str()).collect();
    ensure!(order.len() == 4 && order[3] == "huge", "{order:?}");
    Ok(())
}

/// Jobs for three tables without keys, whose objects arrive slowly.
async fn slow(env: &TestEnv) -> Result<String> {
    let mut text = "max-rate = '100KiB'\n".to_owned();
    for name in ["a", "b", "c"] {
        lines::create(env, name).await?;
        let _ = write!(text, "[[job]]\nuris = 's3://etl/{name}/'\ntable = '{name}'\n");
        for object in 0..6 {
            env.put(&format!("{name}/{object}"), format!("{name}-{object:08}\n").repeat(4000))?;
        }
    }
    write(env, &text)
}

async fn ensure_all_once(env: &TestEnv) -> Result<()> {
    for name in ["a", "b", "c"] {
        let counts = format!("SELECT COUNT(*), COUNT(DISTINCT v) FROM {name}");
        ensure_values(&env.schema, &counts, &["24000|6"]).await?;
    }
    Ok(())
}

#[apply(load_test)]
async fn jobs_that_are_killed_or_stopped_are_completed_by_the_next_run(env: TestEnv) -> Result<()> {
    let jobs = slow(&env).await?;
    let load = ["load", "--jobs", &jobs];
    let mut child = env.command(load).spawn()?;
    let log = wait_for_log(&mut child, "objects, ").await?;
    child.kill().await?;
    drop(log);
    let child = env.command(load).spawn()?;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    signal(&child, "INT")?;
    finish(child).await?.expect(130)?;
    let fast = [&load[..], &["--max-rate", "1GiB"]].concat();
    env.run(&fast).await?.expect(0)?;
    ensure_all_once(&env).await
}

#[apply(load_test)]
async fn plan_check_and_status_take_a_jobs_file(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE parent (id INT PRIMARY KEY)").await?;
    let child = "CREATE TABLE child (id INT, FOREIGN KEY (id) REFERENCES parent (id))";
    env.schema.exec(child).await?;
    env.put("parent/1", "1\n")?;
    env.put("child/1", "1\n")?;
    let text: String = ["child", "parent"]
        .map(|name| format!("[[job]]\nuris = 's3://etl/{name}/'\ntable = '{name}'\n"))
        .concat();
    let jobs = write(&env, &text)?;
    let planned = env.run(&["plan", "--jobs", &jobs]).await?;
    planned.expect(0)?;
    let (parent, child) = (planned.stdout.find("# job parent"), planned.stdout.find("# job child"));
    ensure!(parent.is_some() && parent < child, "{planned}");
    planned.says("s3://etl/child/1")?;
    let checked = env.run(&["check", "--jobs", &jobs]).await?;
    checked.expect(0)?;
    checked.says("# job child")?;
    ensure_values(&env.schema, "SELECT COUNT(*) FROM parent", &["0"]).await?;
    env.run(&["load", "--jobs", &jobs]).await?.expect(0)?;
    let status = env.run(&["status", "--jobs", &jobs, "--json"]).await?;
    status.expect(0)?;
    let documents: Value = serde_json::from_str(&status.stdout)?;
    ensure!(documents.as_array().is_some_and(|all| all.len() == 2), "{documents}");
    env.run(&["status", "--jobs", &jobs, "--check"]).await?.expect(0)?;
    let printed = env.run(&["load", "--jobs", &jobs, "--print-config"]).await?;
    printed.expect(0)?;
    printed.says("# ---- job parent ----")?;
    printed.says("jobs.toml line 6")
}
