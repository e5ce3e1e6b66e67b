//! The recognition of files that are not text by their first bytes.
//!
//! Names prove nothing: `.csv` objects are often gzip, because somebody chose the wrong name or
//! used a `Content-Encoding`.

/// A format that LOAD DATA cannot read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Signature {
    pub(super) name: &'static str,
    head: &'static [u8],
    /// More bytes that the file must hold, and their distance from its end: for short heads that
    /// text could also begin with.
    tail: Option<(&'static [u8], usize)>,
}

/// The number of bytes at a file's start that [`recognise`] looks at.
pub(super) const HEAD_BYTES: usize = 12;
/// The number of bytes at a file's end that [`recognise`] looks at.
pub(super) const TAIL_BYTES: usize = 8;

const SIGNATURES: [Signature; 7] = [
    Signature { name: "gzip", head: b"\x1f\x8b", tail: None },
    Signature { name: "zstd", head: b"\x28\xb5\x2f\xfd", tail: None },
    Signature { name: "bzip2", head: b"BZh", tail: None },
    Signature { name: "xz", head: b"\xfd7zXZ\0", tail: None },
    Signature { name: "Parquet", head: b"PAR1", tail: Some((b"PAR1", 0)) },
    // The last byte of an ORC file is the length of its postscript, whose last field (number 8000,
    // three bytes long) is the magic. Without the field's tag, text whose first and last word is
    // ORC would match.
    Signature { name: "ORC", head: b"ORC", tail: Some((b"\x82\xf4\x03\x03ORC", 1)) },
    Signature { name: "Avro", head: b"Obj\x01", tail: None },
];

/// Returns true if the head continues as a bzip2 stream: with its block size, then the first digits
/// of pi or, in an empty stream, of the square root of pi.
fn is_bzip2(head: &[u8]) -> bool {
    head.get(3).is_some_and(|size| (b'1'..=b'9').contains(size))
        && head
            .get(4..10)
            .is_some_and(|magic| magic == b"1AY&SY" || magic == b"\x17\x72\x45\x38\x50\x90")
}

/// Returns the format of a file with this start and end. If the end is not known yet, returns only
/// a format that the start alone proves.
pub(super) fn recognise(head: &[u8], tail: Option<&[u8]>) -> Option<&'static str> {
    SIGNATURES
        .iter()
        .find(|signature| {
            head.starts_with(signature.head)
                // In a short file, the head may be the whole file: the same bytes must not count
                // as head and tail.
                && signature.tail.is_none_or(|(bytes, from_end)| {
                    head.len() >= signature.head.len() + bytes.len() + from_end
                })
                && (signature.name != "bzip2" || is_bzip2(head))
                && signature.tail.is_none_or(|(bytes, from_end)| {
                    tail.and_then(|tail| tail.get(..tail.len().checked_sub(from_end)?))
                        .is_some_and(|tail| tail.ends_with(bytes))
                })
        })
        .map(|signature| signature.name)
}

/// Returns true if only the end of a file with this start can identify its format.
pub(super) fn depends_on_end(head: &[u8]) -> bool {
    SIGNATURES.iter().any(|signature| signature.tail.is_some() && head.starts_with(signature.head))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_begins_like_a_magic_is_still_text() {
        for text in [
            "ORC,elf\n1,2\n",
            "ORC and then ORC\n",
            "PAR1 score\n",
            "PAR1",
            "ORC\n",
            "BZh 91\n",
            "BZh9 rows\n",
            "Obj1\n",
        ] {
            let bytes = text.as_bytes();
            let head = &bytes[..bytes.len().min(HEAD_BYTES)];
            assert_eq!(
                recognise(head, Some(&bytes[bytes.len().saturating_sub(TAIL_BYTES)..])),
                None,
                "{text:?}"
            );
        }
    }

    #[test]
    fn each_format_is_known_by_its_own_bytes() {
        assert_eq!(recognise(b"\x1f\x8b\x08\0\0\0\0\0\0\x03", Some(b"\0\0\0\0")), Some("gzip"));
        assert_eq!(
            recognise(b"\x28\xb5\x2f\xfd\x24\0\x01\0\0\x99", Some(b"\xe9\xd8\x51\xef")),
            Some("zstd")
        );
        assert_eq!(recognise(b"BZh91AY&SY", Some(b"\0\0\0\0")), Some("bzip2"));
        assert_eq!(recognise(b"BZh9\x17\x72\x45\x38\x50\x90", Some(b"\0\0\0\0")), Some("bzip2"));
        assert_eq!(recognise(b"\xfd7zXZ\0\0\x04\xe6\xd6", Some(b"\0\0YZ")), Some("xz"));
        assert_eq!(
            recognise(b"PAR1\x15\x04\x15\x10\x15\x14", Some(b"\0\0\0\0PAR1")),
            Some("Parquet")
        );
        assert_eq!(
            recognise(b"ORC\x0a\x0b\x0a\x03\0\0\0\0\0", Some(b"\x82\xf4\x03\x03ORC\x17")),
            Some("ORC")
        );
        assert_eq!(recognise(b"Obj\x01\x04\x14avro", Some(b"\0\0\0\0")), Some("Avro"));
    }

    #[test]
    fn a_file_shorter_than_a_magic_is_text() {
        assert_eq!(recognise(b"", Some(b"")), None);
        assert_eq!(recognise(b"B", Some(b"B")), None);
        assert_eq!(recognise(b"ORC", Some(b"ORC")), None);
    }

    #[test]
    fn a_start_that_proves_nothing_waits_for_the_end() {
        assert_eq!(recognise(b"PAR1\x15\x04\x15\x10\x15\x14", None), None);
        assert_eq!(recognise(b"\x1f\x8b", None), Some("gzip"));
    }
}
