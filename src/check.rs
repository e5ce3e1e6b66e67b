//! Whether an object would load, found by loading it into a [`TargetClone`], in a transaction that
//! is rolled back.
//!
//! The object is sifted as if all its bad rows and duplicates were to be rejected, so that all of
//! them are found whatever the policies are; then these say what would become of it. Where that
//! does not follow from the counts (what is accepted is stored otherwise than it was, and may meet
//! other rows then; an update may be refused where an insert is not), the object is loaded a second
//! time, under the real policies.
//!
//! Only temporary tables are written to: neither the target nor the ledger nor a reject file.

mod target_clone;

pub use std::collections::BTreeMap;
pub use target_clone::TargetClone;

use mysql_async::prelude::Queryable;
use tokio_util::sync::CancellationToken;

use crate::dialect::{ColumnOrVariable, FormatConfig};
use crate::error::{BadRow, BadRows, Error, ErrorKind, Result};
use crate::isolate::{Plan, RowIsolation, Tally};
use crate::load_data::{LoadConfig, LoadRequest, LoadStats, Policy, Reservation};
use crate::mysql::{Phase, Session, classify};
use crate::policy::{OnBadRow, OnDuplicate};

/// How the objects of a check are looked at: made once, read by all that check.
#[derive(Debug)]
pub struct Check {
    table: TargetClone,
    /// Rejects everything that it can.
    pub collect_all: Plan,
    /// Under the policies of the load.
    real_policy: Plan,
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
    pub prediction: Prediction,
}

/// What would become of an object, as far as can be seen.
#[derive(Debug, Default)]
pub enum Prediction {
    #[default]
    Loads,
    /// Without so many of its rows.
    Rejects(u64),
    Fails(Error),
}

