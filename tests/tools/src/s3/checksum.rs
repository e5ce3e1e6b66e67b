//! The checksums that S3 keeps with an object, of the whole object or composed from its parts.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use s3s::crypto::{Checksum as _, Crc32, Crc32c, Crc64Nvme, Md5, Sha1, Sha256};

/// A checksum algorithm of S3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    Crc32,
    Crc32c,
    Crc64Nvme,
    Sha1,
    Sha256,
}

/// A checksum that the store returns for `x-amz-checksum-mode: ENABLED`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StoredChecksum {
    pub(super) algorithm: Algorithm,
    /// The value in Base64, with `-N` at the end if it is composed from N parts.
    pub(super) value: String,
    pub(super) is_composite: bool,
}

impl StoredChecksum {
    pub(super) fn of(algorithm: Algorithm, content: &[u8]) -> Self {
        let value = STANDARD.encode(digest(algorithm, [content]));
        Self { algorithm, value, is_composite: false }
    }

    /// Computes the checksum of the parts' checksums, as an upload in `part_count` parts leaves it.
    pub(super) fn composite(algorithm: Algorithm, content: &Bytes, part_count: usize) -> Self {
        let part_count = part_count.max(1);
        let part_bytes = content.len().div_ceil(part_count).max(1);
        let of_parts: Vec<Vec<u8>> =
            content.chunks(part_bytes).map(|part| digest(algorithm, [part])).collect();
        let whole = digest(algorithm, of_parts.iter().map(Vec::as_slice));
        Self {
            algorithm,
            value: format!("{}-{part_count}", STANDARD.encode(whole)),
            is_composite: true,
        }
    }

    /// Returns the same checksum with a wrong value, as a store that lies, or a proxy that changes
    /// headers, would send it.
    pub(super) fn wrong(&self) -> Self {
        let value = STANDARD.encode(digest(self.algorithm, [self.value.as_bytes()]));
        Self { value, ..self.clone() }
    }
}

/// Both digests of one pass over content that does not fit into memory.
pub(super) struct FileDigests {
    md5: Md5,
    crc64: Crc64Nvme,
}

impl FileDigests {
    pub(super) fn new() -> Self {
        Self { md5: Md5::new(), crc64: Crc64Nvme::new() }
    }

    pub(super) fn update(&mut self, chunk: &[u8]) {
        self.md5.update(chunk);
        self.crc64.update(chunk);
    }

    pub(super) fn finish(self) -> (String, StoredChecksum) {
        let value = STANDARD.encode(self.crc64.finalize());
        (
            hex(self.md5.finalize().as_ref()),
            StoredChecksum { algorithm: Algorithm::Crc64Nvme, value, is_composite: false },
        )
    }
}

/// Returns the ETag of an object that was written in one piece: its MD5 in hex, without quotes.
pub(super) fn md5_hex(content: &[u8]) -> String {
    hex(Md5::checksum(content).as_ref())
}

/// Returns the bytes in hex, as two lowercase digits each.
pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    bytes
        .iter()
        .flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]])
        .collect()
}

fn digest<'a>(algorithm: Algorithm, chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    fn run<'a, C: s3s::crypto::Checksum>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8>
    where
        C::Output: AsRef<[u8]>,
    {
        let mut state = C::new();
        chunks.into_iter().for_each(|chunk| state.update(chunk));
        state.finalize().as_ref().to_vec()
    }
    match algorithm {
        Algorithm::Crc32 => run::<Crc32>(chunks),
        Algorithm::Crc32c => run::<Crc32c>(chunks),
        Algorithm::Crc64Nvme => run::<Crc64Nvme>(chunks),
        Algorithm::Sha1 => run::<Sha1>(chunks),
        Algorithm::Sha256 => run::<Sha256>(chunks),
    }
}
