//! Pages of a listing, and the checks that a page is whole and the one that was requested.

use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::types::{EncodingType, Object as ListedObject};
use jiff::Timestamp;
use percent_encoding::percent_decode_str;

use super::error::{Asked, classify};
use super::{S3, timestamp, usable_etag};
use crate::error::{Error, ErrorKind, Result};

/// One page of a listing.
#[derive(Debug)]
pub(in crate::source) struct Page {
    pub(in crate::source) entries: Vec<PageEntry>,
    /// Present if more pages follow.
    pub(in crate::source) continuation_token: Option<String>,
}

/// An object as a listing shows it.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::source) struct PageEntry {
    pub(in crate::source) key: String,
    /// Some stores list no ETag.
    pub(in crate::source) etag: Option<String>,
    pub(in crate::source) size_bytes: Option<u64>,
    pub(in crate::source) last_modified: Option<Timestamp>,
    /// The reason why the object cannot be read.
    pub(in crate::source) fault: Option<String>,
}

impl S3 {
    /// Sends one ListObjectsV2 request.
    ///
    /// # Errors
    /// `ListingBroken` if the page is not whole, or not the one that was requested, and the errors
    /// of any request.
    pub(in crate::source) async fn list_page(
        &self,
        bucket: &str,
        prefix: &str,
        continuation_token: Option<String>,
        max_keys: Option<i32>,
    ) -> Result<Page> {
        let what = format!("s3://{}/{}", bucket.escape_debug(), prefix.escape_debug());
        let output = self
            .client
            .list_objects_v2()
            .bucket(bucket)
            .prefix(prefix)
            // Keys may hold control characters, which XML cannot represent.
            .encoding_type(EncodingType::Url)
            .set_continuation_token(continuation_token.clone())
            .set_max_keys(max_keys)
            .set_request_payer(self.request_payer.clone())
            .send()
            .await
            .map_err(|error| classify(Asked::Bucket, &what, &error))?;
        page(output, bucket, prefix, continuation_token.as_deref()).map_err(|why| {
            let message =
                format!("{what}: a page of the listing cannot be used, and nothing was decided");
            Error::new(ErrorKind::ListingBroken, message).caused_by(anyhow::anyhow!(why))
        })
    }

    /// Sends `HeadBucket`, which fails if the bucket does not exist.
    pub(in crate::source) async fn head_bucket(&self, bucket: &str) -> Result<()> {
        let what = format!("s3://{}/", bucket.escape_debug());
        self.client
            .head_bucket()
            .bucket(bucket)
            .send()
            .await
            .map(drop)
            .map_err(|error| classify(Asked::Bucket, &what, &error))
    }
}

/// Returns the page, or the reason why it is not the whole page that was requested.
fn page(
    output: ListObjectsV2Output,
    bucket: &str,
    prefix: &str,
    sent_token: Option<&str>,
) -> std::result::Result<Page, String> {
    let is_encoded = output.encoding_type() == Some(&EncodingType::Url);
    let decoded = |text: &str| {
        if is_encoded { decode(text) } else { Some(text.to_owned()) }
    };
    let Some(is_truncated) = output.is_truncated() else {
        return Err("it does not say whether more pages follow (IsTruncated)".to_owned());
    };
    // A store may leave these out, but must not contradict the request.
    if let Some(name) = output.name()
        && name != bucket
        && !is_access_point(bucket)
    {
        return Err(format!("it is of bucket {name:?}"));
    }
    if let Some(listed) = output.prefix()
        && decoded(listed).as_deref() != Some(prefix)
        && listed != prefix
    {
        return Err(format!("it is of prefix {listed:?}"));
    }
    let token = output.continuation_token().unwrap_or_default();
    let sent_token = sent_token.unwrap_or_default();
    if output.continuation_token().is_some()
        && token != sent_token
        && decode(token).as_deref() != Some(sent_token)
    {
        return Err(format!("it is of continuation token {token:?}, not of {sent_token:?}"));
    }
    // No delimiter was sent, so no key may be hidden behind a common prefix.
    let folded = output.common_prefixes().len();
    let came = output.contents().len() + folded;
    if let Some(count) = output.key_count()
        && usize::try_from(count) != Ok(came)
    {
        return Err(format!("its KeyCount is {count}, but it has {came} keys"));
    }
    if folded > 0 {
        return Err("it folds keys into common prefixes".to_owned());
    }
    let next = output.next_continuation_token().filter(|token| !token.is_empty());
    let continuation_token = match (is_truncated, next) {
        (true, Some(token)) => Some(token.to_owned()),
        (false, None) => None,
        (true, None) => return Err("it is truncated, but has no continuation token".to_owned()),
        (false, Some(_)) => {
            return Err("it is the last, but has a token for a next page".to_owned());
        }
    };
    let entries = output.contents.unwrap_or_default();
    let entries = entries.into_iter().map(|object| entry(object, decoded, prefix)).collect();
    Ok(Page { entries, continuation_token })
}

