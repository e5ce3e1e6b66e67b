//! The transaction: whatever breaks, and wherever, an object's rows are in the table once or not at
//! all.

use anyhow::{Context as _, Result, ensure};
use mysql_async::prelude::Queryable as _;
use serde_json::Value;

use crate::registry::{apply, load_test, plain_test};
use crate::support::hive;
use crate::support::program::{Ended, TestEnv, finish, finish_with_peak, signal, wait_for_log};
use crate::support::proxy::{Break, Proxy, Step};
use crate::support::rogue::{Answer, Malice, Received, Rogue};
use crate::support::servers::{Schema, Server};
use crate::support::values::ensure_values;

const ROWS: u64 = 20_000;

/// Puts one object of [`ROWS`] rows into the bucket, and creates its table `t`.
async fn one_object(env: &TestEnv, schema: &Schema<'_>) -> Result<hive::Sums> {
    schema.exec(&hive::create_table("t")).await?;
    let (bytes, sums) = hive::object(0, ROWS);
    env.put("big", bytes)?;
    Ok(sums)
}

async fn ensure_once(schema: &Schema<'_>, sums: hive::Sums) -> Result<()> {
    let found: (u64, u64) = schema.query_one(&hive::checksum_query("t")).await?;
    ensure!(found == (sums.rows, sums.checksum), "{found:?}, not {sums:?}");
    Ok(())
}

async fn ensure_none(schema: &Schema<'_>) -> Result<()> {
    ensure_values(schema, "SELECT COUNT(*) FROM t", &["0"]).await
}

/// Returns the command `load s3://etl/ --table t` through a proxy, in Hive's text format and
/// without TLS.
fn through(
    env: &TestEnv,
    schema: &Schema<'_>,
    proxy: &Proxy,
    args: &[&str],
) -> tokio::process::Command {
    let args = [&["--preset", "hive"], args].concat();
    let mut command = env.load_through(proxy.port(), &args);
    command.env("DATABASE_URL", schema.url()).env("S3_TO_MYSQL_REPORT", env.path("report"));
    command
}

/// Returns the report's line for a key.
fn line(env: &TestEnv, key: &str) -> Result<Value> {
    let report = env.report("report")?;
    report
        .iter()
        .find(|line| line["key"] == key)
        .cloned()
        .with_context(|| format!("no line for {key}: {report:#?}"))
}

/// The interval between two looks at the server's state. MariaDB has crashed when asked for its
/// process list without a pause.
const POLL: std::time::Duration = std::time::Duration::from_millis(20);

/// Waits until the test's own account has no connection.
async fn wait_for_no_connection(schema: &Schema<'_>) -> Result<()> {
    let mut conn = schema.conn().await?;
    for _ in 0..1000 {
        let connections: Vec<mysql_async::Row> = conn.query("SHOW PROCESSLIST").await?;
        if !connections
            .iter()
            .any(|row| row.get::<String, _>("User").as_ref() == Some(&schema.user))
        {
            return Ok(());
        }
        tokio::time::sleep(POLL).await;
    }
    anyhow::bail!("{} is still connected", schema.user)
}

/// Waits until a LOAD waits for a lock in this schema.
async fn wait_for_waiting_load(schema: &Schema<'_>) -> Result<()> {
    wait_for_waiting(schema, "LOAD DATA").await
}

/// Waits until a statement of the test's own account waits for a row lock, and has this text in its
/// first hundred characters.
pub(crate) async fn wait_for_waiting(schema: &Schema<'_>, part: &str) -> Result<()> {
    let mut conn = schema.conn().await?;
    for _ in 0..1000 {
        let connections: Vec<mysql_async::Row> = conn.query("SHOW PROCESSLIST").await?;
        let running = connections.iter().filter(|row| {
            let text = |name| row.get::<Option<String>, _>(name).flatten().unwrap_or_default();
            text("User") == schema.user && text("Info").contains(part)
        });
        let threads: Vec<String> = running
            .filter_map(|row| row.get::<u64, _>("Id"))
            .map(|id| format!("thread id {id},"))
            .collect();
        if !threads.is_empty() {
            // Not information_schema.innodb_trx: the server does not refresh it for readers that
            // come every 100 ms or more often, as several tests together do.
            let status: Option<(String, String, String)> =
                conn.query_first("SHOW ENGINE INNODB STATUS").await?;
            let status = status.map(|(_, _, text)| text).unwrap_or_default();
            let waits = |trx: &str| {
                trx.contains("LOCK WAIT") && threads.iter().any(|thread| trx.contains(thread))
            };
            if status.split("---TRANSACTION").any(waits) {
                return Ok(());
            }
        }
        tokio::time::sleep(POLL).await;
    }
    anyhow::bail!("no statement with {part:?} came to wait for a lock")
}

