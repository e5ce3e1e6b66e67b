//! Truncate and swap: a job is done once, whichever process dies, and readers see the old rows or
//! the new ones.

pub(crate) mod altered;
pub(crate) mod deferred;
pub(crate) mod hostile;
pub(crate) mod killed;
pub(crate) mod refused;
pub(crate) mod sharing;

use anyhow::{Context as _, Result, ensure};
use mysql_async::Conn;
use mysql_async::prelude::Queryable as _;
use tokio::process::{Child, Command};

use crate::registry::{apply, load_test};
use crate::support::hive;
use crate::support::program::{BUCKET, Ended, TestEnv};
use crate::support::proxy::{Break, Proxy, Step};
use crate::support::servers::Schema;
use crate::support::values::{ensure_values, values};

/// The number of rows of an object.
const ROWS: u64 = 300;

const TRUNCATE: [&str; 4] = ["--preset", "hive", "--mode", "truncate"];

const SWAP: [&str; 4] = ["--preset", "hive", "--mode", "swap"];

const APPEND: [&str; 2] = ["--preset", "hive"];

fn add(sums: &mut hive::Sums, more: hive::Sums) {
    sums.rows += more.rows;
    sums.checksum += more.checksum;
}

/// Puts `count` objects `in/0`, `in/1`, ... with rows from `first_row` on.
fn put_objects(env: &TestEnv, first_row: u64, count: u64) -> Result<hive::Sums> {
    let mut sums = hive::Sums::default();
    for number in 0..count {
        let from = first_row + number * ROWS;
        let (bytes, more) = hive::object(from, from + ROWS);
        env.put(&format!("in/{number}"), bytes)?;
        add(&mut sums, more);
    }
    Ok(sums)
}

/// Creates table `t` with rows that no object has.
async fn old_rows(env: &TestEnv) -> Result<hive::Sums> {
    env.schema.exec(&hive::create_table("t")).await?;
    let (bytes, sums) = hive::object(900_000, 900_000 + ROWS);
    env.put("old/0", bytes)?;
    // Without a ledger, so that the ledger's content comes from the jobs alone.
    let args = ["load", "s3://etl/old/", "--table", "t", "--preset", "hive", "--no-ledger"];
    env.run(&args).await?.expect(0)?;
    Ok(sums)
}

/// Runs `load s3://etl/in/ --table t ARGS`.
async fn load(env: &TestEnv, args: &[&str]) -> Result<Ended> {
    env.run(&[&["load", "s3://etl/in/", "--table", "t"], args].concat()).await
}

/// Returns the same command, through a proxy.
fn through(env: &TestEnv, proxy: &Proxy, args: &[&str]) -> Command {
    let port = proxy.port().to_string();
    let mut base = vec!["load", "s3://etl/in/", "--table", "t", "--port", &port];
    // The proxy cannot read encrypted packets.
    base.extend(["--ssl-mode", "DISABLED"]);
    env.command(base.iter().chain(args))
}

async fn sums_of(schema: &Schema<'_>, table: &str) -> Result<(u64, u64)> {
    schema.query_one(&hive::checksum_query(table)).await
}

async fn ensure_rows(env: &TestEnv, table: &str, sums: hive::Sums) -> Result<()> {
    let found = sums_of(&env.schema, table).await?;
    ensure!(found == (sums.rows, sums.checksum), "{table} has {found:?}, not {sums:?}");
    Ok(())
}

/// Requires `generation|table_generation|mode|state` of the only job.
async fn ensure_job(env: &TestEnv, expected: &str) -> Result<()> {
    let query = "SELECT generation, table_generation, mode, state FROM s3_to_mysql_jobs";
    ensure_values(&env.schema, query, &[expected]).await
}

/// Requires that no table of a swap is left.
async fn ensure_no_leftovers(env: &TestEnv) -> Result<()> {
    let tables = values(&env.schema, "SHOW TABLES").await?;
    // The marker of a kept table stays with it.
    let left: Vec<&String> = tables
        .iter()
        .filter(|name| name.starts_with("s3_to_mysql_") && name.len() > 24)
        .filter(|name| !name.starts_with("s3_to_mysql_kept_"))
        .collect();
    ensure!(left.is_empty(), "left: {left:?}");
    Ok(())
}

