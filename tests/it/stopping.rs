//! Signals at every stage: the first lets the current loads finish, the second rolls them back, the
//! third exits at once. SIGKILL asks nobody. Whatever happens, the table holds whole objects only.

use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use mysql_async::Conn;
use mysql_async::prelude::Queryable as _;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, ChildStderr};
use tokio::sync::watch;

use crate::registry::{apply, load_test};
use crate::support::program::{Ended, TestEnv, finish, signal};
use crate::support::s3::{Fault, Injection, Keys, Operation, Refusal, Times};
use crate::support::until::until;

async fn create_table(env: &TestEnv) -> Result<()> {
    env.schema
        .exec("CREATE TABLE t (a INT PRIMARY KEY, b VARCHAR(20) NOT NULL) ENGINE=InnoDB")
        .await
}

/// Returns nine rows, whose keys begin at `first`.
fn nine_rows(first: u32) -> String {
    (first..first + 9).fold(String::new(), |rows, a| rows + &format!("{a}\tx\n"))
}

/// Puts the objects `in/a`, `in/b` and `in/c` of nine rows each.
async fn three_objects(env: &TestEnv) -> Result<()> {
    create_table(env).await?;
    env.put("in/a", nine_rows(10))?;
    env.put("in/b", nine_rows(20))?;
    env.put("in/c", nine_rows(30))
}

/// Starts a run over all objects, one at a time in each stage, with a report.
fn start(env: &TestEnv, args: &[&str]) -> Result<Child> {
    let report = env.path("report.jsonl");
    let mut command = env.command(["load", "s3://etl/", "--table", "t", "--load-concurrency", "1"]);
    command.args(["--download-concurrency", "1", "--no-batch", "--report"]).arg(report).args(args);
    Ok(command.spawn()?)
}

/// The program's log as it is written, so that a signal goes out when the previous one has arrived.
struct Log {
    lines: tokio::io::Lines<BufReader<ChildStderr>>,
    seen: String,
}

impl Log {
    fn of(child: &mut Child) -> Result<Self> {
        let lines = BufReader::new(child.stderr.take().context("standard error is piped")?).lines();
        Ok(Self { lines, seen: String::new() })
    }

    async fn wait_for(&mut self, text: &str) -> Result<()> {
        while !self.seen.contains(text) {
            let line = self
                .lines
                .next_line()
                .await?
                .with_context(|| format!("no {text:?} in\n{}", self.seen))?;
            self.seen.push_str(&(line + "\n"));
        }
        Ok(())
    }

    async fn rest(mut self) -> Result<String> {
        while let Some(line) = self.lines.next_line().await? {
            self.seen.push_str(&(line + "\n"));
        }
        Ok(self.seen)
    }
}

const FIRST_ARRIVED: &str =
    "stopping: current loads finish, no new ones begin; a second signal rolls them back";
const SECOND_ARRIVED: &str = "rolling back current loads; a third signal exits at once";

/// An object's key, its status and the code of its error.
type Outcome = (String, String, Option<String>);

/// Returns the whole report: every object, sorted by key, and the summary.
fn outcomes(env: &TestEnv) -> Result<(Vec<Outcome>, Value)> {
    let mut lines = env.report("report.jsonl")?;
    let summary = lines.pop().context("an empty report")?;
    ensure!(summary["type"] == "summary", "the summary is not the last line: {summary:#}");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut objects: Vec<_> = lines
        .iter()
        .map(|line| {
            (
                text(&line["key"]),
                text(&line["status"]),
                line["error"]["code"].as_str().map(str::to_owned),
            )
        })
        .collect();
    objects.sort_unstable();
    for (status, total) in [
        ("loaded", "objects_loaded"),
        ("failed", "objects_failed"),
        ("not_reached", "objects_not_reached"),
    ] {
        let count = objects.iter().filter(|object| object.1 == status).count();
        ensure!(summary[total] == count, "{total}: {objects:?} {summary:#}");
    }
    Ok((objects, summary))
}

fn not_reached(key: &str) -> Outcome {
    (key.to_owned(), "not_reached".to_owned(), None)
}

