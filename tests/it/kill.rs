//! Kill anything at any time, run again until the run ends with 0, and every row is in the table
//! once.
//!
//! Each round has a fresh table without any key, and a run over eight objects through the proxy.
//! The proxy stops the protocol at a step inside a transaction that loads, so that the violence (a
//! signal, a cut, the server's end) meets a load in flight. A round in which it met none fails.
//! Then the same command runs again until it ends with 0, and the first of these runs may be hit
//! too. At the end the table's row count and checksum equal the source's. At every look, the rows
//! in the table are those that the ledger has as loaded, and a run that lives to report has loaded
//! the rows that it reports.
//!
//! One test loads plain objects, one packed objects, one packed objects in parts, and one JSON
//! Lines.
//!
//! A seed and the round's number decide everything that is random:
//!
//! ```text
//! export S3_TO_MYSQL_TEST_KILL_SEED=7
//! S3_TO_MYSQL_TEST_KILL_ROUNDS=140 cargo test --test it -- kill::    # per server and test
//! S3_TO_MYSQL_TEST_KILL_ROUNDS=41..42 cargo test --test it -- kill:: # one of them again
//! ```

use std::collections::BTreeMap;
use std::ops::Range;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use mysql_async::prelude::Queryable as _;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Child;
use tokio::sync::watch;

use crate::packed::gzip;
use crate::registry::{apply, load_test};
use crate::support::hive;
use crate::support::program::{TestEnv, signal};
use crate::support::proxy::{Break, Broken, Proxy, Step};
use crate::support::servers::Server;
use crate::support::until::until;

/// The row counts of the files, of one packet and of several.
const OBJECT_ROWS: [u64; OBJECTS as usize] = [1500, 6000, 2500, 4000, 1000, 5000, 3000, 2000];
const OBJECTS: u32 = 8;
/// The lower bound for the size of every object.
const SHORTEST_BYTES: usize = 60_000;

/// The number of runs: at most two that were hit, and then runs that must end with 0.
const RUNS: usize = 4;
const RUN_LIMIT: Duration = Duration::from_secs(90);

/// The kinds of violence that hit a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Violence {
    LoaderKilled,
    LoaderTerminated,
    LoaderTerminatedTwice,
    ServerKilled,
    ServerFrozen,
    PacketsDropped,
    CutBeforeLedgerInsert,
    CutAfterLedgerInsert,
    CutInFile,
    CutBeforeOk,
    CutBeforeLedgerUpdate,
    CutAfterLedgerUpdate,
    CutBeforeCommit,
    CutBehindCommit,
    CutDuringHeldCommit,
    CutAfterCommit,
}

impl Violence {
    const ALL: [Self; 16] = [
        Self::LoaderKilled,
        Self::LoaderTerminated,
        Self::LoaderTerminatedTwice,
        Self::ServerKilled,
        Self::ServerFrozen,
        Self::PacketsDropped,
        Self::CutBeforeLedgerInsert,
        Self::CutAfterLedgerInsert,
        Self::CutInFile,
        Self::CutBeforeOk,
        Self::CutBeforeLedgerUpdate,
        Self::CutAfterLedgerUpdate,
        Self::CutBeforeCommit,
        Self::CutBehindCommit,
        Self::CutDuringHeldCommit,
        Self::CutAfterCommit,
    ];
}

/// The form in which the objects are loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Plain,
    /// Packed by gzip and zstd in turn.
    Packed,
    /// Packed, and loaded in parts.
    Split,
    /// JSON Lines, every second object packed by gzip.
    Json,
}

impl Form {
    /// Returns the statement that inserts the ledger's row of what a transaction loads.
    fn ledger_insert(self) -> Step {
        Step::StatementWithBoth(
            "INSERT INTO",
            if self == Self::Split { "_parts` (" } else { "_objects` (" },
        )
    }

    /// Returns the statement that says the rows are loaded.
    fn ledger_update(self) -> Step {
        Step::StatementWithBoth(
            "UPDATE",
            if self == Self::Split { "_parts` SET" } else { "_objects` SET" },
        )
    }

