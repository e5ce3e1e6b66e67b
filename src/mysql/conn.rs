//! One connection: the driver's, with every wait bounded, every answer checked, and no panic let
//! through.
//!
//! The rest of the program does not use the driver's connection itself.
//!
//! - **Waits.** A statement has no time limit while the server works on it: an ALTER TABLE may take
//!   hours, and a lock may take its time. What is bounded is the time that a server is silent; see
//!   [`Watch`].
//! - **Answers.** An answer has a limit, whether its rows are kept or dropped; only a query that
//!   passes on its rows one by one may have any number of them. Rows are converted by functions
//!   that return an error. A row with other columns
//!   than asked for, or with a text that is not UTF-8, is an error of the statement.
//! - **Panics.** A panic inside the driver, which reads what a server sends, is an error of this
//!   connection.

use std::borrow::Cow;
use std::sync::Arc;

use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{DriverError, Error as Driver, InfileData, Row, Value};

use super::watch::{Watch, unless_panicked};

/// The limit on the rows of an answer. The longest is that to SHOW WARNINGS: 65,535
/// messages of up to 512 characters, which take some 50 MiB if the messages are of ordinary length.
const ANSWER_LIMIT_BYTES: usize = 256 * 1024 * 1024;

/// The limit on the answers to one packet, each of which can say that another one follows. The
/// program sends some ten statements in one packet, and `--init-sql` perhaps more.
const ANSWERS_LIMIT: usize = 1000;

/// One connection. After any error that is not the server's own answer, it must not be used again.
#[derive(Debug)]
pub struct Conn {
    driver: mysql_async::Conn,
    /// `None` for a connection that somebody else has made, whose waits are not bounded.
    watch: Option<Arc<Watch>>,
    /// The statement that has pinned the session's variables.
    pub(super) pinned_by: Option<String>,
    /// True if the rest of an answer was not read. The driver would read it to its end before it
    /// sends another statement, and it may have none.
    is_given_up: bool,
}

impl From<mysql_async::Conn> for Conn {
    fn from(driver: mysql_async::Conn) -> Self {
        Self { driver, watch: None, pinned_by: None, is_given_up: false }
    }
}

impl Conn {
    pub(super) fn watched(driver: mysql_async::Conn, watch: Arc<Watch>) -> Self {
        Self { driver, watch: Some(watch), pinned_by: None, is_given_up: false }
    }

    /// Replaces the watch by one that knows more about the server.
    pub(super) fn watch_with(&mut self, watch: Arc<Watch>) {
        self.watch = Some(watch);
    }

    /// Runs statements and drops their rows.
    ///
    /// # Errors
    /// The errors of the driver. `TimedOut` if the server has fallen silent.
    pub async fn query_drop<Q: AsRef<str>>(&mut self, sql: Q) -> mysql_async::Result<()> {
        self.read(sql.as_ref(), ANSWER_LIMIT_BYTES, |_, _| ()).await.map(|_| ())
    }

    /// Runs a query and returns its rows.
    ///
    /// # Errors
    /// The errors of [`Conn::query_drop`]. `FromRow` if the rows are not what was asked for.
    pub async fn query<T: FromRow, Q: AsRef<str>>(
        &mut self,
        sql: Q,
    ) -> mysql_async::Result<Vec<T>> {
        self.query_sets(sql.as_ref()).await?.next_rows()
    }

    /// Runs a query and returns its first row.
    ///
    /// # Errors
    /// The errors of [`Conn::query`].
    pub async fn query_first<T: FromRow, Q: AsRef<str>>(
        &mut self,
        sql: Q,
    ) -> mysql_async::Result<Option<T>> {
        let mut first = None;
        let keep_first = |number: usize, row| {
            if number == 0 && first.is_none() {
                first = Some(row);
            }
        };
        self.read(sql.as_ref(), ANSWER_LIMIT_BYTES, keep_first).await?;
        first.map(typed_row).transpose()
    }

    /// Runs statements and returns the answer to each.
    ///
    /// # Errors
    /// The errors of [`Conn::query_drop`].
    pub(crate) async fn query_answers(&mut self, sql: &str) -> mysql_async::Result<Vec<Answer>> {
        let mut sets: Vec<Vec<Row>> = Vec::new();
        let keep = |number: usize, row| {
            sets.resize_with(number + 1, Vec::new);
            sets[number].push(row);
        };
        let changed = self.read(sql, ANSWER_LIMIT_BYTES, keep).await?;
        sets.resize_with(changed.len(), Vec::new);
        Ok(changed.into_iter().zip(sets).collect())
    }

    /// Runs statements and returns the result set of each.
    ///
    /// # Errors
    /// The errors of [`Conn::query_drop`].
    pub(crate) async fn query_sets(&mut self, sql: &str) -> mysql_async::Result<ResultSets> {
        Ok(ResultSets(self.query_answers(sql).await?.into_iter()))
    }

    /// Runs a query and passes on its rows, of which there may be more than fit in memory.
    ///
    /// # Errors
    /// The errors of [`Conn::query`].
    pub(crate) async fn query_each<T: FromRow>(
        &mut self,
        sql: &str,
        mut each: impl FnMut(T) + Send,
    ) -> mysql_async::Result<()> {
        let mut unexpected = None;
        let pass_on = |number: usize, row| match typed_row(row) {
            _ if number > 0 => {}
            Ok(row) => each(row),
            Err(error) => unexpected = Some(error),
        };
        self.read(sql, usize::MAX, pass_on).await?;
        unexpected.map_or(Ok(()), Err)
    }

