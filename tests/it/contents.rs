//! The contents of an overwritten key: whoever lists first and whoever dies, the table gets one of
//! them, and the run that has the other says so.
//!
//! Claims usually keep two runs apart. In these tests they are lost.

use anyhow::{Context as _, Result, ensure};
use tokio::process::Child;

use crate::registry::{apply, load_test};
use crate::support::lines::{self, expect, expect_failure, outcome};
use crate::support::program::{Ended, TestEnv, finish, signal};
use crate::support::proxy::{Break, Broken, Proxy, Step};
use crate::support::s3::Operation;
use crate::support::servers::{Schema, Server};
use crate::support::until::until;
use crate::support::values::ensure_values;
use crate::transaction::wait_for_waiting;

/// The packet that begins the transaction of an object or of a batch.
const BEGIN: Step = Step::StatementWithBoth("START TRANSACTION", "_objects` (target");

/// A run that has staged the old content of an object, and whose claims are lost.
struct Outdated {
    child: Child,
    held: Broken,
    offline: Broken,
    _proxy: Proxy,
}

impl Outdated {
    /// Starts a run and holds it at this step. Then `overwrite` changes objects, and the run loses
    /// the connection with its claims. It cannot connect again.
    async fn start(
        env: &TestEnv,
        step: Step,
        args: &[&str],
        overwrite: impl FnOnce() -> Result<()>,
    ) -> Result<Self> {
        let proxy = Proxy::start(env.server.port()).await?;
        let claims = proxy.next(Step::StatementWith("GET_LOCK(n, 0)"), Break::Watch);
        let held = proxy.next(step, Break::Hold);
        let report = env.path("outdated").display().to_string();
        let args = [&["--report", &report], args].concat();
        let child = env.load_through(proxy.port(), &args).spawn()?;
        held.wait().await?;
        overwrite()?;
        let offline = proxy.times(u32::MAX, Step::Connect, Break::Hold);
        claims.cut();
        Ok(Self { child, held, offline, _proxy: proxy })
    }

    /// Lets the run go on and returns its end.
    async fn go_on(self, code: i32) -> Result<Ended> {
        self.offline.remove();
        self.held.release();
        let ended = finish(self.child).await?;
        ended.expect(code)?;
        Ok(ended)
    }
}

/// Runs the command again, with a report of its own.
fn other(env: &TestEnv, args: &[&str]) -> Result<Child> {
    let report = env.path("other").display().to_string();
    let base = ["load", "s3://etl/", "--table", "t", "--report", &report];
    Ok(env.command([&base[..], args].concat()).spawn()?)
}

async fn load_other(env: &TestEnv, code: i32, args: &[&str]) -> Result<()> {
    finish(other(env, args)?).await?.expect(code)
}

#[apply(load_test)]
async fn content_that_comes_second_is_refused_though_its_claim_was_lost(
    env: TestEnv,
) -> Result<()> {
    lines::create(&env, "t").await?;
    for (policy, code, status) in
        [("error", 3, "failed"), ("skip", 0, "skipped_changed"), ("load", 0, "loaded")]
    {
        env.put(policy, format!("old {policy}\n"))?;
        let args = ["--include", policy, "--on-changed", policy];
        let outdated =
            Outdated::start(&env, BEGIN, &args, || env.put(policy, format!("new {policy}\n")))
                .await?;
        load_other(&env, 0, &args).await?;
        outdated.go_on(code).await?;
        let line = outcome(&env, "outdated", policy)?;
        ensure!(line["status"] == status, "{policy}: {line:#}");
        if policy == "error" {
            expect_failure(&env, "outdated", policy, "content_changed")?;
            // The next run learns of the content that is listed, which is in the table.
            load_other(&env, 0, &args).await?;
        }
    }
    expect(&env, "t", &["new error", "new skip", "old load", "new load"]).await
}

