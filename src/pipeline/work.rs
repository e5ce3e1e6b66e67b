//! Defines the work items that tasks hand to each other.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::ledger::{Claim, Ledger, ObjectState, Part, SplitObject};
use crate::load_data::{LoadStats, ObjectLayout, ObjectMeter, RejectBudget};
use crate::object::Object;
use crate::rejects::ObjectName;
use crate::report::Stopwatch;
use crate::source::Listed;
use crate::split::Scan;
use crate::staging::{StagedObject, StagedPart};
use crate::unpack::TextForm;
use crate::values::ValueCounts;

/// One page of an S3 listing: the listing is one page ahead of the work and holds no more.
pub(crate) const LISTED_AHEAD: usize = 1000;

/// The listing hands on a whole page at once. A gap of this length means that the page is complete,
/// or that the store is slow.
const PAGE_GAP: Duration = Duration::from_millis(5);

/// An object or part that is ready to be loaded.
pub(crate) enum Ready {
    Object(ReadyObject),
    Part(ReadyPart),
}

/// An object that is ready to be loaded.
pub(crate) struct ReadyObject {
    pub(crate) selected: Selected,
    pub(crate) layout: ObjectLayout,
    pub(crate) staged: StagedObject,
    pub(crate) scan: Scan,
    pub(crate) values: ValueCounts,
    pub(crate) watch: Stopwatch,
    /// The attempts that the download took, including the first.
    pub(crate) attempts: u32,
    /// True if it may share a transaction with other objects.
    pub(crate) may_share: bool,
}

/// A part that is ready to be loaded.
pub(crate) struct ReadyPart {
    pub(crate) split: Arc<Split>,
    pub(crate) staged: StagedPart,
    pub(crate) part: Part,
    pub(crate) watch: Stopwatch,
    pub(crate) ended: mpsc::UnboundedSender<PartEnded>,
}

/// The state that the parts of one object share.
pub(crate) struct Split {
    pub(crate) object: Object,
    pub(crate) layout: ObjectLayout,
    pub(crate) ledger: Ledger,
    pub(crate) row: SplitObject,
    pub(crate) meter: Arc<ObjectMeter>,
    /// The way to the object's text, of which the parts are.
    pub(crate) form: TextForm,
    pub(crate) name: Option<ObjectName>,
    pub(crate) reject_budget: Option<Arc<RejectBudget>>,
    /// Cancelled when no further part may begin.
    pub(crate) stopping: CancellationToken,
}

/// A part that ended.
pub(crate) struct PartEnded {
    pub(crate) number: u32,
    pub(crate) outcome: PartOutcome,
    pub(crate) attempts: u32,
}

/// The outcome of a part.
pub(crate) enum PartOutcome {
    Loaded(Box<LoadStats>),
    /// Another run has loaded the part.
    AlreadyLoaded,
    Failed(Error),
    /// The run was stopped before the part began.
    NotReached,
}

/// An object that this run has selected and claimed.
#[derive(Debug)]
pub(crate) struct Selected {
    pub(crate) object: Object,
    /// The claim, which is dropped when the object has an outcome.
    pub(crate) claim: Claim,
    /// The failure that the ledger holds, which a load clears.
    pub(crate) failed_before: FailedBefore,
    /// True if the object is loaded already, and `--force` loads it again.
    pub(crate) again: bool,
    /// True if parts of it are loaded, or may be.
    pub(crate) is_partial: bool,
}

/// The failure that an earlier run has recorded for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailedBefore {
    No,
    OtherContent,
    SameContent,
}

impl FailedBefore {
    pub(crate) fn of(known: &ObjectState) -> Self {
        match &known.failed {
            None => Self::No,
            Some(failed) if failed.is_same_content => Self::SameContent,
            Some(_) => Self::OtherContent,
        }
    }

    pub(crate) fn is_recorded(self) -> bool {
        self != Self::No
    }
}

/// The listed objects, in order.
pub(crate) struct ObjectStream {
    pub(crate) first: Option<Listed>,
    pub(crate) rest: mpsc::Receiver<Listed>,
}

impl ObjectStream {
    pub(crate) async fn next(&mut self) -> Option<Listed> {
        match self.first.take() {
            Some(first) => Some(first),
            None => self.rest.recv().await,
        }
    }

    /// Returns the objects that arrive at once, at most a page of an S3 listing. The page is empty
    /// at the end.
    pub(crate) async fn next_page(&mut self) -> Vec<Listed> {
        let mut page: Vec<Listed> = self.next().await.into_iter().collect();
        while (1..LISTED_AHEAD).contains(&page.len()) {
            match tokio::time::timeout(PAGE_GAP, self.next()).await {
                Ok(Some(listed)) => page.push(listed),
                Ok(None) | Err(_) => break,
            }
        }
        page
    }

    /// Ends the listing. Objects found so far stay available. Returns false if the listing had not
    /// found everything.
    pub(crate) fn close(&mut self) -> bool {
        let is_complete = self.rest.is_closed();
        self.rest.close();
        is_complete
    }
}
