//! The checksum of the staged bytes, and its comparison with the one that the store holds.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crc_fast::CrcAlgorithm;
use sha2::Digest as _;

use crate::object::{Checksum, ChecksumAlgorithm, PartChecksum};

/// A running checksum over an object's bytes.
#[derive(Clone)]
pub(super) enum Hasher {
    Crc32(crc_fast::Digest),
    Crc64(crc_fast::Digest),
    Sha1(sha1::Sha1),
    Sha256(sha2::Sha256),
}

impl Hasher {
    pub(super) fn new(algorithm: ChecksumAlgorithm) -> Self {
        match algorithm {
            ChecksumAlgorithm::Crc64Nvme => {
                Self::Crc64(crc_fast::Digest::new(CrcAlgorithm::Crc64Nvme))
            }
            ChecksumAlgorithm::Crc32 => {
                Self::Crc32(crc_fast::Digest::new(CrcAlgorithm::Crc32IsoHdlc))
            }
            ChecksumAlgorithm::Crc32c => {
                Self::Crc32(crc_fast::Digest::new(CrcAlgorithm::Crc32Iscsi))
            }
            ChecksumAlgorithm::Sha1 => Self::Sha1(sha1::Sha1::new()),
            ChecksumAlgorithm::Sha256 => Self::Sha256(sha2::Sha256::new()),
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Crc32(digest) | Self::Crc64(digest) => digest.update(bytes),
            Self::Sha1(digest) => digest.update(bytes),
            Self::Sha256(digest) => digest.update(bytes),
        }
    }

    /// Returns the checksum to keep for a part; `None` if such checksums cannot be combined.
    pub(super) fn part(&self, algorithm: ChecksumAlgorithm) -> Option<PartChecksum> {
        match self {
            Self::Crc32(digest) | Self::Crc64(digest) => {
                Some(PartChecksum { algorithm, value: digest.finalize() })
            }
            Self::Sha1(_) | Self::Sha256(_) => None,
        }
    }

    /// Returns the checksum in the form of [`Checksum::value`].
    pub(super) fn finish(self) -> String {
        match self {
            // S3 sends a CRC in big-endian order; a 32-bit CRC is in the low half.
            Self::Crc32(digest) => STANDARD.encode(&digest.finalize().to_be_bytes()[4..]),
            Self::Crc64(digest) => STANDARD.encode(digest.finalize().to_be_bytes()),
            Self::Sha1(digest) => STANDARD.encode(digest.finalize()),
            Self::Sha256(digest) => STANDARD.encode(digest.finalize()),
        }
    }
}

/// Returns the polynomial of an algorithm whose checksums can be combined.
pub(super) fn combinable(algorithm: ChecksumAlgorithm) -> Option<CrcAlgorithm> {
    match algorithm {
        ChecksumAlgorithm::Crc64Nvme => Some(CrcAlgorithm::Crc64Nvme),
        ChecksumAlgorithm::Crc32 => Some(CrcAlgorithm::Crc32IsoHdlc),
        ChecksumAlgorithm::Crc32c => Some(CrcAlgorithm::Crc32Iscsi),
        ChecksumAlgorithm::Sha1 | ChecksumAlgorithm::Sha256 => None,
    }
}

/// Returns the checksum of an object, in the form of [`Checksum::value`], from the checksums and
/// lengths of its parts in order. Returns `None` if a part has no checksum of this algorithm, or if
/// the algorithm's checksums cannot be combined.
pub(super) fn of_parts(
    algorithm: ChecksumAlgorithm,
    parts: impl Iterator<Item = (Option<PartChecksum>, u64)>,
) -> Option<String> {
    let crc = combinable(algorithm)?;
    let mut whole = crc_fast::checksum(crc, b"");
    for (part, size_bytes) in parts {
        let part = part.filter(|part| part.algorithm == algorithm)?;
        whole = crc_fast::checksum_combine(crc, whole, part.value, size_bytes);
    }
    Some(encode(algorithm, whole))
}

/// Encodes a CRC as S3 does, in big-endian order. A 32-bit CRC is in the low half.
fn encode(algorithm: ChecksumAlgorithm, crc: u64) -> String {
    match algorithm {
        ChecksumAlgorithm::Crc64Nvme => STANDARD.encode(crc.to_be_bytes()),
        _ => STANDARD.encode(&crc.to_be_bytes()[4..]),
    }
}

/// Returns true if `computed` equals the store's value. Either may omit the padding.
pub(super) fn matches(expected: &Checksum, computed: &str) -> bool {
    expected.value.trim_end_matches('=') == computed.trim_end_matches('=')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Uses the check values that the algorithms' definitions give for "123456789".
    #[test]
    fn every_algorithm_gives_its_published_check_value() {
        let cases: [(ChecksumAlgorithm, &[u8]); 5] = [
            (ChecksumAlgorithm::Crc32, &0xcbf4_3926_u32.to_be_bytes()),
            (ChecksumAlgorithm::Crc32c, &0xe306_9283_u32.to_be_bytes()),
            (ChecksumAlgorithm::Crc64Nvme, &0xae8b_1486_0a79_9888_u64.to_be_bytes()),
            (
                ChecksumAlgorithm::Sha1,
                &[
                    0xf7, 0xc3, 0xbc, 0x1d, 0x80, 0x8e, 0x04, 0x73, 0x2a, 0xdf, 0x67, 0x99, 0x65,
                    0xcc, 0xc3, 0x4c, 0xa7, 0xae, 0x34, 0x41,
                ],
            ),
            (
                ChecksumAlgorithm::Sha256,
                &[
                    0x15, 0xe2, 0xb0, 0xd3, 0xc3, 0x38, 0x91, 0xeb, 0xb0, 0xf1, 0xef, 0x60, 0x9e,
                    0xc4, 0x19, 0x42, 0x0c, 0x20, 0xe3, 0x20, 0xce, 0x94, 0xc6, 0x5f, 0xbc, 0x8c,
                    0x33, 0x12, 0x44, 0x8e, 0xb2, 0x25,
                ],
            ),
        ];
        for (algorithm, expected) in cases {
            let mut hasher = Hasher::new(algorithm);
            hasher.update(b"1234");
            hasher.update(b"56789");
            let expected = Checksum { algorithm, value: STANDARD.encode(expected) };
            assert!(matches(&expected, &hasher.finish()), "{algorithm:?}");
        }
    }

    #[test]
    fn the_checksums_of_parts_give_that_of_the_whole_however_it_is_cut() {
        let bytes = b"123456789";
        for algorithm in
            [ChecksumAlgorithm::Crc32, ChecksumAlgorithm::Crc32c, ChecksumAlgorithm::Crc64Nvme]
        {
            let of = |bytes: &[u8]| {
                let mut hasher = Hasher::new(algorithm);
                hasher.update(bytes);
                hasher
            };
            for size in 1..=bytes.len() {
                let parts =
                    bytes.chunks(size).map(|part| (of(part).part(algorithm), part.len() as u64));
                assert_eq!(
                    of_parts(algorithm, parts),
                    Some(of(bytes).finish()),
                    "{algorithm:?} in parts of {size}"
                );
            }
        }
        assert_eq!(of_parts(ChecksumAlgorithm::Crc32, [(None, 3)].into_iter()), None);
        assert_eq!(of_parts(ChecksumAlgorithm::Sha256, std::iter::empty()), None);
    }
}
