//! Parses the database URL: `mysql://user:password@host:port/database?ssl-mode=…`.
//!
//! Errors repeat no part of the URL except its scheme and the names of parameters. When a URL is
//! malformed, the password in it is often the reason.

use percent_encoding::percent_decode_str;
use url::{Host, Url};

use crate::settings::{SOCKET, SSL_CA, SSL_CERT, SSL_KEY, SSL_MODE, Setting, closest, shown};

/// The parts of a URL, decoded. It is not `Debug`, because it contains the password.
#[derive(Default)]
pub(super) struct DatabaseUrl {
    pub host: Option<String>,
    pub port: Option<u16>,
    pub user: Option<String>,
    pub password: Option<String>,
    pub database: Option<String>,
    pub parameters: Vec<(&'static Setting, String)>,
    /// The URL without its password.
    pub without_password: String,
}

/// The parameters that may follow the question mark. Each sets the setting of the same name.
static PARAMETERS: [&Setting; 5] = [&SSL_MODE, &SSL_CA, &SSL_CERT, &SSL_KEY, &SOCKET];

/// The reason why a text is not a database URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum DatabaseUrlError {
    #[error("it must start with mysql:// or mariadb://")]
    Scheme,
    #[error(
        "it cannot be parsed; write / ? # @ : and % in the user name and the password \
         as %2F %3F %23 %40 %3A and %25"
    )]
    Syntax,
    #[error("only one database name may follow the host, as in mysql://HOST/DATABASE")]
    Path,
    #[error("write a # in a user name or password as %23; otherwise remove it and what follows")]
    Fragment,
    #[error("write a ? in a user name or password as %3F")]
    PasswordInQuery,
    #[error("the parameter {name} is not known; {remedy}")]
    Parameter { name: String, remedy: String },
    #[error(
        "the {part} is not valid UTF-8 after its % escapes are decoded; write a % itself as %25"
    )]
    NotUtf8 { part: &'static str },
    #[error("the host is not a host name or address; give a unix socket as --socket or ?socket=")]
    Host,
}

pub(super) fn parse(text: &str) -> Result<DatabaseUrl, DatabaseUrlError> {
    let scheme =
        text.split_once("://").map(|(scheme, _)| scheme).ok_or(DatabaseUrlError::Scheme)?;
    if !["mysql", "mariadb"].iter().any(|known| known.eq_ignore_ascii_case(scheme)) {
        return Err(DatabaseUrlError::Scheme);
    }
    let mut url = Url::parse(text).map_err(|_| DatabaseUrlError::Syntax)?;
    if url.fragment().is_some() {
        return Err(DatabaseUrlError::Fragment);
    }
    let path = url.path().trim_start_matches('/');
    // An @ after the slash means that the password contained a /, and that the apparent database
    // name is the rest of the password.
    if path.contains('@') {
        return Err(DatabaseUrlError::Syntax);
    }
    if path.contains('/') {
        return Err(DatabaseUrlError::Path);
    }
    let mut parts = DatabaseUrl {
        host: host(&url)?,
        port: url.port(),
        user: decoded(url.username(), "user name")?,
        password: decoded(url.password().unwrap_or_default(), "password")?,
        database: decoded(path, "database name")?,
        parameters: parameters(&url)?,
        without_password: String::new(),
    };
    // A URL names a server by host and port: the port of another layer belongs to another server.
    if parts.host.is_some() {
        parts.port = parts.port.or(Some(3306));
    }
    if url.password().is_some() {
        url.set_password(None).map_err(|()| DatabaseUrlError::Syntax)?;
    }
    parts.without_password = url.into();
    Ok(parts)
}

fn host(url: &Url) -> Result<Option<String>, DatabaseUrlError> {
    Ok(match url.host() {
        None => None,
        Some(Host::Ipv4(address)) => Some(address.to_string()),
        Some(Host::Ipv6(address)) => Some(address.to_string()),
        Some(Host::Domain(name)) => {
            let name = decoded(name, "host")?;
            if name.as_ref().is_some_and(|name| !is_host_name(name)) {
                return Err(DatabaseUrlError::Host);
            }
            name
        }
    })
}

/// Returns true if this can be resolved as a host name.
pub(super) fn is_host_name(name: &str) -> bool {
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
    !name.is_empty() && name.chars().all(allowed)
}