    /// Returns the question after a COMMIT without an answer.
    fn ledger_question(self) -> Step {
        let table = if self == Self::Split { "_parts` WHERE" } else { "_objects` WHERE" };
        Step::StatementWithBoth(table, "FOR UPDATE")
    }

    /// Returns the number of rounds of an ordinary run. With plain objects, each kind of violence
    /// has one.
    fn usual_rounds(self) -> u64 {
        match self {
            Self::Plain => Violence::ALL.len() as u64,
            Self::Packed | Self::Split | Self::Json => 4,
        }
    }

    fn pack(self, number: usize, text: Vec<u8>) -> Result<Vec<u8>> {
        Ok(match self {
            Self::Plain => text,
            Self::Json if number.is_multiple_of(2) => json_lines(&text)?,
            Self::Json => gzip(&json_lines(&text)?)?,
            _ if number.is_multiple_of(2) => gzip(&text)?,
            _ => zstd::stream::encode_all(&text[..], 1)?,
        })
    }
}

/// Returns Hive's rows as JSON Lines.
fn json_lines(text: &[u8]) -> Result<Vec<u8>> {
    const COLUMNS: [&str; 8] =
        ["supplier_id", "spu_id", "month", "category", "orders", "amount", "note", "updated_at"];
    let mut lines = Vec::new();
    let mut fields = vec![String::new()];
    let mut characters = std::str::from_utf8(text)?.chars();
    while let Some(character) = characters.next() {
        let field = fields.last_mut().context("no field")?;
        match character {
            // An escaped N alone is NULL, which no other value begins with.
            '\\' => match characters.next().context("no character after a backslash")? {
                'N' => field.push('\0'),
                escaped => field.push(escaped),
            },
            '\u{1}' => fields.push(String::new()),
            '\n' => {
                let row = std::mem::replace(&mut fields, vec![String::new()]);
                ensure!(row.len() == COLUMNS.len(), "{row:?}");
                let row = COLUMNS.into_iter().zip(row).map(|(column, value)| {
                    let value = if value == "\0" { None } else { Some(value) };
                    (column, value.into())
                });
                let row: serde_json::Map<String, serde_json::Value> =
                    row.map(|(column, value)| (column.to_owned(), value)).collect();
                serde_json::to_writer(&mut lines, &row)?;
                lines.push(b'\n');
            }
            other => field.push(other),
        }
    }
    Ok(lines)
}

/// The moment at which a run is hit.
#[derive(Clone, Copy, Debug)]
struct Moment {
    step: Step,
    what: Break,
    /// The number of the run's objects that pass this step before one is hit.
    skip: u32,
}

impl Moment {
    fn draw(form: Form, violence: Violence, rng: &mut fastrand::Rng) -> Self {
        let (insert, update) = (form.ledger_insert(), form.ledger_update());
        let byte = rng.usize(1..SHORTEST_BYTES);
        let held = [
            (insert, Break::Hold),
            (insert, Break::HoldAnswer),
            (Step::InfileBytes(byte), Break::Hold),
            (Step::InfileBytes(byte), Break::Hold),
            (Step::InfileEnd, Break::Hold),
            (Step::InfileEnd, Break::HoldAnswer),
            (update, Break::Hold),
            (update, Break::HoldAnswer),
            (Step::LoadCommit, Break::Hold),
            (Step::LoadCommit, Break::HoldAnswer),
        ];
        let any = held[rng.usize(..held.len())];
        let (step, what) = match violence {
            Violence::LoaderKilled
            | Violence::LoaderTerminated
            | Violence::LoaderTerminatedTwice
            | Violence::ServerKilled
            | Violence::ServerFrozen
            | Violence::PacketsDropped => any,
            Violence::CutBeforeLedgerInsert => (insert, Break::Cut),
            Violence::CutAfterLedgerInsert => (insert, Break::SwallowAnswer),
            Violence::CutInFile => (Step::InfileBytes(byte), Break::Cut),
            Violence::CutBeforeOk => (Step::InfileEnd, Break::SwallowAnswer),
            Violence::CutBeforeLedgerUpdate => (update, Break::Cut),
            Violence::CutAfterLedgerUpdate => (update, Break::SwallowAnswer),
            Violence::CutBeforeCommit => (Step::LoadCommit, Break::Cut),
            Violence::CutBehindCommit => (Step::LoadCommit, Break::CutBehind),
            Violence::CutDuringHeldCommit => (Step::LoadCommit, Break::Hold),
            Violence::CutAfterCommit => (Step::LoadCommit, Break::SwallowAnswer),
        };
        Self { step, what, skip: rng.u32(..OBJECTS) }
    }