async fn shadow(env: &TestEnv) -> Result<String> {
    env.schema
        .query_one(&format!(
            "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = '{}' AND \
             TABLE_NAME LIKE 's3\\_to\\_mysql\\_shadow\\_%'",
            env.schema.name
        ))
        .await
}

async fn kill(mut child: Child) -> Result<()> {
    Ok(child.kill().await?)
}

/// Opens a transaction that has read `t`.
async fn open_reader(env: &TestEnv) -> Result<Conn> {
    let mut reader = env.schema.conn().await?;
    reader.query_drop("START TRANSACTION").await?;
    reader.query_drop("SELECT * FROM t LIMIT 1").await?;
    Ok(reader)
}

#[apply(load_test)]
async fn a_truncate_job_empties_the_table_once_and_the_next_one_again(env: TestEnv) -> Result<()> {
    old_rows(&env).await?;
    let mut sums = put_objects(&env, 0, 2)?;
    env.put("in/bad", "no row of this table\n")?;
    load(&env, &TRUNCATE).await?.expect(3)?;
    ensure_rows(&env, "t", sums).await?;
    ensure_job(&env, "2|2|truncate|loading").await?;

    // No run loads this row, so an emptied table shows.
    env.schema.exec("CREATE TABLE mark LIKE t").await?;
    env.schema.exec("INSERT INTO t SELECT * FROM t LIMIT 1").await?;
    let with_mark = env.count("t").await?;
    let (bytes, more) = hive::object(5000, 5000 + ROWS);
    env.put("in/bad", bytes)?;
    let resumed = load(&env, &TRUNCATE).await?;
    resumed.expect(0)?;
    ensure!(
        resumed.summary("objects loaded")? == "1" && resumed.summary("already loaded")? == "2",
        "{resumed}"
    );
    ensure!(
        env.count("t").await? == with_mark + more.rows,
        "the resumed run has emptied the table"
    );
    ensure_job(&env, "2|2|truncate|done").await?;

    add(&mut sums, more);
    let tonight = load(&env, &TRUNCATE).await?;
    tonight.expect(0)?;
    ensure!(tonight.summary("objects loaded")? == "3", "{tonight}");
    ensure!(tonight.stderr.matches("loading into").count() == 1, "{tonight}");
    ensure_rows(&env, "t", sums).await?;
    ensure_job(&env, "3|3|truncate|done").await
}

/// Rows that the job loaded before the content changed cannot be told from the rest of the table.
#[apply(load_test)]
async fn an_unfinished_job_whose_objects_changed_is_begun_anew_by_force(
    env: TestEnv,
) -> Result<()> {
    for mode in [TRUNCATE, SWAP] {
        env.schema.exec("DROP TABLE IF EXISTS t").await?;
        old_rows(&env).await?;
        put_objects(&env, 0, 2)?;
        env.put("in/bad", "no row of this table\n")?;
        load(&env, &mode).await?.expect(3)?;

        let sums = put_objects(&env, 50_000, 2)?;
        env.s3.backend().remove(BUCKET, "in/bad");
        let resumed = load(&env, &mode).await?;
        resumed.expect(3)?;
        resumed.says("its content has changed since it was loaded")?;
        let anew = load(&env, &[&mode[..], &["--force"]].concat()).await?;
        anew.expect(0)?;
        ensure!(
            anew.summary("objects loaded")? == "2" && !anew.stdout.contains("loaded again"),
            "{anew}"
        );
        ensure_rows(&env, "t", sums).await?;
        ensure_no_leftovers(&env).await?;
    }
    Ok(())
}

