//! Runs contenders in turn, round after round, on the same server. It compares the median of the
//! ratios within a round.

use anyhow::Result;

use super::benchmark::{Benchmark, Bound, Figure, Goal};
use super::contender::{Contender, SESSIONS, Tools};
use super::measure::{Run, median, megabytes};
use super::scene::Scene;
use super::servers::ServerKind;
use super::workload::{Data, Workload};

/// The runs of each contender, one per round.
type Results = Vec<(Contender, Vec<Run>)>;

pub(crate) fn compare(
    benchmark: &Benchmark,
    data: Data,
    kind: ServerKind,
    rounds: usize,
    tools: &Tools,
    is_quick: bool,
) -> Result<Vec<String>> {
    let (server, runtime) = Scene::start(kind)?;
    let workload = Workload::write(data, &server.files())?;
    println!(
        "\n{}: {}\n{kind} {}: {} files, {} rows, {:.1} MB; the floor has {SESSIONS} sessions; \
         {rounds} rounds",
        benchmark.name,
        benchmark.title,
        server.version(),
        workload.files,
        workload.rows,
        megabytes(workload.bytes),
    );
    let scene = Scene::serve(server, runtime, &workload, benchmark.distance)?;
    let mut results: Results = Vec::new();
    for &contender in benchmark.contenders {
        match contender.lacks(tools) {
            Some(missing) => {
                println!("  not measured: {}, because {missing} is missing", contender.name());
            }
            None => results.push((contender, Vec::new())),
        }
        if contender == Contender::Ours && tools.other_build.is_some() {
            results.push((Contender::OtherBuild, Vec::new()));
        }
    }
    println!(
        "  round  contender            wall s  of first   client CPU s   server CPU s   \
         S3 CPU s    peak MB"
    );
    // The first round warms caches and is not counted.
    for round in 0..=rounds {
        let mut first = None;
        for (contender, runs) in &mut results {
            // The floor ignores bad rows and so loads other rows.
            let is_checked = workload.rejects.is_none() || *contender != Contender::Floor;
            let run = scene
                .measured(&workload, is_checked, || contender.run(&scene, &workload, tools))?;
            if is_checked {
                workload.check_rejects()?;
            }
            let first = *first.get_or_insert(run.wall_seconds);
            let note = if round == 0 { "   (not counted)" } else { "" };
            println!("  {round:>5}  {}{note}", shown(*contender, run, run.wall_seconds / first));
            if round > 0 {
                runs.push(run);
            }
        }
    }
    let first = results.first().map(|(first, _)| *first);
    for (contender, runs) in &results {
        let of = |figure: fn(&Run) -> f64| median(runs.iter().map(figure).collect());
        let medians = Run {
            wall_seconds: of(|run| run.wall_seconds),
            client_cpu_seconds: of(|run| run.client_cpu_seconds),
            server_cpu_seconds: of(|run| run.server_cpu_seconds),
            endpoint_cpu_seconds: of(|run| run.endpoint_cpu_seconds),
            peak_memory_kib: runs.iter().map(|run| run.peak_memory_kib).fold(0.0, f64::max),
        };
        let ratio =
            first.and_then(|first| ratio(&results, *contender, first, |run| run.wall_seconds));
        println!("  median {}", shown(*contender, medians, ratio.unwrap_or(f64::NAN)));
    }
    let path_bytes_per_second = benchmark.distance.path.and_then(|path| path.bytes_per_second);
    let verdicts = benchmark.goals.iter().filter_map(|goal| {
        let figure = figure(&results, goal.figure, workload.bytes, path_bytes_per_second)?;
        Some(format!(
            "{:<8} {:<9} {}",
            kind.to_string(),
            benchmark.name,
            verdict(goal, figure, is_quick)
        ))
    });
    let verdicts: Vec<String> = verdicts.collect();
    for verdict in &verdicts {
        println!("  {verdict}");
    }
    Ok(verdicts)
}

fn shown(contender: Contender, run: Run, ratio: f64) -> String {
    format!(
        "{:<18} {:>8.2}  {ratio:>8.2}   {:>12.2}   {:>12.2}   {:>8.2}   {:>8.1}",
        contender.name(),
        run.wall_seconds,
        run.client_cpu_seconds,
        run.server_cpu_seconds,
        run.endpoint_cpu_seconds,
        run.peak_megabytes(),
    )
}

/// Compares a figure with its goal. A `--quick` run gives no verdict, because its figures mean
/// nothing.
fn verdict(goal: &Goal, figure: f64, is_quick: bool) -> String {
    let (is_met, bound) = match goal.bound {
        Bound::AtMost(bound) => (figure <= bound, format!("at most {bound}")),
        Bound::AtLeast(bound) => (figure >= bound, format!("at least {bound}")),
    };
    let met = match is_met {
        _ if is_quick => "",
        true => "met",
        false => "NOT MET",
    };
    format!("{:<36} {figure:>8.2}   goal {bound:<14} {met}", goal.what)
}

fn runs(results: &Results, contender: Contender) -> Option<&[Run]> {
    results
        .iter()
        .find(|(found, runs)| *found == contender && !runs.is_empty())
        .map(|(_, runs)| runs.as_slice())
}

/// Returns the median of the ratios within the rounds.
fn ratio(results: &Results, a: Contender, b: Contender, of: fn(&Run) -> f64) -> Option<f64> {
    let (a, b) = (runs(results, a)?, runs(results, b)?);
    Some(median(a.iter().zip(b).map(|(a, b)| of(a) / of(b)).collect()))
}

/// Returns a figure, or `None` if a contender was not run.
fn figure(
    results: &Results,
    figure: Figure,
    bytes: u64,
    path_bytes_per_second: Option<u64>,
) -> Option<f64> {
    match figure {
        Figure::Time(a, b) => ratio(results, a, b, |run| run.wall_seconds),
        Figure::ServerCpu(a, b) => ratio(results, a, b, |run| run.server_cpu_seconds),
        Figure::ClientCpuPer100Megabytes(contender) => {
            let cpu = runs(results, contender)?.iter().map(|run| run.client_cpu_seconds);
            Some(median(cpu.collect()) * 100.0 / megabytes(bytes))
        }
        // The maximum, not the median: the bound must hold in every round.
        Figure::PeakMegabytes(contender) => {
            Some(runs(results, contender)?.iter().map(Run::peak_megabytes).fold(0.0, f64::max))
        }
        Figure::ShareOfPath(contender) => {
            let seconds =
                median(runs(results, contender)?.iter().map(|run| run.wall_seconds).collect());
            Some(megabytes(bytes) / megabytes(path_bytes_per_second?) / seconds)
        }
    }
}