fn loaded(key: &str) -> Outcome {
    (key.to_owned(), "loaded".to_owned(), None)
}

fn failed(key: &str, code: &str) -> Outcome {
    (key.to_owned(), "failed".to_owned(), Some(code.to_owned()))
}

/// Requires that the program has no connection left at the server, and nothing on the disk.
async fn ensure_nothing_left(env: &TestEnv) -> Result<()> {
    let sql = format!(
        "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = '{}'",
        env.schema.user
    );
    until(|| async { Ok((env.schema.query_one::<u64>(&sql).await? == 0).then_some(())) })
        .await
        .context("a connection is left")?;
    env.ensure_nothing_staged()
}

/// The listing hangs while the target is being checked.
#[apply(load_test)]
async fn a_signal_during_preflight_ends_the_run_at_once(env: TestEnv) -> Result<()> {
    three_objects(&env).await?;
    for (name, code) in [("INT", 130), ("TERM", 143)] {
        let held = env.s3.faults().on_list(Times::Always, Fault::Hold);
        let child = start(&env, &[])?;
        held.wait_for_effects(1).await;
        signal(&child, name)?;
        let ended = finish(child).await?;
        ended.expect(code)?;
        ended.says(&format!("error: the run was stopped by SIG{name}"))?;
        held.remove();
        let (objects, summary) = outcomes(&env)?;
        ensure!(
            objects.is_empty() && summary["error"]["code"] == "interrupted",
            "{objects:?} {summary:#}"
        );
    }
    ensure!(env.count("t").await? == 0 && env.s3.log().count(Operation::GetObject) == 0);
    ensure_nothing_left(&env).await
}

/// A read of standard input cannot be cancelled.
#[apply(load_test)]
async fn a_signal_while_standard_input_is_read_ends_the_run_at_once(env: TestEnv) -> Result<()> {
    three_objects(&env).await?;
    let mut command = env.command(["load", "--keys-from", "-", "--table", "t"]);
    let mut child = command.stdin(Stdio::piped()).spawn()?;
    let mut stdin = child.stdin.take().context("standard input is piped")?;
    stdin.write_all(b"s3://etl/in/a\ns3://etl/in/b\n").await?;
    until(|| async { Ok((env.count("t").await? == 18).then_some(())) }).await?;
    signal(&child, "INT")?;
    // It stays open until the program has ended.
    let ended = finish(child).await?;
    drop(stdin);
    ended.expect(130)?;
    ensure!(ended.summary("objects loaded")? == "2", "{ended}");
    ensure!(ended.summary("objects not reached")? == "0 and what was not listed yet", "{ended}");
    ensure_nothing_left(&env).await
}

#[apply(load_test)]
async fn a_signal_during_downloads_leaves_what_was_loaded_and_counts_the_rest(
    env: TestEnv,
) -> Result<()> {
    three_objects(&env).await?;
    // One object waits for its slot, and one has not been looked at.
    env.put("in/d", nine_rows(40))?;
    for (name, code) in [("INT", 130), ("TERM", 143)] {
        let stalled =
            env.s3.faults().on_get("in/b", Times::Always, Fault::StallBody { after_bytes: 7 });
        let child = start(&env, &[])?;
        stalled.wait_for_effects(1).await;
        until(|| async { Ok((env.count("t").await? == 9).then_some(())) }).await?;
        signal(&child, name)?;
        let ended = finish(child).await?;
        ended.expect(code)?;
        stalled.remove();
        let (objects, summary) = outcomes(&env)?;
        ensure!(
            objects
                == [loaded("in/a"), not_reached("in/b"), not_reached("in/c"), not_reached("in/d")]
        );
        ensure!(summary["listing_complete"] == true && summary["rows"] == 9, "{summary:#}");
        ensure!(summary["error"]["code"] == "interrupted", "{summary:#}");
        ensure!(ended.summary("objects not reached")? == "3", "{ended}");
        ensure!(env.count("t").await? == 9);
        ensure_nothing_left(&env).await?;
        env.start_afresh("t").await?;
    }
    ensure!(env.s3.log().gets_of("in/c").is_empty(), "something new was begun");
    Ok(())
}