#[apply(load_test)]
async fn a_swap_with_a_failed_object_leaves_the_table_as_it_was(env: TestEnv) -> Result<()> {
    let old = old_rows(&env).await?;
    let mut sums = put_objects(&env, 0, 2)?;
    env.put("in/bad", "no row of this table\n")?;
    load(&env, &SWAP).await?.expect(3)?;
    ensure_rows(&env, "t", old).await?;
    ensure_job(&env, "2|1|swap|loading").await?;

    let (bytes, more) = hive::object(5000, 5000 + ROWS);
    env.put("in/bad", bytes)?;
    add(&mut sums, more);
    let resumed = load(&env, &SWAP).await?;
    resumed.expect(0)?;
    ensure!(
        resumed.summary("objects loaded")? == "1" && resumed.summary("already loaded")? == "2",
        "{resumed}"
    );
    ensure_rows(&env, "t", sums).await?;
    ensure_job(&env, "2|2|swap|swapped").await?;
    ensure_no_leftovers(&env).await?;

    // An append knows which objects the swap loaded.
    let appended = load(&env, &APPEND).await?;
    appended.expect(0)?;
    ensure!(appended.summary("already loaded")? == "3", "{appended}");
    let tonight = load(&env, &SWAP).await?;
    tonight.expect(0)?;
    ensure!(tonight.summary("objects loaded")? == "3", "{tonight}");
    ensure_rows(&env, "t", sums).await?;
    ensure_job(&env, "3|3|swap|swapped").await?;
    ensure_no_leftovers(&env).await
}

#[apply(load_test)]
async fn the_old_table_is_kept_under_its_name_and_replaced_by_the_next_swap(
    env: TestEnv,
) -> Result<()> {
    let old = old_rows(&env).await?;
    let first = put_objects(&env, 0, 2)?;
    let keep = [&SWAP[..], &["--swap-keep-old"]].concat();
    load(&env, &keep).await?.expect(0)?;
    ensure_rows(&env, "t", first).await?;
    ensure_rows(&env, "t_old", old).await?;

    let second = put_objects(&env, 10_000, 2)?;
    load(&env, &keep).await?.expect(0)?;
    ensure_rows(&env, "t", second).await?;
    ensure_rows(&env, "t_old", first).await?;

    // A swap that keeps no old table leaves the earlier one alone.
    let third = put_objects(&env, 20_000, 2)?;
    load(&env, &SWAP).await?.expect(0)?;
    ensure_rows(&env, "t", third).await?;
    ensure_rows(&env, "t_old", first).await?;
    ensure_no_leftovers(&env).await
}

#[apply(load_test)]
async fn views_and_grants_stay_with_the_name(env: TestEnv) -> Result<()> {
    old_rows(&env).await?;
    let sums = put_objects(&env, 0, 2)?;
    env.schema.exec("CREATE VIEW v AS SELECT * FROM t").await?;
    load(&env, &SWAP).await?.expect(0)?;
    ensure_rows(&env, "v", sums).await?;
    let sums = put_objects(&env, 10_000, 2)?;
    load(&env, &TRUNCATE).await?.expect(0)?;
    ensure_rows(&env, "v", sums).await
}

/// Returns the step at a statement. Such steps are few and the process is short, so the leak is
/// small.
fn step(env: &TestEnv, part: &'static str) -> Step {
    if part == "COMMIT" {
        // The statement for READ-COMMITTED contains this text, too.
        return Step::Statement(part);
    }
    Step::StatementWith(Box::leak(part.replace("{db}", &env.schema.name).into_boxed_str()))
}

/// Runs a job through a proxy and kills it at this step, before the statement or after its effect.
async fn killed_at(env: &TestEnv, args: &[&str], part: &'static str, how: Break) -> Result<()> {
    let proxy = Proxy::start(env.server.port()).await?;
    let held = proxy.next(step(env, part), how);
    let child = through(env, &proxy, args).spawn()?;
    held.wait().await?;
    kill(child).await?;
    held.cut();
    Ok(())
}

#[apply(load_test)]
async fn a_shadow_that_has_gone_begins_the_job_anew(env: TestEnv) -> Result<()> {
    old_rows(&env).await?;
    let sums = put_objects(&env, 0, 2)?;
    killed_at(&env, &SWAP, "state = 'swapping', source", Break::Hold).await?;
    env.schema.exec(&format!("DROP TABLE {}", shadow(&env).await?)).await?;
    let anew = load(&env, &SWAP).await?;
    anew.expect(0)?;
    anew.says("no longer exists; starting over")?;
    ensure_rows(&env, "t", sums).await?;
    ensure_no_leftovers(&env).await
}

