//! The ledger, object by object: a loaded object is not loaded again, a failed one is known, and a
//! changed one is noticed.
//!
//! Tables here have no key unless a test says so, so a row that is loaded twice shows.

use anyhow::{Context as _, Result, ensure};

use crate::registry::{apply, load_test};
use crate::support::hive;
use crate::support::lines::{self, expect, expect_failure, outcome};
use crate::support::program::{BUCKET, Ended, TestEnv, finish};
use crate::support::s3::{Fault, Object, Operation, Refusal, Times};
use crate::support::servers::{Schema, Server, ServerKind};
use crate::support::values::{ensure_values, values};

/// Runs `load s3://etl/ --table t --report report ARGS...`, which must end with this code and leave
/// nothing on disk.
async fn load(env: &TestEnv, code: i32, args: &[&str]) -> Result<Ended> {
    let report = env.path("report");
    let ended = env
        .load_ending(code, "t", &[&["--report", &report.to_string_lossy()], args].concat())
        .await?;
    env.ensure_nothing_staged()?;
    Ok(ended)
}

/// Returns the last line of the report.
fn sums(env: &TestEnv) -> Result<serde_json::Value> {
    env.report("report")?.pop().context("the report is empty")
}

fn ensure_sums(env: &TestEnv, expected: &[(&str, u64)]) -> Result<()> {
    let sums = sums(env)?;
    for (name, number) in expected {
        ensure!(sums[name] == *number, "{name} is not {number}: {sums}");
    }
    Ok(())
}

fn ensure_status(env: &TestEnv, key: &str, status: &str) -> Result<()> {
    let line = outcome(env, "report", key)?;
    ensure!(line["status"] == status, "{key:?} is not {status}: {line}");
    Ok(())
}

/// The key, state and row count of every object in the ledger.
const LOADED: &str = "SELECT CONVERT(object_key USING utf8mb4), state, row_count FROM \
     s3_to_mysql_objects ORDER BY object_key, loaded_at";
/// The key, code and attempts of every failure in the ledger.
const FAILURES: &str = "SELECT CONVERT(object_key USING utf8mb4), CONVERT(error_code USING \
     utf8mb4), attempts FROM s3_to_mysql_failures ORDER BY object_key";

/// Puts an object of one row, which is its key, under each key.
fn put(env: &TestEnv, keys: &[&str]) -> Result<()> {
    keys.iter().try_for_each(|key| env.put(key, format!("{key}\n")))
}

fn etag(env: &TestEnv, key: &str) -> Result<String> {
    let object = env.s3.backend().newest(BUCKET, key).context("it was put")?;
    Ok(object.quoted_etag().trim_matches('"').to_owned())
}

#[apply(load_test)]
async fn a_second_run_loads_nothing_and_reads_nothing(env: TestEnv) -> Result<()> {
    lines::create(&env, "t").await?;
    put(&env, &["a", "b", "c"])?;
    load(&env, 0, &[]).await?;
    ensure_values(&env.schema, LOADED, &["a|loaded|1", "b|loaded|1", "c|loaded|1"]).await?;
    let everything = "SELECT * FROM s3_to_mysql_objects ORDER BY object_key";
    let before = values(&env.schema, everything).await?;

    env.s3.log().clear();
    let ended = load(&env, 0, &[]).await?;
    expect(&env, "t", &["a", "b", "c"]).await?;
    ensure!(
        env.s3.log().all().iter().all(|request| request.operation == Operation::ListObjectsV2),
        "read again"
    );
    // One request asks for a single key, to see if the bucket may be listed at all.
    ensure!(env.s3.log().count(Operation::ListObjectsV2) == 2, "listed more than once");
    ensure!(
        ended.summary("objects loaded")? == "0" && ended.summary("already loaded")? == "3",
        "{ended}"
    );
    ensure_sums(
        &env,
        &[("objects_loaded", 0), ("objects_already_loaded", 3), ("objects_failed", 0), ("rows", 0)],
    )?;
    for key in ["a", "b", "c"] {
        ensure_status(&env, key, "already_loaded")?;
    }
    ensure!(values(&env.schema, everything).await? == before, "the ledger's rows have changed");

    // One more object: the run loads that one alone.
    put(&env, &["d"])?;
    load(&env, 0, &[]).await?;
    expect(&env, "t", &["a", "b", "c", "d"]).await?;
    ensure_sums(&env, &[("objects_loaded", 1), ("objects_already_loaded", 3), ("rows", 1)])?;
    let read: Vec<_> =
        env.s3.log().of(Operation::GetObject).into_iter().map(|get| get.key).collect();
    ensure!(read == ["d"], "read {read:?}");
    // The runs and their results.
    let runs = "SELECT exit_code, objects_loaded, objects_already_loaded, row_count, mode FROM \
         s3_to_mysql_runs \
                WHERE ended_at >= started_at ORDER BY started_at";
    ensure_values(&env.schema, runs, &["0|3|0|3|append", "0|0|3|0|append", "0|1|3|1|append"]).await
}

