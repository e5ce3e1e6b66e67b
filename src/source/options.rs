//! The options that select the objects of a run, and those that configure access to S3.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;

use crate::s3_uri::SourceUri;

/// The selection of objects, and the access to S3.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is one switch of the command line")]
pub struct SourceConfig {
    /// The URIs in the order given. A run always has at least one, unless `keys_from` is set.
    pub uris: Vec<SourceUri>,
    /// A file with one S3 URI per line, each an exact key; `-` is standard input.
    pub keys_from: Option<PathBuf>,
    /// Patterns for the part of a listed key after its prefix; `*` matches `/` too.
    pub include: Vec<String>,
    pub exclude: Vec<String>,
    /// A regular expression that must match somewhere in the whole key.
    pub key_regex: Option<String>,
    pub modified_after: Option<Timestamp>,
    pub modified_before: Option<Timestamp>,
    /// Skip keys in which a component after the prefix starts with `_` or `.`.
    pub skip_hidden: bool,
    /// Refuse the folders of lake tables, whose files are not their rows.
    pub refuse_lakes: bool,
    pub allow_empty: bool,
    pub region: Option<String>,
    pub profile: Option<String>,
    pub endpoint_url: Option<String>,
    /// `None` decides by the host of the endpoint.
    pub path_style: Option<bool>,
    pub no_sign_request: bool,
    pub request_payer: bool,
    /// The time limit for one connection attempt, to S3 or to MySQL.
    pub connect_timeout: Duration,
    /// A transfer fails when no byte has moved for this long.
    pub stall_timeout: Duration,
}

impl std::fmt::Display for SourceConfig {
    /// The sources of the run, for people. The text holds no secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut separator = "";
        for uri in &self.uris {
            write!(f, "{separator}{}", uri.literal())?;
            separator = " ";
        }
        if let Some(keys_from) = &self.keys_from {
            write!(f, "{separator}--keys-from {}", keys_from.display())?;
        }
        Ok(())
    }
}
