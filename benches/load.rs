//! The whole program beside the floor: server-side `LOAD DATA INFILE` of the same files in four sessions.
//!
//! ```text
//! cargo bench --bench load -- [--rounds N] [--files N] [--rows N] [mysql|mariadb]...
//! cargo bench --bench load -- --tpch [--rounds N] [--files N] [--scale X] [mysql|mariadb]...
//! cargo bench --bench load -- --bad-rows N [--rounds N] [--rows N] [mysql|mariadb]...
//! cargo bench --bench load -- --no-op [--rounds N] [--files N] [mysql|mariadb]...
//! ```
//!
//! Both run in turn, round after round, in one process' lifetime on the same server with its default durability; the
//! figure to quote is the median of the rounds' ratios. The floor reads files that lie on the server's own disk and counts,
//! checks and reports nothing. The table is emptied before each run, and checked against the generator after each; the ledger
//! is on.
//!
//! `--tpch` loads TPC-H's `lineitem` as `dbgen` writes it, 16 files at scale 1, into a table with its primary key. `--bad-rows`
//! loads one object of a million rows, of which N are bad or duplicates, under `--on-bad-row reject --on-duplicate reject`; the floor is
//! what the server does with IGNORE, which takes most of them, and is not checked.
//!
//! `--no-op` measures the run that finds everything loaded already, 10,000 objects, beside the same listing without a ledger
//! (`plan --no-ledger`), and counts the statements that the server was sent.

#[allow(dead_code, unreachable_pub, reason = "shared with the tests, which use the rest")]
#[path = "../tests/it/support/hive.rs"]
mod hive;
#[allow(dead_code, unreachable_pub, reason = "shared with the tests, which use the rest")]
#[path = "../tests/it/support/many_bad_rows.rs"]
mod many_bad_rows;
#[allow(unreachable_pub, reason = "shared with the tests")]
#[path = "../tests/it/support/s3/mod.rs"]
mod s3;
#[allow(dead_code, unreachable_pub, reason = "shared with the tests, which use the rest")]
#[path = "../tests/it/support/servers.rs"]
mod servers;
#[allow(dead_code, unreachable_pub, reason = "shared with the tests, which use the rest")]
#[path = "../tests/it/support/tpch.rs"]
mod tpch;
#[path = "load/workload.rs"]
mod workload;

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use mysql_async::prelude::Queryable as _;
use mysql_async::{Row, Value};
use s3::{ACCESS_KEY, Backend, Endpoint, REGION, SECRET_KEY};
use servers::{Server, ServerKind};
use workload::{Data, Workload};

const SESSIONS: usize = 4;
const BUCKET: &str = "etl";
/// The kernel's unit in /proc/PID/stat, on every Linux there is.
const TICKS_PER_SECOND: f64 = 100.0;

struct Options {
    rounds: usize,
    files: u64,
    rows: u64,
    data: Data,
    no_op: bool,
    kinds: Vec<ServerKind>,
}

fn main() -> Result<()> {
    let mut options = Options { rounds: 5, files: 144, rows: 9000, data: Data::Hive, no_op: false, kinds: Vec::new() };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().context("a number is missing")?.parse::<u64>().context("not a number");
        match argument.as_str() {
            "--endpoint" => return serve(&arguments.next().context("a folder is missing")?),
            "--rounds" => options.rounds = usize::try_from(number()?)?,
            "--files" => options.files = number()?,
            "--rows" => options.rows = number()?,
            "--tpch" => (options.data, options.files) = (Data::Tpch { scale: 1.0 }, 16),
            "--scale" => {
                let scale = arguments.next().context("a number is missing")?.parse().context("not a number")?;
                options.data = Data::Tpch { scale };
            }
            "--bad-rows" => {
                options.data = Data::BadRows { bad: number()? };
                (options.files, options.rows) = (1, 1_000_000);
            }
            "--no-op" => {
                options.no_op = true;
                (options.files, options.rows) = (10_000, 10);
            }
            "mysql" => options.kinds.push(ServerKind::Mysql),
            "mariadb" => options.kinds.push(ServerKind::Mariadb),
            // Cargo's own.
            "--bench" => {}
            other => bail!("unknown argument {other}"),
        }
    }
    if options.kinds.is_empty() {
        options.kinds = ServerKind::ALL.to_vec();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let measure = if options.no_op { no_op } else { compare };
    options.kinds.iter().try_for_each(|&kind| measure(&options, kind, &runtime))
}

