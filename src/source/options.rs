//! Which objects a run loads, and how S3 is reached.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;

use crate::s3_uri::SourceUri;

/// Which objects, and how S3 is reached.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is one switch of the command line")]
pub struct SourceConfig {
    /// In the order given; of a run, never empty unless `keys_from` is set.
    pub uris: Vec<SourceUri>,
    /// A file with one S3 URI a line, each an exact key; `-` is standard input.
    pub keys_from: Option<PathBuf>,
    /// Matched against the part of a listed key after its prefix; `*` crosses `/`.
    pub include: Vec<String>,
    pub exclude: Vec<String>,
    /// Searched for in the whole of a listed key.
    pub key_regex: Option<String>,
    pub modified_after: Option<Timestamp>,
    pub modified_before: Option<Timestamp>,
    /// Pass over keys with a component after the prefix that starts with `_` or `.`.
    pub skip_hidden: bool,
    pub allow_empty: bool,
    pub region: Option<String>,
    pub profile: Option<String>,
    pub endpoint_url: Option<String>,
    pub path_style: bool,
    pub no_sign_request: bool,
    pub request_payer: bool,
    /// Bounds one connection attempt, to S3 and to MySQL alike.
    pub connect_timeout: Duration,
    /// A transfer is given up when no byte has moved for so long.
    pub stall_timeout: Duration,
}

impl std::fmt::Display for SourceConfig {
    /// What is loaded, for people: holds no secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut separator = "";
        for uri in &self.uris {
            let (bucket, rest) = match uri {
                SourceUri::Prefix { bucket, prefix } => (bucket, prefix),
                SourceUri::Key { bucket, key } => (bucket, key),
            };
            write!(f, "{separator}s3://{bucket}/{rest}")?;
            separator = " ";
        }
        if let Some(keys_from) = &self.keys_from {
            write!(f, "{separator}--keys-from {}", keys_from.display())?;
        }
        Ok(())
    }
}
