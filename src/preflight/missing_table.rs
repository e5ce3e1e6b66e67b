//! A target that does not exist, and its creation.
//!
//! Two runs may create the table at once. One of them does, and both go on: no lock is needed,
//! because the server refuses the second statement.

use super::options::PreflightOptions;
use super::{database, probe};
use crate::error::{Error, ErrorKind, Result};
use crate::mysql::{
    Connector, Flavor, Phase, classify, create_if_missing, describe_tables, needs_primary_key,
};
use crate::retry::Attempts;
use crate::sql_text::TableName;

/// A target that does not exist.
#[derive(Clone, Debug)]
pub(crate) struct MissingTable {
    /// The name, with its database.
    pub(crate) name: TableName,
    pub(crate) flavor: Flavor,
}

/// Returns the target if it does not exist.
///
/// # Errors
/// The errors of a connection.
pub(crate) async fn find_missing(
    connector: &mut Connector,
    options: &PreflightOptions<'_>,
) -> Result<Option<MissingTable>> {
    let database = database(options)?;
    let table = &options.target.table.table;
    let (mut conn, server) = probe(connector, options).await?;
    let found = describe_tables(&mut conn, database, [table]).await;
    let what = format!("table {}", options.target.table);
    let found = found.map_err(|error| classify(Phase::Connect, &what, &error))?;
    // The server closes the connection, too, if it does not hear of its end.
    let _ = conn.disconnect().await;
    if !found.is_empty() {
        return Ok(None);
    }
    let name = TableName { database: Some(database.to_owned()), table: table.clone() };
    Ok(Some(MissingTable { name, flavor: server.flavor }))
}

/// Creates the target. Returns false if another session has created it in the meantime.
///
/// # Errors
/// `TargetRefused` if the server refuses the statement; the errors of a connection.
pub(crate) async fn create_table(
    connector: &mut Connector,
    options: &PreflightOptions<'_>,
    sql: &str,
) -> Result<bool> {
    let what = format!("table {}", options.target.table);
    let mut attempts = Attempts::new(options.retry);
    loop {
        let (mut conn, _) = probe(connector, options).await?;
        let error = match create_if_missing(&mut conn, sql).await {
            Ok(created) => {
                let _ = conn.disconnect().await;
                return Ok(created);
            }
            Err(error) => error,
        };
        // MySQL may see a deadlock between two statements that create the same table.
        let classified = classify(Phase::Transaction, &what, &error);
        if attempts.wait_after(&classified).await {
            continue;
        }
        let classified = match classified.kind {
            ErrorKind::StatementFailed | ErrorKind::BadRows => {
                classified.as_kind(ErrorKind::TargetRefused)
            }
            _ => classified,
        };
        let classified: Error = classified.adding("; the table could not be created");
        return Err(if needs_primary_key(&error) {
            classified.with_hint("name the columns of a primary key in --primary-key")
        } else if classified.hint().is_some() {
            classified
        } else {
            classified.with_hint(
                "`s3-to-mysql plan --create-table` prints the statement; correct it and run it \
                 yourself",
            )
        });
    }
}