    /// Returns true if the server itself then has a transaction open that has written.
    fn has_written(self) -> bool {
        let is_answered = matches!(self.what, Break::HoldAnswer);
        match self.step {
            Step::LoadCommit => !is_answered,
            Step::StatementWithBoth("INSERT INTO", _) => is_answered,
            _ => true,
        }
    }
}

/// The rounds to run and the seed, from the environment.
struct Plan {
    seed: u64,
    rounds: Range<u64>,
    is_long: bool,
}

impl Plan {
    fn read(form: Form) -> Result<Self> {
        let seed = match std::env::var("S3_TO_MYSQL_TEST_KILL_SEED") {
            Ok(text) => text.parse().context("S3_TO_MYSQL_TEST_KILL_SEED is not a number")?,
            Err(_) => 1,
        };
        let rounds = std::env::var("S3_TO_MYSQL_TEST_KILL_ROUNDS").ok();
        let is_long = rounds.is_some();
        let rounds =
            match rounds.as_deref().map(|text| text.split_once("..").unwrap_or(("0", text))) {
                Some((from, to)) => {
                    from.parse()?
                        ..to.parse()
                            .context("S3_TO_MYSQL_TEST_KILL_ROUNDS is neither N nor M..N")?
                }
                None => 0..form.usual_rounds(),
            };
        Ok(Self { seed, rounds, is_long })
    }

    fn rng(&self, number: u64, what: u64) -> fastrand::Rng {
        // The multiplier keeps neighbouring seeds apart.
        fastrand::Rng::with_seed(
            (self.seed ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15)).wrapping_add(what),
        )
    }

    /// Returns the kind of a round: every kind once in a random order, then every kind once more.
    fn violence(&self, round: u64) -> Violence {
        let kinds = Violence::ALL.len() as u64;
        let mut deal = Violence::ALL;
        self.rng(round / kinds, 1).shuffle(&mut deal);
        deal[(round % kinds) as usize]
    }
}

/// Statistics that a long run prints.
#[derive(Default)]
struct Tally {
    rounds: BTreeMap<Violence, u64>,
    /// The number of times that violence hit a load in flight, reruns included.
    hits: u64,
    /// The number of times that the server itself had the load's transaction open, with rows
    /// written, when a test looked.
    seen_by_server: BTreeMap<Violence, u64>,
    runs: u64,
}

#[apply(load_test)]
async fn killed_at_any_instant_and_run_again_every_row_is_there_once(env: TestEnv) -> Result<()> {
    play_all(env, Form::Plain).await
}

#[apply(load_test)]
async fn packed_objects_are_there_once_whatever_is_killed(env: TestEnv) -> Result<()> {
    play_all(env, Form::Packed).await
}

#[apply(load_test)]
async fn packed_objects_in_parts_are_there_once_whatever_is_killed(env: TestEnv) -> Result<()> {
    play_all(env, Form::Split).await
}

#[apply(load_test)]
async fn json_objects_are_there_once_whatever_is_killed(env: TestEnv) -> Result<()> {
    play_all(env, Form::Json).await
}

