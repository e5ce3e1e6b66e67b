//! Nothing is silent: whatever the server would convert, skip or drop with an OK fails the object,
//! or is counted if the options allow it.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::registry::{apply, load_test};
use crate::support::program::TestEnv;
use crate::support::values::ensure_values;

/// Returns the report's line for a key.
fn line(report: &[Value], key: &str) -> Result<Value> {
    report
        .iter()
        .find(|line| line["key"] == key)
        .cloned()
        .with_context(|| format!("no line for {key}: {report:#?}"))
}

#[apply(load_test)]
async fn every_common_bad_value_rolls_its_object_back_and_the_others_load(
    env: TestEnv,
) -> Result<()> {
    env.schema
        .exec(
            "CREATE TABLE t (id INT NOT NULL PRIMARY KEY, n TINYINT NULL, s VARCHAR(3) NULL, d \
             DATE NULL, x INT NOT NULL)",
        )
        .await?;
    // Each case starts with a good row, which must not stay.
    let cases: [(&str, &str, &[u16]); 9] = [
        ("number", "abc\t\\N\t\\N\t1", &[1366]),
        ("half-a-number", "1x\t\\N\t\\N\t1", &[1366]),
        ("too-long", "\\N\tlong\t\\N\t1", &[1406]),
        ("missing", "1\tabc\t\\N", &[1261]),
        ("extra", "1\tabc\t\\N\t1\t1", &[1262]),
        ("range", "300\t\\N\t\\N\t1", &[1264]),
        ("null", "1\t\\N\t\\N\t\\N", &[1048]),
        ("date", "1\t\\N\t2026-02-30\t1", &[1292]),
        ("empty-number", "1\t\\N\t\\N\t", &[1366]),
    ];
    for (number, (name, bad, _)) in cases.iter().enumerate() {
        let id = number * 10;
        env.put(
            &format!("bad/{name}"),
            format!("{id}\t1\tabc\t2026-01-01\t1\n{}\t{bad}\n", id + 1),
        )?;
    }
    env.put("good/1", "1000\t1\tabc\t2026-01-01\t1\n")?;
    env.put("good/2", "1001\t-128\t\\N\t\\N\t0\n")?;
    let report = env.path("report");
    let ended = env.load_ending(3, "t", &["--report", report.to_str().context("path")?]).await?;
    ensure!(ended.summary("objects failed")? == cases.len().to_string(), "{ended}");
    ensure!(ended.summary("objects loaded")? == "2" && ended.summary("rows")? == "2", "{ended}");
    ensure_values(&env.schema, "SELECT id FROM t ORDER BY id", &["1000", "1001"]).await?;
    let report = env.report("report")?;
    for (name, _, codes) in cases {
        let error = line(&report, &format!("bad/{name}"))?["error"].clone();
        ensure!(error["code"] == "bad_rows", "{name}: {error}");
        let message = error["message"].as_str().context("no message")?;
        let code = error["rows"][0]["code"].as_u64().context("no code")?;
        ensure!(codes.iter().any(|known| u64::from(*known) == code), "{name}: {error:#}");
        // The line is the one within the object.
        ensure!(message.contains("\n  line 2"), "{name}: {message}");
    }
    Ok(())
}

#[apply(load_test)]
async fn the_first_ten_messages_are_shown_and_the_rest_counted(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (a INT)").await?;
    env.put("bad", (0..3000).map(|number| format!("x{number}\n")).collect::<String>())?;
    let ended = env.load_ending(3, "t", &[]).await?;
    ensure!(ended.stderr.matches(" is not an integer").count() == 10, "{ended}");
    ensure!(ended.stderr.contains("'x0'") && ended.stderr.contains("'x9'"), "{ended}");
    ended.says("and 2990 more")?;
    ensure!(env.count("t").await? == 0);
    Ok(())
}

#[apply(load_test)]
async fn accepted_bad_rows_are_loaded_counted_and_reported(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (a INT, b TINYINT, c VARCHAR(3))").await?;
    env.put("bad", "1\t300\tlong\n2\tx\tok\n3\t1\n4\t1\tok\n")?;
    let report = env.path("report");
    let args = ["--on-bad-row", "accept", "--report", report.to_str().context("path")?];
    let ended = env.load_ending(0, "t", &args).await?;
    ensure!(ended.summary("rows")? == "4" && ended.summary("warnings")? == "4", "{ended}");
    let line = line(&env.report("report")?, "bad")?;
    ensure!(line["rows"] == 4 && line["skipped"] == 0 && line["warnings"] == 4, "{line}");
    ensure_values(
        &env.schema,
        "SELECT * FROM t ORDER BY a",
        &["1|127|lon", "2|0|ok", "3|1|∅", "4|1|ok"],
    )
    .await
}

