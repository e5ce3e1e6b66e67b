//! The classes of failure, and what the program does about each.
//!
//! Each failure becomes an [`ErrorKind`] at the library where it occurs. [`ErrorKind::consequence`]
//! is the one place that decides whether the program retries it, fails the object or ends the run.
//! [`ErrorKind::hint`] says what the operator can do.

mod bad_row;

pub use bad_row::{BadRow, BadRows, RawRow};

use std::fmt;

use serde::Serialize;
use strum::IntoStaticStr;

use crate::limits;
use crate::printable::printable;

/// The classes of failure that the program distinguishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, IntoStaticStr, Serialize)]
#[serde(into = "&'static str")]
#[strum(serialize_all = "snake_case")]
pub enum ErrorKind {
    // S3: the connection
    /// The endpoint cannot be reached, or the connection broke before a response arrived.
    SourceUnreachable,
    /// The store asks for a retry: 5xx, `SlowDown`, `RequestTimeout`.
    SourceBusy,
    /// The credentials are missing, or the store does not know them.
    SourceCredentials,
    BucketMissing,
    ListingDenied,
    /// A page of a listing is cut short, damaged, or not the one that was requested.
    ListingBroken,
    /// The response is not an S3 response.
    SourceProtocol,

    /// No object matches.
    NothingMatched,

    // S3: one object
    ObjectMissing,
    ObjectDenied,
    ObjectArchived,
    ObjectEncrypted,
    /// The object no longer has the ETag or size that the listing showed.
    ObjectChanged,
    /// The body ended early, or no byte arrived for too long.
    BodyBroken,
    /// The staged bytes do not match the checksum that the store holds.
    ChecksumMismatch,

    // Staging
    ObjectTooLarge,
    StagingFailed,

    /// The rejected rows cannot be written to the place that `--rejects` names.
    RejectsUnwritable,

    // The object's format
    UnsupportedFormat,
    Malformed,

    // MySQL: the connection
    TargetUnreachable,
    TargetLogin,
    TargetTls,
    /// The server has too many connections, is shutting down, or is read-only for the moment.
    TargetBusy,

    // MySQL: the transaction
    /// Error 1213 or 1205: the server rolled the transaction back, and a retry is safe.
    LockConflict,
    /// The connection was lost before COMMIT was sent. The server rolls the transaction back.
    ConnectionLost,
    /// No byte moved for too long. The connection was destroyed before COMMIT was sent.
    LoadStalled,
    /// The connection was lost while COMMIT was in progress.
    OutcomeUnknown,
    BadRows,
    Duplicates,
    /// The object would have more rejected rows than `--max-rejects` allows.
    TooManyRejects,
    /// The run would have more rejected rows than `--max-rejects-total` allows.
    RejectsExhausted,
    /// The server's `Records:` differs from our own row count.
    CountMismatch,
    /// The table does not hold the same rows as the job's objects.
    ChecksumDiffers,
    /// Objects of the job were loaded without a digest, so that the table cannot be compared.
    ChecksumMissing,
    /// The transaction's ledger row disappeared before COMMIT.
    LedgerRowLost,
    /// The server refused the statement because of the object's data.
    StatementFailed,
    /// The server refuses every such statement: a missing privilege, a missing table, or
    /// `local_infile` is off.
    TargetRefused,

    // The state of the ledger
    /// The key was loaded with another ETag.
    ContentChanged,
    /// The object failed in an earlier run, and this run must not retry it.
    FailedBefore,
    /// Some parts of the key are loaded, but from content that no longer exists.
    PartialChanged,
    /// Some parts of the object are loaded, and this run's settings cannot continue it.
    PartialConflict,
    /// The ledger lists loaded objects, but the table is empty.
    TargetEmptied,
    /// Another run emptied or replaced the table in the meantime.
    Superseded,

    /// A setting that proved wrong only when it was used, such as an unreadable file or a bad
    /// pattern.
    Usage,
    /// The user stopped the run.
    Interrupted,
    /// A defect of this program.
    Bug,
}

/// The consequence of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consequence {
    /// Retry within the retry limits; after that, fail the object.
    Retry,
    /// Retry within the retry limits; after that, end the run, because other objects would fail
    /// too.
    RetryThenAbort,
    FailObject,
    AbortRun,
}