#[apply(load_test)]
async fn the_victim_of_a_deadlock_is_loaded_again_and_once(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT PRIMARY KEY)").await?;
    env.put("1", "1\n5\n9\n")?;
    let mut other = env.schema.conn().await?;
    other.query_drop("START TRANSACTION").await?;
    // More work than the loader's, so that the server chooses the loader.
    let many: Vec<String> = (1000..3000).map(|id| format!("({id})")).collect();
    other.query_drop(format!("INSERT INTO t VALUES (5), {}", many.join(", "))).await?;
    let mut child = env.command(["load", "s3://etl/", "--table", "t"]).spawn()?;
    wait_for_waiting_load(&env.schema).await?;
    other.query_drop("INSERT INTO t VALUES (1)").await?;
    let log = wait_for_log(&mut child, "trying again").await?;
    other.query_drop("ROLLBACK").await?;
    let ended = finish(child).await?;
    ended.expect(0)?;
    let log = log.await?;
    ensure!(log.contains("ERROR 1213 (40001)"), "{log}");
    ensure_values(&env.schema, "SELECT id FROM t ORDER BY id", &["1", "5", "9"]).await
}

/// Opens a connection that holds row 5 of `t`.
async fn holding_row_five(schema: &Schema<'_>) -> Result<mysql_async::Conn> {
    let mut other = schema.conn().await?;
    other.query_drop("START TRANSACTION").await?;
    other.query_drop("INSERT INTO t VALUES (5)").await?;
    Ok(other)
}

const SHORT_WAIT: [&str; 2] = ["--init-sql", "SET innodb_lock_wait_timeout = 1"];

#[apply(load_test)]
async fn a_lock_wait_timeout_is_rolled_back_and_tried_again(env: TestEnv) -> Result<()> {
    // There is no key, so a row that stays from the first attempt shows.
    env.schema
        .exec("CREATE TABLE t (id INT, u INT AS (IF(id = 5, 5, NULL)) STORED UNIQUE)")
        .await?;
    env.put("1", "1\n5\n9\n")?;
    let mut other = env.schema.conn().await?;
    other.query_drop("START TRANSACTION").await?;
    other.query_drop("INSERT INTO t (id) VALUES (5)").await?;
    let args = ["load", "s3://etl/", "--table", "t", "--columns", "id"];
    let mut child = env.command(args.iter().chain(&SHORT_WAIT)).spawn()?;
    let log = wait_for_log(&mut child, "trying again").await?;
    other.query_drop("ROLLBACK").await?;
    let ended = finish(child).await?;
    ended.expect(0)?;
    let log = log.await?;
    ensure!(log.contains("ERROR 1205 (HY000)"), "{log}");
    ensure_values(&env.schema, "SELECT id FROM t ORDER BY id", &["1", "5", "9"]).await
}

#[apply(load_test)]
async fn lock_conflicts_that_do_not_end_fail_the_object_within_the_bounds(
    env: TestEnv,
) -> Result<()> {
    env.schema.exec("CREATE TABLE t (id INT PRIMARY KEY)").await?;
    env.put("blocked", "1\n5\n9\n")?;
    env.put("free", "2\n")?;
    let other = holding_row_five(&env.schema).await?;
    let report = env.path("report");
    let args = ["--max-attempts", "2", "--report", report.to_str().context("path")?];
    let ended = env.load_ending(3, "t", &[&args[..], &SHORT_WAIT].concat()).await?;
    ended.says("ERROR 1205")?;
    let line = line(&env, "blocked")?;
    ensure!(line["attempts"] == 2 && line["error"]["code"] == "lock_conflict", "{line}");
    other.disconnect().await?;
    ensure_values(&env.schema, "SELECT id FROM t", &["2"]).await
}

#[apply(load_test)]
async fn a_connection_lost_in_the_middle_of_the_file_is_loaded_again_and_once(
    env: TestEnv,
) -> Result<()> {
    let sums = one_object(&env, &env.schema).await?;
    let proxy = Proxy::start(env.server.port()).await?;
    let cut = proxy.times(2, Step::InfileBytes(600_000), Break::Cut);
    let ended = finish(through(&env, &env.schema, &proxy, &[]).spawn()?).await?;
    ended.expect(0)?;
    ensure!(cut.count() == 2, "{ended}");
    ended.says("the connection was lost before COMMIT")?;
    ensure!(line(&env, "big")?["attempts"] == 3, "{ended}");
    ensure_once(&env.schema, sums).await
}

/// Returns the state and row count of every ledger entry.
async fn entries(schema: &Schema<'_>) -> Result<Vec<(String, u64)>> {
    schema.query("SELECT state, row_count FROM s3_to_mysql_objects ORDER BY object_key").await
}

/// Requires one ledger entry with this many rows.
async fn ensure_one_entry(schema: &Schema<'_>, rows: u64) -> Result<()> {
    let entries = entries(schema).await?;
    ensure!(entries == [("loaded".to_owned(), rows)], "{entries:?}");
    Ok(())
}

#[apply(load_test)]
async fn a_commit_that_never_arrived_is_found_out_and_the_object_loaded_again(
    env: TestEnv,
) -> Result<()> {
    let sums = one_object(&env, &env.schema).await?;
    let proxy = Proxy::start(env.server.port()).await?;
    let cut = proxy.next(Step::LoadCommit, Break::Cut);
    let ended = finish(through(&env, &env.schema, &proxy, &[]).spawn()?).await?;
    ended.expect(0)?;
    ensure!(cut.count() == 1, "{ended}");
    ended.says("the connection was lost during COMMIT, which was rolled back")?;
    let line = line(&env, "big")?;
    ensure!(line["status"] == "loaded" && line["attempts"] == 2, "{line}");
    ensure_once(&env.schema, sums).await?;
    ensure_one_entry(&env.schema, ROWS).await
}