/// Creates a table with the ids 1 to 3.
async fn table_of_three(env: &TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT PRIMARY KEY, s VARCHAR(9))").await?;
    env.schema.exec("INSERT INTO t VALUES (1, 'old'), (2, 'old'), (3, 'old')").await
}

#[apply(load_test)]
async fn duplicates_roll_the_object_back(env: TestEnv) -> Result<()> {
    table_of_three(&env).await?;
    env.put("duplicates", "2\tnew\n3\tnew\n4\tnew\n")?;
    env.put("fresh", "5\tnew\n")?;
    let report = env.path("report");
    let ended = env.load_ending(3, "t", &["--report", report.to_str().context("path")?]).await?;
    ended.says("s3://etl/duplicates: 2 of 3 rows were skipped because their keys exist already")?;
    ended.says("Warning 1062: Duplicate entry '2' for key")?;
    ensure!(line(&env.report("report")?, "duplicates")?["error"]["code"] == "duplicates");
    let expected = ["1|old", "2|old", "3|old", "5|new"];
    ensure_values(&env.schema, "SELECT * FROM t ORDER BY id", &expected).await
}

#[apply(load_test)]
async fn ignored_duplicates_are_counted_to_the_row(env: TestEnv) -> Result<()> {
    table_of_three(&env).await?;
    env.put("a", "2\tnew\n3\tnew\n4\tnew\n")?;
    env.put("b", "1\tnew\n5\tnew\n6\tnew\n")?;
    let report = env.path("report");
    let args = ["--on-duplicate", "ignore", "--report", report.to_str().context("path")?];
    let ended = env.load_ending(0, "t", &args).await?;
    ensure!(ended.summary("rows")? == "6" && ended.summary("rows skipped")? == "3", "{ended}");
    let report = env.report("report")?;
    let (a, b) = (line(&report, "a")?, line(&report, "b")?);
    ensure!(a["rows"] == 3 && a["skipped"] == 2 && a["deleted"] == 0, "{a}");
    ensure!(b["rows"] == 3 && b["skipped"] == 1 && b["deleted"] == 0, "{b}");
    let expected = ["1|old", "2|old", "3|old", "4|new", "5|new", "6|new"];
    ensure_values(&env.schema, "SELECT * FROM t ORDER BY id", &expected).await
}

#[apply(load_test)]
async fn replaced_rows_are_counted_to_the_row(env: TestEnv) -> Result<()> {
    table_of_three(&env).await?;
    env.put("a", "2\tnew\n3\tnew\n4\tnew\n")?;
    let report = env.path("report");
    let args = ["--on-duplicate", "replace", "--report", report.to_str().context("path")?];
    let ended = env.load_ending(0, "t", &args).await?;
    ensure!(ended.summary("rows")? == "3" && ended.summary("rows replaced")? == "2", "{ended}");
    ensure!(ended.summary("rows skipped")? == "0", "{ended}");
    let a = line(&env.report("report")?, "a")?;
    ensure!(a["rows"] == 3 && a["skipped"] == 0 && a["deleted"] == 2, "{a}");
    ensure_values(&env.schema, "SELECT * FROM t ORDER BY id", &["1|old", "2|new", "3|new", "4|new"])
        .await
}

#[apply(load_test)]
async fn duplicates_within_one_object_are_duplicates_too(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT PRIMARY KEY, s VARCHAR(9))").await?;
    env.put("twice", "1\tfirst\n1\tsecond\n")?;
    env.load_ending(3, "t", &[]).await?.says("1 of 2 rows were skipped")?;
    ensure!(env.count("t").await? == 0);
    env.load_ending(0, "t", &["--on-duplicate", "ignore"]).await?;
    ensure_values(&env.schema, "SELECT * FROM t", &["1|first"]).await?;
    env.put("twice again", "1\tsecond\n1\tthird\n")?;
    let ended = env.load_ending(0, "t", &["--on-duplicate", "replace"]).await?;
    ensure!(ended.summary("rows replaced")? == "2", "{ended}");
    ensure_values(&env.schema, "SELECT * FROM t", &["1|third"]).await
}

/// Returns the ids 0 to 2,999, each with a text after a tab: more rows than MySQL shows warnings
/// for.
fn three_thousand(text: &str) -> String {
    (0..3000).map(|id| format!("{id}\t{text}\n")).collect()
}

