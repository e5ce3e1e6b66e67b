//! The contract of listings: pages, order, and keys with any character.

use super::{Context, content, keys_of, refusal, same};
use anyhow::Context as _;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{EncodingType, Object};
use bytes::Bytes;
use std::collections::BTreeMap;

pub(super) async fn a_page_has_a_thousand_keys_at_most(context: &Context) -> anyhow::Result<()> {
    same("keys and whether there are more", page_of_5000(context).await?, (1000, Some(true)))
}

pub(super) async fn a_page_has_what_is_asked_for(context: &Context) -> anyhow::Result<()> {
    same("keys and whether there are more", page_of_5000(context).await?, (1003, Some(false)))
}

/// Requires that 1003 keys come in two pages without a page size, then asks for a page of 5000.
async fn page_of_5000(context: &Context) -> anyhow::Result<(usize, Option<bool>)> {
    let keys: Vec<String> = (0..1003).map(|number| format!("many/{number:05}")).collect();
    context.put_all(&keys).await?;
    let list = || context.client.list_objects_v2().bucket(&context.bucket).prefix("many/");
    let first = list().send().await?;
    same("keys on the first page", first.contents().len(), 1000)?;
    same("first page is truncated", first.is_truncated, Some(true))?;
    let token = first.next_continuation_token.context("no token for the next page")?;
    let second = list().continuation_token(token).send().await?;
    same("second page is truncated", second.is_truncated, Some(false))?;
    same("token after the last page", second.next_continuation_token, None)?;
    let both = [first.contents.unwrap_or_default(), second.contents.unwrap_or_default()].concat();
    same("all keys", keys_of(&both), keys.iter().map(String::as_str).collect())?;
    let page = list().max_keys(5000).send().await?;
    Ok((page.contents().len(), page.is_truncated))
}

pub(super) async fn a_smaller_page_is_given_when_asked_for(
    context: &Context,
) -> anyhow::Result<()> {
    context.put_all(&["a", "b", "c"].map(str::to_owned)).await?;
    let page = context.client.list_objects_v2().bucket(&context.bucket).max_keys(2).send().await?;
    same("keys", keys_of(page.contents()), vec!["a", "b"])?;
    same("truncated", page.is_truncated, Some(true))?;
    same("key count", page.key_count, Some(2))
}

pub(super) async fn keys_are_listed_in_the_order_of_their_utf8_bytes(
    context: &Context,
) -> anyhow::Result<()> {
    // In UTF-16 order, which some stores use, the last two are the other way round.
    let keys = ["A", "Z/1", "a", "a b", "a-b", "a/b", "a0", "\u{e9}", "\u{ff5e}", "\u{1f600}"]
        .map(str::to_owned);
    context.put_all(&keys).await?;
    same("keys", keys_of(&context.listed("").await?), keys.iter().map(String::as_str).collect())
}

pub(super) async fn awkward_keys_survive_listing_and_reading(
    context: &Context,
) -> anyhow::Result<()> {
    let mut keys: Vec<String> = [
        "with space",
        " leading",
        "trailing ",
        "plus+plus",
        "100%",
        "%41",
        "%2B",
        "a%20b",
        "q?x=1&y=2",
        "hash#1",
        "semi;colon",
        "'single' \"double\"",
        "back\\slash",
        "<tag>&amp;",
        "star*(1)~!",
        "brackets[0]{1}",
        "a:b=c@d,e$f|g^h`i",
        "carriage\rreturn",
        "tab\there",
        "control\u{1}\u{1f}",
        "delete\u{7f}",
        "M\u{fc}nchen/caf\u{e9}.csv",
        "e\u{301}",
        "\u{1f680}/\u{1f4be}",
        "\u{6771}\u{4eac}",
        "nbsp\u{a0}",
        "zero\u{200b}width",
        "double//slash",
        "dots/./x",
        "dots/../x",
        "dt=2026-01-01/part-0.gz",
    ]
    .map(str::to_owned)
    .to_vec();
    keys.push("k".repeat(1024));
    keys.push("\u{1f680}".repeat(256));
    let mut wanted = BTreeMap::new();
    for (number, key) in keys.iter().enumerate() {
        let text = format!("content {number}");
        let body = ByteStream::from(text.clone().into_bytes());
        let put =
            context.client.put_object().bucket(&context.bucket).key(key).body(body).send().await;
        put.with_context(|| format!("cannot put {key:?}"))?;
        wanted.insert(key.clone(), text);
    }
    let list = context
        .client
        .list_objects_v2()
        .bucket(&context.bucket)
        .encoding_type(EncodingType::Url)
        .send()
        .await?;
    same("encoding", list.encoding_type.as_ref(), Some(&EncodingType::Url))?;
    let listed: Vec<String> =
        keys_of(list.contents()).into_iter().map(decoded).collect::<anyhow::Result<_>>()?;
    same("listed keys", &listed, &wanted.keys().cloned().collect())?;
    for (key, text) in wanted {
        same(
            &format!("content of {key:?}"),
            content(context.get(&key).await?).await?,
            Bytes::from(text),
        )?;
    }
    Ok(())
}

