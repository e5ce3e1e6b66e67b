//! Servers that stop answering and links that lose packets: a run ends, and says which server it
//! waits for; a statement that takes long is waited for.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use mysql_async::prelude::Queryable as _;
use tokio::process::Command;

use crate::registry::{apply, load_test};
use crate::support::hive;
use crate::support::program::{TestEnv, finish, signal, wait_for_log};
use crate::support::proxy::{Break, Proxy, Step};
use crate::support::servers::{Schema, Server};
use crate::support::until::until;
use crate::transaction::wait_for_waiting;

const LEDGER_INSERT: Step = Step::StatementWithBoth("INSERT INTO", "_objects` (");
const LEDGER_UPDATE: Step = Step::StatementWithBoth("UPDATE", "_objects` SET");

/// The limits of most runs here.
const IMPATIENT: [&str; 6] =
    ["--stall-timeout", "1s", "--connect-timeout", "1s", "--max-attempts", "2"];

/// The time that an impatient run may take to give a server up, on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

const OBJECTS: u64 = 3;

/// Puts the objects in the bucket, and returns the number of their rows and their checksum.
fn put_objects(env: &TestEnv) -> Result<(u64, u64)> {
    let mut sums = (0, 0);
    for number in 0..OBJECTS {
        let (bytes, object) = hive::object(number * 1000, (number + 1) * 1000);
        env.put(&format!("{number}"), bytes)?;
        sums = (sums.0 + object.rows, sums.1 + object.checksum);
    }
    Ok(sums)
}

/// Returns the command that loads through the proxy.
fn load(env: &TestEnv, schema: &Schema<'_>, port: u16, args: &[&str]) -> Command {
    let port = port.to_string();
    let base = ["load", "s3://etl/", "--table", "t", "--preset", "hive", "--ssl-mode", "DISABLED"];
    let mut command = env.command(base.iter().chain(&["--port", &port]).chain(args));
    command.env("DATABASE_URL", schema.url());
    command
}

async fn ensure_loaded_once(schema: &Schema<'_>, sums: (u64, u64)) -> Result<()> {
    let found: (u64, u64) = schema.query_one(&hive::checksum_query("t")).await?;
    ensure!(found == sums, "{found:?} rows and checksum, not {sums:?}");
    let objects: u64 =
        schema.query_one("SELECT COUNT(*) FROM s3_to_mysql_objects WHERE state = 'loaded'").await?;
    ensure!(objects == OBJECTS, "{objects} objects in the ledger");
    Ok(())
}

/// A server that stands still until this is dropped.
struct Frozen<'server>(&'server Server);

impl<'server> Frozen<'server> {
    fn new(server: &'server Server) -> Result<Self> {
        server.stop()?;
        Ok(Self(server))
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        let _ = self.0.cont();
    }
}

