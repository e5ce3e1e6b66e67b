//! What can go wrong, and what the program does about it.
//!
//! Every failure is folded into a [`ErrorKind`] at the library it came from; [`ErrorKind::consequence`] is
//! the one place that says whether it is tried again, costs the object or ends the run, and
//! [`ErrorKind::hint`] what the operator can do.

mod bad_row;

pub use bad_row::{BadRow, BadRows, RawRow};

use std::fmt;

use serde::Serialize;
use strum::IntoStaticStr;

use crate::exit_code;

/// The classes of failure that the program tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, IntoStaticStr, Serialize)]
#[serde(into = "&'static str")]
#[strum(serialize_all = "snake_case")]
pub enum ErrorKind {
    // S3: reaching it
    /// The endpoint can't be reached, or the connection broke before an answer.
    SourceUnreachable,
    /// 5xx, `SlowDown`, `RequestTimeout`: the store asks for another try.
    SourceBusy,
    /// No credentials, or ones the store does not know.
    SourceCredentials,
    BucketMissing,
    ListingDenied,
    /// The store answered something that is not S3.
    SourceProtocol,

    /// Not one object is wanted.
    NothingMatched,

    // S3: one object
    ObjectMissing,
    ObjectDenied,
    ObjectArchived,
    ObjectEncrypted,
    /// The ETag or size is no longer the listed one.
    ObjectChanged,
    /// The body ended early, or not a byte came for too long.
    BodyBroken,
    /// The staged bytes do not have the checksum that the store holds.
    ChecksumMismatch,

    // Staging
    ObjectTooLarge,
    StagingFailed,

    /// The rows that are held back can't be written down.
    RejectsUnwritable,

    // What the bytes are
    UnsupportedFormat,
    Malformed,

    // MySQL: reaching it
    TargetUnreachable,
    TargetLogin,
    TargetTls,
    /// Too many connections, or the server is shutting down or read-only for the moment.
    TargetBusy,

    // MySQL: the transaction
    /// 1213, 1205: rolled back, safe to repeat.
    LockConflict,
    /// The connection was lost before COMMIT was sent: rolled back by the server.
    ConnectionLost,
    /// Not a byte moved for too long; the connection was destroyed before COMMIT was sent.
    LoadStalled,
    /// The connection was lost while COMMIT was under way.
    OutcomeUnknown,
    BadRows,
    Duplicates,
    /// More rows of the object would be rejected than `--max-rejects` allows.
    TooManyRejects,
    /// More rows of the run would be rejected than `--max-rejects-total` allows.
    RejectsExhausted,
    /// The server's `Records:` is not our own row count.
    CountMismatch,
    /// The table does not hold what the job's objects hold.
    ChecksumDiffers,
    /// Objects of the job were loaded without what is to be compared.
    ChecksumMissing,
    /// The transaction's ledger row is gone before COMMIT.
    LedgerRowLost,
    /// The server refused the statement for a reason that lies in the object's data.
    StatementFailed,
    /// The server refuses every statement of this kind: no privilege, no such table, `local_infile`
    /// off.
    TargetRefused,

    // What the ledger says
    /// The key is loaded with another ETag.
    ContentChanged,
    /// An earlier run failed, and this one is not to try again.
    FailedBefore,
    /// Some parts of the key are loaded, of a content that is gone.
    PartialChanged,
    /// Some parts of the object are loaded, and this run's settings can't go on with it.
    PartialConflict,
    /// The ledger has rows for a table that has none.
    TargetEmptied,
    /// Another run has emptied or replaced the table meanwhile.
    Superseded,

    /// A setting that turned out wrong only when it was used: an unreadable file, a bad pattern.
    Usage,
    /// The user stopped the run.
    Interrupted,
    /// A defect of this program.
    Bug,
}

/// What follows from a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consequence {
    /// Try again within the retry bounds; past them the object fails.
    Retry,
    /// Try again within the retry bounds; past them there is no point in going on with other
    /// objects either.
    RetryThenAbort,
    FailObject,
    AbortRun,
}

impl ErrorKind {
    /// The one table: failure -> what happens.
    #[must_use]
    pub fn consequence(self) -> Consequence {
        use Consequence::{AbortRun, FailObject, Retry, RetryThenAbort};
        match self {
            Self::SourceBusy | Self::BodyBroken | Self::ChecksumMismatch | Self::StagingFailed => Retry,
            // A server that is gone shows when the next connection is made.
            Self::LockConflict | Self::LoadStalled | Self::ConnectionLost => Retry,
            Self::SourceUnreachable | Self::TargetUnreachable | Self::TargetBusy => RetryThenAbort,
            Self::ObjectMissing
            | Self::ObjectDenied
            | Self::ObjectArchived
            | Self::ObjectEncrypted
            | Self::ObjectChanged
            | Self::ObjectTooLarge
            // Without its record a row must not be dropped; objects without rejects load on.
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

    /// The exit code of a run that this ended.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::SourceUnreachable
            | Self::SourceBusy
            | Self::SourceCredentials
            | Self::BucketMissing
            | Self::ListingDenied
            | Self::SourceProtocol => exit_code::SOURCE_UNAVAILABLE,
            Self::TargetUnreachable
            | Self::TargetLogin
            | Self::TargetTls
            | Self::TargetBusy
            | Self::ConnectionLost
            | Self::TargetEmptied
            | Self::TargetRefused => exit_code::TARGET_UNAVAILABLE,
            Self::NothingMatched => exit_code::NOTHING_MATCHED,
            Self::Usage => exit_code::USAGE,
            Self::Bug => exit_code::BUG,
            _ => exit_code::OBJECTS_FAILED,
        }
    }