#[apply(load_test)]
async fn a_commit_whose_answer_is_lost_is_found_out_and_the_object_not_loaded_again(
    env: TestEnv,
) -> Result<()> {
    let sums = one_object(&env, &env.schema).await?;
    let proxy = Proxy::start(env.server.port()).await?;
    let cut = proxy.next(Step::LoadCommit, Break::SwallowAnswer);
    let sent = proxy.times(u32::MAX, LEDGER_INSERT, Break::Watch);
    let ended = finish(through(&env, &env.schema, &proxy, &[]).spawn()?).await?;
    ended.expect(0)?;
    ensure!(cut.count() == 1 && sent.count() == 1, "{ended}");
    let line = line(&env, "big")?;
    ensure!(line["status"] == "loaded" && line["attempts"] == 1 && line["rows"] == ROWS, "{line}");
    ensure_once(&env.schema, sums).await?;
    ensure_one_entry(&env.schema, ROWS).await
}

#[apply(load_test)]
async fn without_a_ledger_a_commit_that_never_arrived_is_an_unknown_outcome(
    env: TestEnv,
) -> Result<()> {
    one_object(&env, &env.schema).await?;
    let proxy = Proxy::start(env.server.port()).await?;
    let cut = proxy.next(Step::LoadCommit, Break::Cut);
    let ended = finish(through(&env, &env.schema, &proxy, &["--no-ledger"]).spawn()?).await?;
    outcome_is_unknown(&env, &ended)?;
    ensure!(cut.count() == 1);
    // There is no second attempt.
    ensure_none(&env.schema).await
}

#[apply(load_test)]
async fn without_a_ledger_a_commit_whose_answer_is_lost_is_an_unknown_outcome(
    env: TestEnv,
) -> Result<()> {
    let sums = one_object(&env, &env.schema).await?;
    let proxy = Proxy::start(env.server.port()).await?;
    let cut = proxy.next(Step::LoadCommit, Break::SwallowAnswer);
    let ended = finish(through(&env, &env.schema, &proxy, &["--no-ledger"]).spawn()?).await?;
    outcome_is_unknown(&env, &ended)?;
    ensure!(cut.count() == 1);
    ensure_once(&env.schema, sums).await
}

/// A run whose COMMIT the server holds under a global read lock.
struct HeldCommit {
    child: tokio::process::Child,
    /// The lock's owner.
    locker: mysql_async::Conn,
}

impl HeldCommit {
    /// Takes the lock when the data is loaded, and lets COMMIT arrive after it. Then the program's
    /// socket is closed, which the server does not notice while it waits.
    async fn start(
        env: &TestEnv,
        schema: &Schema<'_>,
        proxy: &Proxy,
        args: &[&str],
    ) -> Result<Self> {
        let held = proxy.next(Step::LoadCommit, Break::Hold);
        let child = through(env, schema, proxy, args).spawn()?;
        held.wait().await?;
        let mut locker = schema.conn().await?;
        locker.query_drop("FLUSH TABLES WITH READ LOCK").await?;
        held.release();
        crate::support::until::until(|| async {
            let sql = format!(
                "SELECT COUNT(*) FROM information_schema.processlist WHERE user = '{}' AND info = \
                 'COMMIT'",
                schema.user
            );
            Ok((schema.query_one::<u64>(&sql).await? == 1).then_some(()))
        })
        .await
        .context("no COMMIT is under way")?;
        held.cut();
        Ok(Self { child, locker })
    }
}

/// The query after a COMMIT whose answer is lost.
const QUESTION: Step = Step::StatementWithBoth("_objects` WHERE", "FOR UPDATE");
const LEDGER_INSERT: Step = Step::StatementWithBoth("INSERT INTO", "_objects` (");

#[apply(load_test)]
async fn a_commit_that_the_server_holds_is_waited_for(env: TestEnv) -> Result<()> {
    held_commit(env, true).await
}

/// The COMMIT ends by the server's own decision alone, which on MySQL is to commit.
#[apply(load_test)]
async fn a_commit_that_the_server_holds_is_waited_for_where_it_can_not_be_killed(
    env: TestEnv,
) -> Result<()> {
    held_commit(env, false).await
}

