//! Every object adds up: the report, the ledger and the table agree.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use fastrand::Rng;
use serde_json::Value;

use crate::registry::{apply, load_test};
use crate::support::program::{Ended, TestEnv, row_error_numbers};
use crate::support::values::ensure_values;

/// A table with two keys, a CHECK, a column that some values do not fit, and no column that depends
/// on the time zone.
const TABLE: &str = "CREATE TABLE t (id INT NOT NULL PRIMARY KEY, u INT NULL UNIQUE, n TINYINT \
     NULL, s VARCHAR(5) NULL, CHECK (n <> 13)) ENGINE=InnoDB";

struct Run {
    ended: Ended,
    objects: Vec<Value>,
    summary: Value,
}

impl Run {
    fn object(&self, key: &str) -> Result<&Value> {
        self.objects
            .iter()
            .find(|line| line["key"] == key)
            .with_context(|| format!("no {key}: {:#?}", self.objects))
    }
}

fn number(line: &Value, name: &str) -> Result<i64> {
    line[name].as_i64().with_context(|| format!("no number {name}: {line:#}"))
}

/// Runs `s3-to-mysql load s3://etl/data/` with a report, and with a directory for rejects if the
/// policy needs one.
async fn load(env: &TestEnv, args: &[&str]) -> Result<Run> {
    let (rejects, report) =
        (env.path("rejects").display().to_string(), env.path("report").display().to_string());
    let mut all = vec!["load", "s3://etl/data/", "--table", "t", "--report", &report];
    if args.contains(&"reject") {
        all.extend(["--rejects", &rejects]);
    }
    all.extend(args);
    let ended = env.run(&all).await?;
    let mut objects = env.report("report")?;
    let summary = objects.pop().context("an empty report")?;
    ensure!(summary["type"] == "summary", "{summary:#}");
    Ok(Run { ended, objects, summary })
}

/// A row in which much can be wrong. Keys are few, so rows collide with each other and with the
/// table.
fn random_row(rng: &mut Rng) -> String {
    let id = if rng.bool() { rng.u32(..30) } else { rng.u32(1000..) };
    let u = match rng.u8(..4) {
        0 => "\\N".to_owned(),
        1 => rng.u32(..30).to_string(),
        _ => rng.u32(1000..2_000_000_000).to_string(),
    };
    match rng.u8(..24) {
        0 => return format!("{id}"),
        1 => return format!("{id}\t{u}\t1\ts\tmore"),
        _ => {}
    }
    let n = match rng.u8(..12) {
        0 => "13".to_owned(),
        1 => "300".to_owned(),
        2 => "x".to_owned(),
        _ => rng.i8(-3..=3).to_string(),
    };
    let s = ["old", "old", "new", "too long"][rng.usize(..4)];
    format!("{id}\t{u}\t{n}\t{s}")
}

/// Inserts rows with the ids and the `u` of 0 to 19, which [`random_row`] is likely to write again.
async fn fill(env: &TestEnv) -> Result<()> {
    env.schema.exec("DROP TABLE IF EXISTS t").await?;
    env.schema.exec(TABLE).await?;
    let rows: Vec<String> = (0..20).map(|key| format!("({key}, {key}, 1, 'old')")).collect();
    env.schema.exec(&format!("INSERT INTO t VALUES {}", rows.join(", "))).await
}

/// Returns the number of rows in all reject files, and how many of them are duplicates.
fn written_down(env: &TestEnv) -> Result<(i64, i64)> {
    let (mut rows, mut duplicates) = (0, 0);
    let Ok(entries) = std::fs::read_dir(env.path("rejects")) else { return Ok((0, 0)) };
    for entry in entries {
        let path = entry?.path();
        let text = std::fs::read_to_string(&path)?;
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            let mut is_bad: BTreeMap<u64, bool> = BTreeMap::new();
            for line in text.lines() {
                let line: Value = serde_json::from_str(line)?;
                *is_bad.entry(line["row"].as_u64().context("no row")?).or_default() |=
                    line["kind"] == "bad_row";
            }
            duplicates += i64::try_from(is_bad.values().filter(|is_bad| !**is_bad).count())?;
        } else {
            rows += i64::try_from(text.lines().count())?;
        }
    }
    Ok((rows, duplicates))
}