    /// What the operator can do, where that is more than the message says.
    #[must_use]
    pub fn hint(self) -> Option<&'static str> {
        Some(match self {
            Self::SourceUnreachable => "check --endpoint-url, the network and the proxy settings",
            Self::SourceCredentials => {
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, choose a --profile, or use --no-sign-request for a public bucket"
            }
            Self::BucketMissing => "check the bucket's name, --region and --endpoint-url",
            Self::ListingDenied => "the credentials need s3:ListBucket on the bucket",
            Self::SourceProtocol => {
                "check that --endpoint-url is an S3 endpoint, and --path-style if it is not AWS's"
            }
            Self::NothingMatched => {
                "check the URIs and filters; --allow-empty makes this a success"
            }
            Self::ObjectMissing => "it was deleted after it was listed, or the key is misspelt",
            Self::ObjectDenied => "the credentials need s3:GetObject on the object",
            Self::ObjectArchived => "restore the object from its archive class first",
            Self::ObjectEncrypted => "the credentials need kms:Decrypt on the object's key",
            Self::ObjectChanged => {
                "the object was overwritten after it was listed; run again to load what is there now"
            }
            Self::ObjectTooLarge => "raise --staging-budget, or write smaller objects",
            Self::StagingFailed => {
                "free some disk space, lower --staging-budget, or choose another --staging-dir"
            }
            Self::RejectsUnwritable => {
                "see that what --rejects names can be written and has room; nothing of the object was loaded, so run again then"
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
                "use --on-changed load to add the new content's rows, or --on-changed skip to leave the table as it is; an unfinished truncate or swap job is begun anew with --force"
            }
            Self::FailedBefore => "mend the cause, and run again without --no-retry-failed",
            Self::PartialChanged => {
                "the parts' rows are in the table and can't be completed: remove them, then remove the object from the ledger with `s3-to-mysql forget` and run again; an unfinished truncate or swap job is begun anew with --force"
            }
            Self::PartialConflict => {
                "go on with the settings it was begun with; or remove its rows from the table, then the object from the ledger with `s3-to-mysql forget`"
            }
            Self::TargetEmptied => {
                "use --force to load the objects again, or remove them from the ledger first with `s3-to-mysql forget`"
            }
            Self::Superseded => "run again",
            Self::OutcomeUnknown => {
                "look whether the object's rows are in the table before you load it again"
            }
            Self::BadRows => {
                "mend the rows, or use --on-bad-row reject to load the others, or accept to take what MySQL makes of them"
            }
            Self::Duplicates => {
                "use --on-duplicate ignore, replace, update or reject if that is what you want"
            }
            Self::TooManyRejects => "mend the rows, or raise --max-rejects",
            Self::RejectsExhausted => "mend the rows, or raise --max-rejects-total",
            _ => return None,
        })
    }

    /// Returns the kind's name in reports: `snake_case`, and never changed once released.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.into()
    }
}

/// A failure with its class, what it happened to, and why.
#[derive(Debug)]
pub struct Error {
    pub kind: ErrorKind,
    message: String,
    source: Option<anyhow::Error>,
    hint: Option<String>,
    bad_rows: Option<Box<BadRows>>,
}

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None, hint: None, bad_rows: None }
    }

    /// The same failure, seen from where it means something else.
    #[must_use]
    pub fn as_kind(self, kind: ErrorKind) -> Self {
        Self { kind, ..self }
    }

    /// With what caused it. The cause must hold no secret: it reaches logs and reports.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<anyhow::Error>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// A remedy that is more exact than the kind's own.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// With something more to say of what it happened to.
    #[must_use]
    pub fn adding(mut self, more: &str) -> Self {
        self.message.push_str(more);
        self
    }

    /// The message alone, without rows and causes.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// With what the server said of the object's rows, which goes below the message.
    #[must_use]
    pub fn with_bad_rows(mut self, bad_rows: BadRows) -> Self {
        self.bad_rows = Some(Box::new(bad_rows));
        self
    }

    /// What the server said of the object's rows.
    #[must_use]
    pub fn bad_rows(&self) -> &[BadRow] {
        self.bad_rows.as_ref().map_or(&[], |bad_rows| &bad_rows.shown)
    }

    /// [`Self::bad_rows`], for who knows more of them.
    pub fn bad_rows_mut(&mut self) -> &mut [BadRow] {
        self.bad_rows.as_mut().map_or(&mut [], |bad_rows| &mut bad_rows.shown)
    }

    /// Takes them off, to put them on an error that this one is the cause of.
    pub(crate) fn take_bad_rows(&mut self) -> BadRows {
        self.bad_rows.take().map(|bad_rows| *bad_rows).unwrap_or_default()
    }

    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref().or_else(|| self.kind.hint())
    }

    /// The message and its causes in one line, for logs and reports; bad rows follow, a line or two
    /// each.
    #[must_use]
    pub fn one_line(&self) -> String {
        let mut text = self.message.clone();
        for cause in self.causes() {
            // Libraries often repeat their cause in their own text.
            if !text.contains(&cause) {
                text.push_str(": ");
                text.push_str(&cause);
            }
        }
        if let Some(bad_rows) = &self.bad_rows {
            text.push_str(&bad_rows.text(&text));
        }
        text
    }

    /// The causes, outermost first.
    #[must_use]
    pub fn causes(&self) -> Vec<String> {
        self.source.iter().flat_map(|source| source.chain().map(ToString::to_string)).collect()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.bad_rows.as_ref().map_or(Ok(()), |bad_rows| f.write_str(&bad_rows.text(&self.message)))
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source.as_ref() as _)
    }
}
