//! Answers that stall, drip or never end: every wait and every buffer has a limit.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::registry::{apply, load_test};
use crate::support::lines::{self, expect, expect_failure};
use crate::support::program::{Ended, TestEnv, finish_with_peak};
use crate::support::raw_store::{Answer, RawStore, Then, forward};

/// The beginning of a listing, and a block that can follow it without end.
const LISTING: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n\
    <ListBucketResult><Name>etl</Name>";
const ERROR: &str = "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n\r\n\
    <Error><Code>SlowDown</Code><Message>";

/// The most memory that a run may take. A debug build takes some 60 MB at least.
const PEAK_KIB: u64 = 250 * 1024;

#[derive(Clone, Copy, Debug)]
enum Faulty {
    Listing,
    /// The error that is the answer to a GET.
    Error,
}

/// Runs a load against a store whose listings, or whose answers to GETs, are these.
async fn load_from(env: &TestEnv, faulty: Faulty, bytes: &str, then: Then) -> Result<Ended> {
    env.s3.backend().allow_anonymous("etl");
    let address = env.s3.address();
    let faulty_answer = Arc::new(Answer { bytes: bytes.into(), then });
    let store = RawStore::start(move |head| {
        let answer = Arc::clone(&faulty_answer);
        async move {
            let is_listing = head.contains("list-type=2");
            let is_faulty = match faulty {
                Faulty::Listing => is_listing,
                Faulty::Error => head.starts_with("GET") && !is_listing,
            };
            if is_faulty {
                return (*answer).clone();
            }
            let bytes = forward(address, &head).await.unwrap_or_default();
            Answer { bytes, then: Then::Close }
        }
    })
    .await?;
    let report = env.path("report");
    let child = env
        .command(["load", "s3://etl/", "--table", "t", "--no-sign-request"])
        .args(["--endpoint-url", store.url(), "--stall-timeout", "1s", "--max-attempts", "2"])
        .args(["--report", &report.to_string_lossy()])
        .spawn()?;
    let (ended, peak_kib) = finish_with_peak(child).await?;
    ensure!(peak_kib < PEAK_KIB, "the run took {peak_kib} KiB of memory");
    Ok(ended)
}

async fn fill(env: &TestEnv) -> Result<()> {
    lines::create(env, "t").await?;
    env.put("a", "a\n")
}

#[apply(load_test)]
async fn an_answer_that_stalls_after_its_headers_ends_within_the_stall_timeout(
    env: TestEnv,
) -> Result<()> {
    fill(&env).await?;
    let began = Instant::now();
    let ended = load_from(&env, Faulty::Listing, LISTING, Then::Stall).await?;
    ended.expect(5)?;
    ended.says("the answer stalled: no byte of it arrived for 1s")?;
    let ended = load_from(&env, Faulty::Error, ERROR, Then::Stall).await?;
    ended.expect(3)?;
    ended.says("503: the answer stalled")?;
    expect_failure(&env, "report", "a", "body_broken")?;
    ensure!(began.elapsed() < Duration::from_secs(60), "it took {:?}", began.elapsed());
    expect(&env, "t", &[]).await
}

#[apply(load_test)]
async fn an_answer_that_drips_ends_within_five_stall_timeouts(env: TestEnv) -> Result<()> {
    fill(&env).await?;
    let drip = Then::Drip(Duration::from_millis(300));
    let ended = load_from(&env, Faulty::Listing, LISTING, drip.clone()).await?;
    ended.expect(5)?;
    ended.says("did not arrive within 5s")?;
    let ended = load_from(&env, Faulty::Error, ERROR, drip).await?;
    ended.expect(3)?;
    expect_failure(&env, "report", "a", "body_broken")?;
    expect(&env, "t", &[]).await
}

#[apply(load_test)]
async fn an_answer_without_an_end_is_given_up_at_a_size(env: TestEnv) -> Result<()> {
    fill(&env).await?;
    let block = "<Contents><Key>a</Key></Contents>".repeat(1000).into_bytes();
    let ended = load_from(&env, Faulty::Listing, LISTING, Then::Repeat(block.clone())).await?;
    ended.expect(5)?;
    ended.says("larger than 32MiB")?;
    let ended = load_from(&env, Faulty::Error, ERROR, Then::Repeat(block)).await?;
    ended.expect(3)?;
    ended.says("larger than 1MiB")?;
    expect(&env, "t", &[]).await
}
