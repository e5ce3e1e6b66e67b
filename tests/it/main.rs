//! The program from outside, against real MySQL and MariaDB servers and a real S3 endpoint over
//! sockets.
//!
//! One binary, so that each server is started once; a harness of its own, so that every test of the
//! loader runs on both and the servers are gone when it ends. `scripts/setup.sh` installs what this
//! needs; a missing server is a failure. What is shown where: `tests/README.md`.

// The support modules offer more than every test uses.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "shared with the examples, each of which uses a part"
)]
#![allow(
    clippy::cast_possible_truncation,
    clippy::format_collect,
    clippy::naive_bytecount,
    clippy::type_complexity,
    reason = "plain tests beat fast ones"
)]

mod access;
mod accounting;
mod batches;
mod check;
mod command;
mod compress;
mod contract;
mod deploy;
mod foresight;
mod hot_keys;
mod jobs;
mod kill;
mod ledger;
mod ledger_commands;
mod ledger_tables;
mod lines_of_bad_rows;
mod link;
mod oracle;
mod outcome;
mod pace;
mod parts;
mod pauses;
mod policy;
mod reading;
mod rejecting;
mod rejects;
mod round_trips;
mod rows;
mod scale;
mod screen;
mod sharing;
mod source;
mod staging;
mod stopping;
mod support;
mod target;
mod torture;
mod tpch;
mod transaction;
mod upsert;
mod verify;

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use contract::{Store, moto};
use libtest_mimic::{Arguments, Failed, Trial};
use support::program::TestEnv;
use support::s3::{ACCESS_KEY, Backend, Endpoint, SECRET_KEY};
use support::servers::{ServerKind, shared, start_shared};

/// No test needs a tenth of it on a quiet machine.
const TEST_LIMIT: Duration = Duration::from_secs(300);
const LONG_TEST_LIMIT: Duration = Duration::from_secs(4 * 3600);

type BoxedTest = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// A test that has a schema on a database server and an endpoint to itself.
pub struct LoadTest {
    pub name: &'static str,
    pub run: fn(TestEnv) -> BoxedTest,
}

/// A test that needs no database.
pub struct PlainTest {
    pub name: &'static str,
    pub run: fn() -> BoxedTest,
}

/// `load_tests![a, b]`: the functions `async fn a(env: TestEnv) -> Result<()>` as [`LoadTest`]s.
#[macro_export]
macro_rules! load_tests {
    ($($name:ident),* $(,)?) => {
        pub fn tests() -> Vec<$crate::LoadTest> {
            vec![$($crate::LoadTest { name: concat!(module_path!(), "::", stringify!($name)), run: |env| Box::pin($name(env)) }),*]
        }
    };
}

/// `plain_tests![a, b]`: the functions `async fn a() -> Result<()>` as [`PlainTest`]s.
#[macro_export]
macro_rules! plain_tests {
    ($($name:ident),* $(,)?) => {
        pub fn plain_tests() -> Vec<$crate::PlainTest> {
            vec![$($crate::PlainTest { name: concat!(module_path!(), "::", stringify!($name)), run: || Box::pin($name()) }),*]
        }
    };
}

