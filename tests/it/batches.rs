//! Small objects in one transaction: fast, and still each with its own counts, its own ledger row
//! and its own error.
//!
//! Tables here have no key unless a test says so, so a row that is loaded twice shows.

use anyhow::{Context as _, Result, ensure};

use crate::registry::{apply, load_test};
use crate::support::hive;
use crate::support::lines::{self, expect_failure, outcome};
use crate::support::program::{BUCKET, Ended, TestEnv, finish};
use crate::support::proxy::{Break, Broken, Proxy, Step};
use crate::support::values::{ensure_values, values};

/// One worker, which takes all objects that are ready together.
const TOGETHER: [&str; 2] = ["--load-concurrency", "1"];

/// The number of objects: even a busy machine stages this many without a pause.
const OBJECTS: u64 = 12;

/// The proxy, and what it has seen.
struct Seen {
    proxy: Proxy,
    /// Transactions in which rows were sent.
    commits: Broken,
    /// Statements that sent rows.
    loads: Broken,
}

impl Seen {
    async fn by(env: &TestEnv) -> Result<Self> {
        Ok(Self::behind(env, |_| ()).await?.0)
    }

    /// Starts a proxy with a rule of the test's own that comes before the counting ones.
    async fn behind<T>(env: &TestEnv, breaking: impl FnOnce(&Proxy) -> T) -> Result<(Self, T)> {
        let proxy = Proxy::start(env.server.port()).await?;
        let broken = breaking(&proxy);
        let loads = proxy.times(u32::MAX, Step::InfileEnd, Break::Watch);
        let commits = proxy.times(u32::MAX, Step::LoadCommit, Break::Watch);
        Ok((Self { proxy, commits, loads }, broken))
    }

    /// Runs `load s3://etl/ --table t ARGS...` through the proxy, with a report.
    async fn load(&self, env: &TestEnv, code: i32, args: &[&str]) -> Result<Ended> {
        let args = [&TOGETHER[..], args].concat();
        let mut command = env.load_through(self.proxy.port(), &args);
        command.env("S3_TO_MYSQL_REPORT", env.path("report"));
        let together = env.s3.faults().answer_gets_together();
        let ended = finish(command.spawn()?).await?;
        together.remove();
        ended.expect(code)?;
        env.ensure_nothing_staged()?;
        Ok(ended)
    }

    fn ensure(&self, commits: u32, loads: u32) -> Result<()> {
        let found = (self.commits.count(), self.loads.count());
        ensure!(
            found == (commits, loads),
            "{found:?} transactions and statements, not {:?}",
            (commits, loads)
        );
        Ok(())
    }
}

/// Puts `count` objects of 50 rows each in Hive's text format, and creates their table.
async fn hive_objects(env: &TestEnv, count: u64) -> Result<hive::Sums> {
    env.schema.exec(&hive::create_table("t")).await?;
    let mut all = hive::Sums::default();
    for number in 0..count {
        let (bytes, sums) = hive::object(number * 50, (number + 1) * 50);
        env.put(&format!("{number:03}"), bytes)?;
        all.rows += sums.rows;
        all.checksum += sums.checksum;
    }
    Ok(all)
}

async fn ensure_once(env: &TestEnv, sums: hive::Sums) -> Result<()> {
    let found: (u64, u64) = env.schema.query_one(&hive::checksum_query("t")).await?;
    ensure!(found == (sums.rows, sums.checksum), "{found:?}, not {sums:?}");
    Ok(())
}

/// The key, state and counts of every object in the ledger.
const LOADED: &str = "SELECT CONVERT(object_key USING utf8mb4), state, row_count, skipped_count \
     FROM s3_to_mysql_objects ORDER BY object_key";

