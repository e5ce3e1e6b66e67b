//! Throughput limits: connections, rates and pauses.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::registry::{apply, load_test};
use crate::support::hive;
use crate::support::program::{TestEnv, finish};
use crate::support::proxy::{Break, Proxy, Step};
use crate::support::s3::Operation;
use crate::support::servers::ServerKind;

/// Every object gets a transaction of its own.
const ONE_BY_ONE: [&str; 1] = ["--no-batch"];

fn put_small_objects(env: &TestEnv, objects: u64) -> Result<()> {
    (0..objects).try_for_each(|number| env.put(&format!("{number:02}"), format!("{number}\n")))
}

/// Returns the command for `load` through the proxy.
fn load_through(env: &TestEnv, proxy: &Proxy, args: &[&str]) -> tokio::process::Command {
    let mut command = env.command(["load", "s3://etl/", "--table", "t", "--ssl-mode", "DISABLED"]);
    command.args(["--port", &proxy.port().to_string()]).args(ONE_BY_ONE).args(args);
    command
}

/// Returns the number of the program's connections to the server.
async fn connections(env: &TestEnv) -> Result<u64> {
    let user = &env.schema.user;
    let sql = format!("SELECT COUNT(*) FROM information_schema.processlist WHERE user = '{user}'");
    env.schema.query_one(&sql).await
}

#[apply(load_test)]
async fn a_run_begins_with_all_of_its_connections(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (a INT)").await?;
    put_small_objects(&env, 20)?;
    let proxy = Proxy::start(env.server.port()).await?;
    let ends = proxy.times(100, Step::InfileEnd, Break::Hold);
    let running = load_through(&env, &proxy, &["--load-concurrency", "4"]).spawn()?;
    while ends.count() < 4 {
        ends.wait().await?;
        tokio::task::yield_now().await;
    }
    // The four that load, and the ledger's. A fifth loading connection would be open by now, since
    // sixteen objects wait.
    for _ in 0..50 {
        ensure!(connections(&env).await? <= 5 && ends.count() == 4, "{} load", ends.count());
    }
    ends.remove();
    let ended = finish(running).await?;
    ended.expect(0)?;
    ensure!(env.count("t").await? == 20);
    Ok(())
}

#[apply(load_test)]
async fn no_more_connections_load_than_are_allowed(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (a INT, connection BIGINT)").await?;
    put_small_objects(&env, 40)?;
    for (most, more) in [(1, "1"), (3, "3")] {
        env.schema.exec("TRUNCATE TABLE t").await?;
        let args = [
            "--columns",
            "a",
            "--set",
            "connection = CONNECTION_ID()",
            "--load-concurrency",
            more,
            "--force",
        ];
        env.load_ending(0, "t", &[&ONE_BY_ONE[..], &args].concat()).await?;
        let (rows, connections): (u64, u64) =
            env.schema.query_one("SELECT COUNT(*), COUNT(DISTINCT connection) FROM t").await?;
        ensure!(
            rows == 40 && connections <= most,
            "{rows} rows on {connections} connections, of {most}"
        );
    }
    Ok(())
}

#[apply(load_test)]
async fn a_table_that_is_loaded_one_statement_at_a_time_gets_one_connection(
    env: TestEnv,
) -> Result<()> {
    env.schema
        .exec("CREATE TABLE t (n INT AUTO_INCREMENT PRIMARY KEY, a INT, connection BIGINT)")
        .await?;
    put_small_objects(&env, 20)?;
    let proxy = Proxy::start(env.server.port()).await?;
    let ends = proxy.times(100, Step::InfileEnd, Break::Hold);
    let args =
        ["--columns", "a", "--set", "connection = CONNECTION_ID()", "--load-concurrency", "4"];
    let running = load_through(&env, &proxy, &args).spawn()?;
    ends.wait().await?;
    let (serialised,): (bool,) =
        env.schema.query_one("SELECT @@innodb_autoinc_lock_mode <> 2").await?;
    ensure!(
        serialised == (env.server.kind() == ServerKind::Mariadb),
        "the server is not as these tests expect it"
    );
    if !serialised {
        while ends.count() < 4 {
            tokio::task::yield_now().await;
        }
    }
    ends.remove();
    let ended = finish(running).await?;
    ended.expect(0)?;
    let (rows, connections): (u64, u64) =
        env.schema.query_one("SELECT COUNT(*), COUNT(DISTINCT connection) FROM t").await?;
    ensure!(
        rows == 20 && (connections == 1) == serialised,
        "{rows} rows on {connections} connections"
    );
    ensure!(
        ended.stderr.contains("so loads wait for each other: only one connection loads")
            == serialised,
        "{ended}"
    );
    Ok(())
}

