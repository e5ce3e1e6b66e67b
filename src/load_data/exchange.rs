//! Sends one LOAD DATA statement with its bytes, and reads the server's answer.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use mysql_async::{Error as Driver, LocalInfileError, ServerError};

use super::diagnostic::{Diagnostic, ServerCounts};
use super::payload::{Payload, SendProgress};
use super::row_numbers;
use super::warnings::show;
use crate::error::{Error, ErrorKind, Result};
use crate::mysql::{Conn, Phase, classify, codes};

/// The outcome of a statement.
#[derive(Debug)]
pub(crate) enum ExchangeOutcome {
    /// The server accepted the statement.
    Accepted { counts: ServerCounts, shown: Vec<Diagnostic> },
    /// The statement ended with an error in the rows. The server has undone the statement, and the
    /// transaction can go on.
    Refused { error: Error, warning: Diagnostic },
}

/// Sends a LOAD DATA statement and the bytes of its `rows` rows.
///
/// If this future is dropped, the connection is in the middle of the protocol and must be
/// destroyed.
///
/// # Errors
/// Fails with everything after which the transaction cannot go on: a lost connection, a lock
/// conflict, a stall, an answer without counts.
pub(crate) async fn load_data(
    conn: &mut Conn,
    what: &str,
    sql: &str,
    payload: Payload,
    rows: u64,
) -> Result<ExchangeOutcome> {
    let failed = |error: &Driver| classify(Phase::Transaction, what, error);
    let size_bytes = payload.size_bytes();
    let sent = Arc::new(SendProgress::default());
    let counter = Arc::clone(&sent);
    // Armed for this one statement: the driver takes the handler when the server asks for a file.
    let max_packet_bytes = conn.max_packet_bytes();
    conn.set_infile_handler(async move { Ok(payload.stream(counter, max_packet_bytes)) });
    let ended = conn.query_drop(sql).await;
    // A server that did not take the bytes now must not get them as the answer to a later
    // statement.
    conn.set_infile_handler(async { Err(LocalInfileError::NoHandler.into()) });
    match ended {
        Ok(()) => {}
        Err(Driver::Server(server)) if lies_in_the_rows(&server) => {
            let warning = Diagnostic::new("Error".to_owned(), server.code, server.message.clone());
            return Ok(ExchangeOutcome::Refused {
                error: failed(&Driver::Server(server)),
                warning,
            });
        }
        Err(error) => return Err(failed(&error)),
    }

    let info = conn.info().into_owned();
    let counts = ServerCounts::parse(&info).ok_or_else(|| {
        Error::new(
            ErrorKind::CountMismatch,
            format!("{what}: the server's answer has no row counts: {info:?}"),
        )
    })?;
    let sent_bytes = sent.bytes.load(Ordering::Relaxed);
    if sent_bytes != size_bytes {
        let message =
            format!("{what}: the server took {sent_bytes} bytes of {size_bytes} and accepted them");
        return Err(Error::new(ErrorKind::CountMismatch, message));
    }
    let mut shown = if counts.warnings > 0 {
        show(conn).await.map_err(|error| failed(&error))?
    } else {
        Vec::new()
    };
    row_numbers::correct_row_numbers(&mut shown, rows, counts);
    Ok(ExchangeOutcome::Accepted { counts, shown })
}

/// Returns true if the error is about the content of the rows, so that other rows may succeed.
///
/// Most are known by their `SQLSTATE` class: data, integrity constraint, check option, and signals
/// of triggers. The listed codes have the general state instead.
pub(crate) fn lies_in_the_rows(server: &ServerError) -> bool {
    matches!(server.state.get(..2), Some("22" | "23" | "44" | "45"))
        // Too few fields, too many fields, truncated: warnings that REPLACE turns into errors, with
        // the state of a warning.
        || matches!(
            server.code,
            codes::TOO_FEW_FIELDS | codes::TOO_MANY_FIELDS | codes::DATA_TRUNCATED
        )
        || codes::is_refused_by_partition(server.code)
        || codes::is_refused_by_constraint(server.code)
        || codes::is_invalid_geometry(server.code)
        || codes::is_invalid_json(server.code)
        || matches!(
            server.code,
            codes::INVALID_CHARACTER | codes::WRONG_VALUE_FOR_FIELD | codes::INVALID_VECTOR
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_lacks_does_not_lie_in_the_rows() {
        let server = |code: u16, state: &str| ServerError {
            code,
            state: state.to_owned(),
            message: String::new(),
        };
        for (code, state) in [
            (1262, "01000"),
            (1366, "HY000"),
            (1406, "22001"),
            (1062, "23000"),
            (1644, "45000"),
            (3819, "HY000"),
        ] {
            assert!(lies_in_the_rows(&server(code, state)), "{code}");
        }
        for (code, state) in
            [(1205, "HY000"), (1213, "40001"), (1114, "HY000"), (1197, "HY000"), (1142, "42000")]
        {
            assert!(!lies_in_the_rows(&server(code, state)), "{code}");
        }
    }
}