#[apply(load_test)]
async fn small_objects_share_a_transaction_and_a_statement(env: TestEnv) -> Result<()> {
    let sums = hive_objects(&env, OBJECTS).await?;
    let seen = Seen::by(&env).await?;
    seen.load(&env, 0, &["--preset", "hive"]).await?;
    seen.ensure(1, 1)?;
    ensure_once(&env, sums).await?;
    let rows = values(&env.schema, LOADED).await?;
    let expected: Vec<String> =
        (0..OBJECTS).map(|number| format!("{number:03}|loaded|50|0")).collect();
    ensure!(rows == expected, "{rows:?}");
    let sizes = "SELECT COUNT(DISTINCT etag), SUM(size_bytes), COUNT(loaded_at), \
         SUM(content_digest IS NULL) FROM s3_to_mysql_objects";
    let bytes: u64 =
        (0..OBJECTS).map(|number| hive::object(number * 50, (number + 1) * 50).1.bytes).sum();
    ensure_values(&env.schema, sizes, &[&format!("{OBJECTS}|{bytes}|{OBJECTS}|{OBJECTS}")]).await?;
    for number in 0..OBJECTS {
        let line = outcome(&env, "report", &format!("{number:03}"))?;
        ensure!(
            line["status"] == "loaded" && line["rows"] == 50 && line["attempts"] == 1,
            "{line}"
        );
    }
    // The next run knows that they are loaded.
    let ended = seen.load(&env, 0, &["--preset", "hive"]).await?;
    ensure!(ended.summary("already loaded")? == OBJECTS.to_string(), "{ended}");
    seen.ensure(1, 1)
}

#[apply(load_test)]
async fn small_packed_objects_share_a_transaction_and_a_statement(env: TestEnv) -> Result<()> {
    env.schema.exec(&hive::create_table("t")).await?;
    let mut all = hive::Sums::default();
    for number in 0..OBJECTS {
        let (bytes, sums) = hive::object(number * 50, (number + 1) * 50);
        env.put(&format!("{number:03}"), zstd::stream::encode_all(&bytes[..], 1)?)?;
        all.rows += sums.rows;
        all.checksum += sums.checksum;
    }
    let seen = Seen::by(&env).await?;
    seen.load(&env, 0, &["--preset", "hive"]).await?;
    seen.ensure(1, 1)?;
    ensure_once(&env, all).await
}

#[apply(load_test)]
async fn headers_marks_and_missing_line_ends_do_not_meet_in_the_stream(env: TestEnv) -> Result<()> {
    lines::create(&env, "t").await?;
    for (key, text) in [
        ("a", "head\none\ntwo"),
        ("b", "\u{feff}head\nthree"),
        ("c", "head\nfour\n"),
        ("d", "head"),
        ("e", "\u{feff}head\nfive"),
    ] {
        env.put(key, text)?;
    }
    let seen = Seen::by(&env).await?;
    seen.load(&env, 0, &["--ignore-lines", "1"]).await?;
    seen.ensure(1, 1)?;
    lines::expect(&env, "t", &["one", "two", "three", "four", "five"]).await?;
    ensure_values(
        &env.schema,
        LOADED,
        &["a|loaded|2|0", "b|loaded|1|0", "c|loaded|1|0", "d|loaded|0|0", "e|loaded|1|0"],
    )
    .await
}

#[apply(load_test)]
async fn objects_with_other_line_endings_share_the_transaction_and_not_the_statement(
    env: TestEnv,
) -> Result<()> {
    env.schema.exec("CREATE TABLE t (a INT, v VARCHAR(20) COLLATE utf8mb4_bin)").await?;
    for (key, text) in
        [("a", "1,\"x\ny\"\n2,\"\"\"\"\n"), ("b", "3,c\r\n4,d"), ("c", "5,e"), ("d", "6,f\r\n")]
    {
        env.put(key, text)?;
    }
    let seen = Seen::by(&env).await?;
    seen.load(&env, 0, &["--preset", "csv"]).await?;
    seen.ensure(1, 2)?;
    let rows = ["1|x\\ny", "2|\\\"", "3|c", "4|d", "5|e", "6|f"];
    ensure_values(&env.schema, "SELECT * FROM t ORDER BY a", &rows).await?;
    ensure_values(
        &env.schema,
        LOADED,
        &["a|loaded|2|0", "b|loaded|2|0", "c|loaded|1|0", "d|loaded|1|0"],
    )
    .await
}

