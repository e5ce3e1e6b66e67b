//! Each fault of the endpoint does what it says, and its log is correct. Other tests rely on this
//! beyond the contract.

use anyhow::{Context as _, bail, ensure};
use aws_sdk_s3::Client;
use aws_sdk_s3::error::{DisplayErrorContext, ProvideErrorMetadata as _};
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumMode, EncodingType, ObjectStorageClass};
use bytes::Bytes;
use std::future::Future;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use crate::contract::same;
use crate::registry::{apply, plain_test};
use crate::support::s3::{
    ACCESS_KEY, Algorithm, Backend, Endpoint, Fault, Keys, Object, Operation, Refusal, Times,
    anonymous_client, client, client_with_keys,
};

fn start() -> anyhow::Result<(Endpoint, Client)> {
    let endpoint = Endpoint::start(Backend::new().with_bucket("etl"))?;
    let client = client(&endpoint);
    Ok((endpoint, client))
}

async fn get(client: &Client, key: &str) -> anyhow::Result<GetObjectOutput> {
    client.get_object().bucket("etl").key(key).send().await.map_err(|error| match error.code() {
        Some(code) => anyhow::anyhow!("{code}"),
        None => anyhow::anyhow!("{}", DisplayErrorContext(&error)),
    })
}

async fn read(client: &Client, key: &str) -> anyhow::Result<Bytes> {
    whole(get(client, key).await?).await
}

async fn whole(output: GetObjectOutput) -> anyhow::Result<Bytes> {
    Ok(output.body.collect().await?.into_bytes())
}

/// Returns the bytes that arrived, and true if the body then failed.
async fn arrived(mut body: ByteStream) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    loop {
        match body.next().await {
            None => return (bytes, false),
            Some(Err(_)) => return (bytes, true),
            Some(Ok(chunk)) => bytes.extend_from_slice(&chunk),
        }
    }
}

fn fails_with<T>(result: anyhow::Result<T>, part: &str) -> anyhow::Result<()> {
    let Err(error) = result else { bail!("succeeded, where {part} was due") };
    ensure!(format!("{error:#}").contains(part), "failed with {error:#}, not with {part}");
    Ok(())
}

#[apply(plain_test)]
async fn a_refusal_shows_as_often_as_asked_and_then_no_more() -> anyhow::Result<()> {
    let (endpoint, client) = start()?;
    endpoint.backend().put("etl", "a", "hello")?;
    endpoint.backend().put("etl", "b", "other")?;
    let injection =
        endpoint.faults().on_get("a", Times::Next(2), Fault::Refuse(Refusal::SLOW_DOWN));
    same("another key", read(&client, "b").await?, Bytes::from("other"))?;
    fails_with(read(&client, "a").await, "SlowDown")?;
    fails_with(read(&client, "a").await, "SlowDown")?;
    same("third", read(&client, "a").await?, Bytes::from("hello"))?;
    same("effects", injection.effect_count(), 2)?;
    let late = endpoint.faults().on_get("a", Times::After(1), Fault::Refuse(Refusal::KMS_DENIED));
    read(&client, "a").await?;
    fails_with(read(&client, "a").await, "AccessDenied")?;
    late.remove();
    read(&client, "a").await?;
    Ok(())
}

#[apply(plain_test)]
async fn a_refusal_can_meet_each_key_once() -> anyhow::Result<()> {
    let (endpoint, client) = start()?;
    for key in ["in/a", "in/b"] {
        endpoint.backend().put("etl", key, "hello")?;
    }
    let keys = Keys::StartingWith("in/".to_owned());
    let refusal = Fault::Refuse(Refusal::INTERNAL_ERROR);
    endpoint.faults().inject(Operation::GetObject, keys, Times::NextOfEachKey(1), refusal);
    for key in ["in/a", "in/b"] {
        fails_with(read(&client, key).await, "InternalError")?;
        read(&client, key).await?;
    }
    Ok(())
}

