//! Damaged packets from the database server: no panic, no hang, and no success with other rows than
//! those of the objects.
//!
//! [`damaged_answers_never_pass_for_success`] records the server's side of whole runs, and plays it
//! back with one answer damaged: bits flipped, bytes cut, inserted and removed, lengths changed,
//! packets repeated, dropped and exchanged. The commands run in this process, against a server that
//! only knows the recording. So a case takes milliseconds, but the answers after the damaged one
//! know nothing of it. [`damaged_bytes_from_a_real_server_lose_no_rows`] damages the bytes of the
//! real server on their way, and looks at its table.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use clap::Parser as _;
use fastrand::Rng;
use futures_util::{StreamExt as _, stream};
use s3_to_mysql::cli::{Cli, Cmd};
use s3_to_mysql::commands::{self, RunResult, StatusForm};
use s3_to_mysql::config::Resolved;
use s3_to_mysql::exit_code;
use s3_to_mysql::shutdown::Signals;
use s3_to_mysql::terminal::Terminal;

use crate::registry::{apply, load_test};
use crate::support::conversation::{Damage, Playback, Recording, Relay};
use crate::support::program::TestEnv;
use crate::support::values::ensure_values;

const OBJECT: &str = "1\n2\n3\n";
/// The time limit of a case. The limits that the commands are given add up to less.
const CASE_LIMIT: Duration = Duration::from_secs(100);
/// The number of cases that run at the same time. Most of a case's time is waiting.
const AT_ONCE: usize = 8;

/// Returns the number of cases and the first seed.
fn cases_and_seed(cases: u64) -> Result<(u64, u64)> {
    let number = |name: &str, default: u64| match std::env::var(name) {
        Ok(text) => text.parse().with_context(|| format!("{name} is not a number")),
        Err(_) => Ok(default),
    };
    Ok((
        number("S3_TO_MYSQL_TEST_PACKET_CASES", cases)?,
        number("S3_TO_MYSQL_TEST_PACKET_SEED", 1)?,
    ))
}

/// The commands that are run, with how often each is chosen.
const COMMANDS: [(&str, &[&str]); 4] = [
    ("load", &["s3://etl/"]),
    ("load", &["s3://etl/", "--mode", "truncate", "--verify", "checksum"]),
    ("status", &[]),
    ("forget", &["s3://etl/"]),
];

/// Returns the command line against a server on this port.
fn command_line(env: &TestEnv, port: u16, command: &str, args: &[&str]) -> Vec<String> {
    let mut words = vec!["s3-to-mysql", command];
    words.extend(args);
    let url = format!("mysql://{}@127.0.0.1:{port}/{}", env.schema.user, env.schema.name);
    words.extend(["--table", "t", "--database-url", &url, "--ssl-mode", "DISABLED"]);
    words.extend(["--connect-timeout", "10s", "--stall-timeout", "3s"]);
    let staging = env.path("staging").to_string_lossy().into_owned();
    if command == "load" {
        words.extend(["--endpoint-url", env.s3.url(), "--region", "us-east-1"]);
        words.extend(["--staging-dir", &staging, "--progress", "off"]);
        words.extend(["--load-concurrency", "1", "--max-attempts", "2"]);
        // Compressed packets would not be recorded as what they say, and a busy server looks far
        // away.
        words.extend(["--retry-max-elapsed", "1s", "--compress", "off"]);
    }
    words.into_iter().map(ToOwned::to_owned).collect()
}

/// Runs a command in this process. A panic is an error.
async fn run(words: Vec<String>) -> Result<RunResult> {
    let command = async move || {
        let terminal = Terminal::new(s3_to_mysql::choices::ProgressMode::Off);
        let resolved = |resolved: std::result::Result<Resolved, Vec<_>>| {
            resolved.map(|resolved| resolved.config).map_err(|problems| {
                anyhow!(
                    "{}",
                    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
                )
            })
        };
        let ended = match Cli::try_parse_from(words)?.command {
            Cmd::Load(args) => {
                Box::pin(commands::load(
                    resolved(args.settings.resolve())?,
                    &terminal,
                    Signals::catch()?,
                ))
                .await
            }
            Cmd::Status(args) => {
                Box::pin(commands::status(
                    resolved(args.settings.resolve())?,
                    StatusForm::Json,
                    Vec::new(),
                ))
                .await
            }
            Cmd::Forget(args) => {
                let config = resolved(args.settings.resolve())?;
                commands::forget(config, true, &mut Vec::new()).await
            }
            _ => bail!("no case runs this command"),
        };
        Ok(ended)
    };
    let runtime = tokio::runtime::Handle::current();
    // The future of a command stays on its thread.
    let ended = tokio::task::spawn_blocking(move || {
        runtime.block_on(async { tokio::time::timeout(CASE_LIMIT, Box::pin(command())).await })
    });
    match ended.await {
        Ok(Ok(ended)) => ended,
        Ok(Err(_)) => Err(anyhow!("it did not end within {CASE_LIMIT:?}")),
        Err(died) => Err(anyhow!("it panicked: {died}")),
    }
}

fn described(ended: &RunResult) -> String {
    let errors: Vec<String> = ended.errors.iter().map(|error| format!("{error:#?}")).collect();
    format!("exit code {}\n{}\n{}", ended.exit_code, ended.output, errors.join("\n"))
}

