//! Compares the whole program with the floor and with the tools in use today.
//!
//! The floor is server-side `LOAD DATA INFILE` of the same files in four sessions.
//!
//! ```text
//! scripts/bench.sh [--quick] [--rounds N] [--no-tools] [--list] [NAME]... [mysql|mariadb]...
//! scripts/bench.sh no-op|bad-rows ...
//! ```
//!
//! Without a name, it runs all of [`benchmark::BENCHMARKS`] except `bad-rows`. The contenders run
//! in turn, round after round, on the same server with its default durability. The figure to quote
//! is the median of the rounds' ratios. The floor reads files on the server's own disk, and counts,
//! checks and reports nothing. Before each run the table is emptied. After each run, row count and
//! checksum are compared with the generator's, for every contender. This program runs with its
//! ledger. `--quick` does everything with little data and one round: it shows that everything
//! works, and its ratios mean nothing.
//!
//! The endpoint and the slow paths are processes of their own. Missing tools are named and left
//! out.

#[allow(dead_code, unreachable_pub, reason = "shared with the tests, which use the rest")]
#[path = "../tests/it/support/link.rs"]
mod link;
#[allow(dead_code, unreachable_pub, reason = "shared with the tests, which use the rest")]
#[path = "../tests/it/support/many_bad_rows.rs"]
mod many_bad_rows;
#[allow(dead_code, unreachable_pub, reason = "shared with the tests, which use the rest")]
#[path = "../tests/it/support/servers.rs"]
mod servers;
#[allow(dead_code, unreachable_pub, reason = "shared with the tests, which use the rest")]
#[path = "../tests/it/support/tpch.rs"]
mod tpch;

#[path = "load/benchmark.rs"]
mod benchmark;
#[path = "load/compare.rs"]
mod compare;
#[path = "load/contender.rs"]
mod contender;
#[path = "load/measure.rs"]
mod measure;
#[path = "load/no_op.rs"]
mod no_op;
#[path = "load/scene.rs"]
mod scene;
#[path = "load/workload.rs"]
mod workload;

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use benchmark::{BENCHMARKS, Benchmark};
use contender::Tools;
use servers::ServerKind;

const NO_OP: &str = "no-op";

struct Options {
    /// `None` for the default: 5, or 1 with `is_quick`.
    rounds: Option<usize>,
    is_quick: bool,
    tools: Tools,
    names: Vec<String>,
    kinds: Vec<ServerKind>,
}

fn main() -> Result<()> {
    let mut options = Options {
        rounds: None,
        is_quick: false,
        tools: Tools::find(std::env::var_os("S3_TO_MYSQL_BENCH_TOOLS").as_ref().map(Path::new)),
        names: Vec::new(),
        kinds: Vec::new(),
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().context("a value is missing");
        match argument.as_str() {
            "--endpoint" => return scene::serve_endpoint(&value()?, value()?.parse()?),
            "--link" => {
                return scene::serve_link(value()?.parse()?, value()?.parse()?, value()?.parse()?);
            }
            "--list" => {
                list();
                return Ok(());
            }
            "--rounds" => {
                options.rounds = Some(value()?.parse().context("--rounds takes a number")?);
            }
            "--quick" => options.is_quick = true,
            "--no-tools" => options.tools = options.tools.without_others(),
            "mysql" => options.kinds.push(ServerKind::Mysql),
            "mariadb" => options.kinds.push(ServerKind::Mariadb),
            // Cargo adds this argument.
            "--bench" => {}
            name if name == NO_OP || BENCHMARKS.iter().any(|benchmark| benchmark.name == name) => {
                options.names.push(name.to_owned());
            }
            other => bail!("unknown argument {other}; the benchmarks' names: --list"),
        }
    }
    if options.kinds.is_empty() {
        options.kinds = ServerKind::ALL.to_vec();
    }
    let is_chosen = |benchmark: &&Benchmark| match options.names.as_slice() {
        [] => true,
        names => names.iter().any(|name| name == benchmark.name),
    };
    let rounds = options.rounds.unwrap_or(if options.is_quick { 1 } else { 5 });
    let mut verdicts = Vec::new();
    for benchmark in BENCHMARKS.iter().filter(is_chosen) {
        let data = if options.is_quick { benchmark.quick } else { benchmark.data };
        for &kind in &options.kinds {
            let compared =
                compare::compare(benchmark, data, kind, rounds, &options.tools, options.is_quick);
            verdicts.extend(compared.with_context(|| format!("{} on {kind}", benchmark.name))?);
        }
    }
    if options.names.is_empty() || options.names.iter().any(|name| name == NO_OP) {
        for &kind in &options.kinds {
            no_op::no_op(if options.is_quick { 500 } else { 10_000 }, kind, rounds)?;
        }
    }
    println!(
        "\ngoals, by medians of {rounds} rounds{}",
        if options.is_quick { " of little data" } else { "" }
    );
    for verdict in &verdicts {
        println!("  {verdict}");
    }
    Ok(())
}

fn list() {
    for benchmark in BENCHMARKS {
        println!("{:<10} {}", benchmark.name, benchmark.title);
    }
    println!("{NO_OP:<10} 10,000 objects that are all in the ledger, beside the listing alone");
}