/// Plays all rounds.
async fn play_all(env: TestEnv, form: Form) -> Result<()> {
    let plan = Plan::read(form)?;
    let mut scene = Scene::new(env, form).await?;
    let started = Instant::now();
    let mut tally = Tally::default();
    for number in plan.rounds.clone() {
        let violence = plan.violence(number);
        let mut story = Vec::new();
        let played =
            scene.play(number, violence, plan.rng(number, 0), &mut tally, &mut story).await;
        played.with_context(|| {
            format!(
                "round {number} of seed {}, {violence:?}; again: S3_TO_MYSQL_TEST_KILL_SEED={} \
                 S3_TO_MYSQL_TEST_KILL_ROUNDS={number}..{}\n{}\n",
                plan.seed,
                plan.seed,
                number + 1,
                story.join("\n")
            )
        })?;
        *tally.rounds.entry(violence).or_default() += 1;
    }
    let Tally { rounds, hits, seen_by_server, runs } = tally;
    if plan.is_long {
        eprintln!(
            "{} {}, {form:?}: seed {}, rounds {:?} in {:.0} s, {runs} runs, {hits} hits\nrounds: \
             {rounds:?}\nof the hits, the server \
             itself had the load's transaction open, with rows written: {seen_by_server:?}",
            scene.server.kind(),
            scene.server.version(),
            plan.seed,
            plan.rounds,
            started.elapsed().as_secs_f64(),
        );
    } else {
        ensure!(rounds.len() as u64 == form.usual_rounds(), "a kind was met twice: {rounds:?}");
    }
    ensure!(hits >= plan.rounds.end - plan.rounds.start, "{hits} hits only");
    Ok(())
}

/// A server to kill, the proxy in front of it, and the source.
struct Scene {
    env: TestEnv,
    form: Form,
    server: Server,
    proxy: Proxy,
    database: String,
    url: String,
    user: String,
    sums: hive::Sums,
}

impl Scene {
    async fn new(env: TestEnv, form: Form) -> Result<Self> {
        let server = Server::start(env.server.kind(), &[])?;
        let proxy = Proxy::start(server.port()).await?;
        let mut sums = hive::Sums::default();
        for (number, rows) in OBJECT_ROWS.into_iter().enumerate() {
            let (bytes, object) = hive::object(sums.rows, sums.rows + rows);
            ensure!(bytes.len() > SHORTEST_BYTES, "{} bytes", bytes.len());
            env.put(&format!("in/{number}"), form.pack(number, bytes)?)?;
            sums.rows += object.rows;
            sums.bytes += object.bytes;
            sums.checksum += object.checksum;
        }
        let (database, url, user) = {
            let schema = server.schema().await?;
            (schema.name.clone(), schema.url(), schema.user.clone())
        };
        Ok(Self { env, form, server, proxy, database, url, user, sums })
    }

