//! The contract of GET: the listed object, whole or in part, with the means to verify it.

use super::{Context, content, keys_of, refusal, same};
use crate::support::s3::client_with_keys;
use anyhow::{Context as _, ensure};
use aws_sdk_s3::Client;
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    BucketVersioningStatus, ChecksumAlgorithm, ChecksumMode, ChecksumType, Object,
    VersioningConfiguration,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use std::time::{Duration, SystemTime};

pub(super) async fn listing_reading_and_head_agree_on_etag_size_and_time(
    context: &Context,
) -> anyhow::Result<()> {
    let put = context.put("a", b"hello").await?;
    let objects = context.listed("").await?;
    let listed = objects.first().context("not listed")?;
    let get = context.get("a").await?;
    let head = context.client.head_object().bucket(&context.bucket).key("a").send().await?;
    same("listed ETag", listed.e_tag(), Some(put.as_str()))?;
    same("ETag of GET", get.e_tag(), Some(put.as_str()))?;
    same("ETag of HEAD", head.e_tag(), Some(put.as_str()))?;
    same("sizes", [listed.size, get.content_length, head.content_length], [Some(5); 3])?;
    let modified = listed.last_modified.context("no time in the listing")?;
    // Headers have seconds only. The listings of some stores are finer.
    same(
        "times",
        [get.last_modified, head.last_modified].map(|time| time.map(|time| time.secs())),
        [Some(modified.secs()); 2],
    )?;
    let age = SystemTime::now().duration_since(SystemTime::try_from(modified)?)?;
    ensure!(age < Duration::from_mins(5), "the object is said to be {age:?} old");
    Ok(())
}

pub(super) async fn an_etag_is_the_quoted_md5_of_a_simple_upload(
    context: &Context,
) -> anyhow::Result<()> {
    same("ETag", context.put("a", b"hello").await?.as_str(), "\"5d41402abc4b2a76b9719d911017c592\"")
}

pub(super) async fn an_overwrite_changes_the_listed_etag(context: &Context) -> anyhow::Result<()> {
    let before = context.put("a", b"one").await?;
    let after = context.put("a", b"two").await?;
    ensure!(before != after, "the ETag stayed {before}");
    let objects = context.listed("").await?;
    same("listed ETags", objects.iter().map(Object::e_tag).collect(), vec![Some(after.as_str())])
}

pub(super) async fn if_match_refuses_an_object_that_was_overwritten(
    context: &Context,
) -> anyhow::Result<()> {
    let before = context.put("a", b"one").await?;
    let get = |etag: &str| {
        context.client.get_object().bucket(&context.bucket).key("a").if_match(etag).send()
    };
    same("with the right ETag", content(get(&before).await?).await?, Bytes::from_static(b"one"))?;
    let after = context.put("a", b"two").await?;
    same(
        "with the old ETag",
        refusal(get(&before).await)?,
        (412, "PreconditionFailed".to_owned()),
    )?;
    same("with the new ETag", content(get(&after).await?).await?, Bytes::from_static(b"two"))
}

pub(super) async fn ranges_are_answered_in_part(context: &Context) -> anyhow::Result<()> {
    context.put("a", b"0123456789").await?;
    for (range, shown, part) in [
        ("bytes=2-4", "bytes 2-4/10", "234"),
        ("bytes=7-", "bytes 7-9/10", "789"),
        ("bytes=8-99", "bytes 8-9/10", "89"),
        ("bytes=-3", "bytes 7-9/10", "789"),
        ("bytes=-99", "bytes 0-9/10", "0123456789"),
    ] {
        let get =
            context.client.get_object().bucket(&context.bucket).key("a").range(range).send().await;
        let get = get.with_context(|| format!("range {range}"))?;
        same(&format!("Content-Range of {range}"), get.content_range(), Some(shown))?;
        same(&format!("length of {range}"), get.content_length, Some(i64::try_from(part.len())?))?;
        same(
            &format!("content of {range}"),
            content(get).await?,
            Bytes::from_static(part.as_bytes()),
        )?;
    }
    Ok(())
}

pub(super) async fn a_range_past_the_end_is_refused(context: &Context) -> anyhow::Result<()> {
    context.put("a", b"0123456789").await?;
    let get = context
        .client
        .get_object()
        .bucket(&context.bucket)
        .key("a")
        .range("bytes=10-")
        .send()
        .await;
    same("range from the end on", refusal(get)?, (416, "InvalidRange".to_owned()))
}

pub(super) async fn a_range_of_an_overwritten_object_is_refused(
    context: &Context,
) -> anyhow::Result<()> {
    let before = context.put("a", b"0123456789").await?;
    context.put("a", b"abcdefghij").await?;
    let get = context
        .client
        .get_object()
        .bucket(&context.bucket)
        .key("a")
        .range("bytes=5-")
        .if_match(before);
    same(
        "range under the old ETag",
        refusal(get.send().await)?,
        (412, "PreconditionFailed".to_owned()),
    )
}

