//! The remedies for logins that fail.

use mysql_async::{DriverError, Error as Driver};

use super::codes;

/// Returns true if the account, and not the network, is the reason for the error.
pub(super) fn is_about_the_account(error: &DriverError) -> bool {
    matches!(
        error,
        DriverError::UnknownAuthPlugin { .. }
            | DriverError::CleartextPluginDisabled
            | DriverError::MysqlOldPasswordDisabled
            | DriverError::InvalidParsecSalt
    )
}

/// Returns true if the number is that of a refused login.
pub(super) fn is_refusal(code: u16) -> bool {
    matches!(
        code,
        codes::ACCESS_DENIED
            | codes::ACCESS_DENIED_WITHOUT_PASSWORD
            | codes::DATABASE_ACCESS_DENIED
            | codes::HOST_NOT_ALLOWED
            | codes::PLUGIN_NOT_LOADED
            | codes::PLUGIN_NOT_SUPPORTED
            | codes::CLIENT_REFUSES_LOGIN
    ) || codes::is_account_locked(code)
        || codes::is_account_blocked(code)
        || codes::is_password_expired(code)
}

/// Returns the remedy, if there is one beyond that of every refused login.
pub(super) fn remedy(error: &Driver) -> Option<&'static str> {
    match error {
        Driver::Server(server) => of_number(server.code),
        Driver::Driver(DriverError::UnknownAuthPlugin { name }) => Some(of_plugin(name)),
        Driver::Driver(DriverError::CleartextPluginDisabled) => Some(
            "the server asks for the password in clear text, as it does for accounts of PAM and \
             LDAP, and this program never sends it: load with an account that has a password in \
             the server itself",
        ),
        Driver::Driver(DriverError::MysqlOldPasswordDisabled) => Some(
            "the account has a password in the format of MySQL 4.0: an administrator must set it \
             again (ALTER USER ... IDENTIFIED BY ...)",
        ),
        _ => None,
    }
}

fn of_number(code: u16) -> Option<&'static str> {
    Some(match code {
        codes::CLIENT_REFUSES_LOGIN => {
            "without TLS, this program does not give a password to a server that it cannot \
             recognize: use --ssl-mode REQUIRED if the server has TLS, --socket if it is on this \
             machine, or --server-public-key-path with a copy of its public_key.pem. \
             --get-server-public-key accepts whatever key comes (with another host only together \
             with --ssl-mode DISABLED)"
        }
        codes::ACCESS_DENIED_WITHOUT_PASSWORD => {
            "if the account's plugin is unix_socket or auth_socket, it logs in only through \
             --socket, and only as the user of the operating system that it belongs to"
        }
        _ if codes::is_password_expired(code) => {
            "the account's password has expired: log in with the mysql or mariadb client, and set \
             a new one with SET PASSWORD"
        }
        _ if codes::is_account_locked(code) => {
            "an administrator must run ALTER USER ... ACCOUNT UNLOCK for the account"
        }
        _ if codes::is_account_blocked(code) => {
            "the account is blocked, because too many logins with a wrong password were tried: \
             wait as long as the message says, or have an administrator run ALTER USER ... ACCOUNT \
             UNLOCK (on MariaDB FLUSH PRIVILEGES)"
        }
        codes::PLUGIN_NOT_LOADED => {
            "the account's plugin is not loaded on the server: an administrator must load it, or \
             give the account another one (ALTER USER ... IDENTIFIED WITH ...)"
        }
        codes::PLUGIN_NOT_SUPPORTED => {
            "the account's plugin asks for something that this program cannot do: an administrator \
             must give it another one (ALTER USER ... IDENTIFIED WITH caching_sha2_password, on \
             MariaDB IDENTIFIED VIA ed25519)"
        }
        codes::USER_LIMIT_REACHED => {
            "the account has used up a limit of its own: lower --load-concurrency if it is \
             max_user_connections, wait an hour if it is one per hour, or have an administrator \
             raise it (ALTER USER ... WITH MAX_USER_CONNECTIONS 0)"
        }
        codes::TOO_MANY_USER_CONNECTIONS => {
            "the account has as many connections as max_user_connections allows: lower \
             --load-concurrency, or have an administrator raise the variable"
        }
        codes::TOO_MANY_CONNECTIONS => {
            "the server has as many connections as max_connections allows: wait, lower \
             --load-concurrency, or have an administrator raise the variable"
        }
        codes::HOST_BLOCKED => {
            "the server has blocked this host because too many of its connections failed: an \
             administrator must run TRUNCATE TABLE performance_schema.host_cache (on MariaDB FLUSH \
             HOSTS)"
        }
        codes::HOST_NOT_ALLOWED => {
            "no account of the server may log in from this host: check the accounts' host part"
        }
        _ => return None,
    })
}

fn of_plugin(name: &str) -> &'static str {
    match name {
        "sha256_password" => {
            "check --user and the account's host part: MySQL asks for some plugin even if there is \
             no such account. If there is, this program cannot log in with sha256_password: an \
             administrator must run ALTER USER ... IDENTIFIED WITH caching_sha2_password BY ..."
        }
        "dialog" => {
            "this program does not answer the questions of PAM (plugin dialog): load with an \
             account that has a password in the server itself"
        }
        "auth_gssapi_client" | "authentication_kerberos_client" => {
            "this program does not log in with Kerberos tickets: load with an account that has a \
             password in the server itself"
        }
        _ => {
            "this program logs in with caching_sha2_password, mysql_native_password, ed25519, \
             parsec, and through a unix socket: an administrator must give the account one of \
             these plugins (ALTER USER ... IDENTIFIED WITH ..., on MariaDB IDENTIFIED VIA ...)"
        }
    }
}