#[apply(plain_test)]
async fn a_cut_body_gives_exactly_the_bytes_before_the_cut() -> anyhow::Result<()> {
    let (endpoint, client) = start()?;
    let content: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
    endpoint.backend().put("etl", "a", content.clone())?;
    for after_bytes in [0_usize, 1, 262_144, 1_000_001, 2_999_999] {
        let cut = Fault::CutBody { after_bytes: after_bytes as u64 };
        let injection = endpoint.faults().on_get("a", Times::Next(1), cut);
        let output = get(&client, "a").await?;
        same("promised", output.content_length, Some(3_000_000))?;
        let (bytes, has_failed) = arrived(output.body).await;
        same("arrived", bytes.len(), after_bytes)?;
        ensure!(bytes == content[..after_bytes], "other bytes arrived");
        ensure!(has_failed, "the body ended as if it were whole");
        same("effects", injection.effect_count(), 1)?;
    }
    ensure!(read(&client, "a").await? == content, "the next one is not whole");
    Ok(())
}

#[apply(plain_test)]
async fn a_shortened_body_looks_complete() -> anyhow::Result<()> {
    let (endpoint, client) = start()?;
    endpoint.backend().put("etl", "a", Object::new("0123456789").without_checksum())?;
    endpoint.faults().on_get("a", Times::Always, Fault::ShortenBody { to_bytes: 4 });
    let output = get(&client, "a").await?;
    same("length", output.content_length, Some(4))?;
    same("content", whole(output).await?, Bytes::from("0123"))
}

#[apply(plain_test)]
async fn a_stalled_body_goes_on_when_released() -> anyhow::Result<()> {
    let (endpoint, client) = start()?;
    endpoint.backend().put("etl", "a", "0123456789")?;
    let injection =
        endpoint.faults().on_get("a", Times::Next(1), Fault::StallBody { after_bytes: 4 });
    let mut body = get(&client, "a").await?.body;
    injection.wait_for_effects(1).await;
    let mut bytes = Vec::new();
    while bytes.len() < 4 {
        bytes.extend_from_slice(&body.next().await.context("ended before the stall")??);
    }
    same("before the stall", bytes.as_slice(), b"0123")?;
    let rest = {
        let mut rest = pin!(body.next());
        ensure!(
            std::future::poll_fn(|cx| Poll::Ready(rest.as_mut().poll(cx).is_pending())).await,
            "it did not stall"
        );
        injection.release();
        rest.await.context("ended after the stall")??
    };
    same("after the stall", rest.as_ref(), b"456789")
}

#[apply(plain_test)]
async fn a_held_request_is_answered_when_released() -> anyhow::Result<()> {
    let (endpoint, client) = start()?;
    endpoint.backend().put("etl", "a", "hello")?;
    let injection = endpoint.faults().on_get("a", Times::Always, Fault::Hold);
    let reading = tokio::spawn(async move { read(&client, "a").await });
    injection.wait_for_effects(1).await;
    ensure!(!reading.is_finished(), "it was answered");
    injection.release();
    same("content", reading.await??, Bytes::from("hello"))
}

#[apply(plain_test)]
async fn a_client_that_leaves_a_held_request_is_no_longer_in_flight() -> anyhow::Result<()> {
    let (endpoint, client) = start()?;
    endpoint.backend().put("etl", "a", "hello")?;
    let injection = endpoint.faults().on_get("a", Times::Always, Fault::Hold);
    let reading = tokio::spawn(async move { read(&client, "a").await });
    injection.wait_for_effects(1).await;
    same("in flight", endpoint.log().gets_in_flight(), 1)?;
    reading.abort();
    endpoint.log().wait_until(|log| log.gets_in_flight() == 0).await;
    Ok(())
}

#[apply(plain_test)]
async fn delayed_answers_come_late() -> anyhow::Result<()> {
    let (endpoint, client) = start()?;
    endpoint.backend().put("etl", "a", "hello")?;
    let delay = Duration::from_millis(80);
    endpoint.faults().on_everything(Times::Always, Fault::Delay(delay));
    let begun = Instant::now();
    client.list_objects_v2().bucket("etl").send().await?;
    read(&client, "a").await?;
    ensure!(begun.elapsed() >= 2 * delay, "they came after {:?}", begun.elapsed());
    Ok(())
}

