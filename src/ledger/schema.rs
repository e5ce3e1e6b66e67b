//! The ledger's tables: their names, how they are made, and the schema version that this program
//! knows.
//!
//! The statements are those of `deploy/ledger.sql`, which people can run themselves if the
//! program's account may not create tables. Each table's comment has the schema version, so that
//! tables made by hand have it too.
//!
//! Keys are `VARBINARY`, because two keys are equal exactly if their bytes are, which no collation
//! guarantees. No key column is NULL, since NULL is not equal to itself. The longest key takes 400
//! + 4 + 255 + 1024 + 255 bytes plus lengths, of the 3072 bytes that an InnoDB index allows.

use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::mysql::codes::{DATABASE_ACCESS_DENIED, TABLE_ACCESS_DENIED};
use crate::mysql::{Phase, Session, TableDescription, classify, describe_tables};
use crate::sql_text::{TableName, quote_identifier};

/// The number of tries to create the tables while other runs do so.
const CREATE_TRIES: u32 = 5;
/// The pause after the first of them.
const CREATE_PAUSE: Duration = Duration::from_millis(100);

/// The schema version that this program reads and writes.
const VERSION: u32 = 1;
/// The table comment before the version.
const COMMENT: &str = "s3-to-mysql ledger, schema ";

/// The suffix of the one table that a load does without. `ack` creates it, so that a ledger that
/// was made before there were acknowledgements needs no new privilege.
pub(super) const ACKS: &str = "acks";

const STATEMENTS: &str = include_str!("../../deploy/ledger.sql");

/// The names of the ledger's tables, quoted and qualified with their database, ready for SQL.
#[derive(Clone, Debug)]
pub struct Tables {
    pub(super) database: String,
    /// The prefix of the tables' names, including the temporary tables of a swap.
    pub(super) stem: String,
    pub(super) objects: String,
    pub(super) parts: String,
    pub(super) jobs: String,
    pub(super) failures: String,
    pub(super) runs: String,
    pub(super) acks: String,
}

impl Tables {
    /// Makes the names from `stem`, in `target_database` if `stem` names no database.
    #[must_use]
    pub fn new(stem: &TableName, target_database: &str) -> Self {
        let database = stem.database.clone().unwrap_or_else(|| target_database.to_owned());
        let name = |suffix: &str| {
            let table = TableName {
                database: Some(database.clone()),
                table: format!("{}_{suffix}", stem.table),
            };
            table.to_string()
        };
        Self {
            objects: name("objects"),
            parts: name("parts"),
            jobs: name("jobs"),
            failures: name("failures"),
            runs: name("runs"),
            acks: name(ACKS),
            stem: stem.table.clone(),
            database,
        }
    }

    /// Returns suffixes and quoted names, in the order of the documentation.
    fn all(&self) -> [(&'static str, &str); 6] {
        [
            ("objects", &self.objects),
            ("parts", &self.parts),
            ("jobs", &self.jobs),
            ("failures", &self.failures),
            ("runs", &self.runs),
            (ACKS, &self.acks),
        ]
    }

    /// Returns the ledger's name for messages: `` `db`.`stem_…` ``.
    pub(super) fn title(&self) -> String {
        format!(
            "ledger {}.{}",
            quote_identifier(&self.database),
            quote_identifier(&format!("{}_…", self.stem))
        )
    }

    /// Returns the statements that make the tables, for accounts that may not create them.
    #[must_use]
    pub fn ddl(&self) -> Vec<String> {
        self.all().iter().map(|(suffix, name)| create(suffix, name)).collect()
    }

    /// Returns the tables that exist, after checking their versions.
    ///
    /// # Errors
    /// `TargetRefused` if a table has another version or engine, or is not a ledger's.
    pub(super) async fn present(&self, session: &mut Session) -> Result<Vec<&'static str>> {
        let title = self.title();
        let failed = |error: mysql_async::Error| classify(Phase::Transaction, &title, &error);
        let names = self.all().map(|(suffix, _)| format!("{}_{suffix}", self.stem));
        let known =
            describe_tables(&mut session.conn, &self.database, names).await.map_err(failed)?;
        let mut present = Vec::new();
        for TableDescription { table: name, comment, engine, .. } in known {
            let version =
                comment.strip_prefix(COMMENT).and_then(|version| version.parse::<u32>().ok());
            match version {
                Some(VERSION) => {}
                Some(newer) if newer > VERSION => {
                    let message = format!(
                        "{title}: table {name} has schema {newer}, made by a newer s3-to-mysql; \
                         this one knows schema {VERSION}"
                    );
                    return Err(Error::new(ErrorKind::TargetRefused, message)
                        .with_hint("use the newer s3-to-mysql, or another --ledger-table"));
                }
                _ => {
                    let message = format!(
                        "{title}: table {name} is not a ledger table of this program: its comment \
                         is {comment:?}, not \"{COMMENT}{VERSION}\""
                    );
                    return Err(Error::new(ErrorKind::TargetRefused, message).with_hint(
                        "choose another --ledger-table, or create the table as \
                         deploy/ledger.sql does",
                    ));
                }
            }
            // The whole ledger depends on its rows being committed together with the objects' rows,
            // or not at all.
            if let Some(engine) = engine.filter(|engine| !engine.eq_ignore_ascii_case("InnoDB")) {
                let message = format!(
                    "{title}: the engine of table {name} is {engine}, which does not commit \
                     together with the rows that are loaded"
                );
                return Err(Error::new(ErrorKind::TargetRefused, message)
                    .with_hint("ALTER TABLE ... ENGINE=InnoDB"));
            }
            present.extend(
                self.all()
                    .iter()
                    .map(|(suffix, _)| *suffix)
                    .filter(|suffix| name.eq_ignore_ascii_case(&format!("{}_{suffix}", self.stem))),
            );
        }
        Ok(present)
    }

