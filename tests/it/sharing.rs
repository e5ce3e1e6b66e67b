//! Several runs on one target at once: they share the work, none loads what another has, and the
//! end of one harms no other.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use mysql_async::prelude::Queryable as _;
use serde_json::Value;
use tokio::process::Child;

use crate::registry::{apply, load_test};
use crate::support::program::{Ended, TestEnv, finish, signal};
use crate::support::proxy::{Break, Proxy, Step};
use crate::support::s3::Operation;
use crate::support::values::ensure_values;
use crate::transaction::wait_for_waiting;

/// Starts a run of its own, with a report `NAME.jsonl`.
fn start(env: &TestEnv, name: &str, args: &[&str]) -> Result<Child> {
    let report = env.path(&format!("{name}.jsonl"));
    let mut command = env.command(["load", "s3://etl/", "--table", "t", "--report"]);
    Ok(command.arg(report).args(args).spawn()?)
}

/// Starts a run through the proxy.
fn start_through(env: &TestEnv, proxy: &Proxy, name: &str, args: &[&str]) -> Result<Child> {
    let port = proxy.port().to_string();
    start(env, name, &[&["--port", &port, "--ssl-mode", "DISABLED"], args].concat())
}

/// Returns the keys that have this status in a run's report. The last line of a killed run may be
/// cut.
fn keys(env: &TestEnv, name: &str, status: &str) -> Result<BTreeSet<String>> {
    let report = format!("{name}.jsonl");
    // A killed run leaves its lines under the temporary name.
    let report = env.partial(&report).unwrap_or(report);
    let text = std::fs::read_to_string(env.path(&report))?;
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let mut keys = BTreeSet::new();
    for line in whole.lines() {
        let line: Value = serde_json::from_str(line).context("a line of the report is not JSON")?;
        if line["type"] == "object" && line["status"] == status {
            let key = line["key"].as_str().context("no key")?.to_owned();
            ensure!(keys.insert(key), "{name} tells of a key twice: {line}");
        }
    }
    Ok(keys)
}

/// Requires that every object of [`put_small_objects`] is in the table once, and in the ledger.
async fn ensure_all_loaded_once(env: &TestEnv, objects: u64) -> Result<()> {
    let rows = objects * ROWS;
    let table = format!("{rows}|{rows}|{}", (rows - 1) * rows / 2);
    ensure_values(&env.schema, "SELECT COUNT(*), COUNT(DISTINCT a), SUM(a) FROM t", &[&table])
        .await?;
    let ledger = format!("{objects}|{rows}");
    ensure_values(
        &env.schema,
        "SELECT COUNT(*), SUM(row_count) FROM s3_to_mysql_objects WHERE state = 'loaded'",
        &[&ledger],
    )
    .await
}

const ROWS: u64 = 20;

/// Puts `count` objects of [`ROWS`] rows with distinct numbers, and creates a table without a key,
/// so that a row that is loaded twice shows.
async fn put_small_objects(env: &TestEnv, count: u64) -> Result<()> {
    env.schema.exec("CREATE TABLE t (a INT NOT NULL, b VARCHAR(20) NOT NULL)").await?;
    for number in 0..count {
        let rows = number * ROWS..(number + 1) * ROWS;
        env.put(
            &format!("in/{number:05}"),
            rows.map(|a| format!("{a}\tsome text\n")).collect::<String>(),
        )?;
    }
    Ok(())
}

async fn loaded_objects(conn: &mut mysql_async::Conn) -> Result<u64> {
    // The table does not exist until the first run has created it.
    let is_there = "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE() \
         AND table_name = 's3_to_mysql_objects'";
    if conn.query_first(is_there).await? != Some(1) {
        return Ok(0);
    }
    let loaded: Option<u64> =
        conn.query_first("SELECT COUNT(*) FROM s3_to_mysql_objects WHERE state = 'loaded'").await?;
    loaded.context("no count")
}

