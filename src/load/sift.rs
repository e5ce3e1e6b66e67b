//! Loads an object piece by piece, to find out exactly which of its rows the table does not take,
//! and why.
//!
//! An object whose whole load met nothing that the policy minds never gets here. The others do, and
//! those whose policy holds rows back or updates. Their rows go in [`chunks`], in order, each under
//! a savepoint; what a chunk was told is judged, and where there is an offence the chunk is taken
//! back and sent again without the rows that gave it:
//!
//! 1. Where the server has more warnings than it shows, the chunk is sent in smaller pieces.
//! 2. A warning whose row number is proven ([`super::row_numbers`]) names a row that is bad by
//!    itself.
//! 3. Offences without a number (duplicates, CHECK, foreign keys, partitions, views) take the
//!    *roundabout*: what is left of the piece is loaded into a private table, from which the server
//!    takes it to the target row by row and in a way that tells which rows it refuses
//!    ([`super::insertion`]). Under REPLACE that is only done to foresee them, and taken back.
//! 4. What remains (an error of the whole statement; a server that tells too little of its
//!    warnings, or does not let us have a private table) is found by halving.
//!
//! So nothing depends on the roundabout being open, only on its naming no good row; and since
//! pieces are sent in order, each after all before it, the first of several rows with one key is
//! the one that is loaded.
//!
//! Memory holds the places of one chunk's rows and what is wrong with them.

mod roundabout;
mod withheld;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use mysql_async::prelude::Queryable;

use super::account::Account;
use super::answer::{Answer, load_data};
use super::check::Survey;
use super::chunks::{self, Chunks};
use super::disguise::Decimals;
use super::judge::{Class, Policy, Verdict, judge};
use super::plan::{Careful, Plan, Private};
use super::transaction::Shipment;
use super::warnings::{Counts, Warning};
use crate::config::{OnBadRow, OnDuplicate};
use crate::error::{BadRow, BadRows, Error, Kind, Result};
use crate::mysql::{During, Session, fold};
use crate::rejects::RejectFile;
use crate::split::LocatedRow;
use crate::verify::RowDigest;
use roundabout::Roundabout;

const SAVEPOINT: &str = "SAVEPOINT s3_to_mysql";
const ROLLBACK: &str = "ROLLBACK TO SAVEPOINT s3_to_mysql";

/// What is wrong with one row.
#[derive(Clone, Debug)]
struct Offence {
    class: Class,
    warning: Warning,
}

/// The rows of a chunk that are held back, by their index.
type Held = BTreeMap<usize, Vec<Offence>>;

/// Rows of a chunk that are still to be sent.
struct Piece {
    rows: Range<usize>,
    /// What can be foreseen of it has been.
    is_foreseen: bool,
}

pub(super) struct Sift<'a> {
    session: &'a mut Session,
    shipment: &'a Shipment,
    policy: Policy,
    decimals: &'a Decimals,
    careful: &'a Careful,
    rejects: Option<RejectFile>,
    account: Account,
    /// Rows that one statement is sent: fewer where its warnings are more than the server shows.
    statement_rows: usize,
    rows_kept: u64,
    rows_held: u64,
    /// The first bad rows, for the error.
    shown: Vec<BadRow>,
    /// The last piece went by way of the private table, and so will the next.
    prefers_roundabout: bool,
    /// Some row is one for which the object is refused.
    doomed: Option<Class>,
    /// Where what is held back is to be counted by its reasons.
    survey: Option<&'a mut Survey>,
}

impl<'a> Sift<'a> {
    pub(super) fn new(
        session: &'a mut Session,
        shipment: &'a Shipment,
        plan: &'a Plan,
        careful: &'a Careful,
        rejects: Option<RejectFile>,
    ) -> Self {
        Self {
            session,
            shipment,
            policy: plan.policy,
            decimals: &plan.decimals,
            careful,
            rejects,
            account: Account::default(),
            statement_rows: usize::MAX,
            rows_kept: 0,
            rows_held: 0,
            shown: Vec::new(),
            prefers_roundabout: false,
            doomed: None,
            survey: None,
        }
    }

