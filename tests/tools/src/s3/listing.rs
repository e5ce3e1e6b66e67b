//! Computes one page of a listing from a sorted map of keys, and encodes keys as S3 does.

use super::checksum::md5_hex;
use super::object::Object;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

/// The versions under each key, newest last, never empty. `String` sorts by UTF-8 bytes, as S3
/// lists.
pub(super) type Keyspace = BTreeMap<String, Vec<Arc<Object>>>;

/// The number of keys that S3 returns in one page.
pub(super) const PAGE_KEYS: usize = 1000;

/// The length of a token's digest.
const MD5_HEX_BYTES: usize = 32;

/// The start of a page.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Start {
    Beginning,
    AfterKey(String),
    /// After everything that was folded into this common prefix.
    AfterPrefix(String),
}

impl Start {
    /// Returns the continuation token, which is opaque to clients. A digest in it shows if it was
    /// changed, because the endpoint refuses a token that it did not issue.
    pub(super) fn token(&self) -> Option<String> {
        let text = match self {
            Self::Beginning => return None,
            Self::AfterKey(key) => format!("k{key}"),
            Self::AfterPrefix(prefix) => format!("p{prefix}"),
        };
        Some(STANDARD.encode(md5_hex(text.as_bytes()) + &text))
    }

    /// Returns the start that a token stands for, or `None` if the endpoint did not issue it.
    pub(super) fn from_token(token: &str) -> Option<Self> {
        let text = String::from_utf8(STANDARD.decode(token).ok()?).ok()?;
        let (digest, text) = text.split_at_checked(MD5_HEX_BYTES)?;
        if digest != md5_hex(text.as_bytes()) {
            return None;
        }
        if let Some(key) = text.strip_prefix('k') {
            return Some(Self::AfterKey(key.to_owned()));
        }
        text.strip_prefix('p').map(|prefix| Self::AfterPrefix(prefix.to_owned()))
    }
}

#[derive(Default)]
pub(super) struct Page {
    pub(super) objects: Vec<(String, Arc<Object>)>,
    pub(super) common_prefixes: Vec<String>,
    /// The start of the next page, or `None` if this is the last.
    pub(super) next: Option<Start>,
}

/// Returns the page of at most `max_keys` keys and common prefixes under `prefix`, beginning at
/// `start`.
pub(super) fn page(
    keys: &Keyspace,
    prefix: &str,
    delimiter: Option<&str>,
    start: &Start,
    max_keys: usize,
) -> Page {
    let lower = match start {
        Start::AfterKey(key) if key.as_str() >= prefix => Bound::Excluded(key.as_str()),
        Start::AfterPrefix(folded) if folded.as_str() >= prefix => Bound::Included(folded.as_str()),
        _ => Bound::Included(prefix),
    };
    let passed = if let Start::AfterPrefix(folded) = start { Some(folded.as_str()) } else { None };
    let mut page = Page::default();
    let mut last = None;
    for (key, versions) in keys
        .range::<str, _>((lower, Bound::Unbounded))
        .take_while(|(key, _)| key.starts_with(prefix))
    {
        let folded = delimiter.and_then(|delimiter| {
            let end = prefix.len() + key.get(prefix.len()..)?.find(delimiter)? + delimiter.len();
            key.get(..end)
        });
        if let Some(folded) = folded
            && (passed == Some(folded)
                || page.common_prefixes.last().is_some_and(|last| last == folded))
        {
            continue;
        }
        if page.objects.len() + page.common_prefixes.len() == max_keys {
            page.next = last;
            break;
        }
        if let Some(folded) = folded {
            page.common_prefixes.push(folded.to_owned());
            last = Some(Start::AfterPrefix(folded.to_owned()));
        } else if let Some(newest) = versions.last() {
            page.objects.push((key.clone(), Arc::clone(newest)));
            last = Some(Start::AfterKey(key.clone()));
        }
    }
    page
}

/// Encodes a key as S3 does under `encoding-type=url`: like a form, with a space as `+`, but `/`
/// and `*` as they are.
pub(super) fn url_encoded(key: &str) -> String {
    const HEX: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    let mut encoded = String::with_capacity(key.len());
    for byte in key.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'*' | b'/' => {
                encoded.push(char::from(byte));
            }
            b' ' => encoded.push('+'),
            _ => encoded.extend(['%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]),
        }
    }
    encoded
}
