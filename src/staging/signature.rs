//! The recognition of files that are not text by their first bytes.
//!
//! Names prove nothing: `.csv` objects are often gzip, because somebody chose the wrong name or
//! used a `Content-Encoding`.
//!
//! Text may begin with any printable characters: a price list with `BM`, a list of formats with
//! `GIF89a`. So a signature that is printable or short counts only together with bytes that such a
//! file must have, and text hardly can.

/// A format that LOAD DATA cannot read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Format {
    /// The name, as in "this is gzip data".
    pub(super) name: &'static str,
    pub(super) remedy: &'static str,
    /// True for text, of which only the characters are written in another way.
    pub(super) is_text: bool,
}

/// The bytes that identify a format.
struct Signature {
    format: Format,
    head: &'static [u8],
    /// Returns true if the rest of the head is that of the format, too.
    has_more: fn(&[u8]) -> bool,
    /// More bytes that the file must hold, and their distance from its end: for short heads that
    /// text could also begin with.
    tail: Option<(&'static [u8], usize)>,
}

/// The number of bytes at a file's start that [`recognise`] looks at.
pub(super) const HEAD_BYTES: usize = 1024;
/// The number of bytes at a file's end that [`recognise`] looks at.
pub(super) const TAIL_BYTES: usize = 8;

/// The remedy for files that nobody wants in a table.
const LEAVE_OUT: &str = "leave it out with --exclude, or name the right prefix";
const OFFICE: &str = "save the sheet as CSV";
const PARQUET: &str = if cfg!(feature = "columnar") {
    "--format parquet loads it into the columns that its columns are named after"
} else {
    "a build with the feature columnar loads it; convert it to delimited text otherwise"
};
const UTF_16: &str = "convert it first: `iconv -f UTF-16 -t UTF-8`";
/// The first bytes by which UTF-16 without a byte order mark is known. A text in which each second
/// byte is 0 by chance is shorter.
const WIDE_BYTES: usize = 32;

const fn of(
    name: &'static str,
    head: &'static [u8],
    has_more: fn(&[u8]) -> bool,
    remedy: &'static str,
) -> Signature {
    Signature { format: Format { name, remedy, is_text: false }, head, has_more, tail: None }
}

/// Returns the signature of text in an encoding of wide characters.
const fn wide(
    name: &'static str,
    head: &'static [u8],
    has_more: fn(&[u8]) -> bool,
    remedy: &'static str,
) -> Signature {
    Signature { format: Format { name, remedy, is_text: true }, head, has_more, tail: None }
}

const fn ending(
    name: &'static str,
    head: &'static [u8],
    tail: (&'static [u8], usize),
    remedy: &'static str,
) -> Signature {
    let format = Format { name, remedy, is_text: false };
    Signature { format, head, has_more: anything, tail: Some(tail) }
}

/// More than one may match: the first counts.
static SIGNATURES: [Signature; 51] = [
    wide(
        "text in UTF-32",
        b"\xff\xfe\0\0",
        anything,
        "convert it first: `iconv -f UTF-32 -t UTF-8`",
    ),
    wide(
        "text in UTF-32",
        b"\0\0\xfe\xff",
        anything,
        "convert it first: `iconv -f UTF-32 -t UTF-8`",
    ),
    wide("text in UTF-16", b"\xff\xfe", |head| has_ascii(head, 1), UTF_16),
    wide("text in UTF-16", b"\xfe\xff", |head| has_ascii(head, 0), UTF_16),
    wide(
        "text in UTF-16",
        b"",
        |head| is_ascii(head, 1),
        "convert it: `iconv -f UTF-16LE -t UTF-8`",
    ),
    wide(
        "text in UTF-16",
        b"",
        |head| is_ascii(head, 0),
        "convert it: `iconv -f UTF-16BE -t UTF-8`",
    ),
    of("gzip data", b"\x1f\x8b", anything, "unpack it first: `gzip -dc`"),
    of("zstd data", b"\x28\xb5\x2f\xfd", anything, "unpack it first: `zstd -dc`"),
    of("bzip2 data", b"BZh", is_bzip2, "unpack it first: `bzip2 -dc`"),
    of("xz data", b"\xfd7zXZ\0", anything, "unpack it first: `xz -dc`"),
    of("lz4 data", b"\x04\x22\x4d\x18", anything, "unpack it first: `lz4 -dc`"),
    of("lz4 data in the legacy format", b"\x02\x21\x4c\x18", anything, "unpack it: `lz4 -dc`"),
    of("snappy data", b"\xff\x06\0\0sNaPpY", anything, "unpack it first: `snzip -dc`"),
    of("snappy data in Xerial's format", b"\x82SNAPPY\0", anything, "unpack it: `snzip -dc`"),
    of("compress data", b"\x1f\x9d", anything, "unpack it first: `gzip -dc`"),
    of("lzip data", b"LZIP\x01", anything, "unpack it first: `lzip -dc`"),
    of("lzop data", b"\x89LZO\0\r\n\x1a\n", anything, "unpack it first: `lzop -dc`"),
    ending("Parquet data", b"PAR1", (b"PAR1", 0), PARQUET),
    // The last byte of an ORC file is the length of its postscript, whose last field (number 8000,
    // three bytes long) is the magic. Without the field's tag, text whose first and last word is
    // ORC would match.
    ending("ORC data", b"ORC", (b"\x82\xf4\x03\x03ORC", 1), "convert it to delimited text first"),
    of("Avro data", b"Obj\x01", anything, "convert it to delimited text first"),
    of("Arrow data", b"ARROW1\0\0", anything, "convert it to delimited text first"),
    of("HDF5 data", b"\x89HDF\r\n\x1a\n", anything, "convert it to delimited text first"),
    of("a tar archive", b"", is_tar, "unpack it first: `tar -xOf` writes its files one by one"),
    of("an Office document (xlsx, docx)", b"PK\x03\x04", is_office, OFFICE),
    of("an Office document (xls, doc)", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", anything, OFFICE),
    of("a Java archive", b"PK\x03\x04", is_jar, LEAVE_OUT),
    of("a zip archive", b"PK\x03\x04", is_zip_entry, "unpack it first: `unzip -p`"),
    of("a zip archive", b"PK\x05\x06", is_empty_zip, LEAVE_OUT),
    of("a zip archive", b"PK\x07\x08PK\x03\x04", anything, "unpack it first: `unzip -p`"),
    of("a 7z archive", b"7z\xbc\xaf\x27\x1c", anything, "unpack it first: `7z x -so`"),
    of("a rar archive", b"Rar!\x1a\x07", anything, "unpack it first: `unrar p -inul`"),
    of("a PDF document", b"%PDF-", is_pdf, "export its tables as CSV where it was made"),
    of("a SQLite database", b"SQLite format 3\0", anything, "export a table: `sqlite3 -csv`"),
    of("an ELF executable", b"\x7fELF", is_elf, LEAVE_OUT),
    of("a Windows executable", b"MZ", is_windows_executable, LEAVE_OUT),
    of("a macOS executable", b"\xfe\xed\xfa\xce", anything, LEAVE_OUT),
    of("a macOS executable", b"\xfe\xed\xfa\xcf", anything, LEAVE_OUT),
    of("a macOS executable", b"\xce\xfa\xed\xfe", anything, LEAVE_OUT),
    of("a macOS executable", b"\xcf\xfa\xed\xfe", anything, LEAVE_OUT),
    of("a macOS executable", b"\xca\xfe\xba\xbe\0\0\0", is_fat_executable, LEAVE_OUT),
    of("a Java class", b"\xca\xfe\xba\xbe", is_class, LEAVE_OUT),
    of("a PNG image", b"\x89PNG\r\n\x1a\n", anything, LEAVE_OUT),
    of("a JPEG image", b"\xff\xd8\xff", is_jpeg, LEAVE_OUT),
    of("a GIF image", b"GIF87a", is_gif, LEAVE_OUT),
    of("a GIF image", b"GIF89a", is_gif, LEAVE_OUT),
    of("a WebP image", b"RIFF", is_webp, LEAVE_OUT),
    of("a TIFF image", b"II*\0", |head| is_tiff(head, [7, 6, 5, 4]), LEAVE_OUT),
    of("a TIFF image", b"MM\0*", |head| is_tiff(head, [4, 5, 6, 7]), LEAVE_OUT),
    of("a BMP image", b"BM", is_bmp, LEAVE_OUT),
    of("a sound or video file", b"RIFF", is_wave_or_avi, LEAVE_OUT),
    of("a Python pickle", b"\x80", is_pickle, "convert it to delimited text first"),
];

fn anything(_: &[u8]) -> bool {
    true
}

/// Returns the four bytes at `at`, in the order of little-endian numbers.
fn number(head: &[u8], at: usize) -> Option<u32> {
    let bytes = head.get(at..at + 4)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

fn holds(head: &[u8], at: usize, bytes: &[u8]) -> bool {
    head.get(at..).is_some_and(|rest| rest.starts_with(bytes))
}

/// Returns true if the head continues as a bzip2 stream: with its block size, then the first digits
/// of pi or, in an empty stream, of the square root of pi.
fn is_bzip2(head: &[u8]) -> bool {
    head.get(3).is_some_and(|size| (b'1'..=b'9').contains(size))
        && (holds(head, 4, b"1AY&SY") || holds(head, 4, b"\x17\x72\x45\x38\x50\x90"))
}

/// Returns true if any character but the first is one of ASCII in UTF-16, with its zero byte at
/// this place. Delimiters and line ends are.
fn has_ascii(head: &[u8], zero: usize) -> bool {
    head.chunks_exact(2).skip(1).any(|pair| pair[zero] == 0 && pair[1 - zero].is_ascii())
}

/// Returns true if all characters are ones of ASCII in UTF-16, with their zero bytes at this place.
fn is_ascii(head: &[u8], zero: usize) -> bool {
    let is_one = |pair: &[u8]| pair[zero] == 0 && (1..0x80).contains(&pair[1 - zero]);
    head.get(..WIDE_BYTES).is_some_and(|first| first.chunks_exact(2).all(is_one))
}

/// Returns true for the header of a tar entry. GNU tar writes blanks where POSIX has a version.
fn is_tar(head: &[u8]) -> bool {
    holds(head, 257, b"ustar\0") || holds(head, 257, b"ustar  \0")
}

/// Returns true for the header of a zip entry: the version and the system that made it are small
/// numbers, and the entry has a name.
fn is_zip_entry(head: &[u8]) -> bool {
    head.get(4).is_some_and(|version| *version < 100)
        && head.get(5).is_some_and(|system| *system < 32)
        && (head.get(26..28).is_some_and(|length| length != b"\0\0"))
}

fn is_office(head: &[u8]) -> bool {
    is_zip_entry(head)
        && [&b"[Content_Types].xml"[..], b"_rels/", b"docProps/", b"xl/", b"word/", b"ppt/"]
            .iter()
            .any(|name| holds(head, 30, name))
}

fn is_jar(head: &[u8]) -> bool {
    is_zip_entry(head) && holds(head, 30, b"META-INF/")
}

fn is_empty_zip(head: &[u8]) -> bool {
    head.len() >= 22 && head[4..20].iter().all(|byte| *byte == 0)
}

/// Returns true if the version ends the first line, and a comment or an object begins the second.
fn is_pdf(head: &[u8]) -> bool {
    let Some([major, b'.', minor, rest @ ..]) = head.get(5..) else { return false };
    if !major.is_ascii_digit() || !minor.is_ascii_digit() {
        return false;
    }
    let line = rest.trim_ascii_start();
    let is_line_end =
        rest[..rest.len() - line.len()].iter().any(|byte| matches!(byte, b'\r' | b'\n'));
    let is_object = || {
        let text = &line[..line.iter().position(|byte| matches!(byte, b'\r' | b'\n')).unwrap_or(0)];
        let mut words = text.split(|byte| *byte == b' ');
        let mut is_number = || {
            words.next().is_some_and(|word| !word.is_empty() && word.iter().all(u8::is_ascii_digit))
        };
        is_number() && is_number() && words.next().is_some_and(|word| word.starts_with(b"obj"))
    };
    is_line_end && (line.first() == Some(&b'%') || is_object())
}

/// Returns true if the word size and the byte order are valid.
fn is_elf(head: &[u8]) -> bool {
    matches!(head.get(4..7), Some([1 | 2, 1 | 2, 1]))
}

/// Returns true if the old program's header points to the one of the Windows program.
fn is_windows_executable(head: &[u8]) -> bool {
    number(head, 0x3c)
        .and_then(|at| usize::try_from(at).ok())
        .is_some_and(|at| (0x40..HEAD_BYTES).contains(&at) && holds(head, at, b"PE\0\0"))
}

/// Returns true if the number of architectures is one that an executable has. In a Java class, this
/// would be a version that never existed.
fn is_fat_executable(head: &[u8]) -> bool {
    head.get(7).is_some_and(|count| (1..20).contains(count))
}

/// Returns true if the version is one of Java's.
fn is_class(head: &[u8]) -> bool {
    matches!(head.get(6..8), Some([0, 44..=120]))
}

fn is_jpeg(head: &[u8]) -> bool {
    match head.get(3) {
        Some(0xe0) => holds(head, 6, b"JFIF\0"),
        Some(0xe1) => holds(head, 6, b"Exif\0"),
        Some(0xdb | 0xc0 | 0xc4 | 0xee | 0xed | 0xfe | 0xe2) => {
            head.get(4).is_some_and(|length| *length < 32)
        }
        _ => false,
    }
}

/// Returns true if the picture has a size, and pixels that are not stretched.
fn is_gif(head: &[u8]) -> bool {
    head.get(12) == Some(&0) && head.get(6..8) != Some(b"\0\0") && head.get(8..10) != Some(b"\0\0")
}

fn is_webp(head: &[u8]) -> bool {
    [&b"WEBPVP8 "[..], b"WEBPVP8L", b"WEBPVP8X"].iter().any(|chunk| holds(head, 8, chunk))
}

fn is_wave_or_avi(head: &[u8]) -> bool {
    holds(head, 8, b"WAVEfmt ") || holds(head, 8, b"AVI LIST")
}

/// Returns true if the first directory, whose offset has its bytes at these places, can be there.
fn is_tiff(head: &[u8], places: [usize; 4]) -> bool {
    let offset =
        places.iter().try_fold(0, |offset: u32, at| Some(offset << 8 | u32::from(*head.get(*at)?)));
    // It is even, after the header, and in the first half GiB: its first byte is not printable.
    offset.is_some_and(|offset| offset >= 8 && offset % 2 == 0 && offset < 0x2000_0000)
}

/// Returns true if the reserved bytes are zero and the second header has a size that exists.
fn is_bmp(head: &[u8]) -> bool {
    number(head, 6) == Some(0)
        && matches!(number(head, 14), Some(12 | 40 | 52 | 56 | 64 | 108 | 124))
}

/// Returns true for the protocols that frame their content.
fn is_pickle(head: &[u8]) -> bool {
    matches!(head.get(1..3), Some([4 | 5, 0x95]))
}

/// Returns the format of a file with this start and end. If the end is not known yet, returns only
/// a format that the start alone proves.
pub(super) fn recognise(head: &[u8], tail: Option<&[u8]>) -> Option<&'static Format> {
    SIGNATURES
        .iter()
        .find(|signature| {
            head.starts_with(signature.head)
                // In a short file, the head may be the whole file: the same bytes must not count
                // as head and tail.
                && signature.tail.is_none_or(|(bytes, from_end)| {
                    head.len() >= signature.head.len() + bytes.len() + from_end
                })
                && (signature.has_more)(head)
                && signature.tail.is_none_or(|(bytes, from_end)| {
                    tail.and_then(|tail| tail.get(..tail.len().checked_sub(from_end)?))
                        .is_some_and(|tail| tail.ends_with(bytes))
                })
        })
        .map(|signature| &signature.format)
}

/// Returns true if only the end of a file with this start can identify its format.
pub(super) fn depends_on_end(head: &[u8]) -> bool {
    SIGNATURES.iter().any(|signature| signature.tail.is_some() && head.starts_with(signature.head))
}

/// Returns the format of a file with this start that is known not to be JSON, so that the end need
/// not prove it.
pub(super) fn recognise_broken(head: &[u8]) -> Option<&'static Format> {
    recognise(head, None).or_else(|| {
        let mut signatures = SIGNATURES.iter();
        let found = signatures
            .find(|signature| signature.tail.is_some() && head.starts_with(signature.head));
        found.map(|signature| &signature.format)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(head: &[u8], tail: Option<&[u8]>) -> Option<&'static str> {
        recognise(&head[..head.len().min(HEAD_BYTES)], tail).map(|format| format.name)
    }

    #[test]
    fn text_that_begins_like_a_magic_is_still_text() {
        let long_text = format!("{}ustar,1\n", "x".repeat(257));
        let short_lines = format!("MZ,{}\n", "1,PE,\n".repeat(200));
        for text in [
            "ORC,elf\n1,2\n",
            "ORC and then ORC\n",
            "PAR1 score\n",
            "PAR1",
            "ORC\n",
            "BZh 91\n",
            "BZh9 rows\n",
            "Obj1\n",
            "PK,id\n1,2\n",
            "PK\n",
            "PK\x03\x04key,value\nand,more,to,come,here\n",
            "7z,zip\n",
            "Rar!,1\n",
            "%PDF-1.4,%PDF-1.5\n1,2\n",
            "%PDF-1.4\nname,size\n",
            "%PDF-1.4\n1 0\n",
            "%PDF-\n%\n",
            "MZ,BM\n1,2\n",
            "BM,1234567890,1234567890\n",
            "BM\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
            "GIF89a,1,2,3,4\n",
            "GIF87a\n",
            "RIFF,WEBP,VP8\n",
            "RIFF1234WEBPVP9\n",
            "SQLite format 3,x\n",
            "II*,x\n",
            "II*\0xyzw\n",
            "MM\0*\0\0\0\0\n",
            "ustar\n",
            "\u{7f}ELF,x\n",
            "a\0b\0c\0\n\0a\0b\0",
            "a\0b\0c\0d\0e\0f\0g\0h\0i\0j\0k\0l\0m\0n\0o\0,\n",
            long_text.as_str(),
            short_lines.as_str(),
        ] {
            let bytes = text.as_bytes();
            let tail = &bytes[bytes.len().saturating_sub(TAIL_BYTES)..];
            assert_eq!(name(bytes, Some(tail)), None, "{text:?}");
        }
    }

    #[test]
    fn each_format_is_known_by_its_own_bytes() {
        let tar = |magic: &[u8]| {
            let mut head = vec![0; 512];
            head[..5].copy_from_slice(b"a.csv");
            head[257..257 + magic.len()].copy_from_slice(magic);
            head
        };
        let zip = |first: &[u8]| [&b"PK\x03\x04\x14\0\0\0\x08\0........."[..], first].concat();
        let entry = |first: &str| {
            let mut head = [0; 30];
            head[..6].copy_from_slice(b"PK\x03\x04\x14\0");
            head[26] = u8::try_from(first.len()).unwrap();
            [&head[..], first.as_bytes()].concat()
        };
        let windows = {
            let mut head = vec![0; 512];
            head[..2].copy_from_slice(b"MZ");
            head[0x3c] = 0x80;
            head[0x80..0x84].copy_from_slice(b"PE\0\0");
            head
        };
        assert_eq!(name(&zip(b""), None), None, "a header that is cut");
        let bmp = [&b"BM\x46\x01\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0"[..], &[1, 0, 0, 0]].concat();
        let utf16 = |first: &[u8], text: &str, bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
            first.iter().copied().chain(text.encode_utf16().flat_map(bytes)).collect()
        };
        let rows = "1,abc\n2,def\n3,ghi\n";
        let cases: [(&str, &[u8]); 45] = [
            ("text in UTF-32", b"\xff\xfe\0\0{\0\0\0"),
            ("text in UTF-32", b"\0\0\xfe\xff\0\0\0{"),
            ("text in UTF-16", &utf16(b"\xff\xfe", "\u{6f22},\u{5b57}", u16::to_le_bytes)),
            ("text in UTF-16", &utf16(b"\xfe\xff", "\u{6f22},\u{5b57}", u16::to_be_bytes)),
            ("text in UTF-16", &utf16(b"", rows, u16::to_le_bytes)),
            ("text in UTF-16", &utf16(b"", rows, u16::to_be_bytes)),
            ("lz4 data in the legacy format", b"\x02\x21\x4c\x18\x0b\0\0\0\xa01,a"),
            ("snappy data", b"\xff\x06\0\0sNaPpY\x01\x08\0\0"),
            ("snappy data in Xerial's format", b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01"),
            ("compress data", b"\x1f\x9d\x90\x31\x58"),
            ("lzip data", b"LZIP\x01\x0c\0\x18"),
            ("lzop data", b"\x89LZO\0\r\n\x1a\n\x10\x40"),
            ("gzip data", b"\x1f\x8b\x08\0\0\0\0\0\0\x03"),
            ("zstd data", b"\x28\xb5\x2f\xfd\x24\0\x01\0\0\x99"),
            ("bzip2 data", b"BZh91AY&SY"),
            ("bzip2 data", b"BZh9\x17\x72\x45\x38\x50\x90"),
            ("xz data", b"\xfd7zXZ\0\0\x04\xe6\xd6"),
            ("lz4 data", b"\x04\x22\x4d\x18\x64\x40\xa7"),
            ("Avro data", b"Obj\x01\x04\x14avro"),
            ("a tar archive", &tar(b"ustar\x0000")),
            ("a tar archive", &tar(b"ustar  \0")),
            ("an Office document (xlsx, docx)", &entry("[Content_Types].xml")),
            ("an Office document (xls, doc)", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0\0"),
            ("a Java archive", &entry("META-INF/")),
            ("a zip archive", &entry("orders.csv")),
            ("a zip archive", b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
            ("a 7z archive", b"7z\xbc\xaf\x27\x1c\0\x04"),
            ("a rar archive", b"Rar!\x1a\x07\x01\0"),
            ("a PDF document", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n"),
            ("a PDF document", b"%PDF-1.3\r\n1 0 obj\r\n<<"),
            ("a SQLite database", b"SQLite format 3\0\x10\0"),
            ("an ELF executable", b"\x7fELF\x02\x01\x01\0"),
            ("a Windows executable", &windows),
            ("a macOS executable", b"\xcf\xfa\xed\xfe\x07\0\0\x01"),
            ("a macOS executable", b"\xca\xfe\xba\xbe\0\0\0\x02\x01\0\0\x07"),
            ("a Java class", b"\xca\xfe\xba\xbe\0\0\x00\x34\0\x1d"),
            ("a PNG image", b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR"),
            ("a JPEG image", b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01"),
            ("a GIF image", b"GIF89a\x01\0\x01\0\x80\0\0\xff"),
            ("a WebP image", b"RIFF\x24\0\0\0WEBPVP8L\x17\0"),
            ("a TIFF image", b"II*\0\x08\0\0\0\x0f\0"),
            ("a TIFF image", b"MM\0*\0\0\0\x08\0\x0f"),
            ("a BMP image", &bmp),
            ("a sound or video file", b"RIFF\x24\0\0\0WAVEfmt \x10\0"),
            ("a Python pickle", b"\x80\x04\x95\x0b\0\0"),
        ];
        for (expected, head) in cases {
            assert_eq!(name(head, Some(b"\0\0\0\0")), Some(expected), "{head:?}");
        }
        assert_eq!(
            name(b"PAR1\x15\x04\x15\x10\x15\x14", Some(b"\0\0\0\0PAR1")),
            Some("Parquet data")
        );
        assert_eq!(
            name(b"ORC\x0a\x0b\x0a\x03\0\0\0\0\0", Some(b"\x82\xf4\x03\x03ORC\x17")),
            Some("ORC data")
        );
    }

    #[test]
    fn a_file_shorter_than_a_magic_is_text() {
        assert_eq!(name(b"", Some(b"")), None);
        assert_eq!(name(b"B", Some(b"B")), None);
        assert_eq!(name(b"ORC", Some(b"ORC")), None);
        for signature in &SIGNATURES {
            for length in 0..signature.head.len() {
                assert_eq!(name(&signature.head[..length], None), None);
            }
        }
    }

    #[test]
    fn a_start_that_proves_nothing_waits_for_the_end() {
        assert_eq!(name(b"PAR1\x15\x04\x15\x10\x15\x14", None), None);
        assert_eq!(name(b"\x1f\x8b", None), Some("gzip data"));
    }
}