const COUNTS: [&str; 9] = [
    "rows",
    "loaded",
    "rejected",
    "rejected_duplicates",
    "skipped",
    "deleted",
    "updated",
    "unchanged",
    "warnings",
];

/// Requires that the report's lines agree with each other, the ledger, the reject files and the
/// growth of the table.
async fn ensure_reconciled(env: &TestEnv, run: &Run, growth: i64) -> Result<()> {
    let mut sums: BTreeMap<&str, i64> = BTreeMap::new();
    for line in run.objects.iter().filter(|line| line["status"] == "loaded") {
        for name in COUNTS {
            *sums.entry(name).or_default() += number(line, name)?;
        }
        let by_code = line["warnings_by_code"].as_object().context("no warnings_by_code")?;
        let by_code: i64 = by_code.values().filter_map(Value::as_i64).sum();
        ensure!(by_code == number(line, "warnings")?, "{line:#}");
        ensure!(line["reject_file"].is_string() == (number(line, "rejected")? > 0), "{line:#}");
        ensure!(line["reject_reasons"].is_string() == (number(line, "rejected")? > 0), "{line:#}");
    }
    let sum = |name: &str| sums.get(name).copied().unwrap_or(0);
    for name in COUNTS {
        ensure!(number(&run.summary, name)? == sum(name), "{name}: {:#}", run.summary);
    }
    ensure!(sum("loaded") == sum("rows") - sum("rejected") - sum("skipped"), "{sums:?}");
    let grown = sum("loaded") - sum("deleted") - sum("updated") - sum("unchanged");
    ensure!(growth == grown, "the table has {growth} rows more, the report says {grown}: {sums:?}");
    let (rows, duplicates) = written_down(env)?;
    ensure!(
        (rows, duplicates) == (sum("rejected"), sum("rejected_duplicates")),
        "{rows}, {duplicates}: {sums:?}"
    );
    let ledger: (i64, i64, i64, i64, i64) = env
        .schema
        .query_one(
            "SELECT CAST(COALESCE(SUM(row_count), 0) AS SIGNED), CAST(COALESCE(SUM(skipped_count), \
             0) AS SIGNED), \
             CAST(COALESCE(SUM(deleted_count), 0) AS SIGNED), CAST(COALESCE(SUM(rejected_count), \
             0) AS SIGNED), \
             CAST(COALESCE(SUM(warning_count), 0) AS SIGNED) FROM s3_to_mysql_objects",
        )
        .await?;
    // A row that an update found does not add a row either.
    let deleted = sum("deleted") + sum("updated") + sum("unchanged");
    let told = (sum("rows"), sum("skipped"), deleted, sum("rejected"), sum("warnings"));
    ensure!(ledger == told, "the ledger says {ledger:?}, the report {told:?}");
    Ok(())
}

async fn reconcile(env: &TestEnv, on_bad_row: &str, seed: u64, args: &[&str]) -> Result<()> {
    let mut rng = Rng::with_seed(seed);
    for on_duplicate in ["error", "ignore", "replace", "update", "reject"] {
        fill(env).await?;
        for object in 0..4 {
            // One row is good but for its keys, and one fits completely.
            let rows = (0..60).map(|row| match object {
                0 => format!("{}\t{}\t1\tok\n", 100_000 + row, 100_000 + row),
                1 => format!("{}\t{}\t1\told\n", rng.u32(..30), rng.u32(..30)),
                _ => random_row(&mut rng) + "\n",
            });
            let mut rows = rows.collect::<String>();
            if on_bad_row == "accept" && on_duplicate == "replace" {
                // Under `accept` the server decides, and a row that CHECK refuses is an error under
                // REPLACE.
                rows = rows.replace("\t13\t", "\t14\t");
            }
            env.put(&format!("data/{object}"), rows)?;
        }
        let _ = std::fs::remove_dir_all(env.path("rejects"));
        let before = env.count("t").await?;
        let run = load(
            env,
            &[&["--on-bad-row", on_bad_row, "--on-duplicate", on_duplicate], args].concat(),
        )
        .await?;
        let growth = i64::try_from(env.count("t").await?)? - i64::try_from(before)?;
        let about = || {
            format!(
                "--on-bad-row {on_bad_row} --on-duplicate {on_duplicate}, seed {seed}\n{}",
                run.ended
            )
        };
        ensure!(number(run.object("data/0")?, "loaded").with_context(about)? == 60, "{}", about());
        let failed = run.objects.iter().filter(|line| line["status"] == "failed").count();
        let is_expected = match run.ended.code {
            Some(0) => failed == 0 && number(&run.summary, "rejected")? == 0,
            Some(7) => failed == 0 && number(&run.summary, "rejected")? > 0,
            Some(3) => failed > 0,
            _ => false,
        };
        ensure!(is_expected, "{}", about());
        ensure!((failed > 0) == (on_bad_row == "fail" || on_duplicate == "error"), "{}", about());
        ensure_reconciled(env, &run, growth).await.with_context(about)?;
        env.schema.exec("DELETE FROM s3_to_mysql_objects; DELETE FROM s3_to_mysql_runs").await?;
    }
    Ok(())
}