async fn held_commit(env: TestEnv, can_be_killed: bool) -> Result<()> {
    // The lock stops everybody.
    let server = Server::start(env.server.kind(), &[])?;
    let schema = server.schema().await?;
    let sums = one_object(&env, &schema).await?;
    let proxy = Proxy::start(server.port()).await?;
    let asked = proxy.next(QUESTION, Break::Watch);
    let sent = proxy.times(u32::MAX, LEDGER_INSERT, Break::Watch);
    let kill =
        proxy.next(Step::Statement("KILL"), if can_be_killed { Break::Watch } else { Break::Cut });
    let HeldCommit { child, mut locker } = HeldCommit::start(&env, &schema, &proxy, &[]).await?;
    asked.wait().await?;
    let is_waiting = format!(
        "SELECT COUNT(*) FROM information_schema.processlist WHERE user = '{}' AND info LIKE \
         'SELECT state%FOR UPDATE%'",
        schema.user
    );
    crate::support::until::until(|| async {
        Ok((schema.query_one::<u64>(&is_waiting).await? == 1).then_some(()))
    })
    .await
    .context("the question does not wait for the answer")?;
    ensure!(kill.count() == 1, "the connection was abandoned without a KILL");
    ensure!(sent.count() == 1, "it is loaded again before its outcome is known");
    locker.query_drop("UNLOCK TABLES").await?;
    let ended = finish(child).await?;
    ended.expect(0)?;
    let line = line(&env, "big")?;
    ensure!(line["status"] == "loaded" && line["rows"] == ROWS, "{line}\n{ended}");
    // The object is loaded again if the server rolled it back, and only then.
    ensure!(line["attempts"] == sent.count(), "{line}, sent {} times\n{ended}", sent.count());
    ensure_once(&schema, sums).await?;
    ensure_one_entry(&schema, ROWS).await
}

#[apply(load_test)]
async fn a_commit_that_the_server_holds_for_too_long_is_an_unknown_outcome_until_the_next_run(
    env: TestEnv,
) -> Result<()> {
    let server = Server::start(env.server.kind(), &[])?;
    let schema = server.schema().await?;
    let sums = one_object(&env, &schema).await?;
    let proxy = Proxy::start(server.port()).await?;
    let sent = proxy.times(u32::MAX, LEDGER_INSERT, Break::Watch);
    let short = [
        "--max-attempts",
        "2",
        "--init-sql",
        "SET lock_wait_timeout = 1, innodb_lock_wait_timeout = 1",
    ];
    let HeldCommit { child, mut locker } = HeldCommit::start(&env, &schema, &proxy, &short).await?;
    let ended = finish(child).await?;
    ended.expect(3)?;
    let unknown = line(&env, "big")?;
    ensure!(
        unknown["error"]["code"] == "outcome_unknown" && unknown["attempts"] == 1,
        "{unknown}\n{ended}"
    );
    ensure!(
        unknown["error"]["hint"].as_str().is_some_and(|hint| hint.contains("run again")),
        "{unknown}"
    );
    ensure!(sent.count() == 1, "it was loaded again all the same\n{ended}");
    locker.query_drop("UNLOCK TABLES").await?;
    locker.disconnect().await?;

    finish(through(&env, &schema, &proxy, &[]).spawn()?).await?.expect(0)?;
    ensure_once(&schema, sums).await?;
    ensure_one_entry(&schema, ROWS).await
}

/// After a deadlock the session is in autocommit: a ledger row that is written then commits without
/// any data.
#[apply(load_test)]
async fn a_transaction_that_the_server_ended_by_itself_leaves_nothing_in_the_ledger(
    env: TestEnv,
) -> Result<()> {
    env.schema
        .exec("CREATE TABLE t (id INT PRIMARY KEY, who VARCHAR(10) NOT NULL DEFAULT 'loader')")
        .await?;
    env.put("1", "1\n5\n9\n")?;
    let proxy = Proxy::start(env.server.port()).await?;
    let again = proxy.after(1, LEDGER_INSERT, Break::Hold);
    let mut other = env.schema.conn().await?;
    other.query_drop("START TRANSACTION").await?;
    // More work than the loader's, so that the server chooses the loader.
    let many: Vec<String> = (1000..3000).map(|id| format!("({id}, 'other')")).collect();
    other.query_drop(format!("INSERT INTO t VALUES (5, 'other'), {}", many.join(", "))).await?;
    let mut child = env.load_through(proxy.port(), &["--columns", "id"]).spawn()?;
    wait_for_waiting_load(&env.schema).await?;
    other.query_drop("INSERT INTO t VALUES (1, 'other')").await?;
    let log = wait_for_log(&mut child, "trying again").await?;
    again.wait().await?;
    // This connection also sees what is not committed.
    let mut dirty = env.schema.conn().await?;
    dirty.query_drop("SET SESSION TRANSACTION ISOLATION LEVEL READ UNCOMMITTED").await?;
    let sql = "SELECT (SELECT COUNT(*) FROM t WHERE who = 'loader'), (SELECT COUNT(*) FROM \
         s3_to_mysql_objects)";
    let left: Option<(u64, u64)> = dirty.query_first(sql).await?;
    ensure!(left == Some((0, 0)), "{left:?} is left of the transaction that was rolled back");
    other.query_drop("ROLLBACK").await?;
    again.release();
    finish(child).await?.expect(0)?;
    let log = log.await?;
    ensure!(log.contains("ERROR 1213 (40001)"), "{log}");
    ensure_values(
        &env.schema,
        "SELECT id, who FROM t ORDER BY id",
        &["1|loader", "5|loader", "9|loader"],
    )
    .await?;
    ensure_one_entry(&env.schema, 3).await
}