#[apply(load_test)]
async fn a_signal_while_a_page_is_listed_ends_the_run_and_says_that_objects_are_unknown(
    env: TestEnv,
) -> Result<()> {
    three_objects(&env).await?;
    let held = env.s3.faults().inject(
        Operation::ListObjectsV2,
        Keys::Exactly("later/".into()),
        Times::Always,
        Fault::Hold,
    );
    let report = env.path("report.jsonl");
    let mut command =
        env.command(["load", "s3://etl/in/", "s3://etl/later/", "--table", "t", "--report"]);
    let child = command.arg(report).spawn()?;
    held.wait_for_effects(1).await;
    until(|| async { Ok((env.count("t").await? == 27).then_some(())) }).await?;
    signal(&child, "INT")?;
    let ended = finish(child).await?;
    ended.expect(130)?;
    let (objects, summary) = outcomes(&env)?;
    ensure!(objects == [loaded("in/a"), loaded("in/b"), loaded("in/c")], "{objects:?}");
    ensure!(summary["listing_complete"] == false, "{summary:#}");
    ensure!(ended.summary("objects not reached")? == "0 and what was not listed yet", "{ended}");
    ensure_nothing_left(&env).await
}

#[apply(load_test)]
async fn a_signal_during_a_pause_between_tries_ends_the_run_at_once(env: TestEnv) -> Result<()> {
    three_objects(&env).await?;
    let refused = env.s3.faults().on_get("in/a", Times::Always, Fault::Refuse(Refusal::SLOW_DOWN));
    let child = start(&env, &["--max-attempts", "100"])?;
    // The pauses between attempts are seconds long by then.
    refused.wait_for_effects(6).await;
    signal(&child, "INT")?;
    finish(child).await?.expect(130)?;
    let (objects, _) = outcomes(&env)?;
    ensure!(
        objects == [not_reached("in/a"), not_reached("in/b"), not_reached("in/c")],
        "{objects:?}"
    );
    ensure!(env.count("t").await? == 0);
    ensure_nothing_left(&env).await
}

/// A run whose load of `in/a` waits for a row lock with four of its nine rows inserted, and with
/// `in/b` staged.
struct Held {
    child: Child,
    locker: Conn,
}

impl Held {
    async fn start(env: &TestEnv) -> Result<Self> {
        three_objects(env).await?;
        let mut locker = env.schema.conn().await?;
        locker.query_drop("START TRANSACTION").await?;
        locker.query_drop("INSERT INTO t VALUES (14, 'locked')").await?;
        let child = start(env, &[])?;
        // Only this isolation level shows uncommitted rows.
        let mut watcher = env.schema.conn().await?;
        watcher.query_drop("SET SESSION TRANSACTION ISOLATION LEVEL READ UNCOMMITTED").await?;
        let watcher = tokio::sync::Mutex::new(watcher);
        until(|| async {
            let inserted: Option<u64> =
                watcher.lock().await.query_first("SELECT COUNT(*) FROM t WHERE a < 14").await?;
            Ok((inserted == Some(4)).then_some(()))
        })
        .await
        .context("no load waits for the lock")?;
        env.s3
            .log()
            .wait_until(|log| log.gets_of("in/b").len() == 1 && log.gets_in_flight() == 0)
            .await;
        Ok(Self { child, locker })
    }
}

#[apply(load_test)]
async fn the_first_signal_lets_what_is_loading_finish(env: TestEnv) -> Result<()> {
    let Held { mut child, mut locker } = Held::start(&env).await?;
    let mut log = Log::of(&mut child)?;
    signal(&child, "INT")?;
    log.wait_for(FIRST_ARRIVED).await?;
    ensure!(env.count("t").await? == 0, "it does not wait for the lock");
    locker.query_drop("ROLLBACK").await?;
    let (log, ended) = (log.rest().await?, finish(child).await?);
    ended.expect(130)?;
    ensure!(
        !log.contains(SECOND_ARRIVED) && log.contains("error: the run was stopped by SIGINT"),
        "{log}"
    );
    let (objects, summary) = outcomes(&env)?;
    ensure!(objects == [loaded("in/a"), not_reached("in/b"), not_reached("in/c")], "{objects:?}");
    ensure!(summary["rows"] == 9, "{summary:#}");
    ensure!(env.count("t").await? == 9);
    locker.disconnect().await?;
    ensure_nothing_left(&env).await
}

