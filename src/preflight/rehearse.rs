//! Runs the statement of the load without data, so that the server refuses now what it would refuse
//! for every object.

use std::time::Instant;

use crate::error::{Error, ErrorKind, Result};
use crate::isolate::IsolationSetup;
use crate::load_data::{ExchangeOutcome, Layout, Payload, Plan, load_data};
use crate::mysql::{Conn, Connector, Phase, Server, Session, SqlMode, classify};
use crate::policy::OnDuplicate;
use crate::sql_text::TableName;

/// Runs the real statement, without data, on a session like those that load.
pub(super) async fn rehearse(
    connector: &Connector,
    server: &mut Server,
    conn: Conn,
    (plan, layout): (&Plan, &Layout),
    table: &TableName,
) -> Result<Session> {
    let sql_mode = SqlMode::of(plan.policy.on_bad_row);
    let mut session = connector.pool(server, sql_mode, 1).adopt(conn).await?;
    let what = format!("table {table} at {}", session.target_name());
    let conn = &mut session.conn;
    let tried = async {
        let asked = Instant::now();
        conn.query_drop("START TRANSACTION")
            .await
            .map_err(|error| classify(Phase::Transaction, &what, &error))?;
        server.answered_within(asked.elapsed());
        let sql = layout.statement.sql(b"\n");
        // One byte is the command's. The server answers a longer packet by hanging up.
        if sql.len() >= server.max_packet_bytes() {
            let message = format!(
                "{what}: the statement needs {} bytes, but the server's max_allowed_packet is {}",
                sql.len() + 1,
                server.max_packet_bytes()
            );
            return Err(Error::new(ErrorKind::TargetRefused, message)
                .with_hint("an administrator must raise max_allowed_packet on the server"));
        }
        match load_data(conn, &what, &sql, Payload::empty(), 0).await? {
            ExchangeOutcome::Refused { error, .. } => return Err(error),
            ExchangeOutcome::Accepted { counts, shown } if counts.warnings > 0 => {
                let said =
                    shown.first().map(|warning| format!(": {} {}", warning.code, warning.message));
                let message = format!(
                    "{what}: the server warns about the statement itself{}",
                    said.unwrap_or_default()
                );
                return Err(Error::new(ErrorKind::TargetRefused, message));
            }
            ExchangeOutcome::Accepted { .. } => {}
        }
        if plan.policy.on_duplicate == OnDuplicate::Update {
            IsolationSetup::read(plan, layout, conn).await?.rehearse(conn).await?;
        }
        Ok(())
    }
    .await;
    let rolled_back = session.conn.query_drop("ROLLBACK").await;
    let failed = match (tried, rolled_back) {
        (Ok(()), Ok(())) => return Ok(session),
        (Ok(()), Err(error)) => classify(Phase::Transaction, &what, &error),
        // The data is empty, so the error is about the statement.
        (Err(error), _) if error.kind == ErrorKind::StatementFailed => {
            error.as_kind(ErrorKind::TargetRefused)
        }
        (Err(error), _) => error,
    };
    session.destroy().await;
    Err(failed)
}