/// Starts a run whose transaction has inserted the ledger row of the old content, and another one
/// that waits for it with the new content.
async fn waiting(env: &TestEnv) -> Result<(Outdated, Child)> {
    lines::create(env, "t").await?;
    env.put("a", "old\n")?;
    let outdated =
        Outdated::start(env, Step::InfileBytes(1), &[], || env.put("a", "new\n")).await?;
    let other = other(env, &[])?;
    wait_for_waiting(&env.schema, "SELECT etag").await?;
    Ok((outdated, other))
}

#[apply(load_test)]
async fn content_that_comes_second_waits_for_the_first_and_is_refused(env: TestEnv) -> Result<()> {
    let (outdated, other) = waiting(&env).await?;
    outdated.go_on(0).await?;
    finish(other).await?.expect(3)?;
    expect_failure(&env, "other", "a", "content_changed")?;
    expect(&env, "t", &["old"]).await
}

#[apply(load_test)]
async fn content_that_comes_second_is_loaded_if_the_first_is_rolled_back(
    env: TestEnv,
) -> Result<()> {
    let (outdated, other) = waiting(&env).await?;
    signal(&outdated.child, "KILL")?;
    finish(outdated.child).await?;
    outdated.held.cut();
    finish(other).await?.expect(0)?;
    expect(&env, "t", &["new"]).await
}

#[apply(load_test)]
async fn a_batch_loads_all_but_what_is_there_with_other_content(env: TestEnv) -> Result<()> {
    lines::create(&env, "t").await?;
    let keys: Vec<String> = (0..10).map(|number| format!("k{number}")).collect();
    for key in &keys {
        env.put(key, format!("{key}\n"))?;
    }
    // On a busy machine the objects are in several batches. With one connection, the one with `k4`
    // is held, or waits for the one that is.
    let outdated = Outdated::start(&env, BEGIN, &["--load-concurrency", "1"], || Ok(())).await?;
    env.s3.log().wait_until(|log| log.count(Operation::GetObject) == keys.len()).await;
    env.s3.log().wait_until(|log| log.gets_in_flight() == 0).await;
    env.put("k4", "new\n")?;
    load_other(&env, 0, &["--include", "k4"]).await?;
    outdated.go_on(3).await?;
    expect_failure(&env, "outdated", "k4", "content_changed")?;
    let mut rows: Vec<&str> = keys.iter().map(String::as_str).filter(|key| *key != "k4").collect();
    rows.push("new");
    expect(&env, "t", &rows).await
}

/// Two batches insert their rows before either looks for the other's, so that each would wait for
/// the other.
#[apply(load_test)]
async fn batches_with_contents_of_the_same_keys_end_with_one_content_of_each(
    env: TestEnv,
) -> Result<()> {
    lines::create(&env, "t").await?;
    let keys: Vec<String> = (0..40).map(|number| format!("k{number:02}")).collect();
    let put = |content: &str| -> Result<()> {
        keys.iter().try_for_each(|key| env.put(key, format!("{key} {content}\n")))
    };
    put("old")?;
    let outdated = Outdated::start(&env, BEGIN, &[], || put("new")).await?;
    let Outdated { child, held, offline, _proxy } = outdated;
    let other = other(&env, &["--load-concurrency", "4"])?;
    offline.remove();
    held.release();
    let codes = [finish(child).await?.code, finish(other).await?.code];
    ensure!(codes.iter().all(|code| matches!(code, Some(0 | 3))), "{codes:?}");
    let per_key =
        "SELECT MIN(c), MAX(c) FROM (SELECT COUNT(*) AS c FROM t GROUP BY LEFT(v, 3)) AS k";
    ensure_values(&env.schema, per_key, &["1|1"]).await?;
    ensure_values(&env.schema, "SELECT COUNT(*) FROM s3_to_mysql_objects", &["40"]).await
}

const PARTS: [&str; 2] = ["--part-size", "1KiB"];

fn many_rows(word: &str) -> String {
    (0..1000).map(|number| format!("{word} {number}\n")).collect()
}

