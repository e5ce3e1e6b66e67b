//! The settings of the target: single settings override the parts of a database URL, and one of
//! several places gives the password.

use std::io;
use std::net::Ipv6Addr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use secrecy::SecretString;

use super::database_url;
use super::database_url::DatabaseUrl;
use crate::choices::{Compress, SslMode};
use crate::mysql::{PublicKey, TargetConfig, is_loopback};
use crate::settings::{Given, Layer, Origin, Problem, Resolver, Scope, Value, table as s};
use crate::sql_text::TableName;

pub(super) fn resolve(
    resolver: &mut Resolver,
    read_file: &dyn Fn(&Path) -> io::Result<String>,
    scope: Scope,
) -> TargetConfig {
    insert_url_parts(resolver);
    let socket = socket(resolver);
    let host = resolver.optional(&s::HOST, host_name).unwrap_or_default();
    let port = u16::try_from(resolver.integer(&s::PORT)).unwrap_or_default();
    if socket.is_some() {
        // They are not used, and reading them back would contradict the socket.
        resolver.record_unset(&s::HOST, Origin::Default);
        resolver.record_unset(&s::PORT, Origin::Default);
    }
    let user = resolver.text(&s::USER).map(|(text, _)| text);
    if user.is_none() {
        resolver.missing(
            &s::USER,
            "the database user is missing",
            "give --user or a --database-url that names one",
        );
    }
    let password = password(resolver, read_file);
    let database = resolver.text(&s::DATABASE).map(|(text, _)| text);
    let table = table(resolver, database.is_some(), scope);
    let ssl_mode = ssl_mode(resolver, socket.is_some() || is_loopback(&host));
    let ssl_ca = resolver.path(&s::SSL_CA);
    let ssl_cert = resolver.path(&s::SSL_CERT);
    let ssl_key = resolver.path(&s::SSL_KEY);
    if ssl_cert.is_some() != ssl_key.is_some() {
        let (given, missing) =
            if ssl_cert.is_some() { ("ssl-cert", "ssl-key") } else { ("ssl-key", "ssl-cert") };
        resolver.problems.push(Problem {
            what: format!("{given} is set, but {missing} is not"),
            origin: None,
            remedy: "set both ssl-cert and ssl-key, or neither".to_owned(),
        });
    }
    if ssl_ca.is_some() && !matches!(ssl_mode, SslMode::VerifyCa | SslMode::VerifyIdentity) {
        resolver.warnings.push(
            "ssl-ca is not used, because ssl-mode asks for no verification; \
             set ssl-mode to VERIFY_CA or VERIFY_IDENTITY"
                .to_owned(),
        );
    }
    if ssl_mode == SslMode::Disabled && ssl_cert.is_some() {
        resolver.warnings.push("ssl-cert is not used, because ssl-mode is DISABLED".to_owned());
    }
    let server_public_key = server_public_key(resolver, read_file);
    TargetConfig {
        host,
        port,
        socket,
        user: user.unwrap_or_default(),
        password,
        database,
        table,
        ssl_mode,
        compress: resolver.choice(&s::COMPRESS).unwrap_or(Compress::Auto),
        ssl_ca,
        ssl_cert,
        ssl_key,
        get_server_public_key: resolver.switch(&s::GET_SERVER_PUBLIC_KEY),
        server_public_key,
        init_sql: resolver.list(&s::INIT_SQL).0,
    }
}

/// Inserts the parts of the strongest URL as a layer right below the place that gave it.
fn insert_url_parts(resolver: &mut Resolver) {
    let Some((rank, given)) = resolver.find_set(&s::DATABASE_URL) else {
        let origin =
            resolver.find(&s::DATABASE_URL).map_or(Origin::Default, |(_, given)| given.origin);
        resolver.record_unset(&s::DATABASE_URL, origin);
        return;
    };
    let Given { value: Value::Text(text), origin } = given else { return };
    match database_url::parse(&text) {
        Ok(url) => {
            if url.password.is_some() && matches!(origin, Origin::CommandLine(_)) {
                resolver.warnings.push(
                    "other users of this machine can read the password in --database-url (ps); \
                     give it in MYSQL_PWD, --password-file or the configuration file"
                        .to_owned(),
                );
            }
            resolver.record(
                &s::DATABASE_URL,
                Value::Text(url.without_password.clone()),
                origin.clone(),
            );
            resolver.layers.insert(rank + 1, url_layer(url, &origin));
        }
        // Many frameworks set DATABASE_URL. If another setting names the server, the variable is
        // meant for another program.
        Err(database_url::DatabaseUrlError::Scheme)
            if origin == Origin::Environment("DATABASE_URL".to_owned())
                && (resolver.find_set(&s::HOST).is_some()
                    || resolver.find_set(&s::SOCKET).is_some()) =>
        {
            resolver
                .warnings
                .push("DATABASE_URL is not used, because it is not a mysql:// URL".to_owned());
            resolver.record_unset(&s::DATABASE_URL, Origin::Default);
        }
        Err(error) => {
            resolver.problems.push(Problem::new(
                format!("not a database URL: {error}"),
                &origin,
                "",
            ));
            resolver.record_unset(&s::DATABASE_URL, origin);
            // The URL probably names a user and a database, so do not report them as missing.
            resolver.explained.extend([s::USER.name, s::TABLE.name]);
        }
    }
}

