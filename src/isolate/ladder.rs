//! Loads an object piece by piece, and finds exactly which of its rows the table refuses, and why.
//!
//! An object whose whole load gives no row error never gets here. The others do, and so do all
//! objects under a policy that rejects rows or updates. The rows go in [`Chunks`], in order, each
//! under a savepoint. The answer to each chunk is assessed. If it contains a row error, the chunk
//! is rolled back and sent again without the rows that caused it:
//!
//! 1. Whole: the chunk goes in one statement. If the server has more warnings than it shows, the
//!    chunk is sent in smaller pieces. If it says nothing but that some rows are duplicates, and
//!    shows which ([`super::named_duplicates`]), the others stay in the table.
//! 2. Numbered: a warning whose row number is proven (`load_data/row_numbers`) flags a row that is
//!    bad by itself.
//! 3. Scratch table: the rest of the piece is loaded into the scratch table if a row error has no
//!    number (duplicates, CHECK, foreign keys, partitions, views). From there the server inserts it
//!    into the target row by row, in a way that shows which rows it refuses
//!    ([`super::insert_select`]). Under REPLACE this is only a dry run, which is rolled back.
//! 4. Bisecting: the rest is found by halving: an error of the whole statement, or a server that
//!    shows too few of its warnings or does not allow a scratch table.
//!
//! Correctness does not need the scratch table. It only needs the scratch table never to flag a
//! good row. Pieces are sent in order, each after everything before it, so of several rows with one
//! key the first is the one that is loaded.
//!
//! Memory holds the positions of one chunk's rows and their row errors.

use std::ops::Range;
use std::sync::Arc;

use super::state::{Flagged, ROLLBACK, RowError, RowIsolation, SAVEPOINT, SendOutcome, flag};
use super::via_scratch_table::ScratchOutcome;
use crate::error::{BadRows, Error, ErrorKind, Result};
use crate::load_data::{Chunks, Diagnostic, LoadStats, RowErrorKind};
use crate::mysql::{Phase, classify};
use crate::policy::OnDuplicate;
use crate::rejects::RejectFile;
use crate::split::LocatedRow;
use crate::verify::RowDigest;

/// Rows of a chunk that are still to be sent.
#[derive(Clone)]
struct RowSpan {
    rows: Range<usize>,
    /// True if the dry run is done: no later one could find more.
    is_dry_run: bool,
}

/// The rung that comes next for the rows of a piece that are not flagged.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rung {
    /// One statement for all of them. Its warnings flag the rows that they name.
    Statement,
    /// The scratch table, because a warning names no row.
    ScratchTable,
    /// One statement again. What its warnings do not name is halved, because everything else that
    /// can tell rows apart has been tried.
    Bisect,
}

/// A piece on its way up the ladder.
struct Climb {
    piece: RowSpan,
    rung: Rung,
    /// True once one of its statements was rolled back.
    was_taken_back: bool,
}

/// The end of one rung.
enum Step {
    /// The rows are in, except those that are flagged now.
    Loaded,
    /// The rows that are not flagged are to be sent again.
    Again,
    /// These pieces are to be loaded instead, in order.
    Instead(Vec<RowSpan>),
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
    /// of [`load_data`](crate::load_data::load_data).
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
        if let Some(kind) = self.fatal {
            return Err(self.refusal(kind));
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
        let mut flagged = self.flag_bad_values(chunk).await?;
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
        piece: RowSpan,
        flagged: &mut Flagged,
    ) -> Result<Vec<RowSpan>> {
        let rung = if piece.is_dry_run {
            Rung::Bisect
        } else if self.prefers_scratch_table {
            Rung::ScratchTable
        } else {
            Rung::Statement
        };
        let mut climb = Climb { piece, rung, was_taken_back: false };
        loop {
            let left = climb.piece.rows.clone().filter(|index| !flagged.contains_key(index));
            let sent: Vec<usize> = left.collect();
            if sent.is_empty() {
                return Ok(Vec::new());
            }
            let step = if climb.rung == Rung::ScratchTable {
                self.scratch_table(chunk, &sent, &mut climb, flagged).await?
            } else {
                match self.whole(chunk, &sent, &mut climb, flagged).await? {
                    SendOutcome::Clean(kept) => {
                        let is_in = |index: &&usize| !flagged.contains_key(index);
                        self.keep(sent.iter().filter(is_in).count() as u64, kept);
                        Step::Loaded
                    }
                    SendOutcome::TruncatedWarnings { warnings, shown } => {
                        self.shorten(&sent, &climb, warnings, shown, flagged)
                    }
                    SendOutcome::RowErrors(row_errors) => {
                        self.numbered(chunk, &sent, &mut climb, row_errors, flagged).await?
                    }
                }
            };
            match step {
                Step::Loaded => return Ok(Vec::new()),
                Step::Again => {}
                Step::Instead(pieces) => return Ok(pieces),
            }
        }
    }