/// Puts objects with the content of `model` under `keys`, and marks them as loaded in the ledger.
async fn put_as_loaded(
    env: &TestEnv,
    schema: &Schema<'_>,
    model: &str,
    keys: &[String],
) -> Result<()> {
    let columns = "target, generation, bucket, object_key, etag, state, size_bytes, row_count, \
         worker, run_id, \
                   tool_version, began_at, loaded_at";
    for some in keys.chunks(500) {
        let names: Vec<String> = some.iter().map(|key| format!("SELECT '{key}' AS name")).collect();
        let sql = format!(
            "INSERT INTO s3_to_mysql_objects ({columns}) SELECT {} FROM s3_to_mysql_objects AS \
             model, ({}) AS names \
             WHERE model.object_key = '{model}'",
            columns.replace("object_key", "names.name"),
            names.join(" UNION ALL ")
        );
        schema.exec(&sql).await?;
    }
    let content = env.s3.backend().newest(BUCKET, model).context("it was put")?;
    keys.iter().try_for_each(|key| env.put(key, (*content).clone()))
}

/// Runs on a server of its own, whose counters nobody else moves.
#[apply(load_test)]
async fn a_run_with_nothing_to_do_asks_a_handful_of_questions_however_many_keys_there_are(
    env: TestEnv,
) -> Result<()> {
    let server = Server::start(env.server.kind(), &[])?;
    let schema = server.schema().await?;
    schema.exec("CREATE TABLE t (v VARCHAR(200) NOT NULL)").await?;
    put(&env, &["model"])?;
    let report = env.path("report").to_string_lossy().into_owned();
    let run = || async {
        let args = ["load", "s3://etl/", "--table", "t", "--report", &report];
        finish(env.command(args).env("DATABASE_URL", schema.url()).spawn()?).await?.expect(0)
    };
    run().await?;
    // The server counts every statement that it receives, and every SELECT, also within a
    // multi-statement.
    let counters = format!(
        "SELECT CAST(SUM(VARIABLE_VALUE) AS UNSIGNED) FROM {} WHERE VARIABLE_NAME IN \
         ('COM_SELECT', 'QUESTIONS')",
        match server.kind() {
            ServerKind::Mysql => "performance_schema.global_status",
            ServerKind::Mariadb => "information_schema.global_status",
        }
    );
    let mut asked = Vec::new();
    let mut first = 0;
    for key_count in [10, 900, 5000_u64] {
        let keys: Vec<String> = (first..key_count).map(|number| format!("{number:05}")).collect();
        put_as_loaded(&env, &schema, "model", &keys).await?;
        first = key_count;
        let before: u64 = schema.query_one(&counters).await?;
        env.s3.log().clear();
        run().await?;
        let after: u64 = schema.query_one(&counters).await?;
        ensure_sums(&env, &[("objects_loaded", 0), ("objects_already_loaded", key_count + 1)])?;
        ensure!(env.s3.log().count(Operation::GetObject) == 0, "objects were read");
        asked.push(after - before);
    }
    let [ten, nine_hundred, five_thousand] = asked[..] else {
        anyhow::bail!("three runs were made")
    };
    // One statement for each page of a thousand keys. A page that arrives slowly is looked up in
    // pieces.
    ensure!(
        ten < 100 && nine_hundred < ten + 10 && five_thousand < ten + 40,
        "{asked:?} questions"
    );
    let rows: u64 = schema.query_one("SELECT COUNT(*) FROM t").await?;
    ensure!(rows == 1, "{rows} rows");
    Ok(())
}

#[apply(load_test)]
async fn a_store_that_lists_no_etag_is_asked_for_each_key_and_not_for_its_content(
    env: TestEnv,
) -> Result<()> {
    lines::create(&env, "t").await?;
    put(&env, &["a", "b"])?;
    env.s3.faults().on_list(Times::Always, Fault::NoEtag);
    load(&env, 0, &[]).await?;
    env.s3.log().clear();
    load(&env, 0, &[]).await?;
    ensure_sums(&env, &[("objects_loaded", 0), ("objects_already_loaded", 2)])?;
    let log = env.s3.log();
    ensure!(
        log.count(Operation::HeadObject) == 2 && log.count(Operation::GetObject) == 0,
        "{:?}",
        log.all()
    );
    expect(&env, "t", &["a", "b"]).await
}

/// Keys that some collation or some normalisation treats as equal.
fn confusable_keys() -> Vec<String> {
    let mut keys: Vec<String> = [
        "a",
        "A",
        "a ",
        "a  ",
        " a",
        "\u{e1}",
        "a\u{301}",
        "\u{c1}",
        "a\u{a0}",
        "a\u{200b}",
        "a\t",
        "a\n",
        "ss",
        "\u{df}",
        "\u{1e9e}",
        "fi",
        "\u{fb01}",
        "\u{212b}",
        "\u{c5}",
        "i",
        "I",
        "\u{130}",
        "\u{131}",
        "1",
        "\u{661}",
        "\u{ff11}",
        "a/b",
        "a//b",
        "a%2Fb",
        "a\\b",
        "a'b",
        "a\"b",
        "\\N",
        "NULL",
        "\u{1f600}",
        "\u{1f601}",
        "%",
        "_",
    ]
    .map(str::to_owned)
    .to_vec();
    // 1,024 bytes, equal up to the last character.
    keys.extend(["x", "X", "y", " "].map(|last| "k".repeat(1023) + last));
    keys.extend(["\u{1f680}", "\u{1f681}"].map(|last| "\u{1f680}".repeat(255) + last));
    keys
}

