//! Files that are small by nature: configuration, passwords, certificates.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// Far more than a bundle of all public certificates.
const LIMIT_BYTES: u64 = 4 * 1024 * 1024;

/// Reads the file, which may also be a pipe. Blocking.
///
/// # Errors
/// The errors of reading, and `FileTooLarge` for a file that is larger than 4 MiB, of which no more
/// is read.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LIMIT_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LIMIT_BYTES {
        let message = "it is larger than 4 MiB, the limit for such a file";
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(bytes)
}

/// Does the same as [`read`] for a text.
///
/// # Errors
/// The errors of [`read`], and `InvalidData` for what is not UTF-8.
pub fn read_text(path: &Path) -> io::Result<String> {
    String::from_utf8(read(path)?)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not valid UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_an_end_is_refused_and_one_at_the_limit_is_read() {
        let error = read(Path::new("/dev/zero")).unwrap_err();
        assert_eq!(error.to_string(), "it is larger than 4 MiB, the limit for such a file");
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(LIMIT_BYTES).unwrap();
        assert_eq!(read(file.path()).unwrap().len() as u64, LIMIT_BYTES);
    }

    #[test]
    fn a_text_is_utf_8() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"\xff").unwrap();
        assert_eq!(read_text(file.path()).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