/// Serves a folder until standard input ends: the endpoint as a process of its own, so that its CPU time is its own.
fn serve(folder: &str) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let backend = Backend::new().with_folder(BUCKET, folder);
        backend.warm().await?;
        let endpoint = Endpoint::start(backend)?;
        writeln!(std::io::stdout(), "{}", endpoint.url())?;
        tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink())).await??;
        endpoint.stop().await;
        Ok(())
    })
}

#[derive(Clone, Copy, Default)]
struct Run {
    wall_seconds: f64,
    client_cpu_seconds: f64,
    server_cpu_seconds: f64,
    endpoint_cpu_seconds: f64,
    peak_memory_kib: f64,
}

/// A server with the files in a folder of its own, and an account to load them.
fn prepare(
    options: &Options,
    kind: ServerKind,
    runtime: &tokio::runtime::Runtime,
) -> Result<(Server, PathBuf, Workload)> {
    let server = Server::start(kind, &[])?;
    let folder = server.files().join("seed");
    let workload = Workload::write(options, &folder)?;
    runtime.block_on(async {
        let mut conn = server.root().await?;
        conn.query_drop("CREATE DATABASE bench").await?;
        conn.query_drop("CREATE USER loader").await?;
        // Temporary tables are what bad rows are found with.
        conn.query_drop("GRANT CREATE, SELECT, INSERT, UPDATE, DELETE, CREATE TEMPORARY TABLES ON bench.* TO loader")
            .await?;
        anyhow::Ok(())
    })?;
    Ok((server, folder, workload))
}

/// The run that has nothing to do.
fn no_op(options: &Options, kind: ServerKind, runtime: &tokio::runtime::Runtime) -> Result<()> {
    let (server, _, workload) = prepare(options, kind, runtime)?;
    let (mut endpoint, url) = start_endpoint(&server)?;
    let first = measured(&server, &workload, runtime, true, || ours(&server, &workload, &url, &["load"]))?;
    println!(
        "\n{kind} {}: {} objects, loaded in {:.2} s; then {} rounds of nothing to do",
        server.version(),
        options.files,
        first.wall_seconds,
        options.rounds
    );
    println!("  round   listing s    no-op s   ratio   statements");
    let mut rounds: Vec<(f64, f64)> = Vec::new();
    for round in 0..=options.rounds {
        let listing = ours(&server, &workload, &url, &["plan", "--no-ledger"])?.wall_seconds;
        let before = statements(&server, runtime)?;
        let no_op = ours(&server, &workload, &url, &["load"])?.wall_seconds;
        // The second count is a statement too, and has a connection of its own.
        let sent = statements(&server, runtime)? - before;
        let note = if round == 0 { "   (not counted)" } else { "" };
        println!("  {round:>5}   {listing:>9.3}   {no_op:>8.3}   {:>5.2}   {sent:>10}{note}", no_op / listing);
        if round > 0 {
            rounds.push((listing, no_op));
        }
    }
    println!(
        "{kind} medians: no-op {:.3} s, {:.2} of the listing alone",
        median(rounds.iter().map(|(_, no_op)| *no_op).collect()),
        median(rounds.iter().map(|(listing, no_op)| no_op / listing).collect()),
    );
    drop(endpoint.stdin.take());
    endpoint.wait()?;
    Ok(())
}

/// Statements that the server has been sent since it started.
fn statements(server: &Server, runtime: &tokio::runtime::Runtime) -> Result<i64> {
    runtime.block_on(async {
        let mut conn = server.root().await?;
        let row: Option<(String, i64)> = conn.query_first("SHOW GLOBAL STATUS LIKE 'Questions'").await?;
        conn.disconnect().await?;
        Ok(row.context("no count")?.1)
    })
}