fn outcome_is_unknown(env: &TestEnv, ended: &Ended) -> Result<()> {
    ended.expect(3)?;
    ended.says("the connection was lost during COMMIT; the object may or may not be loaded")?;
    let line = line(env, "big")?;
    ensure!(line["attempts"] == 1 && line["error"]["code"] == "outcome_unknown", "{line}");
    let hint = line["error"]["hint"].as_str().context("no hint")?;
    ensure!(hint.contains("check whether the object's rows are in the table"), "{line}");
    Ok(())
}

#[apply(load_test)]
async fn a_server_killed_for_good_ends_the_run_within_the_bounds(env: TestEnv) -> Result<()> {
    let mut server = Server::start(env.server.kind(), &[])?;
    let proxy = Proxy::start(server.port()).await?;
    let held = proxy.next(Step::InfileBytes(600_000), Break::Hold);
    let child = {
        let schema = server.schema().await?;
        one_object(&env, &schema).await?;
        through(&env, &schema, &proxy, &["--max-attempts", "3", "--retry-max-elapsed", "20s"])
            .spawn()?
    };
    held.wait().await?;
    server.kill9()?;
    let ended = finish(child).await?;
    ended.expect(6)?;
    ended.says("this error ended the run: ")?;
    let line = line(&env, "big")?;
    ensure!(line["status"] == "failed" && line["attempts"] == 3, "{line}");
    env.ensure_nothing_staged()
}

#[apply(load_test)]
async fn a_server_that_comes_back_gets_every_row_once(env: TestEnv) -> Result<()> {
    let mut server = Server::start(env.server.kind(), &[])?;
    let proxy = Proxy::start(server.port()).await?;
    let held = proxy.next(Step::InfileBytes(600_000), Break::Hold);
    let (name, sums, mut child) = {
        let schema = server.schema().await?;
        let sums = one_object(&env, &schema).await?;
        let child = through(&env, &schema, &proxy, &["--max-attempts", "100"]).spawn()?;
        (schema.name.clone(), sums, child)
    };
    held.wait().await?;
    server.kill9()?;
    let log = wait_for_log(&mut child, "trying again").await?;
    tokio::task::block_in_place(|| server.restart())?;
    let ended = finish(child).await?;
    ended.expect(0).with_context(|| format!("{ended}"))?;
    log.await?;
    let mut root = server.root().await?;
    let found: Option<(u64, u64)> =
        root.query_first(hive::checksum_query(&format!("{name}.t"))).await?;
    ensure!(found == Some((sums.rows, sums.checksum)), "{found:?}");
    Ok(())
}

/// The lowest `max_connections` that MariaDB accepts.
const MAX_CONNECTIONS: usize = 10;

#[apply(load_test)]
async fn too_many_connections_are_waited_out(env: TestEnv) -> Result<()> {
    let server =
        Server::start(env.server.kind(), &[&format!("--max-connections={MAX_CONNECTIONS}")])?;
    let schema = server.schema().await?;
    schema.exec("CREATE TABLE t (a INT)").await?;
    for number in 0..30 {
        env.put(&format!("{number}"), format!("{number}\n"))?;
    }
    // There is room for the loader's preflight and a worker or two, not for eight.
    let mut others = Vec::new();
    for _ in 0..MAX_CONNECTIONS - 3 {
        others.push(schema.user_conn().await?);
    }
    let args = [
        "load",
        "s3://etl/",
        "--table",
        "t",
        "--load-concurrency",
        "8",
        "--no-batch",
        "--max-attempts",
        "4",
        "-v",
    ];
    let ended = finish(env.command(args).env("DATABASE_URL", schema.url()).spawn()?).await?;
    ended.expect(0)?;
    ended.says("Too many connections")?;
    ended.says("the server accepts no more connections")?;
    drop(others);
    let mut conn = connect_when_free(&schema).await?;
    let found: Option<(u64, u64)> =
        conn.query_first("SELECT COUNT(*), COUNT(DISTINCT a) FROM t").await?;
    ensure!(found == Some((30, 30)), "{found:?}");
    Ok(())
}

#[apply(load_test)]
async fn too_many_connections_at_the_start_are_told_with_the_remedy(env: TestEnv) -> Result<()> {
    let server =
        Server::start(env.server.kind(), &[&format!("--max-connections={MAX_CONNECTIONS}")])?;
    let schema = server.schema().await?;
    env.put("1", "1\n")?;
    let mut others = Vec::new();
    while others.len() < MAX_CONNECTIONS {
        // The last of root's own connections may still be closing.
        others.extend(schema.user_conn().await.ok());
    }
    let args = ["load", "s3://etl/", "--table", "t", "--retry-max-elapsed", "1s"];
    let ended = finish(env.command(args).env("DATABASE_URL", schema.url()).spawn()?).await?;
    ended.expect(6)?;
    ended.says("ERROR 1040")?;
    ended.says("hint: the server has as many connections as max_connections allows")
}

