//! The listing of a run's keys, which passes them on while it is still in progress.
//!
//! Exact keys come first, then each prefix. The listing passes a key on only once, however many
//! URIs cover it and however often the store lists it: a second time would load its rows twice. It
//! remembers only the exact keys, and the keys of stores that do not list in order, in sixteen
//! bytes each.

use futures_util::{StreamExt, stream};
use tokio::sync::mpsc;

use super::filter::{Filter, KeyMatch};
use super::fingerprints::Fingerprints;
use super::key_file::named_keys;
use super::key_order::KeyOrder;
use super::lake::{MARKERS, lake_of, refused as refused_lake};
use super::options::SourceConfig;
use super::s3::{Page, S3};
use crate::error::{Consequence, Error, ErrorKind, Result};
use crate::object::Object;
use crate::printable::printable;
use crate::retry::{Attempts, RetryConfig};
use crate::s3_uri::SourceUri;

/// The number of HeadObject requests in flight for exact keys, and for keys that the store lists
/// without an ETag.
const HEADS_IN_FLIGHT: usize = 16;

/// The number of pages in a row without a key after which a listing counts as endless. S3 sends
/// such pages while it passes over deleted keys.
const PAGES_WITHOUT_KEYS: u32 = 10_000;

/// The maximum number of keys that are counted for the remedy of a key that is missing.
const KEYS_COUNTED: i32 = 1000;

/// The origin of a key that is requested by itself.
#[derive(Clone, Copy)]
enum NamedBy {
    Uri,
    /// The file of `--keys-from`, or a listing that shows no `ETag`.
    List,
}

/// An item that a listing yields.
#[derive(Debug)]
pub enum Listed {
    Object(Object),
    /// A key that cannot be read. It fails alone.
    Failed {
        bucket: String,
        key: String,
        error: Error,
    },
}

/// The keys that a listing skipped, counted by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub struct SkippedKeys {
    /// Empty objects that stand for a folder, `name/` or `name_$folder$`, or that mark one as
    /// complete, `_SUCCESS`.
    pub folder_markers: u64,
    /// Keys that `--skip-hidden` passes over.
    pub hidden: u64,
    /// Keys that `--include` and the other filters leave out.
    pub filtered_out: u64,
}

/// The receiver of a listing's results.
pub struct ListingSink {
    sender: mpsc::Sender<Listed>,
    count: Box<dyn Fn(&Object) + Send + Sync>,
}

impl ListingSink {
    /// Calls `count` with every object before it is sent, so that the totals run ahead of the work.
    pub fn new(
        sender: mpsc::Sender<Listed>,
        count: impl Fn(&Object) + Send + Sync + 'static,
    ) -> Self {
        Self { sender, count: Box::new(count) }
    }

    /// Returns false if the receiver is gone.
    async fn send(&self, listed: Listed) -> bool {
        if let Listed::Object(object) = &listed {
            (self.count)(object);
        }
        self.sender.send(listed).await.is_ok()
    }
}

/// A listing that is ready to run.
#[derive(Debug)]
pub struct Listing {
    s3: S3,
    filter: Filter,
    retry: RetryConfig,
    uris: Vec<SourceUri>,
    keys_from: Option<std::path::PathBuf>,
    refuse_lakes: bool,
}

impl Listing {
    /// # Errors
    /// `Usage` if a pattern is not valid.
    pub fn new(s3: S3, source: &SourceConfig, retry: &RetryConfig) -> Result<Self> {
        Ok(Self {
            s3,
            filter: Filter::new(source)?,
            retry: retry.clone(),
            uris: source.uris.clone(),
            keys_from: source.keys_from.clone(),
            refuse_lakes: source.refuse_lakes,
        })
    }

