//! Holds the context that all tasks of a run share.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::download_slots::DownloadSlots;
use super::header::HeaderCheck;
use super::layouts::Layouts;
use super::options::PipelineOptions;
use super::shared_pool::IdleSessions;
use crate::check::Check;
use crate::dialect::FormatConfig;
use crate::error::Result;
use crate::ledger::{Job, Ledger};
use crate::load::Loader;
use crate::load_data::{ObjectLayout, Plan};
use crate::mysql::Sessions;
use crate::object::Object;
use crate::preflight::Preflight;
use crate::shutdown::Shutdown;
use crate::source::S3;
use crate::split::header_names;
use crate::staging::{Budget, ExpectedText, StagingArea};
use crate::throttle::ConcurrencyLimiter;
use crate::unpack::RecordsAt;

/// The settings, clients and limits that all tasks of a run share.
pub(crate) struct Context {
    pub(crate) options: PipelineOptions,
    pub(crate) s3: S3,
    pub(crate) budget: Budget,
    pub(crate) staging: StagingArea,
    pub(crate) preflight: Preflight,
    pub(crate) layouts: Layouts,
    /// `None` if objects have no header lines.
    pub(crate) header: Option<HeaderCheck>,
    pub(crate) purpose: Purpose,
    /// `None` if the run keeps no ledger: objects are then loaded at least once.
    pub(crate) ledger: Option<(Ledger, Job)>,
    pub(crate) sessions: Sessions,
    /// The connections that no worker holds, if several pipelines share them.
    pub(crate) idle: Option<IdleSessions>,
    pub(crate) downloads: DownloadSlots,
    pub(crate) limiter: Arc<ConcurrencyLimiter>,
    pub(crate) shutdown: Shutdown,
    /// The bytes that are on their way to the server, for the progress.
    pub(crate) sent_bytes: Arc<AtomicU64>,
}

impl Context {
    /// Returns the place of the records in objects of JSON that have them anywhere.
    pub(crate) fn records(&self) -> Option<RecordsAt> {
        self.options.format.json.as_ref()?.records_at().map(Into::into)
    }

    /// Returns true if rows have lines that a person can look for. Records of a document and rows
    /// of Parquet do not.
    pub(crate) fn has_lines(&self) -> bool {
        self.records().is_none() && self.options.format.parquet.is_none()
    }

    /// Returns the text that objects of such rows should hold.
    pub(crate) fn expected_text(&self, fields_per_row: usize) -> ExpectedText {
        ExpectedText::of(self.options.format.json.is_some(), fields_per_row)
    }

    /// Returns the plan of the first attempt at an object.
    pub(crate) fn plan(&self) -> &Plan {
        self.purpose.plan()
    }

    /// Returns the layout of an object with these names in its header, if they decide it.
    ///
    /// # Errors
    /// `Malformed` if its names do not fit the table.
    pub(crate) fn layout(
        &self,
        object: &Object,
        header: Option<Vec<String>>,
    ) -> Result<ObjectLayout> {
        self.layouts.of(self.plan(), &self.options.format, object, header)
    }

    /// Returns the names in the header of an object that begins with `first`, or `None` if the
    /// header does not end in them. `is_cut` is true if the object may go on.
    pub(crate) fn header_names(&self, first: &[u8], is_cut: bool) -> Option<Vec<String>> {
        let FormatConfig { dialect, charset, ignore_lines, .. } = &self.options.format;
        header_names(dialect, charset, *ignore_lines, first, is_cut)
    }
}

/// The purpose of the staged objects.
pub(crate) enum Purpose {
    /// Load them into the job's table.
    Load(Box<Loader>),
    Check(Checking),
}

impl Purpose {
    /// Returns the plan of the first attempt at an object.
    pub(crate) fn plan(&self) -> &Plan {
        match self {
            Self::Load(loader) => &loader.plan,
            Self::Check(checking) => &checking.check.collect_all.plan,
        }
    }
}

/// The settings of a check.
pub(crate) struct Checking {
    pub(crate) check: Box<Check>,
    /// The number of rows of each object to check; `None` for all.
    pub(crate) sample: Option<u64>,
}