fn entry(
    object: ListedObject,
    decoded: impl Fn(&str) -> Option<String>,
    prefix: &str,
) -> PageEntry {
    let listed = object.key.unwrap_or_default();
    let key = decoded(&listed);
    // An empty ETag pins nothing, so it is none.
    let etag = object.e_tag.filter(|etag| !etag.trim_matches('"').is_empty());
    let fault = match &key {
        None => Some("its key is not UTF-8".to_owned()),
        Some(key) if key.is_empty() => Some("its key is empty".to_owned()),
        Some(key) if !key.starts_with(prefix) => {
            Some(format!("it is not below the prefix {prefix:?}"))
        }
        Some(_) if object.size.is_some_and(i64::is_negative) => Some("its size is negative".into()),
        Some(_) => etag.as_deref().and_then(|etag| usable_etag(etag).err()),
    };
    PageEntry {
        key: key.unwrap_or(listed),
        etag,
        size_bytes: object.size.and_then(|size| u64::try_from(size).ok()),
        last_modified: object.last_modified.as_ref().and_then(timestamp),
        fault,
    }
}

/// Returns true for the ARN or the alias of an access point. Its listings may name the bucket
/// behind it.
fn is_access_point(bucket: &str) -> bool {
    const ALIASES: [&str; 4] = ["-s3alias", "--ol-s3", "--xa-s3", ".mrap"];
    bucket.starts_with("arn:") || ALIASES.iter().any(|alias| bucket.ends_with(alias))
}

/// Decodes a text listed with `encoding-type=url`, which the SDK leaves to its caller.
fn decode(encoded: &str) -> Option<String> {
    let spaced = encoded.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_s3::operation::list_objects_v2::builders::ListObjectsV2OutputBuilder;
    use aws_sdk_s3::types::CommonPrefix;

    fn object(key: &str, etag: &str) -> ListedObject {
        ListedObject::builder().key(key).e_tag(etag).size(3).build()
    }

    fn whole() -> ListObjectsV2OutputBuilder {
        ListObjectsV2Output::builder()
            .name("b")
            .prefix("in/")
            .is_truncated(false)
            .key_count(1)
            .contents(object("in/a", "\"e\""))
    }

    fn refusal(output: ListObjectsV2OutputBuilder) -> String {
        page(output.build(), "b", "in/", None).unwrap_err()
    }

    #[test]
    fn a_page_that_is_not_whole_or_not_the_requested_one_is_refused() {
        assert_eq!(page(whole().build(), "b", "in/", None).unwrap().entries.len(), 1);
        assert!(refusal(whole().set_is_truncated(None)).contains("IsTruncated"));
        assert!(refusal(whole().key_count(2)).contains("KeyCount"));
        assert!(refusal(whole().name("c")).contains("bucket"));
        assert!(refusal(whole().prefix("")).contains("prefix"));
        assert!(refusal(whole().continuation_token("t")).contains("token"));
        assert!(refusal(whole().is_truncated(true)).contains("no continuation token"));
        assert!(refusal(whole().next_continuation_token("t")).contains("last"));
        let folded = whole().key_count(2).common_prefixes(CommonPrefix::builder().build());
        assert!(refusal(folded).contains("common prefixes"));
    }

    #[test]
    fn a_page_may_leave_out_what_only_repeats_the_request() {
        let sparse = whole().set_name(None).set_prefix(None).set_key_count(None).build();
        assert!(page(sparse, "b", "in/", Some("t")).is_ok());
        let last = whole().next_continuation_token("").build();
        assert_eq!(page(last, "b", "in/", None).unwrap().continuation_token, None);
        let alias = "ap-metadata-s3alias";
        assert!(page(whole().build(), alias, "in/", None).is_ok());
    }

    #[test]
    fn what_a_page_repeats_of_the_request_may_be_encoded() {
        let encoded = whole()
            .encoding_type(EncodingType::Url)
            .prefix("in+%2B/")
            .continuation_token("a%3D")
            .set_contents(None)
            .key_count(0);
        assert!(page(encoded.build(), "b", "in +/", Some("a=")).is_ok());
    }

    #[test]
    fn an_entry_that_cannot_be_read_is_marked_alone() {
        let fault = |listed: ListedObject| entry(listed, decode, "in/").fault.unwrap_or_default();
        assert_eq!(fault(object("in/a", "\"e\"")), "");
        assert!(fault(object("", "\"e\"")).contains("empty"));
        assert!(fault(object("in/%FF", "\"e\"")).contains("UTF-8"));
        assert!(fault(object("out/a", "\"e\"")).contains("prefix"));
        assert!(fault(object("in/a", "\"e\n\"")).contains("ETag"));
        let negative = ListedObject::builder().key("in/a").size(-1).build();
        assert!(fault(negative).contains("size"));
    }

    #[test]
    fn an_empty_etag_is_no_etag() {
        for etag in ["", "\"\""] {
            assert_eq!(entry(object("in/a", etag), decode, "in/").etag, None);
        }
    }

    #[test]
    fn a_listed_key_is_decoded_once_and_only_once() {
        assert_eq!(decode("a+b%2Bc%2525%0A%C3%A9").unwrap(), "a b+c%25\n\u{e9}");
        assert_eq!(decode("a%FF"), None);
    }
}
