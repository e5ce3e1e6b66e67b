//! Checks the files that the SDK and its TLS library read as a whole, before they read them.
//!
//! They read such a file into memory without a limit, more than once, and wait for a pipe. So a
//! device without an end would take all memory, and a pipe that nobody writes to would hold the run
//! where no signal reaches it.

use std::env;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};
use crate::small_file;

/// The variables that name a file, each with the file below the home directory that is read if the
/// variable is not set.
const FILES: [(&str, Option<&str>); 5] = [
    ("AWS_CONFIG_FILE", Some(".aws/config")),
    ("AWS_SHARED_CREDENTIALS_FILE", Some(".aws/credentials")),
    ("AWS_WEB_IDENTITY_TOKEN_FILE", None),
    ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", None),
    ("SSL_CERT_FILE", None),
];

/// Checks that each of the files is a regular one and small, if it exists. Blocking.
///
/// # Errors
/// `Usage`, which names the variable and the path.
pub(super) fn check() -> Result<()> {
    let home = env::var_os("HOME").map(PathBuf::from);
    for (variable, default) in FILES {
        let (path, what) = match env::var_os(variable).filter(|value| !value.is_empty()) {
            Some(value) => (in_home(Path::new(&value), home.as_deref()), variable),
            None => match (default, &home) {
                (Some(default), Some(home)) => (home.join(default), "the AWS SDK's file"),
                _ => continue,
            },
        };
        small_file::check(&path).map_err(|error| {
            let message = format!("{what} {} cannot be used", path.display());
            Error::new(ErrorKind::Usage, message)
                .caused_by(error)
                .with_hint(format!("set {variable} to another file; /dev/null is an empty one"))
        })?;
    }
    Ok(())
}

/// Returns the path with `~` replaced, as the SDK does.
fn in_home(path: &Path, home: Option<&Path>) -> PathBuf {
    match (path.strip_prefix("~"), home) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path.to_owned(),
    }
}