#[apply(load_test)]
async fn more_ignored_duplicates_than_the_server_shows_are_counted(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT PRIMARY KEY, s VARCHAR(9))").await?;
    env.put("1", three_thousand("old"))?;
    env.load_ending(0, "t", &[]).await?;
    env.put("2", format!("{}3000\tnew\n", three_thousand("new")))?;
    let ended = env.load_ending(3, "t", &[]).await?;
    ended.says("3000 of 3001 rows were skipped")?;
    ended.says("and 2990 more")?;
    ensure!(env.count("t").await? == 3000);
    let ended = env.load_ending(0, "t", &["--on-duplicate", "ignore"]).await?;
    ensure!(
        ended.summary("rows")? == "3001" && ended.summary("rows skipped")? == "3000",
        "{ended}"
    );
    ensure_values(
        &env.schema,
        "SELECT s, COUNT(*) FROM t GROUP BY s ORDER BY s",
        &["new|1", "old|3000"],
    )
    .await
}

#[apply(load_test)]
async fn bad_rows_do_not_hide_behind_more_duplicates_than_the_server_shows(
    env: TestEnv,
) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT PRIMARY KEY, s VARCHAR(9))").await?;
    env.put("1", three_thousand("old"))?;
    env.load_ending(0, "t", &[]).await?;
    env.put("2", format!("{}3000\tmuch too long\n", three_thousand("new")))?;
    // A value from an expression is the server's to judge.
    let args = ["--on-duplicate", "ignore", "--columns", "id,@s", "--set", "s = @s"];
    let ended = env.load_ending(3, "t", &args).await?;
    // MySQL shows 1,024 warnings. The one that matters is not among them, so the program must ask
    // again.
    ended.says(
        "rolled back\n  line 3001, column s: Warning 1265: Data truncated for column 's'\n    \
         3000\\tmuch too long\n",
    )?;
    ensure!(env.count("t").await? == 3000);
    Ok(())
}

#[apply(load_test)]
async fn rows_without_a_partition_do_not_hide_behind_duplicates_either(env: TestEnv) -> Result<()> {
    // A row without a partition gives one warning and is skipped, like a duplicate: the counts
    // alone cannot tell them apart.
    env.schema
        .exec(
            "CREATE TABLE t (id INT PRIMARY KEY, s VARCHAR(9)) PARTITION BY RANGE (id) \
             (PARTITION p VALUES LESS THAN (3000))",
        )
        .await?;
    env.put("1", three_thousand("old"))?;
    env.load_ending(0, "t", &[]).await?;
    env.put("2", format!("{}3000\tnew\n", three_thousand("new")))?;
    let ended = env.load_ending(3, "t", &["--on-duplicate", "ignore"]).await?;
    ended.says("line 3001: Warning 1526: Table has no partition for value 3000\n    3000\\tnew\n")
}

#[apply(load_test)]
async fn more_warnings_than_sixteen_bits_hold_are_counted(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (a TINYINT)").await?;
    env.put("1", "300\n".repeat(70_000))?;
    // A value from an expression is the server's to judge.
    let by_server = ["--columns", "@a", "--set", "a = @a"];
    let ended = env.load_ending(3, "t", &by_server).await?;
    ended.says("70000 warnings about bad rows among 70000")?;
    ensure!(env.count("t").await? == 0);
    let ended =
        env.load_ending(0, "t", &[&by_server[..], &["--on-bad-row", "accept"]].concat()).await?;
    ensure!(ended.summary("rows")? == "70000" && ended.summary("warnings")? == "70000", "{ended}");
    ensure!(env.count("t").await? == 70_000);
    Ok(())
}

#[apply(load_test)]
async fn a_bad_row_fails_a_replacing_load_as_well(env: TestEnv) -> Result<()> {
    table_of_three(&env).await?;
    env.put("bad", "2\tnew\n3\tmuch too long\n4\tnew\n")?;
    env.put("good", "1\tnew\n")?;
    let report = env.path("report");
    let args = ["--on-duplicate", "replace", "--report", report.to_str().context("path")?];
    let ended = env.load_ending(3, "t", &args).await?;
    let error = line(&env.report("report")?, "bad")?["error"].clone();
    ensure!(error["code"] == "bad_rows", "{error}");
    ended.says("line 2, column s (varchar(9)): 'much too long' has more than 9 characters")?;
    ensure_values(&env.schema, "SELECT * FROM t ORDER BY id", &["1|new", "2|old", "3|old"]).await
}

#[apply(load_test)]
async fn a_replacing_load_that_accepts_bad_rows_takes_them(env: TestEnv) -> Result<()> {
    table_of_three(&env).await?;
    env.put("bad", "2\tnew\n3\tmuch too long\n4\tnew\n")?;
    let ended =
        env.load_ending(0, "t", &["--on-duplicate", "replace", "--on-bad-row", "accept"]).await?;
    ensure!(ended.summary("rows replaced")? == "2" && ended.summary("warnings")? == "1", "{ended}");
    ensure_values(
        &env.schema,
        "SELECT * FROM t ORDER BY id",
        &["1|old", "2|new", "3|much too ", "4|new"],
    )
    .await
}