#[apply(load_test)]
async fn the_table_grows_by_what_the_report_says_where_bad_rows_fail(env: TestEnv) -> Result<()> {
    reconcile(&env, "fail", 1, &["--load-concurrency", "1"]).await
}

#[apply(load_test)]
async fn the_table_grows_by_what_the_report_says_where_bad_rows_are_rejected(
    env: TestEnv,
) -> Result<()> {
    reconcile(&env, "reject", 2, &["--load-concurrency", "1"]).await
}

#[apply(load_test)]
async fn the_table_grows_by_what_the_report_says_where_bad_rows_are_accepted(
    env: TestEnv,
) -> Result<()> {
    reconcile(&env, "accept", 3, &["--load-concurrency", "1"]).await
}

#[apply(load_test)]
async fn parallel_loads_of_the_same_keys_are_accounted_for(env: TestEnv) -> Result<()> {
    reconcile(&env, "reject", 4, &["--load-concurrency", "4"]).await
}

#[apply(load_test)]
async fn a_swap_counts_rows_that_were_updated_or_left_as_they_were(env: TestEnv) -> Result<()> {
    fill(&env).await?;
    env.put("data/1", "1\t1\t1\ta\n1\t1\t1\ta\n1\t1\t1\tb\n2\t2\t2\tc\n")?;
    env.put("data/2", "2\t2\t2\tc\n3\t3\t3\td\n")?;
    let run =
        load(&env, &["--mode", "swap", "--on-duplicate", "update", "--load-concurrency", "1"])
            .await?;
    run.ended.expect(0)?;
    ensure!(
        number(&run.summary, "updated")? == 1 && number(&run.summary, "unchanged")? == 2,
        "{:#}",
        run.summary
    );
    ensure_values(&env.schema, "SELECT id, s FROM t ORDER BY id", &["1|b", "2|c", "3|d"]).await
}

#[apply(load_test)]
async fn a_swap_counts_rows_that_were_replaced_by_their_equals(env: TestEnv) -> Result<()> {
    fill(&env).await?;
    env.put("data/1", "1\t1\t1\ta\n1\t1\t1\ta\n1\t1\t1\tb\n2\t2\t2\tc\n")?;
    let run = load(&env, &["--mode", "swap", "--on-duplicate", "replace"]).await?;
    run.ended.expect(0)?;
    ensure_values(&env.schema, "SELECT id, s FROM t ORDER BY id", &["1|b", "2|c"]).await
}