impl ErrorKind {
    /// Returns the consequence of the failure. This is the only table of consequences.
    #[must_use]
    pub fn consequence(self) -> Consequence {
        use Consequence::{AbortRun, FailObject, Retry, RetryThenAbort};
        match self {
            Self::SourceBusy
            | Self::BodyBroken
            | Self::ChecksumMismatch
            | Self::StagingFailed => Retry,
            // If the server is gone, the next attempt to connect shows it.
            Self::LockConflict | Self::LoadStalled | Self::ConnectionLost => Retry,
            Self::SourceUnreachable
            | Self::ListingBroken
            | Self::TargetUnreachable
            | Self::TargetBusy => RetryThenAbort,
            Self::ObjectMissing
            | Self::ObjectDenied
            | Self::ObjectArchived
            | Self::ObjectEncrypted
            | Self::ObjectChanged
            | Self::ObjectTooLarge
            // A row must never be dropped without its record. Objects without rejects still load.
            | Self::RejectsUnwritable
            | Self::UnsupportedFormat
            | Self::Malformed
            | Self::OutcomeUnknown
            | Self::BadRows
            | Self::Duplicates
            | Self::TooManyRejects
            | Self::CountMismatch
            | Self::StatementFailed
            | Self::LedgerRowLost
            | Self::ContentChanged
            | Self::FailedBefore
            | Self::PartialChanged
            | Self::PartialConflict
            | Self::SourceProtocol => FailObject,
            Self::SourceCredentials
            | Self::BucketMissing
            | Self::ListingDenied
            | Self::NothingMatched
            | Self::TargetLogin
            | Self::TargetTls
            | Self::TargetRefused
            | Self::TargetEmptied
            | Self::Superseded
            | Self::RejectsExhausted
            | Self::ChecksumDiffers
            | Self::ChecksumMissing
            | Self::Usage
            | Self::Interrupted
            | Self::Bug => AbortRun,
        }
    }

    /// Returns what the operator can do, if that is more than the message says.
    #[must_use]
    pub fn hint(self) -> Option<&'static str> {
        Some(match self {
            Self::SourceUnreachable => "check --endpoint-url, the network and the proxy settings",
            Self::SourceCredentials => {
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, choose a --profile, or use \
                 --no-sign-request for a public bucket"
            }
            Self::BucketMissing => "check the bucket's name, --region and --endpoint-url",
            Self::ListingBroken => {
                "run again; if the error persists, check the store and whatever lies between it \
                 and this machine, such as a proxy or a cache"
            }
            Self::ListingDenied => "the credentials need s3:ListBucket on the bucket",
            Self::SourceProtocol => {
                "check that --endpoint-url is an S3 endpoint; one that is not AWS's may need \
                 --path-style"
            }
            Self::NothingMatched => {
                "check the URIs and filters; --allow-empty makes this a success"
            }
            Self::ObjectMissing => "it was deleted after it was listed, or the key is misspelled",
            Self::ObjectDenied => "the credentials need s3:GetObject on the object",
            Self::ObjectArchived => "restore the object from its archive class first",
            Self::ObjectEncrypted => "the credentials need kms:Decrypt on the object's key",
            Self::ObjectChanged => {
                "the object was overwritten after it was listed; run again to load its new content"
            }
            Self::ObjectTooLarge => "raise --staging-budget, or write smaller objects",
            Self::StagingFailed => {
                "free some disk space, lower --staging-budget, or choose another --staging-dir"
            }
            Self::RejectsUnwritable => {
                "make sure that the place of --rejects is writable and has free space, then run \
                 again; nothing of the object was loaded"
            }
            Self::UnsupportedFormat => "unpack or convert the object to delimited text first",
            Self::TargetUnreachable => {
                "check --host, --port, --socket and that the server is running"
            }
            Self::TargetLogin => "check --user, the password and the account's host part",
            Self::TargetTls => "check --ssl-mode and --ssl-ca",
            Self::TargetBusy => "lower --load-concurrency, or raise max_connections on the server",
            Self::LoadStalled => {
                "check the network and the server's load; --stall-timeout sets the limit"
            }
            Self::ContentChanged => {
                "use --on-changed load to add the new content's rows, or --on-changed skip to \
                 leave the table as it is; --force starts an unfinished truncate or swap job over"
            }
            Self::FailedBefore => "fix the cause, and run again without --no-retry-failed",
            Self::PartialChanged => {
                "the parts' rows are in the table and cannot be completed: remove them, then \
                 remove the object from the ledger with `s3-to-mysql forget` and run again; \
                 --force starts an unfinished truncate or swap job over"
            }
            Self::PartialConflict => {
                "run again with the settings that the object was begun with; or remove its rows \
                 from the table, then the object from the ledger with `s3-to-mysql forget`"
            }
            Self::TargetEmptied => {
                "use --force to load the objects again, or remove them from the ledger first with \
                 `s3-to-mysql forget`"
            }
            Self::Superseded => "run again",
            Self::OutcomeUnknown => {
                "check whether the object's rows are in the table before you load it again"
            }
            Self::BadRows => {
                "fix the rows, or use --on-bad-row reject to load the others, or accept to load \
                 the values that MySQL converts them to"
            }
            Self::Duplicates => {
                "use --on-duplicate ignore, replace, update or reject if that is what you want"
            }
            Self::TooManyRejects => "fix the rows, or raise --max-rejects",
            Self::RejectsExhausted => "fix the rows, or raise --max-rejects-total",
            _ => return None,
        })
    }

    /// Returns the kind's name in reports, in `snake_case`. It never changes once it is released.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.into()
    }
}