    /// Plays one round and logs it step by step.
    async fn play(
        &mut self,
        number: u64,
        violence: Violence,
        mut rng: fastrand::Rng,
        tally: &mut Tally,
        story: &mut Vec<String>,
    ) -> Result<()> {
        let table = format!("t{number}");
        let name = format!("{}.{table}", self.database);
        self.exec(&hive::create_table(&name)).await?;
        let concurrency = rng.u32(1..=3);
        // The most objects that may share a transaction. The run has fewer transactions by up to
        // this factor.
        let together = [1, OBJECTS][rng.usize(..2)];
        let second = Violence::ALL[rng.usize(..Violence::ALL.len())];
        // In every third round, the second run is hit as well. Killing the server takes seconds, so
        // it happens once per round.
        let is_second_hit = rng.u32(..3) == 0 && second != Violence::ServerKilled;
        let mut hits = std::iter::once(violence).chain(is_second_hit.then_some(second));
        let mut late: Option<Broken> = None;
        let mut is_first = true;
        for _ in 0..RUNS {
            let hit = hits.next();
            let moment = hit.map(|violence| Moment::draw(self.form, violence, &mut rng));
            let moment = moment.map(|moment| Moment { skip: moment.skip / together, ..moment });
            let moment = moment.map(|moment| {
                if is_first { moment } else { Moment { skip: moment.skip / 4, ..moment } }
            });
            let is_late = rng.u32(..3) == 0;
            let is_restarted_late = rng.bool();
            // The run gives a server up after two to six seconds.
            let frozen_for = Duration::from_millis(rng.u64(..8000));
            story.push(format!(
                "-- run with {concurrency} connections, {together} objects together; {hit:?} at \
                 {moment:?}"
            ));
            let broken =
                moment.map(|moment| self.proxy.after(moment.skip, moment.step, moment.what));
            let rows_before: u64 = self.query(&format!("SELECT COUNT(*) FROM {name}")).await?;
            let has_predecessor = late.is_some();
            let is_silent = matches!(hit, Some(Violence::ServerFrozen | Violence::PacketsDropped));
            let mut running = Running::start(self, &table, concurrency, together, is_silent)?;
            if let Some(late) = late.take() {
                // The killed run's data arrives when its successor is about to load, or has loaded.
                let next = self.proxy.next(self.form.ledger_insert(), Break::Watch);
                running.until(&next).await?;
                next.remove();
                late.release();
                story.push("released what the run before had under way".to_owned());
            }
            let mut ended = None;
            if let (Some(violence), Some(moment), Some(broken)) = (hit, moment, &broken) {
                let landed = running.until(broken).await?;
                story.push(format!("it {}", if landed { "landed" } else { "did not land" }));
                ensure!(
                    landed || !is_first,
                    "nothing was hit: the run got to no such moment\n{}",
                    running.log()
                );
                if landed {
                    tally.hits += 1;
                    self.ensure_agreement(&name).await.context("while a load was in flight")?;
                    if matches!(moment.what, Break::Hold | Break::HoldAnswer)
                        && moment.has_written()
                    {
                        ensure!(self.transactions_in_flight().await? > 0, "no load was in flight");
                        *tally.seen_by_server.entry(violence).or_default() += 1;
                    }
                    match violence {
                        Violence::LoaderKilled => {
                            signal(&running.child, "KILL")?;
                            let status = running.ended().await?;
                            ensure!(status.code().is_none(), "{status}");
                            ended = Some(status);
                        }
                        Violence::LoaderTerminated => {
                            signal(&running.child, "TERM")?;
                            running.wait_for("stopping: ").await?;
                        }
                        Violence::LoaderTerminatedTwice => {
                            signal(&running.child, "TERM")?;
                            running.wait_for("stopping: ").await?;
                            signal(&running.child, "TERM")?;
                            ended = Some(running.ended().await?);
                        }
                        Violence::ServerKilled => {
                            tokio::task::block_in_place(|| self.server.kill9())?;
                            broken.release();
                            if is_restarted_late {
                                ended = Some(running.ended().await?);
                            }
                            tokio::task::block_in_place(|| self.server.restart())?;
                        }
                        Violence::ServerFrozen => {
                            self.server.stop()?;
                            broken.release();
                            if is_restarted_late {
                                ended = Some(running.ended().await?);
                            } else {
                                tokio::time::sleep(frozen_for).await;
                            }
                            self.server.cont()?;
                        }
                        // Both sides wait for the other one, until the run has ended.
                        Violence::PacketsDropped => ended = Some(running.ended().await?),
                        Violence::CutDuringHeldCommit => {
                            self.hold_commit(broken, &mut running).await?;
                        }
                        _ => {}
                    }
                }
            }
            match broken {
                Some(broken) if is_late && hit == Some(Violence::LoaderKilled) => {
                    late = Some(broken);
                }
                Some(broken) => broken.remove(),
                None => {}
            }
            let status = match ended {
                Some(status) => status,
                None => running.ended().await?,
            };
            tally.runs += 1;
            story.push(format!("{status}\n{}{}", running.log(), running.summary()));
            if let (Some(Violence::LoaderTerminated | Violence::LoaderTerminatedTwice), true) =
                (hit, is_first)
            {
                ensure!(status.code() == Some(143), "{status}, not 143");
            }
            if late.is_none() {
                self.wait_for_no_connection().await?;
            }
            let rows_after = self.ensure_agreement(&name).await.context("after a run")?;
            if status.code().is_some() && !has_predecessor {
                running.ensure_said_the_truth(self.form, rows_after - rows_before)?;
            }
            is_first = false;
            if hit.is_none() && status.success() {
                return self.ensure_loaded_once(&name).await;
            }
        }
        anyhow::bail!("it did not end with 0 in {RUNS} runs")
    }