/// Polls seldom and on one connection, so that the runs have the machine to themselves.
async fn wait_for_loaded_objects(env: &TestEnv, count: u64) -> Result<()> {
    let mut conn = env.schema.conn().await?;
    let mut found = 0;
    for _ in 0..2000 {
        found = loaded_objects(&mut conn).await?;
        if found >= count {
            return Ok(conn.disconnect().await?);
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    anyhow::bail!("{found} objects are loaded, not {count}")
}

#[apply(load_test)]
async fn three_processes_share_the_work_and_one_may_die(env: TestEnv) -> Result<()> {
    const OBJECTS: u64 = 2000;
    put_small_objects(&env, OBJECTS).await?;
    let args = ["--load-concurrency", "2", "--download-concurrency", "4", "--no-batch"];
    let victim = start(&env, "victim", &args)?;
    let others = [start(&env, "one", &args)?, start(&env, "two", &args)?];
    // Not at the end of a page of the listing, where a run may have nothing in hand.
    wait_for_loaded_objects(&env, OBJECTS / 2 - 100).await?;
    signal(&victim, "KILL")?;
    let ended = finish(victim).await?;
    ensure!(ended.code.is_none(), "it ended before it was killed\n{ended}");
    let at_death = loaded_objects(&mut env.schema.conn().await?).await?;
    ensure!(at_death < OBJECTS * 9 / 10, "{at_death} objects were loaded when it died");
    for child in others {
        finish(child).await?.expect(0)?;
    }
    ensure_all_loaded_once(&env, OBJECTS).await?;

    // The work was shared: each run has loaded some objects, and no two report the same one.
    let loaded: BTreeMap<&str, BTreeSet<String>> = ["victim", "one", "two"]
        .into_iter()
        .map(|name| Ok((name, keys(&env, name, "loaded")?)))
        .collect::<Result<_>>()?;
    let shares: BTreeMap<&str, usize> =
        loaded.iter().map(|(name, keys)| (*name, keys.len())).collect();
    let told: usize = shares.values().sum();
    let different = loaded.values().flatten().collect::<BTreeSet<_>>().len();
    ensure!(told == different, "{} objects were loaded by two runs: {shares:?}", told - different);
    // The victim may have committed objects without reporting them: at most one for each of its
    // connections.
    ensure!(told + 2 >= OBJECTS as usize, "{shares:?}: {told} objects are told of");
    if tells_figures() {
        eprintln!(
            "{}: objects loaded: {shares:?}; fetched twice: {}",
            env.server.kind(),
            fetched_twice(&env, OBJECTS)
        );
    }
    for name in ["one", "two"] {
        ensure!(shares[name] >= OBJECTS as usize / 5, "{name} had no fair share: {shares:?}");
    }
    ensure!(shares["victim"] >= OBJECTS as usize / 10, "the victim had no fair share: {shares:?}");

    // No run works on another's objects: only those that the victim had in hand are fetched twice.
    let again = fetched_twice(&env, OBJECTS);
    ensure!(again <= 4 + 2 + 2 + 1, "{again} objects were fetched twice");
    Ok(())
}

fn tells_figures() -> bool {
    std::env::var_os("S3_TO_MYSQL_TEST_FIGURES").is_some()
}

fn fetched_twice(env: &TestEnv, objects: u64) -> usize {
    env.s3.log().count(Operation::GetObject) - objects as usize
}

/// The program is not optimized and the machine is shared, so the bound is only a sign of life.
/// With `S3_TO_MYSQL_TEST_FIGURES` it prints what it measured.
#[apply(load_test)]
async fn two_runs_take_about_as_long_as_one_with_their_concurrency(env: TestEnv) -> Result<()> {
    const OBJECTS: u64 = 400;
    put_small_objects(&env, OBJECTS).await?;
    // Created once, so that no measured run pays for the ledger's tables.
    env.load_ending(0, "t", &["--include", "in/00000"]).await?;
    let mut best = [f64::INFINITY; 2];
    for _ in 0..3 {
        for (runs, seconds) in [1, 2].into_iter().zip(&mut best) {
            env.schema.exec("DELETE FROM s3_to_mysql_objects").await?;
            env.schema.exec("TRUNCATE t").await?;
            let concurrency = (4 / runs).to_string();
            let args = ["--load-concurrency", &concurrency, "--download-concurrency", "4"];
            let started = Instant::now();
            let children = (0..runs)
                .map(|run| start(&env, &run.to_string(), &args))
                .collect::<Result<Vec<_>>>()?;
            for child in children {
                finish(child).await?.expect(0)?;
            }
            *seconds = seconds.min(started.elapsed().as_secs_f64());
            ensure_all_loaded_once(&env, OBJECTS).await?;
        }
    }
    let [one, two] = best;
    if tells_figures() {
        eprintln!(
            "{}: one run {one:.2} s, two {two:.2} s, ratio {:.2}",
            env.server.kind(),
            two / one
        );
    }
    ensure!(
        two < 3.0 * one,
        "one run with four connections took {one:.2} s, two with two {two:.2} s"
    );
    Ok(())
}

#[apply(load_test)]
async fn runs_that_overlap_agree_about_an_object_that_fails(env: TestEnv) -> Result<()> {
    const OBJECTS: u64 = 60;
    put_small_objects(&env, OBJECTS).await?;
    env.put("in/00030-bad", "no number\tx\n")?;
    let args = ["--load-concurrency", "1", "--download-concurrency", "2"];
    let runs = [start(&env, "one", &args)?, start(&env, "two", &args)?];
    for child in runs {
        let ended = finish(child).await?;
        ended.expect(3)?;
        // The second of the runs knows the failure of the first.
        ensure!(ended.summary("objects failed")?.starts_with('1'), "{ended}");
    }
    ensure_all_loaded_once(&env, OBJECTS).await?;
    let mut loaded = 0;
    for name in ["one", "two"] {
        ensure!(keys(&env, name, "failed")? == BTreeSet::from(["in/00030-bad".to_owned()]));
        loaded += keys(&env, name, "loaded")?.len() as u64;
    }
    ensure!(loaded == OBJECTS, "{loaded} objects are told of");
    ensure_values(
        &env.schema,
        "SELECT object_key, error_code FROM s3_to_mysql_failures",
        &["in/00030-bad|bad_rows"],
    )
    .await
}

/// A run that is in the middle of the file of `in/00000`, and has nothing else.
struct Holder {
    child: Child,
    held: crate::support::proxy::Broken,
}

impl Holder {
    async fn start(env: &TestEnv, proxy: &Proxy, args: &[&str]) -> Result<Self> {
        let held = proxy.next(Step::InfileBytes(100), Break::Hold);
        let one_by_one = ["--load-concurrency", "1", "--download-concurrency", "1", "--no-batch"];
        let child = start_through(env, proxy, "holder", &[&one_by_one[..], args].concat())?;
        held.wait().await?;
        Ok(Self { child, held })
    }
}

/// Starts another run beside it, through a proxy of its own, and waits until it has loaded
/// everything that the holder does not have.
async fn start_beside(env: &TestEnv, proxy: &Proxy) -> Result<Child> {
    let child = start_through(env, proxy, "other", &["--load-concurrency", "2"])?;
    // It cannot get the objects that the holder has in hand: one loads, one is staged, one is
    // downloaded.
    wait_for_loaded_objects(env, OBJECTS - IN_HAND).await?;
    Ok(child)
}

const OBJECTS: u64 = 30;
/// The most objects that a run with one download and one load at a time has claimed.
const IN_HAND: u64 = 3;

#[apply(load_test)]
async fn a_run_waits_for_an_object_that_another_run_holds(env: TestEnv) -> Result<()> {
    put_small_objects(&env, OBJECTS).await?;
    let proxy = Proxy::start(env.server.port()).await?;
    let holder = Holder::start(&env, &proxy, &[]).await?;
    let others_proxy = Proxy::start(env.server.port()).await?;
    let mut other = start_beside(&env, &others_proxy).await?;
    // It asks again, and keeps waiting.
    let asked = others_proxy.next(CLAIM, Break::Watch);
    asked.wait().await?;
    ensure!(other.try_wait()?.is_none(), "it did not wait");
    holder.held.release();
    finish(holder.child).await?.expect(0)?;
    let ended = finish(other).await?;
    ended.expect(0)?;
    ensure_all_loaded_once(&env, OBJECTS).await?;
    ensure!(keys(&env, "other", "already_loaded")?.contains("in/00000"), "{ended}");
    // No other run fetched the holder's object.
    ensure!(env.s3.log().gets_of("in/00000").len() == 1);
    Ok(())
}

#[apply(load_test)]
async fn a_run_takes_over_the_object_of_a_run_that_dies(env: TestEnv) -> Result<()> {
    put_small_objects(&env, OBJECTS).await?;
    let proxy = Proxy::start(env.server.port()).await?;
    let holder = Holder::start(&env, &proxy, &[]).await?;
    let others_proxy = Proxy::start(env.server.port()).await?;
    let other = start_beside(&env, &others_proxy).await?;
    signal(&holder.child, "KILL")?;
    finish(holder.child).await?;
    holder.held.release();
    let ended = finish(other).await?;
    ended.expect(0)?;
    ensure_all_loaded_once(&env, OBJECTS).await?;
    ensure!(keys(&env, "other", "loaded")?.contains("in/00000"), "{ended}");
    Ok(())
}

/// Its claims are free, but the server does not know yet that the connection with its transaction
/// is dead.
#[apply(load_test)]
async fn a_run_takes_over_the_object_of_a_run_whose_host_is_gone(env: TestEnv) -> Result<()> {
    put_small_objects(&env, OBJECTS).await?;
    let proxy = Proxy::start(env.server.port()).await?;
    let holder = Holder::start(&env, &proxy, &[]).await?;
    let others_proxy = Proxy::start(env.server.port()).await?;
    let other = start_beside(&env, &others_proxy).await?;
    let ours =
        others_proxy.next(Step::StatementWithBoth("INSERT INTO", "_objects` ("), Break::Watch);
    signal(&holder.child, "KILL")?;
    finish(holder.child).await?;
    ours.wait().await?;
    // It waits for the ledger row of a transaction whose client is gone.
    wait_for_waiting(&env.schema, "_objects` (").await?;
    holder.held.release();
    finish(other).await?.expect(0)?;
    ensure_all_loaded_once(&env, OBJECTS).await
}

/// The statement with which a run claims objects.
const CLAIM: Step = Step::StatementWithBoth("GET_LOCK(n, 0)", "FROM");

#[apply(load_test)]
async fn a_run_whose_claims_are_lost_goes_on_and_loads_nothing_twice(env: TestEnv) -> Result<()> {
    put_small_objects(&env, OBJECTS).await?;
    let proxy = Proxy::start(env.server.port()).await?;
    let claiming = proxy.times(u32::MAX, CLAIM, Break::Watch);
    let holder = Holder::start(&env, &proxy, &[]).await?;
    // The run's claims are gone in the middle of a load, but the load goes on.
    claiming.wait().await?;
    claiming.remove();
    claiming.cut();
    // A batch would wait for the one object in it that the holder is loading.
    let other = start(&env, "other", &["--load-concurrency", "2", "--no-batch"])?;
    wait_for_loaded_objects(&env, OBJECTS - IN_HAND).await?;
    holder.held.release();
    let (holder, other) = (finish(holder.child).await?, finish(other).await?);
    for ended in [&holder, &other] {
        ended.expect(0)?;
    }
    holder.says("the connection was lost; re-acquiring its")?;
    ensure_all_loaded_once(&env, OBJECTS).await?;
    ensure_told_once(&env, &holder, &other)
}

/// Requires that the two runs together report every object, each of them once.
fn ensure_told_once(env: &TestEnv, holder: &Ended, other: &Ended) -> Result<()> {
    let (by_holder, by_other) = (keys(env, "holder", "loaded")?, keys(env, "other", "loaded")?);
    let by_both: Vec<_> = by_holder.intersection(&by_other).collect();
    ensure!(by_both.is_empty(), "both say they have loaded {by_both:?}\n{holder}\n{other}");
    ensure!(
        by_holder.len() + by_other.len() == OBJECTS as usize,
        "{by_holder:?} {by_other:?}\n{holder}\n{other}"
    );
    Ok(())
}