#[apply(load_test)]
async fn every_count_is_told_of_each_object_and_of_the_run(env: TestEnv) -> Result<()> {
    fill(&env).await?;
    // Rows that are bad, duplicates, both at once, and good; and a note, which no integer gets.
    env.schema.exec("ALTER TABLE t ADD d DECIMAL(4,1) NULL").await?;
    env.put(
        "data/a",
        "100\t100\tx\tok\t1.0\n1\t101\t1\tok\t1.0\n2\t102\tx\tok\t1.0\n103\t103\t1\tok\t1.25\n",
    )?;
    env.put("data/b", "200\t200\t1\tok\t1.0\n")?;
    env.put("data/c", "300\t300\t13\tok\t1.0\n")?;
    let args = ["--on-bad-row", "reject", "--on-duplicate", "reject", "--load-concurrency", "1"];
    let run = load(&env, &args).await?;
    run.ended.expect(7)?;
    let a = run.object("data/a")?;
    let expected = [4, 1, 3, 1, 0, 0, 0, 0, 0];
    for (name, expected) in COUNTS.into_iter().zip(expected) {
        ensure!(a[name] == expected, "{name} is not {expected}: {a:#}");
    }
    ensure!(a["note_rows"] == 1 && a["notes"] == 0, "{a:#}");
    let b = run.object("data/b")?;
    ensure!(
        b["rejected"] == 0 && b["reject_file"].is_null() && b["reject_reasons"].is_null(),
        "{b:#}"
    );
    ensure!(run.object("data/c")?["loaded"] == 0, "{:#}", run.object("data/c")?);
    let data = a["reject_file"].as_str().context("no file")?;
    let rows = std::fs::read_to_string(data)?;
    ensure!(rows == "100\t100\tx\tok\t1.0\n1\t101\t1\tok\t1.0\n2\t102\tx\tok\t1.0\n", "{rows}");
    let reasons = std::fs::read_to_string(a["reject_reasons"].as_str().context("no file")?)?;
    let reasons: Vec<Value> =
        reasons.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let told: Vec<_> =
        reasons.iter().map(|reason| (reason["row"].clone(), reason["kind"].clone())).collect();
    // A row that is bad twice may be reported with one reason or two, but the first one must be the
    // reason why it is bad.
    let is_told = |row: u64, kind: &str| told.contains(&(Value::from(row), Value::from(kind)));
    ensure!(
        is_told(1, "bad_row") && is_told(2, "duplicate") && is_told(3, "bad_row"),
        "{reasons:#?}"
    );
    ensure!(!is_told(1, "duplicate") && !is_told(2, "bad_row"), "{reasons:#?}");
    let summary = &run.ended;
    for (label, expected) in [
        ("rows rejected", "4"),
        ("duplicates among them", "1"),
        ("rows with notes", "1"),
        ("warnings", "0"),
    ] {
        ensure!(summary.summary(label)? == expected, "{label} is not {expected}: {summary}");
    }
    Ok(())
}

#[apply(load_test)]
async fn a_failed_object_wins_over_rejected_rows(env: TestEnv) -> Result<()> {
    fill(&env).await?;
    env.put("data/bad", "100\t100\tx\tok\n101\t101\t1\tok\n")?;
    env.put("data/duplicate", "1\t102\t1\tok\n")?;
    let run = load(&env, &["--on-bad-row", "reject"]).await?;
    run.ended.expect(3)?;
    ensure!(run.object("data/bad")?["rejected"] == 1, "{:#?}", run.objects);
    ensure!(run.object("data/duplicate")?["error"]["code"] == "duplicates", "{:#?}", run.objects);
    // Earlier rejects no longer count: the run that corrects the rest ends with 0.
    env.schema.exec("DELETE FROM t WHERE id = 1").await?;
    load(&env, &["--on-bad-row", "reject"]).await?.ended.expect(0)
}

#[apply(load_test)]
async fn a_failure_counts_the_rows_that_it_is_about(env: TestEnv) -> Result<()> {
    fill(&env).await?;
    env.put("data/1", "100\t100\tx\tok\n101\t101\tx\tok\n1\t102\t1\tok\n103\t103\t1\tok\n")?;
    let run = load(&env, &["--on-bad-row", "reject"]).await?;
    run.ended.expect(3)?;
    run.ended.says("1 of 4 rows have keys that exist already; rolled back")?;
    let error = &run.object("data/1")?["error"];
    ensure!(row_error_numbers(&error["rows"], "row")? == [3], "{error:#}");
    Ok(())
}

/// Returns `rows` rows with ids of their own, `bad` of which do not fit.
fn with_bad(first: u32, rows: u32, bad: u32) -> String {
    (0..rows)
        .map(|row| {
            format!("{id}\t{id}\t{}\tok\n", if row < bad { "x" } else { "1" }, id = first + row)
        })
        .collect()
}