#[apply(load_test)]
async fn a_server_that_freezes_ends_the_run_and_the_next_run_loads_the_rest(
    env: TestEnv,
) -> Result<()> {
    let server = Server::start(env.server.kind(), &[])?;
    let sums = put_objects(&env)?;
    for (what, step) in [
        ("preflight", Step::StatementWith("FROM information_schema.TABLES")),
        ("rehearsal", Step::Statement("LOAD DATA")),
        ("making the ledger", Step::Statement("CREATE TABLE")),
        ("the run's row", Step::StatementWithBoth("GET_LOCK", "INSERT IGNORE")),
        ("the object's row", LEDGER_INSERT),
        ("the file", Step::InfileBytes(1000)),
        ("the object's end", LEDGER_UPDATE),
        ("commit", Step::LoadCommit),
        ("the run's end", Step::StatementWithBoth("UPDATE", "_runs`")),
    ] {
        let schema = server.schema().await?;
        schema.exec(&hive::create_table("t")).await?;
        let proxy = Proxy::start(server.port()).await?;
        // Held, so that it does not get past this step before the server is frozen.
        let reached = proxy.next(step, Break::Hold);
        let child = load(&env, &schema, proxy.port(), &IMPATIENT).spawn()?;
        reached.wait().await.context(what)?;
        let frozen = Frozen::new(&server)?;
        reached.release();
        let began = Instant::now();
        let ended = finish(child).await.context(what)?;
        let elapsed = began.elapsed();
        drop(frozen);
        ensure!(elapsed < LIMIT, "{what}: {elapsed:?}\n{ended}");
        // The server may have answered the last statement before it froze.
        if what != "the run's end" {
            ensure!(matches!(ended.code, Some(3 | 6)), "{what}: {ended}");
            let name = format!("{}@127.0.0.1:{}", schema.user, proxy.port());
            ended.says(&name).context(what)?;
            ensure!(
                ended.stderr.contains("has not answered")
                    || ended.stderr.contains("no connection within"),
                "{what}: {ended}"
            );
        }
        let rerun = load(&env, &schema, server.port(), &[]).spawn()?;
        finish(rerun).await?.expect(0).context(what)?;
        ensure_loaded_once(&schema, sums).await.context(what)?;
    }
    Ok(())
}

#[apply(load_test)]
async fn a_second_signal_ends_a_run_whose_server_is_frozen(env: TestEnv) -> Result<()> {
    let server = Server::start(env.server.kind(), &[])?;
    let sums = put_objects(&env)?;
    for (what, step) in [
        ("making the ledger", Step::Statement("CREATE TABLE")),
        ("the file", Step::InfileBytes(1000)),
        ("commit", Step::LoadCommit),
        ("the run's end", Step::StatementWithBoth("UPDATE", "_runs`")),
    ] {
        let schema = server.schema().await?;
        schema.exec(&hive::create_table("t")).await?;
        let proxy = Proxy::start(server.port()).await?;
        // Held, so that it does not get past this step before the server is frozen.
        let reached = proxy.next(step, Break::Hold);
        let mut child = load(&env, &schema, proxy.port(), &[]).spawn()?;
        reached.wait().await.context(what)?;
        let frozen = Frozen::new(&server)?;
        reached.release();
        signal(&child, "TERM")?;
        let log = wait_for_log(&mut child, "stopping: ").await.context(what)?;
        let began = Instant::now();
        signal(&child, "TERM")?;
        let status = tokio::time::timeout(Duration::from_secs(20), child.wait()).await;
        let elapsed = began.elapsed();
        drop(frozen);
        let status = status.with_context(|| format!("{what}: it did not end"))??;
        ensure!(status.code() == Some(143), "{what}: {status}\n{}", log.await?);
        ensure!(elapsed < Duration::from_secs(12), "{what}: {elapsed:?}");
        let rerun = load(&env, &schema, server.port(), &[]).spawn()?;
        finish(rerun).await?.expect(0).context(what)?;
        ensure_loaded_once(&schema, sums).await.context(what)?;
    }
    Ok(())
}

