//! Whether an object would load, found by loading it into a [`CheckTable`], in a transaction that
//! is rolled back.
//!
//! The object is sifted as if all its bad rows and duplicates were to be rejected, so that all of
//! them are found whatever the policies are; then these say what would become of it. Where that
//! does not follow from the counts (what is accepted is stored otherwise than it was, and may meet
//! other rows then; an update may be refused where an insert is not), the object is loaded a second
//! time, under the real policies.
//!
//! Only temporary tables are written to: neither the target nor the ledger nor a reject file.

use std::collections::BTreeMap;

use mysql_async::prelude::Queryable;
use tokio_util::sync::CancellationToken;

use super::account::Account;
use super::check_table::CheckTable;
use super::judge::Policy;
use super::plan::{Plan, Spent};
use super::sift::Sift;
use super::transaction::Shipment;
use super::warnings::Warning;
use crate::config::{ColumnOrVariable, FormatConfig, LoadConfig, OnBadRow, OnDuplicate};
use crate::error::{BadRow, BadRows, Error, Kind, Result};
use crate::mysql::{During, Session, fold};

/// How the objects of a check are looked at: made once, read by all that check.
#[derive(Debug)]
pub struct Check {
    table: CheckTable,
    /// Rejects everything that it can.
    pub survey: Plan,
    /// Under the policies of the load.
    trial: Plan,
}

/// What was found in one object.
#[derive(Debug, Default)]
pub struct Checked {
    pub rows: u64,
    /// Rows with a value that does not fit, too few or too many fields, or refused by CHECK.
    pub bad_rows: u64,
    /// Rows that are not bad, but have a unique key that a good row before them in the object has.
    pub duplicates: u64,
    /// What the server would say without anything being wrong with the row.
    pub notes: u64,
    /// How often it was said, by its number; of all rows.
    pub warnings_by_code: BTreeMap<u16, u64>,
    /// The first bad rows and duplicates.
    pub shown: Vec<BadRow>,
    pub verdict: Verdict,
}

/// What would become of an object, as far as can be seen.
#[derive(Debug, Default)]
pub enum Verdict {
    #[default]
    Loads,
    /// Without so many of its rows.
    Rejects(u64),
    Fails(Error),
}

/// What is held back of an object, by its reasons.
#[derive(Debug, Default)]
pub(super) struct Survey {
    by_code: BTreeMap<u16, u64>,
    pub(super) shown: Vec<BadRow>,
}

impl Survey {
    /// Takes in what was said of one row.
    pub(super) fn count<'w>(&mut self, warnings: impl Iterator<Item = &'w Warning>) {
        for warning in warnings {
            *self.by_code.entry(warning.code).or_default() += 1;
        }
    }
}

impl Check {
    /// `policy` is that of a load into the target.
    #[must_use]
    pub fn new(
        table: CheckTable,
        columns: &[ColumnOrVariable],
        decimals: &[(String, usize)],
        format: &FormatConfig,
        load: &LoadConfig,
        policy: Policy,
    ) -> Self {
        // Of InnoDB, and without partitions and foreign keys, whatever the target is.
        let trial = Policy { skips_only_duplicates: true, rolls_back: true, ..policy };
        let survey = Policy {
            on_bad_row: OnBadRow::Reject,
            on_duplicate: OnDuplicate::Reject,
            // Under accept a note is accepted too.
            notes_as_bad: policy.notes_as_bad && policy.on_bad_row != OnBadRow::Accept,
            max_rejects: None,
            ..trial
        };
        let plan = |policy| {
            Plan::new(
                table.table.clone(),
                columns.to_vec(),
                decimals.to_vec(),
                format,
                load,
                policy,
                None,
            )
            .described_by(table.target.clone())
        };
        Self { survey: plan(survey), trial: plan(trial), table }
    }

    /// What rows may meet in the target, and not here.
    #[must_use]
    pub fn unseen(&self) -> &[String] {
        self.table.unseen()
    }
}

impl Session {
    /// Finds out whether an object would load. Nothing of it stays: the private table is dropped,
    /// and ends with the session.
    ///
    /// If this is dropped half-way, and after any error, the session must be destroyed.
    ///
    /// # Errors
    /// `LockConflict`, `ConnectionLost`, `LoadStalled`, which may be repeated; otherwise what a
    /// load would meet too and is not about single rows. `Interrupted` when `abandoning` was
    /// cancelled.
    pub async fn check(
        &mut self,
        shipment: &Shipment,
        check: &Check,
        abandoning: &CancellationToken,
    ) -> Result<Checked> {
        let what = &shipment.what;
        tokio::select! {
            biased;
            () = abandoning.cancelled() => {
                Err(Error::new(Kind::Interrupted, format!("{what}: the run was stopped before it was checked")))
            }
            checked = async {
                check.table.create(&mut self.conn).await?;
                let checked = self.survey(shipment, check).await?;
                check.table.drop(&mut self.conn).await?;
                Ok(checked)
            } => checked,
        }
    }