#[apply(load_test)]
async fn a_plan_lists_what_is_left_and_changes_nothing(env: TestEnv) -> Result<()> {
    lines::create(&env, "t").await?;
    env.put("a", "a\n")?;
    env.put("b", "b\n")?;
    let plan = ["plan", "s3://etl/", "--table", "t"];
    let first = env.run(&plan).await?;
    first.expect(0)?;
    ensure!(
        first.stdout.contains("s3://etl/a\n") && first.stdout.contains("2 objects, 4 bytes"),
        "{first}"
    );
    ensure_values(&env.schema, "SHOW TABLES", &["t"]).await?;

    load(&env, 0, &[]).await?;
    env.put("b", "changed\n")?;
    env.put("c", "c\n")?;
    let ended = env.run(&plan).await?;
    ended.expect(3)?;
    ended.says("s3://etl/b: its content has changed since it was loaded")?;
    ensure!(
        !ended.stdout.contains("s3://etl/a\n") && ended.stdout.contains("s3://etl/c\n"),
        "{ended}"
    );
    ended.says("1 object already loaded\n1 object, 2 bytes")?;
    let skipping = env.run(&[&plan[..], &["--on-changed", "skip"]].concat()).await?;
    skipping.expect(0)?;
    skipping.says("1 object skipped: changed since the load")?;
    let anew = env.run(&[&plan[..], &["--mode", "truncate"]].concat()).await?;
    anew.expect(0)?;
    anew.says("3 objects, 12 bytes")?;
    ensure_values(&env.schema, "SELECT COUNT(*) FROM s3_to_mysql_runs", &["1"]).await?;
    expect(&env, "t", &["a", "b"]).await
}

#[apply(load_test)]
async fn keys_are_told_apart_byte_for_byte(env: TestEnv) -> Result<()> {
    lines::create(&env, "t").await?;
    let keys = confusable_keys();
    for (number, key) in keys.iter().enumerate() {
        // All have the same content, so only the key tells them apart in the ledger.
        env.put(key, "one\n")?;
        ensure!(key.len() <= 1024, "key {number} is too long for S3");
    }
    load(&env, 0, &[]).await?;
    expect(&env, "t", &vec!["one"; keys.len()]).await?;
    let mut expected: Vec<Vec<u8>> = keys.iter().map(|key| key.as_bytes().to_vec()).collect();
    expected.sort_unstable();
    let recorded =
        "SELECT object_key FROM s3_to_mysql_objects WHERE state = 'loaded' ORDER BY object_key";
    let recorded: Vec<Vec<u8>> = env.schema.query(recorded).await?;
    ensure!(recorded == expected, "the ledger has {recorded:02X?}");

    load(&env, 0, &[]).await?;
    ensure_sums(&env, &[("objects_loaded", 0), ("objects_already_loaded", keys.len() as u64)])?;

    // Each key that is missing alone is noticed, whatever key looks like it.
    for key in ["A", "a ", "a\u{301}", "\u{df}", "\u{fb01}"] {
        let hex: String = key.bytes().map(|byte| format!("{byte:02x}")).collect();
        env.schema
            .exec(&format!("DELETE FROM s3_to_mysql_objects WHERE object_key = X'{hex}'"))
            .await?;
        load(&env, 0, &[]).await?;
        ensure_sums(
            &env,
            &[("objects_loaded", 1), ("objects_already_loaded", keys.len() as u64 - 1)],
        )?;
        ensure_status(&env, key, "loaded")?;
    }
    Ok(())
}

#[apply(load_test)]
async fn changed_content_is_an_error_unless_told_otherwise(env: TestEnv) -> Result<()> {
    lines::create(&env, "t").await?;
    env.put("a", "old\n")?;
    load(&env, 0, &[]).await?;
    let old = etag(&env, "a")?;
    env.put("a", "new\n")?;
    put(&env, &["b"])?;
    let new = etag(&env, "a")?;

    env.s3.log().clear();
    let ended = load(&env, 3, &[]).await?;
    expect_failure(&env, "report", "a", "content_changed")?;
    ended.says("s3://etl/a")?;
    ended.says(&old)?;
    ended.says(&new)?;
    let hint = outcome(&env, "report", "a")?["error"]["hint"].to_string();
    ensure!(hint.contains("--on-changed load") && hint.contains("--on-changed skip"), "{hint}");
    ensure!(env.s3.log().gets_of("a").is_empty(), "what is not to be loaded was read");
    // The other object loads all the same.
    expect(&env, "t", &["old", "b"]).await?;

    let ended = load(&env, 0, &["--on-changed", "skip"]).await?;
    ensure_status(&env, "a", "skipped_changed")?;
    ensure_sums(
        &env,
        &[("objects_skipped_changed", 1), ("objects_already_loaded", 1), ("objects_failed", 0)],
    )?;
    ensure!(ended.summary("changed, skipped")? == "1", "{ended}");
    ensure!(env.s3.log().gets_of("a").is_empty(), "what is not to be loaded was read");
    expect(&env, "t", &["old", "b"]).await?;

    load(&env, 0, &["--on-changed", "load"]).await?;
    ensure_sums(&env, &[("objects_loaded", 1), ("objects_already_loaded", 1)])?;
    expect(&env, "t", &["old", "new", "b"]).await?;
    ensure_values(&env.schema, LOADED, &["a|loaded|1", "a|loaded|1", "b|loaded|1"]).await?;
    // Nothing is left to do.
    load(&env, 0, &[]).await?;
    ensure_values(&env.schema, FAILURES, &[]).await?;
    expect(&env, "t", &["old", "new", "b"]).await
}

