//! Inserts the rows of the scratch table into the target, and finds the rows that the target
//! refuses.
//!
//! `INSERT IGNORE INTO target SELECT ... FROM scratch ORDER BY its number` does to each row what
//! LOAD DATA LOCAL does: it stores the row, or skips it and warns, for the same reasons, in the
//! same order and in the same words. No such warning names its row. Therefore the SELECT has a
//! condition that is true and also warns:
//! `CAST(CONCAT('s3-to-mysql row ', number) AS SIGNED) = 0`. The rows pass one by one, and the
//! server reads each row before it writes it. So the list of warnings reads: row 1, row 2, row 3,
//! duplicate entry, row 4. The last row marked before a refusal is the refused one
//! ([`row_markers`]).
//!
//! This is the server's own verdict on each row, with all rows stored before it in place: keys with
//! any collation, prefix or expression, CHECKs, foreign keys, partitions, views, triggers. There is
//! no model of them here that could be wrong.
//!
//! # Why a row is not blamed for another
//!
//! A list is believed only if it is complete, has the marks of all rows in their order, and has as
//! many refusals as there are rows that the server did not store. Otherwise the statement is rolled
//! back and repeated in halves, down to single rows, which need no mark. A plan that collects the
//! rows before it writes them would put all marks first. Under such a plan the rows go one by one,
//! which is slow. The same holds if the plan is hidden (for a view, without the SHOW VIEW
//! privilege).
//!
//! # What it costs
//!
//! Two warnings for a refused row must fit into `max_error_count`. Its default on MySQL is 1024,
//! which allows statements of about 512 rows.

use mysql_async::{Error as Driver, ServerError};

use super::insert_stats::{InsertStats, OnConflict, RowNumberRange};
use super::row_markers;
use super::row_markers::{InsertCounts, Marked};
use super::scratch_table::{Numbers, ScratchTable};
use crate::error::{Error, ErrorKind, Result};
use crate::load_data::{Diagnostic, show};
use crate::mysql::{Conn, codes};
use crate::sql_text::quote_identifier;

/// The maximum number of rows in one statement, if `max_error_count` allows it. Longer statements
/// are not faster, and cost more when they are repeated.
const ROWS_LIMIT: u64 = 4096;
/// Room for warnings about the statement itself: deprecated syntax, statements that are unsafe to
/// replicate.
const OTHER_WARNINGS: u64 = 4;
const SAVEPOINT: &str = "s3_to_mysql_insertion";

/// Returns the rows of `table` that LOAD DATA would not store now, and all other warnings about
/// them. Includes rows whose key exists already if `duplicates` is true. Nothing stays in the
/// target.
///
/// # Errors
/// The errors of [`ScratchTable::insert_into`].
pub async fn dry_run_insert(
    conn: &mut Conn,
    table: &ScratchTable,
    duplicates: bool,
) -> Result<InsertStats> {
    const DRY_RUN: &str = "s3_to_mysql_dry_run";
    let failed = |error: Driver| table.failed(&error);
    conn.query_drop(format!("SAVEPOINT {DRY_RUN}")).await.map_err(failed)?;
    let mut inserted = table.insert_into(conn, OnConflict::Skip).await?;
    conn.query_drop(format!("ROLLBACK TO SAVEPOINT {DRY_RUN}")).await.map_err(failed)?;
    conn.query_drop(format!("RELEASE SAVEPOINT {DRY_RUN}")).await.map_err(failed)?;
    inserted.rejected.retain(|row| duplicates || !codes::is_duplicate(row.code));
    Ok(inserted)
}

/// The result of one statement.
enum StatementResult {
    Proven {
        counts: InsertCounts,
        rejected: Vec<Diagnostic>,
        warnings: Vec<Diagnostic>,
    },
    /// The statement proves nothing about single rows, or failed as a whole. It must be rolled
    /// back.
    Unproven(Option<ServerError>),
}

