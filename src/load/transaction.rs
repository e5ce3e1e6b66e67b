//! The transaction that loads one object.
//!
//! START TRANSACTION, the ledger's row, LOAD DATA, the checks, the ledger's row completed, COMMIT.
//! Until COMMIT is sent nothing of it can stay: an error or a drop at any earlier point leaves a
//! transaction that the server rolls back. When the connection is lost while COMMIT is under way
//! the outcome is unknown here; the ledger is asked for it then, and without a ledger it stays
//! unknown.
//!
//! An object goes in one statement. Where that does not tell enough (the policy holds rows back, or
//! there are more warnings than the server shows) the transaction is begun anew and its rows are
//! [sifted](super::sift); where it fails for rows that can't be named, they are sifted once more, to
//! name them, in a transaction that is rolled back whatever comes.

use std::sync::atomic::Ordering;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use tokio_util::sync::CancellationToken;

use crate::error::{BadRows, Error, ErrorKind, Result};
use crate::isolate::{Plan, RowIsolation};
use crate::ledger::BeginOutcome;
use crate::load_data::{
    Assessment, Diagnostic, ExchangeOutcome, LoadRequest, LoadStats, Reservation, RowErrorKind,
    ServerCounts, assess, load_data, miscounted, quote, renumbered_text,
};
use crate::mysql::{Phase, Session, classify};
use crate::policy::OnDuplicate;
use crate::rejects::{Published, RejectFile};
use crate::verify::RowDigest;

/// How an attempt to load an object ended well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadOutcome {
    Committed,
    /// Another run has loaded it; nothing was done.
    AlreadyLoaded,
}

/// What a COMMIT gets to come through when the run is abandoned: it takes milliseconds where
/// nothing holds it.
const COMMIT_GRACE: Duration = Duration::from_secs(2);
/// How often bad rows are searched for where other loads are in the way.
const NAMING_TRIES: u32 = 10;
const NAMING_PAUSE: Duration = Duration::from_millis(200);
/// Far below the `wait_timeout` of the session.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