/// The rows in the table, by their first word.
const WORDS: &str = "SELECT SUBSTRING_INDEX(v, ' ', 1) AS w, COUNT(*) FROM t GROUP BY w ORDER BY w";

#[apply(load_test)]
async fn a_split_object_is_refused_if_other_content_is_loaded_first(env: TestEnv) -> Result<()> {
    lines::create(&env, "t").await?;
    env.put("a", many_rows("old"))?;
    let step = Step::StatementWithBoth("INSERT INTO", "'partial'");
    let outdated = Outdated::start(&env, step, &PARTS, || env.put("a", many_rows("new"))).await?;
    load_other(&env, 0, &PARTS).await?;
    outdated.go_on(3).await?;
    expect_failure(&env, "outdated", "a", "content_changed")?;
    ensure_values(&env.schema, WORDS, &["new|1000"]).await
}

#[apply(load_test)]
async fn no_other_content_is_loaded_beside_the_parts_of_an_object(env: TestEnv) -> Result<()> {
    lines::create(&env, "t").await?;
    env.put("a", many_rows("old"))?;
    let step = Step::StatementWithBoth("INSERT INTO", "_parts`");
    for (args, is_first) in [(&PARTS[..], true), (&["--no-split"], false)] {
        if is_first {
            // Before the other run lists, it does not know of the parts.
            let outdated =
                Outdated::start(&env, step, args, || env.put("a", many_rows("new"))).await?;
            load_other(&env, 3, &["--no-split"]).await?;
            expect_failure(&env, "other", "a", "partial_changed")?;
            outdated.go_on(0).await?;
        } else {
            // The whole object is about to begin when the other content's parts do.
            env.put("b", many_rows("late"))?;
            let args = [args, &["--include", "b"]].concat();
            let outdated =
                Outdated::start(&env, BEGIN, &args, || env.put("b", many_rows("early"))).await?;
            load_other(&env, 0, &[&PARTS[..], &["--include", "b"]].concat()).await?;
            outdated.go_on(3).await?;
            expect_failure(&env, "outdated", "b", "content_changed")?;
        }
    }
    ensure_values(&env.schema, WORDS, &["early|1000", "old|1000"]).await
}

/// The server dies, and the run with the other content is the first to be back.
#[apply(load_test)]
async fn content_that_comes_second_is_refused_though_the_server_died(env: TestEnv) -> Result<()> {
    let mut server = Server::start(env.server.kind(), &[])?;
    let proxy = Proxy::start(server.port()).await?;
    let held = proxy.next(Step::InfileBytes(1), Break::Hold);
    let (name, user, url) = {
        let schema = server.schema().await?;
        schema.exec("CREATE TABLE t (v VARCHAR(100) NOT NULL)").await?;
        (schema.name.clone(), schema.user.clone(), schema.url())
    };
    env.put("a", "old\n")?;
    let report = env.path("outdated").display().to_string();
    let base = ["load", "s3://etl/", "--table", "t", "--max-attempts", "100"];
    let run = |args: &[&str], port: u16| {
        let port = port.to_string();
        let mut command = env.command([&base[..], args].concat());
        command.env("DATABASE_URL", &url).args(["--ssl-mode", "DISABLED", "--port", &port]);
        command.spawn()
    };
    let child = run(&["--report", &report], proxy.port())?;
    held.wait().await?;
    env.put("a", "new\n")?;
    let offline = proxy.times(u32::MAX, Step::Connect, Break::Hold);
    server.kill9()?;
    tokio::task::block_in_place(|| server.restart())?;
    finish(run(&[], server.port())?).await?.expect(0)?;
    offline.remove();
    held.release();
    finish(child).await?.expect(3)?;
    expect_failure(&env, "outdated", "a", "content_changed")?;
    let schema = Schema { server: &server, name, user, password: None };
    ensure_values(&schema, "SELECT v FROM t", &["new"]).await
}

