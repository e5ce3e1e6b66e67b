//! Selects the listed objects that are left to load, and claims them for this run.
//!
//! Listed objects are compared with the ledger one page at a time, so a run that has nothing to do
//! sends only a handful of queries. What is left is claimed a few objects ahead of the work.
//! Objects that another run has claimed are set apart, and looked up again later, until they are
//! loaded or that run has given them up.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::backlog::Backlog;
use super::decision::{Decision, Disposition, decide};
use super::events::{Event, emit, failed, unreadable};
use super::work::{FailedBefore, ObjectStream, Selected};
use crate::error::{Error, ErrorKind, Result};
use crate::ledger::{Claim, Claimed, Claims, InHand, Job, Ledger, LedgerConfig, ObjectState};
use crate::object::Object;
use crate::report::{Outcome, Stopwatch};
use crate::shutdown::{Shutdown, pause};
use crate::source::Listed;

/// The number of objects in one query: a page of an S3 listing.
const PAGE: usize = 1000;
/// The number of objects claimed elsewhere above which no new page is taken until some are settled.
const CLAIMED_ELSEWHERE_LIMIT: usize = 10_000;
/// The first and the longest pause between two queries for objects that other runs have claimed.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// The time after which a run asks who holds the claim of an object.
const SUSPICIOUS_WAIT: Duration = Duration::from_secs(5);

/// The time that the ledger has for an answer after the run begins to drain.
const DRAIN_GRACE: Duration = Duration::from_secs(2);

/// Selects listed objects for this run, and claims them.
pub(crate) struct Selector {
    pub(crate) ledger: Option<(Ledger, Job)>,
    pub(crate) config: LedgerConfig,
    pub(crate) claims: Arc<Claims>,
    pub(crate) shutdown: Shutdown,
    /// The objects that the run may have in hand: those that download, are staged, or load.
    pub(crate) in_hand: InHandLimits,
    /// The smaller limits while other runs share the work, so that this run does not hoard objects.
    pub(crate) in_hand_shared: InHandLimits,
    pub(crate) selected: mpsc::Sender<Selected>,
    pub(crate) events: mpsc::Sender<Event>,
}

/// The limits on the objects that the run has in hand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InHandLimits {
    /// The limit whatever their size.
    pub(crate) objects: usize,
    /// The total bytes up to which `small_objects` applies instead.
    pub(crate) small_bytes: u64,
    pub(crate) small_objects: usize,
}

impl InHandLimits {
    /// Returns true if there is room for another object of this size.
    fn admit(self, in_hand: InHand, size_bytes: u64) -> bool {
        in_hand.objects < self.objects
            || in_hand.objects < self.small_objects
                && in_hand.bytes + u128::from(size_bytes) <= u128::from(self.small_bytes)
    }
}

/// The reason why the selection ended early.
enum Stop {
    Draining,
    Failed(Error),
}

/// The reason, with the object that was not taken on, unless it has an outcome.
struct Unselected {
    object: Option<Object>,
    stop: Stop,
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Selects objects until the listing is complete and every object is passed on or has an outcome.
pub(crate) async fn choose(mut selector: Selector, mut objects: ObjectStream) {
    let mut backlog = Backlog::default();
    let stopped = match selector.ledger.clone() {
        None => selector.pass_on_all(&mut objects).await,
        Some((ledger, job)) => selector.choose_by(&ledger, &job, &mut objects, &mut backlog).await,
    };
    let Err(stop) = stopped else { return };
    if let Stop::Failed(error) = stop {
        emit(&selector.events, Event::Broken(error)).await;
    }
    // Every listed object gets an outcome, even if nothing has looked at it yet.
    for object in backlog.page.into_iter().chain(backlog.claimed_elsewhere) {
        emit(&selector.events, Event::ended(Outcome::NotReached { object })).await;
    }
    if !objects.close() {
        emit(&selector.events, Event::ListingCut).await;
    }
    while let Some(listed) = objects.next().await {
        let outcome = match listed {
            Listed::Object(object) => Outcome::NotReached { object },
            Listed::Failed { bucket, key, error } => {
                unreadable(selector.ledger.as_ref(), bucket, key, error).await
            }
        };
        emit(&selector.events, Event::ended(outcome)).await;
    }
}

impl Selector {
    async fn pass_on_all(&self, objects: &mut ObjectStream) -> std::result::Result<(), Stop> {
        while let Some(listed) = self.unless_draining(objects.next()).await? {
            match listed {
                Listed::Object(object) => {
                    let claim = self.claims.unshared(object.size_bytes);
                    self.pass_on(Selected {
                        object,
                        claim,
                        failed_before: FailedBefore::No,
                        again: false,
                        is_partial: false,
                    })
                    .await?;
                }
                Listed::Failed { bucket, key, error } => {
                    self.fail_unlisted(bucket, key, error).await;
                }
            }
        }
        Ok(())
    }