pub(super) async fn a_line_feed_in_a_key_survives(context: &Context) -> anyhow::Result<()> {
    context.put("line\nfeed", b"x").await?;
    let list = context
        .client
        .list_objects_v2()
        .bucket(&context.bucket)
        .encoding_type(EncodingType::Url)
        .send()
        .await?;
    same("listed keys", keys_of(list.contents()), vec!["line%0Afeed"])?;
    same("content", content(context.get("line\nfeed").await?).await?, Bytes::from_static(b"x"))
}

pub(super) async fn a_line_feed_in_a_key_is_not_found(context: &Context) -> anyhow::Result<()> {
    let put = context
        .client
        .put_object()
        .bucket(&context.bucket)
        .key("line\nfeed")
        .body(ByteStream::from_static(b"x"));
    same("PUT", refusal(put.send().await)?.0, 404)
}

pub(super) async fn a_prefix_selects_keys_byte_for_byte(context: &Context) -> anyhow::Result<()> {
    context
        .put_all(&["a+b/1", "a b/1", "a%20b/1", "a%2Bb/1", "A+b/1", "a+b"].map(str::to_owned))
        .await?;
    for (prefix, found) in [
        ("a+b", vec!["a+b", "a+b/1"]),
        ("a b/", vec!["a b/1"]),
        ("a%20b", vec!["a%20b/1"]),
        ("a%2B", vec!["a%2Bb/1"]),
    ] {
        same(&format!("keys under {prefix:?}"), keys_of(&context.listed(prefix).await?), found)?;
    }
    Ok(())
}

pub(super) async fn a_listing_starts_after_a_key(context: &Context) -> anyhow::Result<()> {
    context.put_all(&["a", "b", "b0", "c"].map(str::to_owned)).await?;
    let page =
        context.client.list_objects_v2().bucket(&context.bucket).start_after("b").send().await?;
    same("keys", keys_of(page.contents()), vec!["b0", "c"])
}

pub(super) async fn a_delimiter_folds_keys_into_common_prefixes(
    context: &Context,
) -> anyhow::Result<()> {
    context.put_all(&["p/", "p/a", "p/b/1", "p/b/2", "p/c/1", "q"].map(str::to_owned)).await?;
    let list =
        || context.client.list_objects_v2().bucket(&context.bucket).prefix("p/").delimiter("/");
    let page = list().send().await?;
    same("keys", keys_of(page.contents()), vec!["p/", "p/a"])?;
    let folded: Vec<_> =
        page.common_prefixes().iter().filter_map(|folded| folded.prefix()).collect();
    same("common prefixes", folded, vec!["p/b/", "p/c/"])?;
    let mut found = Vec::new();
    let mut pages = list().max_keys(1).into_paginator().send();
    while let Some(page) = pages.next().await.transpose()? {
        found.extend(page.contents().iter().filter_map(Object::key).map(str::to_owned));
        found.extend(
            page.common_prefixes().iter().filter_map(|folded| folded.prefix()).map(str::to_owned),
        );
    }
    found.sort();
    same("one at a time", found, ["p/", "p/a", "p/b/", "p/c/"].map(str::to_owned).to_vec())
}

pub(super) async fn nothing_under_a_prefix_is_an_empty_page(
    context: &Context,
) -> anyhow::Result<()> {
    let page =
        context.client.list_objects_v2().bucket(&context.bucket).prefix("none/").send().await?;
    same("keys", page.contents().len(), 0)?;
    same("truncated", page.is_truncated, Some(false))?;
    same("key count", page.key_count, Some(0))
}

/// Undoes `encoding-type=url`. S3 writes a space as `+`, others as `%20`. All of them write a plus
/// as `%2B`.
fn decoded(key: &str) -> anyhow::Result<String> {
    let spaced = key.replace('+', " ");
    let mut bytes = Vec::with_capacity(spaced.len());
    let mut rest = spaced.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        if byte == b'%' {
            let hex = std::str::from_utf8(tail.get(..2).context("a cut escape")?)?;
            bytes.push(u8::from_str_radix(hex, 16)?);
            rest = &tail[2..];
        } else {
            bytes.push(byte);
            rest = tail;
        }
    }
    Ok(String::from_utf8(bytes)?)
}