#[apply(load_test)]
async fn as_many_rejects_as_allowed_are_fine_and_one_more_is_not(env: TestEnv) -> Result<()> {
    fill(&env).await?;
    env.put("data/1", with_bad(1000, 20, 5))?;
    for (limit, is_fine) in
        [("4", false), ("0", false), ("24%", false), ("24.99%", false), ("0%", false)]
            .into_iter()
            .chain([("5", true), ("25%", true), ("6", true), ("100%", true)])
    {
        let run =
            load(&env, &["--on-bad-row", "reject", "--max-rejects", limit, "--force"]).await?;
        run.ended.expect(if is_fine { 7 } else { 3 }).with_context(|| limit.to_owned())?;
        ensure!(env.count("t").await? == if is_fine { 35 } else { 20 }, "{limit}: {}", run.ended);
        if !is_fine {
            let error = &run.object("data/1")?["error"];
            ensure!(error["code"] == "too_many_rejects", "{limit}: {error:#}");
            ensure!(
                error["message"].as_str().is_some_and(|text| text.contains("--max-rejects")),
                "{error:#}"
            );
            ensure!(error["rows"].as_array().is_some_and(|rows| rows.len() == 5), "{error:#}");
            ensure!(
                written_down(&env)? == (0, 0),
                "{limit}: rows that were not dropped are written down"
            );
        }
        env.schema.exec("DELETE FROM t WHERE id >= 1000").await?;
    }
    Ok(())
}

#[apply(load_test)]
async fn a_share_of_rejects_is_that_of_each_object(env: TestEnv) -> Result<()> {
    fill(&env).await?;
    env.put("data/few", with_bad(1000, 100, 10))?;
    env.put("data/many", with_bad(2000, 20, 3))?;
    let run = load(&env, &["--on-bad-row", "reject", "--max-rejects", "10%"]).await?;
    run.ended.expect(3)?;
    ensure!(run.object("data/few")?["rejected"] == 10, "{:#?}", run.objects);
    ensure!(run.object("data/many")?["error"]["code"] == "too_many_rejects", "{:#?}", run.objects);
    ensure!(env.count("t").await? == 110);
    Ok(())
}

#[apply(load_test)]
async fn rejects_of_parallel_loads_never_exceed_the_total(env: TestEnv) -> Result<()> {
    fill(&env).await?;
    for object in 0..16 {
        env.put(&format!("data/{object:02}"), with_bad(1000 + object * 100, 10, 3))?;
    }
    let args = ["--on-bad-row", "reject", "--max-rejects-total", "14", "--load-concurrency", "8"];
    let run = load(&env, &args).await?;
    run.ended.expect(3)?;
    ensure!(number(&run.summary, "rejected")? <= 14, "{:#}", run.summary);
    let ledger: i64 = env
        .schema
        .query_one(
            "SELECT CAST(COALESCE(SUM(rejected_count), 0) AS SIGNED) FROM s3_to_mysql_objects",
        )
        .await?;
    ensure!(ledger == number(&run.summary, "rejected")?, "{ledger}: {:#}", run.summary);
    ensure!(i64::try_from(env.count("t").await?)? == 20 + number(&run.summary, "loaded")?);
    ensure!(
        run.objects.iter().any(|line| line["error"]["code"] == "rejects_exhausted"),
        "{:#?}",
        run.objects
    );
    // The next run has its own total.
    let args = ["--on-bad-row", "reject", "--max-rejects-total", "48", "--load-concurrency", "8"];
    load(&env, &args).await?.ended.expect(7)?;
    ensure!(env.count("t").await? == 20 + 16 * 7);
    Ok(())
}

#[apply(load_test)]
async fn a_total_that_is_used_up_ends_the_run(env: TestEnv) -> Result<()> {
    fill(&env).await?;
    for object in 0..40 {
        env.put(&format!("data/{object:02}"), with_bad(1000 + object * 100, 10, 2))?;
    }
    // The fourth object has more than the limit allows. Objects load one at a time, in S3's order.
    let args = ["--on-bad-row", "reject", "--max-rejects-total", "7", "--load-concurrency", "1"];
    let run = load(&env, &[&args[..], &["--download-concurrency", "1"]].concat()).await?;
    run.ended.expect(3)?;
    let loaded = run.objects.iter().filter(|line| line["status"] == "loaded").count();
    ensure!(loaded == 3 && env.count("t").await? == 20 + 3 * 8, "{:#?}", run.objects);
    // Objects that were on their way to the server may fail as well.
    ensure!(
        run.objects.iter().filter(|line| line["status"] == "failed").count() <= 2,
        "{:#?}",
        run.objects
    );
    ensure!(number(&run.summary, "objects_not_reached")? > 0, "{:#}", run.summary);
    ensure!(run.summary["error"]["code"] == "rejects_exhausted", "{:#}", run.summary);
    run.ended.says("--max-rejects-total")?;
    // If the limit is exactly the number of bad rows, everything loads.
    let args = ["--on-bad-row", "reject", "--max-rejects-total", "74", "--load-concurrency", "1"];
    load(&env, &args).await?.ended.expect(7)?;
    ensure!(env.count("t").await? == 20 + 40 * 8);
    Ok(())
}

