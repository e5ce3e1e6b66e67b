//! Loads an object piece by piece, and finds exactly which of its rows the table refuses, and why.
//!
//! An object whose whole load gives no row error never gets here. The others do, and so do all
//! objects under a policy that rejects rows or updates. The rows go in [`Chunks`], in order, each
//! under a savepoint. The answer to each chunk is assessed. If it contains a row error, the chunk
//! is rolled back and sent again without the rows that caused it:
//!
//! 1. If the server has more warnings than it shows, the chunk is sent in smaller pieces. If it
//!    says nothing but that some rows are duplicates, and shows which ([`super::by_key`]), the
//!    others stay as they are.
//! 2. A warning whose row number is proven (`load_data/row_numbers`) flags a row that is bad by
//!    itself.
//! 3. The rest of the piece is loaded into the scratch table if a row error has no number
//!    (duplicates, CHECK, foreign keys, partitions, views). From there the server inserts it into
//!    the target row by row, in a way that shows which rows it refuses ([`super::insert_select`]).
//!    Under REPLACE this is only a dry run, which is rolled back.
//! 4. The rest is found by halving: an error of the whole statement, or a server that shows too few
//!    of its warnings or does not allow a scratch table.
//!
//! Correctness does not need the scratch table. It only needs the scratch table never to flag a
//! good row. Pieces are sent in order, each after everything before it, so of several rows with one
//! key the first is the one that is loaded.
//!
//! Memory holds the positions of one chunk's rows and their row errors.

use std::ops::Range;
use std::sync::Arc;

use super::plan::Scratch;
use super::state::{Flagged, ROLLBACK, RowError, RowIsolation, SAVEPOINT, SendOutcome, flag};
use super::via_scratch_table::ScratchOutcome;
use crate::error::{BadRows, Error, ErrorKind, Result};
use crate::load_data::{
    Assessment, Chunks, Diagnostic, ExchangeOutcome, LoadStats, RowErrorKind, ServerCounts, assess,
    load_data, miscounted, staged_rows,
};
use crate::mysql::{Phase, classify};
use crate::policy::{OnBadRow, OnDuplicate};
use crate::rejects::RejectFile;
use crate::split::LocatedRow;
use crate::verify::RowDigest;

/// Rows of a chunk that are still to be sent.
struct RowSpan {
    rows: Range<usize>,
    /// True if the dry run is done: no later one could find more.
    is_dry_run: bool,
}

