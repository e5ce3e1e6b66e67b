//! Runs the transaction that loads one object.
//!
//! START TRANSACTION, insert the ledger row, LOAD DATA, check, complete the ledger row, COMMIT.
//! Until COMMIT is sent nothing can stay: an error or a drop at any earlier point leaves a
//! transaction that the server rolls back. When the connection is lost during COMMIT, the outcome
//! is unknown here. The caller then asks the ledger; without a ledger the outcome stays unknown.
//!
//! An object goes in one statement. If that does not tell enough (the policy rejects rows, or there
//! are more warnings than the server shows), the transaction starts again and [`RowIsolation`]
//! loads the rows. If the load fails for rows that cannot be named, row isolation runs once more,
//! only to name them, in a transaction that is always rolled back.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::loader::Loader;
use crate::error::{BadRows, Error, ErrorKind, Result};
use crate::isolate::RowIsolation;
use crate::ledger::BeginOutcome;
use crate::load_data::{
    Assessment, Diagnostic, ExchangeOutcome, LoadRequest, LoadStats, Plan, Reservation,
    RowErrorKind, ServerCounts, assess, load_data, miscounted, quote, renumbered_text,
};
use crate::mysql::{Phase, Session, classify};
use crate::policy::OnDuplicate;
use crate::rejects::{Published, RejectFile};
use crate::verify::RowDigest;

/// The successful outcomes of a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadOutcome {
    Committed,
    /// Another run has loaded the object; nothing was done.
    AlreadyLoaded,
}

/// The time that a COMMIT gets to finish when the run is abandoned. It takes milliseconds unless
/// something blocks it.
const COMMIT_GRACE: Duration = Duration::from_secs(2);
/// The number of attempts to search for bad rows while other loads are in the way.
const NAMING_TRIES: u32 = 10;
const NAMING_PAUSE: Duration = Duration::from_millis(200);
/// The interval of statements that keep a waiting transaction alive, far below the session's
/// `wait_timeout`.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

