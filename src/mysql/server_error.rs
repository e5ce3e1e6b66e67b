//! Maps errors of the driver and the server to the program's own error kinds.
//!
//! The numbers are those of the MySQL and MariaDB error references.

use mysql_async::{DriverError, Error as Driver, IoError, LocalInfileError};

use super::{codes, login_errors};
use crate::error::{Error, ErrorKind};

/// The phase of a session in which an error occurs. The same error means different things in
/// different phases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Connect,
    /// Anything before COMMIT is sent: the transaction is rolled back.
    Transaction,
    Commit,
}

/// Returns the program's error for the driver's error, about `what`.
pub(crate) fn classify(during: Phase, what: &str, error: &Driver) -> Error {
    let kind = kind(during, error);
    let folded = Error::new(kind, format!("{what}: {}", headline(kind)));
    let folded = match remedy(error) {
        Some(remedy) => folded.with_hint(remedy),
        None => folded,
    };
    folded.caused_by(anyhow::anyhow!(server_message(error))).limited_by(error)
}

/// Returns the error in the form that the `mysql` client prints, or the driver's text without its
/// wrapping.
fn server_message(error: &Driver) -> String {
    match error {
        Driver::Server(server) => {
            format!("ERROR {} ({}): {}", server.code, server.state, server.message)
        }
        Driver::Driver(DriverError::FromRow { .. }) => {
            "the answer has other columns than asked for, or text that is not UTF-8".to_owned()
        }
        Driver::Driver(driver) => driver.to_string(),
        Driver::Io(IoError::Io(io)) => io.to_string(),
        Driver::Io(IoError::Tls(tls)) => tls.to_string(),
        other => other.to_string(),
    }
}

fn kind(during: Phase, error: &Driver) -> ErrorKind {
    match (during, error) {
        (Phase::Commit, Driver::Server(server)) => match server.code {
            // Deadlock and lock wait (on a cluster: a certification conflict), read-only, conflict
            // in group replication: all mean that the transaction was rolled back. For any other
            // error at COMMIT that is not certain.
            codes::DEADLOCK | codes::LOCK_WAIT_TIMEOUT => ErrorKind::LockConflict,
            1290 | 1792 | 1836 | 3101 => ErrorKind::TargetBusy,
            _ => ErrorKind::OutcomeUnknown,
        },
        (Phase::Commit, _) => ErrorKind::OutcomeUnknown,
        (_, Driver::Server(server)) => server_kind(during, server.code),
        (
            _,
            Driver::Driver(DriverError::NoClientSslFlagFromServer) | Driver::Io(IoError::Tls(_)),
        ) => ErrorKind::TargetTls,
        // The driver reports an untrusted certificate, or a failed handshake, like this.
        (Phase::Connect, Driver::Io(IoError::Io(io)))
            if io.kind() == std::io::ErrorKind::InvalidData =>
        {
            ErrorKind::TargetTls
        }
        (Phase::Connect, Driver::Driver(error)) if login_errors::is_about_the_account(error) => {
            ErrorKind::TargetLogin
        }
        // The driver has told the server that the file ends there, and the server has accepted it:
        // the transaction must not be committed.
        (_, Driver::Driver(DriverError::LocalInfile(LocalInfileError::ReadError(_)))) => {
            ErrorKind::StagingFailed
        }
        (_, Driver::Url(_)) => ErrorKind::Usage,
        (Phase::Transaction, error) if is_packet_too_large(error) => ErrorKind::StatementFailed,
        // A row with other columns than asked for, or with text that is not UTF-8.
        (Phase::Connect, Driver::Driver(DriverError::FromRow { .. })) => ErrorKind::TargetRefused,
        (_, Driver::Driver(DriverError::FromRow { .. })) => ErrorKind::StatementFailed,
        (Phase::Connect, _) => ErrorKind::TargetUnreachable,
        (_, Driver::Io(IoError::Io(io))) if io.kind() == std::io::ErrorKind::TimedOut => {
            ErrorKind::LoadStalled
        }
        (Phase::Transaction, _) => ErrorKind::ConnectionLost,
    }
}

/// Returns true for a statement that is longer than the server accepts. The driver has not sent it.
fn is_packet_too_large(error: &Driver) -> bool {
    match error {
        Driver::Driver(DriverError::PacketTooLarge) => true,
        // The codec's error has no type of its own here.
        Driver::Io(IoError::Io(io)) => io.to_string().contains("larger than max_allowed_packet"),
        _ => false,
    }
}

fn server_kind(during: Phase, code: u16) -> ErrorKind {
    match code {
        // Lock wait timeout, deadlock, NOWAIT lock, "record has changed since last read".
        codes::LOCK_WAIT_TIMEOUT | codes::DEADLOCK | 3572 | 1020 => ErrorKind::LockConflict,
        // Too many connections; out of resources; shutting down; too many of this user's
        // connections; host blocked for errors; connection killed.
        1040 | 1041 | 1053 | 1203 | 1226 | 1129 => ErrorKind::TargetBusy,
        1927 | 2006 | 2013 | 4031 | 1158..=1161 => ErrorKind::ConnectionLost,
        // read_only, super_read_only, read-only transaction, InnoDB read-only: a failover may be
        // under way.
        1290 | 1792 | 1836 => ErrorKind::TargetBusy,
        code if login_errors::is_refusal(code) => ErrorKind::TargetLogin,
        // The server requires TLS.
        3159 => ErrorKind::TargetTls,
        1049 => ErrorKind::TargetRefused,
        // local_infile off; no table or column; no privilege on table, column or routine; unknown
        // charset, variable or separators; syntax; not allowed on this object.
        3948 | 4166 | 1148 | 1146 | 1054 | 1142 | 1143 | 1227 | 1370 | 1115 | 1193 | 1231
        | 1083 | 1064 | 1348 | 1471 | 1347 => ErrorKind::TargetRefused,
        _ if during == Phase::Connect => ErrorKind::TargetRefused,
        // Under REPLACE in a strict mode, warnings become errors: a value that does not fit its
        // column, NULL in NOT NULL, too few or too many fields, no parent row, no partition, CHECK.
        1048 | 1261..=1265 | 1292 | 1366 | 1406 | 1411 | 1452 | 1526 | 3819 | 4025 => {
            ErrorKind::BadRows
        }
        _ => ErrorKind::StatementFailed,
    }
}