#[apply(load_test)]
async fn empty_objects_are_loaded_with_the_others(env: TestEnv) -> Result<()> {
    lines::create(&env, "t").await?;
    for (key, text) in [("a", ""), ("b", "one\n"), ("c", "")] {
        env.put(key, text)?;
    }
    let seen = Seen::by(&env).await?;
    seen.load(&env, 0, &[]).await?;
    seen.ensure(1, 1)?;
    lines::expect(&env, "t", &["one"]).await?;
    ensure_values(&env.schema, LOADED, &["a|loaded|0|0", "b|loaded|1|0", "c|loaded|0|0"]).await
}

/// Creates a table keyed by a number, and puts objects with these numbers.
async fn numbers(env: &TestEnv, objects: &[(&str, &str)]) -> Result<()> {
    env.schema
        .exec("CREATE TABLE t (a INT PRIMARY KEY, v VARCHAR(10) NOT NULL DEFAULT '')")
        .await?;
    objects.iter().try_for_each(|(key, text)| env.put(key, (*text).to_owned()))
}

#[apply(load_test)]
async fn a_bad_object_fails_alone_and_is_told_as_if_it_had_been_alone(env: TestEnv) -> Result<()> {
    numbers(&env, &[("a", "1\n2\n"), ("b", "3\nx4\n5\n"), ("c", "6\n"), ("d", "7\n8\n")]).await?;
    let seen = Seen::by(&env).await?;
    seen.load(&env, 3, &["--columns", "a"]).await?;
    ensure_values(&env.schema, "SELECT a FROM t ORDER BY a", &["1", "2", "6", "7", "8"]).await?;
    ensure_values(&env.schema, LOADED, &["a|loaded|2|0", "c|loaded|1|0", "d|loaded|2|0"]).await?;
    expect_failure(&env, "report", "b", "bad_rows")?;
    let line = outcome(&env, "report", "b")?;
    let first = &line["error"]["rows"][0];
    ensure!(first["row"] == 2 && first["line"] == 2 && first["column"] == "a", "{line}");
    for key in ["a", "c", "d"] {
        ensure!(outcome(&env, "report", key)?["attempts"] == 1, "a neighbour paid with a try");
    }
    Ok(())
}

#[apply(load_test)]
async fn duplicates_of_another_object_are_told_of_the_later_one(env: TestEnv) -> Result<()> {
    numbers(&env, &[("a", "1\n2\n"), ("b", "3\n2\n"), ("c", "4\n")]).await?;
    let seen = Seen::by(&env).await?;
    // One download at a time keeps the objects in order.
    seen.load(&env, 3, &["--columns", "a", "--download-concurrency", "1"]).await?;
    ensure_values(&env.schema, "SELECT a FROM t ORDER BY a", &["1", "2", "4"]).await?;
    expect_failure(&env, "report", "b", "duplicates")?;
    ensure!(outcome(&env, "report", "b")?["error"]["rows"][0]["line"] == 2, "the line is not told");
    Ok(())
}

#[apply(load_test)]
async fn skipped_rows_are_counted_for_their_own_object(env: TestEnv) -> Result<()> {
    numbers(&env, &[("a", "1\n2\n"), ("b", "3\n2\n1\n"), ("c", "4\n"), ("d", "4\n5\n")]).await?;
    let seen = Seen::by(&env).await?;
    let args = ["--columns", "a", "--on-duplicate", "ignore", "--download-concurrency", "1"];
    let ended = seen.load(&env, 0, &args).await?;
    ensure_values(&env.schema, "SELECT a FROM t ORDER BY a", &["1", "2", "3", "4", "5"]).await?;
    ensure_values(
        &env.schema,
        LOADED,
        &["a|loaded|2|0", "b|loaded|3|2", "c|loaded|1|0", "d|loaded|2|1"],
    )
    .await?;
    ensure!(
        outcome(&env, "report", "b")?["skipped"] == 2
            && outcome(&env, "report", "d")?["skipped"] == 1,
        "{ended}"
    );
    Ok(())
}