    async fn choose_by(
        &mut self,
        ledger: &Ledger,
        job: &Job,
        objects: &mut ObjectStream,
        backlog: &mut Backlog,
    ) -> std::result::Result<(), Stop> {
        let mut is_listed = false;
        let mut wait = FIRST_WAIT;
        let mut progressed = true;
        loop {
            if !backlog.page.is_empty() {
                progressed |= self.claim_some(ledger, job, backlog).await?;
            } else if !is_listed && backlog.claimed_elsewhere.len() < CLAIMED_ELSEWHERE_LIMIT {
                is_listed = !self.take_page(ledger, job, objects, backlog).await?;
            } else if backlog.claimed_elsewhere.is_empty() {
                return Ok(());
            } else {
                if progressed {
                    wait = FIRST_WAIT;
                } else {
                    // Other runs work on all of it.
                    self.unless_draining(pause(&self.shutdown, wait)).await?;
                    wait = (wait * 2).min(LONGEST_WAIT);
                }
                progressed = self.review_claimed_elsewhere(ledger, job, backlog).await?;
            }
        }
    }

    /// Takes a page of the listing and keeps what is left to load. Returns false at the end of the
    /// listing.
    async fn take_page(
        &mut self,
        ledger: &Ledger,
        job: &Job,
        objects: &mut ObjectStream,
        backlog: &mut Backlog,
    ) -> std::result::Result<bool, Stop> {
        let listed = self.unless_draining(objects.next_page()).await?;
        let goes_on = !listed.is_empty();
        let mut page = Vec::new();
        for listed in listed {
            match listed {
                Listed::Object(object) => page.push(object),
                Listed::Failed { bucket, key, error } => {
                    self.fail_unlisted(bucket, key, error).await;
                }
            }
        }
        let known = match self.until_drained(ledger.look_up(job.generation, &page)).await {
            Ok(known) => known,
            Err(stop) => {
                backlog.page.extend(page);
                return Err(stop);
            }
        };
        for (object, known) in page.into_iter().zip(known) {
            match decide(&self.config, &object, &known) {
                Decision::Load { .. } => backlog.page.push_back(object),
                Decision::Over(ending) => self.end(object, ending, &known).await,
            }
        }
        Ok(goes_on)
    }

    /// Claims as many objects of the page as there is room for, and passes on those that this run
    /// gets. Returns true if there are any.
    async fn claim_some(
        &mut self,
        ledger: &Ledger,
        job: &Job,
        backlog: &mut Backlog,
    ) -> std::result::Result<bool, Stop> {
        let Some(next) = backlog.page.front() else { return Ok(false) };
        self.room(next.size_bytes).await?;
        let mut in_hand = self.claims.in_hand();
        let limits = self.in_hand;
        let fitting = backlog.page.iter().take_while(|object| {
            let is_admitted = limits.admit(in_hand, object.size_bytes);
            in_hand.objects += 1;
            in_hand.bytes += u128::from(object.size_bytes);
            is_admitted
        });
        let asked: Vec<Object> = fitting.cloned().collect();
        let claimed =
            self.until_drained(ledger.claim(&self.claims, job.generation, &asked)).await?;
        let mut ours = VecDeque::new();
        for claimed in claimed {
            let Some(object) = backlog.page.pop_front() else { break };
            match claimed {
                Claimed::Ours(claim, known) => {
                    backlog.waits.remove(&(object.bucket.clone(), object.key.clone()));
                    ours.push_back((object, claim, known));
                }
                Claimed::Others => {
                    self.in_hand = self.in_hand_shared;
                    backlog.set_aside(object);
                }
            }
        }
        let is_any_ours = !ours.is_empty();
        while let Some((object, claim, known)) = ours.pop_front() {
            // Another run may have loaded it since the first query.
            let Some(selected) = self.unless_settled(object, claim, &known).await else { continue };
            if let Err(stop) = self.pass_on(selected).await {
                backlog.page.extend(ours.into_iter().map(|(object, ..)| object));
                return Err(stop);
            }
        }
        Ok(is_any_ours)
    }