#[apply(plain_test)]
async fn an_overwrite_before_the_read_is_seen_by_if_match() -> anyhow::Result<()> {
    let (endpoint, client) = start()?;
    let old = endpoint.backend().put("etl", "a", "old")?;
    let backend = endpoint.backend().clone();
    let overwrite = Fault::before(move |request| {
        let put = backend.put(&request.bucket, &request.key, "new");
        async move { drop(put) }
    });
    endpoint.faults().on_get("a", Times::Next(1), overwrite);
    let pinned = || client.get_object().bucket("etl").key("a").if_match(old.quoted_etag());
    same(
        "code",
        pinned().send().await.err().and_then(|error| Some(error.code()?.to_owned())),
        Some("PreconditionFailed".to_owned()),
    )?;
    endpoint.faults().on_get("a", Times::Always, Fault::IgnoreIfMatch);
    let output = pinned().send().await?;
    ensure!(output.e_tag() != Some(&old.quoted_etag()), "the ETag is the old one");
    same("content", whole(output).await?, Bytes::from("new"))
}

#[apply(plain_test)]
async fn a_flipped_bit_fails_the_checksum() -> anyhow::Result<()> {
    let (endpoint, client) = start()?;
    for algorithm in [
        Algorithm::Crc32,
        Algorithm::Crc32c,
        Algorithm::Crc64Nvme,
        Algorithm::Sha1,
        Algorithm::Sha256,
    ] {
        endpoint.backend().put("etl", "a", Object::new("0123456789").with_checksum(algorithm))?;
        same("unharmed", read(&client, "a").await?, Bytes::from("0123456789"))?;
        endpoint.faults().on_get("a", Times::Next(1), Fault::FlipBit { at_byte: 3 });
        fails_with(read(&client, "a").await, "checksum mismatch")?;
    }
    endpoint.backend().put("etl", "a", Object::new("0123456789").without_checksum())?;
    endpoint.faults().on_get("a", Times::Next(1), Fault::FlipBit { at_byte: 3 });
    same("unchecked", read(&client, "a").await?, Bytes::from("0122456789"))
}

#[apply(plain_test)]
async fn a_wrong_checksum_header_fails_a_good_body() -> anyhow::Result<()> {
    let (endpoint, client) = start()?;
    endpoint.backend().put("etl", "a", "hello")?;
    endpoint.faults().on_get("a", Times::Next(1), Fault::WrongChecksum);
    fails_with(read(&client, "a").await, "checksum mismatch")
}

#[apply(plain_test)]
async fn a_composite_checksum_says_how_many_parts() -> anyhow::Result<()> {
    let (endpoint, client) = start()?;
    let object =
        Object::new("0123456789").with_etag("0123-2").with_composite_checksum(Algorithm::Sha256, 2);
    endpoint.backend().put("etl", "a", object)?;
    let output = client
        .get_object()
        .bucket("etl")
        .key("a")
        .checksum_mode(ChecksumMode::Enabled)
        .send()
        .await?;
    same("ETag", output.e_tag(), Some("\"0123-2\""))?;
    // Computed with another program: sha256(sha256("01234") || sha256("56789")).
    same(
        "checksum",
        output.checksum_sha256(),
        Some("N7HU4sCX924sGwPEjjVrehEoVZGWFs9+jec8UebzU+k=-2"),
    )?;
    same("content", whole(output).await?, Bytes::from("0123456789"))
}

#[apply(plain_test)]
async fn listings_misbehave_as_asked() -> anyhow::Result<()> {
    let (endpoint, client) = start()?;
    endpoint.backend().put("etl", "a b", "hello")?;
    let list = || client.list_objects_v2().bucket("etl").encoding_type(EncodingType::Url);
    endpoint.faults().on_list(Times::Next(1), Fault::NoEtag);
    same("ETag", list().send().await?.contents()[0].e_tag(), None)?;
    endpoint.faults().on_list(Times::Next(1), Fault::PlainKeys);
    let plain = list().send().await?;
    same("key", (plain.contents()[0].key(), plain.encoding_type()), (Some("a b"), None))?;
    same("key as due", list().send().await?.contents()[0].key(), Some("a+b"))?;
    endpoint.faults().on_list(Times::Next(2), Fault::EndlessListing);
    let first = list().send().await?;
    same("truncated", first.is_truncated, Some(true))?;
    let token = first.next_continuation_token.context("no token")?;
    let again = list().continuation_token(&token).send().await?;
    same("token", again.next_continuation_token(), Some(token.as_str()))?;
    endpoint.faults().on_list(Times::Next(1), Fault::garbage_listing());
    let garbage = list().send().await;
    // How the SDK reports it does not matter, as long as it is not a listing.
    ensure!(
        garbage.is_err()
            || garbage.is_ok_and(|list| list.contents().is_empty() && list.name.is_none()),
        "it was a listing"
    );
    Ok(())
}