#[apply(load_test)]
async fn replaced_rows_are_counted_for_their_own_object(env: TestEnv) -> Result<()> {
    numbers(&env, &[("a", "1\ta\n2\ta\n"), ("b", "2\tb\n3\tb\n"), ("c", "4\tc\n")]).await?;
    let seen = Seen::by(&env).await?;
    seen.load(&env, 0, &["--on-duplicate", "replace", "--download-concurrency", "1"]).await?;
    ensure_values(&env.schema, "SELECT * FROM t ORDER BY a", &["1|a", "2|b", "3|b", "4|c"]).await?;
    let deleted = "SELECT CONVERT(object_key USING utf8mb4), deleted_count FROM \
         s3_to_mysql_objects ORDER BY object_key";
    ensure_values(&env.schema, deleted, &["a|0", "b|1", "c|0"]).await
}

#[apply(load_test)]
async fn clean_objects_share_a_transaction_also_where_rows_may_be_rejected(
    env: TestEnv,
) -> Result<()> {
    numbers(&env, &[("a", "1\n2\n"), ("b", "3\n"), ("c", "4\n")]).await?;
    let seen = Seen::by(&env).await?;
    let rejects = env.path("rejects");
    let to = rejects.to_string_lossy();
    let args =
        ["--columns", "a", "--on-bad-row", "reject", "--on-duplicate", "reject", "--rejects", &to];
    seen.load(&env, 0, &args).await?;
    seen.ensure(1, 1)?;
    ensure_values(&env.schema, "SELECT a FROM t ORDER BY a", &["1", "2", "3", "4"]).await?;
    ensure!(std::fs::read_dir(&rejects)?.next().is_none(), "a reject file without rejects");
    Ok(())
}

#[apply(load_test)]
async fn rejected_rows_are_written_for_their_own_object(env: TestEnv) -> Result<()> {
    numbers(&env, &[("a", "1\n2\n"), ("b", "3\nx\n2\n"), ("c", "y\n4\n")]).await?;
    let seen = Seen::by(&env).await?;
    let rejects = env.path("rejects");
    let to = rejects.to_string_lossy();
    let args =
        ["--columns", "a", "--on-bad-row", "reject", "--on-duplicate", "reject", "--rejects", &to];
    seen.load(&env, 7, &[&args[..], &["--download-concurrency", "1"]].concat()).await?;
    ensure_values(&env.schema, "SELECT a FROM t ORDER BY a", &["1", "2", "3", "4"]).await?;
    for (key, rejected) in [("b", "x\n2\n"), ("c", "y\n")] {
        let line = outcome(&env, "report", key)?;
        let path = line["reject_file"].as_str().with_context(|| format!("{line}"))?;
        ensure!(std::fs::read_to_string(path)? == rejected, "{path}");
    }
    Ok(())
}

#[apply(load_test)]
async fn clean_objects_share_a_transaction_also_where_rows_may_be_updated(
    env: TestEnv,
) -> Result<()> {
    numbers(&env, &[("a", "1\ta\n2\ta\n"), ("b", "3\tb\n"), ("c", "4\tc\n")]).await?;
    let seen = Seen::by(&env).await?;
    seen.load(&env, 0, &["--on-duplicate", "update"]).await?;
    seen.ensure(1, 1)?;
    ensure_values(&env.schema, "SELECT * FROM t ORDER BY a", &["1|a", "2|a", "3|b", "4|c"]).await?;
    // One row is in the table already: only that object's rows are checked one by one.
    env.put("d", "4\td\n5\td\n")?;
    env.put("e", "6\te\n")?;
    seen.load(&env, 0, &["--on-duplicate", "update"]).await?;
    ensure_values(
        &env.schema,
        "SELECT * FROM t ORDER BY a",
        &["1|a", "2|a", "3|b", "4|d", "5|d", "6|e"],
    )
    .await?;
    ensure!(outcome(&env, "report", "d")?["updated"] == 1, "{}", outcome(&env, "report", "d")?);
    Ok(())
}

#[apply(load_test)]
async fn a_connection_lost_in_the_middle_of_the_stream_costs_a_retry(env: TestEnv) -> Result<()> {
    let sums = hive_objects(&env, OBJECTS).await?;
    let seen = Seen::by(&env).await?;
    let cut = seen.proxy.next(Step::InfileBytes(30_000), Break::Cut);
    let ended = seen.load(&env, 0, &["--preset", "hive"]).await?;
    ensure!(cut.count() == 1, "{ended}");
    seen.ensure(1, 1)?;
    ensure_once(&env, sums).await
}