    /// Returns true if all tables that a load needs exist.
    pub(super) fn are_all(present: &[&str]) -> bool {
        present.iter().filter(|suffix| **suffix != ACKS).count() == 5
    }

    /// Creates the missing tables that a load needs. Returns true if acknowledgements exist.
    ///
    /// # Errors
    /// `TargetRefused` as in [`Tables::present`], and if the account may not create tables.
    pub(super) async fn ensure(&self, session: &mut Session) -> Result<bool> {
        let mut tries = 1;
        loop {
            match self.create_missing(session).await {
                // MySQL reports a deadlock if another run creates the same tables.
                Err(error) if error.kind == ErrorKind::LockConflict && tries < CREATE_TRIES => {
                    tokio::time::sleep(CREATE_PAUSE * tries).await;
                    tries += 1;
                }
                ended => return ended,
            }
        }
    }

    async fn create_missing(&self, session: &mut Session) -> Result<bool> {
        let present = self.present(session).await?;
        self.ensure_none_dropped(&present)?;
        let missing = self
            .all()
            .into_iter()
            .filter(|(suffix, _)| *suffix != ACKS && !present.contains(suffix));
        let statements: Vec<String> = missing.map(|(suffix, name)| create(suffix, name)).collect();
        if !statements.is_empty() {
            // In one packet: on a long network path, each statement would cost as much as a load.
            self.create(session, &statements.join("; ")).await?;
        }
        Ok(present.contains(&ACKS))
    }

    /// Creates the table of acknowledgements.
    ///
    /// # Errors
    /// `TargetRefused` if the account may not create tables.
    pub(super) async fn create_acks(&self, session: &mut Session) -> Result<()> {
        self.create(session, &create(ACKS, &self.acks)).await
    }

    async fn create(&self, session: &mut Session, statements: &str) -> Result<()> {
        session.conn.query_drop(statements).await.map_err(|error| {
            let is_denied = matches!(
                &error,
                mysql_async::Error::Server(server)
                    if matches!(server.code, TABLE_ACCESS_DENIED | DATABASE_ACCESS_DENIED)
            );
            let what = format!("{}: its tables cannot be created", self.title());
            let error = classify(Phase::Transaction, &what, &error);
            if is_denied {
                error.with_hint(
                    "the account needs the CREATE privilege once, or somebody who has it must run \
                     deploy/ledger.sql; --no-ledger loads without a ledger, at least once",
                )
            } else {
                error
            }
        })
    }
}

impl Tables {
    /// Returns an error if a table that says what is loaded has been dropped. The tables are
    /// created in order, so one that is missing before one that exists was there.
    fn ensure_none_dropped(&self, present: &[&str]) -> Result<()> {
        let has = |suffix| present.contains(&suffix);
        let dropped = [("objects", &self.objects), ("parts", &self.parts)]
            .into_iter()
            .find(|(suffix, _)| has("jobs") && !has(*suffix));
        let Some((_, dropped)) = dropped else { return Ok(()) };
        let message = format!(
            "{}: its table {dropped} has been dropped, or the account cannot see it, so it is not \
             known what is loaded",
            self.title()
        );
        Err(Error::new(ErrorKind::TargetRefused, message).with_hint(
            "restore the table; or drop all of the ledger's tables, or name another \
             --ledger-table: then all objects are loaded again",
        ))
    }
}

/// Returns the documented statement, for the table of this name.
fn create(suffix: &str, name: &str) -> String {
    let documented = format!("`s3_to_mysql_{suffix}`");
    let statement =
        STATEMENTS.split(';').find(|statement| statement.contains(&documented)).unwrap_or_default();
    let (_, statement) = statement.split_once("CREATE ").unwrap_or_default();
    format!("CREATE {}", statement.replace(&documented, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_is_made_under_its_own_name_with_the_version() {
        let stem = TableName { database: Some("d;b".into()), table: "s3_to_mysql".into() };
        let tables = Tables::new(&stem, "elsewhere");
        let statements = tables.ddl();
        for ((suffix, name), statement) in tables.all().iter().zip(&statements) {
            assert_eq!(*name, format!("`d;b`.`s3_to_mysql_{suffix}`"));
            assert!(
                statement.starts_with(&format!("CREATE TABLE IF NOT EXISTS {name} (\n")),
                "{statement}"
            );
            assert!(statement.ends_with(&format!("COMMENT='{COMMENT}{VERSION}'")), "{statement}");
        }
        assert_eq!(STATEMENTS.matches("CREATE TABLE").count(), statements.len());
    }
}