#[apply(load_test)]
async fn the_second_signal_rolls_back_what_is_loading(env: TestEnv) -> Result<()> {
    let Held { mut child, mut locker } = Held::start(&env).await?;
    let mut log = Log::of(&mut child)?;
    signal(&child, "TERM")?;
    log.wait_for(FIRST_ARRIVED).await?;
    signal(&child, "INT")?;
    log.wait_for(SECOND_ARRIVED).await?;
    let (_, ended) = (log.rest().await?, finish(child).await?);
    // The first signal decides the code.
    ended.expect(143)?;
    // This holds while the lock that it waited for is still held.
    ensure_nothing_left(&env).await?;
    let (objects, summary) = outcomes(&env)?;
    ensure!(
        objects == [failed("in/a", "interrupted"), not_reached("in/b"), not_reached("in/c")],
        "{objects:?}"
    );
    ensure!(summary["rows"] == 0 && summary["error"]["code"] == "interrupted", "{summary:#}");
    ensure!(ended.summary("objects failed")? == "1", "{ended}");
    locker.query_drop("ROLLBACK").await?;
    let count: Option<u64> = locker.query_first("SELECT COUNT(*) FROM t").await?;
    ensure!(count == Some(0), "{count:?}");
    locker.disconnect().await?;
    Ok(())
}

/// A proxy that passes on everything but the answer to the first COMMIT.
struct CommitHolder {
    port: u16,
    commits: watch::Receiver<u64>,
    task: tokio::task::JoinHandle<()>,
}

impl CommitHolder {
    async fn start(server_port: u16) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let (seen, commits) = watch::channel(0);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let seen = seen.clone();
                tokio::spawn(async move {
                    let Ok(server) = TcpStream::connect(("127.0.0.1", server_port)).await else {
                        return;
                    };
                    let _ = pass_on(client, server, seen).await;
                });
            }
        });
        Ok(Self { port, commits, task })
    }

    async fn wait_for_commit(&mut self) -> Result<()> {
        self.commits.wait_for(|commits| *commits > 0).await?;
        Ok(())
    }
}

impl Drop for CommitHolder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Ends when either side does. COMMIT has a packet of its own, which is small enough to arrive as a
/// whole.
async fn pass_on(client: TcpStream, server: TcpStream, seen: watch::Sender<u64>) -> Result<()> {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let (stop_answers, no_answers) = watch::channel(false);
    let answers = tokio::spawn(async move {
        let mut chunk = vec![0; 64 << 10];
        loop {
            let length = from_server.read(&mut chunk).await?;
            if length == 0 {
                return Ok::<_, std::io::Error>(());
            }
            if *no_answers.borrow() {
                // Nothing is passed on until the program gives up.
                continue;
            }
            to_client.write_all(&chunk[..length]).await?;
        }
    });
    let mut chunk = vec![0; 64 << 10];
    loop {
        let length = from_client.read(&mut chunk).await?;
        if length == 0 {
            break;
        }
        let is_commit = chunk[..length].ends_with(b"\x03COMMIT");
        if is_commit {
            stop_answers.send_replace(true);
        }
        to_server.write_all(&chunk[..length]).await?;
        if is_commit {
            seen.send_modify(|commits| *commits += 1);
        }
    }
    answers.abort();
    Ok(())
}

async fn start_with_held_commit(env: &TestEnv) -> Result<(Child, CommitHolder)> {
    three_objects(env).await?;
    let mut holder = CommitHolder::start(env.server.port()).await?;
    let child = start(env, &["--port", &holder.port.to_string(), "--ssl-mode", "DISABLED"])?;
    holder.wait_for_commit().await?;
    Ok((child, holder))
}