    /// Looks up some of the objects that other runs had claimed. Those that are not loaded may be
    /// free now. Objects whose claim is held by a connection that is not a run are loaded without a
    /// claim after a while. Returns true if any has an outcome or is passed on.
    async fn review_claimed_elsewhere(
        &mut self,
        ledger: &Ledger,
        job: &Job,
        backlog: &mut Backlog,
    ) -> std::result::Result<bool, Stop> {
        let asked: Vec<Object> = backlog.claimed_elsewhere.iter().take(PAGE).cloned().collect();
        let known = self.until_drained(ledger.look_up(job.generation, &asked)).await?;
        let mut is_any_settled = false;
        let mut unclaimed = VecDeque::new();
        let held = self.held_by_no_run(ledger, job, backlog, &asked).await?;
        for (known, is_held) in known.into_iter().zip(held) {
            let Some(object) = backlog.claimed_elsewhere.pop_front() else { break };
            if known.is_loaded && !self.config.force {
                is_any_settled = true;
                backlog.waits.remove(&(object.bucket.clone(), object.key.clone()));
                self.end(object, Disposition::AlreadyLoaded, &known).await;
            } else if is_held {
                unclaimed.push_back((object, known));
            } else {
                backlog.page.push_back(object);
            }
        }
        while let Some((object, known)) = unclaimed.pop_front() {
            is_any_settled = true;
            let passed_on = self.pass_on_unclaimed(object, &known).await;
            if let Err(Unselected { object, stop }) = passed_on {
                backlog.page.extend(object);
                backlog.page.extend(unclaimed.into_iter().map(|(object, _)| object));
                return Err(stop);
            }
        }
        Ok(is_any_settled)
    }

    /// Returns, for each object, true if a connection that is not a run has held its claim for too
    /// long. Reports the holder before that.
    async fn held_by_no_run(
        &self,
        ledger: &Ledger,
        job: &Job,
        backlog: &mut Backlog,
        objects: &[Object],
    ) -> std::result::Result<Vec<bool>, Stop> {
        let limit = ledger.patience();
        let suspicious = SUSPICIOUS_WAIT.min(limit);
        let mut waiting = Vec::new();
        for object in objects {
            if backlog.wait(object).is_some_and(|wait| wait.since.elapsed() >= suspicious) {
                waiting.push(object.clone());
            }
        }
        let holders = self.until_drained(ledger.foreign_holders(job.generation, &waiting)).await?;
        let mut overdue = HashSet::new();
        for (object, holder) in waiting.iter().zip(holders) {
            let (Some(holder), Some(wait)) = (holder, backlog.wait(object)) else { continue };
            if wait.since.elapsed() >= limit {
                overdue.insert((&object.bucket, &object.key));
            }
            if wait.is_reported {
                continue;
            }
            wait.is_reported = true;
            let message = format!(
                "{object}: its claim is held by database connection {holder}, which is no live run \
                 of this program; it is loaded without a claim after {limit:?}"
            );
            let error = Error::new(ErrorKind::LockConflict, message).with_hint(
                "SHOW PROCESSLIST shows whose connection it is; KILL ends it and frees the claim",
            );
            tracing::warn!("{}", error.one_line());
            // Shown by `status`, and removed when the object is loaded.
            let Object { bucket, key, etag, .. } = object;
            let recorded =
                ledger.record_failure(job.generation, bucket, key, etag, &error, 0).await;
            if let Err(error) = recorded {
                tracing::debug!("{}", error.one_line());
            }
        }
        Ok(objects.iter().map(|object| overdue.contains(&(&object.bucket, &object.key))).collect())
    }

    /// Passes on an object without a claim. Returns it if the run drains first.
    async fn pass_on_unclaimed(
        &self,
        object: Object,
        known: &ObjectState,
    ) -> std::result::Result<(), Unselected> {
        if let Err(stop) = self.room(object.size_bytes).await {
            return Err(Unselected { object: Some(object), stop });
        }
        tracing::warn!("{object}: loading it without a claim");
        let claim = self.claims.unshared(object.size_bytes);
        match self.unless_settled(object, claim, known).await {
            None => Ok(()),
            Some(selected) => {
                // The wait was recorded as a failure.
                self.pass_on(Selected { failed_before: FailedBefore::SameContent, ..selected })
                    .await
                    .map_err(|stop| Unselected { object: None, stop })
            }
        }
    }

