//! The S3 behavior that the program relies on, as checks that run against any store through the
//! AWS SDK.
//!
//! The same checks run against the endpoint of `support/s3`, which all other tests use, and against
//! a store that others wrote. Otherwise the tests would only show that the program and the endpoint
//! share our beliefs. If a store behaves differently, the check says how, and that is asserted just
//! as strictly: a store that changes is noticed, in either direction.

mod access;
mod listing;
pub mod moto;
mod reading;

use crate::support::s3::client_with_keys;
use anyhow::{Context as _, bail, ensure};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::Object;
use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};

/// The stores that the contract was run against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// The endpoint of `support/s3`.
    Endpoint,
    /// moto's server, of the version in `scripts/independent-store.sh`.
    Moto,
}

/// A store under test, with a bucket of its own for each check.
pub struct Context {
    url: String,
    access_key: String,
    secret_key: String,
    client: Client,
    bucket: String,
}

type Run = for<'a> fn(&'a Context) -> Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send + 'a>>;

/// One requirement, and how some stores differ.
pub struct Check {
    pub name: &'static str,
    required: Run,
    instead: &'static [Difference],
}

/// A store's deviation from a requirement.
pub struct Difference {
    pub store: Store,
    pub what: &'static str,
    run: Run,
}

impl Check {
    /// Returns this store's deviation, if it does not fulfil the requirement.
    pub fn difference(&self, store: Store) -> Option<&'static Difference> {
        self.instead.iter().find(|difference| difference.store == store)
    }

    /// Checks a store at this URL, in a new bucket.
    pub async fn run(
        &self,
        store: Store,
        url: &str,
        access_key: &str,
        secret_key: &str,
    ) -> anyhow::Result<()> {
        let context = Context::new(url, access_key, secret_key).await?;
        match self.difference(store) {
            None => (self.required)(&context).await,
            Some(difference) => (difference.run)(&context).await.with_context(|| {
                format!(
                    "{store:?} was expected to differ ({}); bring the table up to date",
                    difference.what
                )
            }),
        }
    }
}

macro_rules! check {
    ($module:ident::$name:ident $(, $store:ident: $what:literal => $instead:path)*) => {
        Check {
            name: stringify!($name),
            required: |context| Box::pin($module::$name(context)),
            instead: &[$(Difference {
                store: Store::$store,
                what: $what,
                run: |context| Box::pin($instead(context)),
            }),*],
        }
    };
}

/// All requirements.
pub fn checks() -> Vec<Check> {
    vec![
        check!(listing::a_page_has_a_thousand_keys_at_most,
            Moto: "has as many as are asked for" => listing::a_page_has_what_is_asked_for),
        check!(listing::a_smaller_page_is_given_when_asked_for),
        check!(listing::keys_are_listed_in_the_order_of_their_utf8_bytes),
        check!(listing::awkward_keys_survive_listing_and_reading),
        check!(listing::a_line_feed_in_a_key_survives,
            Moto: "has no route to such a key" => listing::a_line_feed_in_a_key_is_not_found),
        check!(listing::a_prefix_selects_keys_byte_for_byte),
        check!(listing::a_listing_starts_after_a_key),
        check!(listing::a_delimiter_folds_keys_into_common_prefixes),
        check!(listing::nothing_under_a_prefix_is_an_empty_page),
        check!(reading::listing_reading_and_head_agree_on_etag_size_and_time),
        check!(reading::an_etag_is_the_quoted_md5_of_a_simple_upload),
        check!(reading::an_overwrite_changes_the_listed_etag),
        check!(reading::if_match_refuses_an_object_that_was_overwritten),
        check!(reading::ranges_are_answered_in_part),
        check!(reading::a_range_past_the_end_is_refused),
        check!(reading::a_range_of_an_overwritten_object_is_refused),
        check!(reading::an_empty_object_is_read_as_nothing),
        check!(reading::ten_megabytes_arrive_whole),
        check!(reading::the_checksum_of_the_whole_object_is_given_on_request),
        check!(reading::a_checksum_is_said_to_be_of_the_whole_object,
            Moto: "gives no type" => reading::a_checksum_has_no_type),
        check!(reading::a_new_object_has_a_checksum_unasked,
            Moto: "computes none itself" => reading::a_new_object_has_no_checksum_unasked),
        check!(reading::no_checksum_is_given_for_a_range),
        check!(reading::no_checksum_is_given_unasked),
        check!(reading::versions_are_named_and_stay_readable),
        check!(reading::an_overwritten_version_is_read_on_by_range_under_its_etag),
        check!(reading::a_version_that_was_deleted_is_refused_though_the_key_is_there),
        check!(access::a_missing_bucket_and_a_missing_key_are_told_apart),
        check!(access::a_wrong_secret_is_refused,
            Moto: "lets everyone in" => access::a_wrong_secret_is_let_in),
        check!(access::an_unknown_access_key_is_refused,
            Moto: "lets everyone in" => access::an_unknown_access_key_is_let_in),
        check!(access::an_unsigned_request_is_refused,
            Moto: "lets everyone list" => access::an_unsigned_request_may_list_and_not_read),
    ]
}