#[apply(plain_test)]
async fn an_ignored_range_gives_the_whole_object() -> anyhow::Result<()> {
    let (endpoint, client) = start()?;
    endpoint.backend().put("etl", "a", "0123456789")?;
    endpoint.faults().on_get("a", Times::Next(1), Fault::IgnoreRange);
    let output = client.get_object().bucket("etl").key("a").range("bytes=5-").send().await?;
    same("Content-Range", output.content_range(), None)?;
    same("content", whole(output).await?, Bytes::from("0123456789"))
}

#[apply(plain_test)]
async fn an_archived_object_is_listed_and_not_read() -> anyhow::Result<()> {
    let (endpoint, client) = start()?;
    endpoint.backend().put("etl", "a", Object::new("hello").archived())?;
    let list = client.list_objects_v2().bucket("etl").send().await?;
    same(
        "class",
        list.contents()[0].storage_class().map(ObjectStorageClass::as_str),
        Some("GLACIER"),
    )?;
    fails_with(read(&client, "a").await, "InvalidObjectState")
}

#[apply(plain_test)]
async fn an_open_bucket_is_read_without_a_signature() -> anyhow::Result<()> {
    let (endpoint, _) = start()?;
    endpoint.backend().put("etl", "a", "hello")?;
    endpoint.backend().allow_anonymous("etl");
    let anonymous = anonymous_client(endpoint.url());
    same("content", read(&anonymous, "a").await?, Bytes::from("hello"))?;
    ensure!(!endpoint.log().gets_of("a")[0].is_signed, "it was signed");
    let put = anonymous
        .put_object()
        .bucket("etl")
        .key("a")
        .body(ByteStream::from_static(b"changed"))
        .send()
        .await;
    ensure!(put.is_err(), "an unsigned write was let in");
    let stolen = client_with_keys(endpoint.url(), ACCESS_KEY, "wrong");
    fails_with(read(&stolen, "a").await, "SignatureDoesNotMatch")
}

#[apply(plain_test)]
async fn the_log_knows_requests_and_what_was_in_flight() -> anyhow::Result<()> {
    let (endpoint, client) = start()?;
    for key in ["a", "b", "c"] {
        endpoint.backend().put("etl", key, "0123456789")?;
    }
    let stall = Fault::StallBody { after_bytes: 0 };
    let injection = endpoint.faults().inject(Operation::GetObject, Keys::Any, Times::Always, stall);
    let mut readers = tokio::task::JoinSet::new();
    for key in ["a", "b", "c"] {
        let client = client.clone();
        readers.spawn(async move { read(&client, key).await });
    }
    injection.wait_for_effects(3).await;
    same("in flight", endpoint.log().gets_in_flight(), 3)?;
    same("outstanding at most", endpoint.log().max_outstanding_bytes(), 30)?;
    injection.release();
    while let Some(reader) = readers.join_next().await {
        reader??;
    }
    endpoint.log().wait_until(|log| log.gets_in_flight() == 0).await;
    let range =
        client.get_object().bucket("etl").key("a").range("bytes=-3").if_match("*").send().await?;
    whole(range).await?;
    same("GETs", endpoint.log().count(Operation::GetObject), 4)?;
    same("most in flight", endpoint.log().max_gets_in_flight(), 3)?;
    let last = endpoint.log().gets_of("a").pop().context("no GET of a")?;
    same("last", (last.range.as_deref(), last.if_match.as_deref()), (Some("bytes=-3"), Some("*")))?;
    ensure!(last.is_signed && last.asks_checksum && last.bucket == "etl", "{last:?}");
    Ok(())
}

#[apply(plain_test)]
async fn a_generated_object_is_the_same_in_any_range() -> anyhow::Result<()> {
    let (endpoint, client) = start()?;
    let block: Vec<u8> = (0..100_003_u32).map(|number| (number % 251) as u8).collect();
    let expected: Vec<u8> = block.iter().copied().cycle().take(1_000_000).collect();
    endpoint.backend().put("etl", "a", Object::repeated(block, 1_000_000))?;
    ensure!(read(&client, "a").await? == expected, "the content is another");
    let range =
        client.get_object().bucket("etl").key("a").range("bytes=99990-600000").send().await?;
    ensure!(whole(range).await? == expected[99_990..=600_000], "the range is another");
    Ok(())
}