    /// Checks with one small request per bucket that the bucket exists and can be listed. Returns
    /// all problems, not only the first.
    pub async fn check(&self) -> Vec<Error> {
        let mut prefixes: Vec<(&str, Option<&str>)> = Vec::new();
        for uri in &self.uris {
            let (bucket, prefix) = match uri {
                SourceUri::Prefix { bucket, prefix } => (bucket, Some(prefix.as_str())),
                SourceUri::Key { bucket, .. } => (bucket, None),
            };
            match prefixes.iter_mut().find(|(seen, _)| seen == bucket) {
                Some((_, checked)) => *checked = checked.or(prefix),
                None => prefixes.push((bucket, prefix)),
            }
        }
        let first_listed = self.first_listed();
        let mut problems = Vec::new();
        for (bucket, prefix) in prefixes {
            let attempts = Attempts::new(&self.retry);
            // The listing asks the same bucket now, and logs its own retries.
            let log = if first_listed == Some(bucket) { Log::Quietly } else { Log::Warnings };
            let checked = match prefix {
                Some(prefix) => {
                    persist(attempts, log, || self.s3.list_page(bucket, prefix, None, Some(1)))
                        .await
                        .map(drop)
                }
                None => persist(attempts, log, || self.s3.head_bucket(bucket)).await,
            };
            match checked {
                // Reading a key needs no permission on its bucket.
                Err(error) if prefix.is_none() && error.kind == ErrorKind::ListingDenied => {}
                Err(error) => problems.push(error),
                Ok(()) => {}
            }
        }
        if problems.is_empty() && self.refuse_lakes {
            for (bucket, prefix) in outermost_prefixes(&self.uris) {
                problems.extend(self.lake_at(bucket, prefix).await);
            }
        }
        problems
    }

    /// Returns the error of a prefix that is the folder of a lake table, or none. The listing finds
    /// the tables in its folders, but perhaps after the first of their files.
    async fn lake_at(&self, bucket: &str, prefix: &str) -> Option<Error> {
        if !prefix.is_empty() && !prefix.ends_with('/') {
            return None;
        }
        for marker in MARKERS {
            let below = format!("{prefix}{marker}");
            let attempts = Attempts::new(&self.retry);
            let ask = || self.s3.list_page(bucket, &below, None, None);
            let Ok(page) = persist(attempts, Log::Quietly, ask).await else { continue };
            let lake =
                page.entries.iter().find_map(|entry| lake_of(entry.key.get(prefix.len()..)?));
            if let Some(lake) = lake {
                return Some(refused_lake(bucket, prefix, lake));
            }
        }
        None
    }

    /// Returns the bucket that [`Listing::run`] asks first, unless a file names it.
    fn first_listed(&self) -> Option<&str> {
        let exact = self.uris.iter().find(|uri| matches!(uri, SourceUri::Key { .. }));
        match (exact, &self.keys_from) {
            (Some(uri), _) => Some(uri.bucket()),
            (None, Some(_)) => None,
            (None, None) => self.uris.first().map(SourceUri::bucket),
        }
    }

    /// Sends every selected object to `found`. Ends early, without an error, if the receiver is
    /// gone.
    ///
    /// # Errors
    /// Fails if S3 refuses the listing or stays unreachable. Objects sent before that remain valid.
    pub async fn run(&self, found: ListingSink) -> Result<SkippedKeys> {
        let mut skipped_keys = SkippedKeys::default();
        let mut named = Fingerprints::default();

        let exact = self.uris.iter().filter_map(|uri| match uri {
            SourceUri::Key { bucket, key } => Some((bucket.clone(), key.clone())),
            SourceUri::Prefix { .. } => None,
        });
        let exact: Vec<_> = exact.filter(|(bucket, key)| named.insert((bucket, key))).collect();
        self.look_up(stream::iter(exact.into_iter().map(Ok)), NamedBy::Uri, &found).await?;
        if let Some(path) = &self.keys_from {
            let lines = named_keys(path).await?.filter(|line| {
                let fresh = line.as_ref().map_or(true, |(bucket, key)| named.insert((bucket, key)));
                async move { fresh }
            });
            self.look_up(Box::pin(lines), NamedBy::List, &found).await?;
        }

        for (bucket, prefix) in outermost_prefixes(&self.uris) {
            self.list_prefix(bucket, prefix, &named, &mut skipped_keys, &found).await?;
        }
        Ok(skipped_keys)
    }

