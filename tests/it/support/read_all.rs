//! Lists and stages objects in this process, as a run does, but without a database.

use std::time::Duration;

use anyhow::{Result, bail};
use s3_to_mysql::error::Error;
use s3_to_mysql::object::Object;
use s3_to_mysql::retry::{Attempts, RetryConfig};
use s3_to_mysql::s3_uri::SourceUri;
use s3_to_mysql::source::{Listed, Listing, ListingSink, S3, SourceConfig};
use s3_to_mysql::staging::{
    Budget, ByteObserver, Integrity, Staged, StagingArea, StagingConfig, stage,
};
use s3_to_mysql::units::ByteSize;
use tokio::sync::mpsc;

use super::program::BUCKET;

/// A client of one store, and a place to stage what it finds.
pub struct Reader {
    s3: S3,
    source: SourceConfig,
    retry: RetryConfig,
    area: StagingArea,
    _dir: tempfile::TempDir,
}

/// The objects and the failed keys of a listing that ended well.
#[derive(Debug, Default)]
pub struct Found {
    pub objects: Vec<Object>,
    pub failed: Vec<(String, Error)>,
}

impl Found {
    /// Returns the keys of the objects, in order.
    pub fn keys(&self) -> Vec<&str> {
        self.objects.iter().map(|object| object.key.as_str()).collect()
    }
}

/// Returns the settings of a source at this endpoint, for a store that needs a signature.
pub fn source_config(url: &str) -> SourceConfig {
    SourceConfig {
        uris: Vec::new(),
        keys_from: None,
        include: Vec::new(),
        exclude: Vec::new(),
        key_regex: None,
        modified_after: None,
        modified_before: None,
        skip_hidden: false,
        refuse_lakes: false,
        allow_empty: false,
        region: Some("us-east-1".to_owned()),
        profile: None,
        endpoint_url: Some(url.to_owned()),
        path_style: Some(true),
        no_sign_request: false,
        request_payer: false,
        connect_timeout: Duration::from_secs(5),
        stall_timeout: Duration::from_secs(1),
    }
}

impl Reader {
    /// Creates a reader of `s3://etl/PREFIX`, which signs nothing.
    pub async fn new(url: &str, prefix: &str, stall: Duration, max_attempts: u32) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let budget = Budget::new(&StagingConfig {
            dir: dir.path().to_owned(),
            budget: Some(ByteSize::from_bytes(1 << 30)),
            download_concurrency: 1,
        })?;
        let source = SourceConfig {
            uris: vec![SourceUri::Prefix { bucket: BUCKET.to_owned(), prefix: prefix.to_owned() }],
            no_sign_request: true,
            stall_timeout: stall,
            ..source_config(url)
        };
        Ok(Self {
            s3: S3::new(&source).await?,
            source,
            retry: RetryConfig { max_attempts, max_elapsed: Duration::from_secs(60) },
            area: StagingArea::new(dir.path(), 1 << 20, budget),
            _dir: dir,
        })
    }

    /// Lists the keys.
    pub async fn list(&self) -> std::result::Result<Found, Error> {
        let (sender, mut found) = mpsc::channel(16);
        let listing = Listing::new(self.s3.clone(), &self.source, &self.retry)?;
        let collecting = async {
            let mut listed = Found::default();
            while let Some(next) = found.recv().await {
                match next {
                    Listed::Object(object) => listed.objects.push(object),
                    Listed::Failed { key, error, .. } => listed.failed.push((key, error)),
                }
            }
            listed
        };
        let (ended, listed) =
            tokio::join!(listing.run(ListingSink::new(sender, |_| {})), collecting);
        ended.map(|_| listed)
    }

    /// Stages one object. Returns its bytes, and how they were verified.
    pub async fn read(
        &self,
        object: &Object,
    ) -> Result<std::result::Result<(Vec<u8>, Integrity), Error>> {
        let reserved = match self.area.reserve(object, None).await {
            Ok(reserved) => reserved,
            Err(error) => return Ok(Err(error)),
        };
        let mut attempts = Attempts::new(&self.retry);
        let open = |from| self.s3.get(object, from);
        let space = (&self.area, reserved);
        match stage(object, space, &mut attempts, open, || Kept(Vec::new())).await {
            Ok(Staged::Whole(staged, Kept(bytes))) => Ok(Ok((bytes, staged.verified))),
            Ok(Staged::Wants(wanted)) => bail!("{object} wants {wanted:?}"),
            Err(error) => Ok(Err(error)),
        }
    }
}

/// Keeps all bytes.
struct Kept(Vec<u8>);

impl ByteObserver for Kept {
    fn feed(&mut self, chunk: &[u8]) -> std::result::Result<(), Error> {
        self.0.extend(chunk);
        Ok(())
    }
}