#[apply(load_test)]
async fn rejects_of_an_object_that_fails_are_given_back(env: TestEnv) -> Result<()> {
    fill(&env).await?;
    // Its rejects cannot be written, so the object is not loaded.
    env.put("data/1", with_bad(1000, 10, 2))?;
    env.put("data/2", with_bad(2000, 10, 2))?;
    let first = load(&env, &["--on-bad-row", "reject", "--include", "*1"]).await?;
    let file = first.object("data/1")?["reject_file"].as_str().context("no file")?.to_owned();
    env.schema.exec("DELETE FROM t WHERE id >= 1000").await?;
    env.schema.exec("DELETE FROM s3_to_mysql_objects; DELETE FROM s3_to_mysql_runs").await?;
    std::fs::remove_file(&file)?;
    std::fs::create_dir_all(format!("{file}/in the way"))?;
    let args = ["--on-bad-row", "reject", "--max-rejects-total", "2", "--load-concurrency", "1"];
    let args = [&args[..], &["--download-concurrency", "1"]].concat();
    let run = load(&env, &args).await?;
    run.ended.expect(3)?;
    ensure!(run.object("data/1")?["error"]["code"] == "rejects_unwritable", "{:#?}", run.objects);
    ensure!(run.object("data/2")?["rejected"] == 2, "{:#?}", run.objects);
    ensure!(env.count("t").await? == 28);
    Ok(())
}

#[apply(load_test)]
async fn an_object_that_is_tried_again_spends_its_rejects_once(env: TestEnv) -> Result<()> {
    use crate::support::proxy::{Break, Proxy, Step};
    fill(&env).await?;
    env.put("data/1", with_bad(1000, 10, 2))?;
    let proxy = Proxy::start(env.server.port()).await?;
    let cut = proxy.times(2, Step::LoadCommit, Break::Cut);
    let port = proxy.port().to_string();
    let args = [
        "--on-bad-row",
        "reject",
        "--max-rejects-total",
        "2",
        "--ssl-mode",
        "DISABLED",
        "--port",
        &port,
        "--max-rejects",
        "2",
    ];
    let run = load(&env, &args).await?;
    run.ended.expect(7)?;
    ensure!(cut.count() == 2 && run.object("data/1")?["attempts"] == 3, "{}", run.ended);
    ensure!(run.summary["rejected"] == 2 && env.count("t").await? == 28, "{:#}", run.summary);
    ensure!(written_down(&env)? == (2, 0));
    Ok(())
}

#[apply(load_test)]
async fn notes_are_counted_apart_and_bad_only_on_request(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT PRIMARY KEY, d DECIMAL(4,1))").await?;
    env.put("data/1", "1\t1.25\n2\t2.5\n3\t3.75\n4\tx\n")?;
    let run = load(&env, &["--on-bad-row", "reject"]).await?;
    run.ended.expect(7)?;
    let line = run.object("data/1")?;
    ensure!(line["rejected"] == 1 && line["note_rows"] == 2, "{line:#}");
    // The server gets the value that the column keeps, and has nothing to say about it.
    ensure!(line["notes"] == 0 && line["warnings"] == 0, "{line:#}");
    run.ended.says("rows with notes    2")?;
    run.ended.says(
        "loaded with notes: s3://etl/data/1: 2 of 4 rows\n  line 1, column d (decimal(4,1)): \
         '1.25' has more decimals than the column keeps\n    1\\t1.25\n  line 3, column d",
    )?;
    let lines = row_error_numbers(&line["first_notes"], "line")?;
    ensure!(lines == [1, 3] && line["first_notes"][1]["column"] == "d", "{line:#}");

    // The same holds for whole objects.
    env.put("data/2", "11\t1.25\n12\t2.5\n")?;
    let run = load(&env, &[]).await?;
    run.ended.expect(0)?;
    ensure!(
        run.object("data/2")?["note_rows"] == 1 && run.summary["note_rows"] == 1,
        "{:#}",
        run.summary
    );
    env.put("data/3", "21\t2.5\n22\t1.25\n")?;
    let run = load(&env, &["--notes-as-bad"]).await?;
    run.ended.expect(3)?;
    let error = &run.object("data/3")?["error"];
    ensure!(error["code"] == "bad_rows" && error["rows"][0]["row"] == 2, "{error:#}");
    let run = load(&env, &["--notes-as-bad", "--on-bad-row", "reject"]).await?;
    run.ended.expect(7)?;
    let line = run.object("data/3")?;
    ensure!(line["rejected"] == 1 && line["note_rows"] == 0, "{line:#}");
    ensure_values(&env.schema, "SELECT id, d FROM t WHERE id > 20", &["21|2.5"]).await?;

    // The server has notes of its own about what it alone can read.
    env.put("data/4", "31\t1.25\n32\t2.5\n")?;
    let run = load(&env, &["--columns", "id,@d", "--set", "d=@d"]).await?;
    run.ended.expect(0)?;
    let line = run.object("data/4")?;
    ensure!(line["notes"] == 1 && line["warnings"] == 1 && line["note_rows"] == 0, "{line:#}");
    ensure!(line["warnings_by_code"] == serde_json::json!({"1265": 1}), "{line:#}");
    run.ended.says("notes among them   1")
}