/// Its rows are in the table, whatever happened later.
#[apply(load_test)]
async fn content_that_comes_back_is_loaded_already(env: TestEnv) -> Result<()> {
    lines::create(&env, "t").await?;
    for content in ["one\n", "two\n"] {
        env.put("a", content)?;
        load(&env, 0, &["--on-changed", "load"]).await?;
    }
    for content in ["one\n", "two\n", "one\n"] {
        env.put("a", content)?;
        for policy in ["error", "load", "skip"] {
            load(&env, 0, &["--on-changed", policy]).await?;
            ensure_status(&env, "a", "already_loaded")?;
        }
    }
    expect(&env, "t", &["one", "two"]).await
}

/// An object is not a failure because an earlier run refused its change, so `--no-retry-failed`
/// does not leave it alone.
#[apply(load_test)]
async fn a_change_that_was_refused_is_decided_anew_by_every_run(env: TestEnv) -> Result<()> {
    lines::create(&env, "t").await?;
    env.put("a", "old\n")?;
    load(&env, 0, &[]).await?;
    env.put("a", "new\n")?;
    for _ in 0..2 {
        load(&env, 3, &["--no-retry-failed"]).await?;
        expect_failure(&env, "report", "a", "content_changed")?;
        let known = values(&env.schema, FAILURES).await?;
        ensure!(known.len() == 1 && known[0].starts_with("a|content_changed|"), "{known:?}");
    }
    load(&env, 0, &["--no-retry-failed", "--on-changed", "skip"]).await?;
    ensure_values(&env.schema, FAILURES, &[]).await?;
    load(&env, 3, &[]).await?;
    // The failure is gone when the object has its old content again.
    env.put("a", "old\n")?;
    load(&env, 0, &[]).await?;
    ensure_values(&env.schema, FAILURES, &[]).await?;
    env.put("a", "new\n")?;
    load(&env, 3, &[]).await?;
    load(&env, 0, &["--no-retry-failed", "--on-changed", "load"]).await?;
    ensure_values(&env.schema, FAILURES, &[]).await?;
    expect(&env, "t", &["old", "new"]).await
}

#[apply(load_test)]
async fn force_into_an_emptied_table_does_not_claim_that_rows_are_doubled(
    env: TestEnv,
) -> Result<()> {
    lines::create(&env, "t").await?;
    put(&env, &["a", "b"])?;
    load(&env, 0, &[]).await?;
    env.schema.exec("TRUNCATE TABLE t").await?;
    let ended = load(&env, 0, &["--force"]).await?;
    ended.says("objects that are already loaded are loaded again, into a table that is empty")?;
    ensure!(!ended.stderr.contains("duplicates their rows"), "{ended}");
    let again = ended.summary("loaded again")?;
    ensure!(again == "2 (into a table that was empty)", "{ended}");
    expect(&env, "t", &["a", "b"]).await
}

#[apply(load_test)]
async fn force_loads_again_says_so_and_replaces_the_ledger_row(env: TestEnv) -> Result<()> {
    lines::create(&env, "t").await?;
    put(&env, &["a", "b"])?;
    load(&env, 0, &[]).await?;
    let runs = "SELECT DISTINCT run_id FROM s3_to_mysql_objects";
    let first = values(&env.schema, runs).await?;
    put(&env, &["c"])?;

    let ended = load(&env, 0, &["--force"]).await?;
    expect(&env, "t", &["a", "a", "b", "b", "c"]).await?;
    ended.says("--force")?;
    ensure!(
        ended.stderr.contains("duplicates their rows"),
        "it is not said that rows double:\n{ended}"
    );
    ensure!(ended.summary("loaded again")?.starts_with('2'), "{ended}");
    ensure_sums(&env, &[("objects_loaded", 3), ("objects_loaded_again", 2), ("rows", 3)])?;
    for (key, again) in [("a", true), ("b", true), ("c", false)] {
        let line = outcome(&env, "report", key)?;
        ensure!(line["status"] == "loaded" && line["loaded_again"] == again, "{line}");
    }
    ensure_values(&env.schema, LOADED, &["a|loaded|1", "b|loaded|1", "c|loaded|1"]).await?;
    let second = values(&env.schema, runs).await?;
    ensure!(
        second.len() == 1 && second != first,
        "the rows are not those of the forced run: {second:?}"
    );

    load(&env, 0, &[]).await?;
    ensure_sums(&env, &[("objects_loaded", 0), ("objects_already_loaded", 3)])
}

