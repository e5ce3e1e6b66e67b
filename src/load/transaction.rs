//! The transaction that loads one object.
//!
//! START TRANSACTION, the ledger's row, LOAD DATA, the checks, the ledger's row completed, COMMIT. Until COMMIT is sent nothing of
//! it can stay: an error or a drop at any earlier point leaves a transaction that the server rolls back. When the connection is
//! lost while COMMIT is under way the outcome is unknown here; the ledger is asked for it then, and without a ledger it stays unknown.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Error as Driver, LocalInfileError};
use tokio_util::sync::CancellationToken;

use super::infile::{Payload, Sent};
use super::row_numbers;
use super::warnings::{Counts, Warning, quote, show};
use crate::config::{OnBadRow, OnDuplicate};
use crate::error::{Error, Kind, Result};
use crate::ledger::{Entered, Entry, Loaded};
use crate::mysql::{During, Session, fold};
use crate::verify::RowDigest;

/// How an attempt to load an object ended well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempted {
    Committed(Loaded),
    /// Another run has loaded it; nothing was done.
    AlreadyLoaded,
}

/// One object, ready to be sent.
#[derive(Clone, Debug)]
pub struct Shipment {
    /// For messages.
    pub what: String,
    /// LOAD DATA.
    pub sql: String,
    pub payload: Payload,
    /// By our own count.
    pub rows: u64,
    /// The object's ledger row, where there is a ledger.
    pub entry: Option<Entry>,
    /// Of the object's rows, where the job is to be verified by it.
    pub digest: Option<RowDigest>,
}

/// What is acceptable in a transaction, and how long it may stand still.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    pub on_bad_row: OnBadRow,
    pub on_duplicate: OnDuplicate,
    /// Nothing but a duplicate key can make the target skip a row: it has no partitions and no foreign keys.
    pub skips_only_duplicates: bool,
    /// The target's engine takes back what a transaction did.
    pub rolls_back: bool,
    pub stall_timeout: Duration,
}

/// What a COMMIT gets to come through when the run is abandoned: it takes milliseconds where nothing holds it.
const COMMIT_GRACE: Duration = Duration::from_secs(2);

impl Session {
    /// Loads an object and commits.
    ///
    /// If this is dropped half-way nothing is committed, unless COMMIT was already on its way; either way the session must
    /// be destroyed then, as after any error.
    ///
    /// # Errors
    /// `BadRows`, `Duplicates`, `CountMismatch` when the checks refuse what the server took; `LockConflict`, `ConnectionLost`,
    /// `LoadStalled` when it is rolled back and may be repeated; `Superseded`, `LedgerRowLost` from the ledger; `OutcomeUnknown` when the
    /// connection was lost during COMMIT. `Interrupted` when `abandoning` was cancelled before COMMIT was sent.
    pub async fn load(
        &mut self,
        shipment: &Shipment,
        policy: Policy,
        abandoning: &CancellationToken,
    ) -> Result<Attempted> {
        let what = &shipment.what;
        let attempting = async {
            let attempted = self.attempt(shipment, policy).await;
            let Err(mut error) = attempted else { return attempted };
            if !matches!(error.kind, Kind::LoadStalled | Kind::ConnectionLost) {
                // At once, so that no lock outlives the failure. Not where the server may still be reading the file, of
                // which it would be a part: destroying the session rolls back there.
                let _ = tokio::time::timeout(policy.stall_timeout, self.conn.query_drop("ROLLBACK")).await;
            }
            if policy.rolls_back {
                return Err(error);
            }
            // To try again would be to load twice what is there.
            let message =
                format!("{what}: the table's engine does not roll back, so that some of the rows may have stayed");
            let bad_rows = error.take_bad_rows();
            Err(Error::new(Kind::OutcomeUnknown, message).caused_by(error).with_bad_rows(bad_rows))
        };
        let attempted = tokio::select! {
            biased;
            () = abandoning.cancelled() => {
                Err(Error::new(Kind::Interrupted, format!("{what}: the run was stopped; rolled back")))
            }
            attempted = attempting => attempted,
        }?;
        if attempted == Attempted::AlreadyLoaded {
            return Ok(attempted);
        }
        // From here on nobody but the server knows whether it can still be rolled back.
        let committed = tokio::select! {
            biased;
            committed = self.conn.query_drop("COMMIT") => committed.map_err(|error| fold(During::Commit, what, &error)),
            () = async { abandoning.cancelled().await; tokio::time::sleep(COMMIT_GRACE).await } => {
                let message = format!("{what}: the run was stopped while COMMIT was under way");
                Err(Error::new(Kind::OutcomeUnknown, message))
            }
        };
        committed.map(|()| attempted)
    }

