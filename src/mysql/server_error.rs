//! Maps errors of the driver and the server to the program's own error kinds.

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
    let classified = Error::new(kind, format!("{what}: {}", headline(kind)));
    let classified = match remedy(error) {
        Some(remedy) => classified.with_hint(remedy),
        None => classified,
    };
    classified.caused_by(anyhow::anyhow!(server_message(error))).limited_by(error)
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
            codes::ROLLED_BACK_AT_COMMIT => ErrorKind::TargetBusy,
            code if codes::is_read_only(code) => ErrorKind::TargetBusy,
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
        codes::LOCK_WAIT_TIMEOUT | codes::DEADLOCK | codes::LOCK_NOT_FREE | codes::ROW_CHANGED => {
            ErrorKind::LockConflict
        }
        codes::TOO_MANY_CONNECTIONS
        | codes::OUT_OF_RESOURCES
        | codes::SHUTTING_DOWN
        | codes::TOO_MANY_USER_CONNECTIONS
        | codes::USER_LIMIT_REACHED
        | codes::HOST_BLOCKED => ErrorKind::TargetBusy,
        code if codes::is_connection_lost(code) => ErrorKind::ConnectionLost,
        code if codes::is_read_only(code) => ErrorKind::TargetBusy,
        code if login_errors::is_refusal(code) => ErrorKind::TargetLogin,
        codes::TLS_REQUIRED => ErrorKind::TargetTls,
        code if codes::is_local_infile_off(code) => ErrorKind::TargetRefused,
        codes::NO_SUCH_DATABASE
        | codes::NO_SUCH_TABLE
        | codes::NO_SUCH_COLUMN
        | codes::TABLE_ACCESS_DENIED
        | codes::COLUMN_ACCESS_DENIED
        | codes::PRIVILEGE_NEEDED
        | codes::UNKNOWN_CHARSET
        | codes::SYNTAX_ERROR
        | codes::ROUTINE_ACCESS_DENIED
        | codes::UNKNOWN_VARIABLE
        | codes::WRONG_VALUE_FOR_VARIABLE
        | codes::WRONG_SEPARATORS
        | codes::WRONG_OBJECT
        | codes::COLUMN_NOT_UPDATABLE
        | codes::TABLE_NOT_INSERTABLE => ErrorKind::TargetRefused,
        _ if during == Phase::Connect => ErrorKind::TargetRefused,
        // Under REPLACE in a strict mode, warnings become errors: a value that does not fit its
        // column, NULL in NOT NULL, too few or too many fields, no parent row, no partition, CHECK.
        codes::NULL_REFUSED
        | codes::TOO_FEW_FIELDS
        | codes::TOO_MANY_FIELDS
        | codes::NULL_REPLACED
        | codes::OUT_OF_RANGE
        | codes::DATA_TRUNCATED
        | codes::TRUNCATED_WRONG_VALUE
        | codes::WRONG_VALUE_FOR_FIELD
        | codes::DATA_TOO_LONG
        | codes::WRONG_VALUE_FOR_TYPE
        | codes::NO_PARENT_ROW
        | codes::NO_PARTITION => ErrorKind::BadRows,
        code if codes::is_refused_by_check(code) => ErrorKind::BadRows,
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
        codes::PACKET_TOO_LARGE => RAISE_MAX_ALLOWED_PACKET,
        code if codes::is_local_infile_off(code) => {
            "local_infile is OFF on the server; an administrator must run SET GLOBAL \
             local_infile = ON (and set local_infile=ON in the server's option file)"
        }
        codes::TABLE_ACCESS_DENIED | codes::COLUMN_ACCESS_DENIED
            if server.message.contains("DELETE") =>
        {
            "--on-duplicate replace also needs the DELETE privilege; an administrator must GRANT it"
        }
        codes::TABLE_ACCESS_DENIED | codes::COLUMN_ACCESS_DENIED
            if server.message.starts_with("UPDATE") =>
        {
            "--on-duplicate update also needs the UPDATE privilege on the table; an administrator \
             must GRANT it"
        }
        codes::TABLE_ACCESS_DENIED | codes::COLUMN_ACCESS_DENIED
            if server.message.starts_with("SELECT") =>
        {
            "--on-duplicate update and reject also need the SELECT privilege on the table; an \
             administrator must GRANT it"
        }
        codes::TABLE_ACCESS_DENIED | codes::COLUMN_ACCESS_DENIED => {
            "the account needs the INSERT privilege on the table; an administrator must GRANT it"
        }
        codes::NO_SUCH_TABLE => "create the table first, or check --table and --database",
        codes::NO_SUCH_DATABASE | codes::DATABASE_ACCESS_DENIED => {
            "create the database first, or check --database and the account's privileges"
        }
        codes::NO_SUCH_COLUMN => "check --columns and --set against the table's columns",
        codes::UNKNOWN_CHARSET => "check --charset against SHOW CHARACTER SET",
        code if codes::is_read_only(code) => "the server is read-only; connect to the primary",
        // GTIDs with a statement-based binary log.
        code if codes::is_refused_by_gtid(code) => {
            "with GTIDs, the server makes temporary tables in a transaction only if binlog_format \
             is ROW or MIXED; --on-duplicate update and --on-bad-row reject need them"
        }
        codes::TLS_REQUIRED => "the server requires TLS: use --ssl-mode REQUIRED",
        codes::LOCK_WAIT_TIMEOUT => {
            "another connection holds a lock on the table or on a row of it: SHOW PROCESSLIST and \
             information_schema.INNODB_TRX show who has a transaction open or the table locked, \
             and KILL ends it; the wait for a lock is bounded by --retry-max-elapsed"
        }
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
