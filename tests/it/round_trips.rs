//! The number of round trips to the server, which are what a small object costs on a long path.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::registry::{apply, load_test};
use crate::support::flights::{Flight, Recorder};
use crate::support::hive;
use crate::support::program::TestEnv;
use crate::support::proxy::Proxy;
use crate::support::s3::{Fault, Keys, Operation, Times};

/// Flights of the first run with one object, which creates the ledger's tables too, on all of its
/// connections. Their handshakes are extra.
const FIRST_RUN: usize = 24;

/// Loads this many objects on one connection, through the proxy.
async fn load(env: &TestEnv, objects: u64, more: &[&str]) -> Result<Recorder> {
    env.schema.exec(&hive::create_table("t")).await?;
    for number in 0..objects {
        let (bytes, _) = hive::object(number * 100, (number + 1) * 100);
        env.put(&format!("{number}"), bytes)?;
    }
    let proxy = Proxy::start(env.server.port()).await?;
    let port = proxy.port().to_string();
    let mut args = vec![
        "--preset",
        "hive",
        "--ssl-mode",
        "DISABLED",
        "--load-concurrency",
        "1",
        "--port",
        &port,
    ];
    args.extend(more);
    let together = env.s3.faults().answer_gets_together();
    env.load_ending(0, "t", &args).await?;
    together.remove();
    ensure!(env.count("t").await? == objects * 100, "not every row is there");
    Ok(proxy.recorder().clone())
}

/// Returns the flights of the connection that loads.
fn of_the_load(recorder: &Recorder, objects: u64) -> Result<Vec<Flight>> {
    let all = recorder.flights();
    // The preflight sends a file too, of no bytes.
    let file = all.iter().find(|flight| flight.infile_bytes > 0);
    let flights =
        recorder.of(file.with_context(|| format!("no file was sent: {all:#?}"))?.connection);
    let bytes: usize = flights.iter().map(|flight| flight.infile_bytes).sum();
    ensure!(
        bytes as u64 == hive::object(0, objects * 100).1.bytes,
        "{bytes} bytes were sent on one connection"
    );
    Ok(flights)
}

/// Returns the flights from the first transaction's start to the last COMMIT.
fn transactions(flights: &[Flight]) -> Result<&[Flight]> {
    let first = flights.iter().position(|flight| flight.label.starts_with("START TRANSACTION"));
    let last = flights.iter().rposition(|flight| flight.label == "COMMIT");
    let (first, last) =
        first.zip(last).with_context(|| format!("no transaction in {flights:#?}"))?;
    Ok(&flights[first..=last])
}

const QUIT: &str = "command 1";

/// The beginning of each flight of a clean load.
const CLEAN: [&str; 5] = ["START TRANSACTION", "LOAD DATA", "file", "UPDATE", "COMMIT"];

fn ensure_begin_with(flights: &[Flight], expected: &[&str]) -> Result<()> {
    let is_same = flights.len() == expected.len()
        && flights.iter().zip(expected).all(|(flight, start)| flight.label.starts_with(start));
    ensure!(is_same, "{flights:#?}, not {expected:?}");
    Ok(())
}

#[apply(load_test)]
async fn a_clean_object_takes_five_round_trips(env: TestEnv) -> Result<()> {
    let flights = of_the_load(&load(&env, 1, &["--no-batch"]).await?, 1)?;
    ensure_begin_with(transactions(&flights)?, &CLEAN)
}

#[apply(load_test)]
async fn nothing_is_asked_between_one_object_and_the_next(env: TestEnv) -> Result<()> {
    let flights = of_the_load(&load(&env, 3, &["--no-batch"]).await?, 3)?;
    ensure_begin_with(transactions(&flights)?, &[CLEAN; 3].concat())
}

#[apply(load_test)]
async fn objects_that_are_loaded_together_take_five_round_trips_too(env: TestEnv) -> Result<()> {
    let flights = of_the_load(&load(&env, 20, &[]).await?, 20)?;
    ensure_begin_with(transactions(&flights)?, &CLEAN)
}

#[apply(load_test)]
async fn a_session_is_set_up_in_two_round_trips(env: TestEnv) -> Result<()> {
    let flights = of_the_load(&load(&env, 1, &["--no-batch"]).await?, 1)?;
    let before = flights
        .iter()
        .position(|flight| flight.label.starts_with("START TRANSACTION"))
        .unwrap_or(0);
    ensure_begin_with(&flights[..before], &["login", "SET SESSION"])?;
    let after = before + transactions(&flights)?.len();
    ensure_begin_with(&flights[after..], &[QUIT])
}

#[apply(load_test)]
async fn the_first_run_of_one_object_takes_two_dozen_round_trips(env: TestEnv) -> Result<()> {
    let flights = load(&env, 1, &["--no-batch"]).await?.flights();
    // No client waits for an answer to a goodbye.
    let waited = flights.iter().filter(|flight| flight.label != QUIT).count();
    ensure!(waited <= FIRST_RUN, "{waited} round trips: {flights:#?}");
    Ok(())
}

/// The ledger takes over the preflight's connection, which is idle until the first page of the
/// listing arrives.
#[apply(load_test)]
async fn a_connection_that_the_server_closed_while_the_store_was_slow_is_made_anew(
    env: TestEnv,
) -> Result<()> {
    env.schema.exec(&hive::create_table("t")).await?;
    let (bytes, _) = hive::object(0, 100);
    env.put("1", bytes)?;
    let late = Fault::Delay(Duration::from_secs(3));
    env.s3.faults().inject(Operation::ListObjectsV2, Keys::Any, Times::Next(1), late);
    let proxy = Proxy::start(env.server.port()).await?;
    let port = proxy.port().to_string();
    let impatient = ["--init-sql", "SET SESSION wait_timeout = 1"];
    env.load_ending(
        0,
        "t",
        &[&["--preset", "hive", "--ssl-mode", "DISABLED", "--port", &port], &impatient[..]]
            .concat(),
    )
    .await?;
    ensure!(env.count("t").await? == 100, "not every row is there");
    let flights = proxy.recorder().flights();
    let questions = flights.iter().filter(|flight| {
        flight.label.starts_with("SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_COMMENT")
    });
    let connections: Vec<u64> = questions.map(|flight| flight.connection).collect();
    // The first question fails, and is repeated on another connection.
    ensure!(connections == [0, 1] || connections == [1], "{flights:#?}");
    Ok(())
}