#[apply(load_test)]
async fn what_a_table_is_made_of_outlives_a_swap(env: TestEnv) -> Result<()> {
    env.schema
        .exec(
            "CREATE TABLE t (a INT NOT NULL DEFAULT 7 COMMENT 'of a', b VARCHAR(20) COLLATE \
             utf8mb4_bin CHECK (b <> 'x'), c INT GENERATED ALWAYS AS (a + 1) STORED, i INT DEFAULT \
             3 INVISIBLE, d INT AUTO_INCREMENT, KEY (d), UNIQUE KEY by_a (a DESC, b(5)), FULLTEXT \
             KEY words (b)) ROW_FORMAT=COMPRESSED COMMENT='of t'",
        )
        .await?;
    env.schema
        .exec(
            "CREATE TABLE p (a INT NOT NULL, b INT, PRIMARY KEY (a)) PARTITION BY RANGE (a) \
             (PARTITION low VALUES LESS THAN (10), PARTITION high VALUES LESS THAN MAXVALUE)",
        )
        .await?;
    env.put("in/0", "1\t2\n")?;
    for (table, columns) in [("t", "a,b"), ("p", "a,b")] {
        let definition = async || -> Result<String> {
            let (_, text): (String, String) =
                env.schema.query_one(&format!("SHOW CREATE TABLE {table}")).await?;
            // Constraints get new names on one of the servers, and the next AUTO_INCREMENT value
            // depends on the rows.
            let words = text
                .split_whitespace()
                .filter(|word| !word.contains("_chk_") && !word.contains("AUTO_INCREMENT="));
            Ok(words.collect::<Vec<_>>().join(" "))
        };
        let before = definition().await?;
        let args =
            ["load", "s3://etl/in/", "--table", table, "--mode", "swap", "--columns", columns];
        env.run(&args).await?.expect(0)?;
        let after = definition().await?;
        ensure!(before == after, "{before}\n{after}");
        ensure!(env.count(table).await? == 1);
    }
    Ok(())
}

#[apply(load_test)]
async fn rows_that_are_skipped_or_replaced_do_not_keep_a_table_from_being_swapped(
    env: TestEnv,
) -> Result<()> {
    env.schema.exec("CREATE TABLE t (a INT PRIMARY KEY, b VARCHAR(9), UNIQUE (b))").await?;
    env.put("in/0", "1\tx\n2\ty\n1\tz\n2\ty\n3\tw\n")?;
    env.put("in/1", "1\tx\n4\tw\n4\tw\n5\ty\n")?;
    for how in ["ignore", "replace"] {
        let args = ["--mode", "swap", "--load-concurrency", "1", "--on-duplicate", how];
        load(&env, &args).await?.expect(0).context(how)?;
        ensure!(env.count("t").await? > 2);
    }
    ensure_job(&env, "3|3|swap|swapped").await
}

/// REPLACE deletes no row that is equal to the new one, and the server then counts the new one as
/// added.
#[apply(load_test)]
async fn rows_that_replace_equal_rows_do_not_keep_a_table_from_being_swapped(
    env: TestEnv,
) -> Result<()> {
    env.schema.exec("CREATE TABLE t (a INT PRIMARY KEY, b VARCHAR(9))").await?;
    env.put("in/0", "1\tx\n1\tx\n2\ty\n")?;
    env.put("in/1", "2\ty\n3\tz\n")?;
    for bad_rows in ["fail", "reject"] {
        let rejects = env.path("rejects").display().to_string();
        let mut args =
            vec!["--mode", "swap", "--on-duplicate", "replace", "--on-bad-row", bad_rows];
        if bad_rows == "reject" {
            args.extend(["--rejects", &rejects]);
        }
        load(&env, &args).await?.expect(0).context(bad_rows)?;
        ensure_values(&env.schema, "SELECT * FROM t ORDER BY a", &["1|x", "2|y", "3|z"]).await?;
    }
    // The counts are a limit all the same.
    let proxy = Proxy::start(env.server.port()).await?;
    let counting =
        proxy.next(step(&env, "SELECT COUNT(*) FROM `{db}`.`s3_to_mysql_shadow_"), Break::Hold);
    let child = through(&env, &proxy, &["--mode", "swap", "--on-duplicate", "replace"]).spawn()?;
    counting.wait().await?;
    let shadow = shadow(&env).await?;
    env.schema.exec(&format!("INSERT INTO {shadow} VALUES (7, ''), (8, ''), (9, '')")).await?;
    counting.release();
    let ended = crate::support::program::finish(child).await?;
    ended.expect(3)?;
    ended.says("has 6 rows, the ledger says at most 5")
}

