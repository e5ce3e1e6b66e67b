//! Predicts the fate of an object: loads it into a [`TargetClone`], in a transaction that is rolled
//! back.
//!
//! Row isolation runs as if all bad rows and duplicates were rejected. So it finds all of them,
//! whatever the policies are. Then the policies predict what a load would do with the object. In
//! two cases the counts are not enough: accepted bad rows are stored with other values, and may
//! then meet other rows; and an update may be refused where an insert is not. In these cases the
//! object is loaded a second time, under the real policies.
//!
//! A check writes only to temporary tables: not to the target, the ledger or a reject file.

mod set_nulls;
mod target_clone;

pub use set_nulls::{SetNull, SetNulls};
pub use std::collections::BTreeMap;
pub use target_clone::TargetClone;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::dialect::FormatConfig;
use crate::error::{BadRow, BadRows, Error, ErrorKind, Result};
use crate::isolate::{RowIsolation, Tally};
use crate::load::Loader;
use crate::load_data::{LoadConfig, LoadRequest, LoadStats, Plan, Policy, Reservation};
use crate::mysql::{Phase, Session, TableSchema, classify};
use crate::policy::{OnBadRow, OnDuplicate};

/// The plan by which objects are checked. It is made once, and all connections read it.
#[derive(Debug)]
pub struct Check {
    table: TargetClone,
    /// Rejects everything that can be rejected.
    pub collect_all: Loader,
    /// Has the policies of the load.
    real_policy: Loader,
    set_nulls: SetNulls,
}

/// The findings about one object.
#[derive(Debug, Default)]
pub struct Checked {
    pub rows: u64,
    /// The rows with a value that does not fit or with too few or too many fields, and the rows
    /// that a CHECK refused.
    pub bad_rows: u64,
    /// The rows that are not bad, but have the unique key of a good row before them in the object.
    pub duplicates: u64,
    /// The rows, not counted as bad, with a loss that is only noted.
    pub note_rows: u64,
    /// The first of them.
    pub first_notes: BadRows,
    /// The number of warnings that the server would give about rows without a problem.
    pub notes: u64,
    /// The columns of `--set` with NULL where the fields are neither NULL nor empty.
    pub set_nulls: Vec<SetNull>,
    /// The number of warnings per error number, for all rows.
    pub warnings_by_code: BTreeMap<u16, u64>,
    /// The first bad rows and duplicates.
    pub shown: Vec<BadRow>,
    pub prediction: Prediction,
}

/// The predicted outcome for an object, as far as a check can see.
#[derive(Debug, Default)]
pub enum Prediction {
    #[default]
    Loads,
    /// The object loads without this number of its rows.
    Rejects(u64),
    Fails(Error),
}

impl Check {
    /// Makes a check. `policy` is the policy of a load into the target. `table` must have the
    /// columns of `set_nulls`.
    #[must_use]
    pub fn new(
        table: TargetClone,
        set_nulls: SetNulls,
        schema: &Arc<TableSchema>,
        format: &FormatConfig,
        load: &LoadConfig,
        policy: Policy,
    ) -> Self {
        // The clone uses InnoDB and has no partitions or foreign keys, whatever the target has.
        let real_policy = Policy { skips_only_duplicates: true, rolls_back: true, ..policy };
        let collect_all = Policy {
            on_bad_row: OnBadRow::Reject,
            on_duplicate: OnDuplicate::Reject,
            // Under accept, notes are accepted too.
            notes_as_bad: policy.notes_as_bad && policy.on_bad_row != OnBadRow::Accept,
            max_rejects: None,
            ..real_policy
        };
        let loader = |schema: &Arc<TableSchema>, format: &FormatConfig, policy| {
            Loader::new(Plan::new(table.table.clone(), Arc::clone(schema), format, load, policy))
        };
        Self {
            collect_all: loader(&set_nulls.schema(schema), &set_nulls.format(format), collect_all),
            real_policy: loader(schema, format, real_policy),
            set_nulls,
            table,
        }
    }

    /// Returns the problems that rows may have in the target, but that a check cannot find.
    #[must_use]
    pub fn not_checked(&self) -> &[String] {
        self.table.not_checked()
    }
}