/// Records the server's side of a run of a command.
async fn record(env: &TestEnv, command: &str, args: &[&str]) -> Result<Recording> {
    let relay = Relay::start(env.server.port(), None).await?;
    let ended = run(command_line(env, relay.port(), command, args)).await?;
    ensure!(ended.exit_code == 0, "{command}: {}", described(&ended));
    Ok(relay.recording())
}

struct Recorded {
    command: &'static str,
    args: &'static [&'static str],
    recording: Arc<Recording>,
    answers: usize,
}

#[apply(load_test)]
async fn damaged_answers_never_pass_for_success(env: TestEnv) -> Result<()> {
    let (cases, seed) = cases_and_seed(300)?;
    env.schema.exec("CREATE TABLE t (a INT)").await?;
    env.put("1", OBJECT)?;
    let mut recorded = Vec::new();
    for (command, args) in COMMANDS {
        let recording = Arc::new(record(&env, command, args).await?);
        // Undamaged, the recording is as good as the server.
        let server = Playback::start(Arc::clone(&recording), None).await?;
        let ended = run(command_line(&env, server.port(), command, args)).await?;
        ensure!(ended.exit_code == 0, "played back: {command}: {}", described(&ended));
        let files = server.files();
        ensure!(files.len() == usize::from(command == "load"), "{command}: {files:?}");
        recorded.push(Recorded { command, args, answers: server.given(), recording });
    }
    let (env, recorded) = (&env, &recorded);
    let mut results = stream::iter(seed..seed + cases)
        .map(|seed| async move { (seed, play_case(env, recorded, seed).await) })
        .buffer_unordered(AT_ONCE);
    let mut codes = std::collections::BTreeMap::<u8, u64>::new();
    let mut failures = Vec::new();
    while let Some((seed, result)) = results.next().await {
        match result {
            Ok(code) => *codes.entry(code).or_default() += 1,
            Err(error) => failures.push(format!(
                "S3_TO_MYSQL_TEST_PACKET_CASES=1 S3_TO_MYSQL_TEST_PACKET_SEED={seed}: {error:#}"
            )),
        }
    }
    println!("{}: exit codes and their cases: {codes:?}", env.server.kind());
    ensure!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    // If damage hardly ever mattered, it would not be damage.
    let unharmed = codes.get(&exit_code::ALL_LOADED).copied().unwrap_or_default();
    ensure!(cases == 1 || unharmed * 4 < cases * 3, "{codes:?}");
    Ok(())
}

/// Plays one case, and returns the exit code.
async fn play_case(env: &TestEnv, recorded: &[Recorded], seed: u64) -> Result<u8> {
    let mut rng = Rng::with_seed(seed);
    let Recorded { command, args, recording, answers } =
        rng.choice(recorded).context("nothing is recorded")?;
    let damage = Damage { answer: rng.usize(0..*answers), seed: rng.u64(..) };
    let server = Playback::start(Arc::clone(recording), Some(damage)).await?;
    let ended = run(command_line(env, server.port(), command, args))
        .await
        .with_context(|| format!("{command}, {damage:?}"))?;
    ensure!(ended.exit_code != exit_code::BUG, "{command}, {damage:?}: {}", described(&ended));
    if ended.exit_code == exit_code::ALL_LOADED && *command == "load" {
        let files = server.files();
        ensure!(
            !files.is_empty() && files.iter().all(|file| file == OBJECT.as_bytes()),
            "{damage:?}: success with {files:?}"
        );
    }
    Ok(ended.exit_code)
}

#[apply(load_test)]
async fn damaged_bytes_from_a_real_server_lose_no_rows(env: TestEnv) -> Result<()> {
    // A real load takes a hundred times as long as one that is played back.
    let (cases, seed) = cases_and_seed(2400)?;
    let cases = cases.div_ceil(100);
    env.schema.exec("CREATE TABLE t (a INT)").await?;
    env.put("1", OBJECT)?;
    let args = ["s3://etl/"];
    let blocks = record(&env, "load", &args).await?.answers();
    for seed in seed..seed + cases {
        env.start_afresh("t").await?;
        let mut rng = Rng::with_seed(seed);
        let damage = Damage { answer: rng.usize(0..blocks), seed: rng.u64(..) };
        let play_again = || {
            format!(
                "S3_TO_MYSQL_TEST_PACKET_CASES=1 S3_TO_MYSQL_TEST_PACKET_SEED={seed}, {damage:?}"
            )
        };
        let relay = Relay::start(env.server.port(), Some(damage)).await?;
        let ended =
            run(command_line(&env, relay.port(), "load", &args)).await.with_context(play_again)?;
        drop(relay);
        ensure!(ended.exit_code != exit_code::BUG, "{}: {}", play_again(), described(&ended));
        if ended.exit_code == exit_code::ALL_LOADED {
            let rows = ensure_values(&env.schema, "SELECT a FROM t ORDER BY a", &["1", "2", "3"]);
            rows.await.with_context(play_again)?;
        }
        let again = run(command_line(&env, env.server.port(), "load", &args)).await?;
        ensure!(again.exit_code == 0, "{}, again: {}", play_again(), described(&again));
        let rows = ensure_values(&env.schema, "SELECT a FROM t ORDER BY a", &["1", "2", "3"]);
        rows.await.with_context(play_again)?;
    }
    Ok(())
}