#[apply(load_test)]
async fn accepted_bad_rows_and_notes_are_named_wherever_they_go(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT PRIMARY KEY, d DECIMAL(4,1))").await?;
    // A batch; an object alone; an object in parts.
    env.put("data/1", "1\t1.0\n2\tx\n3\t1.25\n")?;
    env.put("data/2", "4\t1.0\n")?;
    let rows = |first: u32| {
        (first..first + 200).map(|id| match id % 100 {
            0 => format!("{id}\tx\n"),
            50 => format!("{id}\t1.25\n"),
            _ => format!("{id}\t1.0\n"),
        })
    };
    env.put("data/3", rows(1000).collect::<String>())?;
    let accept = ["--on-bad-row", "accept"];
    for args in [&[][..], &["--no-batch"], &["--part-size", "1KiB"]] {
        let run = load(&env, &[&accept[..], args].concat()).await?;
        run.ended.expect(0)?;
        run.ended.says("rows changed       3")?;
        run.ended.says("rows with notes    3")?;
        run.ended.says("loaded with other values: s3://etl/data/1: 1 of 3 rows; 1 have notes\n")?;
        run.ended.says("\n  line 2, column d (decimal(4,1)): 'x' is not a number\n")?;
        run.ended
            .says("loaded with other values: s3://etl/data/3: 2 of 200 rows; 2 have notes\n")?;
        for (key, expected) in [("data/1", &[2, 3][..]), ("data/3", &[1, 51, 101, 151])] {
            let line = run.object(key)?;
            let lines = row_error_numbers(&line["first_notes"], "line")?;
            ensure!(lines == expected, "{args:?}: {line:#}");
        }
        ensure!(run.object("data/2")?["first_notes"] == serde_json::json!([]), "{}", run.ended);
        env.start_afresh("t").await?;
    }
    // A check counts what an accepting load counts.
    let report = env.path("checked").display().to_string();
    let args = ["check", "s3://etl/data/", "--table", "t", "--report", &report];
    let checked = env.run(&[&args[..], &accept].concat()).await?;
    checked.says("bad rows           3")?;
    checked.says("rows with notes    3")?;
    checked.says("would load with notes: s3://etl/data/3: 2 of 200 rows\n  line 51, column d")
}

#[apply(load_test)]
async fn each_hint_is_printed_once_below_the_failures_that_it_is_for(env: TestEnv) -> Result<()> {
    env.schema
        .exec(
            "CREATE TABLE t (id INT PRIMARY KEY, d DECIMAL(4,1), a TINYINT(1), \
             g INT AS (id + 1) STORED)",
        )
        .await?;
    env.put("data/1", "1\t1,5\t1\t\n")?;
    env.put("data/2", "2\t2,5\t\t\n")?;
    env.put("data/3", "3\t3.5\t\t\n")?;
    env.put("data/4", "4\t4.5\t1\n")?;
    let run = load(&env, &[]).await?;
    run.ended.expect(3)?;
    let hints: Vec<&str> =
        run.ended.stderr.lines().filter(|line| line.starts_with("  hint: ")).collect();
    // One of them is for all objects that fail for a comma.
    ensure!(hints.len() == 3, "{}", run.ended);
    let all = hints.join("\n");
    for hint in ["--decimal-comma", "--empty-as-null", "--columns 'id,d,a'"] {
        ensure!(all.contains(hint), "{}", run.ended);
    }
    Ok(())
}