#[apply(load_test)]
async fn a_commit_that_never_arrived_is_found_out_and_all_are_loaded_again(
    env: TestEnv,
) -> Result<()> {
    let sums = hive_objects(&env, OBJECTS).await?;
    let (seen, cut) = Seen::behind(&env, |proxy| proxy.next(Step::LoadCommit, Break::Cut)).await?;
    let ended = seen.load(&env, 0, &["--preset", "hive"]).await?;
    ensure!(cut.count() == 1, "{ended}");
    ended.says("asking the ledger")?;
    ensure!(seen.loads.count() == 2, "sent {} times", seen.loads.count());
    ensure_once(&env, sums).await?;
    let rows = values(&env.schema, LOADED).await?;
    ensure!(
        rows.len() as u64 == OBJECTS && rows.iter().all(|row| row.ends_with("|loaded|50|0")),
        "{rows:?}"
    );
    Ok(())
}

#[apply(load_test)]
async fn a_commit_whose_answer_is_lost_is_found_out_and_none_is_loaded_again(
    env: TestEnv,
) -> Result<()> {
    let sums = hive_objects(&env, OBJECTS).await?;
    let (seen, cut) =
        Seen::behind(&env, |proxy| proxy.next(Step::LoadCommit, Break::SwallowAnswer)).await?;
    let ended = seen.load(&env, 0, &["--preset", "hive"]).await?;
    ensure!(cut.count() == 1, "{ended}");
    ensure!(seen.loads.count() == 1, "sent {} times", seen.loads.count());
    ensure!(ended.summary("objects loaded")? == OBJECTS.to_string(), "{ended}");
    ensure_once(&env, sums).await
}

#[apply(load_test)]
async fn without_a_ledger_a_lost_commit_is_an_unknown_outcome_of_each(env: TestEnv) -> Result<()> {
    hive_objects(&env, 3).await?;
    let (seen, cut) = Seen::behind(&env, |proxy| proxy.next(Step::LoadCommit, Break::Cut)).await?;
    seen.load(&env, 3, &["--preset", "hive", "--no-ledger"]).await?;
    ensure!(cut.count() == 1 && seen.loads.count() == 1, "it was sent again");
    for key in ["000", "001", "002"] {
        expect_failure(&env, "report", key, "outcome_unknown")?;
    }
    ensure!(env.count("t").await? == 0, "rows stayed");
    Ok(())
}

#[apply(load_test)]
async fn an_object_that_another_run_has_loaded_is_loaded_once(env: TestEnv) -> Result<()> {
    let sums = hive_objects(&env, 10).await?;
    let seen = Seen::by(&env).await?;
    // The first run's transaction waits before its first statement. Another run loads one of its
    // objects meanwhile.
    let begins = seen
        .proxy
        .next(Step::StatementWithBoth("START TRANSACTION", "_objects` (target"), Break::Hold);
    let first = seen.load(&env, 0, &["--preset", "hive"]);
    let other = async {
        begins.wait().await?;
        // Claims keep runs apart, but they are not what prevents loading an object twice.
        let etag = env.s3.backend().newest(BUCKET, "004").context("it was put")?.quoted_etag();
        let sql = format!(
            "INSERT INTO s3_to_mysql_objects (target, generation, bucket, object_key, etag, state, \
             size_bytes, worker, run_id, tool_version, began_at, row_count) SELECT target, \
             generation, '{BUCKET}', '004', '{}', 'loaded', 1, 'w', 'another', '0', NOW(), 50 FROM \
             s3_to_mysql_jobs",
            etag.trim_matches('"')
        );
        env.schema.exec(&sql).await?;
        begins.release();
        Ok::<_, anyhow::Error>(())
    };
    let (ended, other) = tokio::join!(first, other);
    ended?;
    other?;
    ensure!(
        outcome(&env, "report", "004")?["status"] == "already_loaded",
        "{}",
        outcome(&env, "report", "004")?
    );
    let (_, theirs) = hive::object(4 * 50, 5 * 50);
    let ours =
        hive::Sums { rows: sums.rows - 50, bytes: 0, checksum: sums.checksum - theirs.checksum };
    ensure_once(&env, ours).await
}