impl Context {
    async fn new(url: &str, access_key: &str, secret_key: &str) -> anyhow::Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let bucket = format!("contract-{}-{number}", std::process::id());
        let client = client_with_keys(url, access_key, secret_key);
        client.create_bucket().bucket(&bucket).send().await.context("cannot create a bucket")?;
        Ok(Self {
            url: url.to_owned(),
            access_key: access_key.to_owned(),
            secret_key: secret_key.to_owned(),
            client,
            bucket,
        })
    }

    async fn put(&self, key: &str, content: &'static [u8]) -> anyhow::Result<String> {
        let body = ByteStream::from_static(content);
        let put = self.client.put_object().bucket(&self.bucket).key(key).body(body).send().await;
        put.with_context(|| format!("cannot put {key:?}"))?
            .e_tag
            .context("the answer to a PUT has no ETag")
    }

    async fn put_all(&self, keys: &[String]) -> anyhow::Result<()> {
        for some in keys.chunks(16) {
            let mut puts: FuturesUnordered<_> =
                some.iter().map(|key| self.put(key, b"x")).collect();
            while let Some(put) = puts.next().await {
                put?;
            }
        }
        Ok(())
    }

    async fn get(&self, key: &str) -> anyhow::Result<GetObjectOutput> {
        let get = self.client.get_object().bucket(&self.bucket).key(key).send().await;
        get.with_context(|| format!("cannot get {key:?}"))
    }

    async fn listed(&self, prefix: &str) -> anyhow::Result<Vec<Object>> {
        let list = self.client.list_objects_v2().bucket(&self.bucket).prefix(prefix).send().await?;
        Ok(list.contents.unwrap_or_default())
    }
}

async fn content(output: GetObjectOutput) -> anyhow::Result<Bytes> {
    Ok(output.body.collect().await?.into_bytes())
}

fn keys_of(objects: &[Object]) -> Vec<&str> {
    objects.iter().filter_map(Object::key).collect()
}

/// Returns the status and the code of an error answer.
fn refusal<T, E: ProvideErrorMetadata>(
    result: Result<T, SdkError<E, HttpResponse>>,
) -> anyhow::Result<(u16, String)> {
    let Err(error) = result else { bail!("was answered with success") };
    let status = error.raw_response().context("there was no answer")?.status().as_u16();
    Ok((status, error.code().unwrap_or_default().to_owned()))
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the values are mostly temporaries, and read better so"
)]
pub fn same<T: PartialEq + std::fmt::Debug>(what: &str, is: T, required: T) -> anyhow::Result<()> {
    ensure!(is == required, "{what}: {is:?}, not {required:?}");
    Ok(())
}
