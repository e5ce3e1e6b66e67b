//! Verifies that the loaded table holds what the objects of the job hold: compares the sums in the
//! ledger with sums that the server computes.
//!
//! Both are read in one snapshot, so that an object which another run is loading meanwhile is in
//! both or in neither. One object without sums makes verification impossible, which is an error: a
//! partial match proves nothing about the rest.

use std::sync::{Mutex, PoisonError};

use mysql_async::Row;

use super::handle::Ledger;
use super::job::Job;
use crate::error::{Error, ErrorKind, Result};
use crate::mysql::{Phase, Session, classify};
use crate::verify::{ComparePlan, Digest, RowSum, TableVerification};

/// The comparison to make before a job ends, and its result.
pub(super) struct TableCheck<'plan> {
    plan: Option<&'plan ComparePlan>,
    /// The verification result, kept across retries, because a retry may find that an earlier
    /// attempt has already ended the job.
    passed: Mutex<Option<TableVerification>>,
}

impl<'plan> TableCheck<'plan> {
    pub(super) fn new(plan: Option<&'plan ComparePlan>) -> Self {
        Self { plan, passed: Mutex::default() }
    }

    pub(super) fn passed(self) -> Option<TableVerification> {
        self.passed.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The sums that the ledger has for a job's objects.
struct ObjectDigests {
    digest: Digest,
    /// The number of objects without sums. `example` names one of them.
    unsummed: u64,
    example: String,
}

impl Ledger {
    /// Refuses to resume a job that cannot be verified at its end.
    ///
    /// # Errors
    /// `ChecksumMissing` if objects of the job were loaded without sums, or before the table was
    /// altered.
    pub async fn ensure_verifiable(&self, job: &Job, plan: &ComparePlan) -> Result<()> {
        if !job.is_resumed {
            return Ok(());
        }
        let mut session = self.sessions.dedicated().await?;
        let objects = self.objects(&mut session, job, plan).await;
        session.close().await;
        self.ensure_summed(&objects?)
    }

    /// Compares the table that the job loads into with the job's objects, if verification was
    /// requested.
    ///
    /// # Errors
    /// `ChecksumDiffers` if they differ. `ChecksumMissing` as in [`Ledger::ensure_verifiable`].
    /// `TargetRefused` if the server cannot compute its sums.
    pub(super) async fn verify_contents(
        &self,
        session: &mut Session,
        job: &Job,
        check: &TableCheck<'_>,
    ) -> Result<()> {
        let Some(plan) = check.plan else { return Ok(()) };
        let what = format!("table {}", job.load_into);
        let failed = |error: mysql_async::Error| {
            classify(Phase::Transaction, &format!("{what}: verifying it"), &error)
        };
        tracing::info!("{what}: comparing its rows with those of the objects");
        session
            .conn
            .query_drop(
                "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; START TRANSACTION WITH \
                 CONSISTENT SNAPSHOT, READ ONLY",
            )
            .await
            .map_err(failed)?;
        let compared = self.compare(session, job, plan).await;
        // A swap goes on with this session, so the transaction ends here even after an error.
        let ended = session.conn.query_drop("ROLLBACK").await.map_err(failed);
        let verified = compared?;
        ended?;
        for column in &verified.unverified {
            tracing::info!("{what}: column {} is not verified: {}", column.column, column.reason);
        }
        if verified.columns.is_empty() {
            tracing::warn!("{what}: only the number of its rows could be verified");
        }
        *check.passed.lock().unwrap_or_else(PoisonError::into_inner) = Some(verified);
        Ok(())
    }

    async fn compare(
        &self,
        session: &mut Session,
        job: &Job,
        plan: &ComparePlan,
    ) -> Result<TableVerification> {
        let objects = self.objects(session, job, plan).await?;
        self.ensure_summed(&objects)?;
        let objects = objects.digest;
        let table = &job.load_into;
        let what = format!("table {table}");
        let unreadable = |detail: String| {
            Error::new(
                ErrorKind::TargetRefused,
                format!("{what}: the server cannot compute its checksum: {detail}"),
            )
        };
        if plan.compares_whole_rows(&objects) && !plan.is_empty() {
            let found: Option<(u64, String)> = session
                .conn
                .query_first(plan.row_sum_sql(table))
                .await
                .map_err(|error| cannot_sum(&what, &error))?;
            let (rows, text) = found.unwrap_or_default();
            let sum = ComparePlan::row_sum(&text)
                .ok_or_else(|| unreadable(format!("{text:?} is no sum")))?;
            if let RowSum { unreadable_rows: 1.., .. } = sum {
                let detail =
                    format!("{} rows are longer than its max_allowed_packet", sum.unreadable_rows);
                return Err(unreadable(detail)
                    .with_hint("raise max_allowed_packet on the server, or leave out --verify"));
            }
            if (rows, sum.sum) == (objects.rows(), objects.row_sum()) {
                return Ok(plan.verified(&objects));
            }
            let columns = self.differing(session, job, plan, &objects).await?.1;
            let where_it_is = if columns.is_empty() {
                "the sum of each column is right: values have changed places between rows"
                    .to_owned()
            } else {
                format!("columns that differ: {}", columns.join(", "))
            };
            let found = format!("{rows} rows with checksum {:x}", sum.sum);
            let expected = format!("{} rows with checksum {:x}", objects.rows(), objects.row_sum());
            return Err(self.differs(job, &found, &expected, &where_it_is));
        }
        let (rows, columns) = self.differing(session, job, plan, &objects).await?;
        if rows == objects.rows() && columns.is_empty() {
            return Ok(plan.verified(&objects));
        }
        let where_it_is = format!("columns that differ: {}", columns.join(", "));
        Err(self.differs(
            job,
            &format!("{rows} rows"),
            &format!("{} rows", objects.rows()),
            &where_it_is,
        ))
    }

    /// Returns the number of rows in the table, and the names of the compared columns that differ.
    async fn differing<'plan>(
        &self,
        session: &mut Session,
        job: &Job,
        plan: &'plan ComparePlan,
        objects: &Digest,
    ) -> Result<(u64, Vec<&'plan str>)> {
        let what = format!("table {}", job.load_into);
        let found: Option<Row> = session
            .conn
            .query_first(plan.column_sums_sql(&job.load_into))
            .await
            .map_err(|error| cannot_sum(&what, &error))?;
        let mut values = found.map(Row::unwrap).unwrap_or_default().into_iter();
        let mut next =
            || values.next().and_then(|value| mysql_async::from_value_opt::<String>(value).ok());
        let rows = next().and_then(|text| text.parse().ok());
        let mut sums = Vec::new();
        while let Some(text) = next() {
            sums.extend(ComparePlan::column_sum(&text));
        }
        let rows: u64 = rows.ok_or_else(|| {
            Error::new(ErrorKind::TargetRefused, format!("{what}: the server returned no sums"))
        })?;
        Ok((rows, plan.differing(objects, &sums)))
    }

    fn differs(&self, job: &Job, found: &str, expected: &str, where_it_is: &str) -> Error {
        let table = &job.load_into;
        let swapped = if *table == self.target.name() { "" } else { ", and is not swapped" };
        let message = format!(
            "table {}: {table} does not hold what the objects hold{swapped}: it has {found}, the \
             objects have {expected}; {where_it_is}",
            self.target.name()
        );
        Error::new(ErrorKind::ChecksumDiffers, message).with_hint(
            "another client or a trigger may have changed the table. The job has not ended: \
             --force starts it over, and loads everything again",
        )
    }

    /// Adds up the sums of the job's objects as they arrive: there may be very many.
    async fn objects(
        &self,
        session: &mut Session,
        job: &Job,
        plan: &ComparePlan,
    ) -> Result<ObjectDigests> {
        let title = self.tables.title();
        let sql = format!(
            "SELECT content_digest, CONVERT(CONCAT('s3://', bucket, '/', object_key) USING \
             utf8mb4) \
             FROM {} \
             WHERE target = {} AND generation = {} AND state = 'loaded'",
            self.tables.objects,
            self.target.literal(),
            job.generation
        );
        let mut objects =
            ObjectDigests { digest: plan.no_rows(), unsummed: 0, example: String::new() };
        let each = |(digest, object): (Option<Vec<u8>>, Option<String>)| {
            let digest = digest.and_then(|bytes| Digest::from_bytes(&bytes));
            if !digest.is_some_and(|digest| objects.digest.add(&digest)) {
                objects.unsummed += 1;
                if objects.example.is_empty() {
                    objects.example = object.unwrap_or_default();
                }
            }
        };
        session
            .conn
            .query_each(&sql, each)
            .await
            .map_err(|error| classify(Phase::Transaction, &title, &error))?;
        Ok(objects)
    }

    fn ensure_summed(&self, objects: &ObjectDigests) -> Result<()> {
        if objects.unsummed == 0 {
            return Ok(());
        }
        let message = format!(
            "table {}: it cannot be verified: {} objects of this job were loaded without --verify \
             checksum, or before the table was altered, such as {}",
            self.target.name(),
            objects.unsummed,
            objects.example
        );
        Err(Error::new(ErrorKind::ChecksumMissing, message)
            .with_hint("start the job over with --force, or end it without --verify"))
    }
}

fn cannot_sum(what: &str, error: &mysql_async::Error) -> Error {
    let error = classify(Phase::Transaction, &format!("{what}: computing its checksum"), error);
    if error.kind == ErrorKind::StatementFailed {
        error.as_kind(ErrorKind::TargetRefused)
    } else {
        error
    }
}