#[apply(load_test)]
async fn a_lost_ledger_row_is_never_committed(env: TestEnv) -> Result<()> {
    hive_objects(&env, 3).await?;
    let seen = Seen::by(&env).await?;
    let ledger = ["--preset", "hive", "--ledger-table", "other"];
    seen.load(&env, 0, &[&ledger[..], &["--include", "nothing", "--allow-empty"]].concat()).await?;
    // The row is gone when it is to be completed, as if the server had ended the transaction by
    // itself.
    let lose = "CREATE TRIGGER lose AFTER INSERT ON t FOR EACH ROW DELETE FROM other_objects WHERE \
         object_key = '001'";
    env.schema.exec(lose).await?;
    seen.load(&env, 3, &ledger).await?;
    for key in ["000", "001", "002"] {
        expect_failure(&env, "report", key, "ledger_row_lost")?;
    }
    ensure!(env.count("t").await? == 0, "it was committed");
    Ok(())
}

#[apply(load_test)]
async fn what_failed_before_is_tried_alone(env: TestEnv) -> Result<()> {
    numbers(&env, &[("a", "1\n"), ("b", "x\n"), ("c", "2\n")]).await?;
    let seen = Seen::by(&env).await?;
    seen.load(&env, 3, &["--columns", "a"]).await?;
    env.put("d", "3\n")?;
    env.put("e", "4\n")?;
    let loads = seen.loads.count();
    seen.load(&env, 3, &["--columns", "a"]).await?;
    // A bad object costs the new ones nothing: it is sent, and once more to find its row.
    ensure!(seen.loads.count() <= loads + 4, "{} statements", seen.loads.count() - loads);
    ensure_values(&env.schema, "SELECT a FROM t ORDER BY a", &["1", "2", "3", "4"]).await
}

#[apply(load_test)]
async fn the_budgets_bound_a_transaction(env: TestEnv) -> Result<()> {
    let sums = hive_objects(&env, 12).await?;
    let seen = Seen::by(&env).await?;
    // Each object has about 4 KB.
    let size = hive::object(0, 50).1.bytes;
    seen.load(&env, 0, &["--preset", "hive", "--batch-bytes", &(size * 13 / 4).to_string()])
        .await?;
    seen.ensure(4, 4)?;
    ensure_once(&env, sums).await
}

#[apply(load_test)]
async fn one_object_for_each_transaction_can_be_asked_for(env: TestEnv) -> Result<()> {
    let sums = hive_objects(&env, 5).await?;
    let seen = Seen::by(&env).await?;
    seen.load(&env, 0, &["--preset", "hive", "--no-batch"]).await?;
    seen.ensure(5, 5)?;
    ensure_once(&env, sums).await
}

#[apply(load_test)]
async fn objects_in_hiding_character_sets_are_not_joined(env: TestEnv) -> Result<()> {
    lines::create(&env, "t").await?;
    env.put("a", "one\n")?;
    env.put("b", "two\n")?;
    let seen = Seen::by(&env).await?;
    seen.load(&env, 0, &["--charset", "gbk", "--fields-escaped-by", ""]).await?;
    seen.ensure(2, 2)?;
    lines::expect(&env, "t", &["one", "two"]).await
}

#[apply(load_test)]
async fn the_content_of_each_object_is_verified_by_its_own_digest(env: TestEnv) -> Result<()> {
    numbers(&env, &[("a", "1\ta\n2\ta\n"), ("b", "3\tb\n"), ("c", "4\tc\n")]).await?;
    let seen = Seen::by(&env).await?;
    let ended = seen.load(&env, 0, &["--mode", "truncate", "--verify", "checksum"]).await?;
    seen.ensure(1, 1)?;
    ended.says("verified")?;
    ensure_values(
        &env.schema,
        "SELECT COUNT(DISTINCT content_digest) FROM s3_to_mysql_objects",
        &["3"],
    )
    .await
}