    /// Also counts what is held back by its reasons, and hands over the first of it.
    pub(super) fn surveying(mut self, survey: &'a mut Survey) -> Self {
        self.survey = Some(survey);
        self
    }

    /// Only to name the rows for which the object was refused with `error`, and which the
    /// transaction that is open will not keep either.
    pub(super) fn for_an_error(mut self, error: &Error) -> Self {
        // Bad values are told without the duplicates, which would only stand before them.
        if error.kind != Kind::Duplicates {
            self.policy.on_duplicate = match self.policy.on_duplicate {
                OnDuplicate::Error => OnDuplicate::Ignore,
                other => other,
            };
        }
        self
    }

    /// Loads the object's good rows within the transaction that is open, and returns what became of
    /// all. Takes those that are held back off `digest`.
    ///
    /// # Errors
    /// `BadRows`, `Duplicates`, `TooManyRejects` with the first bad rows; otherwise as
    /// [`load_data`].
    pub(super) async fn run(
        mut self,
        digest: &mut Option<RowDigest>,
    ) -> Result<(Account, Option<RejectFile>)> {
        let rows = self.shipment.rows;
        let mut chunks = Chunks::new(&self.shipment.staged);
        loop {
            let (rest, chunk) = chunks.next().await.map_err(|error| self.about(error))?;
            chunks = rest;
            if chunk.is_empty() {
                break;
            }
            let held = self.chunk(&chunk).await?;
            self.keep_account(&Arc::new(chunk), held, digest).await?;
            if self.doomed.is_some() && self.shown.len() >= self.policy.show_bad_rows {
                break;
            }
        }
        if let Some(class) = self.doomed {
            return Err(self.refusal(class));
        }
        if self.rows_kept + self.rows_held != rows {
            let message = format!(
                "{}: the object has {rows} rows, of which {} were loaded and {} held back; rolled back",
                self.shipment.what, self.rows_kept, self.rows_held
            );
            return Err(Error::new(Kind::CountMismatch, message));
        }
        self.account.loaded.rows = rows;
        self.account.loaded.rejected = self.rows_held;
        if let Some(survey) = self.survey {
            survey.shown = self.shown;
        }
        Ok((self.account, self.rejects))
    }

    /// Loads what is good of a chunk.
    async fn chunk(&mut self, chunk: &[LocatedRow]) -> Result<Held> {
        let mut held = Held::new();
        let mut pieces = vec![Piece { rows: 0..chunk.len(), is_foreseen: false }];
        while let Some(mut piece) = pieces.pop() {
            if piece.rows.len() > self.statement_rows {
                let middle = piece.rows.start + self.statement_rows;
                pieces.push(Piece { rows: middle..piece.rows.end, is_foreseen: piece.is_foreseen });
                piece.rows.end = middle;
            }
            for part in self.piece(chunk, piece, &mut held).await?.into_iter().rev() {
                pieces.push(part);
            }
        }
        Ok(held)
    }

