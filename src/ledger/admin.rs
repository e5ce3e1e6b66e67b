//! Reads and corrects a ledger from outside a run, for `status`, `forget` and `ack`.
//!
//! It uses one session of its own and creates no tables: a ledger that does not exist has no rows.

use mysql_async::prelude::FromValue;
use mysql_async::{Error as Driver, Row};

use super::identity::Target;
use super::options::AdminOptions;
use super::schema::{ACKS, Tables};
use crate::error::{Error, ErrorKind, Result};
use crate::mysql::codes::{COLUMN_ACCESS_DENIED, TABLE_ACCESS_DENIED};
use crate::mysql::{Connector, Phase, Session, SqlMode, classify, describe_tables, missing_table};
use crate::sql_text::TableName;

/// The ledger's data for one target.
#[derive(Debug)]
pub struct LedgerAdmin {
    session: Session,
    pub(crate) tables: Tables,
    pub(crate) target: Target,
    /// True if the target exists, and the account can see it.
    is_target_there: bool,
    /// The suffixes of the tables that exist.
    present: Vec<&'static str>,
}

impl LedgerAdmin {
    /// Connects, reads the server's spelling of the target's name, and checks which tables exist.
    ///
    /// # Errors
    /// Any error of connecting. `TargetRefused` if a table is not a ledger's, or has another
    /// version.
    pub async fn open(options: &AdminOptions<'_>) -> Result<Self> {
        let mut connector = Connector::new(options.target, options.timeouts)?;
        let (conn, server) = connector.probe().await?;
        let mut session = connector.pool(&server, SqlMode::Strict, 1).adopt(conn).await?;
        let (target, is_target_there) = target(&mut session, options).await?;
        let Some(stem) = &options.ledger.table else {
            return Err(Error::new(ErrorKind::Bug, "a ledger is needed, but none is named"));
        };
        let tables = Tables::new(stem, &target.database);
        let present = tables.present(&mut session).await?;
        Ok(Self { session, tables, target, is_target_there, present })
    }

    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Returns the prefix of the ledger's table names, with their database.
    #[must_use]
    pub fn ledger(&self) -> TableName {
        TableName { database: Some(self.tables.database.clone()), table: self.tables.stem.clone() }
    }

    /// Returns the targets that the ledger knows, in the order of their names.
    ///
    /// # Errors
    /// Any error of a query. Do not use the connection after that.
    pub async fn targets(&mut self) -> Result<Vec<Target>> {
        let tables = [
            ("jobs", &self.tables.jobs),
            ("objects", &self.tables.objects),
            ("failures", &self.tables.failures),
            ("runs", &self.tables.runs),
        ];
        // The target is the first column of a key, so the server reads one row for each.
        let queries: Vec<String> = tables
            .iter()
            .filter(|(suffix, _)| self.has(suffix))
            .map(|(_, table)| format!("SELECT DISTINCT target FROM {table}"))
            .collect();
        if queries.is_empty() {
            return Ok(Vec::new());
        }
        let mut targets = Vec::new();
        for mut fields in self.rows(&format!("{} ORDER BY target", queries.join(" UNION "))).await?
        {
            let text = fields.text("target")?;
            // A name that cannot be parsed is not one that this program has written.
            if let Ok(TableName { database: Some(database), table }) = text.parse() {
                targets.push(Target { database, table });
            }
        }
        Ok(targets)
    }

    /// Goes on with another target of the same ledger.
    pub fn turn_to(&mut self, target: Target) {
        self.target = target;
    }

    /// Returns an error if the target does not exist, or the account cannot see it.
    pub async fn missing_target(&mut self) -> Option<Error> {
        if self.is_target_there {
            return None;
        }
        let database = self.target.database.clone();
        Some(missing_table(&mut self.session.conn, &self.target.name(), &database).await)
    }

