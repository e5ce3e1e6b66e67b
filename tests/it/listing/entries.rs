//! Entries of a listing that cannot be used, keys in another order, and listings without an end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use s3_to_mysql::error::ErrorKind;

use super::is_check;
use crate::registry::{apply, load_test, plain_test};
use crate::support::lines::{self, expect, expect_failure};
use crate::support::program::TestEnv;
use crate::support::raw_store::{Answer, Framing, RawStore, Then, answer_200};
use crate::support::read_all::Reader;
use crate::support::s3::{Fault, Object, Operation, Times};

fn entry(key: &str, etag: &str, size: &str) -> String {
    format!(
        "<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>\
         <ETag>{etag}</ETag><Size>{size}</Size></Contents>"
    )
}

/// Adds entries at the end of a page.
fn with_entries(document: &str, entries: &[String]) -> String {
    let count = document.matches("<Contents>").count();
    document
        .replace(
            &format!("<KeyCount>{count}</KeyCount>"),
            &format!("<KeyCount>{}</KeyCount>", count + entries.len()),
        )
        .replace("</ListBucketResult>", &format!("{}</ListBucketResult>", entries.concat()))
}

#[apply(load_test)]
async fn an_entry_that_cannot_be_used_fails_alone(env: TestEnv) -> Result<()> {
    lines::create(&env, "t").await?;
    for key in ["in/a", "in/b", "in/c", "in/d", "out/x"] {
        env.put(key, format!("{key}\n"))?;
    }
    let edit = |document: String| {
        if is_check(&document) {
            return document;
        }
        let entries = [
            // A key with two ETags, and one that is listed twice as it is.
            entry("in/a", "&quot;another&quot;", "5"),
            entry("in/c", "&quot;c&quot;", "5"),
            entry("in/e", "&quot;e&#10;Cookie: x&quot;", "5"),
            entry("in/f", "&quot;f&quot;", "-5"),
            entry("in/%FF", "&quot;g&quot;", "5"),
            entry("out/x", "&quot;h&quot;", "5"),
            entry("in%2F..%2F..%2Fout/x", "&quot;h&quot;", "5"),
            entry("", "&quot;i&quot;", "5"),
        ];
        with_entries(&document, &entries)
    };
    env.s3.faults().on_list(Times::Always, Fault::edit_listing(edit));
    let (report, failed) = (env.path("report"), env.path("failed"));
    let (report, failed) = (report.to_string_lossy(), failed.to_string_lossy());
    let mut args = vec!["load", "s3://etl/in/", "--table", "t", "--report", &report];
    args.extend(["--failed-keys", &failed]);
    let ended = env.run(&args).await?;
    ended.expect(3)?;
    ensure!(!ended.stderr.contains("credentials"), "{ended}");
    expect(&env, "t", &["in/a", "in/b", "in/c", "in/d"]).await?;
    for key in ["in/e", "in/f", "in/%FF", "out/x", ""] {
        expect_failure(&env, "report", key, "source_protocol")?;
    }
    // This key is below the prefix, and no object has it.
    expect_failure(&env, "report", "in/../../out/x", "object_missing")?;
    let lines = env.report("report")?;
    for key in ["in/a", "in/c"] {
        let outcomes: Vec<_> = lines.iter().filter(|line| line["key"] == key).collect();
        ensure!(outcomes.len() == 2, "loaded once and refused once: {outcomes:?}");
    }
    // The file of failed keys can be read back: it has no line without a key.
    let keys = std::fs::read_to_string(env.path("failed"))?;
    let named = ["s3://etl/in/a", "s3://etl/in/c", "s3://etl/out/x"];
    ensure!(named.iter().all(|line| keys.lines().any(|key| key == *line)), "{keys}");
    ensure!(keys.lines().all(|line| line != "s3://etl/"), "{keys}");
    env.run(&["load", "--keys-from", &failed, "--table", "t"]).await?.expect(3)?;
    expect(&env, "t", &["in/a", "in/b", "in/c", "in/d", "out/x"]).await
}

#[apply(load_test)]
async fn a_key_that_is_listed_twice_is_loaded_once_without_a_ledger(env: TestEnv) -> Result<()> {
    lines::create(&env, "t").await?;
    env.put("a", "a\n")?;
    let edit = |document: String| {
        let entries = document.find("<Contents>").zip(document.find("</Contents>"));
        let Some((start, end)) = entries.filter(|_| !is_check(&document)) else { return document };
        let repeated = document[start..end + "</Contents>".len()].to_owned();
        with_entries(&document, &[repeated.clone(), repeated])
    };
    env.s3.faults().on_list(Times::Always, Fault::edit_listing(edit));
    let ended = env.load_ending(3, "t", &["--no-ledger"]).await?;
    ended.says("the listing has it twice")?;
    expect(&env, "t", &["a"]).await
}

#[apply(load_test)]
async fn an_empty_etag_is_looked_up_and_refused_if_the_object_has_no_other(
    env: TestEnv,
) -> Result<()> {
    lines::create(&env, "t").await?;
    env.put("a", "a\n")?;
    env.put("b", Object::new("b\n").with_etag(""))?;
    let quoted_etag = env.s3.backend().newest("etl", "a").map(|object| object.quoted_etag());
    let etag = quoted_etag.unwrap_or_default().replace('"', "");
    let edit = move |document: String| document.replace(&etag, "");
    env.s3.faults().on_list(Times::Always, Fault::edit_listing(edit));
    let report = env.path("report");
    let ended = env.load_ending(3, "t", &["--report", &report.to_string_lossy()]).await?;
    ended.says("the store gives no ETag")?;
    expect_failure(&env, "report", "b", "source_protocol")?;
    ensure!(env.s3.log().count(Operation::HeadObject) == 2, "each object is asked for");
    expect(&env, "t", &["a"]).await
}