/// Closed connections count for a moment longer.
async fn connect_when_free(schema: &Schema<'_>) -> Result<mysql_async::Conn> {
    for _ in 0..1000 {
        if let Ok(conn) = schema.conn().await {
            return Ok(conn);
        }
        tokio::time::sleep(POLL).await;
    }
    schema.conn().await
}

/// The driver ends a failing stream with the end-of-file packet, so the server sees a complete,
/// shorter file.
#[apply(load_test)]
async fn a_file_that_breaks_off_while_it_is_sent_is_never_committed(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (a VARCHAR(1000))").await?;
    // More than all buffers on the way hold.
    env.put("big", format!("{}\n", "x".repeat(1000)).repeat(40_000))?;
    let proxy = Proxy::start(env.server.port()).await?;
    let held = proxy.next(Step::InfileBytes(600_000), Break::Hold);
    let child = through(&env, &env.schema, &proxy, &["--max-attempts", "2"]).spawn()?;
    held.wait().await?;
    // The staged file has no name, but the process that holds it open has a link to it.
    let mut shortened = 0;
    for descriptor in
        std::fs::read_dir(format!("/proc/{}/fd", child.id().context("it has ended")?))?
    {
        let path = descriptor?.path();
        if std::fs::read_link(&path).is_ok_and(|target| target.starts_with(env.path("staging"))) {
            std::fs::OpenOptions::new().write(true).open(&path)?.set_len(0)?;
            shortened += 1;
        }
    }
    ensure!(shortened == 1, "{shortened} staged files");
    held.release();
    let ended = finish(child).await?;
    ended.expect(3)?;
    ended.says("the staged file cannot be read to its end; rolled back")?;
    ensure!(line(&env, "big")?["error"]["code"] == "staging_failed");
    ensure_none(&env.schema).await
}

#[apply(load_test)]
async fn a_loader_killed_in_the_middle_of_the_file_leaves_no_row(env: TestEnv) -> Result<()> {
    one_object(&env, &env.schema).await?;
    let proxy = Proxy::start(env.server.port()).await?;
    let held = proxy.next(Step::InfileBytes(600_000), Break::Hold);
    let child = through(&env, &env.schema, &proxy, &[]).spawn()?;
    held.wait().await?;
    signal(&child, "KILL")?;
    let ended = finish(child).await?;
    ensure!(ended.code.is_none(), "{ended}");
    // The data on its way arrives, and then the connection ends without the end of the file.
    held.release();
    wait_for_no_connection(&env.schema).await?;
    ensure_none(&env.schema).await?;
    env.ensure_nothing_staged()
}

#[apply(load_test)]
async fn a_server_that_stands_still_is_left_and_the_object_loaded_again(
    env: TestEnv,
) -> Result<()> {
    env.schema.exec("CREATE TABLE t (a INT, b LONGTEXT)").await?;
    // More than the sockets' buffers hold.
    let rows = 64;
    let text = "x".repeat(512 * 1024);
    env.put("big", (0..rows).map(|row| format!("{row}\x01{text}\n")).collect::<String>())?;
    let proxy = Proxy::start(env.server.port()).await?;
    let held = proxy.next(Step::InfileBytes(600_000), Break::Hold);
    let ended =
        finish(through(&env, &env.schema, &proxy, &["--stall-timeout", "2s"]).spawn()?).await?;
    ended.expect(0)?;
    ensure!(held.count() == 1, "{ended}");
    // The server gives the connection up, and either side may notice that first.
    ensure!(
        ended.stderr.contains("the server no longer has this connection")
            || ended.stderr.contains("the connection was lost before COMMIT"),
        "{ended}"
    );
    ensure!(line(&env, "big")?["attempts"] == 2, "{ended}");
    // The stalled session is gone although its socket is still open here.
    wait_for_no_connection(&env.schema).await?;
    ensure_values(&env.schema, "SELECT COUNT(*), COUNT(DISTINCT a) FROM t", &["64|64"]).await
}

#[apply(load_test)]
async fn a_session_on_which_something_failed_is_not_used_again(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (a INT, connection BIGINT)").await?;
    env.schema
        .exec("CREATE TABLE connections (n INT AUTO_INCREMENT PRIMARY KEY, id BIGINT)")
        .await?;
    env.put("1", "1\n")?;
    env.put("2-bad", "x\n")?;
    env.put("3", "3\n")?;
    env.put("4", "4\n")?;
    let args = [
        "--load-concurrency",
        "1",
        "--columns",
        "@a",
        "--set",
        "a=@a",
        "--set",
        "connection=CONNECTION_ID()",
    ];
    // The ledger would have connections of its own.
    let serial = ["--download-concurrency", "1", "--no-ledger"];
    let note = ["--init-sql", "INSERT INTO connections (id) VALUES (CONNECTION_ID())"];
    env.load_ending(3, "t", &[&args[..], &serial[..], &note[..]].concat()).await?;
    // The preflight's, the one that failed at its second object, and its replacement.
    ensure_values(&env.schema, "SELECT COUNT(*), COUNT(DISTINCT id) FROM connections", &["3|3"])
        .await?;
    let used = "SELECT a, n - (SELECT MIN(n) FROM connections) FROM t JOIN connections ON id = \
         connection ORDER BY a";
    ensure_values(&env.schema, used, &["1|1", "3|2", "4|2"]).await
}

