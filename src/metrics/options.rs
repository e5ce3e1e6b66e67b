//! The settings of the metrics.

use std::fmt;
use std::path::PathBuf;

use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

/// The places for metrics, and the labels that the user adds to them.
#[derive(Clone, Debug, Default)]
pub struct MetricsConfig {
    /// The file for the textfile collector.
    pub file: Option<PathBuf>,
    /// The Pushgateway.
    pub push: Option<PushUrl>,
    pub labels: Vec<Label>,
}

impl MetricsConfig {
    /// Returns true if the metrics go anywhere.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.file.is_some() || self.push.is_some()
    }
}

/// The address of a Pushgateway, with the login in it.
#[derive(Clone, Debug)]
pub struct PushUrl {
    /// The URL without its login, and without a slash at its end.
    pub(super) base: String,
    pub(super) user: String,
    pub(super) password: SecretString,
}

/// The reason why a text is not the address of a Pushgateway. It repeats nothing of the text, which
/// may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PushUrlError {
    #[error("it must be a URL that starts with http:// or https://")]
    Scheme,
    #[error("only a path may follow the host")]
    Rest,
    #[error("its user name or password is not valid UTF-8 after its % escapes are decoded")]
    Login,
}

impl PushUrl {
    /// Parses `http://USER:PASSWORD@HOST:PORT/PATH`, of which the login and the path are optional.
    ///
    /// # Errors
    /// Refuses other schemes, and what may follow the path.
    pub fn parse(text: &str) -> Result<Self, PushUrlError> {
        let mut url = Url::parse(text).map_err(|_| PushUrlError::Scheme)?;
        if !["http", "https"].contains(&url.scheme()) {
            return Err(PushUrlError::Scheme);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(PushUrlError::Rest);
        }
        let decoded = |text: &str| {
            percent_encoding::percent_decode_str(text)
                .decode_utf8()
                .map(std::borrow::Cow::into_owned)
                .map_err(|_| PushUrlError::Login)
        };
        let user = decoded(url.username())?;
        let password = decoded(url.password().unwrap_or_default())?;
        url.set_username("").map_err(|()| PushUrlError::Scheme)?;
        url.set_password(None).map_err(|()| PushUrlError::Scheme)?;
        let base = url.as_str().trim_end_matches('/').to_owned();
        Ok(Self { base, user, password: password.into() })
    }

    /// Returns true if the URL has a password, which must not be in a list of processes.
    #[must_use]
    pub fn has_password(&self) -> bool {
        !self.password.expose_secret().is_empty()
    }
}

impl fmt::Display for PushUrl {
    /// Writes the URL without its login.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.base)
    }
}

/// A label that the user adds to every metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    pub name: String,
    pub value: String,
}

/// The reason why a text is not a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    #[error("it must be NAME=VALUE")]
    NoValue,
    #[error("a name consists of letters, digits and _, and does not begin with a digit or __")]
    Name,
    #[error("the program sets this label itself")]
    Reserved,
}

/// The labels that metrics or Prometheus have already.
const RESERVED: [&str; 7] = ["job", "instance", "target", "status", "outcome", "reason", "version"];

impl Label {
    /// Parses `NAME=VALUE`.
    ///
    /// # Errors
    /// Refuses names that Prometheus does not take, and names that have a meaning already.
    pub fn parse(text: &str) -> Result<Self, LabelError> {
        let (name, value) = text.split_once('=').ok_or(LabelError::NoValue)?;
        if value.is_empty() {
            return Err(LabelError::NoValue);
        }
        let is_word = name.chars().all(|it| it.is_ascii_alphanumeric() || it == '_');
        let begins_badly = name.is_empty()
            || name.starts_with("__")
            || name.starts_with(|it: char| it.is_ascii_digit());
        if !is_word || begins_badly {
            return Err(LabelError::Name);
        }
        if RESERVED.contains(&name) {
            return Err(LabelError::Reserved);
        }
        Ok(Self { name: name.to_owned(), value: value.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_push_url_has_its_login_apart() {
        let url = PushUrl::parse("http://me:p%40ss@gateway:9091/sub/").unwrap();
        assert_eq!(url.to_string(), "http://gateway:9091/sub");
        assert_eq!((url.user.as_str(), url.password.expose_secret()), ("me", "p@ss"));
        assert!(url.has_password() && !format!("{url:?}").contains("p@ss"));
        let plain = PushUrl::parse("https://gateway").unwrap();
        assert_eq!(plain.to_string(), "https://gateway");
        assert!(!plain.has_password() && plain.user.is_empty());
    }

    #[test]
    fn what_is_no_push_url_is_refused_without_a_word_of_it() {
        let error = |text: &str| PushUrl::parse(text).unwrap_err();
        assert_eq!(error("gateway:9091"), PushUrlError::Scheme);
        assert_eq!(error("ftp://gateway"), PushUrlError::Scheme);
        assert_eq!(error("http://gateway?x=1"), PushUrlError::Rest);
        assert_eq!(error("http://u:%ff@gateway"), PushUrlError::Login);
    }

    #[test]
    fn a_label_has_a_name_of_its_own() {
        let label = Label { name: "env".to_owned(), value: "a=b".to_owned() };
        assert_eq!(Label::parse("env=a=b"), Ok(label));
        assert_eq!(Label::parse("env"), Err(LabelError::NoValue));
        assert_eq!(Label::parse("env="), Err(LabelError::NoValue));
        for name in ["", "1a", "a-b", "__a", "ä"] {
            assert_eq!(Label::parse(&format!("{name}=x")), Err(LabelError::Name), "{name}");
        }
        assert_eq!(Label::parse("job=x"), Err(LabelError::Reserved));
    }
}
