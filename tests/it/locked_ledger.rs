//! Somebody else holds a lock on the ledger: the run's own limits bound every wait for it, the
//! error says what to look for, and nothing is loaded twice.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use mysql_async::prelude::Queryable as _;

use crate::registry::{apply, load_test};
use crate::support::lines;
use crate::support::program::TestEnv;

/// A run waits a few times one after the other: for an object in a batch and alone, to record its
/// failure, and to record its own end.
const LIMIT: [&str; 2] = ["--retry-max-elapsed", "1s"];
/// Far less than the 50 or 60 s of one wait that has another limit.
const LONGEST: Duration = Duration::from_secs(30);

const LOAD: &[&str] = &["load", "s3://etl/", "--table", "t"];
const SWAP: &[&str] = &["load", "s3://etl/", "--table", "t", "--mode", "swap"];
const TRUNCATE: &[&str] = &["load", "s3://etl/", "--table", "t", "--mode", "truncate"];
const STATUS: &[&str] = &["status", "--table", "t"];
const FORGET: &[&str] = &["forget", "s3://etl/a", "--table", "t", "--yes"];

/// Locks, and the commands that each of them stops.
const CASES: [(&str, &[&[&str]]); 7] = [
    ("LOCK TABLES s3_to_mysql_runs WRITE", &[LOAD, STATUS, FORGET]),
    ("LOCK TABLES s3_to_mysql_jobs WRITE", &[LOAD, TRUNCATE, STATUS]),
    ("LOCK TABLES s3_to_mysql_objects WRITE", &[LOAD, SWAP]),
    ("LOCK TABLES s3_to_mysql_failures WRITE", &[LOAD, FORGET]),
    ("START TRANSACTION; SELECT * FROM s3_to_mysql_jobs FOR UPDATE", &[LOAD, SWAP]),
    ("START TRANSACTION; SELECT * FROM s3_to_mysql_objects FOR UPDATE", &[LOAD, FORGET]),
    ("START TRANSACTION; SELECT * FROM s3_to_mysql_runs FOR UPDATE", &[LOAD]),
];

#[apply(load_test)]
async fn a_lock_on_the_ledger_is_waited_for_no_longer_than_the_retries_may_take(
    env: TestEnv,
) -> Result<()> {
    lines::create(&env, "t").await?;
    env.put("a", "one\n")?;
    env.load_ending(0, "t", &[]).await?;
    env.put("b", "two\n")?;
    for (lock, commands) in CASES {
        let mut other = env.schema.conn().await?;
        other.query_drop(lock).await?;
        for command in commands {
            let began = Instant::now();
            let ended = env.run(&[*command, &LIMIT].concat()).await?;
            let elapsed = began.elapsed();
            let case = || format!("{lock}, {command:?}");
            ensure!(elapsed < LONGEST, "{}: {elapsed:?}\n{ended}", case());
            ensure!(matches!(ended.code, Some(3 | 6)), "{}\n{ended}", case());
            ended.says("ERROR 1205").with_context(case)?;
            ended.says("another connection holds a lock on the table").with_context(case)?;
        }
        other.disconnect().await?;
    }
    // The swap that could not begin is not in the way.
    env.load_ending(0, "t", &[]).await?;
    lines::expect(&env, "t", &["one", "two"]).await
}