impl Session {
    /// Checks if an object would load. Nothing of it stays: the clone is dropped, and would end
    /// with the session anyway.
    ///
    /// If this future is dropped, and after any error, the session must be destroyed.
    ///
    /// # Errors
    /// `LockConflict`, `ConnectionLost` or `LoadStalled`, which may be repeated; otherwise what a
    /// load would fail with too, if it is not about single rows. `Interrupted` if `abandoning` was
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
                let message = format!("{what}: the run was stopped before it was checked");
                Err(Error::new(ErrorKind::Interrupted, message))
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
        let Loader { plan, isolation_setup, .. } = &check.collect_all;
        let isolation_setup =
            isolation_setup.get(plan, &request.layout.shared, &mut self.conn).await?;
        let mut collect_all = Tally::default();
        let isolation = RowIsolation::new(self, request, plan, &isolation_setup, None)
            .with_tally(&mut collect_all);
        let (stats, _) = isolation.run(&mut None).await?;
        let set_nulls = check.set_nulls.read(&mut self.conn, &check.table.table).await?;
        self.say(what, "ROLLBACK").await?;
        let bad_rows = stats.loaded.rejected - stats.rejected_duplicates;
        let duplicates = stats.rejected_duplicates;
        let policy = &check.real_policy.plan.policy;
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
            note_rows: request.values.noted_rows,
            first_notes: BadRows::default(),
            notes,
            set_nulls,
            warnings_by_code,
            shown: collect_all.shown,
            prediction,
        })
    }

    /// Loads the object under the real policies.
    async fn real_policy(&mut self, request: &LoadRequest, check: &Check) -> Result<Prediction> {
        let Check { real_policy, .. } = check;
        let what = &request.what;
        let sql = real_policy.plan.statement(&request.layout.items());
        let sql = sql.sql(&request.staged.lines_terminated_by);
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
                Err(Error::new(ErrorKind::Bug, format!("{what}: a check has used a ledger")))
            }
            Err(error) => {
                let is_about_rows = match error.kind {
                    ErrorKind::BadRows
                    | ErrorKind::Duplicates
                    | ErrorKind::TooManyRejects
                    | ErrorKind::RejectsExhausted => true,
                    // Otherwise the error is about the server's state.
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

/// Predicts the outcome under the policies from the numbers of bad rows and duplicates.
fn prediction(request: &LoadRequest, check: &Check, bad_rows: u64, duplicates: u64) -> Prediction {
    let LoadRequest { what, rows, .. } = request;
    let Check { real_policy: Loader { plan, .. }, table, .. } = check;
    let policy = &plan.policy;
    let fails = |kind, text: String| Prediction::Fails(Error::new(kind, format!("{what}: {text}")));
    if bad_rows > 0 && policy.on_bad_row != OnBadRow::Reject {
        return fails(
            ErrorKind::BadRows,
            format!("{bad_rows} of {rows} rows cannot be loaded as they are"),
        );
    }
    if duplicates > 0 && policy.on_duplicate == OnDuplicate::Error {
        return fails(
            ErrorKind::Duplicates,
            format!("{duplicates} of {rows} rows have the keys of rows before them"),
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

/// Returns the error that a load would end with, without the remark that it was rolled back.
fn would_be(error: &Error, table: &TargetClone) -> Error {
    let cause = error.raw_causes().last().map(|cause| format!(": {cause}")).unwrap_or_default();
    let message =
        error.message().trim_end_matches("; rolled back").trim_end_matches(" and was rolled back");
    Error::new(error.kind, table.renamed(&format!("{message}{cause}")))
}

impl Checked {
    /// Returns the first bad rows and duplicates, and the number of the others.
    #[must_use]
    pub fn bad_rows(&self) -> BadRows {
        let mut shown_rows: Vec<Option<u64>> = self.shown.iter().map(|bad| bad.row).collect();
        shown_rows.dedup();
        let count = self.bad_rows + self.duplicates;
        let more = count.saturating_sub(shown_rows.len() as u64);
        BadRows { shown: self.shown.clone(), more, count: Some(count) }
    }
}