#[apply(load_test)]
async fn as_many_bad_rows_are_shown_as_asked_for(env: TestEnv) -> Result<()> {
    fill(&env).await?;
    env.put("data/1", with_bad(1000, 40, 30))?;
    for (limit, expected) in [("1", 1), ("25", 25), ("100", 30)] {
        let run = load(&env, &["--show-bad-rows", limit]).await?;
        run.ended.expect(3)?;
        let error = &run.object("data/1")?["error"];
        ensure!(
            error["rows"].as_array().is_some_and(|rows| rows.len() == expected),
            "{limit}: {error:#}"
        );
        let shown = run.ended.stderr.matches("\\tx\\tok\n").count();
        ensure!(shown == expected, "{limit}: {shown} rows are shown\n{}", run.ended);
        let more = format!("and {} more", 30 - expected);
        ensure!(run.ended.stderr.contains(&more) == (expected < 30), "{limit}: {}", run.ended);
    }
    Ok(())
}

/// Creates parents, children, and rows with and without a parent.
async fn family(env: &TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE p (id INT PRIMARY KEY)").await?;
    env.schema.exec("INSERT INTO p VALUES (1)").await?;
    env.schema
        .exec("CREATE TABLE t (id INT, p INT, f INT, u INT, FOREIGN KEY (p) REFERENCES p (id))")
        .await?;
    env.put("data/1", "1\t1\n2\t7\n")
}

/// The check variables that the loading session must have.
const CHECKS: [&str; 6] = [
    "--columns",
    "id,p",
    "--set",
    "f=@@SESSION.foreign_key_checks",
    "--set",
    "u=@@SESSION.unique_checks",
];

#[apply(load_test)]
async fn checks_are_on_whatever_the_server_says(env: TestEnv) -> Result<()> {
    env.put("data/1", "1\t1\n2\t1\n")?;
    // The server has the checks off, so every new session begins with them off.
    let server = crate::support::servers::Server::start(
        env.server.kind(),
        &["--init-connect=SET SESSION foreign_key_checks = 0, SESSION unique_checks = 0"],
    )?;
    let schema = server.schema().await?;
    let mut other = schema.user_conn().await?;
    let there: Option<(u8, u8)> = mysql_async::prelude::Queryable::query_first(
        &mut other,
        "SELECT @@SESSION.foreign_key_checks, @@SESSION.unique_checks",
    )
    .await?;
    ensure!(there == Some((0, 0)), "{there:?}");
    schema.exec("CREATE TABLE t (id INT, p INT, f INT, u INT)").await?;
    let mut command = env.command(["load", "s3://etl/data/", "--table", "t"].iter().chain(&CHECKS));
    command.env("DATABASE_URL", schema.url());
    crate::support::program::finish(command.spawn()?).await?.expect(0)?;
    ensure_values(&schema, "SELECT DISTINCT f, u FROM t", &["1|1"]).await
}

#[apply(load_test)]
async fn checks_that_init_sql_switches_off_are_really_off(env: TestEnv) -> Result<()> {
    family(&env).await?;
    let run = load(&env, &CHECKS).await?;
    run.ended.expect(3)?;
    ensure!(run.object("data/1")?["error"]["code"] == "bad_rows", "{:#?}", run.objects);
    let off = ["--init-sql", "SET foreign_key_checks = 0, unique_checks = 0"];
    load(&env, &[&CHECKS[..], &off].concat()).await?.ended.expect(0)?;
    ensure_values(&env.schema, "SELECT id, p, f, u FROM t ORDER BY id", &["1|1|0|0", "2|7|0|0"])
        .await?;
    // The same holds if rows go through the scratch table.
    env.put("data/2", "3\t8\n4\tx\n")?;
    let reject = ["--on-bad-row", "reject"];
    let run = load(&env, &[&CHECKS[..], &off, &reject].concat()).await?;
    run.ended.expect(7)?;
    ensure_values(&env.schema, "SELECT id, p, f FROM t WHERE id > 2", &["3|8|0"]).await?;
    ensure!(run.summary["rejected"] == 1, "{:#}", run.summary);
    Ok(())
}