fn parameters(url: &Url) -> Result<Vec<(&'static Setting, String)>, DatabaseUrlError> {
    let mut known = Vec::new();
    let Some(query) = url.query() else { return Ok(known) };
    // An @ after the question mark means that the password contained a ?, and that the apparent
    // parameters are the rest of the password.
    if query.contains('@') {
        return Err(DatabaseUrlError::PasswordInQuery);
    }
    for (name, value) in url.query_pairs() {
        let Some(setting) = PARAMETERS.iter().find(|setting| setting.name == name) else {
            let remedy = match closest(&name) {
                Some(near) if PARAMETERS.iter().any(|known| known.name == near.name) => {
                    format!("did you mean {}?", near.name)
                }
                Some(near) if !near.secret => format!("remove it and use --{}", near.name),
                _ => "remove it".to_owned(),
            };
            return Err(DatabaseUrlError::Parameter { name: shown(&name), remedy });
        };
        known.push((*setting, value.into_owned()));
    }
    Ok(known)
}

/// Decodes a part. Returns `None` if it is empty.
fn decoded(text: &str, part: &'static str) -> Result<Option<String>, DatabaseUrlError> {
    let text =
        percent_decode_str(text).decode_utf8().map_err(|_| DatabaseUrlError::NotUtf8 { part })?;
    Ok((!text.is_empty()).then(|| text.into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> DatabaseUrl {
        parse(text).unwrap_or_else(|error| unreachable!("{error}"))
    }

    fn error(text: &str) -> DatabaseUrlError {
        parse(text).err().unwrap()
    }

    #[test]
    fn every_part_is_percent_decoded() {
        let url =
            parsed("mysql://us%40er:p%2Fa%3Fs%23s%25%3A@db.example:3307/my%20db?ssl-mode=required");
        assert_eq!(url.host.as_deref(), Some("db.example"));
        assert_eq!(url.port, Some(3307));
        assert_eq!(url.user.as_deref(), Some("us@er"));
        assert_eq!(url.password.as_deref(), Some("p/a?s#s%:"));
        assert_eq!(url.database.as_deref(), Some("my db"));
        assert_eq!(url.parameters.len(), 1);
        assert_eq!(
            url.without_password,
            "mysql://us%40er@db.example:3307/my%20db?ssl-mode=required"
        );
    }

    #[test]
    fn parts_may_be_missing_but_a_host_brings_the_usual_port() {
        let url = parsed("MariaDB://h");
        assert_eq!((url.host.as_deref(), url.port), (Some("h"), Some(3306)));
        assert!(url.user.is_none() && url.password.is_none() && url.database.is_none());
        let url = parsed("mysql:///db");
        assert_eq!((url.host, url.port, url.database.as_deref()), (None, None, Some("db")));
    }

    #[test]
    fn an_ipv6_address_stands_in_brackets() {
        let url = parsed("mysql://u@[::1]:3307/d");
        assert_eq!((url.host.as_deref(), url.port), (Some("::1"), Some(3307)));
    }

    #[test]
    fn an_at_sign_in_the_password_needs_no_escape() {
        assert_eq!(parsed("mysql://u:p@ss@h/d").password.as_deref(), Some("p@ss"));
    }

    #[test]
    fn unknown_parameters_are_refused_with_what_to_do_instead() {
        let message = |text: &str| error(text).to_string();
        assert_eq!(
            message("mysql://h/d?ssl_mode=x"),
            "the parameter \"ssl_mode\" is not known; did you mean ssl-mode?"
        );
        assert_eq!(
            message("mysql://h/d?charset=latin1"),
            "the parameter \"charset\" is not known; remove it and use --charset"
        );
        assert_eq!(
            message("mysql://h/d?xyzzy=1"),
            "the parameter \"xyzzy\" is not known; remove it"
        );
    }

    #[test]
    fn no_malformed_url_gives_its_password_away() {
        for text in [
            "mysql://u:hunter2/x@h/d",
            "mysql://u:12?hunter2@h/d",
            "mysql://u:12?a=hunter2@h/d",
            "mysql://u:12#hunter2@h/d",
            "mysql://u:hunter2@h:port/d",
            "mysql://u:hunter2%ff@h/d",
            "mysql://u:hunter2@[::1/d",
            "mysql://u:hunter2@h/d/e",
            "mysql://u:hunter2@/d",
            "mysql://u:12/hunter2@h/d",
            "mysql://u:12/hunter2@h",
            "postgres://u:hunter2@h/d",
            "u:hunter2@h/d",
            "jdbc:mysql://u:hunter2@h/d",
            "mysql://u:hunter2@h/d?x=y",
            "mysql://u:hunter2@h%20x/d",
        ] {
            let message = error(text).to_string();
            assert!(!message.contains("hunter2"), "{text}: {message}");
        }
    }
}
