//! The validated settings of one run.
//!
//! Flags, environment, file and defaults meet in [`resolve()`], which yields a [`Config`] in which
//! every value is present, in range and consistent with the others, or every problem it found at
//! once. Nothing past this module looks at a flag or an environment variable, and arguments never
//! travel below [`crate::run`].

mod database_url;
mod format;
mod loading;
mod rejects;
pub(crate) mod resolve;
mod target;
#[cfg(test)]
mod tests;
mod throughput;
mod uri;

pub use loading::{LoadConfig, MaxRejects, OnBadRow, OnDuplicate};
pub use rejects::{RejectsTo, RejectsToError};
pub use resolve::{Inputs, Resolved, resolve};
pub use throughput::{BatchConfig, ThroughputConfig};
pub use uri::{KeyLineError, SourceUriError, key_line};

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;
use strum::{EnumString, IntoStaticStr, VariantNames};

use crate::dialect::{Charset, Dialect};
use crate::object::TableName;
use crate::units::ByteSize;

/// Everything a run needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    pub source: SourceConfig,
    pub staging: StagingConfig,
    pub format: FormatConfig,
    pub target: TargetConfig,
    pub ledger: LedgerConfig,
    pub load: LoadConfig,
    pub throughput: ThroughputConfig,
    pub retry: RetryConfig,
    pub output: OutputConfig,
}

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

/// One S3 URI of the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceUri {
    Prefix { bucket: String, prefix: String },
    Key { bucket: String, key: String },
}

/// Where and how much may be staged on local disk.
#[derive(Clone, Debug)]
pub struct StagingConfig {
    pub dir: PathBuf,
    /// `None`: 2 GiB, at most half of what is free when the run starts.
    pub budget: Option<ByteSize>,
    pub download_concurrency: usize,
}

/// What the bytes of an object mean.
#[derive(Clone, Debug)]
pub struct FormatConfig {
    pub dialect: Dialect,
    pub charset: Charset,
    /// Header lines at the start of every object, never loaded.
    pub ignore_lines: u64,
    /// Column names and `@variables` as fields are read; `None`: the table's visible columns in
    /// their order.
    pub columns: Option<Vec<ColumnOrVariable>>,
    /// `SET column = expression`, in order.
    pub set: Vec<(String, String)>,
    /// Field values that mean NULL, beyond the dialect's own.
    pub null_strings: Vec<String>,
}

/// One item of LOAD DATA's column list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ColumnOrVariable {
    Column(String),
    /// The name without its `@`.
    Variable(String),
}

/// How the database server is reached, and which table is loaded.
#[derive(Clone, Debug)]
pub struct TargetConfig {
    pub host: String,
    pub port: u16,
    /// A unix socket; where set, `host` and `port` are not used.
    pub socket: Option<PathBuf>,
    pub user: String,
    pub password: Option<SecretString>,
    /// The default database of the connection; `table` may name another one.
    pub database: Option<String>,
    pub table: TableName,
    pub ssl_mode: SslMode,
    pub ssl_ca: Option<PathBuf>,
    pub ssl_cert: Option<PathBuf>,
    pub ssl_key: Option<PathBuf>,
    pub compress: Compress,
    /// Statements run on every new connection, after our own settings.
    pub init_sql: Vec<String>,
}

/// The `mysql` client's five values of `--ssl-mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE", ascii_case_insensitive)]
pub enum SslMode {
    Disabled,
    Preferred,
    Required,
    VerifyCa,
    VerifyIdentity,
}

/// Whether the protocol's bytes are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, VariantNames)]
#[strum(serialize_all = "snake_case", ascii_case_insensitive)]
pub enum Compress {
    /// Where the connection turns out to be slow.
    Auto,
    Zlib,
    Off,
}

/// What the ledger is called, and what is made of what it says.
#[derive(Clone, Debug)]
pub struct LedgerConfig {
    /// What the names of the ledger's tables begin with, and the database that they are in where it
    /// is not the target's. `None`: no ledger, at least once.
    pub table: Option<TableName>,
    pub on_changed: OnChanged,
    /// Load what the ledger says is loaded, too.
    pub force: bool,
    /// Try what an earlier run failed to load.
    pub retry_failed: bool,
}

/// What an object does whose key was loaded with another `ETag`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, VariantNames)]
#[strum(serialize_all = "snake_case", ascii_case_insensitive)]
pub enum OnChanged {
    Error,
    /// Its rows are added; those of the earlier content stay.
    Load,
    Skip,
}

/// What becomes of the rows that are in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "snake_case", ascii_case_insensitive)]
pub enum Mode {
    /// They stay.
    Append,
    /// The table is emptied first, once for each job.
    Truncate,
    /// The objects are loaded into a table like the target, which takes its place when all are in.
    Swap,
}

/// How the whole table is compared with the objects at the end of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, VariantNames)]
#[strum(serialize_all = "snake_case", ascii_case_insensitive)]
pub enum Verify {
    None,
    Checksum,
}

/// Bounds of the one layer that retries; whichever is reached first ends it.
#[derive(Clone, Debug)]
pub struct RetryConfig {
    /// Tries in all, the first included; at least 1.
    pub max_attempts: u32,
    pub max_elapsed: Duration,
}

/// What the run tells, and where.
#[derive(Clone, Debug)]
pub struct OutputConfig {
    /// JSON Lines, one per object and a last summary.
    pub report: Option<PathBuf>,
    /// The keys that failed, in the form that `--keys-from` reads.
    pub failed_keys: Option<PathBuf>,
    pub summary: SummaryForm,
    pub log_format: LogFormat,
    /// 0 is the default; each `-v` adds one, each `-q` takes one away.
    pub verbosity: i8,
    pub progress: ProgressMode,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, VariantNames)]
#[strum(serialize_all = "snake_case", ascii_case_insensitive)]
pub enum LogFormat {
    Text,
    Json,
}

/// How the summary on standard output looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, VariantNames)]
#[strum(serialize_all = "snake_case", ascii_case_insensitive)]
pub enum SummaryForm {
    /// A table on a terminal, text elsewhere.
    Auto,
    /// `key value` lines.
    Text,
    /// A sentence and a table for people.
    Table,
    /// The last line of the report.
    Json,
}

/// How progress is shown on standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, VariantNames)]
#[strum(serialize_all = "snake_case", ascii_case_insensitive)]
pub enum ProgressMode {
    /// Bars on a terminal, log lines elsewhere.
    Auto,
    Bars,
    Log,
    Off,
}