/// A unique key keeps the repeated rows out, so the earlier ledger entry remains true.
#[apply(load_test)]
async fn a_forced_load_that_fails_leaves_the_ledger_as_it_was(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (v VARCHAR(200) PRIMARY KEY)").await?;
    put(&env, &["a", "b"])?;
    load(&env, 0, &[]).await?;
    let everything = "SELECT * FROM s3_to_mysql_objects ORDER BY object_key";
    let before = values(&env.schema, everything).await?;
    load(&env, 3, &["--force"]).await?;
    for key in ["a", "b"] {
        expect_failure(&env, "report", key, "duplicates")?;
    }
    ensure!(values(&env.schema, everything).await? == before, "the ledger's rows have changed");
    expect(&env, "t", &["a", "b"]).await?;
    load(&env, 0, &[]).await?;
    ensure_sums(&env, &[("objects_loaded", 0), ("objects_already_loaded", 2)])
}

#[apply(load_test)]
async fn without_a_ledger_a_repeated_run_loads_again_and_says_so(env: TestEnv) -> Result<()> {
    lines::create(&env, "t").await?;
    put(&env, &["a", "b"])?;
    for _ in 0..2 {
        let ended = load(&env, 0, &["--no-ledger"]).await?;
        ensure!(ended.summary("ledger")?.contains("at least once"), "{ended}");
        ensure_sums(&env, &[("objects_loaded", 2), ("objects_already_loaded", 0)])?;
    }
    expect(&env, "t", &["a", "a", "b", "b"]).await?;
    ensure_values(&env.schema, "SHOW TABLES", &["t"]).await?;
    // With a unique key, there is no such warning.
    let ended = load(&env, 0, &[]).await?;
    ensure!(!ended.stdout.contains("at least once"), "{ended}");
    Ok(())
}

const TIMES: &str = "SELECT first_failed_at <= last_failed_at, first_failed_at < last_failed_at, \
                     last_failed_at BETWEEN UTC_TIMESTAMP(6) - INTERVAL 10 MINUTE AND \
                     UTC_TIMESTAMP(6) \
                     FROM s3_to_mysql_failures ORDER BY object_key";

#[apply(load_test)]
async fn failures_are_recorded_with_their_attempts_and_times_and_cleared_by_success(
    env: TestEnv,
) -> Result<()> {
    env.schema.exec("CREATE TABLE t (v INT NOT NULL)").await?;
    env.put("bad", "no number\n")?;
    env.put("busy", "2\n")?;
    env.put("good", "3\n")?;
    let busy = env.s3.faults().on_get("busy", Times::Always, Fault::Refuse(Refusal::SLOW_DOWN));

    load(&env, 3, &["--max-attempts", "2"]).await?;
    ensure_values(&env.schema, FAILURES, &["bad|bad_rows|1", "busy|source_busy|2"]).await?;
    ensure_values(&env.schema, TIMES, &["1|0|1", "1|0|1"]).await?;
    let messages =
        "SELECT CONVERT(message USING utf8mb4) FROM s3_to_mysql_failures ORDER BY object_key";
    let said: Vec<String> = env.schema.query(messages).await?;
    ensure!(
        said[0].contains("s3://etl/bad") && said[0].contains("'no number' is not an integer"),
        "{said:?}"
    );
    ensure!(said[1].contains("s3://etl/busy") && said[1].contains("SlowDown"), "{said:?}");
    let first = "SELECT first_failed_at FROM s3_to_mysql_failures ORDER BY object_key";
    let begun = values(&env.schema, first).await?;

    // Every run tries again, and adds to the recorded attempts.
    load(&env, 3, &["--max-attempts", "3"]).await?;
    ensure_values(&env.schema, FAILURES, &["bad|bad_rows|2", "busy|source_busy|5"]).await?;
    ensure_values(&env.schema, TIMES, &["1|1|1", "1|1|1"]).await?;
    ensure!(values(&env.schema, first).await? == begun, "the first time has moved");

    // One object loads when the fault ends, the other one with corrected content.
    busy.remove();
    env.put("bad", "1\n")?;
    load(&env, 0, &[]).await?;
    ensure_values(&env.schema, FAILURES, &[]).await?;
    ensure_values(&env.schema, LOADED, &["bad|loaded|1", "busy|loaded|1", "good|loaded|1"]).await?;
    ensure_values(&env.schema, "SELECT v FROM t ORDER BY v", &["1", "2", "3"]).await
}

