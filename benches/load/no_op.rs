//! Measures a run that has nothing to do, beside the same listing without a ledger.

use anyhow::{Context as _, Result};
use mysql_async::prelude::Queryable as _;

use super::contender::ours;
use super::measure::median;
use super::scene::{Distance, Scene};
use super::servers::ServerKind;
use super::workload::{Data, Workload};

pub(crate) fn no_op(files: u64, kind: ServerKind, round_count: usize) -> Result<()> {
    let (server, runtime) = Scene::start(kind)?;
    let workload = Workload::write(Data::Hive { files, rows: 10 }, &server.files())?;
    let scene = Scene::serve(server, runtime, &workload, Distance::default())?;
    let first = scene.measured(&workload, true, || ours(&scene, &workload, &["load"]))?;
    println!(
        "\nno-op: {kind} {}: {files} objects, loaded in {:.2} s; then {round_count} rounds of \
         nothing to do",
        scene.server.version(),
        first.wall_seconds,
    );
    println!("  round   listing s    no-op s   ratio   statements");
    let mut rounds: Vec<(f64, f64)> = Vec::new();
    for round in 0..=round_count {
        let listing = ours(&scene, &workload, &["plan", "--no-ledger"])?.wall_seconds;
        let before = statements(&scene)?;
        let no_op = ours(&scene, &workload, &["load"])?.wall_seconds;
        // The second count is a statement too, on a connection of its own.
        let sent = statements(&scene)? - before;
        let note = if round == 0 { "   (not counted)" } else { "" };
        println!(
            "  {round:>5}   {listing:>9.3}   {no_op:>8.3}   {:>5.2}   {sent:>10}{note}",
            no_op / listing
        );
        if round > 0 {
            rounds.push((listing, no_op));
        }
    }
    println!(
        "  median: no-op {:.3} s, {:.2} of the listing alone",
        median(rounds.iter().map(|(_, no_op)| *no_op).collect()),
        median(rounds.iter().map(|(listing, no_op)| no_op / listing).collect()),
    );
    Ok(())
}

/// Returns the number of statements that the server has received since it started.
fn statements(scene: &Scene) -> Result<i64> {
    scene.runtime.block_on(async {
        let mut conn = scene.server.root().await?;
        let row: Option<(String, i64)> =
            conn.query_first("SHOW GLOBAL STATUS LIKE 'Questions'").await?;
        conn.disconnect().await?;
        Ok(row.context("no count")?.1)
    })
}