    async fn survey(&mut self, shipment: &Shipment, check: &Check) -> Result<Checked> {
        let what = &shipment.what;
        self.say(what, "START TRANSACTION").await?;
        let careful = check.survey.careful(&mut self.conn).await?;
        let mut survey = Survey::default();
        let sift = Sift::new(self, shipment, &check.survey, careful, None).surveying(&mut survey);
        let (account, _) = sift.run(&mut None).await?;
        self.say(what, "ROLLBACK").await?;
        let bad_rows = account.loaded.rejected - account.rejected_duplicates;
        let duplicates = account.rejected_duplicates;
        let policy = &check.trial.policy;
        let verdict = if policy.on_bad_row == OnBadRow::Accept && bad_rows + duplicates > 0
            || policy.on_duplicate == OnDuplicate::Update && duplicates > 0
        {
            self.trial(shipment, check).await?
        } else {
            verdict(shipment, check, bad_rows, duplicates)
        };
        for bad in &mut survey.shown {
            bad.reason = check.table.renamed(&bad.reason);
        }
        let Account { notes, mut warnings_by_code, .. } = account;
        for (code, count) in survey.by_code {
            *warnings_by_code.entry(code).or_default() += count;
        }
        Ok(Checked {
            rows: shipment.rows,
            bad_rows,
            duplicates,
            notes,
            warnings_by_code,
            shown: survey.shown,
            verdict,
        })
    }

    /// Loads the object under the real policies.
    async fn trial(&mut self, shipment: &Shipment, check: &Check) -> Result<Verdict> {
        let Check { trial, .. } = check;
        let what = &shipment.what;
        let sql = trial.statement.sql(&shipment.staged.lines_terminated_by);
        let shipment = Shipment { sql, ..shipment.clone() };
        let tried = match self.attempt(&shipment, trial).await {
            Ok(Some((account, spent))) => {
                spent.into_iter().for_each(Spent::keep);
                Ok(match account.loaded.rejected {
                    0 => Verdict::Loads,
                    rejected => Verdict::Rejects(rejected),
                })
            }
            Ok(None) => Err(Error::new(Kind::Bug, format!("{what}: a check has asked a ledger"))),
            Err(error) => {
                let is_about_rows = match error.kind {
                    Kind::BadRows
                    | Kind::Duplicates
                    | Kind::TooManyRejects
                    | Kind::RejectsExhausted => true,
                    // Otherwise it is about the server's state.
                    Kind::StatementFailed => !error.bad_rows().is_empty(),
                    _ => false,
                };
                if is_about_rows {
                    Ok(Verdict::Fails(would_be(&error, &check.table)))
                } else {
                    Err(error)
                }
            }
        };
        if tried.is_ok() {
            self.say(what, "ROLLBACK").await?;
        }
        tried
    }

    async fn say(&mut self, what: &str, sql: &str) -> Result<()> {
        self.conn.query_drop(sql).await.map_err(|error| fold(During::Transaction, what, &error))
    }
}

/// What the policies make of so many bad rows and duplicates.
fn verdict(shipment: &Shipment, check: &Check, bad_rows: u64, duplicates: u64) -> Verdict {
    let Shipment { what, rows, .. } = shipment;
    let Check { trial: plan, table, .. } = check;
    let policy = &plan.policy;
    let fails = |kind, text: String| Verdict::Fails(Error::new(kind, format!("{what}: {text}")));
    if bad_rows > 0 && policy.on_bad_row != OnBadRow::Reject {
        return fails(
            Kind::BadRows,
            format!("{bad_rows} of {rows} rows can't be loaded as they are"),
        );
    }
    if duplicates > 0 && policy.on_duplicate == OnDuplicate::Error {
        return fails(
            Kind::Duplicates,
            format!("{duplicates} of {rows} rows have keys of rows before them"),
        );
    }
    let rejected =
        bad_rows + if policy.on_duplicate == OnDuplicate::Reject { duplicates } else { 0 };
    if rejected == 0 {
        return Verdict::Loads;
    }
    let limit = policy.max_rejects.map_or(u64::MAX, |limit| limit.of(*rows));
    if rejected > limit {
        let text = format!(
            "{rejected} of {rows} rows would be rejected, and --max-rejects allows {limit}"
        );
        return fails(Kind::TooManyRejects, text);
    }
    match plan.rejects_left.spend(what, rejected) {
        Ok(spent) => {
            spent.keep();
            Verdict::Rejects(rejected)
        }
        Err(error) => Verdict::Fails(would_be(&error, table)),
    }
}

/// The failure that a load would end with, of which nothing has been rolled back.
fn would_be(error: &Error, table: &CheckTable) -> Error {
    let cause = error.causes().last().map(|cause| format!(": {cause}")).unwrap_or_default();
    let message =
        error.message().trim_end_matches("; rolled back").trim_end_matches(" and was rolled back");
    Error::new(error.kind, table.renamed(&format!("{message}{cause}")))
}

impl Checked {
    /// The first bad rows and duplicates, and how many rows were not kept of all that was said.
    #[must_use]
    pub fn bad_rows(&self) -> BadRows {
        let mut shown_rows: Vec<Option<u64>> = self.shown.iter().map(|bad| bad.row).collect();
        shown_rows.dedup();
        let more = (self.bad_rows + self.duplicates).saturating_sub(shown_rows.len() as u64);
        BadRows { shown: self.shown.clone(), more }
    }
}
