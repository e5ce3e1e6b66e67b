//! The program from outside, against real MySQL and MariaDB servers and a real S3 endpoint over
//! sockets.
//!
//! The tests are one binary, so that each server is started once. The harness is our own, so that
//! every test of the loader runs on both servers and they are gone when it ends. `scripts/setup.sh`
//! installs the servers. A missing server is a failure.

#![allow(unreachable_pub, reason = "the support modules are shared with examples and benches")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::format_collect,
    clippy::naive_bytecount,
    clippy::type_complexity,
    reason = "plain tests beat fast ones"
)]

mod access;
mod accounting;
mod adaptive_limit;
mod batches;
mod check;
mod ci;
mod command;
mod compress;
mod contents;
mod contract;
mod create_table;
mod damaged_packets;
mod deploy;
mod endpoint;
mod headers;
mod hot_keys;
mod insert_diagnostics;
mod jobs;
mod jobs_file;
mod json;
mod kill;
mod ledger;
mod ledger_commands;
mod ledger_tables;
mod limits;
mod lines_of_bad_rows;
mod link;
mod listing;
mod locked_ledger;
mod logins;
mod lost_ledger;
mod metrics;
mod names;
mod nights;
mod not_text;
mod null_times;
mod oracle;
mod outcome;
mod packed;
#[cfg(feature = "columnar")]
mod parquet;
mod parts;
mod picture;
mod policy;
mod reading;
mod readme;
mod recipes;
mod registry;
mod rejecting;
mod rejects;
mod report;
mod round_trips;
mod rows;
mod scale;
mod screen;
mod session;
mod sharing;
mod shown;
mod silence;
mod source;
mod staging;
mod statements;
mod stopping;
mod store_fuzz;
mod support;
mod target;
mod throttle;
mod torture;
mod tpch;
mod transaction;
mod unfilled;
mod upsert;
mod values;
mod verify;
mod waiting;
mod worst_variables;

use std::num::NonZero;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::anyhow;
use contract::{Store, moto};
use libtest_mimic::{Arguments, Failed, Trial};
use registry::{BoxedTest, LoadTest, PlainTest, short_name};
use support::program::TestEnv;
use support::s3::{ACCESS_KEY, Backend, Endpoint, SECRET_KEY};
use support::servers::{ServerKind, shared, start_shared};
use tokio::sync::Semaphore;

/// The time limit of a test. None needs a tenth of it on a quiet machine.
const TEST_LIMIT: Duration = Duration::from_secs(300);
const LONG_TEST_LIMIT: Duration = Duration::from_secs(4 * 3600);
/// The number of tests per core that run at once. Most of them wait most of the time.
const TESTS_PER_CORE: usize = 2;
/// The modules whose tests run alone, because they count what happens within milliseconds.
const ALONE: [&str; 3] = ["::batches::", "::contents::a_batch", "::round_trips::objects_that"];
/// The number of tests that could run at once, if there were threads for them.
const PLACES: u32 = 1024;
/// The number of tests that the list of the slowest names.
const SHOWN_SLOW_TESTS: usize = 10;

/// The places of the tests that run. A test that runs alone takes them all.
static FREE_PLACES: Semaphore = Semaphore::const_new(PLACES as usize);
/// The duration of each test that has ended.
static DURATIONS: Mutex<Vec<(Duration, String)>> = Mutex::new(Vec::new());

fn main() {
    sign_with_the_endpoints_keys();
    let mut arguments = Arguments::from_args();
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    arguments.test_threads.get_or_insert(cores * TESTS_PER_CORE);
    if !arguments.list {
        start_shared(&ServerKind::ALL);
    }
    let mut trials = Vec::new();
    for kind in ServerKind::ALL {
        for test in inventory::iter::<LoadTest> {
            trials.push(trial(format!("{kind}::{}", short_name(test.path)), move || {
                Box::pin(async move { (test.run)(TestEnv::new(shared(kind)?).await?).await })
            }));
        }
    }
    for test in inventory::iter::<PlainTest> {
        trials.push(trial(short_name(test.path).to_owned(), test.run));
    }
    for check in contract::checks() {
        trials.push(trial(format!("contract::endpoint::{}", check.name), move || {
            Box::pin(async move {
                let endpoint = Endpoint::start(Backend::new())?;
                check.run(Store::Endpoint, endpoint.url(), ACCESS_KEY, SECRET_KEY).await
            })
        }));
    }
    for check in contract::checks() {
        trials.push(trial(format!("contract::moto::{}", check.name), move || {
            Box::pin(async move {
                check.run(Store::Moto, moto::url()?, moto::ACCESS_KEY, moto::SECRET_KEY).await
            })
        }));
    }
    trials.sort_by(|one, other| one.name().cmp(other.name()));
    let conclusion = libtest_mimic::run(&arguments, trials);
    print_slowest();
    conclusion.exit();
}

fn print_slowest() {
    let mut durations =
        std::mem::take(&mut *DURATIONS.lock().unwrap_or_else(PoisonError::into_inner));
    durations.sort_unstable_by(|one, other| other.cmp(one));
    if durations.len() > SHOWN_SLOW_TESTS {
        println!("the slowest tests:");
        for (duration, name) in durations.iter().take(SHOWN_SLOW_TESTS) {
            println!("{:7.1} s {name}", duration.as_secs_f64());
        }
    }
}

/// Sets the environment for tests that use the library's client in this process. Programs get an
/// environment of their own.
#[expect(unsafe_code, reason = "no other thread is running yet that could read the environment")]
fn sign_with_the_endpoints_keys() {
    for (name, value) in [("AWS_ACCESS_KEY_ID", ACCESS_KEY), ("AWS_SECRET_ACCESS_KEY", SECRET_KEY)]
    {
        // SAFETY: no other thread is running yet.
        unsafe { std::env::set_var(name, value) };
    }
}

fn trial(name: String, test: impl FnOnce() -> BoxedTest + Send + 'static) -> Trial {
    // Long versions print how much they do.
    let is_long = [
        "S3_TO_MYSQL_TEST_KILL_ROUNDS",
        "S3_TO_MYSQL_TEST_ORACLE_CASES",
        "S3_TO_MYSQL_TEST_STORE_CASES",
        "S3_TO_MYSQL_TEST_PACKET_CASES",
        "S3_TO_MYSQL_TEST_VALUE_CASES",
        "S3_TO_MYSQL_TEST_PACKER_FLIPS",
        "S3_TO_MYSQL_TEST_JSON_CASES",
        "S3_TO_MYSQL_TEST_MEMORY_MIB",
    ]
    .into_iter()
    .any(|name| std::env::var_os(name).is_some());
    let limit = if is_long { LONG_TEST_LIMIT } else { TEST_LIMIT };
    Trial::test(name.clone(), move || {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let is_alone = ALONE.iter().any(|module| name.contains(module));
        let places = if is_alone { PLACES } else { 1 };
        let _place = runtime.block_on(FREE_PLACES.acquire_many(places))?;
        let began = Instant::now();
        let ended = runtime.block_on(async {
            tokio::time::timeout(limit, test())
                .await
                .unwrap_or_else(|_| Err(anyhow!("not ended in {limit:?}")))
        });
        DURATIONS.lock().unwrap_or_else(PoisonError::into_inner).push((began.elapsed(), name));
        ended.map_err(|error| Failed::from(format!("{error:#}")))
    })
}
