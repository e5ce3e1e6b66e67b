//! Who is refused, and which error codes missing things get.

use super::{Context, content, keys_of, refusal, same};
use crate::support::s3::{anonymous_client, client_with_keys};
use aws_sdk_s3::Client;
use bytes::Bytes;

pub(super) async fn a_missing_bucket_and_a_missing_key_are_told_apart(
    context: &Context,
) -> anyhow::Result<()> {
    let no_bucket = (404, "NoSuchBucket".to_owned());
    let client = &context.client;
    let missing = format!("{}-missing", context.bucket);
    same(
        "listing",
        refusal(client.list_objects_v2().bucket(&missing).send().await)?,
        no_bucket.clone(),
    )?;
    same(
        "GET in no bucket",
        refusal(client.get_object().bucket(&missing).key("a").send().await)?,
        no_bucket,
    )?;
    same("HEAD of no bucket", refusal(client.head_bucket().bucket(&missing).send().await)?.0, 404)?;
    let no_key = (404, "NoSuchKey".to_owned());
    same(
        "GET of no key",
        refusal(client.get_object().bucket(&context.bucket).key("a").send().await)?,
        no_key,
    )?;
    let head = client.head_object().bucket(&context.bucket).key("a").send().await;
    // An answer to HEAD has no body, and so no code.
    same("HEAD of no key", refusal(head)?, (404, "NotFound".to_owned()))
}

pub(super) async fn a_wrong_secret_is_refused(context: &Context) -> anyhow::Result<()> {
    refused_everywhere(context, &wrong_secret(context), "SignatureDoesNotMatch").await
}

pub(super) async fn a_wrong_secret_is_let_in(context: &Context) -> anyhow::Result<()> {
    let_in(context, &wrong_secret(context)).await
}

fn wrong_secret(context: &Context) -> Client {
    client_with_keys(&context.url, &context.access_key, "another-secret")
}

pub(super) async fn an_unknown_access_key_is_refused(context: &Context) -> anyhow::Result<()> {
    refused_everywhere(context, &unknown_key(context), "InvalidAccessKeyId").await
}

pub(super) async fn an_unknown_access_key_is_let_in(context: &Context) -> anyhow::Result<()> {
    let_in(context, &unknown_key(context)).await
}

fn unknown_key(context: &Context) -> Client {
    client_with_keys(&context.url, "AKIAUNKNOWN000000000", &context.secret_key)
}

pub(super) async fn an_unsigned_request_is_refused(context: &Context) -> anyhow::Result<()> {
    refused_everywhere(context, &anonymous_client(&context.url), "AccessDenied").await
}

pub(super) async fn an_unsigned_request_may_list_and_not_read(
    context: &Context,
) -> anyhow::Result<()> {
    let client = anonymous_client(&context.url);
    context.put("a", b"secret").await?;
    let list = client.list_objects_v2().bucket(&context.bucket).send().await?;
    same("listed keys", keys_of(list.contents()), vec!["a"])?;
    same(
        "GET",
        refusal(client.get_object().bucket(&context.bucket).key("a").send().await)?,
        (403, String::new()),
    )
}

async fn refused_everywhere(context: &Context, client: &Client, code: &str) -> anyhow::Result<()> {
    context.put("a", b"secret").await?;
    let expected = (403, code.to_owned());
    same(
        "listing",
        refusal(client.list_objects_v2().bucket(&context.bucket).send().await)?,
        expected.clone(),
    )?;
    same(
        "GET",
        refusal(client.get_object().bucket(&context.bucket).key("a").send().await)?,
        expected,
    )?;
    same("HEAD", refusal(client.head_bucket().bucket(&context.bucket).send().await)?.0, 403)
}

async fn let_in(context: &Context, client: &Client) -> anyhow::Result<()> {
    context.put("a", b"secret").await?;
    let get = client.get_object().bucket(&context.bucket).key("a").send().await?;
    same("content", content(get).await?, Bytes::from_static(b"secret"))
}