    /// Lets a COMMIT through to a server that holds it, and cuts the connection, which the server
    /// does not notice meanwhile. The server goes on when the program has begun to ask for the
    /// outcome.
    async fn hold_commit(&self, broken: &Broken, running: &mut Running) -> Result<()> {
        let mut locker = self.server.root().await?;
        locker.query_drop("FLUSH TABLES WITH READ LOCK").await?;
        // A KILL would decide the outcome.
        let kill = self.proxy.next(Step::Statement("KILL"), Break::Cut);
        let asked = self.proxy.next(self.form.ledger_question(), Break::Watch);
        broken.release();
        let sql = format!(
            "SELECT COUNT(*) FROM information_schema.processlist WHERE user = '{}' AND info = \
             'COMMIT'",
            self.user
        );
        until(|| async { Ok((self.query::<u64>(&sql).await? > 0).then_some(())) })
            .await
            .context("no COMMIT")?;
        broken.cut();
        running.until(&asked).await?;
        ensure!(asked.count() > 0, "it did not ask\n{}", running.log());
        locker.query_drop("UNLOCK TABLES").await?;
        locker.disconnect().await?;
        kill.remove();
        Ok(())
    }

    async fn exec(&self, sql: &str) -> Result<()> {
        let mut root = self.server.root().await?;
        root.query_drop(sql).await.with_context(|| sql.to_owned())?;
        Ok(root.disconnect().await?)
    }