fn url_layer(url: DatabaseUrl, origin: &Origin) -> Layer {
    let mut layer = Layer::default();
    let port = url.port.map(|port| port.to_string());
    let parts = [
        (&s::HOST, url.host),
        (&s::PORT, port),
        (&s::USER, url.user),
        (&s::PASSWORD, url.password),
        (&s::DATABASE, url.database),
    ];
    let parts = parts
        .into_iter()
        .filter_map(|(setting, text)| Some((setting, text?)))
        .chain(url.parameters);
    for (setting, text) in parts {
        layer.insert(setting, Value::Text(text), Origin::DatabaseUrl(Box::new(origin.clone())));
    }
    layer
}

/// Returns the socket, unless a stronger place gives a host or a port.
fn socket(resolver: &mut Resolver) -> Option<PathBuf> {
    let Some((socket_rank, socket)) = resolver.find_set(&s::SOCKET) else {
        return resolver.path(&s::SOCKET);
    };
    let host = resolver.find(&s::HOST);
    let tcp_rank = [host.as_ref(), resolver.find(&s::PORT).as_ref()]
        .into_iter()
        .flatten()
        .map(|(rank, _)| *rank)
        .min();
    if tcp_rank.is_some_and(|rank| rank < socket_rank) {
        resolver.record_unset(&s::SOCKET, Origin::Default);
        return None;
    }
    // A URL may name a host beside a socket, and option files often name localhost beside a socket.
    if let Some((host_rank, host)) = host
        && host_rank == socket_rank
        && !matches!(host.origin, Origin::DatabaseUrl(_))
        && host.value != Value::Text("localhost".to_owned())
    {
        resolver.problems.push(Problem::new(
            "host and socket are both set",
            &socket.origin,
            "set one of them",
        ));
    }
    resolver.path(&s::SOCKET)
}

/// Returns the password from the strongest of `password`, `password-file` and the URL.
fn password(
    resolver: &mut Resolver,
    read_file: &dyn Fn(&Path) -> io::Result<String>,
) -> Option<SecretString> {
    let rank =
        |found: &Option<(usize, Given)>| found.as_ref().map_or(usize::MAX, |(rank, _)| *rank);
    let password = resolver.find(&s::PASSWORD);
    let file = resolver.find_set(&s::PASSWORD_FILE);
    if file.is_some() && rank(&file) <= rank(&password) {
        if rank(&file) == rank(&password)
            && let Some((_, password)) = &password
            && password.value != Value::Text(String::new())
        {
            resolver.problems.push(Problem::new(
                "password and password-file are both set",
                &password.origin,
                "set one of them",
            ));
        }
        resolver.record_unset(&s::PASSWORD, Origin::Default);
        let path = resolver.path(&s::PASSWORD_FILE)?;
        let origin = file.map_or(Origin::Default, |(_, given)| given.origin);
        return match read_file(&path) {
            Ok(text) => {
                if is_open_to_others(&path) {
                    resolver.warnings.push(format!(
                        "other users of this machine can read the password file {}: chmod 600 it",
                        path.display()
                    ));
                }
                let text = text
                    .strip_suffix('\n')
                    .map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
                if text.is_empty() {
                    resolver.bad(
                        &s::PASSWORD_FILE,
                        &path.to_string_lossy(),
                        &origin,
                        "the file is empty",
                    );
                }
                Some(SecretString::from(text))
            }
            Err(error) => {
                resolver.bad(
                    &s::PASSWORD_FILE,
                    &path.to_string_lossy(),
                    &origin,
                    format!("cannot be read: {error}"),
                );
                None
            }
        };
    }
    resolver.record_unset(&s::PASSWORD_FILE, Origin::Default);
    resolver.text(&s::PASSWORD).map(|(text, _)| SecretString::from(text))
}

