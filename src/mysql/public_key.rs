//! Reads the public RSA key of a MySQL server, which encrypts a password on a connection without
//! TLS.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
const END: &str = "-----END PUBLIC KEY-----";
/// The DER encoding of rsaEncryption, 1.2.840.113549.1.1.1.
const RSA_ENCRYPTION: [u8; 11] = [0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x01];

/// A server's public RSA key, of which the user has a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    der: Vec<u8>,
}

impl PublicKey {
    /// Reads the key from PEM text, as in the `public_key.pem` of a MySQL server.
    ///
    /// # Errors
    /// Returns what is wrong with the text.
    pub fn from_pem(pem: &str) -> Result<Self, &'static str> {
        let body = pem
            .split_once(BEGIN)
            .and_then(|(_, rest)| rest.split_once(END))
            .ok_or("there is no PUBLIC KEY in it (PEM)")?
            .0;
        let digits: String = body.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        let der = STANDARD.decode(digits).map_err(|_| "its PUBLIC KEY is not valid base64")?;
        if der.windows(RSA_ENCRYPTION.len()).any(|window| window == RSA_ENCRYPTION) {
            Ok(Self { der })
        } else {
            Err("its PUBLIC KEY is not an RSA key")
        }
    }

    /// Returns the key as PEM text that contains nothing else.
    pub(super) fn to_pem(&self) -> String {
        format!("{BEGIN}\n{}\n{END}\n", STANDARD.encode(&self.der))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "-----BEGIN PUBLIC KEY-----\n\
        MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAKj34GkxFhD90vcNLYLInFEX6Ppy1tPf\n\
        9Cnzj4p4WGeKLs1Pt8QuKUpRKfFLfRYC9AIKjbJTWit+CqvjWYzvQwECAwEAAQ==\n\
        -----END PUBLIC KEY-----\n";

    #[test]
    fn a_key_is_the_same_however_its_lines_break() {
        let key = PublicKey::from_pem(KEY).unwrap();
        assert_eq!(PublicKey::from_pem(&KEY.replace('\n', "\r\n")), Ok(key.clone()));
        assert_eq!(PublicKey::from_pem(&key.to_pem()), Ok(key));
    }

    #[test]
    fn what_is_no_public_rsa_key_is_refused() {
        let private = KEY.replace("PUBLIC", "PRIVATE");
        let broken = KEY.replace("MFww", "M!ww");
        let empty = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
        for text in ["", &private, &broken, empty] {
            assert!(PublicKey::from_pem(text).is_err(), "{text}");
        }
    }
}