    /// Sends the rows in one statement, under a savepoint. Rolls it back unless the policy accepts
    /// everything that the server says.
    async fn whole(
        &mut self,
        chunk: &Arc<Vec<LocatedRow>>,
        sent: &[usize],
        climb: &mut Climb,
        flagged: &mut Flagged,
    ) -> Result<SendOutcome> {
        self.query(SAVEPOINT).await?;
        let outcome = self.attempt(chunk, sent, flagged).await?;
        if !matches!(outcome, SendOutcome::Clean(_)) {
            climb.was_taken_back = true;
            self.query(ROLLBACK).await?;
        } else if !climb.was_taken_back {
            self.statement_rows = self.statement_rows.saturating_mul(2);
        }
        Ok(outcome)
    }

    /// Makes the statements shorter, because the server has more warnings than it shows.
    fn shorten(
        &mut self,
        sent: &[usize],
        climb: &Climb,
        warnings: u64,
        shown: u64,
        flagged: &mut Flagged,
    ) -> Step {
        if let &[row] = sent {
            let hidden = format!("{warnings} warnings, of which the server shows {shown}");
            let warning = Diagnostic::new("Warning".to_owned(), 0, hidden);
            flag(flagged, row, RowError { kind: RowErrorKind::BadRow, warning });
            return Step::Again;
        }
        // Half of what would just fit, because rows differ.
        let fitting = sent.len() as u64 * shown / warnings.max(1) / 2;
        self.statement_rows =
            usize::try_from(fitting).unwrap_or(usize::MAX).clamp(1, sent.len() / 2);
        Step::Instead(vec![climb.piece.clone()])
    }

    /// Flags the rows whose numbers the warnings prove, and decides on the rung for the others.
    async fn numbered(
        &mut self,
        chunk: &[LocatedRow],
        sent: &[usize],
        climb: &mut Climb,
        row_errors: Vec<RowError>,
        flagged: &mut Flagged,
    ) -> Result<Step> {
        let mut is_anything_new = Self::flag_numbered(&row_errors, sent, flagged);
        let is_any_unnumbered = row_errors.iter().any(|row_error| row_error.warning.row.is_none());
        if is_any_unnumbered && climb.rung == Rung::Statement {
            if self.policy.on_duplicate != OnDuplicate::Replace {
                climb.rung = Rung::ScratchTable;
                return Ok(Step::Again);
            }
            climb.rung = Rung::Bisect;
            let left: Vec<usize> =
                sent.iter().copied().filter(|index| !flagged.contains_key(index)).collect();
            match self.dry_run_insert(chunk, &left).await? {
                Some(dry_run) => {
                    climb.piece.is_dry_run = true;
                    for (index, row_error) in dry_run {
                        is_anything_new = true;
                        flag(flagged, index, row_error);
                    }
                }
                // The dry run has more warnings than the server shows, too.
                None if left.len() > 1 => return Ok(Step::Instead(climb.piece.halves())),
                None => {}
            }
        }
        Ok(if is_anything_new { Step::Again } else { bisect(sent, climb, row_errors, flagged) })
    }

    /// Loads the rows via the scratch table, which names every row that the target refuses.
    async fn scratch_table(
        &mut self,
        chunk: &[LocatedRow],
        sent: &[usize],
        climb: &mut Climb,
        flagged: &mut Flagged,
    ) -> Result<Step> {
        Ok(match self.load_via_scratch_table(chunk, sent, flagged).await? {
            ScratchOutcome::Loaded => Step::Loaded,
            ScratchOutcome::Retry => Step::Again,
            ScratchOutcome::Unavailable { is_for_good } => {
                climb.piece.is_dry_run = is_for_good;
                climb.rung = Rung::Bisect;
                Step::Again
            }
        })
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

    pub(super) fn keep(&mut self, rows: u64, kept: LoadStats) {
        self.rows_kept += rows;
        self.stats.add(kept);
    }

    fn refusal(mut self, row_error: RowErrorKind) -> Error {
        let Self { request, rows_flagged, .. } = &self;
        let seen = if self.rows_kept + rows_flagged < request.rows { "at least " } else { "" };
        let duplicates = self.stats.rejected_duplicates;
        let (kind, count, text) = match row_error {
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
        BadRows { shown: std::mem::take(&mut self.shown), more: 0, count: None }
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

/// Halves the rows that no warning names. Flags the row if it is the only one.
fn bisect(sent: &[usize], climb: &Climb, row_errors: Vec<RowError>, flagged: &mut Flagged) -> Step {
    if sent.len() > 1 {
        return Step::Instead(climb.piece.halves());
    }
    for row_error in row_errors {
        flag(flagged, sent[0], row_error);
    }
    Step::Again
}

impl RowSpan {
    fn halves(&self) -> Vec<Self> {
        let &Self { rows: Range { start, end }, is_dry_run } = self;
        let middle = start.midpoint(end);
        vec![Self { rows: start..middle, is_dry_run }, Self { rows: middle..end, is_dry_run }]
    }
}