    /// Requests each of `keys` separately, several at a time, and sends the results in order.
    async fn look_up(
        &self,
        keys: impl futures_util::Stream<Item = Result<(String, String)>> + Unpin,
        named_by: NamedBy,
        found: &ListingSink,
    ) -> Result<()> {
        let mut answers = keys
            .map(|named| async {
                let (bucket, key) = named?;
                let attempts = Attempts::new(&self.retry);
                match persist(attempts, Log::Warnings, || self.s3.head(&bucket, &key)).await {
                    Ok(object) => Ok(Listed::Object(object)),
                    Err(error) if error.kind.consequence() == Consequence::FailObject => {
                        let is_missing = error.kind == ErrorKind::ObjectMissing;
                        let error = match named_by {
                            NamedBy::Uri if is_missing => {
                                error.with_hint(self.remedy(&bucket, &key).await)
                            }
                            _ => error,
                        };
                        Ok(Listed::Failed { bucket, key, error })
                    }
                    Err(error) => Err(error),
                }
            })
            .buffered(HEADS_IN_FLIGHT);
        while let Some(answer) = answers.next().await {
            if !found.send(answer?).await {
                break;
            }
        }
        Ok(())
    }

    /// Returns the remedy for a key that a URI names, but that does not exist.
    async fn remedy(&self, bucket: &str, key: &str) -> String {
        if key.contains(['*', '?', '[']) {
            return "globs go into --include, beside the URI of a prefix, as in \
                    s3://bucket/prefix/"
                .to_owned();
        }
        let as_folder = format!("{key}/");
        for (prefix, remedy) in [(as_folder.as_str(), "add a slash"), (key, "add --prefix")] {
            // Without the right to list, this is not known.
            let Ok(page) = self.s3.list_page(bucket, prefix, None, Some(KEYS_COUNTED)).await else {
                break;
            };
            let more = if page.continuation_token.is_some() { " or more" } else { "" };
            let begin = match page.entries.len() {
                0 => continue,
                1 => "1 key begins".to_owned(),
                1000 => format!("1,000{more} keys begin"),
                count => format!("{count}{more} keys begin"),
            };
            return format!("{begin} with {}: {remedy}", printable(prefix));
        }
        "check the key; if this is a prefix, end it with a slash, or use --prefix".to_owned()
    }

    async fn list_prefix(
        &self,
        bucket: &str,
        prefix: &str,
        named: &Fingerprints,
        skipped_keys: &mut SkippedKeys,
        found: &ListingSink,
    ) -> Result<()> {
        let mut token = None;
        let mut tokens = Fingerprints::default();
        let mut order = KeyOrder::default();
        let mut pages_without_keys = 0;
        loop {
            let attempts = Attempts::new(&self.retry);
            let ask = || self.s3.list_page(bucket, prefix, token.clone(), None);
            let Page { entries, continuation_token } =
                persist(attempts, Log::Warnings, ask).await?;
            // Checked before any key is sent: a repeated page would send its keys twice.
            let is_repeated = continuation_token.as_ref().is_some_and(|next| !tokens.insert(next));
            if is_repeated {
                return Err(endless(bucket, prefix, "returned the same page twice"));
            }
            let had_keys = !entries.is_empty();
            let mut has_new_keys = false;
            let mut without_etag = Vec::new();
            for entry in entries {
                let not_new = order.admit(&entry.key).err();
                has_new_keys |= not_new.is_none();
                if named.contains((bucket, &entry.key)) {
                    continue;
                }
                let below = entry.key.get(prefix.len()..).unwrap_or_default();
                if let Some(lake) = lake_of(below).filter(|_| self.refuse_lakes) {
                    return Err(refused_lake(bucket, &entry.key, lake));
                }
                // An object of unknown size is not passed over as an empty one.
                let size_bytes = entry.size_bytes.unwrap_or(u64::MAX);
                match self.filter.match_key(
                    &entry.key,
                    prefix.len(),
                    size_bytes,
                    entry.last_modified,
                ) {
                    KeyMatch::FolderMarker => skipped_keys.folder_markers += 1,
                    KeyMatch::Hidden => skipped_keys.hidden += 1,
                    KeyMatch::FilteredOut => skipped_keys.filtered_out += 1,
                    KeyMatch::Take => {
                        let fault = entry.fault.or_else(|| not_new.map(|why| why.to_string()));
                        let listed = match (fault, entry.etag, entry.size_bytes) {
                            (Some(fault), ..) => refused(bucket, entry.key, &fault),
                            (None, Some(etag), Some(size_bytes)) => Listed::Object(Object {
                                bucket: bucket.to_owned(),
                                key: entry.key,
                                etag,
                                size_bytes,
                                last_modified: entry.last_modified,
                            }),
                            (None, ..) => {
                                without_etag.push(Ok((bucket.to_owned(), entry.key)));
                                continue;
                            }
                        };
                        if !found.send(listed).await {
                            return Ok(());
                        }
                    }
                }
            }
            if !without_etag.is_empty() {
                self.look_up(stream::iter(without_etag), NamedBy::List, found).await?;
            }
            if continuation_token.is_none() || found.sender.is_closed() {
                return Ok(());
            }
            if had_keys && !has_new_keys {
                return Err(endless(bucket, prefix, "returned the same page twice"));
            }
            pages_without_keys = if had_keys { 0 } else { pages_without_keys + 1 };
            if pages_without_keys >= PAGES_WITHOUT_KEYS {
                let what = format!("returned {PAGES_WITHOUT_KEYS} pages without a key");
                return Err(endless(bucket, prefix, &what));
            }
            token = continuation_token;
        }
    }
}

