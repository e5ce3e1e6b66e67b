//! Stores whose listings are cut short, contradict themselves, stall or never end: nothing is
//! decided from them, and what they cannot say of one key fails alone.

mod entries;
mod limits;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use aws_sdk_s3::primitives::ByteStream;
use s3_to_mysql::error::ErrorKind;
use tokio::sync::watch;

use crate::contract::moto;
use crate::registry::{apply, load_test, plain_test};
use crate::support::lines::{self, expect};
use crate::support::program::{BUCKET, TestEnv};
use crate::support::raw_store::{Framing, RawStore, answer_200, forward};
use crate::support::read_all::Reader;
use crate::support::s3::{Backend, Endpoint, Fault, Operation, Times, client_with_keys};

/// Ends a document after its first `count` entries.
fn cut_after(document: &str, count: usize) -> String {
    let ends = document.match_indices("<Contents>").map(|(start, _)| start);
    document[..ends.chain([document.len()]).nth(count).unwrap_or_default()].to_owned()
}

/// Returns true for the answer to the check of the bucket at the start of a run.
fn is_check(document: &str) -> bool {
    document.contains("<MaxKeys>1</MaxKeys>")
}

/// Creates table `t` with a row of its own, and three objects.
async fn fill(env: &TestEnv) -> Result<()> {
    lines::create(env, "t").await?;
    env.schema.exec("INSERT INTO t VALUES ('old')").await?;
    for key in ["a", "b", "c"] {
        env.put(key, format!("{key}\n"))?;
    }
    Ok(())
}

#[apply(load_test)]
async fn a_listing_that_is_cut_short_loads_and_replaces_nothing(env: TestEnv) -> Result<()> {
    fill(&env).await?;
    for entries in [0, 2] {
        let cut = move |document: String| {
            if is_check(&document) { document } else { cut_after(&document, entries) }
        };
        let injection = env.s3.faults().on_list(Times::Always, Fault::edit_listing(cut));
        for mode in ["append", "truncate", "swap"] {
            let args = ["--mode", mode, "--allow-empty", "--max-attempts", "2"];
            let ended = env.load_ending(5, "t", &args).await?;
            ended.says("a page of the listing did not arrive whole")?;
            ended.says("ends before </ListBucketResult>")?;
            expect(&env, "t", &["old"]).await?;
        }
        ensure!(injection.effect_count() >= 6, "each page is asked for twice");
        injection.remove();
    }
    Ok(())
}

#[apply(load_test)]
async fn a_later_page_that_is_cut_short_replaces_nothing(env: TestEnv) -> Result<()> {
    fill(&env).await?;
    for number in 0..1000 {
        env.put(&format!("in/{number:04}"), format!("{number}\n"))?;
    }
    let cut = |document: String| {
        if document.contains("<ContinuationToken>") { cut_after(&document, 1) } else { document }
    };
    env.s3.faults().on_list(Times::Always, Fault::edit_listing(cut));
    let args = ["--mode", "swap", "--verify", "checksum", "--max-attempts", "2"];
    env.load_ending(5, "t", &args).await?.says("a page of the listing did not arrive whole")?;
    expect(&env, "t", &["old"]).await?;
    // The job goes on with a listing that is whole.
    env.s3.faults().clear();
    env.load_ending(0, "t", &["--mode", "swap", "--verify", "checksum"]).await?;
    ensure!(env.count("t").await? == 1003, "every object is in the table once");
    Ok(())
}

#[apply(load_test)]
async fn a_page_that_is_cut_short_once_is_asked_for_again(env: TestEnv) -> Result<()> {
    fill(&env).await?;
    let pages = AtomicUsize::new(0);
    let cut = move |document: String| {
        let is_first = !is_check(&document) && pages.fetch_add(1, Ordering::Relaxed) == 0;
        if is_first { cut_after(&document, 1) } else { document }
    };
    env.s3.faults().on_list(Times::Always, Fault::edit_listing(cut));
    env.load_ending(0, "t", &[]).await?.says("trying again")?;
    expect(&env, "t", &["old", "a", "b", "c"]).await?;
    ensure!(env.s3.log().count(Operation::ListObjectsV2) == 3, "one page was asked for again");
    Ok(())
}

