//! Reads the certificates of an encrypted connection, and decides how strictly they are checked.

use std::path::Path;

use mysql_async::{ClientIdentity, SslOpts};

use super::options::TargetConfig;
use crate::choices::SslMode;
use crate::error::{Error, ErrorKind, Result};
use crate::small_file;

/// Reads the certificates.
pub(super) fn ssl_opts(target: &TargetConfig, mode: SslMode) -> Result<SslOpts> {
    let read = |flag: &str, path: &Path| {
        small_file::read(path).map_err(|error| {
            let message = format!("{flag} {} cannot be read", path.display());
            Error::new(ErrorKind::Usage, message).caused_by(error)
        })
    };
    let mut opts = SslOpts::default();
    if let Some(ca) = &target.ssl_ca {
        // A configured CA replaces the public ones, as with the mysql client.
        opts = opts
            .with_root_certs(vec![read("--ssl-ca", ca)?.into()])
            .with_disable_built_in_roots(true);
    }
    if let (Some(cert), Some(key)) = (&target.ssl_cert, &target.ssl_key) {
        opts = opts.with_client_identity(Some(ClientIdentity::new(
            read("--ssl-cert", cert)?.into(),
            read("--ssl-key", key)?.into(),
        )));
    }
    Ok(match mode {
        SslMode::VerifyIdentity => opts,
        SslMode::VerifyCa => opts.with_danger_skip_domain_validation(true),
        // These modes encrypt but do not authenticate, as documented.
        SslMode::Disabled | SslMode::Preferred | SslMode::Required => {
            opts.with_danger_accept_invalid_certs(true).with_danger_skip_domain_validation(true)
        }
    })
}

/// Returns a name for which the certificate is valid, from the error about a name for which it is
/// not.
pub(super) fn name_in_certificate(error: &str) -> Option<String> {
    let names = error.split_once("certificate is only valid for ")?.1;
    let name = match names.strip_prefix("DnsName(\"") {
        Some(name) => name.split_once('"')?.0,
        None => names.strip_prefix("IpAddress(")?.split_once(')')?.0,
    };
    // A wildcard is not a name, but matches this one.
    Some(name.strip_prefix("*.").map_or_else(|| name.to_owned(), |domain| format!("any.{domain}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_in_what_the_certificate_is_valid_for() {
        let text = |names: &str| {
            format!(
                "invalid peer certificate: certificate not valid for name \"h\"; certificate is \
                 only valid for {names}"
            )
        };
        let found = |names: &str| name_in_certificate(&text(names));
        assert_eq!(
            found("DnsName(\"db.example\") or IpAddress(10.0.0.1)").as_deref(),
            Some("db.example")
        );
        assert_eq!(
            found("IpAddress(10.0.0.1) or DnsName(\"db.example\")").as_deref(),
            Some("10.0.0.1")
        );
        assert_eq!(found("DnsName(\"*.db.example\")").as_deref(), Some("any.db.example"));
        assert_eq!(name_in_certificate("invalid peer certificate: UnknownIssuer"), None);
    }
}
