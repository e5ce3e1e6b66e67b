//! The work items that the stages hand to each other.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::error::Result;
use crate::ledger::{Claim, Ledger, Part, SplitObject};
use crate::load_data::{LoadStats, RejectBudget};
use crate::object::Object;
use crate::rejects::ObjectName;
use crate::source::Listed;
use crate::split::Scan;
use crate::staging::{StagedObject, StagedPart};

/// One page of S3's: the listing is one ahead of the work, and no more is held.
pub(crate) const LISTED_AHEAD: usize = 1000;

/// The listing hands on a page at once; a gap of this length is its end, or the store being slow.
const PAGE_GAP: Duration = Duration::from_millis(5);

/// What is ready to be loaded.
pub(crate) enum Ready {
    Object(ReadyObject),
    Part(ReadyPart),
}

/// An object that is ready to be loaded.
pub(crate) struct ReadyObject {
    pub(crate) selected: Selected,
    pub(crate) staged: StagedObject,
    pub(crate) scan: Scan,
    pub(crate) began: Instant,
    /// Tries that the download took, the first included.
    pub(crate) attempts: u32,
    /// It may be loaded in one transaction with others.
    pub(crate) may_share: bool,
}

/// A part that is ready to be loaded.
pub(crate) struct ReadyPart {
    pub(crate) split: Arc<Split>,
    pub(crate) staged: StagedPart,
    pub(crate) part: Part,
    pub(crate) ended: mpsc::UnboundedSender<PartEnded>,
}

/// What the parts of an object share.
pub(crate) struct Split {
    pub(crate) object: Object,
    pub(crate) ledger: Ledger,
    pub(crate) row: SplitObject,
    pub(crate) name: Option<ObjectName>,
    pub(crate) reject_budget: Option<Arc<RejectBudget>>,
    /// No further part is to be begun.
    pub(crate) stopping: CancellationToken,
}

/// What became of a part.
pub(crate) struct PartEnded {
    pub(crate) number: u32,
    /// `None` in the account's place where another run has loaded it, and in all where the run was
    /// stopped first.
    pub(crate) loaded: Option<Result<Option<LoadStats>>>,
    pub(crate) attempts: u32,
}

/// An object that this run loads.
#[derive(Debug)]
pub(crate) struct Selected {
    pub(crate) object: Object,
    /// Dropped when the object has an outcome.
    pub(crate) claim: Claim,
    /// The ledger knows of a failure, to be cleared.
    pub(crate) had_failed: bool,
    /// It is loaded already, and forced.
    pub(crate) again: bool,
    /// Parts of it are loaded, or may be.
    pub(crate) is_partial: bool,
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

    /// What comes at once, at most a page of S3's listing; empty at the end.
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

    /// Ends the listing; what it has found until now can still be taken. False where it had not
    /// found everything.
    pub(crate) fn close(&mut self) -> bool {
        let is_complete = self.rest.is_closed();
        self.rest.close();
        is_complete
    }
}