    /// Loads what is good of a piece, or returns the smaller pieces to be loaded instead, in order.
    async fn piece(
        &mut self,
        chunk: &[LocatedRow],
        mut piece: Piece,
        held: &mut Held,
    ) -> Result<Vec<Piece>> {
        let mut was_taken_back = false;
        let mut is_roundabout = self.prefers_roundabout && !piece.is_foreseen;
        // Everything that tells rows apart has been tried on the piece as it is.
        let mut is_exhausted = piece.is_foreseen;
        loop {
            let sent: Vec<usize> =
                piece.rows.clone().filter(|index| !held.contains_key(index)).collect();
            if sent.is_empty() {
                return Ok(Vec::new());
            }
            if is_roundabout {
                match self.roundabout(chunk, &sent, held).await? {
                    Roundabout::Through => return Ok(Vec::new()),
                    Roundabout::Again => continue,
                    Roundabout::Closed { is_for_good } => {
                        is_roundabout = false;
                        piece.is_foreseen = is_for_good;
                        is_exhausted = true;
                    }
                }
            }
            self.query(SAVEPOINT).await?;
            let told = match self.attempt(chunk, &sent).await? {
                Told::Fine(kept) => {
                    self.keep(sent.len() as u64, kept);
                    if !was_taken_back {
                        self.statement_rows = self.statement_rows.saturating_mul(2);
                    }
                    return Ok(Vec::new());
                }
                told => told,
            };
            was_taken_back = true;
            self.query(ROLLBACK).await?;
            let offences = match told {
                Told::Fine(_) => Vec::new(),
                Told::Hidden { warnings, shown } => {
                    if sent.len() == 1 {
                        let unseen =
                            format!("{warnings} warnings, of which the server shows {shown}");
                        let warning = Warning::new("Warning".to_owned(), 0, unseen);
                        hold(held, sent[0], Offence { class: Class::BadRow, warning });
                        continue;
                    }
                    // Half of what would just fit, as rows differ.
                    let fitting = sent.len() as u64 * shown / warnings.max(1) / 2;
                    self.statement_rows =
                        usize::try_from(fitting).unwrap_or(usize::MAX).clamp(1, sent.len() / 2);
                    return Ok(vec![piece]);
                }
                Told::Offences(offences) => offences,
            };
            let mut is_anything_new = Self::hold_numbered(&offences, &sent, held);
            let is_any_unnumbered = offences.iter().any(|offence| offence.warning.row.is_none());
            if is_any_unnumbered && !is_exhausted {
                if self.policy.on_duplicate != OnDuplicate::Replace {
                    is_roundabout = true;
                    continue;
                }
                is_exhausted = true;
                let left: Vec<usize> =
                    sent.iter().copied().filter(|index| !held.contains_key(index)).collect();
                match self.foresee(chunk, &left).await? {
                    Some(foreseen) => {
                        piece.is_foreseen = true;
                        for (index, offence) in foreseen {
                            is_anything_new = true;
                            hold(held, index, offence);
                        }
                    }
                    // More than the server shows, there too.
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
            for offence in offences {
                hold(held, sent[0], offence);
            }
        }
    }

    /// Sends some of a chunk's rows.
    async fn attempt(&mut self, chunk: &[LocatedRow], sent: &[usize]) -> Result<Told> {
        let policy = self.policy;
        if policy.on_duplicate == OnDuplicate::Update {
            return self.attempt_update(chunk, sent).await;
        }
        let sql = self.shipment.sql.clone();
        match self.send(&sql, chunk, sent).await? {
            Answer::Taken { counts, shown } => self.told(chunk, sent, counts, &shown).await,
            // Its number may be that of a statement in a trigger, which counts its own rows.
            Answer::Refused { warning, .. } => Ok(Told::Offences(vec![unnumbered(warning)])),
        }
    }

    /// By way of the private table, from which the target is updated.
    async fn attempt_update(&mut self, chunk: &[LocatedRow], sent: &[usize]) -> Result<Told> {
        let Some(private) = &self.careful.private else {
            return Err(Error::new(
                Kind::Bug,
                format!("{}: no way to update was made", self.shipment.what),
            ));
        };
        private.table.create(&mut self.session.conn).await?;
        let told = match self.fill(private, chunk, sent).await? {
            Answer::Taken { counts, shown } => self.told(chunk, sent, counts, &shown).await?,
            Answer::Refused { warning, .. } => Told::Offences(vec![unnumbered(warning)]),
        };
        let told = match told {
            Told::Fine(mut kept) => {
                let inserted = self.careful.update(&mut self.session.conn, private).await?;
                let said: Vec<Warning> =
                    inserted.refused.iter().chain(&inserted.remarks).map(Warning::from).collect();
                kept.loaded.skipped += inserted.refused.len() as u64;
                kept.updated += inserted.updated;
                kept.unchanged += inserted.unchanged();
                kept.count(&said);
                let offences = self.offences(&said);
                if offences.is_empty() { Told::Fine(kept) } else { Told::Offences(offences) }
            }
            told => told,
        };
        private.table.drop(&mut self.session.conn).await?;
        Ok(told)
    }

    /// Holds rows back by their numbers among those that were sent; `false` where there was none.
    fn hold_numbered(offences: &[Offence], sent: &[usize], held: &mut Held) -> bool {
        let mut is_any = false;
        for offence in offences {
            let row = offence.warning.row.and_then(|row| usize::try_from(row).ok()?.checked_sub(1));
            if let Some(&index) = row.and_then(|row| sent.get(row)) {
                hold(held, index, offence.clone());
                is_any = true;
            }
        }
        is_any
    }

    /// Loads rows into the private table.
    async fn fill(
        &mut self,
        private: &Private,
        chunk: &[LocatedRow],
        rows: &[usize],
    ) -> Result<Answer> {
        let sql = private.statement.sql(&self.shipment.staged.lines_terminated_by);
        self.send(&sql, chunk, rows).await
    }

    async fn send(&mut self, sql: &str, chunk: &[LocatedRow], sent: &[usize]) -> Result<Answer> {
        let payload = chunks::payload(&self.shipment.staged, chunk, sent);
        let what = &self.shipment.what;
        load_data(
            &mut self.session.conn,
            what,
            sql,
            payload,
            sent.len() as u64,
            self.policy.stall_timeout,
        )
        .await
    }

    /// What is to be made of an answer.
    async fn told(
        &self,
        chunk: &[LocatedRow],
        sent: &[usize],
        counts: Counts,
        shown: &[Warning],
    ) -> Result<Told> {
        let rows = sent.len() as u64;
        match judge(rows, counts, shown, &self.policy) {
            Verdict::Fine => {
                let disguised = self.unmask(chunk, sent, shown).await?;
                Ok(if disguised.is_empty() {
                    Told::Fine(Account::of(rows, counts, shown))
                } else {
                    Told::Offences(disguised)
                })
            }
            // Nothing smaller can be asked.
            Verdict::Hidden if rows == 1 && self.policy.on_bad_row == OnBadRow::Accept => {
                Ok(Told::Fine(Account::of(rows, counts, shown)))
            }
            Verdict::Hidden => {
                Ok(Told::Hidden { warnings: counts.warnings, shown: shown.len() as u64 })
            }
            Verdict::Offences(offences) => Ok(if counts.warnings > shown.len() as u64 {
                Told::Hidden { warnings: counts.warnings, shown: shown.len() as u64 }
            } else {
                let offence = |(class, warning): &(Class, &Warning)| Offence {
                    class: *class,
                    warning: (*warning).clone(),
                };
                Told::Offences(offences.iter().map(offence).collect())
            }),
            Verdict::Unexplained(_) => {
                let text = "the row was skipped, and no warning says why".to_owned();
                Ok(Told::Offences(vec![unnumbered(Warning::new("Warning".to_owned(), 0, text))]))
            }
            Verdict::Miscounted => Err(miscounted(&self.shipment.what, rows, counts)),
        }
    }

    /// The notes that are about a loss ([`super::disguise`]).
    async fn unmask(
        &self,
        chunk: &[LocatedRow],
        sent: &[usize],
        shown: &[Warning],
    ) -> Result<Vec<Offence>> {
        if !self.policy.minds_disguises() {
            return Ok(Vec::new());
        }
        let mut suspected: Vec<(LocatedRow, Warning)> = Vec::new();
        for warning in shown.iter().filter(|warning| self.decimals.suspects(warning)) {
            let row =
                warning.row.and_then(|row| sent.get(usize::try_from(row).ok()?.checked_sub(1)?));
            suspected.extend(row.map(|&index| (chunk[index].clone(), warning.clone())));
        }
        if suspected.is_empty() {
            return Ok(Vec::new());
        }
        let (file, decimals) = (self.shipment.staged.file.clone(), self.decimals.clone());
        let looked_at = tokio::task::spawn_blocking(move || {
            let mut losses = Vec::new();
            for (row, mut warning) in suspected {
                if !decimals.is_harmless(&warning, &chunks::raw(&file, &row, u64::MAX)?) {
                    "Warning".clone_into(&mut warning.level);
                    losses.push(Offence { class: Class::BadRow, warning });
                }
            }
            Ok::<_, std::io::Error>(losses)
        });
        match looked_at.await {
            Ok(losses) => losses.map_err(|error| {
                let message =
                    format!("{}: the staged file can't be read again", self.shipment.what);
                Error::new(Kind::StagingFailed, message).caused_by(error)
            }),
            Err(died) if died.is_panic() => std::panic::resume_unwind(died.into_panic()),
            Err(died) => {
                Err(Error::new(Kind::Interrupted, "the program is leaving").caused_by(died))
            }
        }
    }

    fn offences(&self, shown: &[Warning]) -> Vec<Offence> {
        let class = |warning: &Warning| self.policy.offence(warning);
        shown
            .iter()
            .filter_map(|warning| {
                class(warning).map(|class| Offence { class, warning: warning.clone() })
            })
            .collect()
    }

    fn keep(&mut self, rows: u64, kept: Account) {
        self.rows_kept += rows;
        self.account.add(kept);
    }

    fn refusal(mut self, class: Class) -> Error {
        let Self { shipment, rows_held, .. } = &self;
        let seen = if self.rows_kept + rows_held < shipment.rows { "at least " } else { "" };
        let (kind, text) = match class {
            Class::BadRow => (Kind::BadRows, "can't be loaded as they are"),
            Class::Duplicate => (Kind::Duplicates, "have keys that are there already"),
        };
        let message = format!(
            "{}: {seen}{rows_held} of {} rows {text}; rolled back",
            shipment.what, shipment.rows
        );
        Error::new(kind, message).with_bad_rows(self.take_shown())
    }

    fn take_shown(&mut self) -> BadRows {
        BadRows { shown: std::mem::take(&mut self.shown), more: 0 }
    }

    async fn query(&mut self, sql: &str) -> Result<()> {
        let what = &self.shipment.what;
        self.session
            .conn
            .query_drop(sql)
            .await
            .map_err(|error| fold(During::Transaction, what, &error))
    }

    fn about(&self, error: Error) -> Error {
        Error::new(error.kind, self.shipment.what.clone()).caused_by(error)
    }
}

fn hold(held: &mut Held, index: usize, offence: Offence) {
    held.entry(index).or_default().push(offence);
}

fn halves(piece: &Piece) -> Vec<Piece> {
    let &Piece { rows: Range { start, end }, is_foreseen } = piece;
    let middle = start.midpoint(end);
    vec![Piece { rows: start..middle, is_foreseen }, Piece { rows: middle..end, is_foreseen }]
}

/// Of one row of those that were sent, which the server does not name.
fn unnumbered(mut warning: Warning) -> Offence {
    warning.row = None;
    Offence {
        class: if warning.is_duplicate() { Class::Duplicate } else { Class::BadRow },
        warning,
    }
}

pub(super) fn miscounted(what: &str, rows: u64, counts: Counts) -> Error {
    let message = format!(
        "{what}: {rows} rows were sent, the server counted Records: {}; rolled back",
        counts.records
    );
    Error::new(Kind::CountMismatch, message)
}

/// What came of sending some rows.
enum Told {
    /// They are in, and this became of them.
    Fine(Account),
    Hidden {
        warnings: u64,
        shown: u64,
    },
    Offences(Vec<Offence>),
}
