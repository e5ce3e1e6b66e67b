//! From the private table to the target, and which rows the target refuses.
//!
//! `INSERT IGNORE INTO target SELECT ... FROM scratch ORDER BY its number` does to each row what
//! LOAD DATA LOCAL does: stores it, or skips it and warns, for the same reasons, in the same order
//! and in the same words. No such warning says which row it is about. So the SELECT has a condition
//! that is true and warns as well: `CAST(CONCAT('row ', number) AS SIGNED) = 0`. The rows pass one
//! by one, each is read before it is written, and so the list of warnings reads: row 1, row 2, row
//! 3, duplicate entry, row 4. The row before a refusal is the refused one ([`marks`]).
//!
//! That is the server's own judgement of each row, with all that was stored before it in place:
//! keys with any collation, prefix or expression, CHECKs, foreign keys, partitions, views,
//! triggers. There is no model of them here that could be wrong.
//!
//! # Why a row is not blamed for another
//!
//! Before a list is believed it must be whole, the marks must be those of all rows in their order,
//! and the refusals as many as the rows that the server did not store. Otherwise the statement is
//! undone and repeated in halves, down to single rows, which need no mark. A plan that collects the
//! rows before it writes them would put all marks first: rows go one by one then, which is slow,
//! and also where the plan may not be seen (of a view, without the privilege SHOW VIEW).
//!
//! # What it costs
//!
//! Two warnings for a refused row must fit into `max_error_count`, which is 1024 by default on
//! MySQL: statements of 512 rows then.

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error as Driver, ServerError};

use super::insert_stats::{DryRunRow, InsertStats, OnConflict, RowNumberRange};
use super::row_markers;
use super::row_markers::{InsertCounts, Marked};
use super::scratch_table::{Numbers, ScratchTable};
use crate::error::{Error, ErrorKind, Result};
use crate::load_data::show;
use crate::object::quote_identifier;

/// Rows of one statement, where `max_error_count` lets it have them: more are not faster, and
/// repeated for nothing.
const ROWS_LIMIT: u64 = 4096;
/// Warnings that are about no row: deprecated syntax, statements that are unsafe to replicate.
const OTHER_WARNINGS: u64 = 4;
const SAVEPOINT: &str = "s3_to_mysql_insertion";

/// What LOAD DATA would not store now of the rows of `table`, and what else would be said of them;
/// with rows whose key is there already if `duplicates`. Nothing stays in the target.
///
/// # Errors
/// As [`ScratchTable::insert_into`].
pub async fn dry_run_insert(
    conn: &mut Conn,
    table: &ScratchTable,
    duplicates: bool,
) -> Result<InsertStats> {
    const FORESIGHT: &str = "s3_to_mysql_foresight";
    let failed = |error: Driver| table.failed(&error);
    conn.query_drop(format!("SAVEPOINT {FORESIGHT}")).await.map_err(failed)?;
    let mut inserted = table.insert_into(conn, OnConflict::Skip).await?;
    conn.query_drop(format!("ROLLBACK TO SAVEPOINT {FORESIGHT}")).await.map_err(failed)?;
    conn.query_drop(format!("RELEASE SAVEPOINT {FORESIGHT}")).await.map_err(failed)?;
    inserted.rejected.retain(|row| duplicates || !row_markers::is_duplicate(row.code));
    Ok(inserted)
}

/// How one statement ended.
enum StatementResult {
    Proven {
        counts: InsertCounts,
        rejected: Vec<DryRunRow>,
        warnings: Vec<DryRunRow>,
    },
    /// It has no row to blame, or failed as a whole, and must be undone.
    Unproven(Option<ServerError>),
}

impl ScratchTable {
    /// Takes all rows to the target, in the open transaction and in their order.
    ///
    /// # Errors
    /// `TargetRefused` where the server can't tell rows apart (`max_error_count` is less than 6),
    /// `CountMismatch` where the rows can't be numbered, otherwise what an INSERT can meet. Part of
    /// the rows may be in the target then: the caller rolls back, to a savepoint of its own or
    /// altogether. The same holds if this is dropped half-way.
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

        // The next piece last.
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
                // Also LOAD DATA would fail at this row.
                Some(error) => inserted.rejected.push(DryRunRow {
                    row: first,
                    code: error.code,
                    level: "Error".to_owned(),
                    reason: error.message,
                    column: None,
                }),
                None => {
                    return Err(self
                        .unable(&format!("what became of row {first} is in none of its counts")));
                }
            }
        }
        conn.query_drop(format!("RELEASE SAVEPOINT {SAVEPOINT}")).await.map_err(failed)?;
        Ok(inserted)
    }

    /// The statement that takes rows to the target, with not a row.
    ///
    /// # Errors
    /// Whatever the server has against it.
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
            // Data exceptions, constraints, SIGNAL; nothing that is only a matter of time or space.
            Err(Driver::Server(error))
                if error.code == 1644
                    || ["22", "23"].iter().any(|class| error.state.starts_with(class)) =>
            {
                return Ok(StatementResult::Unproven(Some(error)));
            }
            Err(error) => return Err(self.failed(&error)),
        }
        let Some(counts) = InsertCounts::parse(&conn.info(), conn.affected_rows()) else {
            return Err(
                self.unable(&format!("the server's counts can't be read: {:?}", conn.info()))
            );
        };
        let rows = piece.1 - piece.0 + 1;
        let (new, changed) = counts.stored(on_conflict);
        // The marks alone, and every row stored: nothing else can be in the list.
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
            return Err(self.unable("not one of its columns is loaded"));
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
            // By VALUES(), which MySQL calls deprecated: of its newer alias MariaDB knows nothing.
            let set: Vec<String> = columns
                .iter()
                .map(|name| quote_identifier(name))
                .map(|column| format!("{}.{column} = VALUES({column})", self.target))
                .collect();
            // Something must stand there.
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

    /// Whether each row is written before the next is read. Otherwise all marks come before the
    /// first refusal.
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
                // The target is a view, and the account lacks SHOW VIEW: then nobody knows.
                Err(Driver::Server(error)) if error.code == 1345 => return Ok(false),
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
        let message = format!(
            "table {}: the server can't be asked which rows it refuses: {why}",
            self.target
        );
        Error::new(ErrorKind::TargetRefused, message)
    }
}