    /// Runs statements, passes on each row of their answers with the number of the answer, and
    /// returns how many rows each of them changed.
    ///
    /// # Errors
    /// The errors of [`Conn::query_drop`]. `Other` for more than `limit_bytes` of rows, or more
    /// answers than the program ever asks for.
    async fn read(
        &mut self,
        sql: &str,
        limit_bytes: usize,
        mut each: impl FnMut(usize, Row) + Send,
    ) -> mysql_async::Result<Vec<u64>> {
        let Self { driver, watch, is_given_up, .. } = self;
        if *is_given_up {
            return Err(std::io::Error::other("an earlier answer of the server had no end").into());
        }
        let id = driver.id();
        // Boxed, because the driver's futures are large and these are part of many others.
        let asking = Box::pin(async {
            let mut results = driver.query_iter(sql).await?;
            let mut changed = Vec::new();
            let mut bytes = 0;
            loop {
                if changed.len() == ANSWERS_LIMIT {
                    *is_given_up = true;
                    return Err(too_many_answers());
                }
                let number = changed.len();
                // Each statement's count is there until the next one's answer is read.
                changed.push(results.affected_rows());
                while let Some(row) = results.next().await? {
                    bytes += size_of_row(&row);
                    if bytes > limit_bytes {
                        *is_given_up = true;
                        return Err(too_large());
                    }
                    each(number, row);
                }
                if results.is_empty() {
                    results.drop_result().await?;
                    return Ok(changed);
                }
            }
        });
        bounded(watch.as_deref(), id, asking).await
    }

    /// Returns the number of rows that the last statement changed.
    #[must_use]
    pub fn affected_rows(&self) -> u64 {
        self.driver.affected_rows()
    }

    /// Returns the size of the longest packet that the server takes.
    pub(crate) fn max_packet_bytes(&self) -> usize {
        self.driver.opts().max_allowed_packet().unwrap_or(usize::MAX)
    }

    pub(crate) fn info(&self) -> Cow<'_, str> {
        self.driver.info()
    }

    pub(super) fn id(&self) -> u32 {
        self.driver.id()
    }

    /// Sets the bytes that the next statement gets if it asks for a file.
    pub fn set_infile_handler<T>(&mut self, handler: T)
    where
        T: Future<Output = mysql_async::Result<InfileData>> + Send + Sync + 'static,
    {
        self.driver.set_infile_handler(handler);
    }

    /// Says goodbye and closes the socket. The caller bounds the time.
    pub(crate) async fn disconnect(self) -> mysql_async::Result<()> {
        Box::pin(unless_panicked(self.driver.disconnect())).await
    }
}

/// Waits for the driver's `work` on connection `id`, for as long as the server works on it too.
async fn bounded<T>(
    watch: Option<&Watch>,
    id: u32,
    work: impl Future<Output = mysql_async::Result<T>>,
) -> mysql_async::Result<T> {
    let work = std::pin::pin!(unless_panicked(work));
    match watch {
        Some(watch) => watch.while_working(id, work).await,
        None => work.await,
    }
}

/// The answer to one of several statements: the number of rows that it changed, and its rows.
pub(crate) type Answer = (u64, Vec<Row>);

/// The result sets of several statements, in order. A statement without rows has an empty one.
pub(crate) struct ResultSets(std::vec::IntoIter<Answer>);

impl ResultSets {
    /// Returns the rows of the next result set.
    pub(crate) fn next_rows<T: FromRow>(&mut self) -> mysql_async::Result<Vec<T>> {
        typed(self.0.next().map(|(_, rows)| rows).unwrap_or_default())
    }

    /// Returns the rows of the next result set. Each must have this number of columns, and text
    /// that is UTF-8.
    pub(crate) fn next_rows_of(&mut self, columns: usize) -> mysql_async::Result<Vec<Row>> {
        let is_sound = |row: &Row| {
            row.len() == columns
                && (0..columns).all(|at| match row.as_ref(at) {
                    Some(Value::Bytes(text)) => std::str::from_utf8(text).is_ok(),
                    _ => true,
                })
        };
        let rows: Vec<Row> = self.next_rows()?;
        match rows.iter().position(|row| !is_sound(row)) {
            None => Ok(rows),
            Some(at) => Err(Driver::Driver(DriverError::FromRow { row: rows[at].clone() })),
        }
    }

    /// Skips the first `sets` result sets.
    pub(crate) fn skip(mut self, sets: usize) -> Self {
        self.0.by_ref().take(sets).for_each(drop);
        self
    }
}

/// Returns the memory that a row takes.
fn size_of_row(row: &Row) -> usize {
    let text_bytes = |at| match row.as_ref(at) {
        Some(Value::Bytes(text)) => text.len(),
        _ => 0,
    };
    let values: usize = (0..row.len()).map(|at| text_bytes(at) + size_of::<Value>()).sum();
    size_of::<Row>() + values
}

fn too_large() -> Driver {
    let message = format!(
        "the server's answer is larger than {} MiB, which no answer to this program needs",
        ANSWER_LIMIT_BYTES / (1024 * 1024)
    );
    std::io::Error::other(message).into()
}

fn too_many_answers() -> Driver {
    let message = format!(
        "the server's answer has more than {ANSWERS_LIMIT} parts, which no answer to this program \
         needs"
    );
    std::io::Error::other(message).into()
}

fn typed<T: FromRow>(rows: Vec<Row>) -> mysql_async::Result<Vec<T>> {
    rows.into_iter().map(typed_row).collect()
}

fn typed_row<T: FromRow>(row: Row) -> mysql_async::Result<T> {
    T::from_row_opt(row).map_err(|error| Driver::Driver(DriverError::FromRow { row: error.0 }))
}