impl Session {
    /// Loads an object and commits. `stats` and `reserved` are also filled if the outcome of
    /// COMMIT is unknown; `reserved` gets the rejected rows, which the caller commits once it knows
    /// that the transaction is committed.
    ///
    /// If this is dropped half-way nothing is committed, unless COMMIT was already on its way;
    /// either way the session must be destroyed then, as after any error.
    ///
    /// # Errors
    /// `BadRows`, `Duplicates`, `TooManyRejects`, `RejectsExhausted`, `CountMismatch` when the
    /// checks refuse what the server took; `LockConflict`, `ConnectionLost`, `LoadStalled` when it
    /// is rolled back and may be repeated; `Superseded`, `LedgerRowLost` from the ledger; what a
    /// reject file can meet; `OutcomeUnknown` when the connection was lost during COMMIT.
    /// `Interrupted` when `abandoning` was cancelled before COMMIT was sent.
    pub async fn load<'p>(
        &mut self,
        request: &'p LoadRequest,
        plan: &'p Plan,
        abandoning: &CancellationToken,
        stats: &mut LoadStats,
        reserved: &mut Vec<Reservation<'p>>,
    ) -> Result<LoadOutcome> {
        let what = &request.what;
        let stall_timeout = plan.policy.stall_timeout;
        let attempting = async {
            let attempted = self.attempt(request, plan).await;
            let Err(mut error) = attempted else { return attempted };
            if !matches!(error.kind, ErrorKind::LoadStalled | ErrorKind::ConnectionLost) {
                // At once, so that no lock outlives the failure. Not where the server may still be
                // reading the file, of which it would be a part: destroying the session rolls back
                // there.
                let rolled_back =
                    tokio::time::timeout(stall_timeout, self.conn.query_drop("ROLLBACK")).await;
                if matches!(rolled_back, Ok(Ok(()))) && plan.policy.rolls_back {
                    error = self.name_the_rows(request, plan, error).await;
                }
            }
            if plan.policy.rolls_back {
                return Err(error);
            }
            // To try again would be to load twice what is there.
            let message = format!(
                "{what}: the table's engine does not roll back, so that some of the rows may have stayed"
            );
            let bad_rows = error.take_bad_rows();
            Err(Error::new(ErrorKind::OutcomeUnknown, message)
                .caused_by(error)
                .with_bad_rows(bad_rows))
        };
        let attempted = tokio::select! {
            biased;
            () = abandoning.cancelled() => {
                Err(Error::new(ErrorKind::Interrupted, format!("{what}: the run was stopped; rolled back")))
            }
            attempted = attempting => attempted,
        }?;
        let Some(attempted) = attempted else { return Ok(LoadOutcome::AlreadyLoaded) };
        (*stats, *reserved) = attempted;
        self.commit(what, abandoning).await?;
        Ok(LoadOutcome::Committed)
    }

    /// From here on nobody but the server knows whether it can still be rolled back.
    pub(crate) async fn commit(
        &mut self,
        what: &str,
        abandoning: &CancellationToken,
    ) -> Result<()> {
        tokio::select! {
            biased;
            committed = self.conn.query_drop("COMMIT") => committed.map_err(|error| classify(Phase::Commit, what, &error)),
            () = async { abandoning.cancelled().await; tokio::time::sleep(COMMIT_GRACE).await } => {
                let message = format!("{what}: the run was stopped while COMMIT was under way");
                Err(Error::new(ErrorKind::OutcomeUnknown, message))
            }
        }
    }

    /// Everything before COMMIT. `None`: loaded already.
    pub(crate) async fn attempt<'p>(
        &mut self,
        request: &'p LoadRequest,
        plan: &'p Plan,
    ) -> Result<Option<(LoadStats, Vec<Reservation<'p>>)>> {
        let what = &request.what;
        if !self.begin(request).await? {
            return Ok(None);
        }
        let mut whole = None;
        if !plan.policy.isolates_rows() && !plan.skip_whole_attempt.load(Ordering::Relaxed) {
            whole = self.load_whole(request, plan).await?;
            if whole.is_none() {
                plan.skip_whole_attempt.store(true, Ordering::Relaxed);
                self.query(what, "ROLLBACK").await?;
                if !self.begin(request).await? {
                    return Ok(None);
                }
            }
        }
        let mut reserved = Vec::new();
        let mut digest = request.digest.clone();
        let mut stats = match whole {
            Some(stats) => stats,
            None => {
                let isolation_setup = plan.isolation_setup(&mut self.conn).await?;
                let file = reject_file(request, plan).await?;
                let (mut stats, file) =
                    RowIsolation::new(self, request, plan, isolation_setup, file)
                        .run(&mut digest)
                        .await?;
                if stats.loaded.rejected > 0 {
                    reserved.push(plan.reject_budget.reserve(what, stats.loaded.rejected)?);
                    if let Some(budget) =
                        request.part.as_ref().and_then(|part| part.reject_budget.as_deref())
                    {
                        // Parts that are loaded meanwhile reserve rows too.
                        let of_object = budget
                            .reserve(what, stats.loaded.rejected)
                            .map_err(|_| budget.too_many(what))?;
                        reserved.push(of_object);
                    }
                }
                if let Some(file) = file {
                    let published = self.publish(what, file).await?;
                    stats
                        .rejects
                        .extend(published.map(|published| (published.data, published.sidecar)));
                }
                stats
            }
        };
        stats.loaded.rows = request.rows;
        if let Some(entry) = &request.entry {
            let mut loaded = stats.loaded;
            // The ledger knows by how much the table has grown, which a swap relies on.
            loaded.deleted += stats.updated + stats.unchanged;
            entry.complete(&mut self.conn, loaded, digest.as_ref().map(RowDigest::digest)).await?;
        }
        Ok(Some((stats, reserved)))
    }

    /// Makes the reject file durable. Meanwhile the server is reminded of the transaction that
    /// waits.
    async fn publish(&mut self, what: &str, file: RejectFile) -> Result<Option<Published>> {
        let mut publishing = std::pin::pin!(file.publish());
        loop {
            match tokio::time::timeout(KEEP_ALIVE, &mut publishing).await {
                Ok(published) => return published,
                Err(_) => self.query(what, "DO 0").await?,
            }
        }
    }

    /// `false`: loaded already.
    async fn begin(&mut self, request: &LoadRequest) -> Result<bool> {
        match &request.entry {
            None => self.query(&request.what, "START TRANSACTION").await.map(|()| true),
            Some(entry) => Ok(entry.begin(&mut self.conn).await? == BeginOutcome::Yes),
        }
    }

    /// Loads all of an object in one statement. `None` where what the server said of it is not
    /// enough.
    async fn load_whole(
        &mut self,
        request: &LoadRequest,
        plan: &Plan,
    ) -> Result<Option<LoadStats>> {
        let policy = &plan.policy;
        let LoadRequest { what, sql, rows, .. } = request;
        let payload = request.staged.whole();
        match load_data(&mut self.conn, what, sql, payload, *rows, policy.stall_timeout).await? {
            ExchangeOutcome::Accepted { counts, shown } => {
                account_for(what, *rows, counts, &shown, plan)
                    .map_err(|error| of_object(error, request))
            }
            ExchangeOutcome::Refused { error, mut warning } => {
                // Without REPLACE no error tells a row's number.
                if policy.on_duplicate != OnDuplicate::Replace || error.kind != ErrorKind::BadRows {
                    (warning.row, warning.column) = (None, None);
                }
                Err(of_object(error.with_bad_rows(quote(1, 1, [&warning])), request))
            }
        }
    }

    /// The error of an object that was refused for its rows, with those rows: where the server has
    /// not named the first of them, they are searched for, in a transaction that comes to nothing.
    async fn name_the_rows(
        &mut self,
        request: &LoadRequest,
        plan: &Plan,
        mut error: Error,
    ) -> Error {
        let is_about_rows = matches!(
            error.kind,
            ErrorKind::BadRows | ErrorKind::Duplicates | ErrorKind::StatementFailed
        );
        let are_named = error.bad_rows().iter().all(|bad| bad.row.is_some());
        let is_sifted = error.bad_rows().iter().any(|bad| bad.line.is_some());
        // Under REPLACE the first bad row ends the statement: there may be others.
        let may_be_more = plan.policy.on_duplicate == OnDuplicate::Replace;
        if !is_about_rows || error.bad_rows().is_empty() || is_sifted || are_named && !may_be_more {
            return error;
        }
        let mut tries = NAMING_TRIES;
        let named = loop {
            tries -= 1;
            match self.search(request, plan, &error).await {
                // Another connection's, as any load can meet.
                Err(unnamed) if unnamed.kind == ErrorKind::LockConflict && tries > 0 => {
                    tokio::time::sleep(NAMING_PAUSE.mul_f64(fastrand::f64())).await;
                }
                searched => break searched,
            }
        };
        match named {
            Ok(mut found) if !found.shown.is_empty() => {
                let told = error.take_bad_rows();
                let is_all = found.shown.len() < plan.policy.show_bad_rows;
                let count = told.shown.len() as u64 + told.more;
                found.more =
                    if is_all { 0 } else { count.saturating_sub(found.shown.len() as u64) };
                error.with_bad_rows(found)
            }
            Ok(_) => error,
            Err(unnamed) => {
                tracing::warn!("the bad rows can't be searched for: {}", unnamed.one_line());
                error
            }
        }
    }

    /// The first bad rows of an object that was refused with `error`. Nothing of the transaction
    /// stays.
    async fn search(
        &mut self,
        request: &LoadRequest,
        plan: &Plan,
        error: &Error,
    ) -> Result<BadRows> {
        let what = &request.what;
        self.query(what, "START TRANSACTION").await?;
        let isolation_setup = plan.isolation_setup(&mut self.conn).await?;
        let sifted = RowIsolation::new(self, request, plan, isolation_setup, None)
            .for_an_error(error)
            .run(&mut None)
            .await;
        let mut refused = match sifted {
            // Whatever it was, it is not so any more.
            Ok(_) => Error::new(ErrorKind::BadRows, what.clone()),
            Err(refused) => refused,
        };
        self.query(what, "ROLLBACK").await?;
        match refused.kind {
            ErrorKind::BadRows | ErrorKind::Duplicates => Ok(refused.take_bad_rows()),
            _ => Err(refused),
        }
    }

    pub(crate) async fn query(&mut self, what: &str, sql: &str) -> Result<()> {
        self.conn.query_drop(sql).await.map_err(|error| classify(Phase::Transaction, what, &error))
    }
}