fn compare(options: &Options, kind: ServerKind, runtime: &tokio::runtime::Runtime) -> Result<()> {
    let (server, folder, workload) = prepare(options, kind, runtime)?;
    println!(
        "\n{kind} {}: {} files, {} rows, {:.1} MB; {SESSIONS} sessions, {} rounds",
        server.version(),
        workload.files,
        workload.rows,
        megabytes(workload.bytes),
        options.rounds
    );
    let (mut endpoint, url) = start_endpoint(&server)?;

    println!("  round   floor s    ours s   ratio   client CPU s   server CPU s (floor)   S3 CPU s   peak MiB");
    let mut rounds: Vec<(Run, Run)> = Vec::new();
    // The first round warms caches and is not counted.
    for round in 0..=options.rounds {
        let is_checked = workload.rejects.is_none();
        let floor = measured(&server, &workload, runtime, is_checked, || floor(&server, &workload, &folder))?;
        let endpoint_before = cpu_seconds(endpoint.id())?;
        let mut ours = measured(&server, &workload, runtime, true, || ours(&server, &workload, &url, &["load"]))?;
        workload.check_rejects()?;
        ours.endpoint_cpu_seconds = cpu_seconds(endpoint.id())? - endpoint_before;
        println!(
            "  {:>5}   {:>7.2}   {:>7.2}   {:>5.2}   {:>12.2}   {:>12.2} ({:.2})   {:>8.2}   {:>8.1}{}",
            round,
            floor.wall_seconds,
            ours.wall_seconds,
            ours.wall_seconds / floor.wall_seconds,
            ours.client_cpu_seconds,
            ours.server_cpu_seconds,
            floor.server_cpu_seconds,
            ours.endpoint_cpu_seconds,
            ours.peak_memory_kib / 1024.0,
            if round == 0 { "   (not counted)" } else { "" }
        );
        if round > 0 {
            rounds.push((floor, ours));
        }
    }
    let of = |figure: fn(&(Run, Run)) -> f64| median(rounds.iter().map(figure).collect());
    println!(
        "{kind} medians: ratio to the floor {:.2}; floor {:.2} s, ours {:.2} s ({:.1} MB/s); CPU per 100 MB: client {:.2} s, S3 endpoint {:.2} s; server CPU {:.2} of the floor's; peak memory {:.1} MiB",
        of(|(floor, ours)| ours.wall_seconds / floor.wall_seconds),
        of(|(floor, _)| floor.wall_seconds),
        of(|(_, ours)| ours.wall_seconds),
        megabytes(workload.bytes) / of(|(_, ours)| ours.wall_seconds),
        of(|(_, ours)| ours.client_cpu_seconds) * 100.0 / megabytes(workload.bytes),
        of(|(_, ours)| ours.endpoint_cpu_seconds) * 100.0 / megabytes(workload.bytes),
        of(|(floor, ours)| ours.server_cpu_seconds / floor.server_cpu_seconds),
        of(|(_, ours)| ours.peak_memory_kib) / 1024.0,
    );
    drop(endpoint.stdin.take());
    endpoint.wait()?;
    Ok(())
}

fn start_endpoint(server: &Server) -> Result<(Child, String)> {
    let mut endpoint = Command::new(std::env::current_exe()?)
        .arg("--endpoint")
        .arg(server.files())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut url = String::new();
    BufReader::new(endpoint.stdout.take().context("no pipe")?).read_line(&mut url)?;
    ensure!(!url.is_empty(), "the endpoint did not start");
    Ok((endpoint, url.trim().to_owned()))
}

/// Makes the table what it was before, runs, and checks the table against the generator's sums.
fn measured(
    server: &Server,
    workload: &Workload,
    runtime: &tokio::runtime::Runtime,
    is_checked: bool,
    run: impl FnOnce() -> Result<Run>,
) -> Result<Run> {
    let mut conn = runtime.block_on(server.root())?;
    for statement in &workload.prepare {
        runtime.block_on(conn.query_drop(statement))?;
    }
    // Not there before the first run.
    let _ = runtime.block_on(conn.query_drop("DELETE FROM bench.s3_to_mysql_objects"));
    let before = cpu_seconds(server.pid())?;
    let mut figures = run()?;
    figures.server_cpu_seconds = cpu_seconds(server.pid())? - before;
    if is_checked {
        let found: Vec<Row> = runtime.block_on(conn.query(&workload.check))?;
        let found: Vec<String> = found.into_iter().map(shown).collect();
        ensure!(found == workload.expected, "the table holds {found:?}, not {:?}", workload.expected);
    }
    Ok(figures)
}

