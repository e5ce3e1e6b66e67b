//! The number of round trips to the server, which are what a small object costs on a long path.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::registry::{apply, load_test};
use crate::support::hive;
use crate::support::program::TestEnv;
use crate::support::proxy::Proxy;
use crate::support::round_trip_log::{Recorder, RoundTrip};
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

/// Returns the round trips of the connection that loads.
fn of_the_load(recorder: &Recorder, objects: u64) -> Result<Vec<RoundTrip>> {
    let all = recorder.round_trips();
    // The preflight sends a file too, of no bytes.
    let file = all.iter().find(|round_trip| round_trip.infile_bytes > 0);
    let round_trips =
        recorder.of(file.with_context(|| format!("no file was sent: {all:#?}"))?.connection);
    let bytes: usize = round_trips.iter().map(|round_trip| round_trip.infile_bytes).sum();
    ensure!(
        bytes as u64 == hive::object(0, objects * 100).1.bytes,
        "{bytes} bytes were sent on one connection"
    );
    Ok(round_trips)
}

/// Returns the round trips from the first transaction's start to the last COMMIT.
fn transactions(round_trips: &[RoundTrip]) -> Result<&[RoundTrip]> {
    let first =
        round_trips.iter().position(|round_trip| round_trip.label.starts_with("START TRANSACTION"));
    let last = round_trips.iter().rposition(|round_trip| round_trip.label == "COMMIT");
    let (first, last) =
        first.zip(last).with_context(|| format!("no transaction in {round_trips:#?}"))?;
    Ok(&round_trips[first..=last])
}

const QUIT: &str = "command 1";

/// The beginning of each round trip of a clean load.
const CLEAN: [&str; 5] = ["START TRANSACTION", "LOAD DATA", "file", "UPDATE", "COMMIT"];

fn ensure_begin_with(round_trips: &[RoundTrip], expected: &[&str]) -> Result<()> {
    let is_same = round_trips.len() == expected.len()
        && round_trips
            .iter()
            .zip(expected)
            .all(|(round_trip, start)| round_trip.label.starts_with(start));
    ensure!(is_same, "{round_trips:#?}, not {expected:?}");
    Ok(())
}

#[apply(load_test)]
async fn a_clean_object_takes_five_round_trips(env: TestEnv) -> Result<()> {
    let round_trips = of_the_load(&load(&env, 1, &["--no-batch"]).await?, 1)?;
    ensure_begin_with(transactions(&round_trips)?, &CLEAN)
}

#[apply(load_test)]
async fn nothing_is_asked_between_one_object_and_the_next(env: TestEnv) -> Result<()> {
    let round_trips = of_the_load(&load(&env, 3, &["--no-batch"]).await?, 3)?;
    ensure_begin_with(transactions(&round_trips)?, &[CLEAN; 3].concat())
}

#[apply(load_test)]
async fn objects_that_are_loaded_together_take_five_round_trips_too(env: TestEnv) -> Result<()> {
    let round_trips = of_the_load(&load(&env, 20, &[]).await?, 20)?;
    ensure_begin_with(transactions(&round_trips)?, &CLEAN)
}

#[apply(load_test)]
async fn a_session_is_set_up_in_two_round_trips(env: TestEnv) -> Result<()> {
    let round_trips = of_the_load(&load(&env, 1, &["--no-batch"]).await?, 1)?;
    let before = round_trips
        .iter()
        .position(|round_trip| round_trip.label.starts_with("START TRANSACTION"))
        .unwrap_or(0);
    ensure_begin_with(&round_trips[..before], &["login", "SET SESSION"])?;
    let after = before + transactions(&round_trips)?.len();
    ensure_begin_with(&round_trips[after..], &[QUIT])
}

#[apply(load_test)]
async fn the_first_run_of_one_object_takes_two_dozen_round_trips(env: TestEnv) -> Result<()> {
    let round_trips = load(&env, 1, &["--no-batch"]).await?.round_trips();
    // No client waits for an answer to a goodbye.
    let waited = round_trips.iter().filter(|round_trip| round_trip.label != QUIT).count();
    ensure!(waited <= FIRST_RUN, "{waited} round trips: {round_trips:#?}");
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
    let round_trips = proxy.recorder().round_trips();
    let questions = round_trips.iter().filter(|round_trip| {
        round_trip.label.starts_with("SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_COMMENT")
    });
    let connections: Vec<u64> = questions.map(|round_trip| round_trip.connection).collect();
    // The first question fails, and is repeated on another connection.
    ensure!(connections == [0, 1] || connections == [1], "{round_trips:#?}");
    Ok(())
}