/// The system accepts connections in place of a frozen server, so a login waits for its greeting
/// or for the answer to the name.
#[apply(load_test)]
async fn a_second_signal_ends_a_run_whose_server_is_frozen_during_a_login(
    env: TestEnv,
) -> Result<()> {
    let server = Server::start(env.server.kind(), &[])?;
    let sums = put_objects(&env)?;
    // The first login is the preflight's, the later ones are those of the ledger and the loads.
    for (what, skip, step) in [
        ("first greeting", 0, Step::Connect),
        ("first answer", 0, Step::Login),
        ("second greeting", 1, Step::Connect),
        ("second answer", 1, Step::Login),
        ("third greeting", 2, Step::Connect),
        ("third answer", 2, Step::Login),
    ] {
        let schema = server.schema().await?;
        schema.exec(&hive::create_table("t")).await?;
        let proxy = Proxy::start(server.port()).await?;
        let reached = proxy.after(skip, step, Break::Hold);
        // A login alone may take this long.
        let patient = ["--connect-timeout", "10m", "--load-concurrency", "2", "--no-batch"];
        let mut child = load(&env, &schema, proxy.port(), &patient).spawn()?;
        reached.wait().await.context(what)?;
        let frozen = Frozen::new(&server)?;
        reached.release();
        let began = Instant::now();
        signal(&child, "INT")?;
        // The first signal may end the run already.
        tokio::time::sleep(Duration::from_millis(500)).await;
        if child.try_wait()?.is_none() {
            signal(&child, "INT")?;
        }
        let status = tokio::time::timeout(Duration::from_secs(20), child.wait()).await;
        let elapsed = began.elapsed();
        drop(frozen);
        let status = status.with_context(|| format!("{what}: it did not end"))??;
        ensure!(status.code() == Some(130), "{what}: {status}");
        ensure!(elapsed < Duration::from_secs(12), "{what}: {elapsed:?}");
        let rerun = load(&env, &schema, server.port(), &[]).spawn()?;
        finish(rerun).await?.expect(0).context(what)?;
        ensure_loaded_once(&schema, sums).await.context(what)?;
    }
    Ok(())
}

/// The connection that reaches the step hears nothing any more, and the server hears nothing of it.
/// Other connections work.
#[apply(load_test)]
async fn a_connection_whose_packets_are_dropped_is_left_and_the_run_goes_on(
    env: TestEnv,
) -> Result<()> {
    let sums = put_objects(&env)?;
    for (what, step, how) in [
        ("making the ledger", Step::Statement("CREATE TABLE"), Break::HoldAnswer),
        ("the object's row", LEDGER_INSERT, Break::Hold),
        ("the answer to the object's row", LEDGER_INSERT, Break::HoldAnswer),
        ("the file", Step::InfileBytes(1000), Break::Hold),
        ("the answer to the file", Step::InfileEnd, Break::HoldAnswer),
        ("the object's end", LEDGER_UPDATE, Break::Hold),
        ("commit", Step::LoadCommit, Break::Hold),
        ("the answer to commit", Step::LoadCommit, Break::HoldAnswer),
        ("claims", Step::StatementWith("GET_LOCK(n, 0)"), Break::HoldAnswer),
    ] {
        let schema = env.server.schema().await?;
        schema.exec(&hive::create_table("t")).await?;
        let proxy = Proxy::start(env.server.port()).await?;
        let dropped = proxy.next(step, how);
        let began = Instant::now();
        let patient = ["--stall-timeout", "1s", "--connect-timeout", "5s"];
        let child = load(&env, &schema, proxy.port(), &patient).spawn()?;
        let ended = finish(child).await.context(what)?;
        let elapsed = began.elapsed();
        ensure!(dropped.count() == 1, "{what}: nothing was dropped: {ended}");
        ensure!(elapsed < LIMIT, "{what}: {elapsed:?}\n{ended}");
        let is_before_the_ledger = what == "making the ledger";
        if is_before_the_ledger {
            ensure!(ended.code != Some(0), "{what}: {ended}");
            ended.says("has not answered").context(what)?;
            let rerun = load(&env, &schema, env.server.port(), &[]).spawn()?;
            finish(rerun).await?.expect(0).context(what)?;
        } else {
            ended.expect(0).context(what)?;
        }
        ensure_loaded_once(&schema, sums).await.context(what)?;
    }
    Ok(())
}