async fn table_with_a_check(env: &TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT, CHECK (id < 100))").await?;
    env.put("1", "1\n100\n2\n101\n3\n")
}

#[apply(load_test)]
async fn rows_that_a_check_refuses_fail_the_object(env: TestEnv) -> Result<()> {
    table_with_a_check(&env).await?;
    let ended = env.load_ending(3, "t", &[]).await?;
    ended.says("s3://etl/1: 2 warnings about bad rows among 5")?;
    ensure!(env.count("t").await? == 0);
    Ok(())
}

#[apply(load_test)]
async fn rows_that_a_check_refuses_are_counted_where_they_are_accepted(env: TestEnv) -> Result<()> {
    table_with_a_check(&env).await?;
    let ended = env.load_ending(0, "t", &["--on-bad-row", "accept"]).await?;
    ensure!(ended.summary("rows")? == "5" && ended.summary("rows skipped")? == "2", "{ended}");
    ensure_values(&env.schema, "SELECT id FROM t ORDER BY id", &["1", "2", "3"]).await
}

#[apply(load_test)]
async fn rows_without_a_parent_fail_the_object(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE p (id INT PRIMARY KEY)").await?;
    env.schema.exec("INSERT INTO p VALUES (1)").await?;
    env.schema.exec("CREATE TABLE t (id INT, p INT, FOREIGN KEY (p) REFERENCES p (id))").await?;
    env.put("1", "1\t1\n2\t7\n3\t1\n")?;
    for on_duplicate in ["error", "ignore", "replace"] {
        let ended = env.load_ending(3, "t", &["--on-duplicate", on_duplicate]).await?;
        ended.says("1452")?;
        ensure!(env.count("t").await? == 0, "{ended}");
    }
    let ended = env.load_ending(0, "t", &["--on-bad-row", "accept"]).await?;
    ensure!(ended.summary("rows skipped")? == "1", "{ended}");
    ensure_values(&env.schema, "SELECT id FROM t ORDER BY id", &["1", "3"]).await
}

#[apply(load_test)]
async fn rows_without_a_partition_fail_the_object(env: TestEnv) -> Result<()> {
    env.schema
        .exec("CREATE TABLE t (id INT) PARTITION BY RANGE (id) (PARTITION p VALUES LESS THAN (10))")
        .await?;
    env.put("1", "1\n10\n2\n")?;
    for on_duplicate in ["error", "ignore"] {
        let ended = env.load_ending(3, "t", &["--on-duplicate", on_duplicate]).await?;
        ended.says("1526")?;
        ensure!(env.count("t").await? == 0, "{ended}");
    }
    Ok(())
}

#[apply(load_test)]
async fn a_zero_stays_zero_in_an_auto_increment_column(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, s VARCHAR(9))").await?;
    env.put("1", "0\tzero\n7\tseven\n")?;
    env.load_ending(0, "t", &[]).await?;
    ensure_values(&env.schema, "SELECT * FROM t ORDER BY id", &["0|zero", "7|seven"]).await
}

#[apply(load_test)]
async fn zero_dates_fail_the_object_unless_they_are_accepted(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (a INT, d DATE)").await?;
    env.put("zero", "1\t0000-00-00\n")?;
    env.put("zero-day", "2\t2026-01-00\n")?;
    let ended = env.load_ending(3, "t", &[]).await?;
    ensure!(ended.summary("objects failed")? == "2", "{ended}");
    ensure!(env.count("t").await? == 0);
    env.load_ending(0, "t", &["--on-bad-row", "accept"]).await?;
    ensure_values(
        &env.schema,
        "SELECT a, CAST(d AS CHAR) FROM t ORDER BY a",
        &["1|0000-00-00", "2|2026-01-00"],
    )
    .await
}

#[apply(load_test)]
async fn an_error_of_a_trigger_fails_the_object(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (a INT)").await?;
    env.schema
        .exec(
            "CREATE TRIGGER refuse BEFORE INSERT ON t FOR EACH ROW IF NEW.a = 2 THEN SIGNAL \
             SQLSTATE '45000' SET MESSAGE_TEXT = 'no twos'; END IF",
        )
        .await?;
    env.put("bad", "1\n2\n3\n")?;
    env.put("good", "4\n")?;
    let ended = env.load_ending(3, "t", &[]).await?;
    ended.says("ERROR 1644 (45000): no twos")?;
    ensure_values(&env.schema, "SELECT a FROM t", &["4"]).await
}