    /// Returns true if this account can see a ledger.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.present.iter().any(|suffix| *suffix != ACKS)
    }

    /// Creates the table of acknowledgements if it is missing.
    pub(crate) async fn ensure_acks(&mut self) -> Result<()> {
        if !self.has(ACKS) {
            self.tables.create_acks(&mut self.session).await?;
            self.present.push(ACKS);
        }
        Ok(())
    }

    /// Returns true if the table with this suffix exists.
    pub(crate) fn has(&self, suffix: &str) -> bool {
        self.present.contains(&suffix)
    }

    pub async fn close(self) {
        self.session.close().await;
    }

    /// Closes the connection after an error, which rolls back its transaction.
    pub async fn destroy(self) {
        self.session.destroy().await;
    }

    pub(crate) async fn rows(&mut self, sql: &str) -> Result<Vec<NamedRow>> {
        let rows = self.session.conn.query::<Row, _>(sql).await;
        let rows = rows.map_err(|error| self.query_failed(&error))?;
        Ok(rows.into_iter().map(|row| NamedRow { row, ledger: self.tables.title() }).collect())
    }

    /// Runs the statement and returns the number of rows that it changed.
    pub(crate) async fn change(&mut self, sql: &str) -> Result<u64> {
        self.session.conn.query_drop(sql).await.map_err(|error| self.query_failed(&error))?;
        Ok(self.session.conn.affected_rows())
    }

    fn query_failed(&self, error: &Driver) -> Error {
        let is_denied = matches!(
            error,
            Driver::Server(server)
                if matches!(server.code, TABLE_ACCESS_DENIED | COLUMN_ACCESS_DENIED)
        );
        let error = classify(Phase::Transaction, &self.tables.title(), error);
        if is_denied {
            error.with_hint(
                "the account needs the SELECT privilege on the ledger's tables, to forget also \
                 DELETE, and to acknowledge also INSERT, UPDATE and DELETE; an administrator must \
                 GRANT them",
            )
        } else {
            error
        }
    }
}

/// Returns the target in the server's spelling of its name, and true if it exists. If it no longer
/// does, keeps the user's spelling, because what was loaded into it may still be asked for.
async fn target(session: &mut Session, options: &AdminOptions<'_>) -> Result<(Target, bool)> {
    let TableName { database, table } = &options.target.table;
    if table.is_empty() {
        let elsewhere = options.ledger.table.as_ref().and_then(|stem| stem.database.as_ref());
        let Some(database) = options.target.database.as_ref().or(elsewhere) else {
            let message = "the database of the ledger is not named";
            return Err(Error::new(ErrorKind::Usage, message)
                .with_hint("name it in --database or the URL, or a table in --table"));
        };
        return Ok((Target { database: database.clone(), table: String::new() }, true));
    }
    let what = format!("table {}", options.target.table);
    let Some(database) = database.as_ref().or(options.target.database.as_ref()) else {
        return Err(Error::new(ErrorKind::Usage, format!("{what}: no database is named"))
            .with_hint(
                "write --table database.table, or name the database in --database or the URL",
            ));
    };
    let known = describe_tables(&mut session.conn, database, [table])
        .await
        .map_err(|error| classify(Phase::Transaction, &what, &error))?;
    Ok(match known.into_iter().next() {
        Some(known) => (Target { database: known.database, table: known.table }, true),
        None => (Target { database: database.clone(), table: table.clone() }, false),
    })
}

/// One row of an answer, whose values are taken by column name.
pub(crate) struct NamedRow {
    row: Row,
    /// The ledger's name, for messages.
    ledger: String,
}

impl NamedRow {
    pub(crate) fn text(&mut self, column: &str) -> Result<String> {
        let bytes: Vec<u8> = self.take(column)?;
        // Everything that this program writes is valid UTF-8.
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    pub(crate) fn optional_text(&mut self, column: &str) -> Result<Option<String>> {
        let bytes: Option<Vec<u8>> = self.take(column)?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    pub(crate) fn take<T: FromValue>(&mut self, column: &str) -> Result<T> {
        let unexpected = || {
            Error::new(
                ErrorKind::TargetRefused,
                format!("{}: column {column} holds what this program never wrote", self.ledger),
            )
        };
        self.row.take_opt::<T, _>(column).and_then(std::result::Result::ok).ok_or_else(unexpected)
    }
}

/// Returns the expression that formats a time column as RFC 3339. All times in the ledger are UTC.
pub(crate) fn time(column: &str) -> String {
    format!("DATE_FORMAT({column}, '%Y-%m-%dT%H:%i:%s.%fZ') AS {column}")
}