#[apply(load_test)]
async fn keys_in_another_order_are_all_loaded_once(env: TestEnv) -> Result<()> {
    lines::create(&env, "t").await?;
    for key in ["a", "b", "c", "d"] {
        env.put(key, format!("{key}\n"))?;
    }
    let edit = |document: String| {
        let mut entries: Vec<&str> = document.split("<Contents>").collect();
        let count = entries.len();
        if count < 4 {
            return document;
        }
        // All but the first, and the last, which the rest of the document follows.
        entries[1..count - 1].reverse();
        entries.join("<Contents>")
    };
    env.s3.faults().on_list(Times::Always, Fault::edit_listing(edit));
    env.load_ending(0, "t", &[]).await?;
    expect(&env, "t", &["a", "b", "c", "d"]).await
}

#[apply(load_test)]
async fn sizes_that_add_up_to_more_than_64_bits_do_not_wrap(env: TestEnv) -> Result<()> {
    lines::create(&env, "t").await?;
    for key in ["a", "b", "c", "d", "e"] {
        env.put(key, "12345\n")?;
    }
    let edit =
        |document: String| document.replace("<Size>6</Size>", "<Size>9223372036854775807</Size>");
    env.s3.faults().on_list(Times::Always, Fault::edit_listing(edit));
    let planned = env.run(&["plan", "s3://etl/", "--table", "t"]).await?;
    planned.says("5 objects, 46116860184273879035 bytes (16.00 EiB)")?;
    env.load_ending(3, "t", &[]).await?;
    env.load_ending(3, "t", &["--no-split", "--no-ledger"]).await?;
    expect(&env, "t", &[]).await
}

/// Returns a page of one key, which a page under `next` follows.
fn page(key: &str, token: &str, next: &str) -> String {
    format!(
        "<ListBucketResult><Name>etl</Name><Prefix></Prefix><KeyCount>1</KeyCount>\
         <IsTruncated>true</IsTruncated><ContinuationToken>{token}</ContinuationToken>\
         <NextContinuationToken>{next}</NextContinuationToken>{}</ListBucketResult>",
        entry(key, "&quot;e&quot;", "1")
    )
}

/// Returns the token of a request for a page.
fn token(head: &str) -> &str {
    let query = head.split_once("continuation-token=").map_or("", |(_, rest)| rest);
    query.split(['&', ' ']).next().unwrap_or_default()
}

#[apply(plain_test)]
async fn tokens_that_go_in_a_circle_end_the_listing() -> Result<()> {
    let store = RawStore::start(|head| async move {
        let (key, next) = match token(&head) {
            "" => ("k0", "A"),
            "A" => ("k1", "B"),
            "B" => ("k2", "C"),
            _ => ("k3", "B"),
        };
        answer_200(page(key, token(&head), next).as_bytes(), Framing::Length)
    })
    .await?;
    let reader = Reader::new(store.url(), "", Duration::from_secs(10), 1).await?;
    let error = reader.list().await.err().map(|error| (error.kind, error.one_line()));
    ensure!(
        error.as_ref().is_some_and(|(kind, text)| *kind == ErrorKind::SourceProtocol
            && text.contains("returned the same page twice")),
        "{error:?}"
    );
    Ok(())
}

#[apply(plain_test)]
async fn pages_without_a_new_key_end_the_listing() -> Result<()> {
    let number = AtomicUsize::new(0);
    let store = RawStore::start(move |head| {
        let next = number.fetch_add(1, Ordering::Relaxed).to_string();
        async move { answer_200(page("k", token(&head), &next).as_bytes(), Framing::Length) }
    })
    .await?;
    let reader = Reader::new(store.url(), "", Duration::from_secs(10), 1).await?;
    let error = reader.list().await.err().map(|error| error.one_line());
    ensure!(
        error.as_ref().is_some_and(|text| text.contains("returned the same page twice")),
        "{error:?}"
    );
    Ok(())
}

#[apply(plain_test)]
async fn a_redirect_to_another_host_is_not_followed() -> Result<()> {
    let was_asked = Arc::new(AtomicBool::new(false));
    let other = {
        let was_asked = Arc::clone(&was_asked);
        RawStore::start(move |_| {
            was_asked.store(true, Ordering::Relaxed);
            async { answer_200(page("k", "", "").as_bytes(), Framing::Length) }
        })
        .await?
    };
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect"] {
        let location = format!("Location: {}/b/", other.url());
        let head = format!(
            "HTTP/1.1 {status}\r\n{location}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        let answer = Answer { bytes: head.into_bytes(), then: Then::Close };
        let store = RawStore::start(move |_| std::future::ready(answer.clone())).await?;
        let reader = Reader::new(store.url(), "", Duration::from_secs(10), 1).await?;
        ensure!(reader.list().await.is_err(), "{status}");
        ensure!(!was_asked.load(Ordering::Relaxed), "{status}: the other host was asked");
    }
    // It would have been noticed.
    let _ = Reader::new(other.url(), "", Duration::from_secs(10), 1).await?.list().await;
    ensure!(was_asked.load(Ordering::Relaxed), "the other host was not asked directly");
    Ok(())
}