/// Returns true if every user of the machine may read the file.
fn is_open_to_others(path: &Path) -> bool {
    std::fs::metadata(path)
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o004 != 0)
}

fn server_public_key(
    resolver: &mut Resolver,
    read_file: &dyn Fn(&Path) -> io::Result<String>,
) -> Option<PublicKey> {
    let path = resolver.path(&s::SERVER_PUBLIC_KEY_PATH)?;
    let origin = resolver
        .find(&s::SERVER_PUBLIC_KEY_PATH)
        .map_or(Origin::Default, |(_, given)| given.origin);
    let key = read_file(&path)
        .map_err(|error| format!("cannot be read: {error}"))
        .and_then(|text| PublicKey::from_pem(&text).map_err(ToOwned::to_owned));
    match key {
        Ok(key) => Some(key),
        Err(problem) => {
            resolver.bad(&s::SERVER_PUBLIC_KEY_PATH, &path.to_string_lossy(), &origin, problem);
            None
        }
    }
}

/// Returns the table. Its name is empty if `status` is to show all tables.
fn table(resolver: &mut Resolver, has_database: bool, scope: Scope) -> TableName {
    let placeholder = TableName { database: None, table: String::new() };
    if resolver.find_set(&s::TABLE).is_none() {
        resolver.record_unset(&s::TABLE, Origin::Default);
        if !matches!(scope, Scope::Status | Scope::Wait) {
            resolver.missing(
                &s::TABLE,
                "the table is missing",
                "give --table TABLE or --table DATABASE.TABLE",
            );
        }
        return placeholder;
    }
    let Some(table) = resolver.optional(&s::TABLE, str::parse::<TableName>) else {
        return placeholder;
    };
    // A URL that could not be parsed may name the database.
    if table.database.is_none() && !has_database && !resolver.explained.contains(s::TABLE.name) {
        let remedy = "give --table DATABASE.TABLE, --database, or a --database-url that names one";
        resolver.missing(&s::DATABASE, "the table's database is missing", remedy);
    }
    table
}

fn ssl_mode(resolver: &mut Resolver, is_local: bool) -> SslMode {
    if resolver.find_set(&s::SSL_MODE).is_none() {
        let mode = if is_local { SslMode::Preferred } else { SslMode::Required };
        resolver.record_derived(&s::SSL_MODE, <&str>::from(mode), Origin::Default);
        return mode;
    }
    resolver.choice(&s::SSL_MODE).unwrap_or(SslMode::Required)
}

fn host_name(text: &str) -> Result<String, &'static str> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    // An address may carry a zone: fe80::1%eth0.
    if bare.split('%').next().is_some_and(|address| address.parse::<Ipv6Addr>().is_ok()) {
        return Ok(bare.to_owned());
    }
    if text.contains("://") {
        return Err("it must be a host name or address; give a whole URL as --database-url");
    }
    if text.starts_with('/') {
        return Err("it must be a host name or address; give a unix socket as --socket");
    }
    if text.contains(':') {
        return Err("it must be a host name or address only; give the port as --port");
    }
    if database_url::is_host_name(text) {
        Ok(text.to_owned())
    } else {
        Err("it must be a host name or address")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_file_that_everybody_can_read_is_open_to_others() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (mode, is_open) in [(0o600, false), (0o640, false), (0o644, true), (0o604, true)] {
            let permissions = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(file.path(), permissions).unwrap();
            assert_eq!(is_open_to_others(file.path()), is_open, "{mode:o}");
        }
        assert!(!is_open_to_others(Path::new("/dev/zero")));
    }

    #[test]
    fn a_host_is_a_name_or_an_address_and_nothing_more() {
        for (text, host) in [
            ("db.example", "db.example"),
            ("::1", "::1"),
            ("[::1]", "::1"),
            ("fe80::1%eth0", "fe80::1%eth0"),
        ] {
            assert_eq!(host_name(text).as_deref(), Ok(host));
        }
        for text in ["h:3306", "mysql://h", "/run/mysqld.sock", "u@h", "a b", "[::1]:3306"] {
            assert!(host_name(text).is_err(), "{text}");
        }
    }
}