#[apply(load_test)]
async fn a_commit_under_way_at_the_second_signal_is_not_called_rolled_back(
    env: TestEnv,
) -> Result<()> {
    let (mut child, _holder) = start_with_held_commit(&env).await?;
    let mut log = Log::of(&mut child)?;
    signal(&child, "INT")?;
    log.wait_for(FIRST_ARRIVED).await?;
    signal(&child, "INT")?;
    let (_, ended) = (log.rest().await?, finish(child).await?);
    ended.expect(130)?;
    let (objects, _) = outcomes(&env)?;
    ensure!(
        objects == [failed("in/a", "outcome_unknown"), not_reached("in/b"), not_reached("in/c")],
        "{objects:?}"
    );
    // The server has committed it, and only the answer was lost.
    until(|| async { Ok((env.count("t").await? == 9).then_some(())) }).await?;
    ensure_nothing_left(&env).await
}

#[apply(load_test)]
async fn the_third_signal_leaves_at_once(env: TestEnv) -> Result<()> {
    let (mut child, _holder) = start_with_held_commit(&env).await?;
    let mut log = Log::of(&mut child)?;
    signal(&child, "TERM")?;
    log.wait_for(FIRST_ARRIVED).await?;
    signal(&child, "INT")?;
    // It waits a moment for the COMMIT then.
    log.wait_for(SECOND_ARRIVED).await?;
    signal(&child, "INT")?;
    let (log, ended) = (log.rest().await?, finish(child).await?);
    ended.expect(143)?;
    ensure!(
        ended.stdout.is_empty() && log.ends_with(&format!("{SECOND_ARRIVED}\n")),
        "{log}{ended}"
    );
    let report = env.report(&env.partial("report.jsonl")?)?;
    ensure!(
        report.iter().all(|line| line["status"] == "not_reached"),
        "it did not leave at once: {report:#?}"
    );
    let count = env.count("t").await?;
    ensure!(count == 9 || count == 0, "{count}");
    ensure_nothing_left(&env).await
}

#[apply(load_test)]
async fn killed_at_any_stage_the_table_holds_whole_objects_only(env: TestEnv) -> Result<()> {
    let kill = async |child: Child, held: Option<Injection>| -> Result<Ended> {
        signal(&child, "KILL")?;
        let ended = finish(child).await?;
        ensure!(ended.code.is_none(), "{ended}");
        held.inspect(Injection::remove);
        ensure_nothing_left(&env).await?;
        Ok(ended)
    };
    // It waits for a row lock, with uncommitted rows of the object in the table.
    let Held { child, mut locker } = Held::start(&env).await?;
    signal(&child, "KILL")?;
    finish(child).await?;
    locker.query_drop("ROLLBACK").await?;
    locker.disconnect().await?;
    ensure_nothing_left(&env).await?;
    ensure!(env.count("t").await? == 0);

    // It is in the middle of a download, with one object loaded.
    let stalled =
        env.s3.faults().on_get("in/b", Times::Always, Fault::StallBody { after_bytes: 7 });
    let child = start(&env, &[])?;
    stalled.wait_for_effects(1).await;
    until(|| async { Ok((env.count("t").await? == 9).then_some(())) }).await?;
    kill(child, Some(stalled)).await?;
    ensure!(env.count("t").await? == 9);

    // It is in the preflight.
    let held = env.s3.faults().on_list(Times::Always, Fault::Hold);
    let child = start(&env, &[])?;
    held.wait_for_effects(1).await;
    kill(child, Some(held)).await?;
    ensure!(env.count("t").await? == 9);

    // COMMIT is under way.
    env.start_afresh("t").await?;
    let mut holder = CommitHolder::start(env.server.port()).await?;
    let child = start(&env, &["--port", &holder.port.to_string(), "--ssl-mode", "DISABLED"])?;
    holder.wait_for_commit().await?;
    kill(child, None).await?;
    let count = env.count("t").await?;
    ensure!(count == 9 || count == 0, "{count}");
    Ok(())
}
