//! The comparison of what is loaded with what its source holds.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::mpsc;

use crate::config::Config;
use crate::error::{ErrorKind, Result};
use crate::ledger::LedgerAdmin;
use crate::s3_uri::SourceUri;
use crate::source::{Fingerprints, Listed, Listing, ListingSink, S3, SourceConfig};

/// The number of listed keys that may wait.
const LISTED_AHEAD: usize = 1000;

/// The differences between the table and its source.
#[derive(Debug, Serialize)]
pub(super) struct SourceComparison {
    /// The number of objects that the source has.
    pub(super) objects_listed: u64,
    /// The number of objects that are loaded, and that the source no longer has.
    pub(super) objects_gone: u64,
    pub(super) gone: Vec<GoneObject>,
    /// The time at which the newest object of the source was written. RFC 3339, in UTC. `null` if
    /// it has none.
    pub(super) newest_object_at: Option<String>,
    /// The seconds since then, by the clock of this machine.
    pub(super) newest_object_age_seconds: Option<u64>,
}

/// An object that is loaded, and that the source no longer has.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct GoneObject {
    pub(super) bucket: String,
    pub(super) key: String,
}

/// The keys that the source has, in sixteen bytes each.
#[derive(Default)]
struct Present {
    keys: Fingerprints,
    count: u64,
    newest: Option<Timestamp>,
}

/// Lists `uris`, and looks for the loaded objects that are no longer there.
pub(super) async fn compare(
    config: &Config,
    uris: Vec<SourceUri>,
    generation: u32,
) -> Result<SourceComparison> {
    let mut records = LedgerAdmin::open(&config.ledger_admin()).await?;
    let compared = compare_with(&mut records, config, uris, generation).await;
    match &compared {
        Ok(_) => records.close().await,
        Err(_) => records.destroy().await,
    }
    compared
}

async fn compare_with(
    records: &mut LedgerAdmin,
    config: &Config,
    uris: Vec<SourceUri>,
    generation: u32,
) -> Result<SourceComparison> {
    // What is uploaded and loaded after the listing is not missing in it.
    let before = records.now().await?;
    let present = list(config, uris.clone()).await?;
    let mut gone = BTreeSet::new();
    for uri in &uris {
        let mut after: Option<String> = None;
        loop {
            let keys = records.loaded_keys(uri, generation, &before, after.as_deref()).await?;
            let Some(last) = keys.last().cloned() else { break };
            after = Some(last);
            let bucket = uri.bucket();
            gone.extend(
                keys.into_iter()
                    .filter(|key| !present.keys.contains((bucket, key.as_str())))
                    .map(|key| GoneObject { bucket: bucket.to_owned(), key }),
            );
        }
    }
    let age = present.newest.map(|newest| Timestamp::now().duration_since(newest).as_secs());
    Ok(SourceComparison {
        objects_listed: present.count,
        objects_gone: gone.len() as u64,
        gone: gone.into_iter().collect(),
        newest_object_at: present.newest.map(|newest| newest.to_string()),
        newest_object_age_seconds: age.map(|age| u64::try_from(age).unwrap_or(0)),
    })
}

async fn list(config: &Config, uris: Vec<SourceUri>) -> Result<Present> {
    let source = SourceConfig { uris, ..config.source.clone() };
    let s3 = S3::new(&source).await?;
    let listing = Listing::new(s3, &source, &config.retry)?;
    let (sender, mut listed) = mpsc::channel(LISTED_AHEAD);
    let collect = async {
        let mut present = Present::default();
        while let Some(listed) = listed.recv().await {
            match listed {
                Listed::Object(object) => {
                    present.keys.insert((object.bucket.as_str(), object.key.as_str()));
                    present.count += 1;
                    present.newest = present.newest.max(object.last_modified);
                }
                Listed::Failed { error, .. } if error.kind == ErrorKind::ObjectMissing => {}
                // It is there, although it cannot be read.
                Listed::Failed { bucket, key, .. } => {
                    present.keys.insert((bucket.as_str(), key.as_str()));
                }
            }
        }
        present
    };
    let (listed, present) = tokio::join!(listing.run(ListingSink::new(sender, |_| {})), collect);
    listed.map(|_| present)
}