impl ScratchTable {
    /// Inserts all rows into the target, in order, within the open transaction.
    ///
    /// # Errors
    /// `TargetRefused` if the server cannot tell rows apart (`max_error_count` is less than 6),
    /// `CountMismatch` if the rows cannot be numbered, otherwise what an INSERT can fail with. Some
    /// of the rows may be in the target then: the caller rolls back, to its own savepoint or
    /// completely. The same holds if this future is dropped.
    pub async fn insert_into(
        &self,
        conn: &mut Conn,
        on_conflict: OnConflict<'_>,
    ) -> Result<InsertStats> {
        let numbers = self.numbers(conn).await?;
        let mut inserted = InsertStats { rows: numbers.rows, ..InsertStats::default() };
        if numbers.rows == 0 {
            return Ok(inserted);
        }
        let failed = |error: Driver| self.failed(&error);
        let limit: Option<u64> =
            conn.query_first("SELECT @@SESSION.max_error_count").await.map_err(failed)?;
        let limit = limit.unwrap_or(0);
        let mut rows_per_statement = (limit.saturating_sub(OTHER_WARNINGS) / 2).min(ROWS_LIMIT);
        if rows_per_statement == 0 {
            return Err(self.unable(&format!("max_error_count is {limit}")));
        }
        if !self.plan_streams_rows(conn, on_conflict, numbers).await? {
            rows_per_statement = 1;
        }

        // In reverse order: the next piece is the last.
        let mut pieces: Vec<RowNumberRange> = (0..numbers.rows.div_ceil(rows_per_statement))
            .map(|index| {
                let first = index * rows_per_statement + 1;
                (first, numbers.rows.min(first + rows_per_statement - 1))
            })
            .rev()
            .collect();
        while let Some(piece) = pieces.pop() {
            conn.query_drop(format!("SAVEPOINT {SAVEPOINT}")).await.map_err(failed)?;
            let error = match self.insert(conn, on_conflict, numbers, piece, limit).await? {
                StatementResult::Proven { counts, rejected, warnings } => {
                    let (new, changed) = counts.stored(on_conflict);
                    inserted.inserted += new;
                    inserted.updated += changed;
                    inserted.rejected.extend(rejected);
                    inserted.warnings.extend(warnings);
                    continue;
                }
                StatementResult::Unproven(error) => error,
            };
            conn.query_drop(format!("ROLLBACK TO SAVEPOINT {SAVEPOINT}")).await.map_err(failed)?;
            let (first, last) = piece;
            if first < last {
                let middle = first + (last - first) / 2;
                pieces.extend([(middle + 1, last), (first, middle)]);
                continue;
            }
            match error {
                // LOAD DATA would fail at this row too.
                Some(error) => inserted.rejected.push(Diagnostic {
                    level: "Error".to_owned(),
                    code: error.code,
                    message: error.message,
                    row: Some(first),
                    is_misnumbered: false,
                    column: None,
                }),
                None => {
                    return Err(self.unable(&format!("its counts do not explain row {first}")));
                }
            }
        }
        conn.query_drop(format!("RELEASE SAVEPOINT {SAVEPOINT}")).await.map_err(failed)?;
        Ok(inserted)
    }

    /// Runs the statement that inserts into the target, without any row.
    ///
    /// # Errors
    /// The server's error, if it refuses the statement.
    pub(crate) async fn rehearse(
        &self,
        conn: &mut Conn,
        on_conflict: OnConflict<'_>,
    ) -> Result<()> {
        let sql = self.insert_sql(on_conflict, Numbers { first: 1, step: 1, rows: 1 }, (1, 1))?;
        conn.query_drop(sql).await.map_err(|error| self.failed(&error))
    }