#[apply(load_test)]
async fn failures_are_left_alone_when_asked_to(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (v INT NOT NULL)").await?;
    env.put("bad", "no number\n")?;
    load(&env, 3, &[]).await?;
    let everything = "SELECT * FROM s3_to_mysql_failures";
    let before = values(&env.schema, everything).await?;
    env.put("good", "1\n")?;
    env.s3.log().clear();
    for _ in 0..2 {
        let ended = load(&env, 3, &["--no-retry-failed"]).await?;
        ended.says("bad_rows")?;
        expect_failure(&env, "report", "bad", "failed_before")?;
        ensure!(env.s3.log().gets_of("bad").is_empty(), "it was tried again");
        // The recorded reason is the original error, not that the object was skipped since.
        ensure!(
            values(&env.schema, everything).await? == before,
            "{:?}",
            values(&env.schema, everything).await?
        );
    }
    ensure_values(&env.schema, "SELECT v FROM t", &["1"]).await
}

#[apply(load_test)]
async fn a_failure_of_other_content_is_tried_even_so(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (v INT NOT NULL)").await?;
    env.put("a", "no number\n")?;
    load(&env, 3, &[]).await?;
    // Another error: its attempts are counted from the start.
    env.put("a", "no number either\n")?;
    load(&env, 3, &["--no-retry-failed"]).await?;
    expect_failure(&env, "report", "a", "bad_rows")?;
    ensure_values(&env.schema, FAILURES, &["a|bad_rows|1"]).await?;
    env.put("a", "1\n")?;
    load(&env, 0, &["--no-retry-failed"]).await?;
    ensure_values(&env.schema, FAILURES, &[]).await?;
    ensure_values(&env.schema, "SELECT v FROM t", &["1"]).await
}

#[apply(load_test)]
async fn the_ledger_row_tells_what_was_loaded_by_whom_and_when(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT PRIMARY KEY, v TINYINT NOT NULL)").await?;
    // Another time zone must not affect the ledger's times.
    let zone = ["--init-sql", "SET time_zone = '+09:00'"];
    env.put("a", "1\t1\n2\t2\n3\t3\n")?;
    load(&env, 0, &zone).await?;
    env.put("b", "3\t4\n4\t4\n")?;
    load(&env, 0, &[&["--on-duplicate", "ignore"][..], &zone].concat()).await?;
    env.put("c", "4\t5\n5\t5\n")?;
    load(&env, 0, &[&["--on-duplicate", "replace"][..], &zone].concat()).await?;
    env.put("d", "6\t1000\n")?;
    let accepted = load(&env, 0, &[&["--on-bad-row", "accept"][..], &zone].concat()).await?;
    ensure_values(
        &env.schema,
        "SELECT id, v FROM t ORDER BY id",
        &["1|1", "2|2", "3|3", "4|5", "5|5", "6|127"],
    )
    .await?;
    let counts = "SELECT CONVERT(object_key USING utf8mb4), size_bytes, row_count, skipped_count, \
         deleted_count, \
                  warning_count FROM s3_to_mysql_objects ORDER BY object_key";
    let expected = ["a|12|3|0|0|0", "b|8|2|1|0|1", "c|8|2|0|1|0", "d|7|1|0|0|1"];
    ensure_values(&env.schema, counts, &expected).await.with_context(|| accepted.to_string())?;

    let of_d = "SELECT CONVERT(run_id USING utf8mb4), CONVERT(etag USING utf8mb4), \
         CONVERT(tool_version USING utf8mb4), \
                began_at BETWEEN UTC_TIMESTAMP(6) - INTERVAL 5 MINUTE AND loaded_at, loaded_at <= \
                UTC_TIMESTAMP(6), \
                CONVERT(worker USING utf8mb4) REGEXP '^[^:]+:[0-9]+$' FROM s3_to_mysql_objects \
                WHERE object_key = 'd'";
    let run = sums(&env)?["run_id"].as_str().context("the report names no run")?.to_owned();
    let expected = format!("{run}|{}|{}|1|1|1", etag(&env, "d")?, env!("CARGO_PKG_VERSION"));
    ensure_values(&env.schema, of_d, &[&expected]).await
}

#[apply(load_test)]
async fn the_version_that_was_read_is_recorded(env: TestEnv) -> Result<()> {
    lines::create(&env, "t").await?;
    put(&env, &["before"])?;
    env.put("null", Object::new("null\n").with_version_id("null"))?;
    env.s3.backend().enable_versions(BUCKET);
    put(&env, &["versioned"])?;
    let version = env.s3.backend().newest(BUCKET, "versioned").context("it was put")?;
    let version = version.version_id().context("the bucket gives no versions")?.to_owned();
    load(&env, 0, &[]).await?;
    let versions = "SELECT CONVERT(object_key USING utf8mb4), CONVERT(version_id USING utf8mb4) \
         FROM s3_to_mysql_objects \
                    ORDER BY object_key";
    ensure_values(&env.schema, versions, &["before|", "null|", &format!("versioned|{version}")])
        .await?;

    // The version is not part of the identity: the same bytes as another version count as loaded.
    put(&env, &["versioned"])?;
    let newest = env.s3.backend().newest(BUCKET, "versioned").context("it was put")?;
    ensure!(newest.version_id().is_some_and(|newest| newest != version), "it is no new version");
    load(&env, 0, &[]).await?;
    expect(&env, "t", &["before", "null", "versioned"]).await
}