fn folder() -> anyhow::Result<(tempfile::TempDir, Endpoint, Client)> {
    let folder = tempfile::tempdir()?;
    let endpoint = Endpoint::start(Backend::new().with_folder("etl", folder.path().join("root")))?;
    std::fs::create_dir_all(folder.path().join("root/in"))?;
    let client = client(&endpoint);
    Ok((folder, endpoint, client))
}

#[apply(plain_test)]
async fn a_folder_is_a_bucket() -> anyhow::Result<()> {
    let (folder, endpoint, client) = folder()?;
    let content: Vec<u8> = (0..600_000_u32).map(|number| (number % 251) as u8).collect();
    std::fs::write(folder.path().join("root/in/a b.csv"), &content)?;
    std::fs::write(folder.path().join("root/in/empty"), b"")?;
    same("objects", endpoint.backend().warm().await?, 2)?;
    let list = client.list_objects_v2().bucket("etl").prefix("in/").send().await?;
    let listed: Vec<_> = list
        .contents()
        .iter()
        .map(|object| (object.key().unwrap_or_default(), object.size))
        .collect();
    same("listed", listed, vec![("in/a b.csv", Some(600_000)), ("in/empty", Some(0))])?;
    same(
        "ETag of nothing",
        list.contents()[1].e_tag(),
        Some("\"d41d8cd98f00b204e9800998ecf8427e\""),
    )?;
    // The SDK compares the CRC64NVME.
    let output = get(&client, "in/a b.csv").await?;
    ensure!(output.checksum_crc64_nvme().is_some(), "it has no checksum");
    ensure!(whole(output).await? == content, "the content is another");
    let range = client
        .get_object()
        .bucket("etl")
        .key("in/a b.csv")
        .range("bytes=262100-262200")
        .send()
        .await?;
    ensure!(whole(range).await? == content[262_100..=262_200], "the range is another");
    same("nothing", read(&client, "in/empty").await?, Bytes::new())
}

#[apply(plain_test)]
async fn a_file_that_changes_has_another_etag() -> anyhow::Result<()> {
    let (folder, _endpoint, client) = folder()?;
    let path = folder.path().join("root/a");
    std::fs::write(&path, "one")?;
    let list = client.list_objects_v2().bucket("etl").send().await?;
    let listed = list.contents()[0].e_tag().context("no ETag")?;
    std::fs::write(&path, "three")?;
    let pinned = client.get_object().bucket("etl").key("a").if_match(listed).send().await;
    same(
        "code",
        pinned.err().and_then(|error| Some(error.code()?.to_owned())),
        Some("PreconditionFailed".to_owned()),
    )?;
    same("content", read(&client, "a").await?, Bytes::from("three"))
}

#[apply(plain_test)]
async fn a_key_never_leads_out_of_the_folder() -> anyhow::Result<()> {
    let (folder, _endpoint, client) = folder()?;
    std::fs::write(folder.path().join("secret"), "secret")?;
    std::fs::write(folder.path().join("root/in/a"), "a")?;
    read(&client, "in/a").await?;
    for key in ["../secret", "in/../../secret", "in//a", "in/./a", "in", "in/a/", "/in/a"] {
        fails_with(read(&client, key).await.with_context(|| key.to_owned()), "NoSuchKey")?;
    }
    Ok(())
}

#[apply(plain_test)]
async fn a_stopped_endpoint_closes_its_connections() -> anyhow::Result<()> {
    let (endpoint, client) = start()?;
    endpoint.backend().put("etl", "a", "0123456789")?;
    let injection =
        endpoint.faults().on_get("a", Times::Always, Fault::StallBody { after_bytes: 4 });
    let output = get(&client, "a").await?;
    injection.wait_for_effects(1).await;
    let address = endpoint.address();
    endpoint.stop().await;
    let (bytes, has_failed) = arrived(output.body).await;
    same("arrived", (bytes.as_slice(), has_failed), (b"0123".as_slice(), true))?;
    ensure!(tokio::net::TcpStream::connect(address).await.is_err(), "the port is still open");
    Ok(())
}