pub(super) async fn an_empty_object_is_read_as_nothing(context: &Context) -> anyhow::Result<()> {
    context.put("a", b"").await?;
    same(
        "listed sizes",
        context.listed("").await?.iter().map(Object::size).collect(),
        vec![Some(0)],
    )?;
    let get = context.get("a").await?;
    same("length", get.content_length, Some(0))?;
    same("content", content(get).await?, Bytes::new())
}

pub(super) async fn ten_megabytes_arrive_whole(context: &Context) -> anyhow::Result<()> {
    let large: Bytes = (0..10_000_000_u32)
        .map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let put = context
        .client
        .put_object()
        .bucket(&context.bucket)
        .key("a")
        .body(ByteStream::from(large.clone()));
    put.send().await?;
    ensure!(content(context.get("a").await?).await? == large, "the content is another");
    Ok(())
}

pub(super) async fn the_checksum_of_the_whole_object_is_given_on_request(
    context: &Context,
) -> anyhow::Result<()> {
    // The check values from the algorithms' catalogues for these nine bytes.
    let known: [(ChecksumAlgorithm, &[u8]); 5] = [
        (ChecksumAlgorithm::Crc32, &[0xcb, 0xf4, 0x39, 0x26]),
        (ChecksumAlgorithm::Crc32C, &[0xe3, 0x06, 0x92, 0x83]),
        (ChecksumAlgorithm::Crc64Nvme, &[0xae, 0x8b, 0x14, 0x86, 0x0a, 0x79, 0x98, 0x88]),
        (
            ChecksumAlgorithm::Sha1,
            b"\xf7\xc3\xbc\x1d\x80\x8e\x04\x73\x2a\xdf\x67\x99\x65\xcc\xc3\x4c\xa7\xae\x34\x41",
        ),
        (
            ChecksumAlgorithm::Sha256,
            b"\x15\xe2\xb0\xd3\xc3\x38\x91\xeb\xb0\xf1\xef\x60\x9e\xc4\x19\x42\
              \x0c\x20\xe3\x20\xce\x94\xc6\x5f\xbc\x8c\x33\x12\x44\x8e\xb2\x25",
        ),
    ];
    for (algorithm, value) in known {
        let put = context
            .client
            .put_object()
            .bucket(&context.bucket)
            .key("a")
            .checksum_algorithm(algorithm.clone());
        put.body(ByteStream::from_static(b"123456789")).send().await?;
        let get = context
            .client
            .get_object()
            .bucket(&context.bucket)
            .key("a")
            .checksum_mode(ChecksumMode::Enabled);
        let get = get.send().await?;
        let shown = match algorithm {
            ChecksumAlgorithm::Crc32 => get.checksum_crc32(),
            ChecksumAlgorithm::Crc32C => get.checksum_crc32_c(),
            ChecksumAlgorithm::Crc64Nvme => get.checksum_crc64_nvme(),
            ChecksumAlgorithm::Sha1 => get.checksum_sha1(),
            _ => get.checksum_sha256(),
        };
        same(&format!("{algorithm}"), shown, Some(STANDARD.encode(value).as_str()))?;
        same("content", content(get).await?, Bytes::from_static(b"123456789"))?;
    }
    Ok(())
}

/// A client that sends checksums, and asks for them, only where S3 demands it, as older clients do.
fn plain_client(context: &Context) -> Client {
    use aws_sdk_s3::config::{RequestChecksumCalculation, ResponseChecksumValidation};
    let config = client_with_keys(&context.url, &context.access_key, &context.secret_key)
        .config()
        .to_builder();
    Client::from_conf(
        config
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .build(),
    )
}

pub(super) async fn a_checksum_is_said_to_be_of_the_whole_object(
    context: &Context,
) -> anyhow::Result<()> {
    same("type", shown_checksum_type(context).await?, Some(ChecksumType::FullObject))
}

pub(super) async fn a_checksum_has_no_type(context: &Context) -> anyhow::Result<()> {
    same("type", shown_checksum_type(context).await?, None)
}

async fn shown_checksum_type(context: &Context) -> anyhow::Result<Option<ChecksumType>> {
    context.put("a", b"123456789").await?;
    let get = context
        .client
        .get_object()
        .bucket(&context.bucket)
        .key("a")
        .checksum_mode(ChecksumMode::Enabled);
    let get = get.send().await?;
    same("checksums", checksums(&get), 1)?;
    Ok(get.checksum_type)
}