/// A failure with its class, its message, and its cause.
#[derive(Debug)]
pub struct Error {
    pub kind: ErrorKind,
    message: String,
    source: Option<anyhow::Error>,
    hint: Option<String>,
    /// The remedy if a limit of the operating system is the cause. It goes before other hints.
    limit_hint: Option<String>,
    bad_rows: Option<Box<BadRows>>,
}

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { kind, message, source: None, hint: None, limit_hint: None, bad_rows: None }
    }

    /// Returns the same failure with another kind, for a caller to which it means something else.
    #[must_use]
    pub fn as_kind(self, kind: ErrorKind) -> Self {
        Self { kind, ..self }
    }

    /// Adds the cause. It must contain no secret, because it reaches logs and reports.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<anyhow::Error>) -> Self {
        let source = source.into();
        self.limit_hint = limits::remedy(source.as_ref());
        self.source = Some(source);
        self
    }

    /// Sets a hint that is more specific than the kind's own.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Sets the remedy if a limit of the operating system is the cause, for a cause that is kept as
    /// a text.
    #[must_use]
    pub(crate) fn limited_by(self, source: &(dyn std::error::Error + 'static)) -> Self {
        Self { limit_hint: limits::remedy(source), ..self }
    }

    /// Puts the name of what the error is about before the message.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.message = format!("{name}: {}", self.message);
        self
    }

    /// Appends `more` to the message.
    #[must_use]
    pub fn adding(mut self, more: &str) -> Self {
        self.message.push_str(more);
        self
    }

    /// Returns the message alone, unescaped, without rows and causes.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Adds the server's messages about the object's rows. They appear below the message.
    #[must_use]
    pub fn with_bad_rows(mut self, bad_rows: BadRows) -> Self {
        self.bad_rows = Some(Box::new(bad_rows));
        self
    }

    /// Returns the server's messages about the object's rows.
    #[must_use]
    pub fn bad_rows(&self) -> &[BadRow] {
        self.bad_rows.as_ref().map_or(&[], |bad_rows| &bad_rows.shown)
    }

    /// Returns the bad rows with the number of the others.
    pub(crate) fn all_bad_rows(&self) -> BadRows {
        self.bad_rows.as_deref().cloned().unwrap_or_default()
    }

    /// Returns [`Self::bad_rows`] for a caller that can complete them.
    pub fn bad_rows_mut(&mut self) -> &mut [BadRow] {
        self.bad_rows.as_mut().map_or(&mut [], |bad_rows| &mut bad_rows.shown)
    }

    /// Removes and returns the bad rows, so that a caller can put them on an error that wraps this
    /// one.
    pub(crate) fn take_bad_rows(&mut self) -> BadRows {
        self.bad_rows.take().map(|bad_rows| *bad_rows).unwrap_or_default()
    }

    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        let hint = self.limit_hint.as_deref().or(self.hint.as_deref());
        hint.or_else(|| self.kind.hint())
    }

    /// Returns the message and its causes on one line, for people. The bad rows follow, one or two
    /// lines each. Nothing from outside can add a line.
    #[must_use]
    pub fn one_line(&self) -> String {
        self.with_rows(printable(&self.line()).into_owned())
    }

    /// Returns the message and its causes, unescaped, without the name that it begins with.
    pub(crate) fn line_without(&self, name: &str) -> String {
        let line = self.line();
        line.strip_prefix(name).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(&line).to_owned()
    }

    /// Returns what [`Self::one_line`] does, but unescaped, for machines.
    #[must_use]
    pub fn full_text(&self) -> String {
        self.with_rows(self.line())
    }

    fn line(&self) -> String {
        let mut text = self.message.clone();
        for cause in self.raw_causes() {
            // Libraries often repeat their cause in their own text.
            if !text.contains(&cause) {
                text.push_str(": ");
                text.push_str(&cause);
            }
        }
        text
    }

    fn with_rows(&self, mut text: String) -> String {
        if let Some(bad_rows) = &self.bad_rows {
            text.push_str(&bad_rows.text(&text));
        }
        text
    }

    /// Returns the causes, outermost first, each on one line.
    #[must_use]
    pub fn causes(&self) -> Vec<String> {
        self.raw_causes().iter().map(|cause| printable(cause).into_owned()).collect()
    }

    /// Returns the causes, unescaped.
    pub(crate) fn raw_causes(&self) -> Vec<String> {
        self.source.iter().flat_map(|source| source.chain().map(ToString::to_string)).collect()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&printable(&self.message))?;
        self.bad_rows.as_ref().map_or(Ok(()), |bad_rows| f.write_str(&bad_rows.text(&self.message)))
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source.as_ref() as _)
    }
}