#[apply(load_test)]
async fn an_object_overwritten_during_the_run_fails_and_its_new_content_loads_next_time(
    env: TestEnv,
) -> Result<()> {
    lines::create(&env, "t").await?;
    put(&env, &["a", "b"])?;
    let backend = env.s3.backend().clone();
    let overwrite = Fault::before(move |_| {
        // The length is the same: only the ETag differs.
        drop(backend.put(BUCKET, "a", "A\n"));
        async {}
    });
    env.s3.faults().on_get("a", Times::Next(1), overwrite);
    load(&env, 3, &[]).await?;
    expect_failure(&env, "report", "a", "object_changed")?;
    ensure_values(&env.schema, LOADED, &["b|loaded|1"]).await?;
    ensure_values(&env.schema, FAILURES, &["a|object_changed|1"]).await?;
    // Nothing of the old content was loaded, so nothing in the table has changed.
    load(&env, 0, &[]).await?;
    expect(&env, "t", &["A", "b"]).await?;
    ensure_values(&env.schema, FAILURES, &[]).await
}

/// Before the second page is answered, an object of the first page is overwritten, one on the
/// second page vanishes, and two appear: one before the current position of the listing and one
/// after it.
#[apply(load_test)]
async fn a_listing_that_changes_between_its_pages_costs_and_doubles_no_row(
    env: TestEnv,
) -> Result<()> {
    lines::create(&env, "t").await?;
    put(&env, &["model"])?;
    load(&env, 0, &[]).await?;
    // A first page of a thousand keys, all but ten of them loaded, and a second page.
    let key = |number: usize| format!("k{number:04}");
    put_as_loaded(&env, &env.schema, "model", &(10..1000).map(key).collect::<Vec<_>>()).await?;
    let on_first: Vec<String> = (0..10).map(key).collect();
    let on_second: Vec<String> = (1000..1004).map(key).collect();
    for key in on_first.iter().chain(&on_second) {
        env.put(key, format!("{key}\n"))?;
    }

    let held = env.s3.faults().on_get("k0000", Times::Next(1), Fault::Hold);
    let backend = env.s3.backend().clone();
    let (change, mut changed) = tokio::sync::watch::channel(false);
    let change = Fault::before(move |request| {
        if request.continuation_token.is_some() {
            drop(backend.put(BUCKET, "k0000", "K0000\n"));
            backend.remove(BUCKET, "k1003");
            drop(backend.put(BUCKET, "k0000 behind", "behind\n"));
            drop(backend.put(BUCKET, "k2000", "ahead\n"));
            change.send_replace(true);
        }
        async {}
    });
    env.s3.faults().on_list(Times::Always, change);
    let report = env.path("report");
    let running = env
        .command(["load", "s3://etl/", "--table", "t", "--report", &report.to_string_lossy()])
        .spawn()?;
    held.wait_for_effects(1).await;
    changed.wait_for(|changed| *changed).await?;
    held.release();
    finish(running).await?.expect(3)?;

    expect_failure(&env, "report", "k0000", "object_changed")?;
    let mut expected: Vec<String> = on_first[1..].iter().chain(&on_second[..3]).cloned().collect();
    expected.extend(["model".to_owned(), "ahead".to_owned()]);
    expect(&env, "t", &expected.iter().map(String::as_str).collect::<Vec<_>>()).await?;

    env.s3.faults().clear();
    load(&env, 0, &[]).await?;
    ensure_sums(&env, &[("objects_loaded", 2)])?;
    expected.extend(["K0000".to_owned(), "behind".to_owned()]);
    expect(&env, "t", &expected.iter().map(String::as_str).collect::<Vec<_>>()).await
}

/// The ledger decides: an object without a row counts as not loaded, as docs/ledger.md says.
#[apply(load_test)]
async fn a_ledger_row_that_somebody_deleted_means_loading_again(env: TestEnv) -> Result<()> {
    lines::create(&env, "t").await?;
    put(&env, &["a", "b"])?;
    load(&env, 0, &[]).await?;
    let delete = "DELETE FROM s3_to_mysql_objects WHERE object_key = 'a'";
    env.schema.exec(delete).await?;
    load(&env, 0, &[]).await?;
    expect(&env, "t", &["a", "a", "b"]).await?;
    ensure_values(&env.schema, LOADED, &["a|loaded|1", "b|loaded|1"]).await?;

    // A unique key refuses the rows as duplicates.
    env.schema.exec("DELETE FROM t WHERE v = 'a' LIMIT 1").await?;
    env.schema.exec("ALTER TABLE t ADD UNIQUE (v)").await?;
    env.schema.exec(delete).await?;
    load(&env, 3, &[]).await?;
    expect_failure(&env, "report", "a", "duplicates")?;
    expect(&env, "t", &["a", "b"]).await?;
    ensure_values(&env.schema, LOADED, &["b|loaded|1"]).await
}