/// The object's reject file, where its rows may be rejected; nothing is written before the first of
/// them.
async fn reject_file(request: &LoadRequest, plan: &Plan) -> Result<Option<RejectFile>> {
    let (Some(rejects), Some(name)) = (&plan.rejects, &request.name) else { return Ok(None) };
    let head = request.staged.head().await.map_err(|error| {
        Error::new(
            ErrorKind::StagingFailed,
            format!("{}: the staged file can't be read again", request.what),
        )
        .caused_by(error)
    })?;
    Ok(Some(rejects.begin(name.clone(), request.part.as_ref().map(|part| part.number), head)))
}

/// The error with the numbers that its rows have in the object, where the statement had a part of
/// it.
fn of_object(mut error: Error, request: &LoadRequest) -> Error {
    let rows_before = request.part.as_ref().map_or(0, |part| part.rows_before);
    for bad in error.bad_rows_mut() {
        if let Some(row) = bad.row.as_mut().filter(|_| rows_before > 0) {
            *row += rows_before;
            bad.reason = renumbered_text(bad.code, &bad.reason, *row);
        }
    }
    error
}

/// What became of an object that went in one statement; `None` where that can't be told.
fn account_for(
    what: &str,
    rows: u64,
    counts: ServerCounts,
    shown: &[Diagnostic],
    plan: &Plan,
) -> Result<Option<LoadStats>> {
    let policy = &plan.policy;
    let refused = |kind, text: String| Error::new(kind, format!("{what}: {text}; rolled back"));
    let all =
        |error: Error| error.with_bad_rows(quote(counts.warnings, policy.show_bad_rows, shown));
    match assess(rows, counts, shown, policy) {
        // Some note may be about a loss.
        Assessment::Clean
            if policy.checks_decimal_truncation()
                && shown.iter().any(|warning| plan.decimals.suspects(warning)) =>
        {
            Ok(None)
        }
        Assessment::Clean => Ok(Some(LoadStats::of(rows, counts, shown))),
        Assessment::RowErrors(row_errors) => {
            let bad: Vec<&Diagnostic> = row_errors
                .iter()
                .filter(|(class, _)| *class == RowErrorKind::BadRow)
                .map(|(_, warning)| *warning)
                .collect();
            let accepted =
                shown.iter().filter(|warning| policy.row_error(warning).is_none()).count() as u64;
            let duplicates = (row_errors.len() - bad.len()) as u64;
            if bad.is_empty() {
                let text = format!(
                    "{} of {rows} rows were skipped, their keys are there already",
                    counts.skipped
                );
                return Err(all(refused(ErrorKind::Duplicates, text)));
            }
            // Bad values first: they are the likelier cause of the rest, and what the author of the
            // data can mend. The duplicates would only stand before what matters here.
            let count = counts.warnings - duplicates - accepted;
            let text = format!(
                "{what}: {rows} rows, {count} warnings that are not about duplicates; rolled back"
            );
            Err(Error::new(ErrorKind::BadRows, text).with_bad_rows(quote(
                count,
                policy.show_bad_rows,
                bad,
            )))
        }
        Assessment::TruncatedWarnings | Assessment::UnexplainedSkips(_) if policy.rolls_back => {
            Ok(None)
        }
        Assessment::TruncatedWarnings => {
            let text = format!(
                "{} warnings, of which the server shows {}: the others can't be told from bad rows",
                counts.warnings,
                shown.len()
            );
            let hint = "load smaller objects, have max_error_count raised on the server, or use --on-bad-row accept";
            Err(all(refused(ErrorKind::BadRows, text).with_hint(hint)))
        }
        Assessment::UnexplainedSkips(skipped) => {
            Err(all(refused(ErrorKind::BadRows, format!("{skipped} of {rows} rows were skipped"))))
        }
        Assessment::CountMismatch => Err(miscounted(what, rows, counts)),
    }
}