    /// Everything before COMMIT.
    pub(super) async fn attempt(&mut self, shipment: &Shipment, policy: Policy) -> Result<Attempted> {
        let Shipment { what, sql, payload, rows, entry, digest } = shipment;
        let rows = *rows;
        let failed = |error: mysql_async::Error| fold(During::Transaction, what, &error);
        match entry {
            None => self.conn.query_drop("START TRANSACTION").await.map_err(failed)?,
            Some(entry) => {
                if entry.begin(&mut self.conn).await? == Entered::AlreadyLoaded {
                    return Ok(Attempted::AlreadyLoaded);
                }
            }
        }

        let size_bytes = payload.size_bytes();
        let sent = Arc::new(Sent::default());
        let counter = Arc::clone(&sent);
        // Armed for this one statement: the driver takes it when the server asks for a file.
        let payload = payload.clone();
        self.conn.set_infile_handler(async move { Ok(payload.stream(counter)) });
        let loading = self.conn.query_drop(sql);
        let ended = unless_stalled(loading, &sent, policy.stall_timeout).await;
        // A server that did not take the bytes now must not get them in answer to a later statement.
        self.conn.set_infile_handler(async { Err(LocalInfileError::NoHandler.into()) });
        ended
            .ok_or_else(|| {
                let message = format!("{what}: not a byte moved to the server for {:?}", policy.stall_timeout);
                Error::new(Kind::LoadStalled, message)
            })?
            .map_err(|error| with_its_row(fold(During::Transaction, what, &error), &error, policy))?;

        let info = self.conn.info().into_owned();
        let counts = Counts::parse(&info).ok_or_else(|| {
            Error::new(Kind::CountMismatch, format!("{what}: the server's answer has no row counts: {info:?}"))
        })?;
        let sent_bytes = sent.bytes.load(Ordering::Relaxed);
        if sent_bytes != size_bytes {
            let message = format!("{what}: the server took {sent_bytes} bytes of {size_bytes} and called it OK");
            return Err(Error::new(Kind::CountMismatch, message));
        }
        let mut shown = if counts.warnings > 0 { show(&mut self.conn).await.map_err(failed)? } else { Vec::new() };
        row_numbers::put_right(&mut shown, rows, counts);
        judge(what, rows, counts, &shown, policy)?;
        let loaded = Loaded {
            rows,
            skipped: counts.skipped + (rows - counts.records),
            deleted: counts.deleted,
            warnings: counts.warnings,
        };
        if let Some(entry) = entry {
            entry.complete(&mut self.conn, loaded, digest.as_ref().map(RowDigest::digest)).await?;
        }
        Ok(Attempted::Committed(loaded))
    }
}

/// `None` when the bytes stood still for `limit`. After the last byte the server may take its time.
async fn unless_stalled<T>(loading: impl Future<Output = T>, sent: &Sent, limit: Duration) -> Option<T> {
    let mut loading = std::pin::pin!(loading);
    let mut seen = 0;
    loop {
        if let Ok(done) = tokio::time::timeout(limit, &mut loading).await {
            return Some(done);
        }
        let now = sent.bytes.load(Ordering::Relaxed);
        if now == seen && !sent.all.load(Ordering::Relaxed) {
            return None;
        }
        seen = now;
    }
}

