//! `--create-table`: a table with types guessed from the first rows, which loses nothing.

mod guesses;
mod names;
mod races;
mod refused;

use anyhow::{Context as _, Result, ensure};

use crate::packed::gzip;
use crate::registry::{apply, load_test};
use crate::support::program::{Ended, TestEnv};
use crate::support::values::ensure_values;

/// The types of the table, the same on both servers, with `!` after columns that are NOT NULL.
const TYPES: &str = "SELECT CONCAT(COLUMN_NAME, ' ', REPLACE(COLUMN_TYPE, '(20)', ''), \
                     IF(IS_NULLABLE = 'NO', '!', '')) \
                     FROM information_schema.COLUMNS \
                     WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 't' \
                     ORDER BY ORDINAL_POSITION";

/// Creates the table `t` and loads into it. The report is `report`.
async fn create(env: &TestEnv, code: i32, args: &[&str]) -> Result<Ended> {
    let report = env.path("report").display().to_string();
    let args = [&["--create-table", "--report", &report], args].concat();
    let ended = env.load_ending(code, "t", &args).await?;
    env.ensure_nothing_staged()?;
    Ok(ended)
}

/// Returns what `plan --create-table` prints.
async fn plan(env: &TestEnv, args: &[&str]) -> Result<Ended> {
    env.run(&[&["plan", "s3://etl/", "--table", "t", "--create-table"], args].concat()).await
}

async fn ensure_types(env: &TestEnv, expected: &[&str]) -> Result<()> {
    ensure_values(&env.schema, TYPES, expected).await
}

/// Requires that the table does not exist.
async fn ensure_no_table(env: &TestEnv) -> Result<()> {
    ensure_types(env, &[]).await
}

/// Returns the statement in the report, if the run created the table.
fn created(env: &TestEnv, report: &str) -> Result<Option<String>> {
    let lines = env.report(report)?;
    let summary = lines.last().context("the report is empty")?;
    ensure!(summary["type"] == "summary", "{summary}");
    Ok(summary["created_table"].as_str().map(str::to_owned))
}

const BY_NAME: [&str; 4] = ["--preset", "csv", "--match-columns", "name"];
const BY_POSITION: [&str; 4] = ["--preset", "csv", "--ignore-lines", "1"];

#[apply(load_test)]
async fn a_plan_prints_what_a_load_runs_and_the_server_takes_it_as_it_is(
    env: TestEnv,
) -> Result<()> {
    env.put("exports/a.csv", "id,code,at\n1,007,2026-01-31\n2,12,2026-02-28\n,13,2026-02-27\n")?;
    env.put("exports/b.csv", "id,code,at\n123456,9,2027-01-01\n")?;
    let args = [&BY_POSITION[..], &["--empty-as-null"]].concat();
    let planned = plan(&env, &args).await?;
    planned.expect(0)?;
    ensure_no_table(&env).await?;
    let statement = planned.stdout.strip_suffix(";\n").context("no end of a statement")?;
    for line in [
        "-- Guessed from 4 rows of 2 objects:",
        "--   s3://etl/exports/a.csv",
        "  `id` BIGINT,        -- 3 values from 1 to 123456, 1 empty",
        "  `code` VARCHAR(64), -- text: \"007\" in exports/a.csv line 2 has a leading zero",
        "  `at` DATE           -- 4 values from 2026-01-31 to 2027-01-01",
    ] {
        ensure!(statement.lines().any(|it| it == line), "not {line:?} in\n{statement}");
    }
    let ended = create(&env, 0, &args).await?;
    ended.says("created table")?;
    ensure!(ended.summary("table created")? == "3 columns", "{ended}");
    ensure!(created(&env, "report")?.as_deref() == Some(statement), "{statement}");
    let rows = ["∅|13|2026-02-27", "1|007|2026-01-31", "2|12|2026-02-28", "123456|9|2027-01-01"];
    ensure_values(&env.schema, "SELECT * FROM t ORDER BY id", &rows).await?;
    // The table that the statement itself makes is the same.
    let of_the_load = env.schema.query_one::<(String, String)>("SHOW CREATE TABLE t").await?;
    env.schema.exec("DROP TABLE t").await?;
    env.schema.exec(&planned.stdout).await?;
    let of_the_plan = env.schema.query_one::<(String, String)>("SHOW CREATE TABLE t").await?;
    ensure!(of_the_load == of_the_plan, "{of_the_load:?}\n{of_the_plan:?}");
    Ok(())
}