#[apply(load_test)]
async fn a_rate_bounds_what_is_read_by_the_whole_run(env: TestEnv) -> Result<()> {
    env.schema.exec(&hive::create_table("t")).await?;
    let mut bytes = 0;
    for number in 0..4 {
        let (object, sums) = hive::object(number * 3000, (number + 1) * 3000);
        bytes += sums.bytes;
        env.put(&format!("{number}"), object)?;
    }
    // The whole takes two seconds at this rate.
    let rate = (bytes / 2).to_string();
    let started = Instant::now();
    env.load_ending(0, "t", &["--preset", "hive", "--max-rate", &rate]).await?;
    let elapsed = started.elapsed();
    ensure!(
        elapsed >= Duration::from_millis(1500),
        "{bytes} bytes at {rate} a second took {elapsed:?}"
    );
    ensure!(env.count("t").await? == 12_000);
    Ok(())
}

#[apply(load_test)]
async fn a_rate_is_no_stall(env: TestEnv) -> Result<()> {
    env.schema.exec(&hive::create_table("t")).await?;
    let (object, sums) = hive::object(0, 3000);
    let rate = (sums.bytes / 3).to_string();
    env.put("1", object)?;
    let args =
        ["--preset", "hive", "--max-rate", &rate, "--stall-timeout", "1s", "--max-attempts", "1"];
    env.load_ending(0, "t", &args).await?;
    ensure!(env.s3.log().of(Operation::GetObject).len() == 1);
    let found: (u64, u64) = env.schema.query_one(&hive::checksum_query("t")).await?;
    ensure!(found == (sums.rows, sums.checksum), "{found:?}");
    Ok(())
}

#[apply(load_test)]
async fn files_that_share_hot_keys_all_end_well(env: TestEnv) -> Result<()> {
    const FILES: u32 = 8;
    const HOT: u32 = 2000;
    const OWN: u32 = 30_000;
    let mut random = fastrand::Rng::with_seed(5);
    for file in 0..FILES {
        let own = (1 + file) * OWN..(2 + file) * OWN;
        let mut keys: Vec<u32> = (0..HOT).chain(own).collect();
        random.shuffle(&mut keys);
        let text: String = keys.iter().map(|key| format!("{key}\t{}\n", key % 100)).collect();
        env.put(&format!("{file}"), text)?;
    }
    let rows = u64::from(HOT + FILES * OWN);
    for how in ["ignore", "replace"] {
        env.schema.exec("DROP TABLE IF EXISTS t").await?;
        env.schema.exec("CREATE TABLE t (a INT PRIMARY KEY, b INT NOT NULL)").await?;
        let args = ["--on-duplicate", how, "--load-concurrency", "8", "--force", "-v"];
        let ended = env.load_ending(0, "t", &[&ONE_BY_ONE[..], &args].concat()).await?;
        let found: (u64, u64) =
            env.schema.query_one("SELECT COUNT(*), SUM(a % 100 = b) FROM t").await?;
        ensure!(found == (rows, rows), "{found:?}");
        let retries = ended.stderr.matches("trying again").count();
        let falls = ended.stderr.matches("transactions conflicted over locks").count();
        ensure!(retries <= 16, "{retries} retries\n{ended}");
        ensure!((retries > 0) <= (falls > 0), "{ended}");
    }
    Ok(())
}