/// Returns a key that cannot be loaded as the listing shows it.
fn refused(bucket: &str, key: String, fault: &str) -> Listed {
    let message = format!(
        "s3://{}/{}: the listing cannot be followed for this key: {fault}",
        bucket.escape_debug(),
        key.escape_debug()
    );
    let error = Error::new(ErrorKind::SourceProtocol, message)
        .with_hint("if the object is to be loaded, give its exact key");
    Listed::Failed { bucket: bucket.to_owned(), key, error }
}

fn endless(bucket: &str, prefix: &str, what: &str) -> Error {
    let (bucket, prefix) = (bucket.escape_debug(), prefix.escape_debug());
    Error::new(ErrorKind::SourceProtocol, format!("s3://{bucket}/{prefix}: the listing {what}"))
}

/// The way in which retries are logged.
#[derive(Clone, Copy)]
enum Log {
    Warnings,
    Quietly,
}

/// Repeats `operation` for as long as the retry layer allows.
async fn persist<T, F>(mut attempts: Attempts, log: Log, operation: impl Fn() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    loop {
        match operation().await {
            Ok(value) => return Ok(value),
            Err(error) => {
                let is_tried_again = match log {
                    Log::Warnings => attempts.wait_after(&error).await,
                    Log::Quietly => attempts.wait_quietly_after(&error).await,
                };
                if !is_tried_again {
                    return Err(error);
                }
            }
        }
    }
}

/// Returns the prefixes that no other prefix of the same bucket covers, in the order given.
fn outermost_prefixes(uris: &[SourceUri]) -> Vec<(&str, &str)> {
    let prefixes: Vec<(&str, &str)> = uris
        .iter()
        .filter_map(|uri| match uri {
            SourceUri::Prefix { bucket, prefix } => Some((bucket.as_str(), prefix.as_str())),
            SourceUri::Key { .. } => None,
        })
        .collect();
    let covered = |index: usize, (bucket, prefix): (&str, &str)| {
        prefixes.iter().enumerate().any(|(other, &(other_bucket, other_prefix))| {
            other_bucket == bucket
                && prefix.starts_with(other_prefix)
                && (other_prefix.len() < prefix.len() || other < index)
        })
    };
    prefixes
        .iter()
        .enumerate()
        .filter(|&(index, &prefix)| !covered(index, prefix))
        .map(|(_, &prefix)| prefix)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_inside_another_is_listed_once() {
        let prefix = |bucket: &str, prefix: &str| SourceUri::Prefix {
            bucket: bucket.into(),
            prefix: prefix.into(),
        };
        let uris = [
            prefix("b", "a/x/"),
            prefix("b", "a/"),
            prefix("c", "a/"),
            prefix("b", "a/"),
            prefix("b", "aa"),
        ];
        assert_eq!(outermost_prefixes(&uris), [("b", "a/"), ("c", "a/"), ("b", "aa")]);
    }
}