const RAISE_MAX_ALLOWED_PACKET: &str =
    "an administrator must raise max_allowed_packet on the server, for example to 64 MiB";

fn remedy(error: &Driver) -> Option<&'static str> {
    if let Some(remedy) = login_errors::remedy(error) {
        return Some(remedy);
    }
    let server = match error {
        Driver::Server(server) => server,
        // The verifying library has no specific error for this.
        Driver::Io(IoError::Io(io)) if io.to_string().contains("not valid for any names") => {
            return Some(
                "the server's certificate has no subject alternative name, so it cannot be \
                 verified: have it issued again with one, or use --ssl-mode REQUIRED",
            );
        }
        _ if is_packet_too_large(error) => return Some(RAISE_MAX_ALLOWED_PACKET),
        _ => return None,
    };
    Some(match server.code {
        1153 => RAISE_MAX_ALLOWED_PACKET,
        3948 | 4166 | 1148 => {
            "local_infile is OFF on the server; an administrator must run SET GLOBAL \
             local_infile = ON (and set local_infile=ON in the server's option file)"
        }
        1142 | 1143 if server.message.contains("DELETE") => {
            "--on-duplicate replace also needs the DELETE privilege; an administrator must GRANT it"
        }
        1142 | 1143 if server.message.starts_with("UPDATE") => {
            "--on-duplicate update also needs the UPDATE privilege on the table; an administrator \
             must GRANT it"
        }
        1142 | 1143 if server.message.starts_with("SELECT") => {
            "--on-duplicate update and reject also need the SELECT privilege on the table; an \
             administrator must GRANT it"
        }
        1142 | 1143 => {
            "the account needs the INSERT privilege on the table; an administrator must GRANT it"
        }
        1146 => "create the table first, or check --table and --database",
        1049 | 1044 => {
            "create the database first, or check --database and the account's privileges"
        }
        1054 => "check --columns and --set against the table's columns",
        1115 => "check --charset against SHOW CHARACTER SET",
        1290 | 1792 | 1836 => "the server is read-only; connect to the primary",
        // GTIDs with a statement-based binary log.
        1787 | 3748 => {
            "with GTIDs, the server makes temporary tables in a transaction only if binlog_format \
             is ROW or MIXED; --on-duplicate update and --on-bad-row reject need them"
        }
        3159 => "the server requires TLS: use --ssl-mode REQUIRED",
        _ => return None,
    })
}

fn headline(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::TargetUnreachable => "the database server cannot be reached",
        ErrorKind::TargetLogin => "the database server refused the login",
        ErrorKind::TargetTls => "no TLS connection to the database server",
        ErrorKind::TargetBusy => "the database server cannot accept this now",
        ErrorKind::TargetRefused => "the database server refused the statement",
        ErrorKind::LockConflict => "a lock conflict with another transaction; rolled back",
        ErrorKind::ConnectionLost => "the connection was lost before COMMIT; the server rolls back",
        ErrorKind::OutcomeUnknown => {
            "the connection was lost during COMMIT; the object may or may not be loaded"
        }
        ErrorKind::LoadStalled => "the database server has stopped answering; rolled back",
        ErrorKind::StagingFailed => "the staged file cannot be read to its end; rolled back",
        ErrorKind::BadRows => "a row does not fit; rolled back",
        _ => "the statement failed and was rolled back",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mysql_async::ServerError;

    fn server(code: u16) -> Driver {
        Driver::Server(ServerError { code, message: "m".into(), state: "HY000".into() })
    }

    fn broken() -> Driver {
        Driver::Io(IoError::Io(std::io::ErrorKind::BrokenPipe.into()))
    }

    #[test]
    fn a_connection_lost_during_commit_is_never_repeated() {
        assert_eq!(kind(Phase::Commit, &broken()), ErrorKind::OutcomeUnknown);
        assert_eq!(kind(Phase::Commit, &server(1180)), ErrorKind::OutcomeUnknown);
        assert_eq!(kind(Phase::Transaction, &broken()), ErrorKind::ConnectionLost);
        assert_eq!(kind(Phase::Connect, &broken()), ErrorKind::TargetUnreachable);
    }

    #[test]
    fn a_deadlock_at_commit_is_known_to_be_rolled_back() {
        assert_eq!(kind(Phase::Commit, &server(1213)), ErrorKind::LockConflict);
    }

    #[test]
    fn local_infile_off_is_recognised_on_both_servers_and_names_its_remedy() {
        for code in [3948, 4166] {
            let error = classify(Phase::Transaction, "t", &server(code));
            assert_eq!(error.kind, ErrorKind::TargetRefused);
            assert!(error.hint().unwrap().contains("SET GLOBAL local_infile = ON"));
        }
    }
}
