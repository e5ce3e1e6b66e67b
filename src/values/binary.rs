//! BINARY, VARBINARY and BLOB columns.
//!
//! Under `--binary hex` and `--binary base64` the statement sends fields through a variable, and
//! assigns `UNHEX(@variable)`. The verdicts are about that: a field that is exact, and the text in
//! `out`, consist of pairs of hexadecimal digits.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::number::trim;
use super::verdict::{BadKind, LossKind, Verdict};
use crate::choices::BinaryReading;

/// The rule of a binary column.
#[derive(Clone, Copy, Debug)]
pub(super) struct BinaryRule {
    limit: u64,
    /// True for BINARY, whose values all have the same length.
    is_fixed: bool,
    reading: BinaryReading,
}

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

impl BinaryRule {
    pub(super) fn new(limit: u64, is_fixed: bool, reading: BinaryReading) -> Self {
        Self { limit, is_fixed, reading }
    }

    pub(super) fn check(&self, text: &[u8], out: &mut Vec<u8>) -> Verdict {
        match self.reading {
            BinaryReading::Auto | BinaryReading::Raw => match self.fit(text.len()) {
                Fit::Exact => Verdict::Exact,
                Fit::TooLong => Verdict::Bad(BadKind::TooLong),
                Fit::Short(missing) => {
                    out.extend_from_slice(text);
                    out.resize(out.len() + missing, 0);
                    Verdict::Loss(LossKind::Padding)
                }
            },
            BinaryReading::Hex => {
                let trimmed = trim(text);
                let digits = [&b"0x"[..], b"0X", b"\\x"]
                    .iter()
                    .find_map(|prefix| trimmed.strip_prefix(*prefix))
                    .unwrap_or(trimmed);
                if !digits.len().is_multiple_of(2) || !digits.iter().all(u8::is_ascii_hexdigit) {
                    return Verdict::Bad(BadKind::NotHex);
                }
                let is_whole = digits.len() == text.len();
                self.decoded(digits.len() / 2, is_whole, out, |out| out.extend_from_slice(digits))
            }
            BinaryReading::Base64 => {
                // TO_BASE64 of MySQL breaks lines.
                let joined: Vec<u8> =
                    text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
                let Ok(bytes) = BASE64.decode(joined) else {
                    return Verdict::Bad(BadKind::NotBase64);
                };
                self.decoded(bytes.len(), text.is_empty(), out, |out| {
                    for byte in &bytes {
                        for digit in [byte >> 4, byte & 15] {
                            out.push(b"0123456789ABCDEF"[usize::from(digit)]);
                        }
                    }
                })
            }
        }
    }

    fn decoded(
        &self,
        length: usize,
        is_as_sent: bool,
        out: &mut Vec<u8>,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Verdict {
        match self.fit(length) {
            Fit::TooLong => Verdict::Bad(BadKind::TooLong),
            Fit::Exact if is_as_sent => Verdict::Exact,
            Fit::Exact => {
                write(out);
                Verdict::ExactAs
            }
            Fit::Short(missing) => {
                write(out);
                out.resize(out.len() + missing * 2, b'0');
                Verdict::Loss(LossKind::Padding)
            }
        }
    }

    fn fit(&self, length: usize) -> Fit {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        if length > limit {
            Fit::TooLong
        } else if self.is_fixed && length < limit {
            Fit::Short(limit - length)
        } else {
            Fit::Exact
        }
    }
}

enum Fit {
    Exact,
    TooLong,
    /// The number of missing bytes.
    Short(usize),
}