#[apply(load_test)]
async fn a_page_that_contradicts_itself_or_the_request_is_not_used(env: TestEnv) -> Result<()> {
    fill(&env).await?;
    for (from, to, why) in [
        ("<KeyCount>3</KeyCount>", "<KeyCount>4</KeyCount>", "KeyCount"),
        ("<IsTruncated>false</IsTruncated>", "", "IsTruncated"),
        ("<IsTruncated>false</IsTruncated>", "<IsTruncated>true</IsTruncated>", "no continuation"),
        ("<Name>etl</Name>", "<Name>other</Name>", "it is of bucket \"other\""),
        ("<Prefix></Prefix>", "<Prefix>in/</Prefix>", "it is of prefix \"in/\""),
    ] {
        let edit = move |document: String| {
            if is_check(&document) { document } else { document.replacen(from, to, 1) }
        };
        let injection = env.s3.faults().on_list(Times::Always, Fault::edit_listing(edit));
        let args = ["--mode", "truncate", "--max-attempts", "1"];
        let ended = env.load_ending(5, "t", &args).await?;
        ended.says("a page of the listing cannot be used, and nothing was decided")?;
        ended.says(why)?;
        expect(&env, "t", &["old"]).await?;
        injection.remove();
    }
    Ok(())
}

#[apply(plain_test)]
async fn the_listing_of_a_store_that_others_wrote_is_used() -> Result<()> {
    let url = moto::url()?;
    let client = client_with_keys(url, moto::ACCESS_KEY, moto::SECRET_KEY);
    client.create_bucket().bucket(BUCKET).send().await?;
    let keys = ["in/a", "in/b c+%", "in/d/\u{e9}"];
    for key in keys {
        let body = ByteStream::from_static(b"1\n");
        client.put_object().bucket(BUCKET).key(key).body(body).send().await?;
    }
    for (prefix, expected) in [("in/", keys.as_slice()), ("", keys.as_slice()), ("none/", &[])] {
        let reader = Reader::new(url, prefix, Duration::from_secs(10), 1).await?;
        let found = reader.list().await?;
        ensure!(found.keys() == expected && found.failed.is_empty(), "{prefix:?}: {found:?}");
    }
    Ok(())
}

/// Returns a listing of three keys as the endpoint sends it.
async fn recorded_page() -> Result<Vec<u8>> {
    let endpoint = Endpoint::start(Backend::new().with_bucket(BUCKET))?;
    endpoint.backend().allow_anonymous(BUCKET);
    for key in ["in/a", "in/b c", "in/d"] {
        endpoint.backend().put(BUCKET, key, "1\n")?;
    }
    let head = "GET /etl?list-type=2&prefix=in%2F&encoding-type=url HTTP/1.1\r\nHost: h\r\n\r\n";
    let answer = forward(endpoint.address(), head).await?;
    let text = String::from_utf8(answer)?;
    let (_, body) = text.split_once("\r\n\r\n").context("an answer has a body")?;
    Ok(body.as_bytes().to_vec())
}

#[apply(plain_test)]
async fn a_listing_cut_at_any_byte_is_never_taken_for_a_whole_one() -> Result<()> {
    let page = Arc::new(recorded_page().await?);
    let (cut, cuts) = watch::channel((page.len(), Framing::Length));
    let sent = Arc::clone(&page);
    let store = RawStore::start(move |_| {
        let (end, framing) = *cuts.borrow();
        let answer = answer_200(&sent[..end], framing);
        async { answer }
    })
    .await?;
    let reader = Reader::new(store.url(), "in/", Duration::from_secs(10), 1).await?;
    let keys = ["in/a", "in/b c", "in/d"];
    for framing in [Framing::Close, Framing::Length, Framing::Chunked] {
        cut.send_replace((page.len(), framing));
        ensure!(reader.list().await?.keys() == keys, "{framing:?}: the whole page is refused");
    }
    let mut cut_count = 0;
    for framing in Framing::ALL {
        for end in 0..page.len() {
            cut.send_replace((end, framing));
            match reader.list().await {
                Err(error) => ensure!(
                    error.kind == ErrorKind::ListingBroken,
                    "{framing:?}, cut at {end}: {}",
                    error.one_line()
                ),
                Ok(found) => anyhow::bail!("{framing:?}, cut at {end}: {:?}", found.keys()),
            }
            cut_count += 1;
        }
    }
    ensure!(cut_count > 3000, "the page has only {} bytes", page.len());
    Ok(())
}