#[apply(load_test)]
async fn a_statement_that_takes_long_is_waited_for(env: TestEnv) -> Result<()> {
    let impatient = ["--stall-timeout", "1s", "--connect-timeout", "5s", "--max-attempts", "1"];
    let long = Duration::from_secs(6);
    env.schema.exec("CREATE TABLE slow (id INT PRIMARY KEY, n INT, KEY (n))").await?;
    let rows: String = (0..60).map(|id| format!("{id}\t{id}\n")).collect();
    env.put("1", rows)?;

    // LOAD DATA itself, after all bytes are sent.
    let began = Instant::now();
    let args = ["load", "s3://etl/", "--table", "slow", "--columns", "id,@n"];
    let set = ["--set", "n = @n + SLEEP(0.11)"];
    env.run(&[&args[..], &set[..], &impatient[..]].concat()).await?.expect(0)?;
    ensure!(began.elapsed() > long, "it was not slow");

    // A metadata lock, before the TRUNCATE and before the load.
    let mut locker = env.schema.conn().await?;
    locker.query_drop("LOCK TABLES slow WRITE").await?;
    let args = ["load", "s3://etl/", "--table", "slow", "--mode", "truncate", "--columns", "id,n"];
    let child = env.command([&args[..], &impatient[..4]].concat()).spawn()?;
    let waiting = format!(
        "SELECT COUNT(*) FROM information_schema.processlist WHERE user = '{}' AND state LIKE \
         'Waiting for table%'",
        env.schema.user
    );
    until(|| async { Ok((env.schema.query_one::<u64>(&waiting).await? > 0).then_some(())) })
        .await?;
    tokio::time::sleep(long).await;
    locker.query_drop("UNLOCK TABLES").await?;
    finish(child).await?.expect(0)?;

    // The lock of a row.
    locker.query_drop("START TRANSACTION").await?;
    locker.query_drop("DELETE FROM slow WHERE id = 5").await?;
    let args = ["load", "s3://etl/", "--table", "slow", "--force", "--columns", "id,n"];
    let more = ["--on-duplicate", "ignore"];
    let child = env.command([&args[..], &more[..], &impatient[..]].concat()).spawn()?;
    wait_for_waiting(&env.schema, "LOAD DATA").await?;
    tokio::time::sleep(long).await;
    locker.query_drop("ROLLBACK").await?;
    let ended = finish(child).await?;
    ended.expect(0)?;
    ensure!(env.count("slow").await? == 60);
    ensure!(!ended.stderr.contains("trying again"), "{ended}");
    Ok(())
}

/// Thread numbers restart when a server restarts.
#[apply(load_test)]
async fn threads_of_others_are_not_killed_after_a_restart(env: TestEnv) -> Result<()> {
    let mut server = Server::start(env.server.kind(), &[])?;
    put_objects(&env)?;
    let proxy = Proxy::start(server.port()).await?;
    let (url, user, name) = {
        let schema = server.schema().await?;
        schema.exec(&hive::create_table("t")).await?;
        (schema.url(), schema.user.clone(), schema.name.clone())
    };
    let held = proxy.next(Step::LoadCommit, Break::Hold);
    let port = proxy.port().to_string();
    let base = ["load", "s3://etl/", "--table", "t", "--preset", "hive", "--ssl-mode", "DISABLED"];
    let mut command = env.command(base.iter().chain(&["--port", &port, "--no-batch"]));
    let child = command.env("DATABASE_URL", &url).spawn()?;
    held.wait().await?;
    signal(&child, "STOP")?;
    tokio::task::block_in_place(|| server.kill9())?;
    held.cut();
    tokio::task::block_in_place(|| server.restart())?;
    let mut innocent = Vec::new();
    for _ in 0..40 {
        innocent.push(server.user_conn(&user, &name).await?);
    }
    signal(&child, "CONT")?;
    finish(child).await?.expect(0)?;
    for conn in &mut innocent {
        let id = conn.id();
        conn.query_drop("DO 1").await.with_context(|| format!("thread {id} was killed"))?;
    }
    let mut conn = server.user_conn(&user, &name).await?;
    let rows: Option<u64> = conn.query_first("SELECT COUNT(*) FROM t").await?;
    ensure!(rows == Some(OBJECTS * 1000), "{rows:?}");
    Ok(())
}