fn shown(row: Row) -> String {
    let values = row.unwrap().into_iter().map(|value| match value {
        Value::Bytes(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        other => format!("{other:?}"),
    });
    values.collect::<Vec<_>>().join(" ")
}

/// Server-side LOAD DATA INFILE of every file, each its own statement and transaction, in [`SESSIONS`] sessions.
fn floor(server: &Server, workload: &Workload, folder: &Path) -> Result<Run> {
    let mut files = Vec::new();
    for partition in std::fs::read_dir(folder)? {
        for file in std::fs::read_dir(partition?.path())? {
            let path = file?.path();
            if path.file_name().is_some_and(|name| name != "_SUCCESS") {
                files.push(path);
            }
        }
    }
    files.sort();
    let files = Arc::new(Mutex::new(files));
    let began = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let sessions = (0..SESSIONS).map(|_| async {
            let mut conn = server.root().await?;
            loop {
                let next = files.lock().ok().and_then(|mut files| files.pop());
                let Some(path) = next else { break };
                conn.query_drop(format!(
                    "LOAD DATA INFILE '{}' {} bench.{} {}",
                    path.display(),
                    workload.into,
                    workload.table,
                    workload.dialect
                ))
                .await?;
            }
            conn.disconnect().await?;
            anyhow::Ok(())
        });
        futures_util::future::try_join_all(sessions).await
    })?;
    Ok(Run { wall_seconds: began.elapsed().as_secs_f64(), ..Run::default() })
}

/// The program, from its start to its end.
fn ours(server: &Server, workload: &Workload, endpoint_url: &str, args: &[&str]) -> Result<Run> {
    let began = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_s3-to-mysql"))
        .args(args)
        .args(["s3://etl/seed/", "--table", workload.table, "-q"])
        .args(&workload.args)
        .env("DATABASE_URL", server.url("loader", "bench"))
        .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
        .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
        .env("AWS_REGION", REGION)
        .env("AWS_ENDPOINT_URL", endpoint_url)
        .stdout(Stdio::null())
        .spawn()?;
    let mut figures = Run::default();
    // The kernel keeps the CPU time of a process that has ended until it is waited for, but not its memory.
    while process_state(child.id())? != 'Z' {
        figures.peak_memory_kib = figures.peak_memory_kib.max(peak_memory_kib(child.id()).unwrap_or(0.0));
        std::thread::sleep(Duration::from_millis(5));
    }
    figures.wall_seconds = began.elapsed().as_secs_f64();
    figures.client_cpu_seconds = cpu_seconds(child.id())?;
    let code = child.wait()?.code();
    // `plan` holds no row back.
    ensure!(code == Some(workload.exit_code) || code == Some(0) && args != ["load"], "the program ended with {code:?}");
    Ok(figures)
}

/// The fields of /proc/PID/stat after the command's name, which may hold anything.
fn stat(pid: u32) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = text.rsplit_once(')').context("unknown format of /proc/PID/stat")?;
    Ok(fields.split_whitespace().map(str::to_owned).collect())
}

fn process_state(pid: u32) -> Result<char> {
    stat(pid)?.first().and_then(|state| state.chars().next()).context("no state")
}

/// User and system time of a process and all its threads.
fn cpu_seconds(pid: u32) -> Result<f64> {
    let fields = stat(pid)?;
    let ticks = |index: usize| fields.get(index).context("no times")?.parse::<f64>().context("not a number");
    Ok((ticks(11)? + ticks(12)?) / TICKS_PER_SECOND)
}

fn peak_memory_kib(pid: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) }
}

#[allow(clippy::cast_precision_loss, reason = "a figure for people")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