/// Holds the claim of `key` on a connection of an account without any privilege.
async fn hold_claim(env: &TestEnv, key: &str) -> Result<(mysql_async::Conn, u64)> {
    use mysql_async::prelude::Queryable as _;
    let account = format!("nobody_{}", env.schema.name);
    env.schema.exec(&format!("CREATE USER {account}@'%' IDENTIFIED BY ''")).await?;
    let mut conn = env.server.connect(&account, None, None).await?;
    let claim = claim_name(&env.schema.name, "t", 1, key);
    let taken: Option<(i64, u64)> =
        conn.query_first(format!("SELECT GET_LOCK('{claim}', 0), CONNECTION_ID()")).await?;
    let (taken, id) = taken.context("no answer")?;
    ensure!(taken == 1, "the claim is taken");
    Ok((conn, id))
}

/// The name of a claim, as docs/ledger.md describes it.
fn claim_name(database: &str, table: &str, generation: u32, key: &str) -> String {
    use sha2::{Digest as _, Sha256};
    let mut hash = Sha256::new();
    let bucket = crate::support::program::BUCKET;
    for part in ["s3-to-mysql claim", database, table, &generation.to_string(), bucket, key] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[apply(load_test)]
async fn a_claim_that_is_no_runs_is_named_and_waited_for_within_bounds(env: TestEnv) -> Result<()> {
    lines::create(&env, "t").await?;
    for key in ["a", "b", "c"] {
        env.put(key, format!("{key}\n"))?;
    }
    let (holder, id) = hold_claim(&env, "b").await?;
    let mut child =
        env.command(["load", "s3://etl/", "--table", "t", "--retry-max-elapsed", "8s"]).spawn()?;
    let named = format!("its claim is held by database connection {id}");
    let log = crate::support::program::wait_for_log(&mut child, &named).await?;
    until(|| async {
        let shown = env.run(&["status", "--table", "t"]).await?.stdout;
        Ok(shown.contains(&named).then_some(()))
    })
    .await
    .context("status does not name the holder")?;
    expect(&env, "t", &["a", "c"]).await?;
    finish(child).await?.expect(0)?;
    let log = log.await?;
    ensure!(log.contains("s3://etl/b: loading it without a claim"), "{log}");
    expect(&env, "t", &["a", "b", "c"]).await?;
    ensure_values(&env.schema, "SELECT COUNT(*) FROM s3_to_mysql_failures", &["0"]).await?;
    drop(holder);
    Ok(())
}

#[apply(load_test)]
async fn a_claim_of_a_live_run_is_waited_for_as_long_as_it_works(env: TestEnv) -> Result<()> {
    lines::create(&env, "t").await?;
    env.put("a", "a\n")?;
    let proxy = Proxy::start(env.server.port()).await?;
    let held = proxy.next(Step::InfileBytes(1), Break::Hold);
    let port = proxy.port().to_string();
    let base = ["load", "s3://etl/", "--table", "t"];
    let through = ["--ssl-mode", "DISABLED", "--port", &port];
    let first = env.command([&base[..], &through].concat()).spawn()?;
    held.wait().await?;

    let watched = Proxy::start(env.server.port()).await?;
    let asks = watched.times(u32::MAX, Step::StatementWith("IS_USED_LOCK(n)"), Break::Watch);
    let port = watched.port().to_string();
    let through = ["--ssl-mode", "DISABLED", "--port", &port, "--retry-max-elapsed", "1s"];
    let second = env.command([&base[..], &through].concat()).spawn()?;
    crate::support::until::until(|| async { Ok((asks.count() >= 3).then_some(())) }).await?;
    held.release();
    finish(first).await?.expect(0)?;
    let second = finish(second).await?;
    second.expect(0)?;
    ensure!(!second.stderr.contains("claim"), "{second}");
    ensure!(second.summary("already loaded")? == "1", "{second}");
    expect(&env, "t", &["a"]).await
}