/// Runs `load` into a rogue server. The object's text is in `a.csv`.
async fn load_into(rogue: &Rogue, object: &str, args: &[&str]) -> Result<Ended> {
    let endpoint = crate::support::s3::Endpoint::start(
        crate::support::s3::Backend::new().with_bucket(crate::support::program::BUCKET),
    )?;
    endpoint.backend().put(crate::support::program::BUCKET, "a", object.to_owned())?;
    let home = tempfile::tempdir()?;
    let mut command = crate::support::program::bare_command(home.path());
    command
        .env("AWS_ACCESS_KEY_ID", crate::support::s3::ACCESS_KEY)
        .env("AWS_SECRET_ACCESS_KEY", crate::support::s3::SECRET_KEY)
        .env("AWS_REGION", crate::support::s3::REGION)
        .env("AWS_ENDPOINT_URL", endpoint.url())
        .env("DATABASE_URL", rogue.url())
        .env("S3_TO_MYSQL_STAGING_DIR", home.path())
        .args(["load", "s3://etl/", "--table", "t", "--no-ledger", "--max-attempts", "2"])
        .args(args);
    let (ended, peak_kib) = finish_with_peak(command.spawn()?).await?;
    ensure!(peak_kib < 600 * 1024, "the run took {peak_kib} KiB of memory");
    Ok(ended)
}

#[apply(plain_test)]
async fn an_answer_of_the_server_without_an_end_is_given_up_at_a_size() -> Result<()> {
    const ALL: [&[Malice]; 2] = [
        &[Malice { statement: "SHOW GLOBAL VARIABLES", after: 0, what: Answer::Endless }],
        &[Malice { statement: "SELECT TABLE_SCHEMA", after: 0, what: Answer::Endless }],
    ];
    for malice in ALL {
        let rogue = Rogue::start(malice).await?;
        let ended = load_into(&rogue, "1\n2\n3\n", &[]).await?;
        ended.expect(6)?;
        ended.says("the server's answer is larger than 256 MiB")?;
    }
    Ok(())
}

/// Also where the program wants nothing but OK.
#[apply(plain_test)]
async fn answers_without_an_end_are_given_up_at_a_number_or_a_size() -> Result<()> {
    const PARTS: &str = "the server's answer has more than 1000 parts";
    const SIZE: &str = "the server's answer is larger than 256 MiB";
    const ALL: [(&[Malice], &str); 10] = [
        (&[Malice { statement: "SET SESSION", after: 0, what: Answer::EndlessOk }], PARTS),
        (&[Malice { statement: "SELECT VERSION()", after: 0, what: Answer::EndlessOk }], PARTS),
        (&[Malice { statement: "SELECT TABLE_SCHEMA", after: 0, what: Answer::EndlessOk }], PARTS),
        (&[Malice { statement: "START TRANSACTION", after: 0, what: Answer::EndlessOk }], PARTS),
        (&[Malice { statement: "LOAD DATA", after: 0, what: Answer::EndlessOk }], PARTS),
        (&[Malice { statement: "LOAD DATA", after: 1, what: Answer::EndlessOk }], PARTS),
        (&[Malice { statement: "ROLLBACK", after: 0, what: Answer::EndlessOk }], PARTS),
        (&[Malice { statement: "COMMIT", after: 0, what: Answer::EndlessOk }], PARTS),
        (&[Malice { statement: "LOAD DATA", after: 1, what: Answer::Endless }], SIZE),
        (&[Malice { statement: "COMMIT", after: 0, what: Answer::Endless }], SIZE),
    ];
    for (malice, limit) in ALL {
        let rogue = Rogue::start(malice).await?;
        let began = std::time::Instant::now();
        let ended = load_into(&rogue, "1\n2\n3\n", &[]).await;
        let ended = ended.with_context(|| format!("{malice:?}"))?;
        ensure!(ended.code.is_some_and(|code| code != 0), "{malice:?}\n{ended}");
        ended.says(limit).with_context(|| format!("{malice:?}"))?;
        ensure!(began.elapsed().as_secs() < 60, "{malice:?}: {:?}", began.elapsed());
    }
    Ok(())
}

#[apply(plain_test)]
async fn a_server_that_asks_for_another_file_gets_the_object_and_nothing_else() -> Result<()> {
    const MALICE: &[Malice] =
        &[Malice { statement: "LOAD DATA", after: 0, what: Answer::AskFor("/etc/hostname") }];
    let rogue = Rogue::start(MALICE).await?;
    load_into(&rogue, "1\n2\n3\n", &[]).await?.expect(0)?;
    let received: Vec<Vec<u8>> =
        rogue.received().into_iter().map(|received| received.bytes).collect();
    // The preflight's empty file, then the object.
    ensure!(received == [b"".to_vec(), b"1\n2\n3\n".to_vec()], "{received:?}");
    Ok(())
}