pub(super) async fn a_new_object_has_a_checksum_unasked(context: &Context) -> anyhow::Result<()> {
    let get = get_of_plain_put(context).await?;
    same("CRC64NVME", get.checksum_crc64_nvme(), Some("rosUhgp5mIg="))
}

pub(super) async fn a_new_object_has_no_checksum_unasked(context: &Context) -> anyhow::Result<()> {
    same("checksums", checksums(&get_of_plain_put(context).await?), 0)
}

async fn get_of_plain_put(context: &Context) -> anyhow::Result<GetObjectOutput> {
    let put = plain_client(context).put_object().bucket(&context.bucket).key("a");
    put.body(ByteStream::from_static(b"123456789")).send().await?;
    let get = context
        .client
        .get_object()
        .bucket(&context.bucket)
        .key("a")
        .checksum_mode(ChecksumMode::Enabled);
    Ok(get.send().await?)
}

pub(super) async fn no_checksum_is_given_for_a_range(context: &Context) -> anyhow::Result<()> {
    context.put("a", b"123456789").await?;
    let get = context
        .client
        .get_object()
        .bucket(&context.bucket)
        .key("a")
        .checksum_mode(ChecksumMode::Enabled);
    let get = get.range("bytes=0-3").send().await?;
    same("checksums", checksums(&get), 0)
}

pub(super) async fn no_checksum_is_given_unasked(context: &Context) -> anyhow::Result<()> {
    context.put("a", b"123456789").await?;
    let get = plain_client(context).get_object().bucket(&context.bucket).key("a").send().await?;
    same("checksums", checksums(&get), 0)
}

fn checksums(get: &GetObjectOutput) -> usize {
    let shown = [
        get.checksum_crc32(),
        get.checksum_crc32_c(),
        get.checksum_crc64_nvme(),
        get.checksum_sha1(),
        get.checksum_sha256(),
    ];
    shown.iter().flatten().count()
}

async fn enable_versions(context: &Context) -> anyhow::Result<()> {
    let versioning =
        VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
    context
        .client
        .put_bucket_versioning()
        .bucket(&context.bucket)
        .versioning_configuration(versioning)
        .send()
        .await?;
    Ok(())
}

pub(super) async fn an_overwritten_version_is_read_on_by_range_under_its_etag(
    context: &Context,
) -> anyhow::Result<()> {
    enable_versions(context).await?;
    let etag = context.put("a", b"0123456789").await?;
    let version = context.get("a").await?.version_id.context("a GET names no version")?;
    context.put("a", b"abcdefghij").await?;
    let get = || {
        context
            .client
            .get_object()
            .bucket(&context.bucket)
            .key("a")
            .if_match(&etag)
            .range("bytes=4-")
    };
    let old = get().version_id(&version).send().await?;
    same("range", old.content_range(), Some("bytes 4-9/10"))?;
    same("ETag", old.e_tag(), Some(etag.as_str()))?;
    same("content", content(old).await?, Bytes::from_static(b"456789"))?;
    same(
        "without the version",
        refusal(get().send().await)?,
        (412, "PreconditionFailed".to_owned()),
    )
}

pub(super) async fn a_version_that_was_deleted_is_refused_though_the_key_is_there(
    context: &Context,
) -> anyhow::Result<()> {
    enable_versions(context).await?;
    let etag = context.put("a", b"one").await?;
    let version = context.get("a").await?.version_id.context("a GET names no version")?;
    context.put("a", b"two").await?;
    context
        .client
        .delete_object()
        .bucket(&context.bucket)
        .key("a")
        .version_id(&version)
        .send()
        .await?;
    let get = context
        .client
        .get_object()
        .bucket(&context.bucket)
        .key("a")
        .if_match(&etag)
        .version_id(&version);
    same("deleted version", refusal(get.send().await)?, (404, "NoSuchVersion".to_owned()))?;
    same("newest content", content(context.get("a").await?).await?, Bytes::from_static(b"two"))
}

pub(super) async fn versions_are_named_and_stay_readable(context: &Context) -> anyhow::Result<()> {
    enable_versions(context).await?;
    context.put("a", b"one").await?;
    let version = context.get("a").await?.version_id.context("a GET names no version")?;
    context.put("a", b"two").await?;
    let newest = context.get("a").await?;
    ensure!(
        newest.version_id().is_some_and(|newest| newest != version),
        "two versions have one name"
    );
    same("newest content", content(newest).await?, Bytes::from_static(b"two"))?;
    let old = context
        .client
        .get_object()
        .bucket(&context.bucket)
        .key("a")
        .version_id(&version)
        .send()
        .await?;
    same("old version", old.version_id(), Some(version.as_str()))?;
    same("old content", content(old).await?, Bytes::from_static(b"one"))?;
    same("keys in the listing", keys_of(&context.listed("").await?), vec!["a"])
}