impl RowIsolation<'_> {
    /// Prepares the search for the rows for which the object failed with `error`.
    ///
    /// The open transaction will not keep any row.
    pub(crate) fn for_an_error(mut self, error: &Error) -> Self {
        // Bad values are shown without the duplicates, which would only crowd them out.
        if error.kind != ErrorKind::Duplicates {
            self.policy.on_duplicate = match self.policy.on_duplicate {
                OnDuplicate::Error => OnDuplicate::Ignore,
                other => other,
            };
        }
        self
    }

    /// Loads the object's good rows within the open transaction, and returns the counts of all
    /// rows. Takes the flagged rows off `digest`.
    ///
    /// # Errors
    /// `BadRows`, `Duplicates` or `TooManyRejects`, with the first bad rows; otherwise the errors
    /// of [`load_data`].
    pub(crate) async fn run(
        mut self,
        digest: &mut Option<RowDigest>,
    ) -> Result<(LoadStats, Option<RejectFile>)> {
        let rows = self.request.rows;
        let mut chunks = Chunks::new(&self.request.staged);
        loop {
            let (rest, chunk) = chunks.next().await.map_err(|error| self.about(error))?;
            chunks = rest;
            if chunk.is_empty() {
                break;
            }
            let chunk = Arc::new(chunk);
            let flagged = self.chunk(&chunk).await?;
            self.record_flagged(&chunk, flagged, digest).await?;
            if self.fatal.is_some() && self.fatal_shown.len() >= self.policy.show_bad_rows {
                break;
            }
        }
        if let Some(class) = self.fatal {
            return Err(self.refusal(class));
        }
        if self.rows_kept + self.rows_flagged != rows {
            let message = format!(
                "{}: the object has {rows} rows, of which {} were loaded and {} were flagged; \
                 rolled back",
                self.request.what, self.rows_kept, self.rows_flagged
            );
            return Err(Error::new(ErrorKind::CountMismatch, message));
        }
        self.stats.loaded.rows = rows;
        self.stats.loaded.rejected = self.rows_flagged;
        if let Some(tally) = self.tally {
            tally.shown = self.shown;
        }
        Ok((self.stats, self.rejects))
    }

    /// Loads the good rows of a chunk, and returns the flagged ones.
    async fn chunk(&mut self, chunk: &Arc<Vec<LocatedRow>>) -> Result<Flagged> {
        let mut flagged = self.flag_by_values(chunk).await?;
        let mut pieces = vec![RowSpan { rows: 0..chunk.len(), is_dry_run: false }];
        while let Some(mut piece) = pieces.pop() {
            if piece.rows.len() > self.statement_rows {
                let middle = piece.rows.start + self.statement_rows;
                pieces.push(RowSpan { rows: middle..piece.rows.end, is_dry_run: piece.is_dry_run });
                piece.rows.end = middle;
            }
            for part in self.piece(chunk, piece, &mut flagged).await?.into_iter().rev() {
                pieces.push(part);
            }
        }
        Ok(flagged)
    }

    /// Loads the good rows of a piece, or returns the smaller pieces to load instead, in order.
    async fn piece(
        &mut self,
        chunk: &Arc<Vec<LocatedRow>>,
        mut piece: RowSpan,
        flagged: &mut Flagged,
    ) -> Result<Vec<RowSpan>> {
        let mut was_taken_back = false;
        let mut uses_scratch_table = self.prefers_scratch_table && !piece.is_dry_run;
        // True if everything that can tell rows apart has been tried on this piece.
        let mut is_exhausted = piece.is_dry_run;
        loop {
            let sent: Vec<usize> =
                piece.rows.clone().filter(|index| !flagged.contains_key(index)).collect();
            if sent.is_empty() {
                return Ok(Vec::new());
            }
            if uses_scratch_table {
                match self.load_via_scratch_table(chunk, &sent, flagged).await? {
                    ScratchOutcome::Loaded => return Ok(Vec::new()),
                    ScratchOutcome::Retry => continue,
                    ScratchOutcome::Unavailable { is_for_good } => {
                        uses_scratch_table = false;
                        piece.is_dry_run = is_for_good;
                        is_exhausted = true;
                    }
                }
            }
            self.query(SAVEPOINT).await?;
            let told = match self.attempt(chunk, &sent, flagged).await? {
                SendOutcome::Clean(kept) => {
                    let is_in = |index: &&usize| !flagged.contains_key(index);
                    self.keep(sent.iter().filter(is_in).count() as u64, kept);
                    if !was_taken_back {
                        self.statement_rows = self.statement_rows.saturating_mul(2);
                    }
                    return Ok(Vec::new());
                }
                told => told,
            };
            was_taken_back = true;
            self.query(ROLLBACK).await?;
            let row_errors = match told {
                SendOutcome::Clean(_) => Vec::new(),
                SendOutcome::TruncatedWarnings { warnings, shown } => {
                    if sent.len() == 1 {
                        let unseen =
                            format!("{warnings} warnings, of which the server shows {shown}");
                        let warning = Diagnostic::new("Warning".to_owned(), 0, unseen);
                        flag(flagged, sent[0], RowError { class: RowErrorKind::BadRow, warning });
                        continue;
                    }
                    // Half of what would just fit, because rows differ.
                    let fitting = sent.len() as u64 * shown / warnings.max(1) / 2;
                    self.statement_rows =
                        usize::try_from(fitting).unwrap_or(usize::MAX).clamp(1, sent.len() / 2);
                    return Ok(vec![piece]);
                }
                SendOutcome::RowErrors(row_errors) => row_errors,
            };
            let mut is_anything_new = Self::flag_numbered(&row_errors, &sent, flagged);
            let is_any_unnumbered =
                row_errors.iter().any(|row_error| row_error.warning.row.is_none());
            if is_any_unnumbered && !is_exhausted {
                if self.policy.on_duplicate != OnDuplicate::Replace {
                    uses_scratch_table = true;
                    continue;
                }
                is_exhausted = true;
                let left: Vec<usize> =
                    sent.iter().copied().filter(|index| !flagged.contains_key(index)).collect();
                match self.dry_run_insert(chunk, &left).await? {
                    Some(dry_run) => {
                        piece.is_dry_run = true;
                        for (index, row_error) in dry_run {
                            is_anything_new = true;
                            flag(flagged, index, row_error);
                        }
                    }
                    // The dry run has more warnings than the server shows, too.
                    None if left.len() > 1 => return Ok(halves(&piece)),
                    None => {}
                }
            }
            if is_anything_new {
                continue;
            }
            if sent.len() > 1 {
                return Ok(halves(&piece));
            }
            for row_error in row_errors {
                flag(flagged, sent[0], row_error);
            }
        }
    }

    /// Sends some of a chunk's rows, and assesses the answer.
    async fn attempt(
        &mut self,
        chunk: &Arc<Vec<LocatedRow>>,
        sent: &[usize],
        flagged: &mut Flagged,
    ) -> Result<SendOutcome> {
        let policy = self.policy;
        if policy.on_duplicate == OnDuplicate::Update {
            return self.attempt_update(chunk, sent).await;
        }
        let sql = self.request.sql.clone();
        match self.send(&sql, chunk, sent).await? {
            ExchangeOutcome::Accepted { counts, shown } => {
                match self.flag_by_key(chunk, sent, counts, &shown, flagged).await? {
                    Some(kept) => Ok(SendOutcome::Clean(kept)),
                    None => self.told(sent.len() as u64, counts, &shown),
                }
            }
            // The number may come from a statement in a trigger, which counts its own rows.
            ExchangeOutcome::Refused { warning, .. } => {
                Ok(SendOutcome::RowErrors(vec![unnumbered(warning)]))
            }
        }
    }

    /// Loads the rows into the scratch table, then upserts them into the target.
    async fn attempt_update(
        &mut self,
        chunk: &[LocatedRow],
        sent: &[usize],
    ) -> Result<SendOutcome> {
        let Some(scratch) = &self.isolation_setup.scratch else {
            return Err(Error::new(
                ErrorKind::Bug,
                format!("{}: an update needs a scratch table", self.request.what),
            ));
        };
        scratch.table.create(&mut self.session.conn).await?;
        let told = match self.fill(scratch, chunk, sent).await? {
            ExchangeOutcome::Accepted { counts, shown } => {
                self.told(sent.len() as u64, counts, &shown)?
            }
            ExchangeOutcome::Refused { warning, .. } => {
                SendOutcome::RowErrors(vec![unnumbered(warning)])
            }
        };
        let told = match told {
            SendOutcome::Clean(mut kept) => {
                let inserted = self.isolation_setup.update(&mut self.session.conn, scratch).await?;
                kept.loaded.skipped += inserted.rejected.len() as u64;
                kept.updated += inserted.updated;
                kept.unchanged += inserted.unchanged();
                let said = [inserted.rejected, inserted.warnings].concat();
                kept.count(&said);
                let row_errors = self.row_errors(&said);
                if row_errors.is_empty() {
                    SendOutcome::Clean(kept)
                } else {
                    SendOutcome::RowErrors(row_errors)
                }
            }
            told => told,
        };
        scratch.table.drop(&mut self.session.conn).await?;
        Ok(told)
    }

    /// Flags rows by their numbers among the rows that were sent. Returns false if no row error has
    /// such a number.
    pub(super) fn flag_numbered(
        row_errors: &[RowError],
        sent: &[usize],
        flagged: &mut Flagged,
    ) -> bool {
        let mut is_any = false;
        for row_error in row_errors {
            let row =
                row_error.warning.row.and_then(|row| usize::try_from(row).ok()?.checked_sub(1));
            if let Some(&index) = row.and_then(|row| sent.get(row)) {
                flag(flagged, index, row_error.clone());
                is_any = true;
            }
        }
        is_any
    }

    /// Loads rows into the scratch table.
    pub(super) async fn fill(
        &mut self,
        scratch: &Scratch,
        chunk: &[LocatedRow],
        rows: &[usize],
    ) -> Result<ExchangeOutcome> {
        let sql = scratch.statement.sql(&self.request.staged.lines_terminated_by);
        self.send(&sql, chunk, rows).await
    }

    async fn send(
        &mut self,
        sql: &str,
        chunk: &[LocatedRow],
        sent: &[usize],
    ) -> Result<ExchangeOutcome> {
        let payload = staged_rows::payload(&self.request.staged, chunk, sent);
        let what = &self.request.what;
        load_data(&mut self.session.conn, what, sql, payload, sent.len() as u64).await
    }

    /// Assesses the answer to a statement that was sent `rows` rows.
    pub(super) fn told(
        &self,
        rows: u64,
        counts: ServerCounts,
        shown: &[Diagnostic],
    ) -> Result<SendOutcome> {
        match assess(rows, counts, shown, &self.policy) {
            Assessment::Clean => Ok(SendOutcome::Clean(LoadStats::of(rows, counts, shown))),
            // There is no smaller piece to send.
            Assessment::TruncatedWarnings
                if rows == 1 && self.policy.on_bad_row == OnBadRow::Accept =>
            {
                Ok(SendOutcome::Clean(LoadStats::of(rows, counts, shown)))
            }
            Assessment::TruncatedWarnings => Ok(SendOutcome::TruncatedWarnings {
                warnings: counts.warnings,
                shown: shown.len() as u64,
            }),
            Assessment::RowErrors(row_errors) => Ok(if counts.warnings > shown.len() as u64 {
                SendOutcome::TruncatedWarnings {
                    warnings: counts.warnings,
                    shown: shown.len() as u64,
                }
            } else {
                let row_error = |(class, warning): &(RowErrorKind, &Diagnostic)| RowError {
                    class: *class,
                    warning: (*warning).clone(),
                };
                SendOutcome::RowErrors(row_errors.iter().map(row_error).collect())
            }),
            Assessment::UnexplainedSkips(_) => {
                let text = "the row was skipped, and no warning says why".to_owned();
                Ok(SendOutcome::RowErrors(vec![unnumbered(Diagnostic::new(
                    "Warning".to_owned(),
                    0,
                    text,
                ))]))
            }
            Assessment::CountMismatch => Err(miscounted(&self.request.what, rows, counts)),
        }
    }

    pub(super) fn row_errors(&self, shown: &[Diagnostic]) -> Vec<RowError> {
        let class = |warning: &Diagnostic| self.policy.row_error(warning);
        shown
            .iter()
            .filter_map(|warning| {
                class(warning).map(|class| RowError { class, warning: warning.clone() })
            })
            .collect()
    }

    pub(super) fn keep(&mut self, rows: u64, kept: LoadStats) {
        self.rows_kept += rows;
        self.stats.add(kept);
    }

    fn refusal(mut self, class: RowErrorKind) -> Error {
        let Self { request, rows_flagged, .. } = &self;
        let seen = if self.rows_kept + rows_flagged < request.rows { "at least " } else { "" };
        let duplicates = self.stats.rejected_duplicates;
        let (kind, count, text) = match class {
            RowErrorKind::BadRow => {
                (ErrorKind::BadRows, rows_flagged - duplicates, "cannot be loaded as they are")
            }
            RowErrorKind::Duplicate => {
                (ErrorKind::Duplicates, duplicates, "have keys that exist already")
            }
        };
        let message =
            format!("{}: {seen}{count} of {} rows {text}; rolled back", request.what, request.rows);
        self.shown = std::mem::take(&mut self.fatal_shown);
        Error::new(kind, message).with_bad_rows(self.take_shown())
    }

    pub(super) fn take_shown(&mut self) -> BadRows {
        BadRows { shown: std::mem::take(&mut self.shown), more: 0 }
    }

    pub(super) async fn query(&mut self, sql: &str) -> Result<()> {
        let what = &self.request.what;
        self.session
            .conn
            .query_drop(sql)
            .await
            .map_err(|error| classify(Phase::Transaction, what, &error))
    }

    fn about(&self, error: Error) -> Error {
        Error::new(error.kind, self.request.what.clone()).caused_by(error)
    }
}

fn halves(piece: &RowSpan) -> Vec<RowSpan> {
    let &RowSpan { rows: Range { start, end }, is_dry_run } = piece;
    let middle = start.midpoint(end);
    vec![RowSpan { rows: start..middle, is_dry_run }, RowSpan { rows: middle..end, is_dry_run }]
}

/// Builds a row error for an unknown row among those that were sent.
fn unnumbered(mut warning: Diagnostic) -> RowError {
    warning.row = None;
    RowError {
        class: if warning.is_duplicate() { RowErrorKind::Duplicate } else { RowErrorKind::BadRow },
        warning,
    }
}