#[apply(plain_test)]
async fn a_server_that_asks_for_a_file_out_of_turn_gets_nothing() -> Result<()> {
    const SECRET: Answer = Answer::AskFor("/etc/hostname");
    // Every statement that a run sends, before and after the object is known.
    const ALL: [&[Malice]; 8] = [
        &[Malice { statement: "SELECT TABLE_SCHEMA", after: 0, what: SECRET }],
        &[Malice { statement: "SHOW GLOBAL VARIABLES", after: 0, what: SECRET }],
        &[Malice { statement: "SELECT VERSION()", after: 0, what: SECRET }],
        &[Malice { statement: "SET SESSION", after: 0, what: SECRET }],
        &[Malice { statement: "START TRANSACTION", after: 0, what: SECRET }],
        &[Malice { statement: "COMMIT", after: 0, what: SECRET }],
        &[Malice { statement: "ROLLBACK", after: 0, what: SECRET }],
        &[
            Malice { statement: "SHOW WARNINGS", after: 0, what: SECRET },
            Malice {
                statement: "LOAD DATA",
                after: 0,
                what: Answer::Ok("Records: 3  Deleted: 0  Skipped: 0  Warnings: 1"),
            },
        ],
    ];
    for malice in ALL {
        let rogue = Rogue::start(malice).await?;
        let ended = load_into(&rogue, "1\n2\n3\n", &[]).await?;
        ensure!(ended.code.is_some_and(|code| code != 0), "{malice:?}\n{ended}");
        let asked: Vec<Received> = rogue
            .received()
            .into_iter()
            .filter(|received| !received.statement.starts_with("LOAD DATA"))
            .collect();
        ensure!(!asked.is_empty(), "{malice:?} was never used:\n{:#?}", rogue.statements());
        ensure!(asked.iter().all(|received| received.bytes.is_empty()), "{asked:#?}");
    }
    Ok(())
}

#[apply(plain_test)]
async fn a_server_that_did_not_take_the_file_does_not_get_it_later() -> Result<()> {
    // After the preflight, which has no file to give.
    const LATER: Answer = Answer::AskFor("s3-to-mysql");
    const OK: Malice = Malice {
        statement: "LOAD DATA",
        after: 1,
        what: Answer::Ok("Records: 3  Deleted: 0  Skipped: 0  Warnings: 0"),
    };
    const ERROR: Malice = Malice { statement: "LOAD DATA", after: 1, what: Answer::Error };
    const ALL: [&[Malice]; 2] = [
        &[
            OK,
            Malice { statement: "ROLLBACK", after: 1, what: LATER },
            Malice { statement: "COMMIT", after: 0, what: LATER },
        ],
        &[
            ERROR,
            Malice { statement: "ROLLBACK", after: 1, what: LATER },
            Malice { statement: "COMMIT", after: 0, what: LATER },
        ],
    ];
    for malice in ALL {
        let rogue = Rogue::start(malice).await?;
        let ended = load_into(&rogue, "1\n2\n3\n", &[]).await?;
        ensure!(ended.code.is_some_and(|code| code != 0), "{malice:?}\n{ended}");
        ensure!(rogue.received().len() > 1, "it was never asked for:\n{:#?}", rogue.statements());
        ensure!(
            rogue.received().iter().all(|received| received.bytes.is_empty()),
            "{:#?}",
            rogue.received()
        );
    }
    Ok(())
}

#[apply(plain_test)]
async fn an_answer_with_other_columns_or_text_that_is_not_utf8_is_an_error() -> Result<()> {
    const ALL: [&[Malice]; 10] = [
        &[Malice { statement: "SELECT VERSION()", after: 0, what: Answer::OneColumn }],
        &[Malice { statement: "SHOW GLOBAL VARIABLES", after: 0, what: Answer::OneColumn }],
        &[Malice { statement: "SHOW SESSION VARIABLES", after: 0, what: Answer::OneColumn }],
        &[Malice { statement: "SELECT TABLE_SCHEMA", after: 0, what: Answer::OneColumn }],
        &[Malice { statement: "SELECT COLUMN_NAME", after: 0, what: Answer::OneColumn }],
        &[Malice { statement: "SELECT VERSION()", after: 0, what: Answer::NotUtf8(3) }],
        &[Malice { statement: "SHOW GLOBAL VARIABLES", after: 0, what: Answer::NotUtf8(2) }],
        &[Malice { statement: "SELECT TABLE_SCHEMA", after: 0, what: Answer::NotUtf8(5) }],
        &[Malice { statement: "SELECT COLUMN_NAME", after: 0, what: Answer::NotUtf8(3) }],
        &[
            Malice { statement: "SHOW WARNINGS", after: 0, what: Answer::OneColumn },
            Malice {
                statement: "LOAD DATA",
                after: 1,
                what: Answer::Ok("Records: 1  Deleted: 0  Skipped: 0  Warnings: 1"),
            },
        ],
    ];
    for malice in ALL {
        let rogue = Rogue::start(malice).await?;
        let ended = load_into(&rogue, "1\n", &[]).await?;
        ensure!(matches!(ended.code, Some(3 | 6)), "{malice:?}\n{ended}");
        ensure!(!ended.stderr.contains("panicked"), "{malice:?}\n{ended}");
    }
    Ok(())
}