impl Check {
    /// `policy` is that of a load into the target.
    #[must_use]
    pub fn new(
        table: TargetClone,
        columns: &[ColumnOrVariable],
        decimals: &[(String, usize)],
        format: &FormatConfig,
        load: &LoadConfig,
        policy: Policy,
    ) -> Self {
        // Of InnoDB, and without partitions and foreign keys, whatever the target is.
        let real_policy = Policy { skips_only_duplicates: true, rolls_back: true, ..policy };
        let collect_all = Policy {
            on_bad_row: OnBadRow::Reject,
            on_duplicate: OnDuplicate::Reject,
            // Under accept a note is accepted too.
            notes_as_bad: policy.notes_as_bad && policy.on_bad_row != OnBadRow::Accept,
            max_rejects: None,
            ..real_policy
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
        Self { collect_all: plan(collect_all), real_policy: plan(real_policy), table }
    }

    /// What rows may meet in the target, and not here.
    #[must_use]
    pub fn not_checked(&self) -> &[String] {
        self.table.not_checked()
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
        request: &LoadRequest,
        check: &Check,
        abandoning: &CancellationToken,
    ) -> Result<Checked> {
        let what = &request.what;
        tokio::select! {
            biased;
            () = abandoning.cancelled() => {
                Err(Error::new(ErrorKind::Interrupted, format!("{what}: the run was stopped before it was checked")))
            }
            checked = async {
                check.table.create(&mut self.conn).await?;
                let checked = self.collect_all(request, check).await?;
                check.table.drop(&mut self.conn).await?;
                Ok(checked)
            } => checked,
        }
    }

    async fn collect_all(&mut self, request: &LoadRequest, check: &Check) -> Result<Checked> {
        let what = &request.what;
        self.say(what, "START TRANSACTION").await?;
        let isolation_setup = check.collect_all.isolation_setup(&mut self.conn).await?;
        let mut collect_all = Tally::default();
        let isolation = RowIsolation::new(self, request, &check.collect_all, isolation_setup, None)
            .with_tally(&mut collect_all);
        let (stats, _) = isolation.run(&mut None).await?;
        self.say(what, "ROLLBACK").await?;
        let bad_rows = stats.loaded.rejected - stats.rejected_duplicates;
        let duplicates = stats.rejected_duplicates;
        let policy = &check.real_policy.policy;
        let prediction = if policy.on_bad_row == OnBadRow::Accept && bad_rows + duplicates > 0
            || policy.on_duplicate == OnDuplicate::Update && duplicates > 0
        {
            self.real_policy(request, check).await?
        } else {
            prediction(request, check, bad_rows, duplicates)
        };
        for bad in &mut collect_all.shown {
            bad.reason = check.table.renamed(&bad.reason);
        }
        let LoadStats { notes, mut warnings_by_code, .. } = stats;
        for (code, count) in collect_all.by_code {
            *warnings_by_code.entry(code).or_default() += count;
        }
        Ok(Checked {
            rows: request.rows,
            bad_rows,
            duplicates,
            notes,
            warnings_by_code,
            shown: collect_all.shown,
            prediction,
        })
    }

    /// Loads the object under the real policies.
    async fn real_policy(&mut self, request: &LoadRequest, check: &Check) -> Result<Prediction> {
        let Check { real_policy, .. } = check;
        let what = &request.what;
        let sql = real_policy.statement.sql(&request.staged.lines_terminated_by);
        let request = LoadRequest { sql, ..request.clone() };
        let tried = match self.attempt(&request, real_policy).await {
            Ok(Some((stats, reserved))) => {
                reserved.into_iter().for_each(Reservation::commit);
                Ok(match stats.loaded.rejected {
                    0 => Prediction::Loads,
                    rejected => Prediction::Rejects(rejected),
                })
            }
            Ok(None) => {
                Err(Error::new(ErrorKind::Bug, format!("{what}: a check has asked a ledger")))
            }
            Err(error) => {
                let is_about_rows = match error.kind {
                    ErrorKind::BadRows
                    | ErrorKind::Duplicates
                    | ErrorKind::TooManyRejects
                    | ErrorKind::RejectsExhausted => true,
                    // Otherwise it is about the server's state.
                    ErrorKind::StatementFailed => !error.bad_rows().is_empty(),
                    _ => false,
                };
                if is_about_rows {
                    Ok(Prediction::Fails(would_be(&error, &check.table)))
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
        self.conn.query_drop(sql).await.map_err(|error| classify(Phase::Transaction, what, &error))
    }
}

/// What the policies make of so many bad rows and duplicates.
fn prediction(request: &LoadRequest, check: &Check, bad_rows: u64, duplicates: u64) -> Prediction {
    let LoadRequest { what, rows, .. } = request;
    let Check { real_policy: plan, table, .. } = check;
    let policy = &plan.policy;
    let fails = |kind, text: String| Prediction::Fails(Error::new(kind, format!("{what}: {text}")));
    if bad_rows > 0 && policy.on_bad_row != OnBadRow::Reject {
        return fails(
            ErrorKind::BadRows,
            format!("{bad_rows} of {rows} rows can't be loaded as they are"),
        );
    }
    if duplicates > 0 && policy.on_duplicate == OnDuplicate::Error {
        return fails(
            ErrorKind::Duplicates,
            format!("{duplicates} of {rows} rows have keys of rows before them"),
        );
    }
    let rejected =
        bad_rows + if policy.on_duplicate == OnDuplicate::Reject { duplicates } else { 0 };
    if rejected == 0 {
        return Prediction::Loads;
    }
    let limit = policy.max_rejects.map_or(u64::MAX, |limit| limit.of(*rows));
    if rejected > limit {
        let text = format!(
            "{rejected} of {rows} rows would be rejected, and --max-rejects allows {limit}"
        );
        return fails(ErrorKind::TooManyRejects, text);
    }
    match plan.reject_budget.reserve(what, rejected) {
        Ok(reserved) => {
            reserved.commit();
            Prediction::Rejects(rejected)
        }
        Err(error) => Prediction::Fails(would_be(&error, table)),
    }
}

/// The failure that a load would end with, of which nothing has been rolled back.
fn would_be(error: &Error, table: &TargetClone) -> Error {
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