#[apply(load_test)]
async fn a_table_of_any_name_is_swapped_with_the_ledger_elsewhere(env: TestEnv) -> Result<()> {
    let ledger = format!("{}ledger", env.schema.name);
    env.schema.exec(&format!("CREATE DATABASE {ledger}")).await?;
    env.schema.exec(&format!("GRANT ALL ON {ledger}.* TO {}@'%'", env.schema.user)).await?;
    let table = "`odd ``n\u{e4}me`";
    env.schema.exec(&format!("CREATE TABLE {table} (a INT)")).await?;
    env.schema.exec(&format!("INSERT INTO {table} VALUES (1)")).await?;
    env.put("in/0", "2\n")?;
    let stem = format!("{ledger}.books");
    let args = [
        "load",
        "s3://etl/in/",
        "--table",
        table,
        "--mode",
        "swap",
        "--swap-keep-old",
        "--ledger-table",
        &stem,
    ];
    env.run(&args).await?.expect(0)?;
    ensure_values(&env.schema, &format!("SELECT a FROM {table}"), &["2"]).await?;
    ensure_values(&env.schema, "SELECT a FROM `odd ``n\u{e4}me_old`", &["1"]).await?;
    // The table, the old one, and its marker.
    ensure_values(
        &env.schema,
        "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()",
        &["3"],
    )
    .await?;
    ensure_values(
        &env.schema,
        &format!("SELECT mode, state FROM {ledger}.books_jobs"),
        &["swap|swapped"],
    )
    .await
}

#[apply(load_test)]
async fn rows_of_earlier_generations_leave_the_ledger(env: TestEnv) -> Result<()> {
    old_rows(&env).await?;
    put_objects(&env, 0, 2)?;
    load(&env, &APPEND).await?.expect(0)?;
    env.schema
        .exec(
            "INSERT INTO s3_to_mysql_objects (target, generation, bucket, object_key, etag, \
             state, size_bytes, worker, run_id, tool_version, began_at) SELECT o.target, 1, 'b', \
             n, 'e', 'loaded', 1, 'w', 'r', '0', NOW() FROM (SELECT target FROM \
             s3_to_mysql_objects LIMIT 1) o, (SELECT a.i + 10 * b.i + 100 * c.i + 1000 * d.i + \
             10000 * e.i AS n FROM (SELECT 0 i UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION \
             SELECT 4 UNION SELECT 5 UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9) \
             a, (SELECT 0 i UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION \
             SELECT 5 UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9) b, (SELECT 0 i \
             UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION \
             SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9) c, (SELECT 0 i UNION SELECT 1 \
             UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION SELECT 6 UNION \
             SELECT 7 UNION SELECT 8 UNION SELECT 9) d, (SELECT 0 i UNION SELECT 1 UNION SELECT 2) \
             e) numbers",
        )
        .await?;
    ensure!(env.count("s3_to_mysql_objects").await? == 30_002);
    load(&env, &SWAP).await?.expect(0)?;
    ensure_values(
        &env.schema,
        "SELECT generation, COUNT(*) FROM s3_to_mysql_objects GROUP BY generation",
        &["2|2"],
    )
    .await
}