impl Session {
    /// Loads an object and commits. `stats` and `reserved` are also filled if the outcome of COMMIT
    /// is unknown. `reserved` gets the rejected rows, which the caller commits once it knows that
    /// the transaction is committed.
    ///
    /// If this future is dropped, nothing is committed, unless COMMIT was already on its way.
    /// Either way the session must then be destroyed, as after any error.
    ///
    /// # Errors
    /// `BadRows`, `Duplicates`, `TooManyRejects`, `RejectsExhausted` or `CountMismatch` if the
    /// checks refuse the result; `LockConflict`, `ConnectionLost` or `LoadStalled` if it is rolled
    /// back and may be repeated; `Superseded` or `LedgerRowLost` from the ledger; the errors of a
    /// reject file; `OutcomeUnknown` if the connection was lost during COMMIT. `Interrupted` if
    /// `abandoning` was cancelled before COMMIT was sent.
    pub async fn load<'p>(
        &mut self,
        request: &'p LoadRequest,
        loader: &'p Loader,
        abandoning: &CancellationToken,
        stats: &mut LoadStats,
        reserved: &mut Vec<Reservation<'p>>,
    ) -> Result<LoadOutcome> {
        let (what, plan) = (&request.what, &loader.plan);
        let attempting = async {
            let attempted = self.attempt(request, loader).await;
            let Err(mut error) = attempted else { return attempted };
            if !matches!(error.kind, ErrorKind::LoadStalled | ErrorKind::ConnectionLost) {
                // Rolled back at once, so that no lock outlives the failure. Not if the server may
                // still be reading the file, because it would take the statement for a part of it.
                // There, destroying the session rolls back.
                let rolled_back = self.conn.query_drop("ROLLBACK").await;
                if rolled_back.is_ok() && plan.policy.rolls_back {
                    error = self.name_the_rows(request, loader, error).await;
                }
            }
            if let Some(meter) = &request.staged.meter {
                meter.restart();
            }
            if plan.policy.rolls_back {
                return Err(error);
            }
            // Trying again would load the remaining rows twice.
            let message = format!(
                "{what}: the table's engine does not roll back, so some of the rows may still be \
                 in the table"
            );
            let bad_rows = error.take_bad_rows();
            Err(Error::new(ErrorKind::OutcomeUnknown, message)
                .caused_by(error)
                .with_bad_rows(bad_rows))
        };
        let attempted = tokio::select! {
            biased;
            () = abandoning.cancelled() => {
                let message = format!("{what}: the run was stopped; rolled back");
                Err(Error::new(ErrorKind::Interrupted, message))
            }
            attempted = attempting => attempted,
        }?;
        let Some(attempted) = attempted else { return Ok(LoadOutcome::AlreadyLoaded) };
        (*stats, *reserved) = attempted;
        self.commit(what, abandoning).await?;
        Ok(LoadOutcome::Committed)
    }

    /// Sends COMMIT. From here on only the server knows if the transaction can still be rolled
    /// back.
    pub(crate) async fn commit(
        &mut self,
        what: &str,
        abandoning: &CancellationToken,
    ) -> Result<()> {
        let began = Instant::now();
        tokio::select! {
            biased;
            committed = self.conn.query_drop("COMMIT") => {
                self.commit_time = began.elapsed();
                committed.map_err(|error| classify(Phase::Commit, what, &error))
            }
            () = async { abandoning.cancelled().await; tokio::time::sleep(COMMIT_GRACE).await } => {
                let message = format!("{what}: the run was stopped during COMMIT");
                Err(Error::new(ErrorKind::OutcomeUnknown, message))
            }
        }
    }

    /// Does everything before COMMIT. Returns `None` if the object is loaded already.
    pub(crate) async fn attempt<'p>(
        &mut self,
        request: &'p LoadRequest,
        loader: &'p Loader,
    ) -> Result<Option<(LoadStats, Vec<Reservation<'p>>)>> {
        let (what, plan) = (&request.what, &loader.plan);
        if !self.begin(request).await? {
            return Ok(None);
        }
        let mut whole = None;
        if !plan.policy.isolates_rows() && !loader.skip_whole_attempt.load(Ordering::Relaxed) {
            whole = self.load_whole(request, plan).await?;
            if whole.is_none() {
                loader.skip_whole_attempt.store(true, Ordering::Relaxed);
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
                let isolation_setup = loader
                    .isolation_setup
                    .get(plan, &request.layout.shared, &mut self.conn)
                    .await?;
                let file = reject_file(request, plan).await?;
                let (mut stats, file) =
                    RowIsolation::new(self, request, plan, &isolation_setup, file)
                        .run(&mut digest)
                        .await?;
                if stats.loaded.rejected > 0 {
                    reserved.push(plan.reject_budget.reserve(what, stats.loaded.rejected)?);
                    if let Some(budget) =
                        request.part.as_ref().and_then(|part| part.reject_budget.as_deref())
                    {
                        // Parts that are loaded at the same time reserve rows too.
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
        stats = stats.with_values(&request.values, plan.policy.on_bad_row);
        if let Some(entry) = &request.entry {
            let mut counts = stats.loaded;
            // The ledger records by how much the table has grown, and a swap relies on it.
            counts.deleted += stats.updated + stats.unchanged;
            entry.complete(&mut self.conn, counts, digest.as_ref().map(RowDigest::digest)).await?;
        }
        Ok(Some((stats, reserved)))
    }

    /// Makes the reject file durable, and keeps the waiting transaction alive meanwhile.
    async fn publish(&mut self, what: &str, file: RejectFile) -> Result<Option<Published>> {
        let mut publishing = std::pin::pin!(file.publish());
        loop {
            match tokio::time::timeout(KEEP_ALIVE, &mut publishing).await {
                Ok(published) => return published,
                Err(_) => self.query(what, "DO 0").await?,
            }
        }
    }

    /// Starts the transaction. Returns false if the object is loaded already.
    async fn begin(&mut self, request: &LoadRequest) -> Result<bool> {
        if let Some(meter) = &request.staged.meter {
            meter.restart();
        }
        match &request.entry {
            None => self.query(&request.what, "START TRANSACTION").await.map(|()| true),
            Some(entry) => Ok(entry.begin(&mut self.conn).await? == BeginOutcome::Yes),
        }
    }

    /// Loads an object in one statement. Returns `None` if the server's answer does not tell
    /// enough.
    async fn load_whole(
        &mut self,
        request: &LoadRequest,
        plan: &Plan,
    ) -> Result<Option<LoadStats>> {
        let policy = &plan.policy;
        let LoadRequest { what, sql, rows, .. } = request;
        let payload = request.staged.whole();
        match load_data(&mut self.conn, what, sql, payload, *rows).await? {
            ExchangeOutcome::Accepted { counts, shown } => {
                account_for(what, *rows, counts, &shown, plan)
                    .map_err(|error| of_object(error, request))
            }
            ExchangeOutcome::Refused { error, mut warning } => {
                // Without REPLACE, no error names the right row.
                if policy.on_duplicate != OnDuplicate::Replace || error.kind != ErrorKind::BadRows {
                    (warning.row, warning.column) = (None, None);
                }
                Err(of_object(error.with_bad_rows(quote(1, 1, [&warning])), request))
            }
        }
    }

    /// Adds the bad rows to the error of an object that failed for its rows. If the server did not
    /// name the first of them, they are searched for in a transaction that is rolled back.
    async fn name_the_rows(
        &mut self,
        request: &LoadRequest,
        loader: &Loader,
        mut error: Error,
    ) -> Error {
        let is_about_rows = matches!(
            error.kind,
            ErrorKind::BadRows | ErrorKind::Duplicates | ErrorKind::StatementFailed
        );
        let are_named = error.bad_rows().iter().all(|bad| bad.row.is_some());
        let is_isolated = error.bad_rows().iter().any(|bad| bad.line.is_some());
        // Under REPLACE the first bad row ends the statement, so there may be others.
        let plan = &loader.plan;
        let may_be_more = plan.policy.on_duplicate == OnDuplicate::Replace;
        if !is_about_rows || error.bad_rows().is_empty() || is_isolated || are_named && !may_be_more
        {
            return error;
        }
        let mut tries = NAMING_TRIES;
        let named = loop {
            tries -= 1;
            match self.search(request, loader, &error).await {
                // Another connection holds the lock, which can happen to any load.
                Err(unnamed) if unnamed.kind == ErrorKind::LockConflict && tries > 0 => {
                    tokio::time::sleep(NAMING_PAUSE.mul_f64(fastrand::f64())).await;
                }
                searched => break searched,
            }
        };
        match named {
            Ok(mut found) if !found.shown.is_empty() => {
                let unnamed = error.take_bad_rows();
                let is_all = found.shown.len() < plan.policy.show_bad_rows;
                let count = unnamed.shown.len() as u64 + unnamed.more;
                found.more =
                    if is_all { 0 } else { count.saturating_sub(found.shown.len() as u64) };
                error.with_bad_rows(found)
            }
            Ok(_) => error,
            Err(unnamed) => {
                tracing::warn!("the search for the bad rows failed: {}", unnamed.one_line());
                error
            }
        }
    }

    /// Finds the first bad rows of an object that failed with `error`. Nothing of the transaction
    /// stays.
    async fn search(
        &mut self,
        request: &LoadRequest,
        loader: &Loader,
        error: &Error,
    ) -> Result<BadRows> {
        let (what, plan) = (&request.what, &loader.plan);
        self.query(what, "START TRANSACTION").await?;
        let isolation_setup =
            loader.isolation_setup.get(plan, &request.layout.shared, &mut self.conn).await?;
        let isolated = RowIsolation::new(self, request, plan, &isolation_setup, None)
            .for_an_error(error)
            .run(&mut None)
            .await;
        let mut refused = match isolated {
            // The rows load now: the cause is gone.
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

/// Returns the object's reject file, if rows may be rejected. It is not created before the first
/// rejected row.
async fn reject_file(request: &LoadRequest, plan: &Plan) -> Result<Option<RejectFile>> {
    let (Some(rejects), Some(name)) = (&plan.rejects, &request.name) else { return Ok(None) };
    let head = request.staged.head(&request.what).await?;
    Ok(Some(rejects.begin(name.clone(), request.part.as_ref().map(|part| part.number), head)))
}

/// Gives the error's rows the numbers that they have in the object, if the statement loaded a part
/// of it.
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

/// Returns the counts of an object that went in one statement, or `None` if the answer does not
/// tell enough.
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
        Assessment::Clean => Ok(Some(LoadStats::of(rows, counts, shown))),
        Assessment::RowErrors(row_errors) => {
            let bad: Vec<&Diagnostic> = row_errors
                .iter()
                .filter(|(kind, _)| *kind == RowErrorKind::BadRow)
                .map(|(_, warning)| *warning)
                .collect();
            let accepted =
                shown.iter().filter(|warning| policy.row_error(warning).is_none()).count() as u64;
            let duplicates = (row_errors.len() - bad.len()) as u64;
            if bad.is_empty() {
                let text = format!(
                    "{} of {rows} rows were skipped because their keys exist already",
                    counts.skipped
                );
                return Err(all(refused(ErrorKind::Duplicates, text)));
            }
            // Bad values first: they are the likelier cause of the rest, and the author of the data
            // can correct them. Duplicates would only crowd them out.
            let count = counts.warnings - duplicates - accepted;
            let text = format!(
                "{what}: {count} warning{} about bad rows among {rows}; rolled back",
                if count == 1 { "" } else { "s" }
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
                "{} warnings, of which the server shows {}: the others may be about bad rows",
                counts.warnings,
                shown.len()
            );
            let hint = "load smaller objects, have max_error_count raised on the server, or use \
                        --on-bad-row accept";
            Err(all(refused(ErrorKind::BadRows, text).with_hint(hint)))
        }
        Assessment::UnexplainedSkips(skipped) => {
            Err(all(refused(ErrorKind::BadRows, format!("{skipped} of {rows} rows were skipped"))))
        }
        Assessment::CountMismatch => Err(miscounted(what, rows, counts)),
    }
}