    async fn query<T: mysql_async::prelude::FromRow + Send + 'static>(
        &self,
        sql: &str,
    ) -> Result<T> {
        let mut root = self.server.root().await?;
        let row = root.query_first(sql).await.with_context(|| sql.to_owned())?;
        root.disconnect().await?;
        row.with_context(|| format!("no row: {sql}"))
    }

    /// Returns the number of rows in the table, read in one statement and so at one instant, after
    /// requiring that the ledger has the same number as loaded.
    async fn ensure_agreement(&self, name: &str) -> Result<u64> {
        let table = name.rsplit('.').next().unwrap_or_default();
        let database = &self.database;
        let (unfinished, ledger) = match self.form {
            Form::Plain | Form::Packed | Form::Json => (
                "state <> 'loaded'",
                format!("s3_to_mysql_objects WHERE target = '`{database}`.`{table}`'"),
            ),
            // Those of earlier rounds are deleted.
            Form::Split => ("loaded_at IS NULL", "s3_to_mysql_parts".to_owned()),
        };
        let sql = format!(
            "SELECT (SELECT COUNT(*) FROM {name}), CAST(COALESCE(SUM(row_count), 0) AS UNSIGNED), \
             CAST(COALESCE(SUM({unfinished}), 0) AS UNSIGNED) \
             FROM {database}.{ledger}"
        );
        let (rows, said, unfinished): (u64, u64, u64) = self.query(&sql).await?;
        ensure!(
            rows == said && unfinished == 0,
            "the table has {rows} rows, the ledger says {said}, and has {unfinished} unfinished \
             entries"
        );
        Ok(rows)
    }

    async fn ensure_loaded_once(&self, name: &str) -> Result<()> {
        let found: (u64, u64) = self.query(&hive::checksum_query(name)).await?;
        ensure!(
            found == (self.sums.rows, self.sums.checksum),
            "the table has {found:?}, not {:?}",
            self.sums
        );
        if self.form == Form::Split {
            self.exec(&format!("DELETE FROM {}.s3_to_mysql_parts", self.database)).await?;
        }
        self.exec(&format!("DROP TABLE {name}")).await
    }

    async fn transactions_in_flight(&self) -> Result<u64> {
        self.query("SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_rows_modified > 0")
            .await
    }

    /// Waits until the server has noticed the end of every connection of the program.
    async fn wait_for_no_connection(&self) -> Result<()> {
        let sql = format!(
            "SELECT COUNT(*) FROM information_schema.processlist WHERE user = '{}'",
            self.user
        );
        let mut root = self.server.root().await?;
        for _ in 0..1500 {
            if root.query_first::<u64, _>(&sql).await? == Some(0) {
                return Ok(root.disconnect().await?);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        anyhow::bail!("{} is still connected", self.user)
    }
}

/// The running program. Its log is read as it is written.
struct Running {
    child: Child,
    log: watch::Receiver<String>,
    report: std::path::PathBuf,
}

impl Running {
    fn start(
        scene: &Scene,
        table: &str,
        concurrency: u32,
        together: u32,
        is_silent: bool,
    ) -> Result<Self> {
        let report = scene.env.path("report");
        // An earlier run's report is not this run's.
        let _ = std::fs::remove_file(&report);
        let (port, concurrency) = (scene.proxy.port().to_string(), concurrency.to_string());
        let mut child = scene
            .env
            .command(["load", "s3://etl/in/", "--table", table, "--ssl-mode", "DISABLED"])
            .args(["--port", &port, "--load-concurrency", &concurrency, "--max-attempts", "4"])
            .args(["--retry-max-elapsed", "30s", "-v"])
            .args(match scene.form {
                Form::Json => ["--format", "jsonl"],
                _ => ["--preset", "hive"],
            })
            .args((together == 1).then_some("--no-batch"))
            .args((scene.form == Form::Split).then_some("--part-size=32KiB"))
            .args(is_silent.then_some("--stall-timeout=1s"))
            .args(is_silent.then_some("--connect-timeout=2s"))
            .env("DATABASE_URL", &scene.url)
            .env("S3_TO_MYSQL_REPORT", &report)
            .stdout(std::process::Stdio::null())
            .spawn()?;
        let mut lines =
            BufReader::new(child.stderr.take().context("standard error is piped")?).lines();
        let (write, log) = watch::channel(String::new());
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                write.send_modify(|log| *log = format!("{log}{line}\n"));
            }
        });
        Ok(Self { child, log, report })
    }

    /// Returns true if the proxy's rule took effect, false if the program ended before.
    async fn until(&mut self, broken: &Broken) -> Result<bool> {
        let took_effect = tokio::select! {
            biased;
            waited = broken.wait() => waited.map(|()| true),
            ended = self.child.wait() => ended.map(|_| false).map_err(Into::into),
        };
        took_effect.with_context(|| self.log())
    }

    async fn wait_for(&mut self, text: &str) -> Result<()> {
        let waiting = self.log.wait_for(|log| log.contains(text));
        let is_said = matches!(tokio::time::timeout(RUN_LIMIT, waiting).await, Ok(Ok(_)));
        ensure!(is_said, "it does not say {text:?}:\n{}", self.log());
        Ok(())
    }

    async fn ended(&mut self) -> Result<ExitStatus> {
        let status = tokio::time::timeout(RUN_LIMIT, self.child.wait()).await;
        let status =
            status.with_context(|| format!("the program did not end:\n{}", self.log()))??;
        // The log ends when its writer is gone.
        while self.log.changed().await.is_ok() {}
        Ok(status)
    }

    fn log(&self) -> String {
        self.log.borrow().clone()
    }

    fn summary(&self) -> String {
        let report = std::fs::read_to_string(&self.report).unwrap_or_default();
        report.lines().last().unwrap_or_default().to_owned()
    }

    /// Requires that the rows which the report calls loaded are those that came into the table,
    /// unless the report says that the outcome is unknown. It does not count the parts of an object
    /// that is not complete.
    fn ensure_said_the_truth(&self, form: Form, rows: u64) -> Result<()> {
        let report = std::fs::read_to_string(&self.report)?;
        let lines = report
            .lines()
            .map(serde_json::from_str)
            .collect::<Result<Vec<serde_json::Value>, _>>()?;
        let summary = lines.last().context("an empty report")?;
        let is_unknown = lines.iter().any(|line| line["error"]["code"] == "outcome_unknown");
        let said = summary["rows"].as_u64().context("no rows in the summary")?;
        let is_true = if form == Form::Split { said <= rows } else { said == rows };
        ensure!(is_unknown || is_true, "{rows} rows were loaded, the report says:\n{report}");
        Ok(())
    }
}