#[apply(load_test)]
async fn a_table_that_exists_is_left_as_it_is(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id VARCHAR(9), v INT)").await?;
    env.put("a", "id,v\n1,2\n")?;
    let ended = create(&env, 0, &BY_POSITION).await?;
    let said = "exists, so --create-table does nothing";
    ensure!(ended.stderr.matches(said).count() == 1, "{ended}");
    ensure!(created(&env, "report")?.is_none(), "{ended}");
    ensure_values(&env.schema, "SELECT * FROM t", &["1|2"]).await?;
    let planned = plan(&env, &BY_POSITION).await?;
    planned.expect(0)?;
    planned.says("LOAD DATA")?;
    planned.says("1 object already loaded")
}

#[apply(load_test)]
async fn tables_are_created_for_jobs_too(env: TestEnv) -> Result<()> {
    for mode in ["truncate", "swap"] {
        env.put("a", "id,v\n1,x\n2,y\n")?;
        let args = [&BY_POSITION[..], &["--mode", mode, "--verify", "checksum"]].concat();
        create(&env, 0, &args).await?;
        ensure!(created(&env, "report")?.is_some());
        ensure_values(&env.schema, "SELECT * FROM t ORDER BY id", &["1|x", "2|y"]).await?;
        create(&env, 0, &args).await?;
        ensure!(created(&env, "report")?.is_none());
        ensure_values(&env.schema, "SELECT * FROM t ORDER BY id", &["1|x", "2|y"]).await?;
        env.schema.exec("DROP TABLE t").await?;
    }
    Ok(())
}

#[apply(load_test)]
async fn a_wrong_guess_makes_later_rows_bad(env: TestEnv) -> Result<()> {
    let rows: String = (0..10_000).map(|row| format!("{row},{row}.25\n")).collect();
    env.put("a", format!("id,v\n{rows}x,1.00\n"))?;
    let ended = create(&env, 3, &BY_POSITION).await?;
    ended.says("line 10002, column id (bigint): 'x' is not an integer")?;
    ensure!(env.count("t").await? == 0);
    ensure_types(&env, &["id bigint", "v decimal(20,2)"]).await?;
    env.schema.exec("DROP TABLE t").await?;
    // Digits that the column does not keep are no note here.
    env.put("a", gzip(format!("id,v\n{rows}1,1.123\n").as_bytes())?)?;
    let ended = create(&env, 3, &BY_POSITION).await?;
    ended.says("line 10002, column v (decimal(20,2))")?;
    ensure!(env.count("t").await? == 0);
    // Neither is a number a name, even if the first 10,000 look like numbers.
    env.schema.exec("DROP TABLE t").await?;
    env.put("a", format!("id,v\n{rows}007,1.25\n"))?;
    let ended = create(&env, 3, &BY_POSITION).await?;
    ended.says("line 10002, column id (bigint): '007' would come back in another form")?;
    ensure!(env.count("t").await? == 0);
    // Later runs take numbers as they do in any table.
    create(&env, 0, &BY_POSITION).await?;
    ensure_values(&env.schema, "SELECT COUNT(*), SUM(id = 7) FROM t", &["10001|2"]).await
}

#[apply(load_test)]
async fn a_new_column_is_an_error_with_the_statement_that_adds_it(env: TestEnv) -> Result<()> {
    env.put("a", "id,v\n1,2\n")?;
    create(&env, 0, &BY_NAME).await?;
    env.put("b", "id,v,co`lor\n1,2,red\n")?;
    let ended = create(&env, 3, &BY_NAME).await?;
    let statement = "ADD COLUMN `co``lor` VARCHAR(255);";
    ended.says(statement)?;
    let hint = &ended.stderr[ended.stderr.find("ALTER TABLE").context("no statement")?..];
    let end = hint.find(';').context("the statement has no end")?;
    env.schema.exec(&hint[..end]).await?;
    create(&env, 0, &BY_NAME).await?;
    ensure_values(&env.schema, "SELECT `co``lor` FROM t", &["∅", "red"]).await?;
    env.put("c", "{\"id\":3,\"n\":{\"a\":1}}\n")?;
    let ended = create(&env, 3, &["--format", "jsonl", "--include", "c"]).await?;
    ended.says("ADD COLUMN `n` JSON;")
}