/// While a table has had one generation only, its objects' rows alone tell which generation is in
/// the table.
#[apply(load_test)]
async fn a_job_row_that_somebody_deleted_is_missed_where_it_matters(env: TestEnv) -> Result<()> {
    lines::create(&env, "t").await?;
    put(&env, &["a"])?;
    load(&env, 0, &[]).await?;
    let delete = "DELETE FROM s3_to_mysql_jobs";
    env.schema.exec(delete).await?;
    load(&env, 0, &[]).await?;
    ensure_status(&env, "a", "already_loaded")?;

    load(&env, 0, &["--mode", "truncate"]).await?;
    put(&env, &["b"])?;
    env.schema.exec(delete).await?;
    for mode in ["append", "truncate", "swap"] {
        env.s3.log().clear();
        let ended = load(&env, 6, &["--mode", mode]).await?;
        ended.says("its row in")?;
        ended.says("`s3_to_mysql_jobs` has been removed")?;
        ended.says("another --ledger-table")?;
        ensure!(env.s3.log().count(Operation::GetObject) == 0, "objects were read");
        expect(&env, "t", &["a"]).await?;
    }
    env.schema.exec("DELETE FROM t").await?;
    load(&env, 0, &["--ledger-table", "other"]).await?;
    expect(&env, "t", &["a", "b"]).await
}

#[apply(load_test)]
async fn a_target_that_somebody_emptied_is_an_error_with_its_remedies(env: TestEnv) -> Result<()> {
    lines::create(&env, "t").await?;
    put(&env, &["a", "b"])?;
    load(&env, 0, &[]).await?;
    for emptying in ["DELETE FROM t", "TRUNCATE TABLE t", "DROP TABLE t"] {
        env.schema.exec(emptying).await?;
        if emptying.starts_with("DROP") {
            lines::create(&env, "t").await?;
        }
        put(&env, &["c"])?;
        env.s3.log().clear();
        let ended = load(&env, 6, &[]).await?;
        ended.says("is empty")?;
        ended.says("--force")?;
        ended.says("s3-to-mysql forget")?;
        ensure!(sums(&env)?["error"]["code"] == "target_emptied", "{}", sums(&env)?);
        ensure!(env.s3.log().count(Operation::GetObject) == 0, "objects were read");
        expect(&env, "t", &[]).await?;

        load(&env, 0, &["--force"]).await?;
        expect(&env, "t", &["a", "b", "c"]).await?;
        load(&env, 0, &[]).await?;
    }
    Ok(())
}

#[apply(load_test)]
async fn a_target_whose_objects_have_no_rows_is_not_called_emptied(env: TestEnv) -> Result<()> {
    lines::create(&env, "t").await?;
    env.put("empty", "")?;
    load(&env, 0, &[]).await?;
    load(&env, 0, &[]).await?;
    ensure_status(&env, "empty", "already_loaded")?;
    put(&env, &["a"])?;
    load(&env, 0, &[]).await?;
    expect(&env, "t", &["a"]).await
}

/// Objects keep arriving, and every run but the last has a failure.
#[apply(load_test)]
async fn every_row_is_there_once_in_a_table_without_any_key(env: TestEnv) -> Result<()> {
    env.schema.exec(&hive::create_table("t")).await?;
    let preset = ["--preset", "hive", "--max-attempts", "1"];
    let mut expected = hive::Sums::default();
    let mut objects = 0;
    for (round, fault) in [
        Fault::Refuse(Refusal::ACCESS_DENIED),
        Fault::CutBody { after_bytes: 20_000 },
        Fault::FlipBit { at_byte: 30_000 },
        Fault::WrongChecksum,
    ]
    .into_iter()
    .enumerate()
    {
        for number in 0..6 {
            let (bytes, sums) = hive::object(objects * 500, (objects + 1) * 500);
            env.put(&format!("{round}/{number}"), bytes)?;
            expected.rows += sums.rows;
            expected.checksum += sums.checksum;
            objects += 1;
        }
        let last = format!("{round}/5");
        let fault = env.s3.faults().on_get(&last, Times::Always, fault);
        load(&env, 3, &preset).await?;
        fault.remove();
        // The object that failed last time is loaded now, and this round's is not.
        let loaded = 5 + u64::from(round > 0);
        ensure_sums(&env, &[("objects_loaded", loaded), ("objects_failed", 1)])?;
        ensure_status(&env, &last, "failed")?;
    }
    load(&env, 0, &preset).await?;
    load(&env, 0, &preset).await?;
    let found: (u64, u64) = env.schema.query_one(&hive::checksum_query("t")).await?;
    ensure!(found == (expected.rows, expected.checksum), "{found:?} is not {expected:?}");
    let recorded: (u64, u64) = env
        .schema
        .query_one("SELECT COUNT(*), CAST(SUM(row_count) AS UNSIGNED) FROM s3_to_mysql_objects")
        .await?;
    ensure!(recorded == (objects, expected.rows), "the ledger has {recorded:?}");
    Ok(())
}