    async fn insert(
        &self,
        conn: &mut Conn,
        on_conflict: OnConflict<'_>,
        numbers: Numbers,
        piece: RowNumberRange,
        limit: u64,
    ) -> Result<StatementResult> {
        match conn.query_drop(self.insert_sql(on_conflict, numbers, piece)?).await {
            Ok(()) => {}
            // Data exceptions, constraints and SIGNAL. An error that is only a matter of time or
            // space is not among them.
            Err(Driver::Server(error))
                if error.code == codes::SIGNAL
                    || ["22", "23"].iter().any(|class| error.state.starts_with(class)) =>
            {
                return Ok(StatementResult::Unproven(Some(error)));
            }
            Err(error) => return Err(self.failed(&error)),
        }
        let Some(counts) = InsertCounts::parse(&conn.info(), conn.affected_rows()) else {
            return Err(self.unable(&format!("its counts cannot be parsed: {:?}", conn.info())));
        };
        let rows = piece.1 - piece.0 + 1;
        let (new, changed) = counts.stored(on_conflict);
        // All warnings are marks, and every row is stored: the list cannot contain anything else.
        if counts.warnings == rows && new + changed == rows {
            return Ok(StatementResult::Proven {
                counts,
                rejected: Vec::new(),
                warnings: Vec::new(),
            });
        }
        if counts.warnings > limit {
            return Ok(StatementResult::Unproven(None));
        }
        let shown = show(conn).await.map_err(|error| self.failed(&error))?;
        let Marked { rejected, warnings, is_whole } = Marked::read(shown, numbers, piece);
        Ok(if (is_whole || rows == 1) && counts.agree(on_conflict, rows, rejected.len() as u64) {
            StatementResult::Proven { counts, rejected, warnings }
        } else {
            StatementResult::Unproven(None)
        })
    }

    fn insert_sql(
        &self,
        on_conflict: OnConflict<'_>,
        numbers: Numbers,
        (first, last): RowNumberRange,
    ) -> Result<String> {
        let (Some(first), Some(last)) = (numbers.of(first), numbers.of(last)) else {
            return Err(self.unable("its rows have run out of numbers"));
        };
        let columns: Vec<String> =
            self.insert_columns().iter().map(|name| quote_identifier(name)).collect();
        let Some(some_column) = columns.first() else {
            return Err(self.unable("none of its columns is loaded"));
        };
        let values: Vec<String> = columns.iter().map(|column| format!("r.{column}")).collect();
        let (into, values) = (columns.join(", "), values.join(", "));
        let number = self.number();
        let mut sql = format!(
            "INSERT IGNORE INTO {} ({into}) SELECT {values} FROM {} AS r FORCE INDEX (PRIMARY) \
             WHERE r.{number} BETWEEN {first} AND {last} AND {} ORDER BY r.{number}",
            self.target,
            self.table(),
            row_markers::condition(&format!("r.{number}")),
        );
        if let OnConflict::Update(columns) = on_conflict {
            // MySQL deprecates VALUES(), but MariaDB does not know MySQL's newer alias.
            let set: Vec<String> = columns
                .iter()
                .map(|name| quote_identifier(name))
                .map(|column| format!("{}.{column} = VALUES({column})", self.target))
                .collect();
            // The clause must not be empty.
            let set = if set.is_empty() {
                format!("{0}.{some_column} = {0}.{some_column}", self.target)
            } else {
                set.join(", ")
            };
            sql.push_str(" ON DUPLICATE KEY UPDATE ");
            sql.push_str(&set);
        }
        Ok(sql)
    }

    /// Returns true if each row is written before the next is read. Otherwise all marks come before
    /// the first refusal.
    async fn plan_streams_rows(
        &self,
        conn: &mut Conn,
        on_conflict: OnConflict<'_>,
        numbers: Numbers,
    ) -> Result<bool> {
        let sql = self.insert_sql(on_conflict, numbers, (1, numbers.rows))?;
        let plan: Vec<mysql_async::Row> =
            match conn.query(format!("EXPLAIN FORMAT=TRADITIONAL {sql}")).await {
                Ok(plan) => plan,
                // The target is a view, and the account lacks SHOW VIEW: the plan stays unknown.
                Err(Driver::Server(error)) if error.code == codes::VIEW_NOT_EXPLAINED => {
                    return Ok(false);
                }
                Err(error) => return Err(self.failed(&error)),
            };
        let collects = |step: &mysql_async::Row| {
            let extra: Option<Option<String>> =
                step.get_opt("Extra").and_then(std::result::Result::ok);
            extra
                .flatten()
                .is_some_and(|extra| extra.contains("temporary") || extra.contains("filesort"))
        };
        Ok(!plan.is_empty() && !plan.iter().any(collects))
    }

    fn unable(&self, why: &str) -> Error {
        let message =
            format!("table {}: the server cannot tell which rows it refuses: {why}", self.target);
        Error::new(ErrorKind::TargetRefused, message)
    }
}