    /// Passes an object on as soon as a download can begin. If the run drains first, the object
    /// gets its outcome here.
    async fn pass_on(&self, selected: Selected) -> std::result::Result<(), Stop> {
        let permit = tokio::select! {
            biased;
            () = self.shutdown.draining.cancelled() => None,
            permit = self.selected.reserve() => permit.ok(),
        };
        match permit {
            Some(permit) => {
                permit.send(selected);
                Ok(())
            }
            None => {
                emit(&self.events, Event::ended(Outcome::NotReached { object: selected.object }))
                    .await;
                Err(Stop::Draining)
            }
        }
    }

    /// Returns the object to load, unless its state in the ledger shows that there is nothing to
    /// do.
    async fn unless_settled(
        &self,
        object: Object,
        claim: Claim,
        known: &ObjectState,
    ) -> Option<Selected> {
        match decide(&self.config, &object, known) {
            Decision::Load { again } => {
                let is_partial = known.is_partial;
                let failed_before = FailedBefore::of(known);
                Some(Selected { object, claim, failed_before, again, is_partial })
            }
            Decision::Over(ending) => {
                drop(claim);
                self.end(object, ending, known).await;
                None
            }
        }
    }

    async fn end(&self, object: Object, ending: Disposition, known: &ObjectState) {
        // The failure is of content that is gone or not wanted. The ledger would show the object as
        // failed without end.
        if !matches!(ending, Disposition::Failed(_))
            && known.failed.is_some()
            && let Some((ledger, job)) = &self.ledger
            && let Err(error) = ledger.clear_failure(job.generation, &object).await
        {
            tracing::warn!(
                "{object}: an earlier failure stays in the ledger: {}",
                error.one_line()
            );
        }
        let outcome = match ending {
            Disposition::AlreadyLoaded => Outcome::AlreadyLoaded { object },
            Disposition::SkippedChanged => Outcome::SkippedChanged { object },
            Disposition::Acknowledged => Outcome::Acknowledged { object },
            Disposition::Failed(error) => {
                let ledger = self.ledger.as_ref();
                failed(ledger, object, FailedBefore::of(known), error, (1, &Stopwatch::start()))
                    .await
            }
        };
        emit(&self.events, Event::ended(outcome)).await;
    }

    async fn fail_unlisted(&self, bucket: String, key: String, error: Error) {
        let outcome = unreadable(self.ledger.as_ref(), bucket, key, error).await;
        emit(&self.events, Event::ended(outcome)).await;
    }

    /// Waits until there is room for several objects, the first of which has this size.
    async fn room(&self, size_bytes: u64) -> std::result::Result<(), Stop> {
        loop {
            let in_hand = self.claims.in_hand();
            let InHand { objects, bytes } = in_hand;
            let InHandLimits { objects: limit, small_bytes, small_objects } = self.in_hand;
            // Several at a time: each claim is a query.
            let is_room_for_any = objects * 3 <= limit * 2;
            let is_room_for_small =
                objects * 3 <= small_objects * 2 && bytes <= u128::from(small_bytes / 3 * 2);
            if (is_room_for_any || is_room_for_small) && self.in_hand.admit(in_hand, size_bytes) {
                return Ok(());
            }
            self.unless_draining(self.claims.changed()).await?;
        }
    }

    /// Waits for the ledger's answer. When the run drains, the query is not cancelled at once: that
    /// would lose the connection, and with it the claims on what is still loading.
    async fn until_drained<T>(
        &self,
        asking: impl Future<Output = Result<T>>,
    ) -> std::result::Result<T, Stop> {
        tokio::select! {
            biased;
            answer = asking => Ok(answer?),
            () = async {
                self.shutdown.draining.cancelled().await;
                tokio::time::sleep(DRAIN_GRACE).await;
            } => Err(Stop::Draining),
        }
    }

    async fn unless_draining<T>(
        &self,
        future: impl Future<Output = T>,
    ) -> std::result::Result<T, Stop> {
        tokio::select! {
            biased;
            () = self.shutdown.draining.cancelled() => Err(Stop::Draining),
            done = future => Ok(done),
        }
    }
}
