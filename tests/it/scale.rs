//! Start-up and listing: S3 is asked at once, objects load while the listing goes on, and memory
//! does not grow with it.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tokio::sync::watch;

use crate::registry::{apply, load_test};
use crate::support::program::{Ended, TestEnv, finish, finish_with_peak};
use crate::support::proxy::{Break, Proxy, Step};
use crate::support::s3::{Fault, Operation, Request, Times};
use crate::support::until::until;
use crate::support::values::values;

/// The number of keys on a page of a listing.
const PAGE: u64 = 1000;

/// The limit for the time from the start to the first request. A debug build takes a tenth of it on
/// a quiet machine. The limit catches waits for a name or another service's answer.
const FIRST_REQUEST_LIMIT: Duration = Duration::from_secs(3);

#[apply(load_test)]
async fn the_listing_begins_before_the_database_has_answered(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (a INT)").await?;
    for number in 0..3 {
        env.put(&format!("in/{number}"), "1\n")?;
    }
    let proxy = Proxy::start(env.server.port()).await?;
    let held = proxy.next(Step::Connect, Break::Hold);
    let port = proxy.port().to_string();
    let began = Instant::now();
    let child = env
        .command([
            "load",
            "s3://etl/in/",
            "--table",
            "t",
            "--ssl-mode",
            "DISABLED",
            "--port",
            &port,
        ])
        .spawn()?;
    // The check of the bucket, and the listing itself.
    let listed = env.s3.log().wait_until(|log| log.count(Operation::ListObjectsV2) >= 2);
    tokio::time::timeout(Duration::from_secs(30), listed)
        .await
        .context("no listing while the database is silent")?;
    let first = env.s3.log().of(Operation::ListObjectsV2).first().context("no listing")?.at;
    let waited = first.duration_since(began);
    ensure!(waited < FIRST_REQUEST_LIMIT, "the first request came after {waited:?}");
    held.wait().await?;
    held.release();
    finish(child).await?.expect(0)?;
    ensure!(env.count("t").await? == 3);
    Ok(())
}

#[apply(load_test)]
async fn what_is_listed_is_loaded_while_the_listing_goes_on(env: TestEnv) -> Result<()> {
    env.schema.exec("CREATE TABLE t (a INT)").await?;
    // Four pages, of which few keys match.
    for number in 0..4 * PAGE {
        let kind = if number % 250 == 0 { "wanted" } else { "other" };
        env.put(&format!("in/{number:05}.{kind}"), format!("{number}\n"))?;
    }
    // The check of the bucket, which asks for one key, and two pages are answered.
    let pages = watch::Sender::new(0_u64);
    let released = watch::Sender::new(false);
    let (asked, release) = (pages.clone(), released.clone());
    let hook = move |request: Request| {
        let (asked, mut release) = (asked.clone(), release.subscribe());
        async move {
            if request.max_keys.is_none() {
                asked.send_modify(|count| *count += 1);
                if *asked.borrow() > 2 {
                    let _ = release.wait_for(|released| *released).await;
                }
            }
        }
    };
    let _held = env.s3.faults().on_list(Times::Always, Fault::before(hook));
    let child =
        env.command(["load", "s3://etl/in/", "--table", "t", "--include", "*.wanted"]).spawn()?;
    pages.subscribe().wait_for(|count| *count > 2).await?;
    until(|| async { Ok((env.count("t").await? == 8).then_some(())) }).await?;
    let loaded = values(&env.schema, "SELECT COUNT(*), MAX(a) FROM t").await?;
    ensure!(loaded == ["8|1750"], "loaded while the third page is awaited: {loaded:?}");
    released.send_replace(true);
    finish(child).await?.expect(0)?;
    ensure!(env.count("t").await? == 16);
    Ok(())
}

/// Runs the load to its end, and returns its output and its peak resident memory.
async fn peak_of(env: &TestEnv, uri: &str) -> Result<(Ended, u64)> {
    let child = env.command(["load", uri, "--table", "t", "--load-concurrency", "1"]).spawn()?;
    finish_with_peak(child).await
}

/// The listing, the ledger's comparison and the report all see these keys. A hundred bytes per key
/// would show here.
#[apply(load_test)]
async fn memory_does_not_grow_with_the_number_of_keys(env: TestEnv) -> Result<()> {
    const FEW: u64 = 5_000;
    const MANY: u64 = 80_000;
    // More than noise and what an allocator keeps, and less than 70 bytes a key.
    const GROWTH_LIMIT_KIB: u64 = 5 * 1024;
    env.schema.exec("CREATE TABLE t (a INT)").await?;
    env.put("in/many/0000000", "1\n")?;
    env.load_ending(0, "t", &[]).await?;
    for (folder, count) in [("few", FEW), ("many", MANY)] {
        for number in 0..count {
            env.put(&format!("in/{folder}/{number:07}"), "1\n")?;
        }
        let digits = "SELECT 0 AS d UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION \
             ALL SELECT 4 UNION ALL SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL \
             SELECT 8 UNION ALL SELECT 9";
        // The ledger has them as loaded, because only the keys are measured.
        env.schema
            .exec(&format!(
                "INSERT IGNORE INTO s3_to_mysql_objects (target, generation, bucket, object_key, \
                 etag, state, size_bytes, row_count, worker, run_id, tool_version, began_at, \
                 loaded_at) SELECT o.target, o.generation, o.bucket, CONCAT('in/{folder}/', \
                 LPAD(n.n, 7, '0')), o.etag, o.state, 2, 1, o.worker, o.run_id, o.tool_version, \
                 o.began_at, o.loaded_at FROM (SELECT * FROM s3_to_mysql_objects LIMIT 1) AS o, \
                 (SELECT a.d + 10 * b.d + 100 * c.d + 1000 * d.d + 10000 * e.d AS n FROM \
                 ({digits}) a, ({digits}) b, ({digits}) c, ({digits}) d, ({digits}) e) AS n WHERE \
                 n.n < {count}"
            ))
            .await?;
    }
    let (few, few_kib) = peak_of(&env, "s3://etl/in/few/").await?;
    let (many, many_kib) = peak_of(&env, "s3://etl/in/many/").await?;
    few.expect(0)?;
    many.expect(0)?;
    ensure!(few.summary("already loaded")? == FEW.to_string(), "{few}");
    ensure!(many.summary("already loaded")? == MANY.to_string(), "{many}");
    ensure!(
        few_kib > 0 && many_kib < few_kib + GROWTH_LIMIT_KIB,
        "{few_kib} KiB for {FEW} keys, {many_kib} KiB for {MANY}"
    );
    Ok(())
}