/// With the row that the server named when it ended a replacing load. Without REPLACE no error is about a row's number.
fn with_its_row(folded: Error, error: &Driver, policy: Policy) -> Error {
    match error {
        Driver::Server(server) if folded.kind == Kind::BadRows && policy.on_duplicate == OnDuplicate::Replace => {
            let warning = Warning::new("Error".to_owned(), server.code, server.message.clone());
            folded.with_bad_rows(quote(1, [&warning]))
        }
        _ => folded,
    }
}

/// Whether what the server did is what was asked for, to the row.
fn judge(what: &str, rows: u64, counts: Counts, shown: &[Warning], policy: Policy) -> Result<()> {
    let refused = |kind, text: String| {
        Error::new(kind, format!("{what}: {text}; rolled back")).with_bad_rows(quote(counts.warnings, shown))
    };

    let duplicates = shown.iter().filter(|warning| warning.is_duplicate()).count() as u64;
    let other = shown.len() as u64 - duplicates;
    // Warnings past max_error_count are counted but can't be read.
    let hidden = counts.warnings.saturating_sub(shown.len() as u64);
    // A skipped row makes one warning or more. Where there are as many warnings as skipped rows, none is about a value.
    let hidden_are_duplicates = policy.skips_only_duplicates && counts.warnings == counts.skipped && other == 0;

    // Bad values first: they are the likelier cause of the rest, and what the author of the data can mend.
    if policy.on_bad_row == OnBadRow::Fail && other > 0 {
        // The duplicates would only stand before what matters here.
        let about_values = shown.iter().filter(|warning| !warning.is_duplicate());
        let count = counts.warnings - duplicates;
        let text = format!("{what}: {rows} rows, {count} warnings that are not about duplicates; rolled back");
        return Err(Error::new(Kind::BadRows, text).with_bad_rows(quote(count, about_values)));
    }
    if policy.on_duplicate == OnDuplicate::Error && (duplicates > 0 || counts.skipped > 0 && hidden > 0) {
        let text = format!("{} of {rows} rows were skipped, their keys are there already", counts.skipped);
        return Err(refused(Kind::Duplicates, text));
    }
    if policy.on_bad_row == OnBadRow::Fail && hidden > 0 && !hidden_are_duplicates {
        let text = format!(
            "{} warnings, of which the server shows {}: the others can't be told from bad rows",
            counts.warnings,
            shown.len()
        );
        return Err(refused(Kind::BadRows, text)
            .with_hint("load smaller objects, have max_error_count raised on the server, or use --on-bad-row accept"));
    }
    if policy.on_bad_row == OnBadRow::Fail && counts.skipped > duplicates + hidden {
        return Err(refused(Kind::BadRows, format!("{} of {rows} rows were skipped", counts.skipped)));
    }
    // Rows refused by a CHECK or a foreign key are in no count of some servers.
    let uncounted = shown.iter().filter(|warning| warning.is_uncounted_refusal()).count() as u64 + hidden;
    if counts.records > rows || rows - counts.records > uncounted {
        let text = format!("the object has {rows} rows, the server counted Records: {}", counts.records);
        return Err(refused(Kind::CountMismatch, text));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy = Policy {
        on_bad_row: OnBadRow::Fail,
        on_duplicate: OnDuplicate::Error,
        skips_only_duplicates: true,
        rolls_back: true,
        stall_timeout: Duration::from_secs(60),
    };

    fn counts(records: u64, skipped: u64, warnings: u64) -> Counts {
        Counts { records, deleted: 0, skipped, warnings }
    }

    fn warnings(code: u16, count: usize) -> Vec<Warning> {
        vec![Warning::new("Warning".into(), code, "m".into()); count]
    }

    fn verdict(counts: Counts, shown: &[Warning], policy: Policy) -> std::result::Result<(), Kind> {
        judge("o", 10, counts, shown, policy).map_err(|error| error.kind)
    }

    #[test]
    fn equal_counts_without_a_warning_pass() {
        assert_eq!(verdict(counts(10, 0, 0), &[], POLICY), Ok(()));
    }

    #[test]
    fn a_row_more_or_less_than_counted_is_refused() {
        assert_eq!(verdict(counts(9, 0, 0), &[], POLICY), Err(Kind::CountMismatch));
        assert_eq!(verdict(counts(11, 0, 0), &[], POLICY), Err(Kind::CountMismatch));
        let accept = Policy { on_bad_row: OnBadRow::Accept, ..POLICY };
        assert_eq!(verdict(counts(9, 0, 1), &warnings(1265, 1), accept), Err(Kind::CountMismatch));
    }

    #[test]
    fn any_warning_fails_the_object_unless_it_is_accepted() {
        assert_eq!(verdict(counts(10, 0, 1), &warnings(1265, 1), POLICY), Err(Kind::BadRows));
        let accept = Policy { on_bad_row: OnBadRow::Accept, ..POLICY };
        assert_eq!(verdict(counts(10, 0, 1), &warnings(1265, 1), accept), Ok(()));
    }

    #[test]
    fn a_skipped_row_fails_the_object_unless_duplicates_are_ignored() {
        assert_eq!(verdict(counts(10, 2, 2), &warnings(1062, 2), POLICY), Err(Kind::Duplicates));
        let ignore = Policy { on_duplicate: OnDuplicate::Ignore, ..POLICY };
        assert_eq!(verdict(counts(10, 2, 2), &warnings(1062, 2), ignore), Ok(()));
    }

    #[test]
    fn ignoring_duplicates_does_not_let_other_skips_through() {
        let ignore = Policy { on_duplicate: OnDuplicate::Ignore, ..POLICY };
        assert_eq!(verdict(counts(10, 1, 1), &warnings(1526, 1), ignore), Err(Kind::BadRows));
        assert_eq!(verdict(counts(10, 1, 0), &[], ignore), Err(Kind::BadRows));
    }

    #[test]
    fn duplicates_past_what_the_server_shows_pass_only_where_nothing_else_can_hide_there() {
        let ignore = Policy { on_duplicate: OnDuplicate::Ignore, ..POLICY };
        assert_eq!(verdict(counts(10, 8, 8), &warnings(1062, 2), ignore), Ok(()));
        assert_eq!(verdict(counts(10, 7, 8), &warnings(1062, 2), ignore), Err(Kind::BadRows));
        let partitioned = Policy { skips_only_duplicates: false, ..ignore };
        assert_eq!(verdict(counts(10, 8, 8), &warnings(1062, 2), partitioned), Err(Kind::BadRows));
    }

    #[test]
    fn rows_that_a_check_refused_explain_a_smaller_count_when_they_are_accepted() {
        let accept = Policy { on_bad_row: OnBadRow::Accept, ..POLICY };
        assert_eq!(verdict(counts(8, 0, 2), &warnings(3819, 2), accept), Ok(()));
        assert_eq!(verdict(counts(7, 0, 2), &warnings(3819, 2), accept), Err(Kind::CountMismatch));
    }

    #[test]
    fn an_error_quotes_ten_warnings_and_counts_the_rest() {
        let error = judge("s3://b/k", 64, counts(64, 0, 60), &warnings(1265, 60), POLICY).unwrap_err();
        let text = error.to_string();
        assert_eq!(text.matches("Warning 1265").count(), 10);
        assert!(text.starts_with("s3://b/k: ") && text.ends_with("and 50 more"), "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_load_that_stands_still_is_given_up_and_a_slow_one_is_not() {
        let limit = Duration::from_secs(60);
        let sent = Arc::new(Sent::default());
        assert_eq!(unless_stalled(std::future::pending::<()>(), &sent, limit).await, None);

        let drip = async {
            for _ in 0..10 {
                tokio::time::sleep(limit / 2).await;
                sent.bytes.fetch_add(1, Ordering::Relaxed);
            }
            sent.all.store(true, Ordering::Relaxed);
            tokio::time::sleep(limit * 10).await;
        };
        assert_eq!(unless_stalled(drip, &sent, limit).await, Some(()));
    }
}