fn main() {
    sign_with_the_endpoints_keys();
    let arguments = Arguments::from_args();
    if !arguments.list {
        start_shared(&ServerKind::ALL);
    }
    let mut trials = Vec::new();
    for kind in ServerKind::ALL {
        let load_tests = [
            access::tests(),
            accounting::tests(),
            batches::tests(),
            check::tests(),
            command::tests(),
            compress::tests(),
            foresight::tests(),
            hot_keys::tests(),
            jobs::tests(),
            jobs::deferred::tests(),
            jobs::killed::tests(),
            jobs::refused::tests(),
            jobs::sharing::tests(),
            ledger::tests(),
            ledger_commands::tests(),
            ledger_tables::tests(),
            kill::tests(),
            lines_of_bad_rows::tests(),
            outcome::tests(),
            pace::tests(),
            parts::tests(),
            pauses::tests(),
            policy::tests(),
            reading::tests(),
            rejecting::tests(),
            rejecting::durable::tests(),
            rejecting::text::tests(),
            round_trips::tests(),
            rows::tests(),
            scale::tests(),
            screen::tests(),
            sharing::tests(),
            source::tests(),
            staging::tests(),
            stopping::tests(),
            target::tests(),
            torture::tests(),
            torture::check::tests(),
            torture::duplicates::tests(),
            torture::rejects::tests(),
            torture::many::tests(),
            tpch::tests(),
            transaction::tests(),
            verify::tests(),
            upsert::tests(),
        ];
        for test in load_tests.into_iter().flatten() {
            let name = format!("{kind}::{}", short(test.name));
            trials.push(trial(name, move || {
                Box::pin(async move { (test.run)(TestEnv::new(shared(kind)?).await?).await })
            }));
        }
        trials
            .push(trial(format!("{kind}::oracle::row_counts_equal_the_servers_own"), move || {
                Box::pin(async move { row_counts_equal_the_servers_own(kind).await })
            }));
        trials.push(trial(
            format!("{kind}::oracle::values_of_fields_equal_the_servers_own"),
            move || Box::pin(async move { values_of_fields_equal_the_servers_own(kind).await }),
        ));
        trials.push(trial(
            format!("{kind}::oracle::texts_of_values_equal_the_servers_own"),
            move || Box::pin(async move { texts_of_values_equal_the_servers_own(kind).await }),
        ));
        trials.push(trial(format!("{kind}::oracle::rows_equal_the_servers_own"), move || {
            Box::pin(rows_equal_the_servers_own(kind))
        }));
    }
    let plain_tests = [
        command::plain_tests(),
        deploy::plain_tests(),
        link::plain_tests(),
        rejects::plain_tests(),
        transaction::plain_tests(),
    ];
    for test in plain_tests.into_iter().flatten() {
        trials.push(trial(short(test.name).to_owned(), test.run));
    }
    for (name, fact) in support::s3::facts::facts() {
        trials.push(trial(format!("endpoint::{name}"), fact));
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
    libtest_mimic::run(&arguments, trials).exit();
}

/// For tests that use the library's client in this process. Programs are started with an
/// environment of their own.
#[expect(unsafe_code, reason = "no other thread is running yet that could read the environment")]
fn sign_with_the_endpoints_keys() {
    for (name, value) in [("AWS_ACCESS_KEY_ID", ACCESS_KEY), ("AWS_SECRET_ACCESS_KEY", SECRET_KEY)]
    {
        // SAFETY: the first thing that the process does.
        unsafe { std::env::set_var(name, value) };
    }
}

fn trial(name: String, test: impl FnOnce() -> BoxedTest + Send + 'static) -> Trial {
    // A long version says for itself how much it does.
    let is_long = ["S3_TO_MYSQL_TEST_KILL_ROUNDS", "S3_TO_MYSQL_TEST_ORACLE_CASES"]
        .into_iter()
        .any(|name| std::env::var_os(name).is_some());
    let limit = if is_long { LONG_TEST_LIMIT } else { TEST_LIMIT };
    Trial::test(name, move || {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let ended = runtime.block_on(async {
            tokio::time::timeout(limit, test())
                .await
                .unwrap_or_else(|_| Err(anyhow!("not ended in {limit:?}")))
        });
        ended.map_err(|error| Failed::from(format!("{error:#}")))
    })
}

fn short(name: &str) -> &str {
    name.strip_prefix("it::").unwrap_or(name)
}

/// How many cases of a property-based comparison with the server, unless
/// `S3_TO_MYSQL_TEST_ORACLE_CASES` says, and the first one's seed.
fn oracle_cases_and_seed(cases: u64) -> Result<(u64, u64)> {
    let number = |name: &str, default: u64| match std::env::var(name) {
        Ok(text) => text.parse().with_context(|| format!("{name} is not a number")),
        Err(_) => Ok(default),
    };
    Ok((
        number("S3_TO_MYSQL_TEST_ORACLE_CASES", cases)?,
        number("S3_TO_MYSQL_TEST_ORACLE_SEED", 1)?,
    ))
}

async fn row_counts_equal_the_servers_own(kind: ServerKind) -> Result<()> {
    let (cases, seed) = oracle_cases_and_seed(1000)?;
    let schema = shared(kind)?.schema().await?;
    let mut conn = schema.user_conn().await?;
    let tally = oracle::compare_row_counts(&mut conn, cases, seed)
        .await
        .map_err(|difference| anyhow!(difference))?;
    tally.ensure_most_agreed()
}

async fn rows_equal_the_servers_own(kind: ServerKind) -> Result<()> {
    let (cases, seed) = oracle_cases_and_seed(2500)?;
    let schema = shared(kind)?.schema().await?;
    Box::pin(oracle::contents::compare_rows(&schema, cases, seed)).await?.ensure_most_agreed()
}

async fn values_of_fields_equal_the_servers_own(kind: ServerKind) -> Result<()> {
    let (_, seed) = oracle_cases_and_seed(0)?;
    oracle::fields::compare_values(&shared(kind)?.schema().await?, seed).await
}

async fn texts_of_values_equal_the_servers_own(kind: ServerKind) -> Result<()> {
    let (_, seed) = oracle_cases_and_seed(0)?;
    oracle::plain::compare_plain_values(&shared(kind)?.schema().await?, seed).await
}
